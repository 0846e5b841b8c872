"""How sure is a number? Intervals over seeds, paired differences, ties.

Symbols: ``x_1 .. x_n`` one value a seed; ``m`` their mean; ``s`` their standard deviation (n - 1 in the denominator);
``t_n`` the two-sided quantile of Student's t with n - 1 degrees of freedom.

    interval    m +- t_n s / sqrt(n)        Student 1908; a percentile bootstrap at n = 5 covers 81 %, not 95 %
    paired      the same of the differences a_i - b_i of equal seeds: models share data order, pairs and prior draws
    tied        the paired interval contains 0: then no rank is shown

Every interval is conditional on one split of the data and one judge: it tells how much the *training seed* matters,
not how much another split or another judge would.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.special import stdtrit

from latentbench.records import REFERENCE_PREFIXES, SELF_CHECK, Better, Record, canonical, values

LEVEL = 0.95
"""Confidence of every interval, unless another is asked for."""
EXACT = 20
"""Up to this many seeds the sign-flip test goes through all 2^n patterns."""
FLIPS = 100_000
"""Random patterns that stand for all of them beyond `EXACT` seeds."""
MOST_SEEDS = 1000
"""Where more than this would be needed to separate two models, no number is given: they are as good as equal."""

Seed = int | None
"""A training seed; None for what is measured once (references, costs, throughput)."""


@dataclass(frozen=True)
class Interval:
    """A mean with its t-interval; ``low``, ``high`` and ``sd`` are None for fewer than two values."""

    mean: float
    low: float | None
    high: float | None
    sd: float | None
    n: int

    @property
    def half(self) -> float | None:
        """Half the interval's width; None where there is no interval."""
        return None if self.low is None or self.high is None else (self.high - self.low) / 2

    @property
    def side(self) -> int:
        """Which side of 0 the whole interval lies on: 1 above, -1 below, 0 where it contains 0 or there is none."""
        if self.low is None or self.high is None:
            return 0
        return 1 if self.low > 0 else -1 if self.high < 0 else 0


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
    """All values of one metric of one model on one split: ``values`` seed -> value (the key None: measured once).

    ``interval`` is None where there is no value; then ``status`` is failed or skipped and ``reason`` says why.
    ``failed`` and ``skipped`` count the seeds without a value, also where others have one. ``details`` are the named
    extras of the records that have any, by seed. ``unproven`` says why the metric failed its self-check on this data;
    such a metric ranks nobody and no claim rests on it.
    """

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
    values: Mapping[Seed, float]
    interval: Interval | None
    status: str
    reason: str
    failed: int
    skipped: int
    details: Mapping[Seed, Mapping[str, Any]] = field(default_factory=dict)
    run: str = ""
    unproven: str = ""

    @property
    def is_reference(self) -> bool:
        """True for baselines, floors, ceilings and null values."""
        return self.model.startswith(REFERENCE_PREFIXES)

    @property
    def measured_once(self) -> bool:
        """True where there is one number and no seed: an exact count, a reference, a throughput."""
        return set(self.values) == {None}

    @property
    def rankable(self) -> bool:
        """False where a timing says of itself that it is too unsteady to rank by."""
        return all(d.get("rankable", True) for d in self.details.values())

    def badness(self, value: float) -> float:
        """A number that is lower where ``value`` is better in this metric's direction."""
        if self.better == "target" and self.target is not None:
            return abs(value - self.target)
        return -value if self.better == "higher" else value


def quantile(n: int, level: float = LEVEL) -> float:
    """t_n: the two-sided quantile of Student's t for n >= 2 values."""
    return float(stdtrit(n - 1, (1 + level) / 2))


def t_interval(values: Iterable[float], level: float = LEVEL) -> Interval:
    """Mean and t-interval, ``m ± t_n s / sqrt(n)``, in the unit of the values (Student 1908).

    It is symmetric about the mean and so may reach beyond a metric's bounds. Raises ValueError where there is no
    value, one is not finite, or ``level`` is not between 0 and 1.
    """
    x = list(values)
    if not x:
        raise ValueError("an interval needs at least one value, got none")
    if not 0 < level < 1:
        raise ValueError(f"level {level} of an interval is not between 0 and 1")
    if odd := [v for v in x if not math.isfinite(v)]:
        raise ValueError(f"an interval needs finite values, got {odd[0]}")
    n, mean = len(x), math.fsum(x) / len(x)
    if n < 2:
        return Interval(mean, None, None, None, n)
    sd = math.sqrt(math.fsum((v - mean) ** 2 for v in x) / (n - 1))
    half = quantile(n, level) * sd / math.sqrt(n)
    return Interval(mean, mean - half, mean + half, sd, n)


def sign_flip(differences: Sequence[float]) -> float:
    """Two-sided p of the sign-flip test (Fisher 1935, section 21): the share of the 2^n sign patterns whose sum is at
    least as far from 0 as the one seen.

    In [2 / 2^n, 1]; lower speaks more strongly against "no difference". Beyond `EXACT` differences `FLIPS` seeded
    random patterns and the one seen serve. Raises ValueError for no difference.
    """
    d = np.asarray(differences, float)
    if not d.size:
        raise ValueError("a sign-flip test needs at least one difference, got none")
    # A pattern as far from 0 as the one seen must count whatever the order of its additions did to the last digit.
    seen = abs(float(d.sum())) - 1e-12 * float(np.abs(d).sum())
    if d.size > EXACT:
        rng = np.random.default_rng(0)
        signs = (rng.integers(0, 2, (FLIPS // 100, d.size)) * 2.0 - 1.0 for _ in range(100))
        far = sum(int((np.abs(s @ d) >= seen).sum()) for s in signs)
        return (1 + far) / (1 + FLIPS)
    sums = d[:1]  # |sum| is the same with all signs flipped, so the first keeps its own
    for step in d[1:]:
        sums = np.concatenate([sums + step, sums - step])
    return float((np.abs(sums) >= seen).mean())


def paired(a: Mapping[Any, float], b: Mapping[Any, float], level: float = LEVEL) -> Paired:
    """Paired difference a - b over common seeds. Raises ValueError where they have no seed in common."""
    seeds = [s for s in a if s in b]
    if not seeds:
        raise ValueError("a paired difference needs a seed in common, there is none")
    differences = [a[s] - b[s] for s in seeds]
    interval = t_interval(differences, level)
    tied = interval.side == 0
    more = seeds_to_separate(interval, level) if tied else None
    return Paired(interval, sign_flip(differences), tied, more)


def seeds_to_separate(d: Interval, level: float = LEVEL) -> int | None:
    """How many more seeds would bring a tie's interval clear of 0: the least k >= 1 with
    ``t_{n+k} s / sqrt(n + k) < |m|``, mean m and spread s of the differences staying as they are.

    A forecast with an even chance, since m itself is uncertain. None where m = 0, n < 2 or n + k > `MOST_SEEDS`.
    """
    if d.sd is None or d.mean == 0:
        return None
    # t is never below the normal quantile, here with a margin, so the search can start where that one would stop.
    least = (0.999 * quantile(MOST_SEEDS * 1000, level) * d.sd / d.mean) ** 2
    if least > MOST_SEEDS:
        return None
    for n in range(max(d.n + 1, math.floor(least)), MOST_SEEDS + 1):
        if quantile(n, level) * d.sd / math.sqrt(n) < abs(d.mean):
            return n - d.n
    return None


def summarise(records: Iterable[Record]) -> list[Cell]:
    """Value records gathered over seeds, in order of first appearance; records of different runs, data, parameters or
    latent sizes are never gathered."""
    groups: dict[str, list[Record]] = {}
    rows = list(values(records))
    failed = {_checked(r): _why(r) for r in rows if r.model == SELF_CHECK and r.value == 0.0}
    for r in rows:
        if r.model == SELF_CHECK:
            continue
        key = canonical(
            [r.run, r.dataset, r.dataset_hash, r.model, r.params, r.latent_dim, r.metric, r.metric_params, r.split]
        )
        groups.setdefault(key, []).append(r)
    return [_cell(found, failed.get(_checked(found[0]), "")) for found in groups.values()]


def _checked(r: Record) -> tuple[object, ...]:
    """What a self-check holds for: one metric on one data set at one latent size."""
    return r.run, r.dataset, r.dataset_hash, r.latent_dim, r.metric


def _why(check: Record) -> str:
    return "; ".join(map(str, check.detail.get("why", ()))) or "no reason recorded"


def _cell(rows: Sequence[Record], unproven: str) -> Cell:
    found = {r.seed: r.value for r in rows if r.value is not None}
    bad = [r for r in rows if r.value is None]
    first = rows[0]
    status = "ok" if found else "failed" if any(r.status == "failed" for r in bad) else "skipped"
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
        status=status,
        reason="; ".join(dict.fromkeys(r.reason for r in bad if r.reason)),
        failed=sum(r.status == "failed" for r in bad),
        skipped=sum(r.status != "failed" for r in bad),
        details={r.seed: r.detail for r in rows if r.value is not None and r.detail},
        run=first.run,
        unproven=unproven,
    )


def references(cells: Iterable[Cell], dataset: str, metric: str, split: str = "test") -> dict[str, Cell]:
    """Baselines, floors, ceilings and null values of one metric: name -> cell, only those with a value."""
    return {
        c.model: c
        for c in cells
        if c.is_reference and c.interval and (c.dataset, c.metric, c.split) == (dataset, metric, split)
    }


def tied(a: Cell, b: Cell) -> bool:
    """Whether two models cannot be told apart on a measure with a direction.

    Over seeds: the paired interval of their badness contains 0, or there is none. Measured once: exact counts are tied
    where equal; timings where one is not `Cell.rankable`, or where they differ by no more than the wider of their
    spreads (interquartile range over median).
    """
    if a.measured_once and b.measured_once:
        if not (a.rankable and b.rankable):
            return True
        slack = max((float(d.get("spread", 0.0)) for c in (a, b) for d in c.details.values()), default=0.0)
        x, y = a.values[None], b.values[None]
        return abs(x - y) <= slack * max(abs(x), abs(y))
    mine = {s: a.badness(v) for s, v in a.values.items()}
    theirs = {s: b.badness(v) for s, v in b.values.items()}
    return not (mine.keys() & theirs.keys()) or paired(mine, theirs).tied


def comparable(cells: Iterable[Cell]) -> bool:
    """False where the values are nats of different likelihoods, named in their details: a density of continuous pixels
    (Gaussian) and a probability of binary ones (Bernoulli) have no common scale."""
    details = (d for c in cells if not c.is_reference for d in c.details.values())
    return len({d["likelihood"] for d in details if d and d.get("likelihood")}) < 2


def leaders(cells: Sequence[Cell], excluded: Iterable[str] = ()) -> tuple[str, ...]:
    """The models that are best in one metric or tied with the best; empty where there is nothing to rank: a metric
    without a direction, or fewer than two models with values. ``excluded`` models (collapsed ones) are never leaders.

    The best mean leads; every other model that is `tied` with it shares its place. Nobody leads in a metric that
    failed its self-check on this data, or whose values do not compare.
    """
    if any(c.unproven for c in cells) or not comparable(cells):
        return ()
    ranked = [c for c in cells if c.interval and not c.is_reference and c.better != "none"]
    out = set(excluded)
    rivals = [c for c in ranked if c.model not in out]
    if len({c.model for c in ranked}) < 2 or not rivals:
        return ()
    best = min(rivals, key=_mean_badness)
    return (best.model, *(c.model for c in rivals if c is not best and tied(c, best)))


def _mean_badness(cell: Cell) -> float:
    """Mean over seeds; the distance to a target is taken seed by seed, so errors on both sides do not cancel."""
    return math.fsum(cell.badness(v) for v in cell.values.values()) / len(cell.values)
