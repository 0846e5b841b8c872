"""Arrays in the format of MNIST's own files: ``idx:PATH``, packed by gzip or not.

PATH is a folder with ``train-images-idx3-ubyte``, ``train-labels-idx1-ubyte``, ``t10k-...``, or one file of images, whose
labels lie beside it under the same name. The format: two zeros, the type of the values, the number of axes, each axis's
length in four bytes, the values, all of them with the highest byte first (LeCun, Cortes & Burges 1998).
"""

from __future__ import annotations

import math
import struct
import zlib
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentbench.core import Dataset, DatasetEntry
from latentbench.datasets import named
from latentbench.datasets.arrays import ARRAYS, from_arrays
from latentbench.datasets.where import bearable, regular, unpacked, where

TYPES = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
AXES = 8


def load_idx(argument: str, data_root: str, seed: int) -> Dataset:
    """The files' images. Raises ValueError, one line, for whatever cannot be used."""
    asked = where("idx", argument, named.OPTIONS)
    path = asked.place
    if path.is_dir():
        files = {_name(p): p for p in sorted(path.iterdir()) if "idx" in p.name and p.is_file()}
        if not files:
            raise ValueError(f"{path}: no idx files in it, such as train-images-idx3-ubyte or the same with .gz")
    else:
        regular("idx", path, "MNIST's files, or one of them")
        files = {_name(path): path}
        beside = path.with_name(path.name.replace("images", "labels").replace("idx3", "idx1"))
        if beside != path and beside.is_file():
            files[_name(beside)] = beside
    held = {name: named.Held(*_header(p), partial(_read, p)) for name, p in files.items()}
    return from_arrays(path, held, asked.options, seed)


def _name(path: Path) -> str:
    """``train-images`` of ``train-images-idx3-ubyte.gz`` and ``train-images.idx3-ubyte``."""
    return path.name.removesuffix(".gz").partition("idx")[0].rstrip("-._")


def _header(path: Path) -> tuple[tuple[int, ...], str]:
    try:
        with unpacked(path) as file:
            shape, kind, _ = _parse(file.read(4 + 4 * AXES))
            return shape, str(np.dtype(kind))
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise _unreadable(path, error) from None


def _parse(start: bytes) -> tuple[tuple[int, ...], str, int]:
    """Shape, type and length of the header."""
    if len(start) < 4 or start[:2] != b"\0\0" or start[2] not in TYPES or not 1 <= start[3] <= AXES:
        raise ValueError("it does not begin as one")
    axes = start[3]
    if len(start) < 4 + 4 * axes:
        raise ValueError("it ends within its header")
    return struct.unpack(f">{axes}I", start[4 : 4 + 4 * axes]), TYPES[start[2]], 4 + 4 * axes


def _read(path: Path) -> NDArray[Any]:
    try:
        with unpacked(path) as file:
            shape, kind, header = _parse(file.read(4 + 4 * AXES))
            size = math.prod(shape) * np.dtype(kind).itemsize
            bearable(f"{path}", size)
            file.seek(header)
            # One byte more than declared: what is too long is no idx file either.
            content = file.read(size + 1)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise _unreadable(path, error) from None
    if len(content) != size:
        has = f"has {len(content):,}" if len(content) < size else "has more"
        raise ValueError(f"{path}: cannot be read as an idx file: it declares {size:,} bytes and {has}")
    array = np.frombuffer(content, kind).reshape(shape)
    return array.astype(array.dtype.newbyteorder("="))


def _unreadable(path: Path, error: Exception) -> ValueError:
    return ValueError(f"{path}: cannot be read as an idx file: {' '.join(str(error).split())}")


IDX = DatasetEntry(
    "idx",
    load_idx,
    "MNIST's own file format: a folder of them, or one file of images",
    "files of yours; LeCun, Cortes & Burges 1998",
    takes="PATH",
    defaults=ARRAYS,
)
