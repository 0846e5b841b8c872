"""Arrays of an HDF5 file: ``h5:PATH``, by their names in it (``x=group/images``). Needs h5py.

Links to other files are not followed.
"""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from latentbench.core import Dataset, DatasetEntry
from latentbench.datasets import named
from latentbench.datasets.arrays import ARRAYS, from_arrays
from latentbench.datasets.where import bearable, missing_package, regular, where
from latentbench.files.arrays import MEMBERS

WORD = 64
"""Bytes that a string is taken to have."""


def load_h5(argument: str, data_root: str, seed: int) -> Dataset:
    """The file's samples. Raises ValueError, one line, for whatever cannot be used."""
    asked = where("h5", argument, named.OPTIONS)
    path = regular("h5", asked.place, "an HDF5 file")
    try:
        import h5py
    except ImportError:
        raise missing_package("h5", "h5py") from None
    held: dict[str, named.Held] = {}

    def look(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and item.shape is not None and len(held) < MEMBERS and not item.is_virtual:
            text = h5py.check_string_dtype(item.dtype) is not None
            kind = "string" if text else "object" if item.dtype.hasobject else str(item.dtype)
            held[name] = named.Held(tuple(item.shape), kind, partial(_read, path, name))

    try:
        with h5py.File(path, "r") as file:
            file.visititems(look)
    except Exception as error:  # a damaged file makes h5py raise errors of every kind
        raise _unreadable(path, error) from None
    return from_arrays(path, held, asked.options, seed)


def _read(path: Path, name: str) -> NDArray[Any]:
    import h5py

    try:
        with h5py.File(path, "r") as file:
            item = file[name]
            text = h5py.check_string_dtype(item.dtype) is not None
            if item.dtype.hasobject and not text:
                raise ValueError(f"{name} holds objects, which are refused")
            if item.external:
                raise ValueError(f"{name} lies in other files, which are not followed")
            bearable(f"{path}: {name}", math.prod(item.shape) * max(item.dtype.itemsize, WORD if text else 1))
            out: NDArray[Any] = item.asstr()[()] if text else item[()]
            return out
    except Exception as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: Exception) -> ValueError:
    return ValueError(f"{path}: cannot be read as HDF5: {' '.join(str(error).split()) or type(error).__name__}")


H5 = DatasetEntry(
    "h5",
    load_h5,
    "arrays of your own in an HDF5 file (needs h5py)",
    "a file of yours, written by h5py, MATLAB 7.3, Keras, ...",
    takes="PATH",
    defaults=ARRAYS,
)
