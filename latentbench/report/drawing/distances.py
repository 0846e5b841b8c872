"""Histograms of distances to the codes, over the radius beyond which a place is a hole: one axis for several models."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from markupsafe import Markup

from latentbench.report.drawing import svg
from latentbench.report.drawing.figures import model_class
from latentbench.report.drawing.svg import Axis, drawing, line, tag, text
from latentbench.report.folder import Array
from latentbench.report.wording.language import say

BINS = 48
"""Bins about, over the whole axis; the radius is always the edge of one."""
FARTHEST = 6.0
"""Doublings and halvings of the radius that are drawn; what lies farther off counts in the last bin."""
WIDTH, HEIGHT = 480, 124


class Span(NamedTuple):
    """The common axis, in doublings of the radius: bins of width ``step`` from ``low`` to ``high``, whole multiples of it."""

    low: float
    high: float
    step: float

    @property
    def edges(self) -> Array:
        """Of the bins, ascending; 0, the radius, is one of them."""
        return np.arange(round(self.low / self.step), round(self.high / self.step) + 1) * self.step

    def shares(self, depth: Array) -> Array:
        """The share of ``depth`` (n,) in each bin; the first and the last hold what lies beyond them too."""
        place = np.log2(np.maximum(np.asarray(depth, float), 2.0 ** (-2 * FARTHEST)))
        # A distance is in a hole where it is more than the radius: a bin ends with its upper edge.
        bins = np.ceil(place / self.step).astype(int) - 1 - round(self.low / self.step)
        count = len(self.edges) - 1
        return np.bincount(np.clip(bins, 0, count - 1), minlength=count) / max(1, len(depth))


def span(depths: Sequence[Array]) -> Span:
    """The axis on which the middle 99 % of each of some depths lie, and the radius with room on both sides."""
    ends = [np.log2(np.maximum(np.quantile(d, (0.005, 0.995)), 2.0**-FARTHEST)) for d in depths if len(d)]
    low = max(-FARTHEST, min([-0.6, *(float(e[0]) for e in ends)]))
    high = min(FARTHEST, max([0.6, *(float(e[1]) for e in ends)]))
    step = next((s for s in (1 / 24, 1 / 16, 1 / 12, 1 / 8, 1 / 6, 1 / 4) if (high - low) / s <= BINS), 1 / 3)
    return Span(math.floor(low / step) * step, math.ceil(high / step) * step, step)


def histogram(draws: Array, codes: Array, over: Span, m: int, beyond: str, label: str) -> Markup:
    """Where the prior's ``draws`` lie (bars, in the colour of model ``m``; pale within the radius) and held-out ``codes`` (a
    line), by depth; each fills the same area. ``beyond`` is said over the part that lies in holes."""
    left, top, bottom = 4, 18, HEIGHT - 34
    bars, steps = over.shares(draws), over.shares(codes)
    x = Axis(over.low, over.high, left, WIDTH - 4)
    y = Axis(0, max(float(bars.max()), float(steps.max()), 1e-9), bottom, top + 6)
    edges = over.edges
    parts = []
    for low, share in zip(edges[:-1], bars, strict=True):
        if share > 0:
            a, b = x(float(low)), x(float(low) + over.step)
            style = "band" if low < -over.step / 2 else "fill"
            up = y(float(share))
            parts.append(
                tag("rect", x=a + 0.4, y=up, width=b - a - 0.8, height=bottom - up, class_=f"{style} {model_class(m)}")
            )
    if len(codes):
        xs, ys = x.many(edges.repeat(2)), np.concatenate([[bottom], y.many(steps.repeat(2)), [bottom]])
        parts.append(svg.polyline(xs, ys, "codes-line"))
    parts += [line(x(0), top - 6, x(0), bottom + 5, "radius"), line(left, bottom, WIDTH - 4, bottom, "rule")]
    parts.append(text(x(0) + 6, 12, beyond, "value"))
    every = 1.0 if over.high - over.low > 3 else 0.5
    places = [k * every for k in range(math.ceil(over.low / every), math.floor(over.high / every) + 1)]
    parts.append(
        svg.x_axis(x, bottom, say("distance / hole radius"), places, [svg.tick_label(_round(2.0**t)) for t in places])
    )
    return drawing(WIDTH, HEIGHT, *parts, label=label, class_="distances")


def _round(value: float) -> float:
    return float(f"{value:.2g}")
