"""A little SVG: tags, axes and point markers, enough for the page's still figures.

Why not a plotting library: importing one costs .4 s (matplotlib) to 1.4 s (seaborn), more than drawing all of them this
way, and its pictures know nothing of the reader's dark mode. These are vectors that print sharply, take their colours
from the page's style sheet (classes ``m0`` ... for models, ``k0`` ... for image classes) and are equal byte for byte
on every machine.

Lengths are user units of the drawing's own view box; y grows downwards.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup, escape

from latentbench.report.folder import Array
from latentbench.report.wording import words

MODEL_COLOURS = 8
CLASS_COLOURS = 10
MARKERS = (
    "circle",
    "square",
    "triangle",
    "diamond",
    "inverted_triangle",
    "star",
    "hex",
    "plus",
    "triangle_pin",
    "square_pin",
)
"""Shapes by index, under the names the interactive map gives them."""


def tag(name: str, *children: object, **attributes: object) -> Markup:
    """An element; children that are not Markup and all attributes are escaped. ``class_`` and ``stroke_width`` become
    ``class`` and ``stroke-width``; attributes that are None are left out."""
    words_ = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_short(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    inside = Markup("").join(c if isinstance(c, Markup) else escape(c) for c in children)
    return Markup("<{0}{1}>{2}</{0}>").format(Markup(name), Markup(words_), inside)


def _short(value: object) -> object:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else value


def drawing(width: float, height: float, *children: object, label: str, class_: str = "") -> Markup:
    """The outermost element: an image with a name for those who cannot see it."""
    return tag(
        "svg",
        *children,
        class_=f"plot {class_}".strip(),
        viewBox=f"0 0 {_short(float(width))} {_short(float(height))}",
        role="img",
        aria_label=label,
        preserveAspectRatio="xMidYMid meet",
    )


def text(x: float, y: float, content: object, class_: str = "tick", anchor: str | None = None) -> Markup:
    """Words at a place; ``anchor`` is start (default), middle or end."""
    return tag("text", content, x=x, y=y, class_=class_, text_anchor=anchor)


def line(x1: float, y1: float, x2: float, y2: float, class_: str = "grid") -> Markup:
    """A straight line."""
    return tag("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def polyline(xs: Iterable[float], ys: Iterable[float], class_: str) -> Markup:
    """A line through points, as a path."""
    points = [f"{x:.1f} {y:.1f}" for x, y in zip(xs, ys, strict=True) if math.isfinite(x) and math.isfinite(y)]
    return tag("path", d="M" + "L".join(points), class_=class_) if points else Markup("")


def shape(kind: str, r: float) -> str:
    """The outline of a marker of radius r around the origin, as relative path commands after a move to its centre."""
    if kind == "circle":
        return f"m{-r:.2f} 0a{r:.2f} {r:.2f} 0 1 0 {2 * r:.2f} 0a{r:.2f} {r:.2f} 0 1 0 {-2 * r:.2f} 0z"
    if kind == "plus":
        t = 0.38 * r
        corners = [
            (-t, -r),
            (t, -r),
            (t, -t),
            (r, -t),
            (r, t),
            (t, t),
            (t, r),
            (-t, r),
            (-t, t),
            (-r, t),
            (-r, -t),
            (-t, -t),
        ]
    elif kind == "x":
        plus = [(-0.38, -1), (0.38, -1), (0.38, -0.38), (1, -0.38), (1, 0.38), (0.38, 0.38), (0.38, 1), (-0.38, 1),
                (-0.38, 0.38), (-1, 0.38), (-1, -0.38), (-0.38, -0.38)]  # fmt: skip
        s = math.sqrt(0.5) * r
        corners = [((a - b) * s, (a + b) * s) for a, b in plus]
    elif kind == "star":
        corners = [_polar(r * (1.15 if i % 2 == 0 else 0.5), 36 * i) for i in range(10)]
    elif kind == "square_pin":
        corners = [_polar(r * (1.25 if i % 2 == 0 else 0.7), 45 + 45 * i) for i in range(8)]
    elif kind == "triangle_pin":
        corners = [_polar(r * (1.45 if i % 2 == 0 else 0.4), 60 * i) for i in range(6)]
    else:
        sides, turn, grow = {
            "square": (4, 45, 1.25), "diamond": (4, 0, 1.25), "triangle": (3, 0, 1.25),
            "inverted_triangle": (3, 180, 1.25), "hex": (6, 0, 1.1),
        }[kind]  # fmt: skip
        corners = [_polar(grow * r, turn + 360 * i / sides) for i in range(sides)]
    steps, (px, py) = [], (0.0, 0.0)
    for x, y in corners:
        steps.append(f"{x - px:.2f} {y - py:.2f}")
        px, py = x, y
    return "m" + "l".join(steps) + "z"


def _polar(r: float, degrees: float) -> tuple[float, float]:
    """The point at this distance, clockwise from straight up."""
    return r * math.sin(math.radians(degrees)), -r * math.cos(math.radians(degrees))


def marks(xs: Array, ys: Array, kind: str, r: float, class_: str) -> Markup:
    """One path with a marker at every point: far shorter than an element each."""
    outline = shape(kind, r)
    d = "".join(f"M{x:.1f} {y:.1f}{outline}" for x, y in zip(xs, ys, strict=True))
    return tag("path", d=d, class_=class_) if d else Markup("")


def specks(xs: Array, ys: Array, r: float, class_: str) -> Markup:
    """One path with a small disc at every point: a stroke of no length with round ends, a third as long as `marks`."""
    d = "".join(f"M{x:.1f} {y:.1f}h0" for x, y in zip(xs, ys, strict=True))
    return tag("path", d=d, class_=f"specks {class_}", stroke_width=f"{2 * r:g}") if d else Markup("")


def swatch(kind: str, class_: str, size: float = 12) -> Markup:
    """A marker on its own, for legends and beside names; hidden from assistive technology, as its name stands by."""
    path = tag("path", d=f"M{size / 2:.1f} {size / 2:.1f}" + shape(kind, size * 0.36), class_=class_)
    return tag(
        "svg", path, class_="swatch", viewBox=f"0 0 {size:g} {size:g}", width=size, height=size, aria_hidden="true"
    )


@dataclass(frozen=True)
class Axis:
    """Values from ``low`` to ``high`` laid onto lengths from ``start`` to ``end``, evenly or by their logarithm."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """The length of a value."""
        a, b, v = (math.log(x) for x in (self.low, self.high, value)) if self.log else (self.low, self.high, value)
        return self.start + (self.end - self.start) * (v - a) / ((b - a) or 1.0)

    def many(self, values: Array) -> Array:
        """Lengths of many values at once."""
        a, b, v = self.low, self.high, np.asarray(values, float)
        if self.log:
            a, b, v = math.log(a), math.log(b), np.log(v)
        return np.asarray(self.start + (self.end - self.start) * (v - a) / ((b - a) or 1.0))

    def ticks(self, about: int = 4) -> list[float]:
        """Round values along the axis, about this many."""
        if self.log:
            powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            wide = math.log10(self.high / self.low) > 2.5
            every = [m * 10.0**p for p in powers for m in ((1,) if wide else (1, 2, 5))]
            ticks = [t for t in every if self.low * 0.999 <= t <= self.high * 1.001]
            return ticks[:: math.ceil(len(ticks) / (about + 2))] if ticks else [self.low, self.high]
        raw = (self.high - self.low) / max(1, about) or 1.0
        base = 10 ** math.floor(math.log10(raw))
        step = next(m * base for m in (1, 2, 2.5, 5, 10) if m * base >= raw * 0.999)
        first = math.ceil(self.low / step - 1e-9)
        return [i * step for i in range(first, math.floor(self.high / step + 1e-9) + 1)]


def tick_label(value: float, step: float = 0.0) -> str:
    """A tick's number: as short as it can be said."""
    if abs(value) >= 1000:
        digits, thin, prefix = words.engineering(value).partition(words.THIN)
        return (digits.rstrip("0").rstrip(".") if "." in digits else digits) + thin + prefix
    decimals = _decimals(step) if step else words.places(abs(value))
    body = f"{abs(value):.{min(decimals, 5)}f}"
    if step == 0 or "." in body:
        body = body.rstrip("0").rstrip(".") if "." in body else body
    return (words.MINUS if value < 0 and float(body) else "") + body


def _decimals(step: float) -> int:
    """Decimals that tell ticks of this step apart: one for .5, two for .25."""
    power = math.floor(math.log10(step) + 1e-9)
    whole = abs(step / 10**power - round(step / 10**power)) < 1e-6
    return max(0, -power + (not whole))


def span(values: Iterable[float], pad: float = 0.05, floor: float | None = None) -> tuple[float, float]:
    """The range of finite values with a margin; never empty, never below ``floor``."""
    finite = [v for v in values if math.isfinite(v)]
    if not finite:
        return 0.0, 1.0
    low, high = min(finite), max(finite)
    margin = (high - low) * pad or abs(high) * 0.1 or 0.5
    low, high = low - margin, high + margin
    return (max(low, floor) if floor is not None else low), high


def y_axis(axis: Axis, left: float, right: float, title: str, about: int = 4) -> Markup:
    """Horizontal grid lines with their numbers at the left, and what is measured written level above them."""
    ticks = axis.ticks(about)
    step = 0.0 if axis.log or len(ticks) < 2 else ticks[1] - ticks[0]
    rows = [
        line(left, axis(t), right, axis(t)) + text(left - 6, axis(t) + 4, tick_label(t, step), anchor="end")
        for t in ticks
    ]
    return Markup("").join([*rows, text(0, 11, title, "axis")])


def x_axis(
    axis: Axis, bottom: float, title: str, ticks: Sequence[float] | None = None, labels: Sequence[str] | None = None
) -> Markup:
    """Numbers below the plot and what they count, at the right end."""
    places = list(axis.ticks(5) if ticks is None else ticks)
    step = 0.0 if axis.log or len(places) < 2 else places[1] - places[0]
    names = labels or [tick_label(t, step) for t in places]
    rows = [text(axis(t), bottom + 16, n, anchor="middle") for t, n in zip(places, names, strict=True)]
    end = max(axis.start, axis.end)
    return Markup("").join([*rows, text(end, bottom + 32, title, "axis", anchor="end")])
