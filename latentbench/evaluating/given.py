"""What was handed over as data, as a Dataset, and the form in which callables get samples and give them back.

    sources   arrays, tables, pictures, loaders ... -> one tensor a split
    layout    which axis is what -> image, vector, series
    values    range or scale -> measured values
    labels    of any kind -> classes, one mapping for all splits (`latentbench.datasets.labels`)

What was understood is kept: in ``Dataset.form``, which the run's record takes up, and as sentences in ``notes``.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from latentbench import catalog
from latentbench.config import make_run
from latentbench.core import Dataset, Split
from latentbench.datasets.labels import NONE, Classes, classes_of, unlabelled
from latentbench.evaluating import values
from latentbench.evaluating.handed import Handed, as_measured
from latentbench.evaluating.layout import check_layout, find_layout, without_ones
from latentbench.evaluating.sources import Source, read
from latentbench.evaluating.values import Range
from latentbench.randomness import numpy_rng
from latentbench.records import Reason
from latentbench.spaces.image import Image
from latentbench.spaces.space import Scale, Space

__all__ = ["Data", "Given", "Handed", "Options", "given"]

Data = ArrayLike | Tensor
LEAST = 20
"""Samples without which a split is too small to measure anything on."""
CALIBRATING = 100
"""Validation samples from which on they set the judge's thresholds; of fewer no 5 % quantile is known."""
SCALES = ("auto", "standard", None)


@dataclass(frozen=True)
class Options:
    """How data that was handed over is to be read: ``range`` of its values, ``layout`` of its axes, ``scale`` in which it is
    measured; each ``auto`` where the data are to tell."""

    range: Any = "auto"
    layout: str = "auto"
    scale: str | None = "auto"


@dataclass(frozen=True, eq=False)
class Given:
    """Data as it is measured: the ``dataset``, whose training split is what the judge is trained on; all that the models were
    ``trained_on``, None where that is not known; what they were tuned on (``validation`` (k, *shape), None: not known); the
    form in which it was ``handed`` over; what it is called; and what is to be said of how it was understood, ``notes``."""

    dataset: Dataset
    handed: Handed
    trained_on: Split | None = None
    validation: Tensor | None = None
    name: str = "arrays"
    notes: tuple[str, ...] = field(default=())


def given(
    name: str,
    seed: int,
    test: tuple[Any, Any],
    train: tuple[Any, Any],
    val: tuple[Any, Any],
    options: Options,
) -> Given:
    """What was handed over, each split as (x, y), y or both None where there is none. Warns of what was guessed. Raises
    ValueError or TypeError, one line, for what cannot be used."""
    asked = _checked(options)
    pairs = {"test": test, "train": train, "val": val}
    if isinstance(test[0], Dataset | str):
        return _whole(pairs, options)
    sources = _sources(pairs)
    handed, space, notes = _understood(list(sources.values()), options, asked)
    labels = {f"y_{which}": s.y for which, s in sources.items() if s.y is not None}
    classes = classes_of(labels, {f"y_{which}": len(s.values) for which, s in sources.items()})
    splits = {which: _split(which, source, handed, classes) for which, source in sources.items()}
    notes += _of_labels(classes)
    dataset = _dataset(name, splits, seed, classes)
    form = {
        "layout": handed.layout.axes,
        "range": None if handed.range is None else list(handed.range),
        "type": str(handed.dtype).removeprefix("torch."),
        "labels": _labels_row(classes),
    }
    dataset = replace(dataset, given_space=space, form=form, notes=tuple(Reason(note) for note in notes))
    validation = splits["val"].x if "val" in splits else None
    return Given(dataset, handed, splits.get("train"), validation, notes=tuple(notes))


def _checked(options: Options) -> Range | None:
    """The range that was asked for. Raises ValueError or TypeError for options that are none."""
    check_layout(options.layout)
    if options.scale not in SCALES:
        raise ValueError(f"scale: {options.scale!r} is not allowed (allowed: 'auto', 'standard', None)")
    asked = values.check_range(options.range)
    if asked is not None and options.scale == "standard":
        raise ValueError("scale: 'standard' and a range cannot both be; leave one out")
    return asked


def _whole(pairs: Mapping[str, tuple[Any, Any]], options: Options) -> Given:
    """A Dataset that brings its own splits, itself or by its name in the catalog."""
    whole = pairs["test"][0]
    kind = "the name of a dataset" if isinstance(whole, str) else "a Dataset"
    others = {f"{axis}_{which}": value for which, pair in pairs.items() for axis, value in zip("xy", pair, strict=True)}
    others |= {what: str(value) for what, value in vars(options).items() if not _auto(value)}
    for what, other in others.items():
        if other is not None and what != "x_test":
            raise ValueError(f"{what}: x_test is {kind}, which brings its own; leave {what} out")
    dataset = catalog.load_dataset(make_run({"dataset": whole})) if isinstance(whole, str) else whole
    handed = as_measured(dataset.space)
    notes = ("callables get raw values, measured after standardising",) if dataset.space.scale else ()
    return Given(dataset, handed, dataset.train, dataset.val.x, dataset.name, notes)


def _auto(value: Any) -> bool:
    return isinstance(value, str) and value == "auto"


def _sources(pairs: Mapping[str, tuple[Any, Any]]) -> dict[str, Source]:
    """The splits that were handed over, the test split first. Raises ValueError where they do not go together."""
    if pairs["test"][0] is None:
        raise ValueError("x_test: nothing was handed over; the samples that models are measured on are needed")
    out: dict[str, Source] = {}
    for which, (x, y) in pairs.items():
        if x is None:
            if y is not None:
                raise ValueError(f"y_{which}: labels without x_{which}; hand over both")
            continue
        if isinstance(x, Dataset | str):
            raise ValueError(f"x_{which}: a Dataset brings its own test split; hand it over as x_test, alone")
        source = out[which] = read(f"x_{which}", x, y)
        n, least = len(source.values) if source.values.ndim else 0, 1 if which == "val" else LEAST
        if n < least:
            raise ValueError(f"x_{which}: {n} samples are too few to measure anything; at least {least}")
        values.check_finite(source)
        out[which] = _agreeing(out["test"], source)
    return out


def _agreeing(tested: Source, other: Source) -> Source:
    """A split in the test split's shape: axes of one may be left out. Raises ValueError where it has another, or other
    columns."""
    if without_ones(other.sample) != without_ones(tested.sample):
        raise ValueError(f"{other.what}: samples of shape {other.sample}, {tested.what} has {tested.sample}")
    if other.columns != tested.columns:
        pairs = enumerate(zip(other.columns or ("",), tested.columns or ("",), strict=False))
        k, (one, another) = next((k, pair) for k, pair in pairs if pair[0] != pair[1])
        said = (f"'{name}'" if name else "without a name" for name in (one, another))
        raise ValueError(f"{other.what}: column {k} is {next(said)}, that of {tested.what} {next(said)}")
    return replace(other, values=other.values.reshape(len(other.values), *tested.sample))


def _understood(sources: Sequence[Source], options: Options, asked: Range | None) -> tuple[Handed, Space, list[str]]:
    """The form of what was handed over, the space it is measured in, and what is to be said of it."""
    first = sources[0]
    pictures = asked is not None or all(values.likely_pictures(s) for s in sources)
    layout = find_layout(first.what, first.sample, options.layout, pictures, values.in_words(first))
    notes = [note for source in sources for note in source.notes]
    if layout.kind is Image and options.scale == "standard":
        raise ValueError(
            "scale: 'standard' is for vectors and series; images are measured in [0, 1]: say range= instead"
        )
    volumes = len(layout.user) == 4 and options.scale == "auto" and all(values.told(s) is not None for s in sources)
    bounded = layout.kind is Image or asked is not None or volumes
    span = values.find_range(sources, asked) if bounded else None
    whole = all(s.whole for s in sources)
    handed = Handed(layout, span, dtype=_dtype(sources, span), whole=whole)
    if span is not None:
        if asked is None and (guess := values.guessed(sources, span)):
            notes.append(guess)
            warnings.warn(guess, stacklevel=4)
        return handed, layout.kind(layout.shape, columns=_columns(first, layout.shape), bounds=values.UNIT), notes
    if said := values.columns_in_words(first):
        notes.append(said)
    scale = None
    if options.scale is not None:
        by = next((s for s in sources if s.what == "x_train"), first)
        scale = Scale.of(layout.to_measured(by.values))
        notes.append(_standardised(by.what, layout.to_measured(by.values)))
    space = layout.kind(layout.shape, columns=_columns(first, layout.shape), scale=scale)
    return replace(handed, scale=scale), space, notes


def _columns(source: Source, shape: Sequence[int]) -> tuple[str, ...]:
    """The names of columns, where the columns are what is measured."""
    return source.columns if len(source.columns) == shape[-1] else ()


def _dtype(sources: Sequence[Source], span: Range | None) -> torch.dtype:
    """The type that callables get: the test split's. Of bytes that are only 0 and 1, or stand in a table, float32: their type
    says nothing."""
    dtype = sources[0].dtype
    return torch.float32 if dtype == torch.uint8 and span in (None, values.UNIT) else dtype


def _standardised(what: str, raw: Tensor) -> str:
    """What is said of standardising by the columns of the split ``what``."""
    columns = raw.reshape(-1, raw.shape[-1])
    still = int((columns == columns[0]).all(0).sum())
    constant = f"; {still} of {columns.shape[1]} never change and keep their width" if still else ""
    return f"measured after standardising by mean and standard deviation of {what}'s columns{constant}"


def _split(which: str, source: Source, handed: Handed, classes: Classes) -> Split:
    """A split as it is measured, float32."""
    x = handed.from_user(source.values if handed.scale is None else source.values.double()).float()
    if handed.range is not None and bool(((x < 0) | (x > 1)).any()):
        x = x.clamp(*values.UNIT)  # what rounding left outside
    numbers = classes.numbers.get(f"y_{which}")
    # A split of which no sample has a label has none.
    known = None if numbers is None or unlabelled(numbers) == len(numbers) else torch.from_numpy(numbers)
    return Split(x.contiguous(), known)


def _of_labels(classes: Classes) -> list[str]:
    """What is to be said of labels that are not there, and of classes that stand in one split alone."""
    notes = []
    for what, numbers in classes.numbers.items():
        if missing := unlabelled(numbers):
            notes.append(
                f"{what}: {missing} of {len(numbers)} samples have no label; they count wherever none is asked for"
            )
    if {"y_test", "y_train"} <= classes.numbers.keys():
        unseen = sorted(set(classes.numbers["y_test"].tolist()) - set(classes.numbers["y_train"].tolist()) - {NONE})
        if unseen:
            named = ", ".join(classes.names[k] for k in unseen[:5])
            notes.append(f"y_test: {len(unseen)} classes that y_train does not have ({named})")
    return notes


def _labels_row(classes: Classes) -> dict[str, Any] | None:
    """What the run's record says of labels."""
    if not classes.numbers:
        return None
    return {"kind": classes.kind, "unlabelled": {what: unlabelled(n) for what, n in classes.numbers.items()}}


def _dataset(name: str, splits: Mapping[str, Split], seed: int, classes: Classes) -> Dataset:
    """The splits as a Dataset. The judge's thresholds are set on the validation split where it is large enough, else on a
    fifth of the training samples set apart: then the judge is not trained on these."""
    test, train, val = splits["test"], splits.get("train", splits["test"]), splits.get("val")
    if "train" in splits and val is not None and len(val.x) >= CALIBRATING:
        return Dataset(name, train, val, test, classes.names)
    order = torch.from_numpy(numpy_rng(seed, "evaluate split").permutation(len(train.x)))
    cut = len(order) // 5
    pick = [Split(train.x[i], None if train.y is None else train.y[i]) for i in (order[cut:], order[:cut])]
    return Dataset(name, pick[0], pick[1], test, classes.names)
