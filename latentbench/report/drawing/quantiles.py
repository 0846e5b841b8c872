"""Distributions side by side, by their quantiles: a row a column of the data, a box a distribution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from markupsafe import Markup

from latentbench.report.drawing import svg
from latentbench.report.drawing.svg import Axis, drawing, line, tag, text
from latentbench.report.folder import Array

BOX, GAP = 5, 6
"""Height of a box, and the space between two rows."""
REACH = 5.0
"""Standard deviations up to which values are drawn; what lies farther is cut off there."""


class Row(NamedTuple):
    """A column: its ``name``, and the quantiles (5,) of each distribution in it."""

    name: str
    quantiles: Sequence[Array]


def boxes(rows: Sequence[Row], classes: Sequence[str], title: str, label: str) -> Markup:
    """A row for each column: of each distribution, in the style-sheet class of its place, a line from the 5 % to the 95 %
    quantile, a box from 25 % to 75 % and a tick at the median."""
    width, left, top = 540, 156, 4
    every = np.concatenate([q for row in rows for q in row.quantiles]) if rows else np.zeros(1)
    finite = every[np.isfinite(every)]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (-1.0, 1.0)
    x = Axis(max(low, -REACH), max(min(high, REACH), low + 1e-6), left, width - 6)
    tall = BOX * len(classes) + GAP
    bottom = top + tall * len(rows)
    parts = [line(x(t), top, x(t), bottom) for t in x.ticks(5)]
    for k, row in enumerate(rows):
        y = top + tall * k + GAP / 2
        parts.append(text(left - 8, y + (tall - GAP) / 2 + 4, row.name, "tick", "end"))
        for i, (quantiles, class_) in enumerate(zip(row.quantiles, classes, strict=True)):
            parts.append(_box(x, np.clip(np.nan_to_num(quantiles), x.low, x.high), y + i * BOX, class_))
    parts.append(svg.x_axis(x, bottom, title))
    return drawing(width, bottom + 36, *parts, label=label)


def _box(x: Axis, quantiles: Array, y: float, class_: str) -> Markup:
    a, b, c, d, e = (x(float(q)) for q in quantiles)
    middle, high = y + BOX / 2, BOX - 2.0
    return Markup("").join([
        line(a, middle, e, middle, f"whisker {class_}"),
        tag("rect", x=b, y=y + 1, width=max(d - b, 1.0), height=high, class_=f"fill {class_}"),
        tag("rect", x=c - 0.8, y=y + 1, width=1.6, height=high, class_="median"),
    ])  # fmt: skip
