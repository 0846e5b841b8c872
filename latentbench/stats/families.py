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

import math
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import accumulate, combinations

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr

from latentbench.records import canonical
from latentbench.stats.cells import LEVEL, Cell, Interval, Seed, comparable, t_interval

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
        found: tuple[list[float], list[float]] = [], []
        by_seeds: dict[int, list[tuple[bool, Sequence[float], float]]] = {}
        for a, b in (pair for cells in self._groups for pair in pairs(cells)):
            if (d := paired_values(a, b)) and sound(a, b):
                by_seeds.setdefault(len(d), []).append((b.headline, d, _size(a, b)))
        for rows in by_seeds.values():
            p = chances(np.array([d for _, d, _ in rows]), np.array([size for _, _, size in rows])).tolist()
            found[1].extend(p)
            found[0].extend(x for x, (headline, _, _) in zip(p, rows, strict=True) if headline)
        return _Sorted(found[0]), _Sorted(found[1])

    @property
    def size(self) -> tuple[int, int]:
        """How many claims each family has: headline, every."""
        return len(self._chances[0].p), len(self._chances[1].p)

    def claims(self, cell: Cell) -> int:
        """How many claims those of a cell are made with."""
        return self.size[not cell.headline]

    def tells(self, headline: bool) -> bool:
        """Whether any p-value of the family, adjusted, is at most `ALPHA`: else nothing is told."""
        return any(p <= ALPHA for p in self._chances[not headline].adjusted_p[:1])

    def adjusted(self, p: float, headline: bool) -> float:
        """A p-value of this page, adjusted for all of its family; in [p, 1]."""
        return self._chances[not headline].adjusted(p)


class _Sorted:
    """P-values in rising order, and what Holm's adjustment makes of each."""

    def __init__(self, p: Sequence[float]) -> None:
        self.p = sorted(p)
        self.adjusted_p = list(accumulate((min(1.0, (len(p) - k) * x) for k, x in enumerate(self.p)), max))

    def adjusted(self, p: float) -> float:
        # A p-value computed twice may differ in its last digit, and must find itself.
        k = bisect_left(self.p, p * (1 - 1e-9))
        before = self.adjusted_p[k - 1] if k else 0.0
        return max(before, min(1.0, max(1, len(self.p) - k) * p))


def together(*groups: Iterable[Cell]) -> list[list[Cell]]:
    """The same cells, group by group, such that all their claims are made together."""
    kept = [list(group) for group in groups]
    family = Family(*kept)
    return [[replace(c, family=family) for c in group] for group in kept]


def pairs(cells: Iterable[Cell]) -> Iterator[tuple[Cell, Cell]]:
    """Every two models of one run, one data set and one latent size, in one metric."""
    groups: dict[tuple[str, ...], list[Cell]] = {}
    for c in cells:
        if c.is_model and c.interval:
            key = (c.run, c.dataset, c.metric, canonical(c.metric_params), c.split)
            groups.setdefault(key, []).append(c)
    for group in groups.values():
        for a, b in combinations(group, 2):
            if a.model != b.model and (a.latent_dim == b.latent_dim or None in (a.latent_dim, b.latent_dim)):
                yield a, b


def difference(first: Cell, other: Cell) -> Interval | None:
    """``other - first``, paired by seed; of a metric with a target, of the distances to it. None where they share no
    seed."""
    a, b = compared(first), compared(other)
    shared = [b[s] - a[s] for s in b if s in a]
    return t_interval(shared) if shared else None


def compared(cell: Cell) -> Mapping[Seed, float]:
    """What is compared of a cell: its values, or their distances to the metric's target."""
    if cell.better == "target" and cell.target is not None:
        return {s: cell.badness(v) for s, v in cell.values.items()}
    return cell.values


def sound(first: Cell, other: Cell) -> bool:
    """Whether two values may be compared: neither of a metric that failed its self-check, nor nats of two likelihoods."""
    return not (first.unproven or other.unproven) and comparable((first, other))


def paired_values(first: Cell, other: Cell) -> list[float]:
    """``other - first`` at each seed both have; empty where that is one or none, which tells no chance."""
    a, b = compared(first), compared(other)
    shared = [b[s] - a[s] for s in b if s in a]
    return shared if len(shared) > 1 else []


def chance(first: Cell, other: Cell) -> float | None:
    """Two-sided p of "the two are equal", on its own; None where nothing is paired over two seeds or more, or the two are
    not `sound`."""
    d = paired_values(first, other)
    if not d or not sound(first, other):
        return None
    return float(chances(np.array([d]), np.array([_size(first, other)]))[0])


def _size(first: Cell, other: Cell) -> float:
    return max(abs(c.interval.mean) for c in (first, other) if c.interval)


def chances(d: NDArray[np.float64], size: NDArray[np.float64]) -> NDArray[np.float64]:
    """Two-sided p of the paired t-test of each row of differences ``d`` (pairs, seeds), where the values are of ``size``
    (pairs,). Shape (pairs,), in [0, 1].

    Where n differences are one and the same number other than 0 a t-test has no spread to go by and would say 0. Of two
    independent draws from one distribution no single difference but 0 comes with probability above 1/4 (values c apart
    form chains, and the even and the odd links of each share its mass), so n equal ones come with ``4^(1 - n)`` at most:
    that is their p.
    """
    n, nothing = d.shape[1], ROUNDING * size
    mean, sd = d.mean(1), d.std(1, ddof=1)
    flat = sd <= nothing
    p = 2 * stdtr(n - 1, -np.abs(mean) * math.sqrt(n) / np.where(flat, 1.0, sd))
    return np.asarray(np.where(flat, np.where(np.abs(mean) <= nothing, 1.0, 4.0 ** (1 - n)), p))
