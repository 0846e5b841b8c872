"""manifest.json of a unit's folder: which parts it holds, and by which its files can be told to be whole.

    parts   what each part is, and how many of the folder's records are its own, in their order
    files   name -> size and sha256 of every other file
    made    what it was computed with: torch, the processor and its instructions, threads, the GPU
    sha256  of all this

It is written last. A folder without one, or with one that does not match its files, holds nothing that may be used again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from latentbench import records
from latentbench.machine import processor, threads
from latentbench.records import Record, digest
from latentbench.run_folder import MANIFEST, RECORDS
from latentbench.running.unit import Part

Rows = Sequence[tuple[Part, Sequence[Record]]]
"""What a unit gives: each of its parts with its records."""
WITHOUT = "-without-"


@dataclass(frozen=True)
class Manifest:
    """What a manifest says: the unit's ``folder``, its ``parts`` with how many records each has, its ``files`` (name ->
    size, sha256), what it was ``made`` with."""

    folder: Path
    parts: Mapping[Part, int]
    files: Mapping[str, tuple[int, str]]
    made: Mapping[str, Any]

    @property
    def is_whole(self) -> bool:
        """True where every file is there with the content it was written with."""
        try:
            return all(
                (self.folder / name).stat().st_size == size and records.file_digest(self.folder / name) == sha
                for name, (size, sha) in self.files.items()
            )
        except OSError:
            return False

    def rows(self) -> dict[str, list[Record]]:
        """The records of each part, by its key. Raises ValueError where they are not those that were written."""
        self.check(RECORDS)
        rows = records.read(self.folder / RECORDS)
        if len(rows) != sum(self.parts.values()):
            raise ValueError(
                f"{self.folder / RECORDS} holds {len(rows)} records, {sum(self.parts.values())} were written"
            )
        out, start = {}, 0
        for part, count in self.parts.items():
            out[part.key], start = rows[start : start + count], start + count
        return out

    def check(self, name: str) -> str:
        """The sha256 of one of the unit's files. Raises ValueError, one line, where the file is not what was written."""
        size, sha = self.files.get(name, (-1, ""))
        path = self.folder / name
        try:
            if path.stat().st_size == size and records.file_digest(path) == sha:
                return sha
            why = "is damaged: it is not what was written"
        except OSError as error:
            why = f"cannot be read: {error.strerror}"
        raise ValueError(f"{path} {why}; the same command with --resume computes it anew")


def without(part: Part, missing: Sequence[str]) -> Part:
    """The part as it is kept where it made do without some of the weights that its key promises: under another key, so
    that it is never found in place of the whole one."""
    return replace(part, key=f"{part.key}{WITHOUT}{digest(sorted(missing))}") if missing else part


def promised(key: str) -> str:
    """The key of the part that one of this key stands for, for want of better."""
    return key.partition(WITHOUT)[0]


def here(device: str) -> dict[str, Any]:
    """What a worker on this machine computes with, as far as the last digits of a number may depend on it."""
    return {
        "torch": torch.__version__,
        "processor": processor(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "threads": threads(),
        "gpu": torch.cuda.get_device_name() if device == "cuda" else None,
    }


def write(folder: Path, made: Mapping[str, Any], rows: Rows) -> None:
    """Write the records of a unit beside the files it has written to ``folder``, and the manifest of all."""
    records.write(folder / RECORDS, [r for _, own in rows for r in own])
    files = sorted(p for p in folder.iterdir() if p.is_file() and p.name != MANIFEST)
    content = {
        "parts": [{**asdict(part), "records": len(own)} for part, own in rows],
        "files": {p.name: [p.stat().st_size, records.file_digest(p)] for p in files},
        "made": dict(made),
    }
    row = {**content, "sha256": digest(content, 64)}
    records.write_text(folder / MANIFEST, json.dumps(row, indent=1, ensure_ascii=False) + "\n")


def read(folder: Path) -> Manifest | None:
    """The manifest of a unit's folder; None where there is none, or it is not what was written."""
    try:
        content = json.loads((folder / MANIFEST).read_text("utf-8"))
        if content.pop("sha256") != digest(content, 64):
            return None
        parts = {Part.from_json({k: v for k, v in p.items() if k != "records"}): p["records"] for p in content["parts"]}
        files = {Path(name).name: (size, sha) for name, (size, sha) in content["files"].items()}
        if RECORDS not in files:
            return None
        return Manifest(folder, parts, files, content["made"])
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None  # whatever a damaged file can hold
