"""Splitting samples into train, validation and test: stratified by label, seeded, checked for size.

`MINIMUM` images in all and `CLASS_MINIMUM` of each class are the least with which the judge can be calibrated on the
validation split, every class stands in every split, and the test split holds more than the 20 images among which ten
neighbours can be told from ten that are none.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from latentbench.core import Dataset, Split
from latentbench.datasets.labels import NONE
from latentbench.randomness import numpy_rng
from latentbench.records import Reason
from latentbench.spaces.known import space_of
from latentbench.spaces.space import Scale
from latentbench.streaming import Stream, real

MINIMUM = 120
CLASS_MINIMUM = 5
SHARES = (0.6, 0.2, 0.2)
VALIDATION = 1 / 6
"""Share of a given training part that becomes a validation or a test split, where only that one is missing."""
LEAST = 20
"""Samples without which a given split is too small to measure anything on."""
SAMPLE = 1 / 16
"""Share of the memory that each split's sample may take where the images are streamed. There are three, a model's
reconstructions of two of them stand beside these, and a loss over one holds about five arrays of its size at once."""


class Part(NamedTuple):
    """Samples as they were given: how many (``size``), their class numbers ``y`` (n,) or None, and the ``place`` they lie in, as one
    would call it (``x_train``, ``train/``)."""

    size: int
    y: NDArray[Any] | None
    place: str


class Piece(NamedTuple):
    """A split: the ``rows`` of the part ``of`` that it is made of, ascending, and where they come ``from``."""

    of: str
    rows: NDArray[np.int64]
    origin: Reason


def allot(
    name: str, given: Mapping[str, Part], seed: int, classes: tuple[str, ...] = (), many: str = "images"
) -> dict[str, Piece]:
    """The three splits of what was given as ``train`` and, where there are such, ``val`` and ``test``. What was given is used
    as it is; what is missing is cut from train: `VALIDATION` of it for one of the two, 60 / 20 / 20 where both are missing.

    Raises ValueError where there are fewer than `MINIMUM` samples in all or `LEAST` in a split, a class of fewer than
    `CLASS_MINIMUM` or none but one, or nothing to train on.
    """
    if "train" not in given:
        raise ValueError(f"dataset '{name}': there is {' and '.join(given)} and no training part")
    total = sum(part.size for part in given.values())
    if total < MINIMUM:
        raise ValueError(
            f"dataset '{name}': {total} {many} are too few for the judge and the neighbours; at least {MINIMUM}"
        )
    train = given["train"]
    if train.y is not None:
        check_classes(name, np.concatenate([p.y for p in given.values() if p.y is not None]), classes, many)
    missing = [which for which in ("val", "test") if which not in given]
    shares = {0: (1.0,), 1: (1 - VALIDATION, VALIDATION), 2: SHARES}[len(missing)]
    cut = parts(train.size, train.y, shares, numpy_rng(seed, "split")) if missing else [np.arange(train.size)]
    rows = dict(zip(["train", *missing], cut, strict=True))
    out: dict[str, Piece] = {}
    for which in ("train", "val", "test"):
        of = "train" if which in rows else which
        index = rows.get(which, np.arange(given[of].size))
        out[which] = Piece(of, index, _origin(len(index), given[of]))
        if len(index) < LEAST:
            raise ValueError(f"dataset '{name}': the {which} split has {len(index)} {many}; at least {LEAST}")
    return out


def _origin(count: int, part: Part) -> Reason:
    if count == part.size:
        return Reason.of("data.given", "all {count} of {place}, as given", count=count, place=part.place)
    return Reason.of(
        "data.cut",
        "{count} of the {whole} of {place}, drawn by the split seed",
        count=count,
        whole=part.size,
        place=part.place,
    )


def stratified(name: str, x: NDArray[Any], y: NDArray[Any] | None, seed: int, classes: tuple[str, ...] = ()) -> Dataset:
    """A Dataset from images ``x`` (n, c, h, w), float32 in [0, 1] or uint8, and labels ``y`` (n,) or None, split 60 / 20 / 20.

    Raises ValueError where there are fewer than `MINIMUM` images, a class of fewer than `CLASS_MINIMUM`, or one class.
    """
    return divided(name, {"train": x}, {"train": Part(len(x), y, name)}, seed, classes)


def divided(
    name: str, x: Mapping[str, NDArray[Any]], given: Mapping[str, Part], seed: int, classes: tuple[str, ...] = ()
) -> Dataset:
    """A Dataset from images ``x`` (n, c, h, w), float32 in [0, 1] or uint8, of the parts that were ``given``; see `allot`."""
    pieces = allot(name, given, seed, classes)
    train, val, test = (pick(x[p.of], given[p.of].y, p.rows) for p in pieces.values())
    return Dataset(name, train, val, test, classes, origin={k: p.origin for k, p in pieces.items()})


def standardised(
    name: str,
    raw: NDArray[Any],
    y: NDArray[Any] | None,
    seed: int,
    classes: tuple[str, ...] = (),
    columns: tuple[str, ...] = (),
    factors: NDArray[Any] | None = None,
) -> Dataset:
    """A Dataset from vectors (n, f) or series (n, t, c) of real values, split like those of `stratified`; see
    `standardised_parts`. Raises ValueError like `stratified`."""
    return standardised_parts(name, {"train": raw}, {"train": Part(len(raw), y, name)}, seed, classes, columns, factors)


def standardised_parts(
    name: str,
    raw: Mapping[str, NDArray[Any]],
    given: Mapping[str, Part],
    seed: int,
    classes: tuple[str, ...] = (),
    columns: tuple[str, ...] = (),
    factors: NDArray[Any] | None = None,
    many: str = "",
) -> Dataset:
    """A Dataset from vectors (n, f) or series (n, t, c) of real values, of the parts that were ``given`` (see `allot`), measured
    after standardising each column by its mean and standard deviation on the training split; the space's scale leads back.
    ``factors`` are those of the samples of ``train``, where that is all there is; ``many`` is what samples are called in
    refusals, by default as their space calls them.

    Raises ValueError like `allot`.
    """
    values = {part: torch.from_numpy(np.ascontiguousarray(x, dtype=np.float64)) for part, x in raw.items()}
    space = space_of(values["train"].shape[1:])
    pieces = allot(name, given, seed, classes, many or space.many)
    scale = Scale.of(values["train"][torch.from_numpy(pieces["train"].rows)])
    measured = {part: scale.to_measured(x).float().numpy() for part, x in values.items()}
    splits = [pick(measured[p.of], given[p.of].y, p.rows) for p in pieces.values()]
    if factors is not None:
        rows = [torch.from_numpy(factors[p.rows]) for p in pieces.values()]
        splits = [split._replace(factors=known) for split, known in zip(splits, rows, strict=True)]
    train, val, test = splits
    space = replace(space, columns=columns, scale=scale)
    origin = {which: piece.origin for which, piece in pieces.items()}
    return Dataset(name, train, val, test, classes, given_space=space, origin=origin)


def streamed(
    name: str,
    pixels: Tensor,
    sha256: str,
    at: Mapping[str, NDArray[np.int64]],
    given: Mapping[str, Part],
    seed: int,
    classes: tuple[str, ...],
    memory: int,
) -> Dataset:
    """A Dataset like that of `divided`, with the same images in each split, of ``pixels`` uint8 (n, c, h, w) that stay
    on disk and have this ``sha256``; ``at`` says in which rows of them each part lies. Its splits hold samples of at most
    `SAMPLE` of ``memory`` bytes each, drawn by the seed and stratified.

    Raises ValueError also where that much memory holds too few images to measure anything on.
    """
    image = 4 * pixels[0].numel()
    most, least = int(SAMPLE * memory) // image, max(MINIMUM, CLASS_MINIMUM * len(classes))
    if most < least:
        raise ValueError(
            f"memory: {memory / 2**20:.4g} MiB is too little for '{name}': a sample of each split must hold {least} images "
            f"of {image / 2**10:.4g} KiB; at least {math.ceil(least * image / SAMPLE / 2**20)}MiB"
        )
    pieces = allot(name, given, seed, classes)
    by_name: dict[str, Split] = {}
    for which, piece in pieces.items():
        share, y = min(1.0, most / len(piece.rows)), given[piece.of].y
        labels = None if y is None else y[piece.rows]
        rng = numpy_rng(seed, f"sample of {which}")
        drawn = parts(len(piece.rows), labels, (share, 1 - share), rng)[0] if share < 1 else np.arange(len(piece.rows))
        sample = pick(pixels.numpy(), None, at[piece.of][piece.rows[drawn]])
        by_name[which] = (
            sample if labels is None else sample._replace(y=torch.from_numpy(labels[drawn].astype(np.int64)))
        )
    rows = torch.from_numpy(at["train"][pieces["train"].rows])
    return Dataset(
        name, by_name["train"], by_name["val"], by_name["test"], classes,
        stream=Stream(pixels, rows, by_name["train"].x, sha256, torch.device("cpu")),
        whole={which: len(piece.rows) for which, piece in pieces.items()},
        origin={which: piece.origin for which, piece in pieces.items()},
    )  # fmt: skip


def check_classes(name: str, y: NDArray[Any], classes: tuple[str, ...], many: str = "images") -> None:
    """Raise ValueError where labels have a single class, or a class too small to stand in every split."""
    present, counts = np.unique(y[y != NONE], return_counts=True)
    if not len(present):
        raise ValueError(f"dataset '{name}': all labels are -1, which says none; leave the labels out")
    if len(present) < 2:
        raise ValueError(f"dataset '{name}': a single class ({present[0]}); the judge needs at least two")
    if counts.min() < CLASS_MINIMUM:
        least = present[counts.argmin()]
        word = classes[least] if classes else least
        raise ValueError(f"dataset '{name}': class {word} has {counts.min()} {many}; at least {CLASS_MINIMUM}")


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
