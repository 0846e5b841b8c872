"""Arrays of a file that may come from anybody, read only after their declared sizes were found to be bearable.

A ``.npz`` is a zip archive of ``.npy`` files. A kilobyte of it can declare a terabyte, and numpy allocates what a header
declares before it reads on. Here the archive's table and every header are read first: no Python objects, no more than a
number of bytes in all, each header in agreement with the length of its member.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Callable, Container, Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple, TypeVar

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

MEMBERS = 1000
"""Most arrays of a file."""
HEADER = 10_000
"""Most bytes of an array's header."""
AXES = 8
"""Most axes of an array."""


T = TypeVar("T")


class Unreadable(ValueError):
    """The file is no archive of plain arrays within the limits; the message says why."""


class Header(NamedTuple):
    """What an array declares of itself: its shape, the type of its values in words (``unreadable`` where it does not say)."""

    shape: tuple[int, ...]
    kind: str


def look_npz(path: Path) -> dict[str, Header]:
    """What the arrays of an ``.npz`` file declare, by name; none of them is read. Raises Unreadable for another file."""
    return _opened(path, _look)


def read_npz(path: Path, most: int, wanted: Container[str] | None = None) -> dict[str, NDArray[Any]]:
    """The arrays of an ``.npz`` file by name; those that are not ``wanted`` (default: all are) are empty. ``most``: bytes
    that the wanted ones may take together. Raises Unreadable, before anything is allocated where it is too large."""
    return _opened(path, lambda archive: _read(archive, most, wanted))


def look_npy(path: Path) -> Header:
    """What a ``.npy`` file declares of its array. Raises Unreadable."""
    with path.open("rb") as stream:
        return _guarded(lambda: _header(path.name, stream)[0])


def read_npy(path: Path, most: int) -> NDArray[Any]:
    """The array of a ``.npy`` file of at most ``most`` bytes. Raises Unreadable, before anything is allocated."""

    def read() -> NDArray[Any]:
        with path.open("rb") as stream:
            if (total := _declared(path.name, stream, path.stat().st_size)) > most:
                raise Unreadable(f"it takes {total:,} bytes, more than {most:,}")
            stream.seek(0)
            return np.asarray(npy.read_array(stream, allow_pickle=False, max_header_size=HEADER))

    return _guarded(read)


def _opened(path: Path, use: Callable[[zipfile.ZipFile], T]) -> T:
    def opened() -> T:
        with zipfile.ZipFile(path) as archive:
            return use(archive)

    return _guarded(opened, path)


def _guarded(use: Callable[[], T], path: Path | None = None) -> T:
    """What ``use`` gives; Unreadable, one line, for every error that a damaged file can raise."""
    try:
        return use()
    except Unreadable:
        raise
    except zipfile.BadZipFile as error:
        why = str(error)[:1].lower() + str(error)[1:]
        raise Unreadable(
            "it is a single array, not an npz: read it with npy:PATH"
            if path and _is_npy(path)
            else f"it is not an npz file: {why}"
        ) from None
    except Exception as error:  # a damaged file makes numpy, zipfile, zlib and tokenize raise errors of every kind
        raise Unreadable(" ".join(str(error).split()) or type(error).__name__) from None


def _is_npy(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(npy.MAGIC_PREFIX)) == npy.MAGIC_PREFIX


def _read(archive: zipfile.ZipFile, most: int, wanted: Container[str] | None) -> dict[str, NDArray[Any]]:
    members = archive.infolist()
    if len(members) > MEMBERS:
        raise Unreadable(f"it holds {len(members)} arrays, more than {MEMBERS}")
    named: Mapping[str, zipfile.ZipInfo] = {m.filename.removesuffix(".npy"): m for m in members}
    taken = {name: m for name, m in named.items() if wanted is None or name in wanted}
    total = 0
    for name, member in taken.items():
        if not member.filename.endswith(".npy"):
            raise Unreadable(f"'{member.filename}' is not an array")
        with archive.open(member) as stream:
            total += _declared(name, stream, member.file_size)
        if total > most:
            raise Unreadable(f"its arrays take {total:,} bytes, more than {most:,}")
    out: dict[str, NDArray[Any]] = {name: np.empty(0) for name in named}
    for name, member in taken.items():
        with archive.open(member) as stream:
            out[name] = np.asarray(npy.read_array(stream, allow_pickle=False, max_header_size=HEADER))
    return out


def _look(archive: zipfile.ZipFile) -> dict[str, Header]:
    out: dict[str, Header] = {}
    members = archive.infolist()
    if len(members) > MEMBERS:
        raise Unreadable(f"it holds {len(members)} arrays, more than {MEMBERS}")
    for member in members:
        name = member.filename.removesuffix(".npy")
        try:
            with archive.open(member) as stream:
                out[name] = _header(name, stream)[0]
        except Exception:  # whoever wants this one is told why
            out[name] = Header((), "unreadable")
    return out


def _declared(name: str, stream: IO[bytes], size: int) -> int:
    """The bytes that an array's header declares. Raises Unreadable where they are not those that its member has, and for
    Python objects."""
    header, declared = _header(name, stream)
    if header.kind == "object":
        raise Unreadable("it holds Python objects, which are refused")
    if declared != size - stream.tell():
        raise Unreadable(f"'{name}' declares {declared:,} bytes and has {max(size - stream.tell(), 0):,}")
    return declared


def _header(name: str, stream: IO[bytes]) -> tuple[Header, int]:
    """What an array's header says, and the bytes that it declares."""
    version = npy.read_magic(stream)
    if version not in ((1, 0), (2, 0), (3, 0)):
        raise Unreadable(f"'{name}' has version {version} of the format")
    # 3.0 differs from 2.0 in the encoding of field names, and plain arrays have none.
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = read(stream, max_header_size=HEADER)
    if len(shape) > AXES or any(length < 0 for length in shape):
        raise Unreadable(f"'{name}' declares the shape {shape!s:.60}")
    return Header(shape, "object" if dtype.hasobject else str(dtype)), math.prod(shape) * dtype.itemsize
