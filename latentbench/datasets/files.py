"""Images from the user's own files: ``npz:PATH`` with arrays ``x`` and, optionally, ``y``.

``x`` is (n, h, w), (n, h, w, c) or (n, c, h, w) with 1, 3 or 4 channels: unsigned bytes (divided by 255), booleans, or
floats in [0, 1]. ``y`` holds labels of any kind (`labels`). Nothing is rescaled by guess: values outside [0, 1] are refused.
Python objects are refused too: loading them would run their code.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentbench import machine
from latentbench.core import Dataset, DatasetEntry
from latentbench.datasets.labels import classes_of
from latentbench.datasets.splits import stratified
from latentbench.files.arrays import Unreadable, read_npz

CHANNELS = (1, 3, 4)
SMALLEST = 4
"""Pixels along the shorter side."""


def load_npz(path: str, data_root: str, seed: int) -> Dataset:
    """The file's images, split 60 / 20 / 20. Raises ValueError, one line, for whatever cannot be used."""
    file = Path(path).expanduser()
    arrays = _read(file)
    if "x" not in arrays:
        there = ", ".join(arrays) or "nothing"
        raise ValueError(
            f"{file}: no array 'x' in it (there: {there}); save with numpy.savez(PATH, x=images, y=labels)"
        )
    x = images(file, arrays["x"])
    y, classes = labels(file, arrays["y"], len(x)) if "y" in arrays else (None, ())
    return stratified(file.name, x, y, seed, classes)


def _read(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays ``x`` and ``y`` of the file; of others the name alone."""
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "no such file"
        raise ValueError(f"{path}: {what}; npz:PATH needs a file with arrays x and, optionally, y")
    try:
        arrays = read_npz(path, machine.memory() // 2, ("x", "y"))
    except Unreadable as error:
        raise ValueError(f"{path}: cannot be read as an npz of plain arrays: {error}") from None
    needed = arrays["x"].size * 4 if "x" in arrays else 0
    if needed > machine.memory() // 2:
        raise ValueError(f"{path}: x takes {needed:,} bytes as float32, more than half of this machine's memory")
    return arrays


def images(path: Path, x: NDArray[Any]) -> NDArray[np.float32]:
    """float32 (n, c, h, w) in [0, 1] from an array of images. Raises ValueError naming what is wrong."""
    x = _channels_first(path, x)
    if x.dtype == np.uint8:
        x = x / np.float32(255)
    elif x.dtype.kind not in "fbiu":
        raise ValueError(f"{path}: x holds {x.dtype}, not numbers; expected uint8, or floats in [0, 1]")
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is refused
        x = x.astype(np.float32)
    bad = ~np.isfinite(x)
    if bad.any():
        first = int(np.argmax(bad.any((1, 2, 3))))
        raise ValueError(
            f"{path}: x holds {int(bad.sum())} values that are NaN or infinite, the first in image {first}"
        )
    low, high = float(x.min(initial=0)), float(x.max(initial=0))
    if low < 0 or high > 1:
        scale = "(x - x.min()) / (x.max() - x.min())" if low < 0 else f"x / {255 if 1 < high <= 255 else 'x.max()'}"
        raise ValueError(
            f"{path}: x has values from {low:.7g} to {high:.7g}; expected uint8, or floats in [0, 1]: save {scale}"
        )
    if len(x) and (x == x[:1]).all():
        raise ValueError(f"{path}: all images of x are the same: there is nothing to learn")
    return x


def _channels_first(path: Path, x: NDArray[Any]) -> NDArray[Any]:
    """An array of images as (n, c, h, w), from whichever of the three layouts its shape fits."""
    layouts = [x[:, None]] if x.ndim == 3 else [x, np.moveaxis(x, 3, 1)] if x.ndim == 4 else []
    fitting = [a for a in layouts if a.shape[1] in CHANNELS and min(a.shape[2:]) >= SMALLEST]
    if not fitting:
        raise ValueError(
            f"{path}: x has shape {x.shape}, which is not images: expected (n, h, w), (n, h, w, c) or (n, c, h, w) "
            f"with 1, 3 or 4 channels and sides of at least {SMALLEST}"
        )
    if len(fitting) > 1:
        raise ValueError(f"{path}: x has shape {x.shape}: channels could be first or last; pad the images by a pixel")
    return fitting[0]


def labels(path: Path, y: NDArray[Any], n: int) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Class numbers 0 to k - 1 (-1: none) and the classes' names, see `latentbench.datasets.labels`. Raises ValueError naming
    what is wrong."""
    found = classes_of({f"{path}: y": y}, {f"{path}: y": n})
    (numbers,) = found.numbers.values()
    return numbers, found.names


NPZ = DatasetEntry(
    "npz",
    load_npz,
    "your own images: arrays x and, optionally, y",
    "a file of yours, written by numpy.savez",
    takes="PATH",
    defaults={"latent_dim": 8, "epochs": 100, "batch_size": 64},
)
