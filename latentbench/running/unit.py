"""A unit of work: what it is, what it needs, where its result lies.

A unit is named by the hash of all that its content depends on, so that a result is never computed twice. It travels to a
worker as JSON; the worker resolves its models once, on reading it.

Kinds: ``judge``; ``train`` (one model, a block of seeds); ``reference`` (baselines, floors, ceilings at one latent size);
``measure`` (one model, a block of seeds); ``map`` (UMAP of the first seed of some models); ``time`` (throughput of every
model, alone on the machine).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from latentbench import catalog, run_folder
from latentbench.catalog import ModelSpec
from latentbench.config import Run, make_run

UnitKind = Literal["judge", "train", "reference", "measure", "map", "time"]

TOLERANT: frozenset[UnitKind] = frozenset({"map", "time"})
"""Kinds that make do with the models there are where some could not be trained."""

Listen = Callable[[dict[str, Any]], None]
"""What hears of progress: ``{"progress": {"model", "seed", ...}}`` within a unit, ``{"unit", "reason"}`` at its end."""


@dataclass(frozen=True, kw_only=True)
class Unit:
    """One piece of a run's work.

    ``key``: the hash of what its content depends on; ``root``: the run folder; ``run``: the settings a worker needs;
    ``device``: ``cpu`` or ``cuda``; ``models`` and ``seeds``: what it is about; ``needs``: the folders of the units before
    it; ``latent_dim``: the size that baselines are made in (``reference``), and ``draws_data`` whether that unit also
    writes the pictures of the data and counts its copies; ``judge``: the folder of the judge, None where there is none; ``metrics``: names;
    ``trained``: model text -> seed -> the folder of its weights.
    """

    kind: UnitKind
    key: str
    root: str
    run: Run
    dataset_sha256: str
    device: str
    models: tuple[ModelSpec, ...] = ()
    seeds: tuple[int, ...] = ()
    needs: tuple[str, ...] = ()
    latent_dim: int | None = None
    draws_data: bool = False
    judge: str | None = None
    metrics: tuple[str, ...] = ()
    trained: Mapping[str, Mapping[int, str]] = field(default_factory=dict)

    @property
    def folder(self) -> str:
        """Where its result lies, relative to the run folder: its name among units."""
        return run_folder.unit_folder(self.kind, self.key)

    @property
    def path(self) -> Path:
        """Where its result lies."""
        return Path(self.root) / self.folder

    @property
    def records(self) -> Path:
        """The records of its result."""
        return self.path / run_folder.RECORDS

    @property
    def is_done(self) -> bool:
        """True where its result is there, whole."""
        return self.records.exists()

    @property
    def is_tolerant(self) -> bool:
        """True where a failure of what it needs leaves it something to do."""
        return self.kind in TOLERANT

    @property
    def model(self) -> ModelSpec:
        """The model that it is about. Raises ValueError where there is not exactly one."""
        if len(self.models) != 1:
            raise ValueError(f"unit {self.folder} is about {len(self.models)} models")
        return self.models[0]

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values; models by their text."""
        return {
            "kind": self.kind,
            "key": self.key,
            "root": self.root,
            "run": self.run.model_dump(mode="json", by_alias=True, exclude_none=True),
            "dataset_sha256": self.dataset_sha256,
            "device": self.device,
            "models": [m.text for m in self.models],
            "seeds": list(self.seeds),
            "needs": list(self.needs),
            "latent_dim": self.latent_dim,
            "draws_data": self.draws_data,
            "judge": self.judge,
            "metrics": list(self.metrics),
            "trained": {m: {str(seed): place for seed, place in by.items()} for m, by in self.trained.items()},
        }

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Unit:
        """The unit that `to_json` wrote down. Raises ValueError where one of its models is not there."""
        run = make_run(row["run"])
        fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in row.items()}
        fields["run"] = run
        fields["models"] = tuple(catalog.resolve_model(text, run) for text in row["models"])
        fields["trained"] = {m: {int(seed): place for seed, place in by.items()} for m, by in row["trained"].items()}
        return cls(**fields)
