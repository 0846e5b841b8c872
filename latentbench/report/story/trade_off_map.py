"""The map of a trade-off: models in the plane of two measures, their intervals as crosses, a ring around those on the front."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from markupsafe import Markup

from latentbench.report.drawing import svg
from latentbench.report.drawing.figures import marker, model_class
from latentbench.report.drawing.svg import Axis, drawing, line, marks, tag, text
from latentbench.stats.cells import Interval

LEFT, TOP, BELOW = 46, 26, 48
LETTER, ROW = 6.6, 13.0
"""Width of a letter and height of a row of a label, about."""


class Size(NamedTuple):
    """Of a map: its ``width`` and ``height`` in pixels, the class of its drawing (``name``), and whether ``each`` point is named,
    or only those that have room for it."""

    width: int
    height: int
    name: str
    each: bool


WIDE, BESIDE, NARROW = Size(760, 420, "wide", True), Size(520, 360, "", False), Size(350, 340, "narrow", False)
"""A map that stands alone, one that stands beside another, and what a phone shows in the place of the first."""


class MapPoint(NamedTuple):
    """A model: its number on the page, its name, its two scores, and whether it is ringed."""

    m: int
    name: str
    x: Interval
    y: Interval
    ringed: bool


def trade_off_map(points: Sequence[MapPoint], x_title: str, y_title: str, label: str, size: Size = WIDE) -> Markup:
    """The models as points with crosses; nothing for no points. With a `WIDE` one goes a `NARROW` one: the page shows that which
    has the room."""
    if not points:
        return Markup("")
    width, height, name, each = size
    x = Axis(*_range([p.x for p in points]), LEFT, width - 12)
    y = Axis(*_range([p.y for p in points]), height - BELOW, TOP)
    crosses, dots = [], []
    for p in points:
        px, py, colour = x(p.x.mean), y(p.y.mean), model_class(p.m)
        if p.x.low is not None and p.x.high is not None:
            crosses.append(line(x(max(p.x.low, x.low)), py, x(min(p.x.high, x.high)), py, f"whisker {colour}"))
        if p.y.low is not None and p.y.high is not None:
            crosses.append(line(px, y(max(p.y.low, y.low)), px, y(min(p.y.high, y.high)), f"whisker {colour}"))
        if p.ringed:
            dots.append(tag("circle", cx=px, cy=py, r=9, class_=f"front-ring {colour}"))
        dots.append(marks(np.array([px]), np.array([py]), marker(p.m), 4.6, f"dot {colour}"))
    placed = zip(points, _labels(points, x, y, each), strict=True)
    names = [text(*at, p.name, "axis halo-thin") for p, at in placed if at]
    axes = [svg.y_axis(y, LEFT, width - 12, y_title), svg.x_axis(x, height - BELOW, x_title)]
    drawn = drawing(width, height, *axes, *crosses, *dots, *names, label=label, class_=f"trade-off {name}".rstrip())
    return drawn + trade_off_map(points, x_title, y_title, label, NARROW) if size is WIDE else drawn


def _range(intervals: Sequence[Interval]) -> tuple[float, float]:
    """What an axis spans: all means, and of the crosses what lies no farther beyond them than they span; the rest is cut off at
    the frame, for one wide interval would leave the models no room."""
    means = [i.mean for i in intervals]
    low, high = min(means), max(means)
    most = (high - low) or abs(high) or 1.0
    ends = [v for i in intervals for v in (i.low, i.high) if v is not None]
    return svg.span([*means, *(min(max(v, low - most), high + most) for v in ends)], 0.07)


def _labels(points: Sequence[MapPoint], x: Axis, y: Axis, is_each: bool) -> list[tuple[float, float] | None]:
    """Where each name begins: beside its point, on the first side where it meets no other point and no name set before; where
    there is none beside it all the same (``is_each``) or nowhere."""
    at = [(x(p.x.mean), y(p.y.mean)) for p in points]
    taken = [(a - 7, b - 7, a + 7, b + 7) for a, b in at]
    out: list[tuple[float, float] | None] = []
    for k, (p, (a, b)) in enumerate(zip(points, at, strict=True)):
        wide = LETTER * len(p.name)
        own = taken[:k] + taken[k + 1 :]
        places = [(a + side, b + up) for up in (4.0, -9.0, 18.0, -22.0, 31.0) for side in (11.0, -11.0 - wide)]
        inside = [(u, v) for u, v in places if u >= LEFT and u + wide <= x.end + 12 and TOP <= v <= y.start]
        free = (
            (u, v)
            for u, v in inside
            if not any(u < r and u + wide > low and v - ROW < d and v > t for low, t, r, d in own)
        )
        at_all_costs = (inside[0] if inside else (a + 11.0, b + 4.0)) if is_each else None
        out.append(found := next(free, at_all_costs))
        if found:
            taken.append((found[0], found[1] - ROW, found[0] + wide, found[1]))
    return out
