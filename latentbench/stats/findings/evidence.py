"""The evidence under a study's claims: one number over seeds with its 95 % t-interval, read against a limit.

    difference   first - other, paired by seed, against 0
    multiple     first - factor * other, paired by seed, against 0 ("at least 10 times")
    level        one model's value against a fixed number, or between two
    limit        first - other, paired by seed, below a fixed number

Evidence *holds* (1) where the whole interval lies on the claimed side, *fails* (-1) where it lies wholly on the other,
and is *open* (0) in between, with one seed, or where nothing was measured. A difference of two models in one metric is open
also where it is no more than the least one that matters, and where the better of the two may not be called so
(`latentbench.stats.findings.claims`). A claim is *supported* where every part of its evidence holds, *not supported* where
one fails, and *undecided* otherwise: a verdict is never forced.

A study says beforehand what it will claim, so its claims are a family of their own, and are made `together`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

from latentbench.records import Record, run_record
from latentbench.stats.cells import Cell, Interval, holm, paired, t_test
from latentbench.stats.families import ALPHA
from latentbench.stats.findings.claims import compare
from latentbench.stats.findings.table import tables

Support = Literal["supported", "not supported", "undecided"]


class Evidence(NamedTuple):
    """The ``interval`` that was read, whether it ``holds`` (1), fails (-1) or is open (0), and the two-sided ``p`` of "the
    mean is the limit" (the one that it lies nearest to)."""

    interval: Interval
    holds: int
    p: float = 1.0


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
    for c in (c for table in tables(records) for c in table.every):
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


def together(claims: Sequence[Sequence[tuple[int, float]]]) -> list[Support]:
    """What a study's claims come to, made together: each a list of its parts, whether one holds and its p.

    A claim is as sure as the least sure of its parts (an intersection-union test, Berger 1982), and these p-values are
    adjusted for all claims (Holm 1979): supported at 5 %. That a part fails is one of as many statements as there are parts,
    and is adjusted for all of them.
    """
    adjusted = holm([max(p for _, p in c) if c and all(h > 0 for h, _ in c) else 1.0 for c in claims])
    each = iter(holm([p for c in claims for _, p in c]))
    out = []
    for parts, q in zip(claims, adjusted, strict=True):
        alone = [next(each) for _ in parts]
        failed = any(h < 0 and p <= ALPHA for (h, _), p in zip(parts, alone, strict=True))
        out.append(support([-1]) if failed else support([int(q <= ALPHA)]))
    return out


def difference(first: Cell | None, other: Cell | None) -> Evidence | None:
    """``first`` scores higher than ``other``, whatever the two are of; None where they share no seed."""
    found = multiple(first, 1.0, other)
    if found is None or first is None or other is None or (first.metric, first.split) != (other.metric, other.split):
        return found
    both = compare(replace(other, family=None), replace(first, family=None))
    matters = both.difference is not None and abs(both.difference.mean) > both.threshold and not both.bars
    return found if matters or first.model == other.model else found._replace(holds=0)


def multiple(first: Cell | None, factor: float, other: Cell | None) -> Evidence | None:
    """``first`` scores at least ``factor`` times what ``other`` does; None where they share no seed."""
    if first is None or other is None or not first.values.keys() & other.values.keys():
        return None
    d = paired(first.values, {seed: factor * v for seed, v in other.values.items()}).difference
    return Evidence(d, d.side, t_test(d))


def limit(first: Cell | None, other: Cell | None, most: float) -> Evidence | None:
    """``first`` scores less than ``most`` above ``other``; None where they share no seed."""
    pair = difference(first, other)
    if pair is None:
        return None
    i = pair.interval
    holds = 0 if i.low is None or i.high is None else 1 if i.high < most else -1 if i.low > most else 0
    return Evidence(i, holds, _chance(i, most))


def level(cell: Cell | None, low: float | None, high: float | None) -> Evidence | None:
    """A value lies above ``low`` and below ``high`` (None: no such limit); None where there is no value."""
    if cell is None or cell.interval is None:
        return None
    i = cell.interval
    if i.low is None or i.high is None:
        return Evidence(i, 0)
    p = max((_chance(i, limit) for limit in (low, high) if limit is not None), default=1.0)
    if (low is not None and i.high < low) or (high is not None and i.low > high):
        beyond = low if low is not None and i.high < low else high
        return Evidence(i, -1, _chance(i, beyond or 0.0))
    return Evidence(i, int((low is None or i.low > low) and (high is None or i.high < high)), p)


def _chance(i: Interval, limit: float) -> float:
    """Two-sided p of "the mean is this limit"."""
    return t_test(replace(i, mean=i.mean - limit))
