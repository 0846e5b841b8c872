"""What the records of a run add up to: cells of values over seeds, their intervals, who leads, and who is tied.

A `Cell` holds all values of one metric of one model on one split. Its mean and interval, paired differences and the
tests beside them are those of `latentbench.stats.intervals`, offered here too: this is the one door to the statistics.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from latentbench.records import TIMINGS, Better, Reason, Record, Role, canonical, is_model, is_reference, values
from latentbench.stats.intervals import (
    LEVEL,
    Bounds,
    Interval,
    Paired,
    holm,
    paired,
    seeds_to_separate,
    sign_flip,
    t_interval,
    t_test,
)

__all__ = [
    "LEVEL", "Interval", "Paired", "t_interval", "t_test", "paired", "sign_flip", "seeds_to_separate", "holm",
    "Cell", "Seed", "summarise", "references", "leaders", "tied", "comparable",
]  # fmt: skip

Seed = int | None
"""A training seed; None for what is measured once (references, costs, throughput)."""


@dataclass(frozen=True)
class Cell:
    """All values of one metric of one model on one split: ``values`` seed -> value (the key None: measured once).

    ``interval`` is None where there is no value; then ``status`` is failed or skipped and ``reason`` says why: a `Reason`
    that joins those of its records. ``failed`` and ``skipped`` count the seeds without a value, also where others have one. ``details`` are the named
    extras of the records that have any, by seed. ``unproven`` says why the metric failed its self-check on this data;
    such a metric ranks nobody and no claim rests on it.
    """

    dataset: str
    model: str
    role: Role
    params: Mapping[str, Any]
    latent_dim: int | None
    metric: str
    metric_params: Mapping[str, Any]
    split: str
    unit: str
    better: Better
    target: float | None
    bounds: Bounds
    values: Mapping[Seed, float]
    interval: Interval | None
    status: str
    reason: str
    failed: int
    skipped: int
    details: Mapping[Seed, Mapping[str, Any]] = field(default_factory=dict)
    run: str = ""
    unproven: str = ""

    @property
    def is_reference(self) -> bool:
        """True for baselines, floors, ceilings and null values."""
        return is_reference(self.role)

    @property
    def is_model(self) -> bool:
        """True where a model of the run was measured: no reference, no judge, not the machine."""
        return is_model(self.role, self.model)

    @property
    def measured_once(self) -> bool:
        """True where there is one number and no seed: an exact count, a reference, a throughput."""
        return set(self.values) == {None}

    @property
    def is_timing(self) -> bool:
        """True where the values depend on the machine's speed."""
        return self.metric.startswith(TIMINGS)

    @property
    def rankable(self) -> bool:
        """False where a timing says of itself that it cannot rank: too unsteady, or taken beside other work."""
        return all(d.get("rankable", True) for d in self.details.values())

    @property
    def disturbed(self) -> bool:
        """True where a time was taken while other workers or programs ran, or may have: such a one is not `rankable`."""
        return any("workers" in d and not d.get("rankable", True) for d in self.details.values())

    def badness(self, value: float) -> float:
        """A number that is lower where ``value`` is better in this metric's direction."""
        if self.better == "target" and self.target is not None:
            return abs(value - self.target)
        return -value if self.better == "higher" else value


def summarise(records: Iterable[Record]) -> list[Cell]:
    """Value records gathered over seeds, in order of first appearance; records of different runs, data, parameters or
    latent sizes are never gathered."""
    groups: dict[str, list[Record]] = {}
    rows = list(values(records))
    failed = {_checked(r): _why(r) for r in rows if r.role == "check" and r.value == 0.0}
    for r in rows:
        if r.role == "check":
            continue
        key = canonical(
            [
                r.run,
                r.dataset,
                r.dataset_hash,
                r.role,
                r.model,
                r.params,
                r.latent_dim,
                r.metric,
                r.metric_params,
                r.split,
            ]
        )
        groups.setdefault(key, []).append(r)
    return [_cell(group, failed.get(_checked(group[0]), "")) for group in groups.values()]


def _checked(r: Record) -> tuple[object, ...]:
    """What a self-check holds for: one metric on one data set at one latent size."""
    return r.run, r.dataset, r.dataset_hash, r.latent_dim, r.metric


def _why(check: Record) -> str:
    return "; ".join(map(str, check.detail.get("why", ()))) or "no reason recorded"


def _cell(rows: Sequence[Record], unproven: str) -> Cell:
    numbers = {r.seed: r.value for r in rows if r.value is not None}
    bad = [r for r in rows if r.value is None]
    first = rows[0]
    status = "ok" if numbers else "failed" if any(r.status == "failed" for r in bad) else "skipped"
    return Cell(
        dataset=first.dataset,
        model=first.model,
        role=first.role,
        params=first.params,
        latent_dim=first.latent_dim,
        metric=first.metric,
        metric_params=first.metric_params,
        split=first.split,
        unit=first.unit,
        better=first.better,
        target=first.target,
        bounds=first.bounds,
        values=numbers,
        interval=t_interval(numbers.values(), bounds=first.bounds) if numbers else None,
        status=status,
        reason=Reason.joined(reasons) if (reasons := [r.reason for r in bad if r.reason]) else "",
        failed=sum(r.status == "failed" for r in bad),
        skipped=sum(r.status != "failed" for r in bad),
        details={r.seed: r.detail for r in rows if r.value is not None and r.detail},
        run=first.run,
        unproven=unproven,
    )


def references(cells: Iterable[Cell], dataset: str, metric: str, split: str = "test") -> dict[str, Cell]:
    """Baselines, floors, ceilings and null values of one metric: name -> cell, only those with a value."""
    return {
        c.model: c
        for c in cells
        if c.is_reference and c.interval and (c.dataset, c.metric, c.split) == (dataset, metric, split)
    }


def tied(a: Cell, b: Cell) -> bool:
    """Whether two models cannot be told apart on a measure with a direction.

    Timings are where one is not `Cell.rankable`. Over seeds: the paired interval of their badness contains 0, or there is
    none. Measured once: exact counts are tied where equal; timings where they differ by no more than the wider of their
    spreads (interquartile range over median).
    """
    if not (a.rankable and b.rankable):
        return True
    if a.measured_once and b.measured_once:
        slack = max((float(d.get("spread", 0.0)) for c in (a, b) for d in c.details.values()), default=0.0)
        x, y = a.values[None], b.values[None]
        return abs(x - y) <= slack * max(abs(x), abs(y))
    of_a = {s: a.badness(v) for s, v in a.values.items()}
    of_b = {s: b.badness(v) for s, v in b.values.items()}
    return not (of_a.keys() & of_b.keys()) or paired(of_a, of_b).tied


def comparable(cells: Iterable[Cell]) -> bool:
    """False where the values are nats of different likelihoods, named in their details: a density of continuous pixels
    (Gaussian) and a probability of binary ones (Bernoulli) have no common scale."""
    details = (d for c in cells if not c.is_reference for d in c.details.values())
    return len({d["likelihood"] for d in details if d and d.get("likelihood")}) < 2


def leaders(cells: Sequence[Cell], excluded: Iterable[str] = ()) -> tuple[str, ...]:
    """The models that are best in one metric or tied with the best; empty where there is nothing to rank: a metric
    without a direction, or fewer than two models with values that can rank (`Cell.rankable`). ``excluded`` models
    (collapsed ones) are never leaders.

    The best mean leads; every other model that is `tied` with it shares its place. Nobody leads in a metric that
    failed its self-check on this data, or whose values do not compare.
    """
    if any(c.unproven for c in cells) or not comparable(cells):
        return ()
    ranked = [c for c in cells if c.interval and not c.is_reference and c.better != "none" and c.rankable]
    out = set(excluded)
    rivals = [c for c in ranked if c.model not in out]
    if len({c.model for c in ranked}) < 2 or not rivals:
        return ()
    best = min(rivals, key=_mean_badness)
    return (best.model, *(c.model for c in rivals if c is not best and tied(c, best)))


def _mean_badness(cell: Cell) -> float:
    """Mean over seeds; the distance to a target is taken seed by seed, so errors on both sides do not cancel."""
    return math.fsum(cell.badness(v) for v in cell.values.values()) / len(cell.values)
