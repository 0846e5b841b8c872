"""Images from the user's own files: ``npz:PATH`` with arrays ``x`` and, optionally, ``y``.

``x`` is (n, h, w), (n, h, w, c) or (n, c, h, w) with 1, 3 or 4 channels: unsigned bytes (divided by 255), booleans, or
floats in [0, 1]. ``y`` holds integers or strings. Python objects are refused: loading them would run their code.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentbench.core import Dataset, DatasetEntry
from latentbench.splits import stratified

CHANNELS = (1, 3, 4)
SMALLEST = 4


def load_npz(path: str, data_root: str, seed: int) -> Dataset:
    """The file's images, split 60 / 20 / 20. Raises ValueError, one line, for whatever cannot be used."""
    arrays = _read(path)
    if "x" not in arrays:
        there = ", ".join(arrays) or "nothing"
        raise ValueError(
            f"{path}: no array 'x' in it (there: {there}); save with numpy.savez(PATH, x=images, y=labels)"
        )
    x = images(path, arrays["x"])
    y, classes = labels(path, arrays["y"], len(x)) if "y" in arrays else (None, ())
    return stratified(Path(path).name, x, y, seed, classes)


def _read(path: str) -> dict[str, NDArray[Any]]:
    if not Path(path).is_file():
        raise ValueError(f"{path}: no such file; npz:PATH needs one with arrays x and, optionally, y")
    try:
        file = np.load(path, allow_pickle=False)
        if not isinstance(file, np.lib.npyio.NpzFile):
            raise ValueError("it is a single array, not an npz")
        with file:
            return {name: file[name] if name in ("x", "y") else np.empty(0) for name in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, KeyError) as error:
        why = "Python objects are refused" if "allow_pickle" in str(error) else " ".join(str(error).split())
        raise ValueError(f"{path}: cannot be read as an npz of plain arrays: {why}") from None


def images(path: str, x: NDArray[Any]) -> NDArray[np.float32]:
    """float32 (n, c, h, w) in [0, 1] from an array of images. Raises ValueError naming what is wrong."""
    if x.ndim == 3:
        x = x[:, None]
    elif x.ndim == 4 and x.shape[1] not in CHANNELS and x.shape[3] in CHANNELS:
        x = np.moveaxis(x, 3, 1)
    if x.ndim != 4 or x.shape[1] not in CHANNELS or min(x.shape[2:]) < SMALLEST:
        raise ValueError(
            f"{path}: x has shape {x.shape}, which is not images: expected (n, h, w), (n, h, w, c) or (n, c, h, w) "
            f"with 1, 3 or 4 channels and sides of at least {SMALLEST}"
        )
    if x.dtype == np.uint8:
        return (x / np.float32(255)).astype(np.float32)
    if x.dtype.kind not in "fbiu":
        raise ValueError(f"{path}: x holds {x.dtype}, not numbers; expected uint8, or floats in [0, 1]")
    x = x.astype(np.float32)
    if not np.isfinite(x).all():
        raise ValueError(f"{path}: x holds {int((~np.isfinite(x)).sum())} values that are NaN or infinite")
    low, high = float(x.min(initial=0)), float(x.max(initial=0))
    if low < 0 or high > 1:
        raise ValueError(
            f"{path}: x has values from {low:.4g} to {high:.4g}; expected uint8, or floats in [0, 1]: scale it"
        )
    return x


def labels(path: str, y: NDArray[Any], n: int) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Class numbers 0 to k - 1 and the classes' names. Raises ValueError naming what is wrong."""
    if y.shape != (n,):
        raise ValueError(f"{path}: y has shape {y.shape}; expected one label an image, ({n},)")
    if y.dtype.kind not in "iuUSb":
        raise ValueError(f"{path}: y holds {y.dtype}; labels are integers or strings")
    names, numbers = np.unique(y, return_inverse=True)
    return numbers.astype(np.int64), tuple(n.decode() if isinstance(n, bytes) else str(n) for n in names.tolist())


NPZ = DatasetEntry(
    "npz",
    load_npz,
    "your own images: arrays x and, optionally, y",
    "",
    takes="PATH",
    defaults={"latent_dim": 8, "epochs": 100, "batch_size": 64},
)
