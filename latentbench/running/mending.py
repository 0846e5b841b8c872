"""What a run folder has lost since it was written, and whether it can be made good.

A finished run says in its seal (`latentbench.run_folder.Seal`) which units and files it left. Whatever is not there as it
was left is computed, or put together, anew by the same command, and never used as it is. Where the code has changed since,
what would be computed is not what was lost: that is refused.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import get_args

from latentbench import records
from latentbench.records import Record
from latentbench.run_folder import RunFiles, RunState, unused
from latentbench.run_info import RunInfo, find_run_info
from latentbench.running import manifest
from latentbench.running.assemble import Page
from latentbench.running.manifest import Manifest, promised
from latentbench.running.plan import Planned
from latentbench.running.unit import UnitKind

UNIT = re.compile(rf"(?:{'|'.join(get_args(UnitKind))})-[0-9a-f]{{12}}")
"""What a unit's folder is called."""
TOLD = 3
"""Names of what is lost that a line gives."""


@dataclass(frozen=True)
class Losses:
    """Names of the ``units`` and ``files`` that are not as a finished run left them, whether all of these are made of
    ``records`` that are whole, and what the run ``said`` of itself."""

    units: tuple[str, ...]
    files: tuple[str, ...]
    records: bool
    said: RunInfo | None

    def __str__(self) -> str:
        names = (*self.units, *self.files)
        return ", ".join(names[:TOLD]) + (f" and {len(names) - TOLD} more" if len(names) > TOLD else "")


def losses(planned: Planned, state: RunState) -> Losses:
    """What a finished run has lost; of one by a version that left no seal only a missing file is known. Raises ValueError
    for a loss that this version of the code would not make good."""
    files, seal = RunFiles(planned.folder), state.seal
    if seal is None:
        units: tuple[str, ...] = ()
        names = (files.records, files.page, files.summary, files.table)
        altered = tuple(p.name for p in names if not p.is_file())
        other_code = bool(planned.units)
    else:
        units = tuple(name for name in seal.units if not _is_whole(files.units / name))
        altered = tuple(files.altered(seal))
        other_code = seal.plan != planned.mark
    whole = not units and files.records.name not in altered
    if other_code and not whole:
        raise ValueError(
            f"out: {planned.folder} was finished by another version of the code, and {(*units, *altered)[0]} is lost or "
            "damaged since; choose a new folder"
        )
    return Losses(units, altered, whole, _said(state))


def _said(state: RunState) -> RunInfo | None:
    known = {f.name for f in fields(RunInfo)}
    said = {k: v for k, v in state.about.items() if k in known and v is not None}
    return RunInfo(**said) if {"started", "environment", "dataset", "definitions"} <= said.keys() else None


def _is_whole(folder: Path) -> bool:
    unit = manifest.read(folder)
    return unit is not None and unit.is_whole


def same_run(planned: Planned) -> None:
    """Raises ValueError where a folder whose run.json is lost cannot be told to hold this very run: it has units of another
    one, records of another one, or no unit at all."""
    files = RunFiles(planned.folder)
    keys = {part.key for part in planned.parts}
    units = _units(files.units)
    if not units:
        unused(planned.folder)
    others = any(promised(part.key) not in keys for unit in units for part in unit.parts)
    if others or _named_otherwise(files.records, planned.run.id):
        raise ValueError(f"out: {planned.folder} holds another run, its run.json lost; choose a new folder")


def _units(place: Path) -> list[Manifest]:
    folders = sorted(place.iterdir()) if place.is_dir() else []
    return [unit for path in folders if UNIT.fullmatch(path.name) and (unit := manifest.read(path)) is not None]


def _named_otherwise(path: Path, run: str) -> bool:
    try:
        return any(r.run != run for r in records.read(path))
    except (OSError, ValueError):
        return False  # lost or damaged too: the units say whose run it is


def clear_damaged(planned: Planned) -> None:
    """Remove the units that cannot be used, so that nothing is left of what was found damaged."""
    used = {unit.folder.resolve() for unit in planned.found.values()}
    place = RunFiles(planned.folder).units
    for path in place.iterdir():
        if UNIT.fullmatch(path.name) and path.resolve() not in used and not _is_whole(path):
            shutil.rmtree(path, ignore_errors=True)


def write_anew(folder: Path, state: RunState, rows: Sequence[Record], lost: bool, lang: str, page: Page) -> None:
    """A finished run's page and tables once more, where they are ``lost`` or in another language than is asked for; its
    records stay as they are."""
    files, seal, info = RunFiles(folder), state.seal, find_run_info(rows)
    written = seal.lang if seal else (info.config.get("lang") if info else None) or "en"
    if lost or written != lang:
        if seal is not None:
            files.page.unlink(missing_ok=True)  # the seal says that it was this run's, whatever became of its content
        page.write(folder, lang)
        if seal is not None:
            files.write_state(replace(state, seal=files.seal(seal.plan, seal.units, lang)))
