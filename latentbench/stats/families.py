"""Claims that are made together: what the chance of two models' difference comes to among all of a page.

A page compares every two models in every metric. With 5 % for each claim the same model under two names is called apart
on most pages, so the p-values of a page are adjusted together (Holm 1979), in two families at 5 % each:

    headline    all pairs of models, in the metrics that a headline rests on (declared so)
    every       all pairs of models, in all metrics: what is claimed of a metric that no headline rests on

The p-value of a pair is that of the paired t-test over the seeds both have; of a metric with a target it is the distances
to it that are compared. What was measured once has no p-value and is in no family: it differs or it does not.

Holm's adjustment of one p-value hangs on the others only through how many of them are smaller, so a family is a sorted list
and a claim needs no name to be found in it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtr

from latentbench.stats.cells import LEVEL, Cell, Interval, comparable
from latentbench.stats.intervals import group_means
from latentbench.stats.pairs import alike, compared, may_be_claimed, paired_rows

if TYPE_CHECKING:
    from jaxtyping import Float64

ALPHA = 1 - LEVEL
"""Chance of any false claim in a family."""
ROUNDING = 1e-12
"""Differences of less than this share of the values are none: what is left when equal numbers are subtracted."""


class Family:
    """The claims of a page: all pairs of models of one run, one data set and one latent size, in each metric."""

    def __init__(self, *groups: Iterable[Cell]) -> None:
        """``groups``: the cells of every model, metric and split, one group for each run folder that the page shows."""
        self._groups = tuple(map(tuple, groups))

    @cached_property
    def _chances(self) -> tuple[_Sorted, _Sorted]:
        """The p-values of the headlines, and of all."""
        every, headlines = [np.empty(0)], [np.empty(0)]
        for group in (group for cells in self._groups for group in alike(cells)):
            asked = np.array([c.headline for c in group])
            for block in paired_rows(group, may_be_claimed(group)):
                rows = block.where(block.n > 1)
                if rows.size.size:
                    every.append(chances(rows.d, rows.size))
                    headlines.append(every[-1][asked[rows.other]])
        return _Sorted(np.concatenate(headlines)), _Sorted(np.concatenate(every))

    @property
    def size(self) -> tuple[int, int]:
        """How many claims each family has: headline, every."""
        return len(self._chances[0].p), len(self._chances[1].p)

    def claims(self, cell: Cell) -> int:
        """How many claims those of a cell are made with."""
        return self.size[not cell.headline]

    def tells(self, headline: bool) -> bool:
        """Whether any p-value of the family, adjusted, is at most `ALPHA`: else nothing is told."""
        return bool((self._chances[not headline].adjusted_p[:1] <= ALPHA).any())

    def adjusted(self, p: float, headline: bool) -> float:
        """A p-value of this page, adjusted for all of its family; in [p, 1]."""
        return float(self._chances[not headline].adjusted(np.array(p)))

    def all_adjusted(self, p: NDArray[np.float64], headline: bool) -> NDArray[np.float64]:
        """The same of many."""
        return self._chances[not headline].adjusted(p)


class _Sorted:
    """P-values in rising order, and what Holm's adjustment makes of each."""

    def __init__(self, p: ArrayLike) -> None:
        self.p = np.sort(np.asarray(p, float))
        self.adjusted_p = np.maximum.accumulate(np.minimum(1.0, np.arange(len(self.p), 0, -1) * self.p))
        self._smaller = np.concatenate([[0.0], self.adjusted_p])

    def adjusted(self, p: NDArray[np.float64]) -> NDArray[np.float64]:
        # A p-value computed twice may differ in its last digit, and must find itself. Those asked for go in rising order:
        # among millions each is then found near the one before, which is still at hand.
        asked = np.ravel(p * (1 - 1e-9))
        order = np.argsort(asked)
        k = np.empty(len(asked), np.intp)
        k[order] = np.searchsorted(self.p, asked[order])
        found = np.maximum(self._smaller[k], np.minimum(1.0, np.maximum(1, len(self.p) - k) * np.ravel(p)))
        return np.asarray(found.reshape(np.shape(p)))


def together(*groups: Iterable[Cell]) -> list[list[Cell]]:
    """The same cells, group by group, such that all their claims are made together."""
    kept = [list(group) for group in groups]
    family = Family(*kept)
    return [[replace(c, family=family) for c in group] for group in kept]


def difference(first: Cell, other: Cell) -> Interval | None:
    """``other - first``, paired by seed; of a metric with a target, of the distances to it. None where they share no
    seed."""
    a, b = compared(first), compared(other)
    shared = {s: b[s] - a[s] for s in b if s in a}
    return other.over_seeds(shared) if shared else None


def sound(first: Cell, other: Cell) -> bool:
    """Whether two values may be compared: neither of a metric that failed its self-check, nor a time that cannot rank,
    nor nats of two likelihoods."""
    proven = not (first.unproven or other.unproven)
    return proven and first.rankable and other.rankable and comparable((first, other))


def paired_values(first: Cell, other: Cell) -> list[float]:
    """``other - first`` at each seed both have, or the mean of each split that their seeds were dealt to; empty where
    that is one or none, which tells no chance."""
    a, b = compared(first), compared(other)
    shared = {s: b[s] - a[s] for s in b if s in a}
    each = list(shared.values())
    if other.splits:
        each = group_means(each, [other.splits[s] for s in shared])
    return each if len(each) > 1 else []


def chance(first: Cell, other: Cell) -> float | None:
    """Two-sided p of "the two are equal", on its own; None where nothing is paired over two seeds or more, or the two are
    not `sound`."""
    d = paired_values(first, other)
    if not d or not sound(first, other):
        return None
    return float(chances(np.array([d]), np.array([_size(first, other)]))[0])


def _size(first: Cell, other: Cell) -> float:
    return max(abs(c.interval.mean) for c in (first, other) if c.interval)


def chances(
    d: Float64[NDArray[np.float64], "pairs seeds"], size: Float64[NDArray[np.float64], " pairs"]
) -> Float64[NDArray[np.float64], " pairs"]:
    """Two-sided p of the paired t-test of each row of differences ``d`` (pairs, seeds), where the values are of ``size``
    (pairs,); NaN where a pair lacks a seed, two numbers or more in each row. Shape (pairs,), in [0, 1].

    Where n differences are one and the same number other than 0 a t-test has no spread to go by and would say 0. Of two
    independent draws from one distribution no single difference but 0 comes with probability above 1/4 (values c apart
    form chains, and the even and the odd links of each share its mass), so n equal ones come with ``4^(1 - n)`` at most:
    that is their p.
    """
    there, nothing = ~np.isnan(d), ROUNDING * size
    n: Any = d.shape[1]
    if there.all():
        mean, sd = d.mean(1), d.std(1, ddof=1)
    else:
        n = there.sum(1)
        mean = np.where(there, d, 0.0).sum(1) / n
        sd = np.sqrt(np.where(there, (d - mean[:, None]) ** 2, 0.0).sum(1) / (n - 1))
    flat = sd <= nothing
    p = 2 * stdtr(n - 1, -np.abs(mean) * np.sqrt(n) / np.where(flat, 1.0, sd))
    return np.asarray(np.where(flat, np.where(np.abs(mean) <= nothing, 1.0, 4.0 ** (1 - n)), p))
