"""Reconstruction against completeness, over all models of a run: what the study ``zoo`` decides, as data.

*Completeness* is the valid share of draws from the prior that a model was trained with: `validity.prior` where a run measured
that, else `validity.normal`. A model is

    on the Pareto front   where against every other model it is told to be better in R² or in completeness
    behind it             where some other model is told to be better in both
    open                  else: the data do not tell

"Told" is `evidence.difference`: seeds paired, the interval beyond 0, the difference larger than the least that matters, and
not by a model that collapsed or copies. That a model is on the front is as sure as the least sure of its n - 1 comparisons
(intersection-union), each the surer of two measures (times 2, Bonferroni); that it is behind is as sure as the surest of its
n - 1 rivals (times n - 1), each the less sure of two measures. These 2 n statements are adjusted together (Holm).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from latentbench.stats.cells import Cell, holm
from latentbench.stats.families import ALPHA
from latentbench.stats.findings import evidence
from latentbench.stats.findings.evidence import Measured

Standing = Literal["front", "behind", "open"]


class Placed(NamedTuple):
    """A model's place: R² and the valid share of draws from its own prior, and how it stands to the Pareto front."""

    model: str
    reconstruction: Cell
    completeness: Cell
    standing: Standing


def own_validity(m: Measured, model: str) -> Cell | None:
    """The valid share of draws from the prior that a model was trained with, None where it was not measured."""
    return m.cell(model, "validity.prior") or m.cell(model, "validity.normal")


def trade_off(m: Measured, models: Sequence[str]) -> tuple[Placed, ...]:
    """Every model that has both, in the order given, with its standing."""
    there = []
    for model in models:
        r2, valid = m.cell(model, "r2"), own_validity(m, model)
        if r2 is not None and valid is not None:
            there.append((model, r2, valid))
    n = len(there)
    ahead, behind = [], []
    for k, one in enumerate(there):
        rivals = [other for j, other in enumerate(there) if j != k]
        ahead.append(max((min(1.0, 2 * min(_chances(one, other))) for other in rivals), default=1.0))
        behind.append(min(1.0, (n - 1) * min((max(_chances(other, one)) for other in rivals), default=1.0)))
    adjusted = holm([*ahead, *behind])
    return tuple(
        Placed(*row, "front" if adjusted[k] <= ALPHA else "behind" if adjusted[n + k] <= ALPHA else "open")
        for k, row in enumerate(there)
    )


def _chances(one: tuple[str, Cell, Cell], other: tuple[str, Cell, Cell]) -> tuple[float, float]:
    """P of "``one`` is better than ``other``" in each of the two measures; 1 where that is not told."""

    def chance(a: Cell, b: Cell) -> float:
        found = evidence.difference(a, b)
        return found.p if found and found.holds > 0 else 1.0

    return chance(one[1], other[1]), chance(one[2], other[2])
