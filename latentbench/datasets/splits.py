"""Splitting images into train, validation and test: stratified by label, seeded, checked for size.

`MINIMUM` images in all and `CLASS_MINIMUM` of each class are the least with which the judge can be calibrated on the
validation split, every class stands in every split, and the test split holds more than the 20 images among which ten
neighbours can be told from ten that are none.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from latentbench.core import Dataset, Split
from latentbench.datasets.labels import NONE
from latentbench.randomness import numpy_rng
from latentbench.streaming import Stream, real

MINIMUM = 120
CLASS_MINIMUM = 5
SHARES = (0.6, 0.2, 0.2)
SAMPLE = 1 / 16
"""Share of the memory that each split's sample may take where the images are streamed. There are three, a model's
reconstructions of two of them stand beside these, and a loss over one holds about five arrays of its size at once."""


def stratified(name: str, x: NDArray[Any], y: NDArray[Any] | None, seed: int, classes: tuple[str, ...] = ()) -> Dataset:
    """A Dataset from images ``x`` (n, c, h, w), float32 in [0, 1] or uint8, and labels ``y`` (n,) or None, split 60 / 20 / 20.

    Raises ValueError where there are fewer than `MINIMUM` images, a class of fewer than `CLASS_MINIMUM`, or one class.
    """
    train, val, test = _split(name, len(x), y, seed, classes)
    return Dataset(name, pick(x, y, train), pick(x, y, val), pick(x, y, test), classes)


def streamed(
    name: str,
    pixels: Tensor,
    sha256: str,
    y: NDArray[Any] | None,
    seed: int,
    classes: tuple[str, ...],
    memory: int,
) -> Dataset:
    """A Dataset like that of `stratified`, with the same images in each split, of ``pixels`` uint8 (n, c, h, w) that stay
    on disk and have this ``sha256``. Its splits hold samples of at most `SAMPLE` of ``memory`` bytes each, drawn by the
    seed and stratified.

    Raises ValueError also where that much memory holds too few images to measure anything on.
    """
    image = 4 * pixels[0].numel()
    most, least = int(SAMPLE * memory) // image, max(MINIMUM, CLASS_MINIMUM * len(classes))
    if most < least:
        raise ValueError(
            f"memory: {memory / 2**20:.4g} MiB is too little for '{name}': a sample of each split must hold {least} images "
            f"of {image / 2**10:.4g} KiB; at least {math.ceil(least * image / SAMPLE / 2**20)}MiB"
        )
    splits = dict(zip(("train", "val", "test"), _split(name, len(pixels), y, seed, classes), strict=True))
    by_name: dict[str, Split] = {}
    for which, index in splits.items():
        share = min(1.0, most / len(index))
        rng = numpy_rng(seed, f"sample of {which}")
        drawn = parts(len(index), None if y is None else y[index], (share, 1 - share), rng)[0] if share < 1 else ...
        by_name[which] = pick(pixels.numpy(), y, index[drawn])
    stream = Stream(pixels, torch.from_numpy(splits["train"]), by_name["train"].x, sha256, torch.device("cpu"))
    whole = {which: len(index) for which, index in splits.items()}
    return Dataset(name, by_name["train"], by_name["val"], by_name["test"], classes, stream=stream, whole=whole)


def _split(name: str, n: int, y: NDArray[Any] | None, seed: int, classes: tuple[str, ...]) -> list[NDArray[np.int64]]:
    if n < MINIMUM:
        raise ValueError(
            f"dataset '{name}': {n} images are too few for the judge and the neighbours; at least {MINIMUM}"
        )
    if y is not None:
        check_classes(name, y, classes)
    return parts(n, y, SHARES, numpy_rng(seed, "split"))


def check_classes(name: str, y: NDArray[Any], classes: tuple[str, ...]) -> None:
    """Raise ValueError where labels have a single class, or a class too small to stand in every split."""
    present, counts = np.unique(y[y != NONE], return_counts=True)
    if not len(present):
        raise ValueError(f"dataset '{name}': all labels are -1, which says none; leave the labels out")
    if len(present) < 2:
        raise ValueError(f"dataset '{name}': a single class ({present[0]}); the judge needs at least two")
    if counts.min() < CLASS_MINIMUM:
        least = present[counts.argmin()]
        word = classes[least] if classes else least
        raise ValueError(f"dataset '{name}': class {word} has {counts.min()} images; at least {CLASS_MINIMUM}")


def parts(
    n: int, y: NDArray[Any] | None, shares: tuple[float, ...], rng: np.random.Generator
) -> list[NDArray[np.int64]]:
    """Disjoint ascending index sets that cover n images in these shares, class by class where there are labels."""
    groups = [np.arange(n)] if y is None else [np.flatnonzero(y == c) for c in np.unique(y)]
    # The rounding is carried on from class to class, so small classes do not all lose to one side.
    out: list[list[NDArray[np.int64]]] = [[] for _ in shares]
    cuts = np.cumsum(shares)[:-1]
    carried = np.zeros(len(cuts))
    for group in groups:
        exact = cuts * len(group) + carried
        at = np.clip(np.round(exact).astype(int), 0, len(group))
        for k in range(len(at) if len(group) >= len(shares) else 0):  # nobody goes without: at least one image each
            at[k] = np.clip(at[k], (at[k - 1] if k else 0) + 1, len(group) - len(at) + k)
        carried = exact - at
        for share, piece in zip(out, np.split(rng.permutation(group), at), strict=True):
            share.append(piece)
    return [np.sort(np.concatenate(p)) for p in out]


def pick(x: NDArray[Any], y: NDArray[Any] | None, index: NDArray[np.int64]) -> Split:
    """The images and labels at ``index`` as a Split; bytes become numbers in [0, 1]."""
    labels = None if y is None else torch.from_numpy(y[index].astype(np.int64))
    if x.dtype == np.uint8:
        return Split(real(torch.from_numpy(x[index])), labels)
    return Split(torch.from_numpy(np.ascontiguousarray(x[index], dtype=np.float32)), labels)
