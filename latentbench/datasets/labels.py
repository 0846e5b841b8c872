"""Labels of any kind as classes, by name.

What labels are written as (integers of any values, floats that are integers, strings, bytes, booleans, categories, a
one-hot row each) is turned into names, and the names into class numbers 0 to k - 1, once for all splits of a data set and in
one place for files and arrays: 3, 3.0 and "3" are one class. A label that is not there (NaN, None, an empty string, a row
of zeros) is `NONE`: its sample is measured wherever no label is asked for. So is -1, as in semi-supervised learning, but
where it is one number of a signed scale: beside other negative ones, or with 1 alone.

Numbers are in order of value, words in order of the alphabet.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

NONE = -1
"""The class number of a sample without a label."""
MISSING = "-1"
"""How no label is written among numbers."""
ALLOWED = "labels are integers or strings, categories, booleans, or one-hot rows"
Numbers = NDArray[np.int64]


class Written(NamedTuple):
    """Labels of one split as they were written: a ``name`` each (None: none), and their ``kind``."""

    names: list[str | None]
    kind: str


class Classes(NamedTuple):
    """The classes that all splits have together, ``names``; the class number of each sample by split, ``numbers``; what the
    labels were written as, ``kind``."""

    names: tuple[str, ...]
    numbers: Mapping[str, Numbers]
    kind: str


def classes_of(labels: Mapping[str, Any], lengths: Mapping[str, int]) -> Classes:
    """The classes of ``labels``, by what each split's are called in messages (``y_test``); ``lengths`` says how many there must
    be. Raises ValueError, one line, for what are no labels and for another number of them."""
    found = {what: written(what, y, lengths[what]) for what, y in labels.items()}
    present = {name for one in found.values() for name in one.names if name is not None}
    if not any(re.fullmatch(r"-[0-9]+", n) for n in present - {MISSING}) and present != {MISSING, "1"}:
        present.discard(MISSING)
    names = tuple(sorted(present, key=_order(present)))
    place: dict[str | None, int] = {name: k for k, name in enumerate(names)}
    numbers = {what: np.array([place.get(n, NONE) for n in one.names], dtype=np.int64) for what, one in found.items()}
    return Classes(names, numbers, ", ".join(dict.fromkeys(one.kind for one in found.values())))


def written(what: str, y: Any, n: int) -> Written:
    """One split's labels as names. Raises ValueError, one line, for what are no labels."""
    columns, y = _plain(what, y)
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if len(y.shape) not in (1, 2) or len(y) != n:
        raise ValueError(f"{what} has shape {y.shape}; expected one label a sample, ({n},)")
    if y.ndim == 2:
        return _one_hot(what, y, columns)
    return _WRITTEN.get(y.dtype.kind, _refused)(what, y)


def unlabelled(numbers: Numbers | Tensor) -> int:
    """How many samples have no label."""
    return int((numbers == NONE).sum())


def _order(present: set[str]) -> Callable[[str], Any]:
    """By value where all names are integers, else by the alphabet."""
    return int if all(re.fullmatch(r"-?[0-9]+", name) for name in present) else str


def _plain(what: str, y: Any) -> tuple[Sequence[str], NDArray[Any]]:
    """Names of the columns, where a table has them, and an array."""
    if isinstance(y, Tensor):
        y = y.detach().cpu()
        return (), (y.float() if y.dtype == torch.bfloat16 else y).numpy()
    if hasattr(y, "columns") and hasattr(y, "to_numpy"):
        return tuple(map(str, y.columns)), np.asarray(y.to_numpy())
    if not isinstance(getattr(y, "dtype", np.dtype(float)), np.dtype) or hasattr(y, "categories"):
        return (), np.asarray([*y, None], dtype=object)[:-1]  # categories, and strings of a table's own type
    try:
        return (), _listed(list(y)) if isinstance(y, list | tuple) else np.asarray(y)
    except ValueError:
        raise ValueError(f"{what} holds rows of different lengths; expected one label a sample") from None


def _listed(y: list[Any]) -> NDArray[Any]:
    """A list as an array of its own values: numpy would make words of numbers that stand among words, or of None."""
    plain = np.asarray([v.item() if isinstance(v, Tensor) and v.numel() == 1 else v for v in y])
    mixed = plain.dtype.kind in "US" and not all(isinstance(v, str | bytes) for v in y)
    return np.asarray(y, dtype=object) if mixed else plain


def _whole(what: str, value: float) -> str | None:
    if math.isnan(value):
        return None
    if not value.is_integer():
        raise ValueError(f"{what} holds {value:.6g}, which is no class; {ALLOWED}")
    return str(int(value))


def _integers(what: str, y: NDArray[Any]) -> Written:
    return Written([str(v) for v in y.tolist()], "integers")


def _floats(what: str, y: NDArray[Any]) -> Written:
    return Written([_whole(what, v) for v in y.tolist()], "integers")


def _booleans(what: str, y: NDArray[Any]) -> Written:
    return Written([str(v) for v in y.tolist()], "booleans")


def _words(what: str, y: NDArray[Any]) -> Written:
    return Written([_word(v) for v in y.tolist()], "strings")


def _word(value: str | bytes) -> str | None:
    word = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    return word or None


def _objects(what: str, y: NDArray[Any]) -> Written:
    """Values of any type: each by its own."""
    names: list[str | None] = []
    for value in y.tolist():
        if value is None or type(value).__name__ in ("NAType", "NaTType"):
            names.append(None)
        elif isinstance(value, bool | np.bool_):
            names.append(str(bool(value)))
        elif isinstance(value, str | bytes):
            names.append(_word(value))
        elif isinstance(value, int | float | np.integer | np.floating):
            names.append(_whole(what, float(value)) if isinstance(value, float | np.floating) else str(int(value)))
        else:
            raise ValueError(f"{what} holds a {type(value).__name__}, which is no class; {ALLOWED}")
    words = any(isinstance(v, str | bytes) for v in y.tolist())
    return Written(names, "strings" if words else "integers")


def _refused(what: str, y: NDArray[Any]) -> Written:
    raise ValueError(f"{what} holds {y.dtype}; {ALLOWED}")


def _one_hot(what: str, y: NDArray[Any], columns: Sequence[str]) -> Written:
    """A row a sample with one 1, a row of zeros for none; classes have the names of their columns, or their numbers."""
    shape = tuple(y.shape)
    if y.dtype.kind not in "biuf" or not bool(((y == 0) | (y == 1)).all()) or int(y.sum(1).max(initial=0)) > 1:
        raise ValueError(
            f"{what} has shape {shape}, which is neither one label a sample nor one-hot (a single 1 in each row, else 0)"
        )
    names = columns or [str(k) for k in range(shape[1])]
    labelled, at = y.sum(1) > 0, y.argmax(1)
    return Written([names[k] if there else None for k, there in zip(at, labelled, strict=True)], "one-hot")


_WRITTEN: Mapping[str, Callable[[str, NDArray[Any]], Written]] = {
    "i": _integers,
    "u": _integers,
    "f": _floats,
    "b": _booleans,
    "U": _words,
    "S": _words,
    "O": _objects,
}
"""By numpy's letter for a kind of type."""
