"""The page's still figures, each a function from plain arrays to one SVG element with a name for assistive technology.

Symbols as everywhere: ``mu`` and ``sigma`` the posterior's mean and width per image and dimension, d the latent size,
T the frames of a path. A model keeps its number ``m`` (colour and marker) on the whole page; so does a class ``k``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from markupsafe import Markup

from latentbench.records import digest
from latentbench.report.drawing import svg
from latentbench.report.drawing.svg import Axis, drawing, line, marks, polyline, tag, text
from latentbench.report.folder import Array
from latentbench.report.wording import words
from latentbench.report.wording.language import say

PANEL = (300, 270)
"""Width and height of the four drawings of a posterior, side by side."""

POINTS = 1200
"""Points drawn at most in one scatter; more are thinned evenly."""


def model_class(m: int) -> str:
    """Style-sheet class of model number m."""
    return f"m{m % svg.MODEL_COLOURS}"


def class_class(k: int) -> str:
    """Style-sheet class of image class k."""
    return f"k{k % svg.CLASS_COLOURS}"


def marker(i: int) -> str:
    """Marker of class or model i; past the last colour the same colours come with the next shapes."""
    return svg.MARKERS[(i + i // svg.CLASS_COLOURS) % len(svg.MARKERS)]


class ScoreLine(NamedTuple):
    """One model on the axis of a measure: its number, mean and interval; None where it has no value."""

    m: int
    mean: float | None
    low: float | None
    high: float | None


class AxisMark(NamedTuple):
    """What the models are read against on an axis: a floor, a null value, a baseline or a ceiling, with its name."""

    role: str
    name: str
    value: float


AXIS, LINE = 400, 20
"""Width of the axis that models share, and the height of each one's line."""


def score_lines(
    lines: Sequence[ScoreLine], axis: tuple[float, float], beside: Sequence[AxisMark], label: str
) -> Markup:
    """All models on one axis, a line each: the band is the interval, the marker the mean. Dotted: floors and null values,
    solid: ceilings, dashed under a hollow triangle: baselines; of the floors the highest is named."""
    top, bottom = 5.0, 5.0 + LINE * len(lines)
    x = Axis(*axis, 6, AXIS - 6)

    def place(value: float) -> float:
        return min(max(x(value), 1.0), AXIS - 1.0)

    parts = []
    for mark in beside:
        style = {"ceiling": "ceiling", "baseline": "baseline"}.get(mark.role, "floor")
        at = place(mark.value)
        parts.append(line(at, top - 3, at, bottom, style))
        if style == "baseline":
            parts.append(marks(np.array([at]), np.array([top]), "inverted_triangle", 3.6, "baseline"))
    for k, one in enumerate(lines):
        y = top + LINE * (k + 0.5)
        parts.append(line(0, y, AXIS, y, "track"))
        if one.low is not None and one.high is not None:
            a, b = place(one.low), place(one.high)
            parts.append(
                tag("rect", x=a, y=y - 4, width=max(b - a, 1.0), height=8, rx=2, class_=f"band {model_class(one.m)}")
            )
        if one.mean is not None:
            parts.append(
                marks(np.array([place(one.mean)]), np.array([y]), marker(one.m), 4.2, f"dot {model_class(one.m)}")
            )
    names = _axis_names(axis, beside)
    parts += [text(at, bottom + 13, name, "tick", "middle") for at, name in _apart(names, place)]
    return drawing(AXIS, bottom + 17, *parts, label=label, class_="score-axis")


def _axis_names(axis: tuple[float, float], beside: Sequence[AxisMark]) -> list[tuple[float, str]]:
    """What may be written under an axis, the most needed first: the highest floor, ceilings, baselines, the ends."""
    floors = [m for m in beside if m.role not in ("ceiling", "baseline")]
    rest = [m for role in ("ceiling", "baseline") for m in beside if m.role == role]
    named = [max(floors, key=lambda m: m.value), *rest] if floors else rest
    step = (axis[1] - axis[0]) / 4
    zero = [0.0] if axis[0] < 0 < axis[1] else []
    return [
        *((m.value, f"{m.name} {words.tidy(m.value)}") for m in named),
        *((v, svg.tick_label(v, step) if v else "0") for v in (*zero, *axis)),
    ]


def _apart(names: Sequence[tuple[float, str]], place: Callable[[float], float]) -> list[tuple[float, str]]:
    """Where names stand under an axis, those left out that would run into an earlier one: (middle, name)."""
    taken: list[tuple[float, float]] = []
    out = []
    for value, name in names:
        half = sum(7.2 if ord(c) < 0x2E80 else 12.0 for c in name) / 2
        at = min(max(place(value), half), AXIS - half)
        if all(at + half + 8 < a or at - half - 8 > b for a, b in taken):
            taken.append((at - half, at + half))
            out.append((at, name))
    return out


def step_curve(steps: Array, fade_steps: Array | None, m: int, label: str) -> Markup:
    """Each step's share of its path's length, (T-1,), above the frames it leads between; dashed: the cross-fade's of its ends.
    A flat line is an even pace, a spike a jump."""
    width, height, top, bottom = 480, 98, 34, 92
    t = len(steps)
    top_value = max(float(np.max(steps)), 2.0 / t, float(np.max(fade_steps)) if fade_steps is not None else 0.0)
    y = Axis(0, top_value * 1.05, bottom, top)
    xs = (np.arange(t) + 1.0) * width / (t + 1)
    peak = int(np.argmax(steps))
    parts = [line(0, y(0), width, y(0), "rule"), text(0, 11, say("length of each step, share of the path"), "axis")]
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


def clouds(mu: Array, sigma: Array | None, dims: tuple[int, int], m: int, label: str, count: int = 80) -> Markup:
    """Posteriors of some images in two latent dimensions: an ellipse of radii sigma around each mean, (n, d) arrays;
    without sigma, points. Dashed circles: the prior at one and two standard deviations."""
    width, height = PANEL
    a, b = dims
    mu = mu[:count]
    reach = max(2.6, 1.06 * float(np.quantile(np.abs(mu[:, [a, b]]), 0.99)))
    aside = reach * width / height
    x, y = Axis(-aside, aside, 0, width), Axis(-reach, reach, height, 0)
    unit = x(1) - x(0)
    parts = [tag("rect", x=0.5, y=0.5, width=width - 1, height=height - 1, class_="frame")]
    if sigma is not None:
        parts += [
            tag("ellipse", cx=x(float(p[a])), cy=y(float(p[b])), rx=max(0.4, unit * float(s[a])), ry=max(0.4, unit * float(s[b])),
                class_=f"cloud {model_class(m)}")
            for p, s in zip(mu, sigma[:count], strict=True)
        ]  # fmt: skip
    parts.append(
        marks(x.many(mu[:, a]), y.many(mu[:, b]), "circle", 1.5 if sigma is not None else 2.4, f"dot {model_class(m)}")
    )
    parts += [tag("circle", cx=x(0), cy=y(0), r=unit * r, class_="prior") for r in (1, 2)]
    names = text(width - 8, height - 10, say("dimension {n}", n=a + 1), "axis halo-thin", "end")
    names += text(8, 20, say("dimension {n}", n=b + 1), "axis halo-thin")
    return drawing(width, height, *clipped(label, (0, 0, width, height), *parts), names, label=label)


def clipped(label: str, box: tuple[float, float, float, float], *parts: object) -> tuple[Markup, Markup]:
    """Drawings cut off at a box (x, y, width, height). The id comes from the figure's label alone, so that it differs
    between figures and not between renderings."""
    x, y, width, height = box
    name = f"clip-{digest(label)}"
    clip = tag("clipPath", tag("rect", x=x, y=y, width=width, height=height), id=name)
    return clip, tag("g", *parts, clip_path=f"url(#{name})")


def widths(mu_sd: Array, sigma: Array | None, active: Array, m: int, label: str) -> Markup:
    """Per dimension, (d,): how far the means spread (filled) and how wide one posterior is (open). Where the open
    mark lies far below the filled one the posterior is a point; where it reaches 1 and the means have no spread, the
    dimension is unused (cross). Logarithmic unless a width is zero."""
    d = len(mu_sd)
    (width, height), left, top, bottom = PANEL, 36, 24, 232
    values = [*mu_sd.tolist(), *([] if sigma is None else sigma.tolist()), 1.0]
    positive = [v for v in values if v > 0]
    low, high = max(min(positive) / 1.5, 1e-4), max(positive) * 1.5
    y = Axis(low, high, bottom - (18 if sigma is None else 0), top, log=True)
    x = Axis(0.5, d + 0.5, left, width - 4)
    parts = [svg.y_axis(y, left, width, say("width in latent units")), line(left, y(1), width, y(1), "prior")]
    for i in range(d):
        sd = float(np.clip(mu_sd[i], low, high))
        s = bottom if sigma is None else y(float(np.clip(sigma[i], low, high)))
        parts.append(line(x(i + 1), y(sd), x(i + 1), s, "stem"))
        kind = "circle" if active[i] else "x"
        parts.append(marks(np.array([x(i + 1)]), np.array([y(sd)]), kind, 4.2, f"dot {model_class(m)}"))
        parts.append(marks(np.array([x(i + 1)]), np.array([s]), "diamond", 4.4, f"open {model_class(m)}"))
    if sigma is None:
        parts += [line(left, bottom, width, bottom, "rule"), text(left - 6, bottom + 4, "0", anchor="end")]
    parts.append(text(left + 4, y(1) - 5, say("prior: 1"), "axis halo-thin"))
    every = max(1, math.ceil(d / 16))
    ticks = [float(i) for i in range(1, d + 1, every)]
    parts.append(svg.x_axis(x, bottom + 4, say("dimension"), ticks, [str(int(t)) for t in ticks]))
    return drawing(width, height, *parts, label=label)


def sigma_against_mu(mu: Array, sigma: Array | None, m: int, label: str) -> Markup:
    """Every posterior of some images in every dimension: its mean across, its width upwards."""
    (width, height), left, top, bottom = PANEL, 36, 24, 232
    flat_mu = mu.ravel()
    flat_sigma = np.zeros_like(flat_mu) if sigma is None else sigma.ravel()
    keep = np.arange(0, len(flat_mu), max(1, math.ceil(len(flat_mu) / POINTS)))
    reach = max(2.5, float(np.abs(flat_mu[keep]).max()) * 1.05)
    x = Axis(-reach, reach, left, width - 4)
    y = Axis(0, max(1.15, float(flat_sigma[keep].max()) * 1.08), bottom, top)
    parts = [svg.y_axis(y, left, width, "sigma"), line(left, y(1), width, y(1), "prior")]
    parts.append(text(left + 4, y(1) - 5, say("prior: 1"), "axis halo-thin"))
    parts.append(marks(x.many(flat_mu[keep]), y.many(flat_sigma[keep]), "circle", 1.7, f"faint {model_class(m)}"))
    parts.append(svg.x_axis(x, bottom, "mu"))
    return drawing(width, height, *parts, label=label)


def kl_bars(kl: Array, active: Array, m: int, label: str) -> Markup:
    """KL of each dimension in nats, (d,); a cross marks a dimension that is not used."""
    d = len(kl)
    (width, height), left, top, bottom = PANEL, 36, 24, 232
    x, y = Axis(0.5, d + 0.5, left, width - 4), Axis(0, max(float(kl.max()) * 1.08, 0.1), bottom, top)
    step = x(2) - x(1) if d > 1 else 120.0
    wide = min(step * 0.62, 40.0)
    parts = [svg.y_axis(y, left, width, say("KL, nats"))]
    for i, value in enumerate(kl):
        up = y(max(float(value), 0.0))
        parts.append(
            tag(
                "rect",
                x=x(i + 1) - wide / 2,
                y=up,
                width=wide,
                height=max(bottom - up, 0.6),
                class_=f"fill {model_class(m)}",
            )
        )
        if not active[i]:
            parts.append(marks(np.array([x(i + 1)]), np.array([up - 9]), "x", 4, "dot muted"))
    every = max(1, math.ceil(d / 16))
    ticks = [float(i) for i in range(1, d + 1, every)]
    parts.append(svg.x_axis(x, bottom, say("dimension"), ticks, [str(int(t)) for t in ticks]))
    return drawing(width, height, line(left, bottom, width, bottom, "rule"), *parts, label=label)


def training(
    train: Mapping[int | None, Sequence[float]], val: Mapping[int | None, Sequence[float]],
    best: Mapping[int | None, int], ends: Sequence[tuple[float, str]], m: int, label: str,
) -> Markup:  # fmt: skip
    """Loss over epochs, a line a seed: training dashed, validation solid. The steep first tenth may leave the frame,
    so that where the curves end can be told apart. A mark stands at the ``best`` epoch of each seed; ``ends`` are epochs
    with the words that stand at the line drawn there, the earliest first."""
    width, height, left, top, bottom = 400, 216, 40, 24, 180
    curves = [c for c in (*train.values(), *val.values()) if len(c)]
    longest = max((len(c) for c in curves), default=1)
    after = longest // 10
    shown = [v for c in curves for v in (list(c[after:]) or list(c))]
    low, high = svg.span(shown, 0.06)
    x, y = Axis(1, max(longest, 2), left, width - 6), Axis(low, high, bottom, top)
    parts = []
    for curve, style in [*((c, "dashed") for c in train.values()), *((c, "") for c in val.values())]:
        ys = y.many(np.asarray(curve, float))
        inside = ys >= top - 40
        xs = x.many(np.arange(1, len(curve) + 1))
        parts.append(polyline(xs[inside], ys[inside], f"line thin {style} {model_class(m)}"))
    kept = [(x(epoch), y(val[seed][epoch - 1])) for seed, epoch in best.items() if 0 < epoch <= len(val.get(seed, ()))]
    if kept:
        xs, ys = np.array(kept).T
        parts.append(marks(xs, ys, "circle", 3.2, f"open {model_class(m)}"))
    body = clipped(label, (left, top - 4, width - left, bottom - top + 5), *parts)
    marked_at = []
    for k, (epoch, name) in enumerate(ends):
        at, level = x(min(max(epoch, 1.0), float(max(longest, 2)))), top + 9 + 15 * k
        marked_at.append(line(at, level - 9, at, bottom, "stop"))
        before = at - left > 7.2 * len(name) + 8
        marked_at.append(text(at + (-5 if before else 5), level, name, "tick halo-thin", "end" if before else None))
    axes = svg.y_axis(y, left, width, say("loss")), svg.x_axis(x, bottom, say("epoch"))
    return drawing(width, height, *axes, *body, *marked_at, label=label)


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
