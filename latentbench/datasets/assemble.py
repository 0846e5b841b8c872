"""From what a file holds to a Dataset: arrays or tables of each part, their axes, labels and values.

(n, columns)                  vectors, standardised by the training columns
(n, steps, channels)          series where said (``layout=series``) or where they cannot be images; likewise
(n, h, w), (n, h, w, c),      images, read by their values (`values`)
(n, c, h, w)
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from latentbench.core import Dataset
from latentbench.datasets.labels import NONE, classes_of
from latentbench.datasets.splits import CLASS_MINIMUM, Part, divided, standardised_parts
from latentbench.datasets.values import finite, measured
from latentbench.records import Reason
from latentbench.refusals import unknown
from latentbench.spaces.space import Scale

CHANNELS = (1, 3, 4)
SMALLEST = 4
"""Pixels along the shorter side of an image."""
MOST_CLASSES = 0.2
"""Classes a sample from which labels are taken for something else: names, numbers of rows."""
Layout = Literal["auto", "channels_first", "channels_last", "series", "vector"]


class Raw(NamedTuple):
    """One part as its file holds it: samples ``x`` (n, ...), labels ``y`` or None, and what the samples are called there; which
    ``column`` of the labels is meant, where one was named."""

    x: NDArray[Any]
    y: Any
    place: str
    column: int | None = None


@dataclass(frozen=True)
class Read:
    """A file's parts as they were read, by split (``train``, where it has none of its own): ``place`` is the file in messages,
    ``name`` that of the data set; how they are to be taken (``layout``, ``range``, ``shape`` of a row); names of ``columns``;
    ``notes`` of what was done so far."""

    place: str
    name: str
    parts: Mapping[str, Raw]
    options: Mapping[str, str] = field(default_factory=dict)
    columns: tuple[str, ...] = ()
    notes: tuple[Reason, ...] = ()


class Labelled(NamedTuple):
    """Class numbers of each part (None: no labels), the classes' names, which rows have a label, and what is to be said."""

    y: Mapping[str, NDArray[np.int64] | None]
    classes: tuple[str, ...]
    keep: Mapping[str, NDArray[np.bool_]]
    notes: tuple[Reason, ...]


def assemble(read: Read, seed: int) -> Dataset:
    """The Dataset of what was read; given splits are used as they are. Raises ValueError, one line, for what cannot be used."""
    x = {split: _reshaped(read, raw) for split, raw in read.parts.items()}
    shapes = {a.shape[1:] for a in x.values()}
    if len(shapes) > 1:
        told = ", ".join(f"{read.parts[s].place} {a.shape}" for s, a in x.items())
        raise ValueError(f"{read.place}: samples of different shapes: {told}")
    found = label(read)
    given = {}
    for split, raw in read.parts.items():
        keep, y = found.keep[split], found.y[split]
        if not keep.all():
            x[split], y = x[split][keep], None if y is None else y[keep]
        given[split] = Part(len(x[split]), y, raw.place)
    read = replace(read, notes=(*read.notes, *found.notes))
    first = x[next(iter(x))]
    kind = _kind(read, first)
    make = _standardised if kind in ("vector", "series") else _images
    dataset = make(replace(read, columns=read.columns if kind == "vector" else ()), x, given, found.classes, seed)
    return replace(dataset, notes=(*dataset.notes, *_strangers(given, found.classes)))


def _reshaped(read: Read, raw: Raw) -> NDArray[Any]:
    """Samples with the shape that rows were said to have; as vectors, where that was said."""
    x, told = raw.x, read.options.get("shape")
    if told is not None:
        sizes = tuple(int(s) if s.isdecimal() else 0 for s in told.lower().split("x"))
        if not 1 <= len(sizes) <= 3 or min(sizes) < 1 or (len(x) and math.prod(sizes) != x[0].size):
            held = f"; a sample has {x[0].size} values" if len(x) else ""
            raise ValueError(
                f"{read.place}: shape '{told}' is not allowed; lengths with x between them, such as 28x28{held}"
            )
        x = x.reshape(len(x), *sizes)
    return x.reshape(len(x), -1) if read.options.get("layout") == "vector" and x.ndim > 1 else x


# Labels


def label(read: Read) -> Labelled:
    """The labels of all parts as classes. Data whose labels are of one class, or of a class for each few samples, count as
    unlabelled, and it is said; single rows without a label are left out, and it is said."""
    lengths = {f"{read.place}: y of {raw.place}": len(raw.x) for raw in read.parts.values()}
    everything = {split: np.ones(len(raw.x), dtype=bool) for split, raw in read.parts.items()}
    none = Labelled(dict.fromkeys(read.parts), (), everything, ())
    if any(raw.y is None for raw in read.parts.values()):
        return none
    columns, notes = _columns(read)
    words = dict(zip(read.parts, lengths, strict=True))
    found = classes_of({words[s]: y for s, y in columns.items()}, lengths)
    y = {split: found.numbers[words[split]] for split in read.parts}
    keep = {split: numbers != NONE for split, numbers in y.items()}
    total, without = sum(map(len, y.values())), sum(int((~k).sum()) for k in keep.values())
    sizes = np.bincount(np.concatenate([numbers[keep[s]] for s, numbers in y.items()]), minlength=1)
    note = _no_use(found.names, sizes, total, without)
    if note is not None:
        return none._replace(notes=(note,))
    if without:
        said = Reason.of(
            "data.unlabelled", "{count} of {whole} samples have no label and are left out", count=without, whole=total
        )
        notes = (*notes, said)
    return Labelled(y, found.names, keep, notes)


def _no_use(names: Sequence[str], sizes: NDArray[Any], total: int, without: int) -> Reason | None:
    """Why labels are of no use, if they are of none."""
    if not names or without > total // 2:
        return Reason.of(
            "data.most_unlabelled", "{count} of {whole} samples have no label: the data count as unlabelled", count=without, whole=total
        )  # fmt: skip
    if len(names) == 1:
        return Reason.of(
            "data.one_class", "all labels are of one class, {name}: the data count as unlabelled", name=names[0]
        )
    if sizes.max() < CLASS_MINIMUM or (sizes.min() < CLASS_MINIMUM and len(names) > MOST_CLASSES * total):
        return Reason.of(
            "data.tiny_classes", "{count} classes for {whole} samples are too many to learn: the data count as unlabelled",
            count=len(names), whole=total,
        )  # fmt: skip
    return None


def _columns(read: Read) -> tuple[dict[str, Any], tuple[Reason, ...]]:
    """One label a sample: of several columns that are no one-hot rows the one that was named, else the first that varies."""
    y = {split: raw.y for split, raw in read.parts.items()}
    first = read.parts[next(iter(y))]
    arrays = {s: a if hasattr(a, "columns") else np.asarray(a) for s, a in y.items()}
    train = arrays[next(iter(y))]
    if len(train.shape) != 2 or train.shape[1] < 2 or not isinstance(train, np.ndarray):
        if first.column is not None:
            raise ValueError(f"{read.place}: labels of shape {train.shape} have no column {first.column}")
        return arrays, ()
    if first.column is None and (train.dtype.kind not in "iuf" or bool(((train == 0) | (train == 1)).all())):
        return arrays, ()
    counts = [len(np.unique(column)) for column in train.T]
    column = first.column if first.column is not None else next((k for k, n in enumerate(counts) if n > 1), 0)
    if column >= len(counts):
        raise ValueError(f"{read.place}: labels have columns 0 to {len(counts) - 1}, not {column}")
    said = Reason.of(
        "data.label_column", "labels have {count} columns (of {values} values): column {column} is used; y=NAME[K] names another",
        count=len(counts), values=", ".join(map(str, counts)), column=column,
    )  # fmt: skip
    return {s: a[:, column] for s, a in arrays.items()}, (said,)


def _strangers(given: Mapping[str, Part], classes: tuple[str, ...]) -> tuple[Reason, ...]:
    """Classes that stand in other parts and not in the training part."""
    train = given["train"].y
    if train is None:
        return ()
    known = set(np.unique(train).tolist())
    others = sorted({int(c) for p in given.values() if p.y is not None for c in np.unique(p.y)} - known)
    if not others:
        return ()
    names = ", ".join(classes[c] for c in others[:5])
    return (Reason.of("data.strangers", "classes without a training sample: {names}", names=names),)


# Axes


def _kind(read: Read, x: NDArray[Any]) -> str:
    """``image``, ``series`` or ``vector``. Raises ValueError where samples are none of them."""
    layout = read.options.get("layout", "auto")
    if layout not in get_args(Layout):
        raise unknown(f"layout of {read.place}", layout, get_args(Layout))
    if layout == "series" and x.ndim != 3:
        raise ValueError(f"{read.place}: x has shape {x.shape}; series have (n, steps, channels)")
    if x.ndim == 2:
        return "vector"
    if layout == "series" or (
        layout == "auto" and x.ndim == 3 and x.dtype.kind == "f" and x.shape[2] < SMALLEST <= x.shape[1]
    ):
        return "series"
    return "image"


def _images(
    read: Read, x: Mapping[str, NDArray[Any]], given: Mapping[str, Part], classes: tuple[str, ...], seed: int
) -> Dataset:
    first = x[next(iter(x))]
    axis = _channel_axis(read, first)
    laid = {split: a[:, None] if a.ndim == 3 else np.moveaxis(a, axis, 1) for split, a in x.items()}
    try:
        scaled, found = measured(read.place, {given[s].place: a for s, a in laid.items()}, read.options.get("range"))
    except ValueError as error:
        may_be_series = first.ndim == 3 and first.dtype.kind == "f" and "range=" in str(error)
        series = "; where these are series, say layout=series" if may_be_series else ""
        raise ValueError(f"{error}{series}") from None
    pixels = dict(zip(laid, scaled.values(), strict=True))
    return replace(divided(read.name, pixels, given, seed, classes), notes=(*read.notes, *found.notes))


def _channel_axis(read: Read, x: NDArray[Any]) -> int:
    """The axis of the channels, 1 or 3, from whichever layout a shape fits."""
    layout = read.options.get("layout", "auto")
    if x.ndim == 3:
        if min(x.shape[1:]) >= SMALLEST:
            return 1
        raise ValueError(_no_images(read, x) + "; series (n, steps, channels): say layout=series")
    fitting = [
        axis for axis in ((1, 3) if x.ndim == 4 else ())
        if x.shape[axis] in CHANNELS and min(np.delete(x.shape, (0, axis))) >= SMALLEST
        and layout in ("auto", "channels_first" if axis == 1 else "channels_last")
    ]  # fmt: skip
    if not fitting:
        raise ValueError(_no_images(read, x))
    if len(fitting) > 1:
        raise ValueError(
            f"{read.place}: x has shape {x.shape}: channels could be first or last; say layout=channels_first or "
            "layout=channels_last"
        )
    return fitting[0]


def _no_images(read: Read, x: NDArray[Any]) -> str:
    return (
        f"{read.place}: x has shape {x.shape}, which is not images: expected (n, h, w), (n, h, w, c) or (n, c, h, w) "
        f"with 1, 3 or 4 channels and sides of at least {SMALLEST}, or vectors (n, columns)"
    )


# Real values


def _standardised(
    read: Read, x: Mapping[str, NDArray[Any]], given: Mapping[str, Part], classes: tuple[str, ...], seed: int
) -> Dataset:
    """Vectors and series: each column less its mean on the training split, by its standard deviation there."""
    for split, a in x.items():
        if a.dtype.kind not in "fbiu":
            raise ValueError(f"{read.place}: {given[split].place} holds {a.dtype}, not numbers")
        finite(read.place, given[split].place, a)
        if "range" in read.options:
            raise ValueError(f"{read.place}: range is for images; columns are standardised")
    many = "rows" if x["train"].ndim == 2 else "series"
    dataset = standardised_parts(read.name, x, given, seed, classes, read.columns, many=many)
    if bool((dataset.train.x == dataset.train.x[:1]).all()):
        raise ValueError(f"{read.place}: all training rows are the same: there is nothing to learn")
    scale = dataset.space.scale
    assert scale is not None
    return replace(dataset, notes=(*read.notes, *_of_columns(x, scale)))


def _of_columns(x: Mapping[str, NDArray[Any]], scale: Scale) -> tuple[Reason, ...]:
    notes = [
        Reason.of(
            "data.standardised", "columns are standardised by their mean and standard deviation in the training split"
        )
    ]
    train = x["train"]
    if train.dtype.kind in "iub" or bool((train == np.floor(train)).all()):
        counts = bool((train >= 0).all())
        notes.append(
            Reason.of("data.counts", "all values are whole numbers from 0: they may be counts")
            if counts
            else Reason.of("data.whole_numbers", "all values are whole numbers")
        )
    flat = train.reshape(-1, train.shape[-1])
    still = int((flat == flat[:1]).all(0).sum())
    if still:
        notes.append(Reason.of("data.constant_columns", "{count} columns never change", count=still))
    return tuple(notes)
