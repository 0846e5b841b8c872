"""What was computed before, and where: parts found by their keys in run folders and in the judges' cache.

Only a unit whose manifest matches its files byte for byte is used again, so folders made before there were manifests
give nothing. What is found elsewhere is linked into the run folder (copied where links cannot be made), unit by unit and
under the same name: a run folder is whole by itself, whatever becomes of the others.

A judge depends on nothing but the data. It is kept in the user's cache as well, under what it was made with (torch, the
processor, threads), since there nobody looks whether its last digits are those of this machine. What is damaged there is
not found, and written anew.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_cache_path

from latentbench.files.outputs import at_home, given
from latentbench.records import digest
from latentbench.run_folder import MAKING, MANIFEST, RunFiles, whole_or_not_at_all
from latentbench.running import manifest
from latentbench.running.manifest import Manifest
from latentbench.running.unit import Part

CACHE_VARIABLE = "LATENTBENCH_CACHE"
"""The environment variable that names another folder for the cache."""

Found = Mapping[str, Manifest]
"""Key of a part -> the manifest of the unit that holds it."""


@dataclass(frozen=True)
class Reused:
    """How much of a run was found elsewhere: trained models, measures (values and anchors), of how many; and what it was
    computed with, where that is not what there is here, a line each."""

    cells: int
    cells_asked: int
    measures: int
    measures_asked: int
    elsewhere: tuple[str, ...] = ()

    def __str__(self) -> str:
        return (
            f"reused {self.cells} of {self.cells_asked} trained models, "
            f"{self.measures} of {self.measures_asked} measures"
        )


def cache_folder() -> Path:
    """Where judges are kept for the next run. Raises ValueError, one line, where the user's variable names no folder, nor
    what could become one."""
    word = os.environ.get(CACHE_VARIABLE)
    if word is None:
        return user_cache_path("latentbench", appauthor=False)
    given(CACHE_VARIABLE, word)
    folder = at_home(CACHE_VARIABLE, word)
    try:
        above = next(path for path in (folder, *folder.absolute().parents) if path.exists() or path.is_symlink())
        why = "" if above.is_dir() else f"{'it' if above == folder else above} is not a folder"
    except OSError as error:  # a name too long
        why = error.strerror or "it cannot be looked at"
    if why:
        raise ValueError(
            f"{CACHE_VARIABLE}: '{word}' is not allowed: {why[:1].lower()}{why[1:]} (allowed: a folder, or a path to make one at)"
        )
    return folder


def _judges(made: Mapping[str, object]) -> Path:
    return cache_folder() / "judges" / digest(made)


def sources(folders: Iterable[str]) -> list[Path]:
    """The run folders to take from. Raises ValueError, one line, for one that is none."""
    out = [at_home("reuse", f) for f in folders]
    for path in out:
        if not RunFiles(path).units.is_dir():
            why = "it holds no run" if path.is_dir() else "there is no such folder"
            raise ValueError(f"reuse: {path} cannot be taken from: {why}")
    return out


def find(parts: Sequence[Part], own: Path, others: Sequence[Path], device: str, cache: bool) -> dict[str, Manifest]:
    """Where each of the parts lies that was computed before: in the run folder itself first, then in the ``others``, a
    judge also in the ``cache``. Times are taken from what was made with the same as here: they are this machine's."""
    here, out = manifest.here(device), dict[str, Manifest]()
    wanted = {p.key for p in parts}
    timed = {p.key for p in parts if p.kind == "time"}
    judges = {p.key for p in parts if p.kind == "judge"}
    for place in (own, *others):
        for unit in _units(RunFiles(place).units):
            keys = _missing(unit, wanted) - (timed if place != own and unit.made != here else set())
            if keys and unit.is_whole:
                out.update(dict.fromkeys(keys, unit))
                wanted -= keys
    if cache and judges - out.keys():
        made = manifest.here("cpu")
        for unit in _units(_judges(made)):
            keys = _missing(unit, judges - out.keys())
            if keys and unit.made == made and unit.is_whole:
                out.update(dict.fromkeys(keys, unit))
    return out


def _units(place: Path) -> Iterator[Manifest]:
    for path in sorted(place.glob(f"*/{MANIFEST}")):
        if not path.parent.name.startswith(MAKING) and (unit := manifest.read(path.parent)) is not None:
            yield unit


def _missing(unit: Manifest, keys: set[str]) -> set[str]:
    return {part.key for part in unit.parts if part.key in keys}


def count(parts: Sequence[Part], found: Found, own: Path, device: str) -> Reused:
    """How much of the parts was found outside the run's own folder and the cache."""
    homes = (RunFiles(own).units.resolve(), cache_folder().resolve())
    taken = [p for p in parts if p.key in found and not _lies_in(found[p.key].folder, homes)]
    made = [found[p.key].made for p in taken if p.kind != "judge"]
    here = manifest.here(device)
    elsewhere = [
        f"{made.count(one)} of the parts reused were computed on another machine or by another version "
        f"(torch {one.get('torch')}, {one.get('gpu') or one.get('processor')}): their last digits may differ from this one's"
        for one in {digest(m): m for m in made if m != here}.values()
    ]

    def cells(some: Sequence[Part]) -> int:
        return sum(p.kind == "train" for p in some)

    def measures(some: Sequence[Part]) -> int:
        return sum(bool(p.metric) for p in some)

    return Reused(cells(taken), cells(parts), measures(taken), measures(parts), tuple(elsewhere))


def _lies_in(folder: Path, homes: Sequence[Path]) -> bool:
    return any(folder.resolve().is_relative_to(home) for home in homes)


def take(found: Found, own: Path) -> None:
    """Put every unit that was found elsewhere in the run folder."""
    home = RunFiles(own).units
    for folder in {unit.folder for unit in found.values()}:
        if folder.resolve().parent != home.resolve():
            there = manifest.read(home / folder.name)
            if there is None or not there.is_whole:  # else another shard of the run has put it there
                _put(folder, home / folder.name)


def keep_judge(folder: Path) -> None:
    """Put a judge that was trained in the cache. Where nothing can be written there, none is kept."""
    unit = manifest.read(folder)
    if unit is None:
        return
    final = _judges(unit.made) / folder.name
    if (there := manifest.read(final)) is not None and there.is_whole:
        return  # another run was first, and a third may be reading it
    with contextlib.suppress(OSError):
        _put(folder, final)


def _put(folder: Path, final: Path) -> None:
    """A unit's folder at another place too, whole or not at all; what lies there was found damaged."""
    unit = manifest.read(folder)
    if unit is None:
        raise ValueError(f"reuse: {folder} is gone or has changed since the run was planned")
    shutil.rmtree(final, ignore_errors=True)
    with whole_or_not_at_all(final) as making:
        for name in (*unit.files, MANIFEST):
            try:
                os.link(folder / name, making / name)
            except OSError:  # another file system, or one that has no links
                shutil.copyfile(folder / name, making / name)
