"""How sure is a number? Intervals over seeds, paired differences, ties.

Symbols: ``x_1 .. x_n`` one value a seed; ``m`` their mean; ``s`` their standard deviation (n - 1 in the denominator).

    interval    m +- t_{n-1} s / sqrt(n)           Student 1908; a percentile bootstrap at n = 5 covers 81 %, not 95 %
    paired      the same of the differences a_i - b_i of equal seeds: models share data order, pairs and prior draws
    tied        the paired interval contains 0: then no rank is shown

Every interval is conditional on one split of the data and one judge: it tells how much the *training seed* matters.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from latentbench.records import Better, Record, canonical, values

LEVEL = 0.95
EXACT = 16
"""Up to this many seeds the sign-flip test enumerates all 2^n flips."""


@dataclass(frozen=True)
class Interval:
    """A mean with its t-interval; ``low`` and ``high`` are None for fewer than two values."""

    mean: float
    low: float | None
    high: float | None
    sd: float | None
    n: int

    @property
    def half(self) -> float | None:
        """Half the interval's width; None where there is no interval."""
        return None if self.low is None or self.high is None else (self.high - self.low) / 2


@dataclass(frozen=True)
class Paired:
    """The mean difference a - b over the seeds both have. ``sign_flip_p``: two-sided exact p of the sign-flip test;
    ``tied``: the interval contains 0 (or there is none); ``more_seeds``: how many more would separate the two if mean
    and spread stayed as they are (None: not tied, or no number can be given)."""

    difference: Interval
    sign_flip_p: float
    tied: bool
    more_seeds: int | None


@dataclass(frozen=True)
class Cell:
    """All values of one metric of one model on one split: ``values`` seed -> value (the key None: measured once)."""

    dataset: str
    model: str
    params: Mapping[str, Any]
    latent_dim: int | None
    metric: str
    metric_params: Mapping[str, Any]
    split: str
    unit: str
    better: Better
    target: float | None
    bounds: tuple[float | None, float | None]
    values: Mapping[int | None, float]
    interval: Interval | None
    status: str
    reason: str
    failed: int
    skipped: int

    @property
    def is_reference(self) -> bool:
        """True for baselines, floors, ceilings and null values."""
        return Record(model=self.model).is_reference

    def badness(self, value: float) -> float:
        """A number that is lower where ``value`` is better in this metric's direction."""
        if self.better == "target" and self.target is not None:
            return abs(value - self.target)
        return -value if self.better == "higher" else value


def quantile(n: int, level: float = LEVEL) -> float:
    """t_{n-1}: the two-sided quantile of Student's t for n values."""
    from scipy.special import stdtrit

    value: float = stdtrit(n - 1, (1 + level) / 2)
    return value


def t_interval(values: Iterable[float], level: float = LEVEL) -> Interval:
    """Mean and t-interval of values. Raises ValueError for none."""
    x = list(values)
    if not x:
        raise ValueError("an interval needs at least one value, got none")
    n, mean = len(x), math.fsum(x) / len(x)
    if n < 2:
        return Interval(mean, None, None, None, n)
    sd = math.sqrt(math.fsum((v - mean) ** 2 for v in x) / (n - 1))
    half = quantile(n, level) * sd / math.sqrt(n)
    return Interval(mean, mean - half, mean + half, sd, n)


def sign_flip(differences: Sequence[float]) -> float:
    """Two-sided p of the sign-flip test (Fisher 1935): the share of the 2^n sign patterns whose sum is at least as far
    from 0 as the one seen. Smallest possible: 2 / 2^n. Above `EXACT` differences 2^16 seeded random patterns serve."""
    n = len(differences)
    seen = abs(math.fsum(differences)) * (1 - 1e-12)
    if n <= EXACT:
        flips: Iterable[Sequence[int]] = itertools.product((1, -1), repeat=n)
        total = 2**n
    else:
        import random

        rng = random.Random(0)
        total = 2**EXACT
        flips = ([rng.choice((1, -1)) for _ in range(n)] for _ in range(total))
    hits = sum(abs(math.fsum(s * d for s, d in zip(f, differences, strict=True))) >= seen for f in flips)
    return hits / total


def paired(a: Mapping[Any, float], b: Mapping[Any, float]) -> Paired:
    """Paired difference a - b over common seeds. Raises ValueError where they have no seed in common."""
    seeds = [s for s in a if s in b]
    if not seeds:
        raise ValueError("a paired difference needs a seed in common, there is none")
    differences = [a[s] - b[s] for s in seeds]
    interval = t_interval(differences)
    tied = interval.low is None or interval.high is None or interval.low <= 0 <= interval.high
    more = _seeds_to_separate(interval) if tied else None
    return Paired(interval, sign_flip(differences), tied, more)


def _seeds_to_separate(d: Interval, most: int = 1000) -> int | None:
    """The least k with t_{n+k-1} s / sqrt(n+k) < |m|: seeds missing if mean and spread stay as they are."""
    if d.sd is None or d.mean == 0:
        return None
    for n in range(d.n + 1, most):
        if quantile(n) * d.sd / math.sqrt(n) < abs(d.mean):
            return n - d.n
    return None


def summarise(records: Iterable[Record]) -> list[Cell]:
    """Value records gathered over seeds, in order of first appearance."""
    groups: dict[str, list[Record]] = {}
    for r in values(records):
        key = canonical(
            [r.dataset, r.dataset_hash, r.model, r.params, r.latent_dim, r.metric, r.metric_params, r.split]
        )
        groups.setdefault(key, []).append(r)
    return [_cell(rows) for rows in groups.values()]


def _cell(rows: Sequence[Record]) -> Cell:
    found = {r.seed: r.value for r in rows if r.value is not None}
    bad = [r for r in rows if r.status != "ok"]
    first = rows[0]
    return Cell(
        dataset=first.dataset,
        model=first.model,
        params=first.params,
        latent_dim=first.latent_dim,
        metric=first.metric,
        metric_params=first.metric_params,
        split=first.split,
        unit=first.unit,
        better=first.better,
        target=first.target,
        bounds=first.bounds,
        values=found,
        interval=t_interval(found.values()) if found else None,
        status="ok" if found else bad[0].status,
        reason=bad[0].reason if bad else "",
        failed=sum(r.status == "failed" for r in rows),
        skipped=sum(r.status == "skipped" for r in rows),
    )


def references(cells: Iterable[Cell], dataset: str, metric: str, split: str = "test") -> dict[str, Cell]:
    """Baselines, floors, ceilings and null values of one metric: name -> cell, only those with a value."""
    return {
        c.model: c
        for c in cells
        if c.is_reference and c.interval and (c.dataset, c.metric, c.split) == (dataset, metric, split)
    }


def leaders(cells: Sequence[Cell], excluded: Iterable[str] = ()) -> tuple[str, ...]:
    """The models that are best in one metric or tied with the best; empty where there is nothing to rank: a metric
    without a direction, or fewer than two models with values. ``excluded`` models (collapsed ones) are never leaders.

    The best mean leads; every other model whose paired interval to it contains 0 is tied with it.
    """
    out = set(excluded)
    rivals = [c for c in cells if c.interval and not c.is_reference and c.better != "none" and c.model not in out]
    if len({c.model for c in cells if c.interval and not c.is_reference}) < 2 or not rivals:
        return ()
    best = min(rivals, key=lambda c: c.badness(c.interval.mean if c.interval else math.inf))
    lead = [best.model]
    scored = {s: best.badness(v) for s, v in best.values.items()}
    for c in rivals:
        if c is best:
            continue
        mine = {s: c.badness(v) for s, v in c.values.items()}
        if not (mine.keys() & scored.keys()) or paired(mine, scored).tied:
            lead.append(c.model)
    return tuple(lead)
