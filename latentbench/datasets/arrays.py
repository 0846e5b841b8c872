"""A file of named arrays as a Dataset: which array is what, whether it can be borne, and how it is taken."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentbench.core import Dataset
from latentbench.datasets import named
from latentbench.datasets.assemble import Raw, Read, assemble
from latentbench.datasets.where import bearable
from latentbench.records import Reason

ARRAYS: Mapping[str, Any] = {"latent_dim": 8, "epochs": 100, "batch_size": 64}
"""What a run on arrays of the user's asks for where the user says nothing."""


def from_arrays(path: Path, held: Mapping[str, named.Held], options: Mapping[str, str], seed: int) -> Dataset:
    """The Dataset of a file that holds these arrays; nothing is read that is not used. Raises ValueError, one line."""
    chosen = named.choose(str(path), held, options)
    for one in chosen.values():
        bearable(f"{path}: {one.x}", 4 * math.prod(held[one.x].shape))
    parts: dict[str, Raw] = {}
    notes: list[Reason] = []
    for split, one in chosen.items():
        x = _plain(path, one.x, held[one.x].read())
        y = None if one.y is None else _plain(path, one.y, held[one.y].read())
        if y is not None and y.ndim == 2 and y.shape[0] == 1 != len(x):  # MATLAB has no vectors, only rows
            y = y[0]
        if y is not None and _samples_last(x, y):
            x = np.moveaxis(x, -1, 0)
            notes.append(Reason.of("data.samples_last", "samples lie along the last axis of {name}", name=one.x))
        parts[split] = Raw(x, y, one.x, one.column)
    return assemble(Read(str(path), path.name, parts, options, notes=tuple(notes)), seed)


def _plain(path: Path, name: str, x: NDArray[Any]) -> NDArray[Any]:
    if x.dtype.kind == "O" and not all(isinstance(v, str | bytes) for v in x.flat):
        raise ValueError(f"{path}: {name} holds Python objects, which are refused")
    return x


def _samples_last(x: NDArray[Any], y: NDArray[Any]) -> bool:
    """Whether there is one label for each step of the last axis, and not of the first, as in files of MATLAB's."""
    count = max(y.shape, default=0) if y.size == max(y.shape, default=0) else -1
    return x.ndim >= 2 and x.shape[-1] == count != x.shape[0]
