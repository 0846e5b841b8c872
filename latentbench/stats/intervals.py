"""How sure is a number? Intervals over seeds, paired differences, and p-values for families of claims.

Symbols: ``x_1 .. x_n`` one value a seed; ``m`` their mean; ``s`` their standard deviation (n - 1 in the denominator);
``t_n`` the two-sided quantile of Student's t with n - 1 degrees of freedom.

    interval    m +- t_n s / sqrt(n)        Student 1908; a percentile bootstrap at n = 5 covers 84 %, not 95 %
    paired      the same of the differences a_i - b_i of equal seeds: models share data order, pairs and prior draws
    tied        the paired interval contains 0
    Welch       the difference of two means over different seeds, each side with a spread of its own
    Holm        K claims at once: the i-th smallest p-value counts K - i + 1 times

The t-interval is exact for normal values. Where a measure has a bound and the values lie close to it, they are skewed
and the interval covers less than it says (an exponential: 88 % at n = 6), so it is labelled `Interval.approximate` and
cut at the bound: the true mean cannot lie beyond, so the cut costs no coverage. The label goes by the sample, so a
skewed sample may also escape it: docs/coverage.md has the measured coverage.

Every interval is conditional on one split of the data and one judge: it tells how much the *training seed* matters,
not how much another split or another judge would. Where seeds were dealt to several splits, values of one split are no
independent ones: their means are what the interval is of (``groups``), and it covers split and judge as well.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaincinv, ndtr, stdtr, stdtrit

LEVEL = 0.95
"""Confidence of every interval, unless another is asked for."""
EXACT = 20
"""Up to this many seeds the sign-flip test goes through all 2^n patterns."""
FLIPS = 100_000
"""Random patterns that stand for all of them beyond `EXACT` seeds."""
MOST_SEEDS = 1000
"""Where more than this would be needed to see a difference, no number is given."""
POWER = 0.8
"""The chance with which so many seeds see it."""
GRID = (np.arange(1000) + 0.5) / 1000
"""Where quantiles are taken that stand for a whole distribution."""
CLOSE = 2.0
"""A bound is close where it lies within this many standard deviations of the mean. Positive values whose mean is 2
standard deviations have a coverage of 93 % at n = 6, those whose mean is 1.4 of 91 % (gamma-distributed)."""

Bounds = tuple[float | None, float | None]
"""A measure's lowest and highest possible value; None where there is none."""
UNBOUNDED: Bounds = (None, None)

NEAR_A_BOUND = "the values lie close to a bound of the measure, where they are skewed"
AT_A_BOUND = "every seed gave the measure's bound itself, which leaves their spread unknown"


@dataclass(frozen=True)
class Interval:
    """A mean, or another estimate of location, with its interval; ``low``, ``high`` and ``sd`` are None for fewer than
    two values. ``approximate`` says why the interval may cover less than it claims; empty where nothing speaks for
    that. ``n`` values are behind it; ``groups`` independent ones where that are fewer, else None."""

    mean: float
    low: float | None
    high: float | None
    sd: float | None
    n: int
    approximate: str = ""
    groups: int | None = None

    @property
    def independent(self) -> int:
        """How many independent values are behind it."""
        return self.n if self.groups is None else self.groups

    @property
    def half(self) -> float | None:
        """Half the interval's width, the longer arm of one that is not symmetric; None where there is no interval."""
        if self.low is None or self.high is None:
            return None
        # Both arms of a symmetric interval are alike but for the last digit, and one that was cut keeps the other.
        return max(self.high - self.mean, self.mean - self.low)

    @property
    def side(self) -> int:
        """Which side of 0 the whole interval lies on: 1 above, -1 below, 0 where it contains 0 or there is none."""
        if self.low is None or self.high is None:
            return 0
        return 1 if self.low > 0 else -1 if self.high < 0 else 0


@dataclass(frozen=True)
class Paired:
    """The mean difference a - b over the seeds both have. ``sign_flip_p``: two-sided exact p of the sign-flip test;
    ``tied``: the interval contains 0 (or there is none)."""

    difference: Interval
    sign_flip_p: float
    tied: bool


@cache
def quantile(n: int, level: float = LEVEL) -> float:
    """t_n: the two-sided quantile of Student's t for n >= 2 values."""
    return float(stdtrit(n - 1, (1 + level) / 2))


def t_interval(
    values: Iterable[float], level: float = LEVEL, bounds: Bounds = UNBOUNDED, groups: Iterable[int] | None = None
) -> Interval:
    """Mean and t-interval, ``m ± t_n s / sqrt(n)``, in the unit of the values (Student 1908).

    ``groups`` names the group of each value, where those of one group hang together: then the means of the groups are
    the x_i, which is exact for equally large ones. ``bounds`` are the lowest and highest value a mean can have: the interval is cut there and is `Interval.approximate`
    where the values lie close. Raises ValueError where there is no value, one is not finite, or ``level`` is not
    between 0 and 1.
    """
    x = list(values)
    if not x:
        raise ValueError("an interval needs at least one value, got none")
    if not 0 < level < 1:
        raise ValueError(f"level {level} of an interval is not between 0 and 1")
    if odd := [v for v in x if not math.isfinite(v)]:
        raise ValueError(f"an interval needs finite values, got {odd[0]}")
    if groups is not None:
        one = t_interval(group_means(x, groups), level, bounds)
        return replace(one, n=len(x), groups=one.n)
    n, mean = len(x), math.fsum(x) / len(x)
    if n < 2:
        return Interval(mean, None, None, None, n)
    sd = math.sqrt(math.fsum((v - mean) ** 2 for v in x) / (n - 1))
    half = quantile(n, level) * sd / math.sqrt(n)
    bottom, top = (-math.inf if bounds[0] is None else bounds[0]), (math.inf if bounds[1] is None else bounds[1])
    # A mean beyond its bounds (a rounding error, a record of another version) keeps an interval that contains it.
    low, high = min(max(mean - half, bottom), mean), max(min(mean + half, top), mean)
    return Interval(mean, low, high, sd, n, _near(mean, sd, bottom, top))


def group_means(x: Sequence[float], groups: Iterable[int]) -> list[float]:
    """The mean of each group's values, in the order in which the groups appear: (n,) -> (groups,)."""
    by: dict[int, list[float]] = {}
    for value, group in zip(x, groups, strict=True):
        by.setdefault(group, []).append(value)
    return [math.fsum(some) / len(some) for some in by.values()]


def _near(mean: float, sd: float, bottom: float, top: float) -> str:
    """Why an interval of values between two bounds is approximate."""
    if bottom < mean - CLOSE * sd and mean + CLOSE * sd < top:
        return ""
    return NEAR_A_BOUND if sd else AT_A_BOUND


def t_test(difference: Interval) -> float:
    """Two-sided p of "the mean is 0" (Student 1908), in [0, 1]: below 1 - level exactly where the interval of that
    level leaves 0 out. 1 where there is no interval, or where every value is 0."""
    if difference.sd is None or difference.mean == 0:
        return 1.0
    if difference.sd == 0:
        return 0.0
    n = difference.independent
    return float(2 * stdtr(n - 1, -abs(difference.mean) * math.sqrt(n) / difference.sd))


@dataclass(frozen=True)
class Unpaired:
    """The difference of two means, a - b: ``difference`` with its interval (its ``sd`` is the standard error, its ``n``
    the number of all values), the degrees of freedom ``df`` and the two-sided ``p`` of "the means are equal"."""

    difference: Interval
    df: float
    p: float


def welch(a: Iterable[float], b: Iterable[float], level: float = LEVEL, aside: float = 0.0) -> Unpaired:
    """Welch's t for two means whose spreads may differ (Welch 1947), or for two means of their lower values.

    With the squared standard errors ``u = s_a^2 / n_a`` and ``v = s_b^2 / n_b``: the interval is ``m_a - m_b +- t_df
    sqrt(u + v)``, ``df = (u + v)^2 / (u^2 / (n_a - 1) + v^2 / (n_b - 1))`` (Satterthwaite 1946).

    ``aside`` in [0, 1) is the share of the highest values of either side that is set aside, where noise only ever adds.
    As in Yuen's test (1974, Biometrika 61, 165-170), here cut at one end: h values are left, their mean is m, and ``u =
    s_w^2 (n - 1) / (h (h - 1))`` with h - 1 degrees of freedom, s_w the standard deviation after each value set aside
    was replaced by the highest that is left.

    No interval and p = 1 where a side has one value left. Where no value varies, p is 0 for different means and 1 for
    equal ones. Raises ValueError where a side has no value, one is not finite, or ``level`` or ``aside`` is out of range.
    """
    if not 0 <= aside < 1:
        raise ValueError(f"share {aside} to be set aside is not in [0, 1)")
    (x, u, n_a), (y, v, n_b) = _side(a, level, aside), _side(b, level, aside)
    mean, n = x.mean - y.mean, x.n + y.n
    if u is None or v is None:
        return Unpaired(Interval(mean, None, None, None, n), math.nan, 1.0)
    error = math.sqrt(u + v)
    if error == 0:
        return Unpaired(Interval(mean, mean, mean, 0.0, n), math.inf, float(mean == 0))
    # Shares of the larger, so that squares of small errors do not vanish.
    df = ((u + v) / max(u, v)) ** 2 / ((u / max(u, v)) ** 2 / (n_a - 1) + (v / max(u, v)) ** 2 / (n_b - 1))
    half = float(stdtrit(df, (1 + level) / 2)) * error
    return Unpaired(Interval(mean, mean - half, mean + half, error, n), df, float(2 * stdtr(df, -abs(mean) / error)))


def lower(values: Iterable[float], aside: float) -> list[float]:
    """The values in rising order without the highest, ``aside`` of them, rounded down."""
    x = sorted(values)
    return x[: len(x) - int(aside * len(x))]


def _side(values: Iterable[float], level: float, aside: float) -> tuple[Interval, float | None, int]:
    """One side of Welch's t: the interval of the values that are left, the squared standard error of their mean, and
    how many are left."""
    x = list(values)
    left = lower(x, aside)
    kept = t_interval(left, level)
    if kept.sd is None:
        return kept, None, len(left)
    h, n = len(left), len(x)
    winsorised = t_interval(left + [left[-1]] * (n - h), level)
    return kept, (winsorised.sd or 0.0) ** 2 * (n - 1) / (h * (h - 1)), h


def sign_flip(differences: Sequence[float] | NDArray[np.float64]) -> float:
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


def paired(
    a: Mapping[Any, float], b: Mapping[Any, float], level: float = LEVEL, groups: Mapping[Any, int] | None = None
) -> Paired:
    """Paired difference a - b over common seeds; ``groups``: seed -> group, where seeds hang together in groups (see
    `t_interval`). Raises ValueError where they have no seed in common."""
    seeds = [s for s in a if s in b]
    if not seeds:
        raise ValueError("a paired difference needs a seed in common, there is none")
    differences = [a[s] - b[s] for s in seeds]
    of = [groups[s] for s in seeds] if groups else None
    interval = t_interval(differences, level, groups=of)
    flipped = sign_flip(group_means(differences, of) if of else differences)
    return Paired(interval, flipped, interval.side == 0)


def seeds_to_see(sd: float, effect: float, alpha: float = 1 - LEVEL, power: float = POWER) -> int | None:
    """How many seeds it takes to see a difference of ``effect``, in the unit of ``sd``, the standard deviation of the
    paired differences: the least n at which a paired t-test at level ``alpha`` (two-sided) finds it with probability
    ``power``, ``P(T > t_n) >= power`` with T a noncentral t of n - 1 degrees of freedom around ``effect sqrt(n) / sd``
    (Cohen 1988).

    It says nothing of whether there is such a difference, and is as uncertain as ``sd``: with that of six seeds, between
    .4 and 6 times as many may be needed. At least 2; None beyond `MOST_SEEDS`, and where ``effect`` is 0. Raises ValueError where ``alpha`` or
    ``power`` is not between 0 and 1, or ``sd`` or ``effect`` is below 0.
    """
    if not (0 < alpha < 1 and 0 < power < 1 and sd >= 0 and effect >= 0):
        raise ValueError(
            f"alpha {alpha} and power {power} lie between 0 and 1, sd {sd} and effect {effect} are 0 or more"
        )
    if effect == 0:
        return None
    low, high = 2, MOST_SEEDS + 1
    while low < high:
        n = (low + high) // 2
        low, high = (low, n) if _power(n, sd, effect, alpha) >= power else (n + 1, high)
    return low if low <= MOST_SEEDS else None


def _power(n: int, sd: float, effect: float, alpha: float) -> float:
    """The chance that a paired t-test of n seeds finds an effect on its own side: P(Z + m > t S), Z a standard normal, m
    the effect in standard errors, S^2 a chi-square over its n - 1 degrees of freedom; the mean over S of Phi(m - t S), at
    `GRID` of its quantiles. (Library routines for the noncentral t give nonsense for large m.)"""
    if sd == 0:
        return 1.0
    m, t = effect * math.sqrt(n) / sd, float(stdtrit(n - 1, 1 - alpha / 2))
    return float(ndtr(m - t * _spreads(n - 1)).mean())


@cache
def _spreads(df: int) -> NDArray[np.float64]:
    """Quantiles of the standard deviation over the true one, at ``df`` degrees of freedom."""
    return np.asarray(np.sqrt(2 * gammaincinv(df / 2, GRID) / df))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment (Holm 1979): p-values of K claims made together, each in its place, such that calling
    those below alpha true errs anywhere with probability alpha at most, however the claims depend on one another.

    With ``p_(1) <= .. <= p_(K)`` the i-th becomes ``max_{j <= i} min(1, (K - j + 1) p_(j))``. In [0, 1], never below
    what was given. Raises ValueError for a value that is no probability.
    """
    if odd := [p for p in p_values if not 0 <= p <= 1]:
        raise ValueError(f"a p-value lies between 0 and 1, got {odd[0]}")
    adjusted, least = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        least = max(least, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = least
    return adjusted
