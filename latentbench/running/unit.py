"""Parts and units: what a run consists of, and the pieces of work that it is computed in.

A *part* is the least thing that is computed, kept and found again: the weights of one model and seed, one metric of one
model and seed, one metric's anchors at one latent size. Its key is the hash of all that its content depends on
(`latentbench.running.parts` says of what), so that it need never be computed twice, whatever run asks for it.

A *unit* is what a worker is handed at once: parts of one kind that share costly work (a process's start, a model's codes
of all images). Its folder is named by the keys of its parts. It travels to a worker as JSON; the worker resolves its
models once, on reading it.

Kinds: ``judge``; ``train`` (one model, a block of seeds); ``reference`` (baselines, floors, ceilings at one latent size);
``measure`` (one model and seed); ``map`` (UMAP of the first seed of some models); ``time`` (throughput of every
model, alone on the machine).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from latentbench import catalog, run_folder
from latentbench.catalog import ModelSpec
from latentbench.config import Run, make_run
from latentbench.records import digest

UnitKind = Literal["judge", "train", "reference", "measure", "map", "time"]

TOLERANT: frozenset[UnitKind] = frozenset({"map", "time"})
"""Kinds that make do with the models there are where some could not be trained."""

Listen = Callable[[dict[str, Any]], None]
"""What hears of progress: ``{"progress": {"model", "seed", ...}}`` within a unit, ``{"unit", "reason"}`` at its end."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """The least thing that is computed and kept.

    ``key``: the hash of what its content depends on; ``model`` (a spec's text), ``seed``, ``latent_dim``: what it is
    about; ``metric``: what is measured, empty where it is the pictures; ``weights`` and ``judge``: the keys of the parts
    that it is computed from.
    """

    key: str
    kind: UnitKind
    model: str = ""
    seed: int | None = None
    latent_dim: int | None = None
    metric: str = ""
    weights: tuple[str, ...] = ()
    judge: str | None = None

    @property
    def needs(self) -> tuple[str, ...]:
        """The keys of the parts before it."""
        return (*self.weights, *([self.judge] if self.judge else ()))

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Part:
        """The part that `asdict` wrote down."""
        return cls(**{**row, "weights": tuple(row["weights"])})


@dataclass(frozen=True, kw_only=True)
class Unit:
    """One piece of a run's work.

    ``parts``: what it gives, in this order; ``root``: the run folder; ``run``: the settings a worker needs; ``device``:
    ``cpu`` or ``cuda``; ``models``: what it is about; ``needs``: the folders of the units before it; ``places``: key of
    a part that it is computed from -> the folder with it.
    """

    kind: UnitKind
    parts: tuple[Part, ...]
    root: str
    run: Run
    dataset_sha256: str
    device: str
    models: tuple[ModelSpec, ...] = ()
    needs: tuple[str, ...] = ()
    places: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def key(self) -> str:
        """The hash of what its content depends on."""
        return digest([part.key for part in self.parts])

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
        """True where all of its parts are there, whole: what is damaged or made do without some of its needs is not done."""
        from latentbench.running import manifest  # which is made of parts

        there = manifest.read(self.path)
        return there is not None and {p.key for p in there.parts} >= {p.key for p in self.parts} and there.is_whole

    @property
    def is_tolerant(self) -> bool:
        """True where a failure of what it needs leaves it something to do."""
        return self.kind in TOLERANT

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds that it is about, in order."""
        return tuple(dict.fromkeys(part.seed for part in self.parts if part.seed is not None))

    @property
    def metrics(self) -> tuple[str, ...]:
        """What it measures, in order."""
        return tuple(dict.fromkeys(part.metric for part in self.parts if part.metric))

    @property
    def model(self) -> ModelSpec:
        """The model that it is about. Raises ValueError where there is not exactly one."""
        if len(self.models) != 1:
            raise ValueError(f"unit {self.folder} is about {len(self.models)} models")
        return self.models[0]

    def place(self, key: str) -> Path:
        """The folder with a part that it is computed from."""
        return Path(self.root) / self.places[key]

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values; models by their text."""
        return {
            "kind": self.kind,
            "parts": [asdict(part) for part in self.parts],
            "root": self.root,
            "run": self.run.model_dump(mode="json", by_alias=True, exclude_none=True),
            "dataset_sha256": self.dataset_sha256,
            "device": self.device,
            "models": [m.text for m in self.models],
            "needs": list(self.needs),
            "places": dict(self.places),
        }

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Unit:
        """The unit that `to_json` wrote down. Raises ValueError where one of its models is not there."""
        run = make_run(row["run"])
        return cls(
            **{
                **row,
                "run": run,
                "parts": tuple(map(Part.from_json, row["parts"])),
                "models": tuple(catalog.resolve_model(text, run) for text in row["models"]),
                "needs": tuple(row["needs"]),
            }
        )
