"""The story's own pictures, each an SVG with a name for assistive technology: the latent plane, loss terms over epochs, measures over beta, and KL per dimension beside its closed form.

Colours are the page's: model m keeps its colour everywhere; hatching means a hole, a dashed frame a refused image.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from markupsafe import Markup

from latentbench.records import digest
from latentbench.report.drawing import sheets, svg
from latentbench.report.drawing.figures import class_class, clipped, marker, model_class
from latentbench.report.drawing.svg import Axis, drawing, line, marks, polyline, tag, text
from latentbench.report.folder import Array, Artifact
from latentbench.report.wording import words
from latentbench.report.wording.language import say
from latentbench.stats.cells import Interval

SIDE = 420
"""Width and height of a drawn plane."""


def plane(artifact: Artifact, m: int, label: str) -> Markup:
    """The latent plane of a model with d = 2: what the decoder draws at every place (beneath), the holes hatched, each
    held-out image's posterior as an ellipse of radii sigma (a dot where sigma is nothing), in its class's colour, and the
    prior's contours at one and two standard deviations (dashed)."""
    grid, empty = artifact.need("grid"), artifact.need("hole").astype(bool)
    mu, reach = np.nan_to_num(artifact.need("mu")), float(artifact.detail.get("reach", 3.0))
    x, y = Axis(-reach, reach, 0, SIDE), Axis(-reach, reach, SIDE, 0)
    unit = x(1) - x(0)
    ident = digest(label)
    parts: list[Markup] = [sheets.picture(sheets.mosaic(grid), 0, 0, SIDE, SIDE)]
    parts.append(_hatched(empty, ident))
    sigma = np.nan_to_num(artifact.need("sigma")) if "sigma" in artifact else np.zeros_like(mu)
    label_of = artifact.arrays["label_of"].astype(int) if "label_of" in artifact else np.zeros(len(mu), int)
    for p, s, k in zip(mu, sigma, label_of, strict=True):
        rx, ry = (max(1.6, unit * float(v)) for v in s)
        parts.append(
            tag(
                "ellipse",
                cx=x(float(p[0])),
                cy=y(float(p[1])),
                rx=rx,
                ry=ry,
                class_=f"posterior-cloud {class_class(int(k))}",
            )
        )
    parts += [tag("circle", cx=x(0), cy=y(0), r=unit * r, class_="prior contour") for r in (1, 2)]
    frame = tag("rect", x=0.5, y=0.5, width=SIDE - 1, height=SIDE - 1, class_="frame")
    return drawing(
        SIDE, SIDE, *clipped(label, (0, 0, SIDE, SIDE), *parts), frame, label=label, class_=f"plane {model_class(m)}"
    )


def cut(artifact: Artifact, m: int, label: str, d: int) -> Markup:
    """The plane through three codes of a model of ``d`` dimensions: what the decoder draws at every place (beneath), the holes
    hatched, the three codes with their posteriors' widths along the plane, and where draws of N(0, I) usually lie, the
    sphere of radius sqrt(d), where the plane meets it (dashed)."""
    grid, empty = artifact.need("grid"), artifact.need("hole").astype(bool)
    mu, reach = np.nan_to_num(artifact.need("mu")), float(artifact.detail.get("reach") or 1.0)
    x, y = Axis(-reach, reach, 0, SIDE), Axis(-reach, reach, SIDE, 0)
    unit = SIDE / (2 * reach)
    parts: list[Markup] = [sheets.picture(sheets.mosaic(grid, gap=True), 0, 0, SIDE, SIDE)]
    parts += [_hatched(empty, digest(label)), sphere(artifact, d)]
    sigma = np.nan_to_num(artifact.need("sigma")) if "sigma" in artifact else np.zeros_like(mu)
    for p, s in zip(mu, sigma, strict=True):
        rx, ry = (max(3.0, unit * float(v)) for v in s)
        parts.append(_arc(x(float(p[0])), y(float(p[1])), rx, ry, f"posterior-ring {model_class(m)}"))
    parts += [tag("circle", cx=x(float(p[0])), cy=y(float(p[1])), r=5, class_="code") for p in mu]
    frame = tag("rect", x=0.5, y=0.5, width=SIDE - 1, height=SIDE - 1, class_="frame")
    inside = clipped(label, (0, 0, SIDE, SIDE), *parts)
    return drawing(SIDE, SIDE, *inside, frame, label=label, class_=f"plane cut {model_class(m)}")


def sphere(artifact: Artifact, d: int) -> Markup:
    """Where a cut of a model of ``d`` dimensions meets the sphere of radius sqrt(d); nothing where it does not meet it in
    what is drawn."""
    unit, away = SIDE / (2 * float(artifact.detail.get("reach") or 1.0)), float(artifact.detail.get("away", 0.0))
    if away >= math.sqrt(d):
        return Markup("")
    a, b = (float(v) for v in artifact.detail.get("origin") or (0.0, 0.0))
    radius = unit * math.sqrt(d - away**2)
    return _arc(SIDE / 2 + unit * a, SIDE / 2 - unit * b, radius, radius, "prior contour")


def _arc(cx: float, cy: float, rx: float, ry: float, class_: str) -> Markup:
    """What of an ellipse lies on a plane's drawing."""
    turn = np.linspace(0, 2 * math.pi, 181)
    px, py = cx + rx * np.cos(turn), cy + ry * np.sin(turn)
    inside = (np.abs(px - SIDE / 2) <= SIDE / 2) & (np.abs(py - SIDE / 2) <= SIDE / 2)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], inside.astype(int), [0]])))
    runs = [polyline(px[a:b], py[a:b], class_) for a, b in zip(edges[::2], edges[1::2], strict=True)]
    return Markup("").join(runs)


def _hatched(empty: Array, ident: str) -> Markup:
    """Holes as hatched runs of cells, row by row."""
    side = len(empty)
    cell = SIDE / side
    d = ""
    for row, line_ in enumerate(empty):
        edges = np.flatnonzero(np.diff(np.concatenate([[0], line_.astype(int), [0]])))
        for start, end in zip(edges[::2], edges[1::2], strict=True):
            d += f"M{start * cell:.1f} {row * cell:.1f}h{(end - start) * cell:.1f}v{cell + 0.3:.1f}h{-(end - start) * cell:.1f}z"
    if not d:
        return Markup("")
    stripe = tag("path", d="M-1 5L5 -1M-1 9L9 -1M3 9L9 3", class_="hatch")
    pattern = tag("pattern", stripe, id=f"hatch-{ident}", width=8, height=8, patternUnits="userSpaceOnUse")
    return Markup("").join(
        [pattern, tag("path", d=d, class_="hole-veil"), tag("path", d=d, fill=f"url(#hatch-{ident})")]
    )


class TrainingCurve(NamedTuple):
    """One model's loss term over epochs, a line a seed: ``m`` its number on the page, ``name`` what stands at its end."""

    m: int
    name: str
    seeds: Sequence[Sequence[float]]


def curves(every: Sequence[TrainingCurve], title: str, label: str) -> Markup:
    """A loss term over epochs on a logarithmic scale; each model's name stands where its first line ends."""
    width, height, left, right, top, bottom = 560, 280, 52, 150, 26, 240
    values = [v for c in every for s in c.seeds for v in s if v > 0 and math.isfinite(v)]
    if not values:
        return Markup("")
    longest = max(len(s) for c in every for s in c.seeds)
    x = Axis(1, max(longest, 2), left, width - right)
    y = Axis(max(min(values) / 1.3, max(values) * 1e-4), max(values) * 1.3, bottom, top, log=True)
    parts, ends = [], []
    for c in every:
        for s in c.seeds:
            shown = np.clip(np.asarray(s, float), y.low, y.high)
            parts.append(polyline(x.many(np.arange(1, len(shown) + 1)), y.many(shown), f"line thin {model_class(c.m)}"))
        last = c.seeds[0]
        ends.append((y(float(np.clip(last[-1], y.low, y.high))), x(len(last)), c))
    names, placed = [], -math.inf
    for py, px, c in sorted(ends, key=lambda e: e[0]):
        names.append(marks(np.array([px]), np.array([py]), marker(c.m), 4, f"dot {model_class(c.m)}"))
        placed = max(py + 4, placed + 14)
        names.append(text(width - right + 8, placed, c.name, f"axis {model_class(c.m)}"))
    return drawing(
        width,
        height,
        svg.y_axis(y, left, width - right, title),
        *parts,
        *names,
        svg.x_axis(x, bottom, say("epoch")),
        label=label,
    )


def spark(lines: Sequence[tuple[int, Sequence[float]]], label: str, log: bool = True) -> Markup:
    """Some lines, each of a model's number and its values, as small as a word."""
    width, height = 240, 40
    every = [v for _, values in lines for v in values if math.isfinite(v) and (v > 0 or not log)]
    if not every:
        return Markup("")
    low, high = min(every), max(every)
    y = Axis(max(low, high * 1e-4), high * 1.05, height - 3, 3, log=True) if log else Axis(low, high, height - 5, 5)
    parts = []
    for m, values in lines:
        x = Axis(0, max(len(values) - 1, 1), 4, width - 8)
        ys = y.many(np.clip(np.asarray(values, float), y.low, y.high))
        xs = x.many(np.arange(len(values)))
        parts.append(polyline(xs, ys, f"line {model_class(m)}"))
        parts.append(marks(xs[-1:], ys[-1:], marker(m), 3.6, f"dot {model_class(m)}"))
    return drawing(width, height, line(0, height - 1, width, height - 1, "rule"), *parts, label=label)


class SweepPoint(NamedTuple):
    """One model of a sweep: where it stands on the axis and what it scored (None: no value)."""

    at: float
    score: Interval | None
    m: int


def sweep(
    steps: Sequence[SweepPoint], title: str, axis: str, label: str, reference: tuple[str, float] | None = None
) -> Markup:
    """A measure over a parameter on a logarithmic axis: means joined, 95 % intervals as whiskers, a reference dashed."""
    width, height, left, top, bottom = 300, 220, 46, 26, 180
    shown = [s for s in steps if s.score is not None]
    if not shown:
        return Markup("")
    spread = [v for s in shown if s.score for v in (s.score.mean, s.score.low, s.score.high) if v is not None]
    low, high = svg.span([*spread, *([reference[1]] if reference else [])], 0.08)
    y = Axis(low, high, bottom, top)
    ats = [s.at for s in steps]
    x = Axis(min(ats) / 1.25, max(ats) * 1.25, left, width - 6, log=True)
    parts = [svg.y_axis(y, left, width, title)]
    if reference:
        parts += [
            line(left, y(reference[1]), width, y(reference[1]), "prior"),
            text(left + 4, y(reference[1]) - 5, reference[0], "axis halo-thin"),
        ]
    means = [s.score.mean for s in shown if s.score]
    parts.append(polyline(x.many(np.array([s.at for s in shown])), y.many(np.array(means)), "line thin muted"))
    for s in shown:
        i = s.score
        if i and i.low is not None and i.high is not None:
            parts.append(line(x(s.at), y(i.low), x(s.at), y(i.high), f"whisker {model_class(s.m)}"))
        if i:
            parts.append(marks(np.array([x(s.at)]), np.array([y(i.mean)]), marker(s.m), 4.2, f"dot {model_class(s.m)}"))
    parts.append(svg.x_axis(x, bottom, axis, ats, [words.tidy(a) for a in ats]))
    return drawing(width, height, *parts, label=label)


class ScoreLine(NamedTuple):
    """One line of a small multiple: its ``name``, the colour and marker it keeps in all of them, and its steps."""

    name: str
    colour: int
    steps: Sequence[tuple[float, Interval]]


def multiple(
    every: Sequence[ScoreLine], title: str, axis: str, label: str, mark: float | None = None, log: bool = False
) -> Markup:
    """A measure over a parameter that doubles, a line a series with 95 % intervals; ``mark`` is a place worth a dashed line.
    The series' names stand in the legend of the whole row."""
    width, height, left, top, bottom = 300, 220, 46, 26, 180
    values = [v for s in every for _, i in s.steps for v in (i.mean, i.low, i.high) if v is not None]
    if not values:
        return Markup("")
    low, high = (min(v for v in values if v > 0) / 1.3, max(values) * 1.3) if log else svg.span(values, 0.08)
    y = Axis(low, high, bottom, top, log=log)
    ats = sorted({at for s in every for at, _ in s.steps})
    x = Axis(min(ats) / 1.3, max(ats) * 1.3, left, width - 6, log=True)
    parts = [svg.y_axis(y, left, width, title)]
    if mark is not None:
        parts.append(line(x(mark), top, x(mark), bottom, "prior"))
    for s in every:
        places, means = x.many(np.array([a for a, _ in s.steps])), np.array([i.mean for _, i in s.steps])
        parts.append(polyline(places, y.many(np.clip(means, low, high)), f"line thin {model_class(s.colour)}"))
        for px, (_, i) in zip(places, s.steps, strict=True):
            if i.low is not None and i.high is not None:
                a, b = (y(min(max(v, low), high)) for v in (i.low, i.high))
                parts.append(line(float(px), a, float(px), b, f"whisker {model_class(s.colour)}"))
        parts.append(
            marks(places, y.many(np.clip(means, low, high)), marker(s.colour), 3.6, f"dot {model_class(s.colour)}")
        )
    parts.append(svg.x_axis(x, bottom, axis, ats, [words.tidy(a) for a in ats]))
    return drawing(width, height, *parts, label=label)


def bars_beside(pairs: Mapping[str, Sequence[float]], title: str, m: int, label: str) -> Markup:
    """Per dimension, one bar a series side by side: the first series outlined (the closed form), the others filled."""
    width, height, left, top, bottom = 420, 230, 46, 26, 190
    d = max(len(v) for v in pairs.values())
    peak = max((max(v) for v in pairs.values() if len(v)), default=1.0)
    x, y = Axis(0.5, d + 0.5, left, width - 4), Axis(0, peak * 1.1 or 1.0, bottom, top)
    parts = [svg.y_axis(y, left, width, title)]
    slot = (x(2) - x(1) if d > 1 else 80.0) * 0.8 / len(pairs)
    for n, values in enumerate(pairs.values()):
        for i, v in enumerate(values):
            at = x(i + 1) + (n - len(pairs) / 2) * slot
            style = f"{'outlined' if n == 0 else 'fill'} {model_class(m)}"
            parts.append(
                tag(
                    "rect",
                    x=at,
                    y=y(max(v, 0.0)),
                    width=slot * 0.9,
                    height=max(bottom - y(max(v, 0.0)), 0.6),
                    class_=style,
                )
            )
    parts.append(
        svg.x_axis(
            x, bottom, say("dimension, by falling KL"), [float(i + 1) for i in range(d)], [str(i + 1) for i in range(d)]
        )
    )
    return drawing(width, height, line(left, bottom, width, bottom, "rule"), *parts, label=label)
