"""What lies where in a run folder. Nothing else in the package knows it.

    records.jsonl                        every record: the truth of the folder, there once the run is over
    run.json                             what the folder is the run of, and how far it is
    report.html, summary.md, results.csv made of the records
    artifacts/<kind>-<key>/              what one unit of work gave, whole or not at all: its own records.jsonl, weights
                                         seed-N.safetensors, pictures, and manifest.json, by which it is known to be whole
    artifacts/.making-*                  what is half made
    .lock                                there while a process is at work on the folder

Standard library and records only: a folder is read on machines with no torch.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from latentbench import records
from latentbench.records import Record

RECORDS = "records.jsonl"
MANIFEST = "manifest.json"
ARTIFACTS = "artifacts"
EVALUATION = f"{ARTIFACTS}/evaluate"
"""Where the pictures of a model that was not trained here lie."""
MAKING = ".making-"

RunStatus = Literal["unfinished", "finished"]


@dataclass(frozen=True)
class RunState:
    """What run.json says: whose run the folder holds, how far it is, the hash of its data, and what else is said
    ``about`` it for a reader's eye."""

    id: str
    status: RunStatus
    dataset_sha256: str | None = None
    about: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class RunFiles:
    """The places in the run folder ``path``. That they are named does not mean that they are there."""

    path: Path

    @property
    def records(self) -> Path:
        """Every record of the run."""
        return self.path / RECORDS

    @property
    def state(self) -> Path:
        """What the folder is the run of."""
        return self.path / "run.json"

    @property
    def page(self) -> Path:
        """The report."""
        return self.path / "report.html"

    @property
    def summary(self) -> Path:
        """The scores in Markdown."""
        return self.path / "summary.md"

    @property
    def table(self) -> Path:
        """The scores as a flat table."""
        return self.path / "results.csv"

    @property
    def lock(self) -> Path:
        """The file that a process at work on the folder holds."""
        return self.path / ".lock"

    @property
    def units(self) -> Path:
        """The folder in which each unit of work has one."""
        return self.path / ARTIFACTS

    @property
    def jobs(self) -> Path:
        """Where whoever hands units to workers may leave files while the run is under way."""
        return self.path / ARTIFACTS / f"{MAKING}jobs"

    @property
    def is_run(self) -> bool:
        """True where the records of a run lie here."""
        return self.records.is_file()

    @property
    def is_unfinished(self) -> bool:
        """True where a run was begun here and its records are not yet put together."""
        return self.state.is_file() and not self.is_run

    def make(self, place: str = ARTIFACTS) -> Path:
        """Make the folder ``place`` in this one and return it. Raises ValueError where it cannot be made."""
        made = self.path / place
        try:
            made.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ValueError(f"out: cannot write to {self.path}: {error.strerror}") from None
        return made

    def clear(self) -> None:
        """Remove what is half made."""
        for left in (self.path / ARTIFACTS).glob(f"{MAKING}*"):
            shutil.rmtree(left, ignore_errors=True)

    def read_records(self, who: str) -> list[Record]:
        """All records of a finished run. Raises ValueError, one line that begins with ``who`` asks, where there is none,
        or its records cannot be read."""
        if self.is_run:
            return records.read(self.records)
        if self.is_unfinished:
            raise ValueError(f"{who}: {self.path} is an unfinished run; finish it with --resume")
        if not self.path.exists():
            why = "it does not exist"
        elif not self.path.is_dir():
            why = "it is not a folder"
        else:
            why = f"it holds no {RECORDS}"
        raise ValueError(f"{who}: {self.path} is not a finished run's folder: {why}")

    def write_records(self, rows: Iterable[Record]) -> None:
        """Write the run's records, atomically."""
        records.write(self.records, rows)

    def write_tables(self, summary: str, table: str) -> None:
        """Write ``summary.md`` and ``results.csv``, each atomically."""
        records.write_text(self.summary, summary)
        records.write_text(self.table, table)

    def read_state(self) -> RunState | None:
        """Whose run the folder holds; None where it holds none."""
        try:
            row = json.loads(self.state.read_text("utf-8"))
        except (OSError, ValueError):
            return None
        if not isinstance(row, dict) or not {"id", "status"} <= row.keys():
            return None
        return RunState(row.pop("id"), row.pop("status"), row.pop("dataset_sha256", None), row)

    def write_state(self, state: RunState) -> None:
        """Write run.json, atomically."""
        row = {"id": state.id, "status": state.status, "dataset_sha256": state.dataset_sha256, **state.about}
        records.write_text(self.state, json.dumps(row, indent=2, ensure_ascii=False, default=dict) + "\n")


def unused(folder: Path) -> Path:
    """The folder, where nothing is there yet or it is empty. Raises ValueError where a result could be overwritten."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"out: {folder} is not an empty folder; choose a new one")
    return folder


def unit_folder(kind: str, key: str) -> str:
    """Where the result of a unit of work lies, relative to the run folder."""
    return f"{ARTIFACTS}/{kind}-{key}"


def weights_name(seed: int) -> str:
    """The file in a unit's folder that holds the weights trained with a seed."""
    return f"seed-{seed}.safetensors"


@contextmanager
def whole_or_not_at_all(final: Path) -> Iterator[Path]:
    """A folder to fill, put in place as ``final`` at the end; where another process was first, its result stays."""
    making = final.with_name(f"{MAKING}{final.name}-{os.getpid()}")
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(parents=True)
    try:
        yield making
        try:
            os.rename(making, final)
        except OSError:
            if not (final / RECORDS).exists():
                raise
    finally:
        shutil.rmtree(making, ignore_errors=True)
