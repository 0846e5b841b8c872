"""Arrays from the user's own numpy file: ``npz:PATH``, its arrays by name.

Python objects are refused: loading them would run their code.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from numpy.typing import NDArray

from latentbench import machine
from latentbench.core import Dataset, DatasetEntry
from latentbench.datasets import named
from latentbench.datasets.arrays import ARRAYS, from_arrays
from latentbench.datasets.where import regular, where
from latentbench.files.arrays import Unreadable, look_npz, read_npz


def load_npz(argument: str, data_root: str, seed: int) -> Dataset:
    """The file's samples, in its own splits where it has some. Raises ValueError, one line, for whatever cannot be used."""
    asked = where("npz", argument, named.OPTIONS)
    path = regular("npz", asked.place, "a file of arrays, such as numpy.savez(PATH, x=images, y=labels) writes")
    try:
        there = look_npz(path)
    except Unreadable as error:
        raise ValueError(f"{path}: cannot be read as an npz of plain arrays: {error}") from None
    most = machine.memory() // 2

    def read(name: str) -> NDArray[Any]:
        try:
            return read_npz(path, most, (name,))[name]
        except Unreadable as error:
            raise ValueError(f"{path}: cannot be read as an npz of plain arrays: {error}") from None

    held = {name: named.Held(one.shape, one.kind, partial(read, name)) for name, one in there.items()}
    return from_arrays(path, held, asked.options, seed)


NPZ = DatasetEntry(
    "npz",
    load_npz,
    "arrays of your own: x and y, x_train and x_test, train_images, ...",
    "a file of yours, written by numpy.savez",
    takes="PATH",
    defaults=ARRAYS,
)
