"""What all pairs of a metric's ranked models come to, by the rule of `latentbench.stats.findings.claims`, at once.

The rule is that of `claims.compare`; here it is put to whole arrays of pairs (`latentbench.stats.pairs`), since a page of
300 models has 45,000 of them in each metric.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from latentbench.stats.cells import LEVEL, Cell
from latentbench.stats.families import ALPHA, chances
from latentbench.stats.pairs import PairedRows, paired_rows

EDGE = 1 + 1e-9
"""A difference that equals the least one but for rounding does not exceed it."""


@dataclass(frozen=True)
class AllPairs:
    """``told`` (n, n): whether the model of the row is told to be better than that of the column, which ranks below it.
    ``is_open``: no two share more than one seed; ``is_equivalent``: any two are equivalent."""

    told: NDArray[np.bool_]
    is_open: bool
    is_equivalent: bool


def all_pairs(order: Sequence[Cell]) -> AllPairs:
    """Every two cells of one metric on one page, ranked, the best first."""
    told = np.zeros((len(order), len(order)), bool)
    once = np.array([c.measured_once for c in order])
    is_open = is_equivalent = True
    for rows in paired_rows(order):
        both = once[rows.first] & once[rows.other]
        seen = (rows.n > 1) & ~both
        better, equivalent = np.zeros_like(seen), np.zeros_like(seen)
        for kept, outcomes in ((seen, _over_seeds), (both, _once)):
            if kept.any():
                better[kept], equivalent[kept] = outcomes(order, rows.where(kept))
        told[rows.first, rows.other] = better
        is_open &= bool(((rows.shared < 2) & ~both).all())
        is_equivalent &= bool(equivalent.all())
    return AllPairs(told, is_open, is_equivalent)


Outcomes = tuple[NDArray[np.bool_], NDArray[np.bool_]]
"""Of each pair: whether the first is told to be better, and whether the two are equivalent."""


def _over_seeds(order: Sequence[Cell], rows: PairedRows) -> Outcomes:
    """Pairs that share two seeds or more."""
    one, n, least = order[0], rows.n, _least(order[0], rows)
    mean = np.nanmean(rows.d, axis=1)
    half = stdtrit(n - 1, (1 + LEVEL) / 2) * np.nanstd(rows.d, axis=1, ddof=1) / np.sqrt(n)
    assert one.family is not None
    adjusted = one.family.all_adjusted(chances(rows.d, rows.size), one.headline)
    shown = (adjusted <= ALPHA) & (np.abs(mean) > least)
    return shown & _ahead(one, mean), ~shown & (np.abs(mean) + half <= least)


def _once(order: Sequence[Cell], rows: PairedRows) -> Outcomes:
    """Pairs of which both were measured once (`latentbench.stats.cells.within_spread`)."""
    one, least = order[0], _least(order[0], rows)
    d = np.nansum(rows.d, axis=1)
    spread = np.array([max((float(x.get("spread", 0.0)) for x in c.details.values()), default=0.0) for c in order])
    value = np.array([c.values.get(None, np.nan) for c in order])
    x, y = value[rows.first], value[rows.other]
    slack = np.maximum(spread[rows.first], spread[rows.other]) * np.maximum(np.abs(x), np.abs(y))
    shown = (np.abs(d) > least) & (np.abs(x - y) > slack)
    return shown & _ahead(one, d), ~shown & (np.abs(d) <= least) & (not one.is_timing)


def _least(one: Cell, rows: PairedRows) -> NDArray[np.float64]:
    """The least differences that matter, in the metric's unit."""
    least = np.maximum(one.least.absolute or 0.0, (one.least.relative or 0.0) * rows.size)
    return np.asarray(least * EDGE)


def _ahead(one: Cell, mean: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether other - first, or that of their distances to a target, puts the first ahead."""
    return np.asarray((mean < 0) == (one.better == "higher"))
