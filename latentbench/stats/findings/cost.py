"""What did it cost? Reconstruction, beside PCA of the same size; parameters, training time and throughput.

Throughput is compared only where the timings themselves are steady enough to rank by.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from latentbench.records import OPERATIONS, once
from latentbench.stats.cells import Cell, within_spread
from latentbench.stats.findings.claims import Claim, Standing, claims, standing
from latentbench.stats.findings.grading import beyond
from latentbench.stats.findings.table import Table

METRICS = ("r2", "mse", "train.seconds", "cost.parameters", *(f"throughput.{what}" for what in OPERATIONS))


class Rate(NamedTuple):
    """Throughput of one ``work`` over the first model's at one ``batch`` size; ``tied``: within the timings' spread."""

    work: str
    ratio: float
    batch: float
    tied: bool


class Speed(NamedTuple):
    """``model`` against the first: its rates, the work whose timings are too unsteady to rank by, and the ``devices``
    it all ran on (one of them empty where a record names none)."""

    model: str
    rates: tuple[Rate, ...]
    unsteady: tuple[str, ...]
    devices: frozenset[str]


@dataclass(frozen=True)
class Cost:
    """Rows of R² (collapsed models included, since this is where it shows), parameters and training seconds; ``pca`` the
    R² of PCA of the same size, and the models whose whole interval lies above it, below it, or neither."""

    table: Table
    r2: tuple[Cell, ...]
    pca: float | None
    standing: Standing | None
    reconstruction: tuple[Claim, ...]
    above_pca: tuple[str, ...]
    below_pca: tuple[str, ...]
    near_pca: tuple[str, ...]
    error: tuple[Claim, ...]
    parameters: tuple[Cell, ...]
    seconds: tuple[Cell, ...]
    speeds: tuple[Speed, ...]


@once
def cost(table: Table) -> Cost:
    """The answer from R², squared error, size and speed."""
    r2, pca = table.row("r2", collapsed=True), table.reference("r2", "baseline:pca")
    sides: dict[int, list[str]] = {1: [], -1: [], 0: []}
    for cell in r2:
        if (i := beyond(cell, pca)) is not None:
            sides[i.side].append(cell.model)
    return Cost(
        table,
        tuple(r2),
        pca,
        standing(r2),
        claims(r2),
        tuple(sides[1]),
        tuple(sides[-1]),
        tuple(sides[0]),
        error=claims(table.row("mse", collapsed=True)),
        parameters=tuple(table.row("cost.parameters", collapsed=True)),
        seconds=tuple(table.row("train.seconds", collapsed=True)),
        speeds=tuple(_speed(table, other) for other in table.models[1:]),
    )


def _speed(table: Table, other: str) -> Speed:
    """Throughput against the first model's, each operation at the largest batch both have."""
    rates, unsteady, devices = [], [], set()
    for work in OPERATIONS:
        pair = at_largest_batch(table, f"throughput.{work}", table.models[0], other)
        if pair is None:
            continue
        batch, a, b = pair
        devices.add(str(a.metric_params.get("device", "")))
        if not (a.rankable and b.rankable):
            unsteady.append(work)
        elif a.interval and b.interval and a.interval.mean > 0:
            rates.append(Rate(work, b.interval.mean / a.interval.mean, batch, within_spread(a, b)))
    return Speed(other, tuple(rates), tuple(unsteady), frozenset(devices))


def at_largest_batch(table: Table, metric: str, first: str, other: str) -> tuple[float, Cell, Cell] | None:
    """The two cells of a throughput at the largest batch both have, and that batch; None where they share none."""
    one, two = (table.rates.get((model, metric), {}) for model in (first, other))
    batch = max(one.keys() & two.keys(), default=None)
    return None if batch is None else (batch, one[batch], two[batch])
