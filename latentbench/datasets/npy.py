"""A numpy array in a file of its own, or a folder of such: ``npy:PATH``.

``npy:images.npy:y=labels.npy``: the labels lie beside. In a folder the files' names say which is what, as those of arrays do.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from latentbench import machine
from latentbench.core import Dataset, DatasetEntry
from latentbench.datasets import named
from latentbench.datasets.arrays import ARRAYS, from_arrays
from latentbench.datasets.where import regular, where
from latentbench.files.arrays import Unreadable, look_npy, read_npy

ENDING = ".npy"
MOST = 1000
"""Most files of a folder."""


def load_npy(argument: str, data_root: str, seed: int) -> Dataset:
    """The samples of the file or the folder. Raises ValueError, one line, for whatever cannot be used."""
    asked = where("npy", argument, named.OPTIONS)
    path = asked.place
    if path.is_dir():
        inside = sorted(p for p in path.iterdir() if p.suffix == ENDING and p.is_file())[:MOST]
        return from_arrays(path, {p.stem: _held(p) for p in inside}, _bare(asked.options), seed)
    regular("npy", path, "a file that numpy.save wrote, or a folder of them")
    files = {p.name: p for p in sorted(path.parent.iterdir()) if p.suffix == ENDING and p.is_file()}
    # Which one is the samples was said; the others are only there to be named.
    wanted = {path.name, *(v.partition("[")[0] for k, v in asked.options.items() if k[0] in "xy")}
    held = {name: _held(p) for name, p in {path.name: path, **files}.items() if name in wanted}
    options = {"y": named.NOTHING, **asked.options}
    if any(key.startswith("x_") for key in options):
        raise ValueError(f"{path}: splits in files of their own: name their folder, npy:{path.parent}")
    return from_arrays(path, held, {**options, "x": path.name}, seed)


def _bare(options: Any) -> dict[str, str]:
    return {k: v.removesuffix(ENDING) if k[0] in "xy" else v for k, v in options.items()}


def _held(path: Path) -> named.Held:
    def guarded(read: Any) -> Any:
        try:
            return read()
        except Unreadable as error:
            raise ValueError(f"{path}: cannot be read as a plain array: {error}") from None

    def array() -> NDArray[Any]:
        out: NDArray[Any] = guarded(partial(read_npy, path, machine.memory() // 2))
        return out

    header = guarded(partial(look_npy, path))
    return named.Held(header.shape, header.kind, array)


NPY = DatasetEntry(
    "npy",
    load_npy,
    "an array of your own, or a folder of them",
    "a file of yours, written by numpy.save",
    takes="PATH",
    defaults=ARRAYS,
)
