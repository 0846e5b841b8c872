"""A run folder as the page reads it: its records, and the arrays its artifacts hold.

Records are required; artifacts are not. A picture that was never made, was lost, or does not match the hash the run
recorded is `Absent` with a sentence that says so, and the page prints that sentence where the picture would stand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from latentbench import artifact_schema, records
from latentbench.artifact_schema import ArtifactRole
from latentbench.files.arrays import Unreadable, read_npz
from latentbench.records import Kept, Record
from latentbench.report.wording import language, words
from latentbench.report.wording.language import marked, say
from latentbench.run_folder import RunFiles
from latentbench.stats.cells import Cell, summarise

Array = NDArray[Any]
Curves = Mapping[int | None, Sequence[float]]
"""By seed: a number an epoch."""

LARGEST = 256 << 20
"""Most bytes that the arrays of an artifact may take; those of a run take some megabytes."""

ROLES = marked(
    (
        "data",
        "strips",
        "samples",
        "posterior",
        "reconstructions",
        "map",
        "points",
        "atlas",
        "plane",
        "columns",
        "explorer",
    )
)
"""Artifacts that the page draws."""


class Absent(ValueError):
    """A picture cannot be drawn; the message is the sentence that stands in its place."""


@dataclass(frozen=True)
class Artifact:
    """What one artifact holds: named arrays, the small extras of its record, and the seed it was made with."""

    role: ArtifactRole
    model: str
    arrays: Mapping[str, Array]
    detail: Mapping[str, Any]
    seed: int | None

    def __contains__(self, name: str) -> bool:
        return name in self.arrays

    def need(self, name: str) -> Array:
        """The array of this name, one that its role declares. Raises Absent where it is not there or has the wrong number
        of axes."""
        allowed = artifact_schema.ARRAYS[self.role][name]
        where = say("the {artifact}", artifact=_artifact(self.role, self.model))
        if name not in self.arrays:
            raise Absent(say("Not drawn: {where} holds no '{name}'.", where=where, name=name))
        array = self.arrays[name]
        if array.ndim not in allowed:
            raise Absent(
                say("Not drawn: '{name}' of {where} has shape {shape}.", name=name, where=where, shape=array.shape)
            )
        return array


@dataclass(frozen=True, eq=False)
class RunFolder:
    """One run: ``label`` tells it from others on the same page, ``models`` are its specs in order of appearance."""

    path: Path
    label: str
    records: Kept
    models: tuple[str, ...]
    detail: Mapping[str, Any]
    _memo: dict[tuple[ArtifactRole, str], Artifact] = field(default_factory=dict, init=False, repr=False)

    @property
    def lang(self) -> str:
        """The language that the run was asked in; English where it does not say, or says one that is not there."""
        asked = (self.detail.get("config") or {}).get("lang")
        return asked if asked in language.codes() else language.ENGLISH.code

    @cached_property
    def dataset(self) -> str:
        """Name of the data."""
        return next((r.dataset for r in self.records if r.dataset), "")

    @cached_property
    def dataset_hash(self) -> str:
        """Content hash of the data: runs with equal ones saw the same images in the same splits."""
        return next((r.dataset_hash for r in self.records if r.dataset_hash), "")

    @cached_property
    def latent_dim(self) -> int | None:
        """Size of the latent space, where all models share one."""
        models = frozenset(self.models)
        sizes = {r.latent_dim for r in self.records if r.latent_dim is not None and r.model in models}
        return sizes.pop() if len(sizes) == 1 else None

    def latent_dim_of(self, model: str) -> int | None:
        """Size of one model's latent space; None where no record names it."""
        return self._latent_dims.get(model)

    @cached_property
    def _latent_dims(self) -> Mapping[str, int]:
        out: dict[str, int] = {}
        for r in self.records:
            if r.latent_dim is not None:
                out.setdefault(r.model, r.latent_dim)
        return out

    @cached_property
    def of_model(self) -> Mapping[str, Sequence[Record]]:
        """The records of each model, in order."""
        out: dict[str, list[Record]] = {}
        for r in self.records:
            out.setdefault(r.model, []).append(r)
        return out

    def losses_of(self, model: str) -> tuple[Curves, Curves]:
        """The losses of each seed's training and validation, epoch by epoch."""
        found: dict[str, dict[int | None, Sequence[float]]] = {"loss.train": {}, "loss.val": {}}
        for r in self.of_model.get(model, ()):
            if r.kind == "curve" and r.metric in found and r.samples:
                found[r.metric][r.seed] = list(r.samples)
        return found["loss.train"], found["loss.val"]

    def best_epochs_of(self, model: str) -> dict[int | None, int]:
        """The epoch of each seed, counted from 1, whose weights were kept."""
        rows = [r for r in self.of_model.get(model, ()) if r.metric == "train.epochs"]
        return {r.seed: k for r in rows if isinstance(k := r.detail.get("kept"), int) and k > 0}

    @cached_property
    def cells_of(self) -> Mapping[str, Sequence[Cell]]:
        """The cells of each model, in order."""
        out: dict[str, list[Cell]] = {}
        for c in summarise(self.records):
            out.setdefault(c.model, []).append(c)
        return out

    def has_own_prior(self, model: str) -> bool:
        """Whether a model was trained with a prior of its own, as what was measured of it says."""
        return any(c.own_prior for c in self.cells_of.get(model, ()))

    @cached_property
    def seeds(self) -> tuple[int, ...]:
        """Every seed that a record of a model names."""
        models = frozenset(self.models)
        return tuple(sorted({r.seed for r in self.records if r.seed is not None and r.model in models}))

    def artifact(self, role: ArtifactRole, model: str = "") -> Artifact:
        """The arrays of one artifact. Raises Absent with the reason in a sentence."""
        if (role, model) not in self._memo:
            self._memo[role, model] = self._load(role, model)
        return self._memo[role, model]

    def _load(self, role: ArtifactRole, model: str) -> Artifact:
        what = _artifact(role, model)
        row = next((r for r in self.of_model.get(model, ()) if r.kind == "artifact" and r.metric == role), None)
        if row is None:
            raise Absent(say("Not drawn: this run recorded no {what}.", what=what))
        if row.status != "ok" or not row.path:
            why = words.reason(row.reason)
            raise Absent(say("Not drawn: {what} {status}: {why}.", what=what, status=say(row.status), why=why))
        if artifact_schema.is_newer(row.detail):
            text = marked("Not drawn: {path}, the {what}, was written by a newer version of latentbench; update it.")
            raise Absent(say(text, path=row.path, what=what))
        try:
            place = (self.path / row.path).resolve()
        except (OSError, RuntimeError, ValueError) as error:  # links in a circle, no name of a file
            text = marked("Not drawn: {path} cannot be read: {error}.")
            raise Absent(say(text, path=row.path, error=error)) from None
        if not place.is_relative_to(self.path.resolve()):
            raise Absent(say("Not drawn: the {what} lies outside the run folder.", what=what))
        if not place.is_file():
            text = marked("Not drawn: {path}, the {what}, is not in the run folder any more.")
            raise Absent(say(text, path=row.path, what=what))
        if row.sha256 and records.file_digest(place) != row.sha256:
            text = marked("Not drawn: {path}, the {what}, is not the file this run recorded (its hash differs).")
            raise Absent(say(text, path=row.path, what=what))
        try:
            arrays = read_npz(place, LARGEST)
        except Unreadable as error:
            text = marked("Not drawn: {path} cannot be read: {error}.")
            raise Absent(say(text, path=row.path, error=error)) from None
        return Artifact(role, model, arrays, row.detail, row.seed)


def _artifact(role: str, model: str) -> str:
    return say("{role} of {model}", role=say(role), model=model) if model else say(role)


def load(folders: Sequence[Path]) -> list[RunFolder]:
    """Read run folders. Raises ValueError, one line naming the folder or file, where one is not a run folder."""
    if not folders:
        raise ValueError("report: no run folder given")
    paths = [Path(f) for f in folders]
    return [_read(path, label) for path, label in zip(paths, _labels(paths), strict=True)]


def _read(path: Path, label: str) -> RunFolder:
    rows = RunFiles(path).read_records("report")
    if not rows:
        raise ValueError(f"report: {RunFiles(path).records} holds no record")
    run = records.run_record(rows)
    named = {r.model for r in rows if r.is_model}
    declared = [m for m in (run.detail.get("models") or {} if run else {}) if isinstance(m, str)]
    order = dict.fromkeys([*declared, *(r.model for r in rows if r.model in named)])
    return RunFolder(path, label, rows, tuple(order), run.detail if run else {})


def _labels(paths: Sequence[Path]) -> list[str]:
    """Folder names, numbered where two are equal."""
    names = [p.resolve().name for p in paths]
    return [n if names.count(n) == 1 else f"{n} ({names[: i + 1].count(n)})" for i, n in enumerate(names)]
