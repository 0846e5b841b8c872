"""The spaces there are, and which of them a sample's shape tells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from latentbench.spaces.image import Image
from latentbench.spaces.series import Series
from latentbench.spaces.space import Space
from latentbench.spaces.vector import Vector

SPACES: tuple[type[Space], ...] = (Vector, Series, Image)
"""By the number of axes that a sample has: 1, 2, 3."""


def space_of(shape: Sequence[int]) -> Space:
    """The space of samples of this shape: (f,) a vector, (t, c) a series, (c, h, w) an image. Raises ValueError for
    another number of axes."""
    if not 1 <= len(shape) <= len(SPACES):
        raise ValueError(f"shape: {tuple(shape)} is not a sample's; allowed: (columns,), (steps, channels), (c, h, w)")
    return SPACES[len(shape) - 1](tuple(shape))


def space_from_json(row: Mapping[str, Any]) -> Space:
    """The space that a run's record holds, by `Space.to_json`; of a record that names none, the one that its shape tells.
    Raises ValueError for what is none."""
    kinds = {kind.name: kind for kind in SPACES}
    try:
        name = row.get("space")
        return space_of([int(size) for size in row["shape"]]) if name is None else kinds[name].from_json(row)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise ValueError(f"not a space: {error}") from None
