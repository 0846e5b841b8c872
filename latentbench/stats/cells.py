"""What the records of a run add up to: cells of values over seeds, and their intervals.

A `Cell` holds all values of one metric of one model on one split. Its mean and interval, paired differences and the
tests beside them are those of `latentbench.stats.intervals`, offered here too: this is the one door to the statistics.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from latentbench.records import TIMINGS, Better, Kept, Reason, Record, Role, Texts, is_model, is_reference, values
from latentbench.run_info import split_hashes
from latentbench.stats.intervals import (
    LEVEL,
    UNBOUNDED,
    Bounds,
    Interval,
    Paired,
    holm,
    paired,
    seeds_to_see,
    sign_flip,
    t_interval,
    t_test,
)
from latentbench.stats.least import LeastEffect, recorded
from latentbench.stats.own_priors import side_by_side

if TYPE_CHECKING:
    from latentbench.stats.families import Family

__all__ = [
    "LEVEL", "Interval", "Paired", "t_interval", "t_test", "paired", "sign_flip", "seeds_to_see", "holm",
    "Cell", "Seed", "summarise", "references", "within_spread", "comparable",
]  # fmt: skip

Seed = int | None
"""A training seed; None for what is measured once (references, costs, throughput)."""


@dataclass(frozen=True)
class Cell:
    """All values of one metric of one model on one split: ``values`` seed -> value (the key None: measured once).

    ``interval`` is None where there is no value; then ``status`` is failed or skipped and ``reason`` says why: a `Reason`
    that joins those of its records. ``failed`` and ``skipped`` count the seeds without a value, also where others have one. ``details`` are the named
    extras of the records that have any, by seed. ``unproven`` says why the metric failed its self-check on this data;
    such a metric ranks nobody and no claim rests on it. ``splits``: the split of the data that each seed had, where the
    run's seeds were dealt to several; what was measured once is then the mean over them.

    What is claimed of it hangs on more than its values: on the ``least`` effect that matters; on the ``family`` of claims
    that it is made with (None: with those of its row alone) and whether it is one of that page's ``headlines``; and on what
    bars it from being called better than another, as codes of caveats (``barred``). ``own_prior``: the model was trained
    with a prior of its own, which is then what a measure of the prior is about.
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
    splits: Mapping[Seed, int] = field(default_factory=dict)
    least: LeastEffect = field(default_factory=LeastEffect)
    headline: bool = False
    barred: tuple[str, ...] = ()
    own_prior: bool = False
    family: Family | None = field(default=None, repr=False, compare=False)

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

    def over_seeds(self, values: Mapping[Seed, float], bounds: Bounds = UNBOUNDED) -> Interval:
        """The interval of values of this cell's seeds, such as a function of its own: by split where there are several."""
        groups = [self.splits[s] for s in values] if self.splits else None
        return t_interval(values.values(), bounds=bounds, groups=groups)

    def badness(self, value: float) -> float:
        """A number that is lower where ``value`` is better in this metric's direction."""
        if self.better == "target" and self.target is not None:
            return abs(value - self.target)
        return -value if self.better == "higher" else value


def summarise(records: Iterable[Record]) -> list[Cell]:
    """Value records gathered over seeds, in order of first appearance; records of different runs, data, parameters or
    latent sizes are never gathered. What a run's own record, where it is among them, defines of its metrics goes with
    their cells. Models of different priors stand side by side, each under its own
    (`latentbench.stats.own_priors`)."""
    if isinstance(records, Kept):
        return list(records.once("cells", lambda: _summarised(records)))
    return _summarised(records)


def _summarised(records: Iterable[Record]) -> list[Cell]:
    groups: dict[tuple[object, ...], list[Record]] = {}
    text = Texts()
    every = list(records)
    heads = {r.run: r.detail for r in every if r.kind == "run"}
    defined = {run: detail.get("definitions") or {} for run, detail in heads.items()}
    splits = {run: _splits(detail) for run, detail in heads.items()}
    rows = list(values(every))

    def data(r: Record) -> str:
        """Which data: several splits of one are the same."""
        return "" if r.dataset_hash in splits.get(r.run, {}) else r.dataset_hash

    def checked(r: Record) -> tuple[object, ...]:
        """What a self-check holds for: one metric on one data set at one latent size."""
        return r.run, r.dataset, data(r), r.latent_dim, r.metric

    failed = {checked(r): _why(r) for r in rows if r.role == "check" and r.value == 0.0}
    for r in rows:
        if r.role == "check":
            continue
        of = (r.run, r.dataset, data(r), r.role, r.model, r.latent_dim, r.metric, r.split)
        key = (*of, text(r.params), text(r.metric_params))
        groups.setdefault(key, []).append(r)
    cells = [
        _cell(
            group,
            failed.get(checked(group[0]), ""),
            defined.get(group[0].run, {}).get(group[0].metric) or {},
            splits.get(group[0].run, {}),
        )
        for group in groups.values()
    ]
    return side_by_side(cells, defined)


def _splits(detail: Mapping[str, Any]) -> dict[str, int]:
    """Hash of the data -> its number among the splits that a run's seeds were dealt to; empty where it is one."""
    return {sha256: number for number, sha256 in enumerate(split_hashes(detail))}


def _why(check: Record) -> str:
    return "; ".join(map(str, check.detail.get("why", ()))) or "no reason recorded"


def _cell(rows: Sequence[Record], unproven: str, definition: Mapping[str, Any], splits: Mapping[str, int]) -> Cell:
    numbers = {r.seed: r.value for r in rows if r.value is not None}
    if splits and None in numbers:
        once = [r.value for r in rows if r.value is not None and r.seed is None]
        numbers[None] = math.fsum(once) / len(once)
    dealt: dict[Seed, int] = {
        r.seed: splits[r.dataset_hash] for r in rows if splits and r.seed is not None and r.seed in numbers
    }
    of = [dealt[seed] for seed in numbers] if dealt else None
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
        interval=t_interval(numbers.values(), bounds=first.bounds, groups=of) if numbers else None,
        status=status,
        reason=Reason.joined(reasons) if (reasons := [r.reason for r in bad if r.reason]) else "",
        failed=sum(r.status == "failed" for r in bad),
        skipped=sum(r.status != "failed" for r in bad),
        details={r.seed: r.detail for r in rows if r.value is not None and r.detail},
        run=first.run,
        unproven=unproven,
        splits=dealt,
        least=recorded(definition, first.bounds, first.unit),
        headline=bool(definition.get("headline")) and first.split in ("test", ""),
    )


def references(cells: Iterable[Cell], dataset: str, metric: str, split: str = "test") -> dict[str, Cell]:
    """Baselines, floors, ceilings and null values of one metric: name -> cell, only those with a value."""
    return {
        c.model: c
        for c in cells
        if c.is_reference and c.interval and (c.dataset, c.metric, c.split) == (dataset, metric, split)
    }


def within_spread(a: Cell, b: Cell) -> bool:
    """Whether two numbers that were measured once cannot be told apart: exact counts where equal; timings where one is
    not `Cell.rankable`, or where they differ by no more than the wider of their spreads (interquartile range over
    median)."""
    if not (a.rankable and b.rankable):
        return True
    slack = max((float(d.get("spread", 0.0)) for c in (a, b) for d in c.details.values()), default=0.0)
    x, y = a.values[None], b.values[None]
    return abs(x - y) <= slack * max(abs(x), abs(y))


def comparable(cells: Iterable[Cell]) -> bool:
    """False where the values are nats of different likelihoods, named in their details: a density of continuous pixels
    (Gaussian) and a probability of binary ones (Bernoulli) have no common scale."""
    details = (d for c in cells if not c.is_reference for d in c.details.values())
    return len({d["likelihood"] for d in details if d and d.get("likelihood")}) < 2
