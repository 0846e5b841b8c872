"""What was understood of a data set: told before anything is computed, so that what was misread is seen in time."""

from __future__ import annotations

import math
from typing import Any

import torch

from latentbench.core import Dataset, Split

COLUMNS = 8
"""Names of columns that are told in a line."""
CLASSES = 20
"""Classes that are told in a line."""


def understood(dataset: Dataset) -> dict[str, Any]:
    """Name, space, shape, and of a table the columns; the ``range`` of the values as they are measured and, where they were
    standardised, as they were; classes with the samples of each by split; each split's rows and where they come from; notes.
    Of streamed data the range and the counts are those of the samples (``counted``)."""
    train, space = dataset.train.x, dataset.space
    splits = {name: getattr(dataset, name) for name in ("train", "val", "test")}
    row: dict[str, Any] = {"name": dataset.name, "space": space.name, "shape": list(dataset.shape)}
    if space.columns:
        row["columns"] = list(space.columns)
    row["range"] = _range(train)
    if space.scale is not None:
        row["raw_range"] = _range(space.scale.to_raw(train))
    row["classes"] = {
        name: {s: _count(split, k) for s, split in splits.items()} for k, name in enumerate(dataset.classes)
    }
    row["splits"] = {
        name: {"rows": dataset.whole.get(name, len(split.x)), "origin": str(dataset.origin.get(name, ""))}
        for name, split in splits.items()
    }
    if dataset.whole:
        row["counted"] = {name: len(split.x) for name, split in splits.items()}
    row["notes"] = [str(note) for note in dataset.notes]
    return row


def told(dataset: Dataset) -> list[str]:
    """The same as lines: what, and what of it."""
    row = understood(dataset)
    shape = " x ".join(map(str, row["shape"]))
    bottom, top = row.get("raw_range", row["range"])
    lines = [("data", f"{row['name']}: {row['space']} {shape}, values from {bottom:.6g} to {top:.6g}")]
    if columns := row.get("columns"):
        lines.append(
            ("columns", ", ".join(columns[:COLUMNS]) + (f", ... ({len(columns)})" if len(columns) > COLUMNS else ""))
        )
    classes = [f"{name} {sum(counts.values()):,}" for name, counts in row["classes"].items()]
    more = f", ... ({len(classes)})" if len(classes) > CLASSES else ""
    lines.append(("classes", ", ".join(classes[:CLASSES]) + more if classes else "none"))
    for name, split in row["splits"].items():
        lines.append((name, f"{split['rows']:,}{': ' if split['origin'] else ''}{split['origin']}"))
    lines += [("note", note) for note in row["notes"]]
    return [f"{what}\t{text}" for what, text in lines]


def _range(x: torch.Tensor) -> list[float]:
    """The least and the largest value, to what float32 leaves of them beside their difference."""
    low, high = float(x.min()), float(x.max())
    digits = 5 - math.floor(math.log10(high - low)) if high > low else 6
    return [round(low, digits), round(high, digits)]


def _count(split: Split, number: int) -> int:
    return 0 if split.y is None else int((split.y == number).sum())
