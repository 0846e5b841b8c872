"""How many dimensions, how deep, how strongly regularised? What the study ``capacity`` decides, as data.

A *curve* is one kind of model (autoencoder, or VAE with one beta) at one depth, over the latent sizes that were run. Its
*knee* is the smallest latent size that reaches `ENOUGH` of the curve's best R² on held-out images, found seed by seed;
the interval is the t interval of its base-2 logarithm, so a knee of 8 [4, 16] means one doubling either way. What is
recommended is the knee of the VAE that, at its knee, decodes the most valid draws from N(0, I) among those whose R² there
is within `CLOSE` of the best VAE's.

The claims that the study makes of the recommended size are contrasts of two models each, read by
`latentbench.stats.findings.evidence`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from latentbench.stats.cells import Interval, t_interval
from latentbench.stats.findings import evidence
from latentbench.stats.findings.evidence import Measured

ENOUGH = 0.95
"""Share of a curve's best R² that its knee reaches."""
CLOSE = 0.02
"""R² by which a VAE may fall short of the best one and still be recommended."""
SATURATED = 2 * CLOSE
"""R² that sizes beyond the knee may add where a curve has levelled off."""
GRID_FIELDS = re.compile(r":(latent_dim|depth)=[^:]*")
"""The fields of a model's spec that the study varies."""


class Curve(NamedTuple):
    """One kind of model at one depth: ``kind`` its spec without the grid's fields, ``models`` latent size -> spec in rising
    order, and its ``knee`` as a base-2 logarithm (None where no value allows one)."""

    kind: str
    depth: int
    models: Mapping[int, str]
    knee: Interval | None

    @property
    def size(self) -> int:
        """The knee as a latent size that was run."""
        at = self.knee.mean if self.knee else 0.0
        return min(self.models, key=lambda d: abs(math.log2(d) - at))

    @property
    def at_knee(self) -> str:
        """The model at the knee."""
        return self.models[self.size]

    @property
    def largest(self) -> str:
        """The model of the largest size."""
        return self.models[max(self.models)]


class Contrast(NamedTuple):
    """The claim that the model ``more`` scores higher in a metric than the model ``less``."""

    metric: str
    more: str
    less: str


class Saturation(NamedTuple):
    """R² gained from the knee to the largest size (None: they are one, or one has no value), and whether it is below
    `SATURATED`: it ``holds`` (1), fails (-1) or is open (0), with the p of that test (0: nothing was tested)."""

    gained: Interval | None
    holds: int
    p: float = 0.0


class Growth(NamedTuple):
    """Weights at the largest size over those at the knee, and whether they are more: it ``holds`` (1) or fails (-1)."""

    factor: float
    holds: int


class Doubling(NamedTuple):
    """What the next larger size changes in R² and in the valid share of draws from N(0, I), paired by seed."""

    r2: Interval
    valid: Interval


@dataclass(frozen=True)
class Recommendation:
    """The recommended ``curve``, at its knee. ``doubling`` is None where no larger size was run or no seed is shared;
    ``growth`` where the weights of a size were not counted. The contrasts are what is claimed of it: that it
    ``reconstructs`` more than the next smaller size, ``fills`` the prior better than an autoencoder, whose prior empties
    as it grows, and is better for being ``deep``."""

    curve: Curve
    doubling: Doubling | None
    saturation: Saturation
    growth: Growth | None
    reconstructs: tuple[Contrast, ...]
    fills: tuple[Contrast, ...]
    deep: tuple[Contrast, ...]


@dataclass(frozen=True)
class Capacity:
    """Every curve of a run, in order of appearance, and what is recommended (None where no VAE has an R²)."""

    curves: tuple[Curve, ...]
    recommendation: Recommendation | None


def capacity(m: Measured, models: Sequence[str]) -> Capacity:
    """What the study says of these models of a run.

    Raises KeyError where a size of the recommended curve was not run of a curve it is contrasted with.
    """
    curves = curves_of(m, models)
    best = recommended(m, curves)
    return Capacity(curves, _recommendation(m, best, curves) if best else None)


def curves_of(m: Measured, models: Sequence[str]) -> tuple[Curve, ...]:
    """Every curve of these models, in order of appearance; models without a latent size or a depth are on none."""
    found: dict[tuple[str, int], dict[int, str]] = {}
    for model in models:
        cells = [c for (name, _, _), c in m.cells.items() if name == model]
        size = next((c.latent_dim for c in cells if c.latent_dim is not None), None)
        depth = next((c.params.get("depth") for c in cells if c.params), None)
        if size is not None and depth is not None:
            found.setdefault((GRID_FIELDS.sub("", model), int(depth)), {})[size] = model
    return tuple(Curve(k, d, dict(sorted(sizes.items())), _knee(m, sizes)) for (k, d), sizes in found.items())


def _knee(m: Measured, models: Mapping[int, str]) -> Interval | None:
    """The base-2 logarithm of the smallest size with `ENOUGH` of the best R², over seeds."""
    cells = {d: c for d, model in models.items() if (c := m.cell(model, "r2"))}
    seeds = set.intersection(*(set(c.values) for c in cells.values())) if cells else set()
    knees = []
    for seed in sorted(seeds, key=str):
        top = max(c.values[seed] for c in cells.values())
        if top > 0:
            knees.append(math.log2(min(d for d, c in cells.items() if c.values[seed] >= ENOUGH * top)))
    return t_interval(knees) if knees else None


def recommended(m: Measured, curves: Sequence[Curve]) -> Curve | None:
    """The curve whose knee is recommended; None where no VAE was measured."""
    regular = [c for c in curves if c.kind.startswith("vae") and c.knee]
    reached = [(c, r2) for c in regular if (r2 := m.mean(c.at_knee, "r2")) is not None]
    # The best of the VAEs: an autoencoder that keeps half the pixels reconstructs better than any, and compresses nothing.
    top = max((r2 for _, r2 in reached), default=0.0)
    fit = [c for c, r2 in reached if r2 >= top - CLOSE]
    return max(fit, key=lambda c: m.mean(c.at_knee, "validity.normal") or 0.0, default=None)


def _recommendation(m: Measured, best: Curve, curves: Sequence[Curve]) -> Recommendation:
    here, size = best.at_knee, best.size
    smaller = [model for d, model in best.models.items() if d < size][-1:]
    flat = next((c for c in curves if c.kind == best.kind and c.depth == 0), best)
    return Recommendation(
        best,
        _doubling(m, best),
        _saturation(m, best),
        _growth(m, best),
        tuple(Contrast("r2", here, model) for model in smaller),
        _fills(best, next((c for c in curves if c.kind == "ae" and c.depth == best.depth), None)),
        () if flat is best else (Contrast("r2", here, flat.models[size]),),
    )


def _fills(best: Curve, points: Curve | None) -> tuple[Contrast, ...]:
    """The recommended model against the autoencoder of its size, and the largest autoencoder against the smallest."""
    if points is None:
        return ()
    small, large = points.models[min(points.models)], points.largest
    return (
        Contrast("validity.normal", best.at_knee, points.models[best.size]),
        Contrast("validity.normal", small, large),
        Contrast("hole", large, small),
    )


def _doubling(m: Measured, best: Curve) -> Doubling | None:
    larger = next((best.models[d] for d in best.models if d > best.size), None)
    if larger is None:
        return None
    r2, valid = (
        evidence.difference(m.cell(larger, metric), m.cell(best.at_knee, metric))
        for metric in ("r2", "validity.normal")
    )
    return Doubling(r2.interval, valid.interval) if r2 and valid else None


def _saturation(m: Measured, best: Curve) -> Saturation:
    last, here = m.cell(best.largest, "r2"), m.cell(best.at_knee, "r2")
    if last is None or here is None:
        return Saturation(None, 0)
    if last is here:
        return Saturation(None, 1)
    found = evidence.limit(last, here, SATURATED)
    return Saturation(found.interval, found.holds, found.p) if found else Saturation(None, 0)


def _growth(m: Measured, best: Curve) -> Growth | None:
    last, here = m.mean(best.largest, "cost.parameters"), m.mean(best.at_knee, "cost.parameters")
    if not (last and here):
        return None
    return Growth(last / here, 1 if last > here or best.largest == best.at_knee else -1)
