"""The evidence under a study's claims: one number over seeds with its 95 % t-interval, read against a limit.

    difference   first - other, paired by seed, against 0
    multiple     first - factor * other, paired by seed, against 0 ("at least 10 times")
    level        one model's value against a fixed number, or between two
    limit        first - other, paired by seed, below a fixed number

Evidence *holds* (1) where the whole interval lies on the claimed side, *fails* (-1) where it lies wholly on the other,
and is *open* (0) in between, with one seed, or where nothing was measured. A claim is *supported* where every part of
its evidence holds, *not supported* where one fails, and *undecided* otherwise: a verdict is never forced.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from latentbench.records import Record, run_record
from latentbench.stats.cells import Cell, Interval, paired, summarise

Support = Literal["supported", "not supported", "undecided"]


class Evidence(NamedTuple):
    """The ``interval`` that was read, and whether it ``holds`` (1), fails (-1) or is open (0)."""

    interval: Interval
    holds: int


@dataclass(frozen=True)
class Measured:
    """Every cell of one run, found by model, metric and split; latent sizes come with the models. ``definitions`` are
    what the run declares of its metrics."""

    cells: Mapping[tuple[str, str, str], Cell]
    references: Mapping[tuple[str, int | None, str], float]
    definitions: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def cell(self, model: str, metric: str, split: str = "test") -> Cell | None:
        """The cell, None where it has no value or the metric failed its self-check."""
        cell = self.cells.get((model, metric, split))
        return cell if cell and cell.interval and not cell.unproven else None

    def mean(self, model: str, metric: str, split: str = "test") -> float | None:
        """The mean over seeds, None where there is none."""
        cell = self.cell(model, metric, split)
        return cell.interval.mean if cell and cell.interval else None

    def reference(self, name: str, metric: str, latent_dim: int | None) -> float | None:
        """A ceiling, floor, null value or baseline of one metric at one latent size."""
        return self.references.get((name, latent_dim, metric))

    def reason(self, metric: str, models: Sequence[str]) -> str:
        """Why a metric says nothing of these models, in the words of the first record that tells; empty where none
        does."""
        cells = (self.cells.get((model, metric, "test")) for model in models)
        return next((c.reason or c.unproven for c in cells if c and (c.reason or c.unproven)), "")


def measured(records: Sequence[Record]) -> Measured:
    """The cells of a run's records."""
    cells: dict[tuple[str, str, str], Cell] = {}
    references: dict[tuple[str, int | None, str], float] = {}
    for c in summarise(records):
        if c.is_reference and c.interval and c.split in ("test", ""):
            references.setdefault((c.model, c.latent_dim, c.metric), c.interval.mean)
        elif not c.is_reference:
            cells.setdefault((c.model, c.metric, c.split or "test"), c)
    head = run_record(records)
    return Measured(cells, references, (head.detail.get("definitions") or {}) if head else {})


def support(holds: Sequence[int]) -> Support:
    """What the parts of a claim's evidence together say."""
    if any(h < 0 for h in holds):
        return "not supported"
    return "supported" if holds and all(h > 0 for h in holds) else "undecided"


def difference(first: Cell | None, other: Cell | None) -> Evidence | None:
    """``first`` scores higher than ``other``, whatever the two are of; None where they share no seed."""
    return multiple(first, 1.0, other)


def multiple(first: Cell | None, factor: float, other: Cell | None) -> Evidence | None:
    """``first`` scores at least ``factor`` times what ``other`` does; None where they share no seed."""
    if first is None or other is None or not first.values.keys() & other.values.keys():
        return None
    d = paired(first.values, {seed: factor * v for seed, v in other.values.items()}).difference
    return Evidence(d, d.side)


def limit(first: Cell | None, other: Cell | None, most: float) -> Evidence | None:
    """``first`` scores less than ``most`` above ``other``; None where they share no seed."""
    pair = difference(first, other)
    if pair is None:
        return None
    i = pair.interval
    holds = 0 if i.low is None or i.high is None else 1 if i.high < most else -1 if i.low > most else 0
    return Evidence(i, holds)


def level(cell: Cell | None, low: float | None, high: float | None) -> Evidence | None:
    """A value lies above ``low`` and below ``high`` (None: no such limit); None where there is no value."""
    if cell is None or cell.interval is None:
        return None
    i = cell.interval
    if i.low is None or i.high is None:
        return Evidence(i, 0)
    if (low is not None and i.high < low) or (high is not None and i.low > high):
        return Evidence(i, -1)
    return Evidence(i, int((low is None or i.low > low) and (high is None or i.high < high)))
