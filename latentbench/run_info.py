"""What a run says of itself: the content of its own record, typed.

The record of kind ``run`` holds it in ``detail``, where readers of any later version find it. What an older or a made-up
record leaves out is empty here, and what a newer one adds is not read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from latentbench.records import Record, run_record


@dataclass(frozen=True, kw_only=True)
class RunInfo:
    """What was asked, on what data, with which definitions, where.

    ``config``: the effective options of the run by their TOML names; ``environment``: versions and hardware; ``command``:
    the line that asked; ``started``: ISO 8601, UTC; ``seconds`` it took; ``git``: the revision of the folder the command
    was given in; ``version`` of latentbench; ``dataset``: name, sha256, shape, classes, sizes of the splits, and where the seeds were
    dealt to several splits the sha256 of each; ``models``: by spec, parameters as set and their number; ``definitions``: by metric, what it is; ``study``: the preset it was, with
    what is published for it; ``precision``: what a trial found out of it, where the run left it open; ``forecasts``: by model,
    what was forecast before training (`latentbench.stats.linear_vae.Forecast`).
    """

    config: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    command: str = ""
    started: str = ""
    seconds: float | None = None
    git: str | None = None
    version: str = ""
    dataset: Mapping[str, Any] = field(default_factory=dict)
    models: Mapping[str, Any] = field(default_factory=dict)
    definitions: Mapping[str, Any] = field(default_factory=dict)
    study: Mapping[str, Any] | None = None
    precision: Mapping[str, Any] | None = None
    forecasts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def to_detail(self) -> dict[str, Any]:
        """As a record holds it; no key ``study`` for a run that is of none, no ``precision`` for one that named it, no
        ``forecasts`` where there are none."""
        row = {f.name: getattr(self, f.name) for f in fields(self)}
        return {k: v for k, v in row.items() if k not in ("study", "precision", "forecasts") or v}

    def to_record(self) -> Record:
        """The run's own record."""
        name, sha256 = str(self.config["dataset"]), str(self.dataset["sha256"])
        return Record(kind="run", dataset=name, dataset_hash=sha256, detail=self.to_detail())

    @classmethod
    def from_record(cls, record: Record) -> RunInfo:
        """What a run's own record says. Raises ValueError for a record of another kind."""
        if record.kind != "run":
            raise ValueError(f"a record of kind {record.kind} says nothing of its run")
        known = {f.name for f in fields(cls)}
        return cls(**{k: v for k, v in record.detail.items() if k in known and v is not None})


def split_hashes(detail: Mapping[str, Any]) -> tuple[str, ...]:
    """The sha256 of each split of the data that a run's seeds were dealt to, as the ``detail`` of its record says; empty
    where it is one."""
    return tuple(map(str, (detail.get("dataset") or {}).get("splits") or ()))


def find_run_info(rows: Iterable[Record]) -> RunInfo | None:
    """What the run's own record among these says, or None where there is none."""
    record = run_record(rows)
    return None if record is None else RunInfo.from_record(record)
