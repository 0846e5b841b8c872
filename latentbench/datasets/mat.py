"""Arrays of a MATLAB file up to version 7.2: ``mat:PATH`` (newer ones are HDF5: ``h5:PATH``)."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentbench.core import Dataset, DatasetEntry
from latentbench.datasets import named
from latentbench.datasets.arrays import ARRAYS, from_arrays
from latentbench.datasets.where import bearable, regular, where

PLAIN = frozenset("double single int8 uint8 int16 uint16 int32 uint32 int64 uint64 logical char sparse".split())
"""MATLAB's classes that are arrays of numbers or characters."""
WIDEST = 8
"""Bytes that a value takes at most."""


def load_mat(argument: str, data_root: str, seed: int) -> Dataset:
    """The file's samples. Raises ValueError, one line, for whatever cannot be used."""
    from scipy.io import whosmat

    asked = where("mat", argument, named.OPTIONS)
    path = regular("mat", asked.place, "a MATLAB file")
    try:
        there = whosmat(path)
    except NotImplementedError:
        raise ValueError(f"{path}: MATLAB 7.3 writes HDF5; read it with h5:{path}") from None
    except Exception as error:  # a damaged file makes scipy raise errors of every kind
        raise _unreadable(path, error) from None

    def read(name: str, shape: tuple[int, ...]) -> NDArray[Any]:
        from scipy.io import loadmat

        bearable(f"{path}: {name}", WIDEST * math.prod(shape))
        try:
            array = loadmat(path, variable_names=[name])[name]
        except Exception as error:
            raise _unreadable(path, error) from None
        array = array.toarray() if hasattr(array, "toarray") else array
        out: NDArray[Any] = np.char.strip(array) if array.dtype.kind == "U" else array
        return out

    held = {
        name: named.Held(tuple(shape), kind if kind in PLAIN else "object", partial(read, name, tuple(shape)))
        for name, shape, kind in there
    }
    return from_arrays(path, held, asked.options, seed)


def _unreadable(path: Any, error: Exception) -> ValueError:
    return ValueError(
        f"{path}: cannot be read as a MATLAB file: {' '.join(str(error).split()) or type(error).__name__}"
    )


MAT = DatasetEntry(
    "mat",
    load_mat,
    "arrays of your own in a MATLAB file",
    "a file of yours, written by MATLAB or scipy",
    takes="PATH",
    defaults=ARRAYS,
)
