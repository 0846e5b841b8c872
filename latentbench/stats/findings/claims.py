"""Claims: two models, one metric, over seeds.

A difference is *shown* where its paired 95 % interval leaves 0 out; with an interval that contains 0 the two are tied,
and with one seed, or none in common, the matter is open. No difference is shown of a metric that failed its self-check
on this data, nor between values that do not compare.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from latentbench.stats.cells import LEVEL, Cell, Paired, comparable, leaders, paired

ComparisonOutcome = Literal["higher", "lower", "tied", "one seed", "no seed in common"]


@dataclass(frozen=True)
class CellComparison:
    """One metric of ``other`` beside that of ``first``, both with a value; ``paired`` is other - first over the seeds
    both have, None where they share none."""

    first: Cell
    other: Cell
    paired: Paired | None

    @property
    def outcome(self) -> ComparisonOutcome:
        """What the paired difference comes to: which of the two scores *higher*, whatever direction is good."""
        if self.paired is None:
            return "no seed in common"
        if self.paired.difference.n < 2:
            return "one seed"
        if self.paired.tied:
            return "tied"
        return "higher" if self.paired.difference.mean > 0 else "lower"

    @property
    def sign_flip_p(self) -> float | None:
        """P of the companion test, where there are seeds enough for it to follow the interval."""
        if self.paired is None or 2 ** (1 - self.paired.difference.n) > 1 - LEVEL:
            return None
        return self.paired.sign_flip_p

    @property
    def borderline(self) -> bool:
        """Whether a difference is shown that the exact sign-flip test does not follow."""
        p = self.sign_flip_p
        return self.outcome in ("higher", "lower") and p is not None and p > 1 - LEVEL


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
    """Who is ahead in one metric: the ``ahead``, best or tied for best, and the ``rest``, each in the table's order.
    ``open``: one seed, which puts nobody ahead of another."""

    ahead: tuple[str, ...]
    rest: tuple[str, ...]
    open: bool


def compare(first: Cell, other: Cell) -> CellComparison:
    """``other`` beside ``first``. Raises ValueError where one of them has no value."""
    if first.interval is None or other.interval is None:
        raise ValueError(f"{first.metric}: a claim needs a value of both {first.model} and {other.model}")
    shared = first.values.keys() & other.values.keys()
    return CellComparison(first, other, paired(other.values, first.values) if shared else None)


def claim(cells: Sequence[Cell]) -> Claim | None:
    """The claim on one metric from its row of a table, the first cell being what the others are compared with; None for
    an empty row."""
    if not cells:
        return None
    first, *others = cells
    return Claim(first, () if first.unproven else tuple(compare(first, other) for other in others))


def claims(*rows: Sequence[Cell]) -> tuple[Claim, ...]:
    """The claims of several rows; an empty row has none."""
    return tuple(c for row in rows if (c := claim(row)) is not None)


def difference(first: Cell, other: Cell) -> Paired | None:
    """``other - first``, paired by seed; None where they share no seed, where the metric failed its self-check, or
    where the two values do not compare."""
    if first.unproven or other.unproven or not comparable((first, other)):
        return None
    if not first.values.keys() & other.values.keys():
        return None
    return paired(other.values, first.values)


def side(first: Cell, other: Cell) -> int:
    """1 where ``other`` is shown to score higher than ``first``, -1 lower, 0 where that is open."""
    p = difference(first, other)
    return p.difference.side if p else 0


def standing(cells: Sequence[Cell]) -> Standing | None:
    """Who is ahead in one metric; None where there is nothing to rank."""
    lead = leaders(cells)
    if not lead:
        return None
    if len(lead) == 1:
        return Standing(lead, tuple(c.model for c in cells if c.model not in lead), False)
    ahead = tuple(c.model for c in cells if c.model in lead)
    few = max(c.interval.n for c in cells if c.interval) < 2
    return Standing(ahead, tuple(c.model for c in cells if c.model not in lead), few)
