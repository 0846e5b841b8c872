"""Tables as data: columns of numbers as vectors, one column as the labels, one that may say the split.

``label=COLUMN`` names the labels (``label=none``: there are none), ``drop=A,B`` columns to leave out, ``split=COLUMN`` the
one that says ``train``, ``val`` or ``test``. Where nothing is said, columns named ``label``, ``class``, ``target`` or ``y``
hold labels, one named ``split`` whose words are those of splits says the split, and the numbers of the rows are left out.
Columns of words are refused and not turned into numbers by guess.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from latentbench.core import Dataset
from latentbench.datasets.assemble import Raw, Read, assemble
from latentbench.datasets.named import NOTHING, SPLITS
from latentbench.datasets.where import bearable
from latentbench.records import Reason
from latentbench.refusals import unknown

OPTIONS = ("label", "drop", "split", "layout", "range", "shape")
LABELS = ("label", "labels", "class", "classes", "target", "targets", "y", "species")
"""Columns that hold labels, the likeliest first."""
OWN_SPLIT = "__split__"
"""The column that says the split of rows which came in several tables."""
NUMBERS = ("", "index", "id", "__index_level_0__")
"""Columns that may hold the numbers of the rows."""
DEFAULTS: Mapping[str, Any] = {"latent_dim": 2, "epochs": 100, "batch_size": 64}


def from_table(path: Path, table: Any, options: Mapping[str, str], seed: int) -> Dataset:
    """The Dataset of a pandas table. Raises ValueError, one line, for columns that cannot be used."""
    place, notes = str(path), []
    bearable(place, 8 * len(table) * len(table.columns))
    table.columns = [str(c) for c in table.columns]
    if not table.columns.is_unique:
        twice = table.columns[table.columns.duplicated()][0]
        raise ValueError(f"{place}: two columns are named '{twice}'")
    for name in [n for n in options.get("drop", "").split(",") if n]:
        table = table.drop(columns=_column(place, table, "drop", name))
    label = _label(place, table, options)
    split = split_of(place, table, options, label)
    values = table.drop(columns=[c for c in (label, split) if c is not None])
    if numbers := [c for c in values.columns if _numbers_rows(c, values[c])]:
        notes.append(
            Reason.of("data.row_numbers", "column {names} numbers the rows and is left out", names=", ".join(numbers))
        )
        values = values.drop(columns=numbers)
    x = _numbers(place, values)
    columns = tuple(values.columns)
    rows = rows_of(place, table[split]) if split is not None else {"train": np.arange(len(x))}
    parts = {
        which: Raw(
            x[index], None if label is None else table[label].iloc[index], which if split is not None else path.name
        )
        for which, index in rows.items()
    }
    kept = {k: v for k, v in options.items() if k in ("layout", "range", "shape")}
    return assemble(Read(place, path.name, parts, kept, columns, tuple(notes)), seed)


def _column(place: str, table: Any, option: str, name: str) -> str:
    if name not in table.columns:
        raise ValueError(f"{place}: {unknown(f'column in {option}', name, table.columns)}")
    return name


def _label(place: str, table: Any, options: Mapping[str, str]) -> str | None:
    told = options.get("label")
    if told is not None and not (told == NOTHING and NOTHING not in table.columns):
        return _column(place, table, "label", told)
    by_name = {c.lower(): c for c in table.columns} if told is None else {}
    return next((by_name[name] for name in LABELS if name in by_name), None)


def split_of(place: str, table: Any, options: Mapping[str, str], label: str | None) -> str | None:
    """The column that says the split: the one that was named, else one of a known name whose words are those of splits."""
    if "split" in options:
        return None if options["split"] == NOTHING else _column(place, table, "split", options["split"])
    named = next(
        (c for c in table.columns if c.lower() in ("split", "fold", "partition", "subset") and c != label), None
    )
    if named is None or not all(split_word(v) for v in table[named].unique()):
        return None
    return str(named)


def split_word(value: Any) -> str | None:
    """The split that a word means, if it means one."""
    return next((split for split, words in SPLITS.items() if str(value).strip().lower() in words), None)


def rows_of(place: str, column: Any) -> dict[str, Any]:
    """The rows of each split. Raises ValueError for a word that is no split."""
    words = np.array([split_word(v) or "" for v in column])
    if (words == "").any():
        odd = column.iloc[int(np.argmax(words == ""))]
        raise ValueError(f"{place}: column {column.name} says '{odd}', which is no split (allowed: train, val, test)")
    return {split: np.flatnonzero(words == split) for split in SPLITS if (words == split).any()}


def _numbers_rows(name: str, column: Any) -> bool:
    if name.lower() not in NUMBERS and not name.startswith("Unnamed: "):
        return False
    return (
        column.dtype.kind in "iu"
        and bool(column.is_unique)
        and int(column.max()) - int(column.min()) == len(column) - 1
    )


def _numbers(place: str, values: Any) -> Any:
    """The columns as one array. Raises ValueError naming the first that are no numbers or have gaps."""
    words = [c for c in values.columns if getattr(values[c].dtype, "kind", "O") not in "fiub"]
    if words:
        listed = ", ".join(words[:5]) + (", ..." if len(words) > 5 else "")
        raise ValueError(
            f"{place}: column {listed} holds no numbers; leave it out with drop=COLUMN, or name it as label=COLUMN"
        )
    if not len(values.columns):
        raise ValueError(f"{place}: no column of numbers in it")
    if (gaps := values.isna().sum()).any():
        name = gaps.idxmax()
        raise ValueError(
            f"{place}: column {name} has {int(gaps[name])} missing values; fill them, or leave it out with drop={name}"
        )
    return values.to_numpy(dtype=np.float64)
