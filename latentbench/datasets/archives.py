"""Images in an archive: ``zip:PATH``, ``tar:PATH`` (packed or not); what lies in it is read as a folder's (`folder`).

The archive is unpacked once, beside what else is laid down under the data root. Only images are written, under names that lead
nowhere else; links and devices are passed over. What an archive declares is held against the room on the disk before
anything is written, and never more than that is: a kilobyte that unpacks to a terabyte is refused.
"""

from __future__ import annotations

import math
import os
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

from latentbench.core import Dataset, DatasetEntry
from latentbench.datasets.folder import DEFAULTS, OPTIONS, load_images
from latentbench.datasets.pictures import sized
from latentbench.datasets.tree import is_image
from latentbench.datasets.where import regular, where
from latentbench.files.outputs import at_home
from latentbench.records import digest

MEMBERS = 2_000_000
"""Most files of an archive."""
IMAGE = 2**28
"""Most bytes of an image."""
RATIO = 200
"""How many times its own size an archive may unpack to, once that is more than `SMALL`: images hardly shrink at all."""
SMALL = 2**30
BLOCK = 2**20


class Member(NamedTuple):
    """A file of an archive: its name, its declared size, and how it is opened."""

    name: str
    size: int
    open: Callable[[], IO[bytes] | None]


def load_archive(kind: str, argument: str, data_root: str, seed: int) -> Dataset:
    """The archive's images in memory. Raises ValueError, one line, for whatever cannot be used."""
    return load_within(kind, argument, data_root, seed, math.inf, True)


def load_within(kind: str, argument: str, data_root: str, seed: int, memory: float, decode: bool) -> Dataset:
    """The archive's images, streamed where they take more than ``memory`` bytes; see `folder.load_within`."""
    asked = where(kind, argument, OPTIONS)
    place, size = sized(kind, asked.path, asked.options.get("size"))
    path = regular(kind, place, f"a {kind} archive of images")
    root = _unpacked(kind, path, at_home("data_root", data_root) / "unpacked")
    try:
        return load_images(root, path.name, size, asked.options.get("range"), data_root, seed, memory, decode)
    except ValueError as error:
        raise ValueError(str(error).replace(str(root), str(path))) from None


def _unpacked(kind: str, path: Path, place: Path) -> Path:
    """The folder in which the archive's images lie, unpacked now where they do not lie there yet."""
    from filelock import FileLock

    stat = path.stat()
    key = digest([kind, str(path.resolve()), stat.st_size, stat.st_mtime_ns], 16)
    final = place / f"{path.name[:80]}-{key}"
    if final.is_dir():
        return final
    try:
        place.mkdir(parents=True, exist_ok=True)
        with FileLock(place / f".{final.name}.lock"):
            if final.is_dir():
                return final
            making = Path(tempfile.mkdtemp(dir=place, prefix=".unpacking-"))
            try:
                _unpack(kind, path, making)
                os.replace(making, final)
            finally:
                shutil.rmtree(making, ignore_errors=True)
    except OSError as error:
        raise ValueError(
            f"data_root: cannot unpack {path} to {place.absolute()}: {error.strerror or error}; make room or name another "
            "folder with --data-root"
        ) from None
    return final


def _unpack(kind: str, path: Path, folder: Path) -> None:
    most = min(shutil.disk_usage(folder).free // 2, max(SMALL, RATIO * path.stat().st_size))
    try:
        with zipfile.ZipFile(path) if kind == "zip" else tarfile.open(path) as archive:
            count = total = 0
            for member in _zip_members(archive) if isinstance(archive, zipfile.ZipFile) else _tar_members(archive):
                count, total = count + 1, total + member.size
                if count > MEMBERS:
                    raise ValueError(f"it holds more than {MEMBERS:,} images")
                if total > most or member.size > IMAGE:
                    raise ValueError(f"its images take {total:,} bytes or more; at most {most:,} here, {IMAGE:,} each")
                _write(member, folder)
    except Exception as error:  # a damaged file makes zipfile, tarfile and zlib raise errors of every kind
        if isinstance(error, OSError) and error.errno is not None:  # the disk's, not the archive's
            raise
        why = " ".join(str(error).split()).partition(": - method")[0] or type(error).__name__
        raise ValueError(f"{path}: cannot be read as a {kind} archive: {why}") from None


def _zip_members(archive: zipfile.ZipFile) -> Iterator[Member]:
    for info in archive.infolist():
        if not info.is_dir() and _wanted(info.filename):
            if info.flag_bits & 1:
                raise ValueError(f"{info.filename} is encrypted")
            yield Member(info.filename, info.file_size, partial(archive.open, info))


def _tar_members(archive: tarfile.TarFile) -> Iterator[Member]:
    for info in archive:
        if info.isreg() and _wanted(info.name):
            yield Member(info.name, info.size, partial(archive.extractfile, info))


def _wanted(name: str) -> bool:
    parts = PurePosixPath(name.replace("\\", "/")).parts
    return is_image(name) and not any(p == "__MACOSX" or (p.startswith(".") and p not in (".", "..")) for p in parts)


def _write(member: Member, folder: Path) -> None:
    """One image, at its name within the folder. Raises ValueError for a name that leads elsewhere, and for more than declared."""
    parts = PurePosixPath(member.name.replace("\\", "/")).parts
    if ".." in parts or member.name.startswith(("/", "\\")) or any(":" in p or "\0" in p for p in parts):
        raise ValueError(f"'{member.name}' leads out of the archive")
    target = folder.joinpath(*parts)
    target.parent.mkdir(parents=True, exist_ok=True)
    source = member.open()
    if source is None:
        return
    left = member.size
    with source, target.open("wb") as out:
        while block := source.read(min(BLOCK, left + 1)):
            left -= len(block)
            if left < 0:
                raise ValueError(f"'{member.name}' is larger than declared")
            out.write(block)


def _entry(kind: str) -> DatasetEntry:
    return DatasetEntry(
        kind,
        partial(load_archive, kind),
        f"your own images in a {kind} archive; PATH@64 sets their size",
        "a file of yours",
        takes="PATH",
        defaults=DEFAULTS,
        load_within=partial(load_within, kind),
    )


ZIP = _entry("zip")
TAR = _entry("tar")
