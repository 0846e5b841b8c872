"""What lies where in a run folder. Nothing else in the package knows it.

    records.jsonl                        every record: the truth of the folder, there once the run is over
    run.json                             what the folder is the run of, and how far it is
    report.html, summary.md, results.csv made of the records
    artifacts/<kind>-<key>/              what one unit of work gave, whole or not at all: its own records.jsonl, weights
                                         seed-N.safetensors, pictures, and manifest.json, by which it is known to be whole
    artifacts/.making-*-<host>-<pid>     what is half made, and by which process
    artifacts/.failed/<kind>-<key>       why a unit failed that one of several shards of the run tried
    .lock, .shard-<I>-of-<N>.lock        there while a process is at work on the folder, or on a shard of the run

Standard library and records only: a folder is read on machines with no torch.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal, get_args

from latentbench import records
from latentbench.files import durable
from latentbench.records import Kept, Record

RECORDS = "records.jsonl"
MANIFEST = "manifest.json"
ARTIFACTS = "artifacts"
EVALUATION = f"{ARTIFACTS}/evaluate"
"""Where the pictures of a model that was not trained here lie."""
MAKING = ".making-"
SHARD_LOCKS = ".shard-*-of-*.lock"

RunStatus = Literal["unfinished", "finished"]


@dataclass(frozen=True)
class RunState:
    """What run.json says: whose run the folder holds, how far it is, the hash of its data, and what else is said
    ``about`` it for a reader's eye; of a finished run also how it was left (see `Seal`)."""

    id: str
    status: RunStatus
    dataset_sha256: str | None = None
    about: Mapping[str, Any] = field(default_factory=dict)
    seal: Seal | None = None


@dataclass(frozen=True)
class Seal:
    """How a finished run was left: the mark of its ``plan`` (equal for equal parts), the names of its ``units``, the
    sha256 of each of the other ``files``, the language they are in. By it a later loss is seen."""

    plan: str
    units: tuple[str, ...]
    files: Mapping[str, str]
    lang: str

    @classmethod
    def from_json(cls, row: Any) -> Seal | None:
        """The seal that run.json holds; None where it holds none, or what no run wrote."""
        try:
            seal = cls(row["plan"], tuple(row["units"]), dict(row["files"]), row["lang"])
        except (KeyError, TypeError, ValueError):
            return None
        said = (seal.plan, seal.lang, *seal.units, *seal.files, *seal.files.values())
        return seal if all(isinstance(s, str) for s in said) else None


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
    def written(self) -> tuple[str, ...]:
        """The names of the files that a run writes beside its units."""
        return tuple(p.name for p in (self.records, self.state, self.page, self.summary, self.table))

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
        """Where whoever hands units to workers may leave files while this process carries the run out."""
        return self.path / ARTIFACTS / making("jobs")

    @property
    def failures(self) -> Path:
        """Where shards say why a unit failed."""
        return self.path / ARTIFACTS / ".failed"

    def shard_lock(self, number: int, of: int) -> Path:
        """The file that a process at work on a shard of the run holds."""
        return self.path / f".shard-{number}-of-{of}.lock"

    @property
    def shard_locks(self) -> list[Path]:
        """Those of them that there are."""
        return sorted(self.path.glob(SHARD_LOCKS))

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
            durable.make_folder(made)
        except OSError as error:
            raise ValueError(f"out: cannot write to {self.path}: {error.strerror}") from None
        return made

    def unmake(self) -> None:
        """Undo `make`, where nothing was written."""
        with suppress(OSError):
            self.units.rmdir()
            self.path.rmdir()

    def clear(self) -> None:
        """Remove what is half made, and what shards left. Only where nobody else is at work on the folder."""
        for left in (self.path / ARTIFACTS).glob(f"{MAKING}*"):
            shutil.rmtree(left, ignore_errors=True)
        for path in (*durable.half_written(self.path, self.written), *self.shard_locks):
            path.unlink(missing_ok=True)

    def clear_own(self) -> None:
        """Remove what processes of this machine left half made that are no more: others may be at work, here or on other
        machines, of which nobody here can tell whether they are."""
        for left in (self.path / ARTIFACTS).glob(f"{MAKING}*-{host()}-*"):
            number = left.name.rpartition("-")[2]
            if number.isdecimal() and not _is_running(int(number)):
                shutil.rmtree(left, ignore_errors=True)

    def read_records(self, who: str) -> Kept:
        """All records of a finished run. Raises ValueError, one line that begins with ``who`` asks, where there is none,
        or its records cannot be read."""
        if self.is_run:
            state = self.read_state()
            if state is not None and state.seal is not None and self.records.name in self.altered(state.seal):
                raise ValueError(
                    f"{who}: {self.records} is not what the run wrote (damaged, or changed since); "
                    f"the command in {self.state.name} puts it together again"
                )
            return Kept(records.read(self.records))
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
        except (OSError, ValueError, RecursionError):
            return None
        if not isinstance(row, dict) or not {"id", "status"} <= row.keys():
            return None
        if "sha256" in row and row.pop("sha256") != records.digest(row, 64):
            return None
        named, status, data = row.pop("id"), row.pop("status"), row.pop("dataset_sha256", None)
        if not isinstance(named, str) or status not in get_args(RunStatus) or not isinstance(data, str | None):
            return None
        return RunState(named, status, data, row, Seal.from_json(row.pop("seal", None)))

    def write_state(self, state: RunState) -> None:
        """Write run.json, atomically."""
        row = {"id": state.id, "status": state.status, "dataset_sha256": state.dataset_sha256, **state.about}
        if state.seal is not None:
            row["seal"] = asdict(state.seal)
        row["sha256"] = records.digest(json.loads(records.canonical(row)), 64)
        records.write_text(self.state, json.dumps(row, indent=2, ensure_ascii=False, default=dict) + "\n")

    def seal(self, plan: str, units: Iterable[str], lang: str) -> Seal:
        """How a run with these units is left: see `Seal`."""
        made = (self.records, self.page, self.summary, self.table)
        files = {p.name: records.file_digest(p) for p in made if p.is_file()}
        return Seal(plan, tuple(sorted(units)), files, lang)

    def altered(self, seal: Seal) -> list[str]:
        """The names of the files that are not there any more as they were left."""
        out = []
        for name, sha256 in seal.files.items():
            try:
                same = records.file_digest(self.path / Path(name).name) == sha256
            except OSError:
                same = False
            if not same:
                out.append(name)
        return out

    @property
    def is_blank(self) -> bool:
        """True where nothing lies here, or only what a run leaves that was killed before it had anything."""
        if not self.path.exists():
            return True
        if not self.path.is_dir():
            return False
        # By names alone: others may be at work here, and what they make and remove comes and goes between two looks.
        names = [p.name for p in self.path.iterdir() if p != self.units]
        units = self.units.iterdir() if self.units.is_dir() else ()
        return all(self._is_left(name) for name in names) and all(p.name.startswith(MAKING) for p in units)

    def _is_left(self, name: str) -> bool:
        """Whether a file of this name is one that a killed run leaves before it has anything."""
        half = any(name.startswith(f".{written}.") for written in self.written)
        return half or name == self.lock.name or fnmatchcase(name, SHARD_LOCKS)


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


def host() -> str:
    """This machine's name, as far as it can stand in that of a file."""
    return re.sub(r"[^A-Za-z0-9.]+", "_", platform.node()) or "_"


def making(what: str) -> str:
    """What a file or folder is called while this process makes it: on a file system of several machines a process's number
    is not enough."""
    return f"{MAKING}{what}-{host()}-{os.getpid()}"


def _is_running(pid: int) -> bool:
    if os.name == "nt":  # where signal 0 ends a process
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


@contextmanager
def whole_or_not_at_all(final: Path) -> Iterator[Path]:
    """A folder to fill, put in place as ``final`` at the end; where another process was first, its result stays."""
    place = final.with_name(making(final.name))
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    try:
        yield place
        try:
            durable.put_in_place(place, final)
        except OSError:
            if not (final / RECORDS).exists():
                raise
    finally:
        shutil.rmtree(place, ignore_errors=True)
