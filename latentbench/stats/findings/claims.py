"""Claims: two models, one metric, over seeds; and who leads a metric.

One rule, whoever asks: a page's bold type, its sentences, the summary, the terminal and the findings. Symbols: ``d`` the
paired difference (of a metric with a target: of the distances to it) with its 95 % interval; ``q`` its p-value, adjusted
for all claims of the page (`latentbench.stats.families`); ``t`` the least difference that matters in the metric.

    higher, lower      q <= 5 % and |d| > t: the difference is *told*
    equivalent         not told, and the interval of d lies within [-t, t]
    not told apart     neither: the interval reaches beyond t, so more seeds may tell
    barred             told, but the better of the two may not be called so: it collapsed, copies, or hardly anything it
                       draws is valid

What was measured once differs where the two numbers do by more than t (timings: also by more than their spread). No
difference is told of a metric that failed its self-check on this data, nor between values that do not compare.

A *leading group* of a metric is the smallest set of models of which every member is told from, and better than, every
model outside. Where only all of them together are one, nobody leads.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from latentbench.stats.cells import Cell, Interval, Paired, comparable, paired, seeds_to_see, within_spread
from latentbench.stats.families import ALPHA, Family, chance, compared, sound, together
from latentbench.stats.families import difference as paired_difference
from latentbench.stats.findings.ranking import EDGE, all_pairs

ComparisonOutcome = Literal[
    "higher", "lower", "equivalent", "not told apart", "barred", "one seed", "no seed in common"
]


@dataclass(frozen=True)
class CellComparison:
    """One metric of ``other`` beside that of ``first``, both with a value; ``difference`` is other - first, paired over
    the seeds both have, None where they share none. ``p`` is that of the paired t-test, ``adjusted`` the same for all
    claims of the page; both None where there is no test. ``threshold``: the least difference that matters, in the
    metric's unit."""

    first: Cell
    other: Cell
    difference: Interval | None
    p: float | None
    adjusted: float | None
    threshold: float

    @property
    def outcome(self) -> ComparisonOutcome:
        """What the difference comes to: which of the two scores *higher*, whatever direction is good."""
        d = self.difference
        if d is None:
            return "no seed in common"
        once = self.first.measured_once and self.other.measured_once
        if d.n < 2 and not once:
            return "one seed"
        if not (self._counted(d) if once else self._shown(d)):
            return "equivalent" if self._within(d, once) else "not told apart"
        return "barred" if self.bars else "higher" if d.mean > 0 else "lower"

    @property
    def bars(self) -> tuple[str, ...]:
        """What bars the one that scores better from being called so; empty for a metric without a direction."""
        return () if self.other.better == "none" or self.difference is None else self.ahead.barred

    @property
    def ahead(self) -> Cell:
        """The one whose mean is better, told or not; of a metric without a direction the lower."""
        d = self.difference.mean if self.difference else 0.0
        return self.other if (d > 0) == (self.other.better == "higher") else self.first

    def _shown(self, d: Interval) -> bool:
        return self.adjusted is not None and self.adjusted <= ALPHA and abs(d.mean) > self.threshold * EDGE

    def _counted(self, d: Interval) -> bool:
        return (
            sound(self.first, self.other)
            and abs(d.mean) > self.threshold * EDGE
            and not within_spread(self.first, self.other)
        )

    def _within(self, d: Interval, once: bool) -> bool:
        """Whether there is no difference that matters. A timing that was taken once has no interval to say so."""
        if once:
            return abs(d.mean) <= self.threshold * EDGE and not self.other.is_timing
        return d.low is not None and d.high is not None and max(-d.low, d.high) <= self.threshold * EDGE

    @property
    def side(self) -> int:
        """1 where ``other`` is told to score higher than ``first``, -1 lower, else 0."""
        return {"higher": 1, "lower": -1}.get(self.outcome, 0)

    @property
    def better(self) -> int:
        """1 where ``other`` is told to be better than ``first``, -1 worse; 0 where that is open or the metric has no
        direction."""
        return 0 if self.other.better == "none" else self.side * (1 if self.other.better == "higher" else -1)

    @property
    def seeds_needed(self) -> int | None:
        """How many seeds it takes to see a difference of ``threshold``, where the two are not told apart and more than
        they have would be needed: the power of a paired t-test at the level that the least of the page's p-values is held
        to, 5 % over the number of claims. None where no number can be given."""
        d = self.difference
        if d is None or not d.sd or d.groups or self.outcome != "not told apart":
            return None
        k = seeds_to_see(d.sd, self.threshold, ALPHA / max(1, _family(self.first, self.other).claims(self.other)))
        return k if k and k > d.independent else None

    @property
    def sign_flip_p(self) -> float | None:
        """P of the companion test, where there are seeds enough for it to follow the interval."""
        if self.difference is None or 2 ** (1 - self.difference.independent) > ALPHA:
            return None
        return _paired(self.first, self.other).sign_flip_p

    @property
    def borderline(self) -> bool:
        """Whether a difference is told that the exact sign-flip test does not follow."""
        return self.side != 0 and (self.sign_flip_p or 0.0) > ALPHA


@dataclass(frozen=True)
class Claim:
    """What is claimed on one metric: every other model against the ``first``; none of them where it failed its
    self-check here."""

    first: Cell
    comparisons: tuple[CellComparison, ...] = ()

    @property
    def metric(self) -> str:
        """The metric's name."""
        return self.first.metric


class Standing(NamedTuple):
    """Who leads a metric: the ``ahead``, its leading group, and the ``rest``, each in the table's order; nobody is ahead
    where no group smaller than all leads. ``open``: one seed, which puts nobody ahead of another; ``equivalent``: nobody
    is ahead, and any two are equivalent."""

    ahead: tuple[str, ...]
    rest: tuple[str, ...]
    open: bool = False
    equivalent: bool = False


def compare(first: Cell, other: Cell) -> CellComparison:
    """``other`` beside ``first``. Raises ValueError where one of them has no value."""
    if first.interval is None or other.interval is None:
        raise ValueError(f"{first.metric}: a claim needs a value of both {first.model} and {other.model}")
    p = chance(first, other)
    return CellComparison(
        first,
        other,
        paired_difference(first, other),
        p,
        None if p is None else _family(first, other).adjusted(p, other.headline),
        other.least.between(first.interval.mean, other.interval.mean),
    )


def _family(first: Cell, other: Cell) -> Family:
    """The claims that one about these two is made with; of cells that are of no page, it is alone."""
    return other.family or Family((first, other))


def claim(cells: Sequence[Cell]) -> Claim | None:
    """The claim on one metric from its row of a table, the first cell being what the others are compared with; None for
    an empty row."""
    if not cells:
        return None
    first, *others = _of_one_page(cells)
    return Claim(first, () if first.unproven else tuple(compare(first, other) for other in others))


def claims(*rows: Sequence[Cell]) -> tuple[Claim, ...]:
    """The claims of several rows; an empty row has none."""
    return tuple(c for row in rows if (c := claim(row)) is not None)


def difference(first: Cell, other: Cell) -> Paired | None:
    """``other - first``, paired by seed; None where they share no seed, where the metric failed its self-check, or
    where the two values do not compare. Its size: whether it is told, `side` says."""
    return _paired(first, other) if sound(first, other) and paired_difference(first, other) else None


def _paired(first: Cell, other: Cell) -> Paired:
    return paired(compared(other), compared(first), groups=other.splits or None)


def side(first: Cell, other: Cell) -> int:
    """1 where ``other`` is told to score higher than ``first``, -1 lower, 0 where that is open."""
    return compare(first, other).side if first.interval and other.interval and difference(first, other) else 0


def leaders(cells: Sequence[Cell], excluded: Iterable[str] = ()) -> tuple[str, ...]:
    """The leading group of one metric, the best mean first; all its models where no smaller group leads. Empty where
    there is nothing to rank: a metric without a direction, one that failed its self-check on this data or whose values do
    not compare, or fewer than two models that may lead. ``excluded`` and barred models never do."""
    order = _ranked(cells, set(excluded))
    return tuple(c.model for c in order[: _lead(order)])


def standing(cells: Sequence[Cell]) -> Standing | None:
    """Who leads one metric; None where there is nothing to rank."""
    order = _ranked(cells, set())
    if not order:
        return None
    ahead = {c.model for c in order[: _lead(order)]}
    able = {c.model for c in order}
    names = [c.model for c in cells if c.model in able]
    if len(ahead) < len(order):
        return Standing(tuple(m for m in names if m in ahead), tuple(m for m in names if m not in ahead))
    every = all_pairs(order)
    return Standing((), tuple(names), every.is_open, every.is_equivalent)


def _of_one_page(cells: Sequence[Cell]) -> Sequence[Cell]:
    """The cells themselves; where they are of no page, the claims of this row are made together."""
    return cells if all(c.family for c in cells) else together(cells)[0]


def _ranked(cells: Sequence[Cell], excluded: set[str]) -> list[Cell]:
    """The models that may lead a metric, the best mean first; empty where there are not two, or nothing to rank."""
    if any(c.unproven for c in cells) or not comparable(cells):
        return []
    able = [c for c in cells if c.interval and not c.is_reference and c.better != "none" and c.rankable]
    able = [c for c in able if c.model not in excluded and not c.barred]
    return sorted(_of_one_page(able), key=_mean_badness) if len({c.model for c in able}) > 1 else []


def _lead(order: Sequence[Cell]) -> int:
    """How many of the ranked models are the leading group; all where no smaller one leads."""
    told, size, k = all_pairs(order).told, min(1, len(order)), 0
    while k < size:
        # Whom a member is not told from belongs to the group too, and with it all that rank above it.
        untold = np.flatnonzero(~told[k, size:])
        size, k = size + (int(untold[-1]) + 1 if untold.size else 0), k + 1
    return size


def _mean_badness(cell: Cell) -> float:
    """Mean over seeds; the distance to a target is taken seed by seed, so errors on both sides do not cancel."""
    return math.fsum(cell.badness(v) for v in cell.values.values()) / len(cell.values)
