"""The page's still figures, each a function from plain arrays to one SVG element with a name for assistive technology.

Symbols as everywhere: ``mu`` and ``sigma`` the posterior's mean and width per image and dimension, d the latent size,
T the frames of a path. A model keeps its number ``m`` (colour and marker) on the whole page; so does a class ``k``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from markupsafe import Markup

from latentbench.records import digest
from latentbench.report.drawing import svg
from latentbench.report.drawing.svg import Axis, drawing, line, marks, polyline, tag, text
from latentbench.report.folder import Array
from latentbench.report.wording import words
from latentbench.report.wording.language import say


def model_class(m: int) -> str:
    """Style-sheet class of model number m."""
    return f"m{m % svg.MODEL_COLOURS}"


def class_class(k: int) -> str:
    """Style-sheet class of image class k."""
    return f"k{k % svg.CLASS_COLOURS}"


def marker(i: int) -> str:
    """Marker of class or model i; past the last colour the same colours come with the next shapes."""
    return svg.MARKERS[(i + i // svg.CLASS_COLOURS) % len(svg.MARKERS)]


def interval_bar(
    mean: float, low: float | None, high: float | None, axis: tuple[float, float], floors: Sequence[float],
    ceilings: Sequence[float], baselines: Sequence[float], m: int,
) -> Markup:  # fmt: skip
    """One score on the scale of its row: dotted ticks are floors, solid ticks ceilings, hollow triangles baselines;
    the band is the interval and the marker the mean. The number stands beside it, so it is hidden from readers."""
    width, height = 180, 18
    x = Axis(*axis, 4, width - 4)

    def place(value: float) -> float:
        return min(max(x(value), 1.0), width - 1.0)

    parts = [line(0, 9, width, 9, "track")]
    parts += [line(place(v), 2, place(v), 16, "floor") for v in floors]
    parts += [line(place(v), 2, place(v), 16, "ceiling") for v in ceilings]
    parts += [marks(np.array([place(v)]), np.array([4.0]), "inverted_triangle", 3.2, "baseline") for v in baselines]
    if low is not None and high is not None:
        a, b = place(low), place(high)
        parts.append(tag("rect", x=a, y=5.5, width=max(b - a, 1.0), height=7, rx=2, class_=f"band {model_class(m)}"))
    parts.append(marks(np.array([place(mean)]), np.array([9.0]), marker(m), 3.6, f"dot {model_class(m)}"))
    body = Markup("").join(parts)
    return tag(
        "svg", body, class_="bar", viewBox=f"0 0 {width} {height}", width=width, height=height, aria_hidden="true"
    )


def step_curve(steps: Array, fade_steps: Array | None, m: int, label: str) -> Markup:
    """Each step's share of its path's length, (T-1,), above the frames it leads between; dashed: the cross-fade's of its ends.
    A flat line is an even pace, a spike a jump."""
    width, height, top, bottom = 480, 54, 15, 50
    t = len(steps)
    top_value = max(float(np.max(steps)), 2.0 / t, float(np.max(fade_steps)) if fade_steps is not None else 0.0)
    y = Axis(0, top_value * 1.05, bottom, top)
    xs = (np.arange(t) + 1.0) * width / (t + 1)
    peak = int(np.argmax(steps))
    parts = [line(0, y(0), width, y(0), "rule")]
    if fade_steps is not None:
        parts.append(polyline(xs, y.many(fade_steps), "line dashed muted"))
    parts.append(polyline(xs, y.many(steps), f"line {model_class(m)}"))
    parts.append(marks(xs, y.many(steps), marker(m), 2.4, f"dot {model_class(m)}"))
    parts.append(text(float(xs[peak]), y(float(steps[peak])) - 6, words.percent(float(steps[peak])), "value", "middle"))
    return drawing(width, height, *parts, label=label)


class Centre(NamedTuple):
    """Where a class sits on a map: its most central point, and its name."""

    x: float
    y: float
    name: str


class Marked(NamedTuple):
    """A place on a map that is spoken of elsewhere: its name there, and its ``weight`` in [0, 1], shown as size."""

    x: float
    y: float
    name: str
    weight: float


def still_map(
    xy: Array, classes: Array, names: Sequence[str], centres: Sequence[Centre], label: str,
    places: Sequence[Marked] = (),
) -> Markup:  # fmt: skip
    """The map without interaction, for print and for browsers without JavaScript: (m, 2) points in class colours and
    shapes, each class named at its most central point, and ``places`` ringed with their names."""
    size = 460
    shown = np.concatenate([xy, [(p.x, p.y) for p in places]]) if places else xy
    low, high = shown.min(0), shown.max(0)
    half = float((high - low).max()) / 2 * 1.06 or 1.0
    middle = (high + low) / 2
    x = Axis(middle[0] - half, middle[0] + half, 4, size - 4)
    y = Axis(middle[1] - half, middle[1] + half, size - 4, 4)
    r = 3.4 if len(xy) <= 800 else 2.2
    parts = [tag("rect", x=0.5, y=0.5, width=size - 1, height=size - 1, class_="frame")]
    for k in range(max(1, len(names))):
        of_class = classes == k
        parts.append(marks(x.many(xy[of_class, 0]), y.many(xy[of_class, 1]), marker(k), r, f"point {class_class(k)}"))
    parts += [text(x(c.x), y(c.y) + 5, c.name, "halo", "middle") for c in centres]
    for p in places:
        parts.append(tag("circle", cx=x(p.x), cy=y(p.y), r=9 + 40 * math.sqrt(p.weight), class_="hole-ring"))
        parts.append(text(x(p.x), y(p.y) + 5, p.name, "halo", "middle"))
    return drawing(size, size, *parts, label=label, class_="square")


def clipped(label: str, box: tuple[float, float, float, float], *parts: object) -> tuple[Markup, Markup]:
    """Drawings cut off at a box (x, y, width, height). The id comes from the figure's label alone, so that it differs
    between figures and not between renderings."""
    x, y, width, height = box
    name = f"clip-{digest(label)}"
    clip = tag("clipPath", tag("rect", x=x, y=y, width=width, height=height), id=name)
    return clip, tag("g", *parts, clip_path=f"url(#{name})")


def training(
    train: Mapping[int | None, Sequence[float]], val: Mapping[int | None, Sequence[float]], m: int, label: str
) -> Markup:
    """Loss over epochs, a line a seed: training dashed, validation solid. The steep first tenth may leave the frame,
    so that where the curves end can be told apart."""
    width, height, left, top, bottom = 440, 230, 44, 24, 192
    curves = [c for c in (*train.values(), *val.values()) if len(c)]
    longest = max((len(c) for c in curves), default=1)
    after = longest // 10
    shown = [v for c in curves for v in (list(c[after:]) or list(c))]
    low, high = svg.span(shown, 0.06)
    x, y = Axis(1, max(longest, 2), left, width - 4), Axis(low, high, bottom, top)
    parts = []
    for curve, style in [*((c, "dashed") for c in train.values()), *((c, "") for c in val.values())]:
        ys = y.many(np.asarray(curve, float))
        inside = ys >= top - 40
        xs = x.many(np.arange(1, len(curve) + 1))
        parts.append(polyline(xs[inside], ys[inside], f"line thin {style} {model_class(m)}"))
    body = clipped(label, (left, top - 4, width - left, bottom - top + 5), *parts)
    return drawing(
        width, height, svg.y_axis(y, left, width, say("loss")), *body, svg.x_axis(x, bottom, say("epoch")), label=label
    )


class SpeedPoint(NamedTuple):
    """Samples per second of one model at one batch size: median, quartiles over blocks, and whether the spread is
    narrow enough to rank by."""

    m: int
    batch: int
    median: float
    low: float
    high: float
    rankable: bool


def throughput(speeds: Sequence[SpeedPoint], label: str) -> Markup:
    """Samples per second over batch sizes: filled marks can be ranked, open ones vary too much."""
    width, height, left, top, bottom = 440, 240, 52, 24, 202
    batches = sorted({s.batch for s in speeds})
    places = {b: float(i) for i, b in enumerate(batches)}
    low = min(s.low for s in speeds) / 1.4
    high = max(s.high for s in speeds) * 1.4
    x, y = Axis(-0.4, len(batches) - 0.6, left, width - 4), Axis(low, high, bottom, top, log=True)
    parts = [svg.y_axis(y, left, width, say("samples per second"))]
    order = sorted({s.m for s in speeds})
    for m in order:
        of_model = sorted((s for s in speeds if s.m == m), key=lambda s: s.batch)
        shift = (order.index(m) - (len(order) - 1) / 2) * 9
        xs = np.array([x(places[s.batch]) + shift for s in of_model])
        ys = np.array([y(s.median) for s in of_model])
        parts.append(polyline(xs, ys, f"line thin {model_class(m)}"))
        parts += [
            line(px, y(s.low), px, y(s.high), f"whisker {model_class(m)}") for px, s in zip(xs, of_model, strict=True)
        ]
        for ok, style in ((True, "dot"), (False, "open")):
            keep = np.array([s.rankable is ok for s in of_model])
            parts.append(marks(xs[keep], ys[keep], marker(m), 4.2, f"{style} {model_class(m)}"))
    parts.append(svg.x_axis(x, bottom, say("images a batch"), list(places.values()), [str(b) for b in batches]))
    return drawing(width, height, *parts, label=label)
