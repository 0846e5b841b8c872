"""One number over several datasets: the interquartile mean of scores between floor and ceiling.

Symbols: ``v`` a value of a metric at one seed; ``f``, ``c`` that metric's floor and ceiling on the same data in the
same run; ``u = (v - f) / (c - f)`` the score: 0 is what the most flattering junk gets, 1 what real images get.

    IQM        mean of the middle half of all scores of a model, over datasets and seeds together (Agarwal et al.
               2021): as robust as a median, with a narrower interval
    interval   stratified bootstrap: seeds are drawn anew within each dataset, never from one dataset to another

Raw values of different datasets have no common scale; scores have, so only a metric with a floor *and* a ceiling of its
own can be gathered. The anchors are taken as given: the interval holds for these datasets, these splits and judges, and
tells how much the training seed matters.

A plain percentile bootstrap covers 90 to 92 % at 6 seeds, not 95 %: draws from n seeds vary less than the seeds do, by
(n - 1) / n, and their tails are a normal's rather than a t's. Here the percentiles are moved outwards by both
(Hesterberg 2015, the expanded percentile interval). That covers 93 to 95 % where datasets vary alike and 90 % at 6 seeds
where one varies several times as much as another (docs/coverage.md), so every interval here is labelled approximate.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr

from latentbench.records import canonical
from latentbench.stats.cells import Cell
from latentbench.stats.intervals import LEVEL, Interval, quantile

RESAMPLES = 4000
"""Bootstrap draws behind an interval."""
BOOTSTRAP = "a bootstrap over seeds within each dataset"
"""Why an interval over datasets is approximate."""

SeedValues = Mapping[Any, float]
"""Values of one dataset by seed."""


@dataclass(frozen=True)
class OverDatasets:
    """One model's IQM on one metric: ``seeds`` dataset -> number of seeds, in order of appearance; ``twice`` names
    datasets that more than one run measured, where the first one's values were taken."""

    model: str
    metric: str
    metric_params: Mapping[str, Any]
    iqm: Interval
    seeds: Mapping[str, int]
    twice: tuple[str, ...] = ()


def interquartile_mean(values: ArrayLike) -> NDArray[np.float64]:
    """Mean of what is left of the last axis when its lowest and its highest quarter (rounded down to whole values) are
    taken away; IQM(0 .. 19) = 9.5. In the unit of the values (Agarwal et al. 2021, section 4.2; a 25 % trimmed mean).

    Shape: (..., n) -> (...). Raises ValueError for n = 0.
    """
    x = np.asarray(values, float)
    if not x.ndim or not x.shape[-1]:
        raise ValueError("an interquartile mean needs at least one value, got none")
    cut, n = x.shape[-1] // 4, x.shape[-1]
    middle = np.partition(x, (cut, n - cut - 1), axis=-1)[..., cut : n - cut]
    return np.asarray(middle.mean(-1))


def stratified_bootstrap(strata: Sequence[ArrayLike], resamples: int = RESAMPLES, seed: int = 0) -> NDArray[np.float64]:
    """The IQM of ``resamples`` draws with replacement, as many from each stratum as it has values: shape (resamples,).

    The same ``seed`` draws the same places. Raises ValueError where a stratum is empty or there is none.
    """
    samples = [np.asarray(s, float).ravel() for s in strata]
    if not samples or not all(s.size for s in samples):
        raise ValueError("a stratified bootstrap needs a value in every stratum")
    rng = np.random.default_rng(seed)
    drawn = [s[rng.integers(0, s.size, (resamples, s.size))] for s in samples]
    return interquartile_mean(np.concatenate(drawn, axis=1))


def iqm_interval(
    values: Mapping[str, SeedValues], level: float = LEVEL, resamples: int = RESAMPLES, expanded: bool = True
) -> Interval:
    """The IQM of ``{dataset: {seed: value}}`` with its bootstrap interval, labelled approximate.

    With N values in D datasets the percentiles are those that a normal's tails would have to be for an interval of
    ``sqrt(N / (N - D))`` times the quantile of t with N - D degrees of freedom; ``expanded=False`` leaves them at
    (1 ± level) / 2. A dataset with more seeds weighs more. No interval where a dataset has fewer than two seeds: how
    much its seeds vary is then unknown. Raises ValueError where there is no value, one is not finite, or ``level`` is
    not between 0 and 1.
    """
    strata = [list(seeds.values()) for seeds in values.values() if seeds]
    pooled = [v for s in strata for v in s]
    if not pooled:
        raise ValueError("an interval needs at least one value, got none")
    if not 0 < level < 1:
        raise ValueError(f"level {level} of an interval is not between 0 and 1")
    if odd := [v for v in pooled if not math.isfinite(v)]:
        raise ValueError(f"an interval needs finite values, got {odd[0]}")
    n, estimate = len(pooled), float(interquartile_mean(pooled))
    if min(map(len, strata)) < 2:
        return Interval(estimate, None, None, None, n)
    free = n - len(strata)
    outside = float(ndtr(-math.sqrt(n / free) * quantile(free + 1, level))) if expanded else (1 - level) / 2
    drawn = stratified_bootstrap(strata, resamples)
    low, high = np.quantile(drawn, [outside, 1 - outside])
    return Interval(estimate, float(low), float(high), float(drawn.std(ddof=1)), n, BOOTSTRAP)


def anchors(cells: Iterable[Cell], of: Cell) -> tuple[float, float] | None:
    """Floor and ceiling of a cell's metric on the same data in the same run: the most flattering floor and the least
    flattering ceiling. None where one is missing, where the ceiling is not better than the floor, or where the metric
    has no direction or failed its self-check."""
    where = _where(of)
    return _ends(of, [c for c in cells if c.role in ("floor", "ceiling") and _where(c) == where])


def _where(c: Cell) -> tuple[str, ...]:
    """What a cell and its anchors have in common."""
    return c.run, c.dataset, c.metric, c.split, canonical(c.metric_params)


def _ends(of: Cell, cells: Sequence[Cell]) -> tuple[float, float] | None:
    """Floor and ceiling of a cell among those of its metric on the same data."""
    if of.better not in ("higher", "lower") or of.unproven:
        return None
    beside = [c for c in cells if c.interval and c.latent_dim in (None, of.latent_dim)]
    floors = [c.interval.mean for c in beside if c.interval and c.role == "floor"]
    ceilings = [c.interval.mean for c in beside if c.interval and c.role == "ceiling"]
    if not floors or not ceilings:
        return None
    floor, ceiling = min(floors, key=of.badness), max(ceilings, key=of.badness)
    return (floor, ceiling) if of.badness(ceiling) < of.badness(floor) else None


def scores(of: Cell, floor: float, ceiling: float) -> dict[Any, float]:
    """A cell's values between its anchors, by seed: 0 at the floor, 1 at the ceiling, beyond where a value lies beyond;
    higher is better whatever the metric's direction."""
    return {seed: (v - floor) / (ceiling - floor) for seed, v in of.values.items() if seed is not None}


def across_datasets(cells: Sequence[Cell], split: str = "test", level: float = LEVEL) -> list[OverDatasets]:
    """Every model's IQM on every metric that has values, floor and ceiling on two datasets or more, in order of
    appearance: a model is known by its spec, a metric by its name and parameters, a dataset by its name. The latent
    size is the one each run used. Where a dataset appears twice for a model, its first values are taken."""
    by_metric: dict[tuple[str, str, str], dict[str, dict[Any, float]]] = {}
    first: dict[tuple[str, str, str], Cell] = {}
    twice: dict[tuple[str, str, str], dict[str, None]] = {}
    beside: dict[tuple[str, ...], list[Cell]] = {}
    for cell in cells:
        if cell.role in ("floor", "ceiling"):
            beside.setdefault(_where(cell), []).append(cell)
    for cell in cells:
        if cell.is_reference or cell.split != split or not (ends := _ends(cell, beside.get(_where(cell), ()))):
            continue
        key = (cell.metric, cell.model, canonical(cell.metric_params))
        if cell.dataset in by_metric.setdefault(key, {}):
            twice.setdefault(key, {})[cell.dataset] = None
        elif by_seed := scores(cell, *ends):
            by_metric[key][cell.dataset] = by_seed
            first.setdefault(key, cell)
    return [
        OverDatasets(
            first[key].model, first[key].metric, first[key].metric_params, iqm_interval(by, level),
            {dataset: len(seeds) for dataset, seeds in by.items()}, tuple(twice.get(key, ())),
        )
        for key, by in by_metric.items()
        if len(by) > 1
    ]  # fmt: skip
