"""A forest plot: correlations with their intervals, a row each, about the line of 0."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from markupsafe import Markup

from latentbench.report.drawing import svg
from latentbench.report.drawing.svg import Axis, drawing, line, marks, tag, text
from latentbench.stats.cells import Interval

ROW, TOP = 19, 8
WIDE, NARROW = (760, 250, "wide"), (360, 190, "narrow")
"""Pixels of a plot and of its column of names, and the class of its drawing: on a screen, and on a phone."""


class Row(NamedTuple):
    """A name, an interval within [-1, 1], and whether it is told (filled) or not (hollow)."""

    name: str
    at: Interval
    told: bool


def forest(rows: Sequence[Row], title: str, label: str) -> Markup:
    """The rows from the top, drawn for a screen and once more for a phone, of which the page shows that which has the room;
    nothing for none."""
    return Markup("").join(_drawn(rows, title, label, *size) for size in (WIDE, NARROW)) if rows else Markup("")


def _drawn(rows: Sequence[Row], title: str, label: str, width: int, names: int, name: str) -> Markup:
    bottom = TOP + ROW * len(rows) + 4
    x = Axis(-1.0, 1.0, names, width - 14)
    parts = [svg.x_axis(x, bottom, title), line(x(0.0), TOP, x(0.0), bottom, "axis")]
    for k, row in enumerate(rows):
        y = TOP + ROW * (k + 0.5)
        parts.append(text(names - 12, y + 4, row.name, "axis", "end"))
        if row.at.low is not None and row.at.high is not None:
            parts.append(line(x(max(row.at.low, -1)), y, x(min(row.at.high, 1)), y, "whisker m0"))
        if row.told:
            parts.append(marks(np.array([x(row.at.mean)]), np.array([y]), "circle", 4.6, "dot m0"))
        else:
            parts.append(tag("circle", cx=x(row.at.mean), cy=y, r=4.2, class_="front-ring m0"))
    return drawing(width, bottom + 40, *parts, label=label, class_=f"trade-off {name}")
