"""Posteriors of several models on shared axes, each model a row of four drawings: clouds in the two widest dimensions, widths
by dimension, sigma against mu, KL by dimension.

Symbols as everywhere: ``mu`` and ``sigma`` (n, d) are the posterior's mean and width of each image, d the latent size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from markupsafe import Markup

from latentbench.report.drawing import svg
from latentbench.report.drawing.figures import clipped, model_class
from latentbench.report.drawing.svg import Axis, drawing, line, marks, tag, text
from latentbench.report.folder import Array
from latentbench.report.wording.language import say

SQUARE = 136
"""Side of the drawing of clouds."""
PANEL = (300, 136)
"""Width and height of the other three."""
POINTS = 1200
"""Points drawn at most in one scatter; more are thinned evenly."""
CLOUDS = 80
"""Posteriors drawn as clouds."""
APART = 8.0
"""A model whose axis would be more than so many times the narrowest one's keeps an axis of its own."""
LEFT, TOP, BOTTOM = 32, 20, 113


class Posterior(NamedTuple):
    """One model's posteriors: ``mu`` and ``sigma`` (None: points) of some images, and by dimension the spread of the means,
    the mean of sigma, the KL (None: not defined) and whether it is in use."""

    mu: Array
    sigma: Array | None
    spread: Array
    wide: Array | None
    kl: Array | None
    active: Array

    @property
    def widest(self) -> tuple[int, int]:
        """The two dimensions in which the means spread most."""
        first = np.argsort(-self.spread, kind="stable")[:2]
        return int(first[0]), int(first[-1])


class Axes(NamedTuple):
    """What one model's drawings reach to: the clouds' half side; the lowest and the highest width, and whether a zero stands
    beneath them; mu, sigma and KL."""

    clouds: float
    low: float
    high: float
    zero: bool
    mu: float
    sigma: float
    kl: float


def axes(every: Sequence[Posterior]) -> list[Axes]:
    """The axes of each model, the same for all but for one whose means lie `APART` times as far out as another's."""
    clouds = _together([_reach(p.mu[:CLOUDS][:, list(p.widest)], 2.6, 1.06) for p in every])
    mu = _together([max(2.5, float(np.abs(p.mu).max(initial=0.0)) * 1.05) for p in every])
    widths = [v for p in every for v in (*p.spread.tolist(), *([] if p.wide is None else p.wide.tolist())) if v > 0]
    low, high = max(min([*widths, 1.0]) / 1.5, 1e-4), max([*widths, 1.0]) * 1.5
    sigma = max((1.15, *(float(p.sigma.max(initial=0.0)) * 1.08 for p in every if p.sigma is not None)))
    kl = max((0.1, *(float(p.kl.max(initial=0.0)) * 1.08 for p in every if p.kl is not None)))
    zero = any(p.wide is None for p in every)
    return [Axes(c, low, high, zero, m, sigma, kl) for c, m in zip(clouds, mu, strict=True)]


def _reach(points: Array, least: float, by: float) -> float:
    return max(least, by * float(np.quantile(np.abs(points), 0.99))) if points.size else least


def _together(reaches: Sequence[float]) -> list[float]:
    near = APART * min(reaches, default=0.0)
    shared = max((r for r in reaches if r <= near), default=0.0)
    return [max(r, shared) for r in reaches]


def clouds(p: Posterior, m: int, reach: float, label: str) -> Markup:
    """Posteriors of some images in the two widest dimensions: an ellipse of radii sigma around each mean; without sigma,
    points. Dashed circles: the prior at one and two standard deviations."""
    a, b = p.widest
    mu = p.mu[:CLOUDS]
    x, y = Axis(-reach, reach, 0, SQUARE), Axis(-reach, reach, SQUARE, 0)
    unit = x(1) - x(0)
    parts = [tag("rect", x=0.5, y=0.5, width=SQUARE - 1, height=SQUARE - 1, class_="frame")]
    if p.sigma is not None:
        parts += [
            tag("ellipse", cx=x(float(c[a])), cy=y(float(c[b])), rx=max(0.4, unit * float(s[a])), ry=max(0.4, unit * float(s[b])),
                class_=f"cloud {model_class(m)}")
            for c, s in zip(mu, p.sigma[:CLOUDS], strict=True)
        ]  # fmt: skip
    parts.append(marks(x.many(mu[:, a]), y.many(mu[:, b]), "circle", 1.2, f"dot {model_class(m)}"))
    parts += [tag("circle", cx=x(0), cy=y(0), r=unit * r, class_="prior") for r in (1, 2)]
    names = text(SQUARE - 5, SQUARE - 6, say("dim. {n}", n=a + 1), "axis halo-thin", "end")
    names += text(5, 14, say("dim. {n}", n=b + 1), "axis halo-thin")
    return drawing(SQUARE, SQUARE, *clipped(label, (0, 0, SQUARE, SQUARE), *parts), names, label=label)


def widths(p: Posterior, m: int, axes: Axes, label: str) -> Markup:
    """Per dimension: how far the means spread (filled) and how wide one posterior is (open). Where the open mark lies far
    below the filled one the posterior is a point; where it reaches 1 and the means have no spread, the dimension is unused
    (cross). Logarithmic, with a zero beneath where there are points."""
    d = len(p.spread)
    (width, height), low, high = PANEL, axes.low, axes.high
    bottom = BOTTOM - (14 if axes.zero else 0)
    y = Axis(low, high, bottom, TOP, log=True)
    x = Axis(0.5, d + 0.5, LEFT, width - 4)
    parts = [svg.y_axis(y, LEFT, width, say("sd(mu), mean sigma"), 3), line(LEFT, y(1), width, y(1), "prior")]
    for i in range(d):
        sd = float(np.clip(p.spread[i], low, high))
        s = float(BOTTOM) if p.wide is None else y(float(np.clip(p.wide[i], low, high)))
        parts.append(line(x(i + 1), y(sd), x(i + 1), s, "stem"))
        kind = "circle" if p.active[i] else "x"
        parts.append(marks(np.array([x(i + 1)]), np.array([y(sd)]), kind, 3.6, f"dot {model_class(m)}"))
        parts.append(marks(np.array([x(i + 1)]), np.array([s]), "diamond", 3.6, f"open {model_class(m)}"))
    if axes.zero:
        parts += [line(LEFT, BOTTOM, width, BOTTOM, "rule"), text(LEFT - 6, BOTTOM + 4, "0", anchor="end")]
    return drawing(width, height, *parts, _dimensions(x, d), label=label)


def sigma_against_mu(p: Posterior, m: int, reach: float, top: float, label: str) -> Markup:
    """Every posterior of some images in every dimension: its mean across, its width upwards."""
    width, height = PANEL
    mu = p.mu.ravel()
    sigma = np.zeros_like(mu) if p.sigma is None else p.sigma.ravel()
    keep = np.arange(0, len(mu), max(1, math.ceil(len(mu) / POINTS)))
    x, y = Axis(-reach, reach, LEFT, width - 4), Axis(0, top, BOTTOM, TOP)
    parts = [svg.y_axis(y, LEFT, width, say("sigma over mu"), 3), line(LEFT, y(1), width, y(1), "prior")]
    parts.append(svg.specks(x.many(mu[keep]), y.many(sigma[keep]), 1.6, model_class(m)))
    ticks = x.ticks(5)
    step = ticks[1] - ticks[0] if len(ticks) > 1 else 0.0
    parts += [text(x(t), BOTTOM + 15, svg.tick_label(t, step), anchor="middle") for t in ticks]
    return drawing(width, height, *parts, label=label)


def kl_bars(p: Posterior, m: int, top: float, label: str) -> Markup:
    """KL of each dimension in nats; a cross marks a dimension that is not used. Without a KL its axis alone."""
    width, height = PANEL
    d = len(p.spread)
    x, y = Axis(0.5, d + 0.5, LEFT, width - 4), Axis(0, top, BOTTOM, TOP)
    wide = min((x(2) - x(1) if d > 1 else 120.0) * 0.62, 40.0)
    parts = [svg.y_axis(y, LEFT, width, say("KL, nats"), 3)]
    for i, value in enumerate(() if p.kl is None else p.kl):
        up = y(max(float(value), 0.0))
        parts.append(
            tag("rect", x=x(i + 1) - wide / 2, y=up, width=wide, height=max(BOTTOM - up, 0.6), class_=f"fill {model_class(m)}")
        )  # fmt: skip
        if not p.active[i]:
            parts.append(marks(np.array([x(i + 1)]), np.array([up - 8]), "x", 3.6, "dot muted"))
    if p.kl is None:
        parts.append(
            text((LEFT + width) / 2, (TOP + BOTTOM) / 2, say("KL is not defined."), "axis halo-thin", "middle")
        )
    parts.append(line(LEFT, BOTTOM, width, BOTTOM, "rule"))
    return drawing(width, height, *parts, _dimensions(x, d), label=label)


def _dimensions(x: Axis, d: int) -> Markup:
    """The numbers of the dimensions below a drawing, thinned where there are many."""
    every = range(1, d + 1, max(1, math.ceil(d / 16)))
    return Markup("").join(text(x(float(i)), BOTTOM + 15, str(i), anchor="middle") for i in every)
