"""Which values what was handed over may take, and what they are measured as.

Images are measured in [0, 1]. Which values become 0 and 1 is said (``range``), or told by the type and the values: bytes
0 and 255 (0 and 1 where there are no others), floats in [0, 1] themselves; floats from -1 to 1 and from 0 to 255 are
taken as such, which is a guess and said. Vectors and series are real numbers, unless a range is given for them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from latentbench.evaluating.sources import Source

Range = tuple[float, float]
UNIT: Range = (0.0, 1.0)
BYTES: Range = (0.0, 255.0)
SIGNED: Range = (-1.0, 1.0)
SLACK = 1e-5
"""Share of a range by which rounding may leave it."""
HALF = 0.5
"""Floats are taken for -1 to 1 from a lowest value of minus this on, and for 0 to 255 from a highest of 255 times it."""


def check_range(asked: Any) -> Range | None:
    """The range that was asked for, None for ``auto``. Raises ValueError or TypeError for what is none."""
    if isinstance(asked, str):
        if asked == "auto":
            return None
        raise ValueError(f"range: '{asked}' is not allowed; expected 'auto' or (lowest, highest), e.g. (-1, 1)")
    try:
        low, high = (float(v) for v in asked)
    except (TypeError, ValueError):
        raise TypeError(
            f"range: {asked!r} is not allowed; expected 'auto' or (lowest, highest), e.g. (-1, 1)"
        ) from None
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(f"range: {asked!r} is not allowed; expected two finite numbers, the lower first")
    return low, high


def check_finite(source: Source) -> None:
    """Raise ValueError, with counts, for values that are NaN or infinite, also as float32."""
    x = source.values
    if not x.dtype.is_floating_point:
        return
    nan = int(x.isnan().sum())
    infinite = int(x.isinf().sum())
    if nan or infinite:
        rows = (~x.isfinite()).flatten(1).any(1) if x.ndim > 1 else ~x.isfinite()
        counts = " and ".join(f"{count} {word}" for count, word in ((nan, "NaN"), (infinite, "infinite")) if count)
        raise ValueError(
            f"{source.what}: holds {counts} values, in {int(rows.sum())} of {len(x)} samples, the first in sample "
            f"{int(rows.int().argmax())}; fill or drop them"
        )
    if x.dtype == torch.float64 and x.numel() and float(x.abs().max()) > torch.finfo(torch.float32).max:
        raise ValueError(f"{source.what}: holds values up to {float(x.abs().max()):.4g}, more than float32 can hold")


def seen(source: Source) -> Range:
    """The lowest and the highest value of a split."""
    x = source.values
    if not x.numel():
        return 0.0, 0.0
    low, high = (x.min(), x.max()) if x.dtype != torch.bool else (x.int().min(), x.int().max())
    return float(low), float(high)


def in_words(source: Source) -> str:
    """Which values a split holds, in words."""
    low, high = seen(source)
    return f"values from {low:.4g} to {high:.4g}"


def told(source: Source) -> Range | None:
    """The range of an image's values that type and values of a split tell; None where they tell none."""
    low, high = seen(source)
    if source.values.dtype == torch.bool:
        return UNIT
    if source.bytes:
        return UNIT if high <= 1 else BYTES
    if low >= 0 and high <= 1:
        return UNIT
    if low >= 0 and BYTES[1] * HALF < high <= BYTES[1]:
        return BYTES
    if SIGNED[0] <= low <= -HALF and high <= SIGNED[1]:
        return SIGNED
    return None


def likely_pictures(source: Source) -> bool:
    """Whether a split's values are those of images without a guess: bytes, booleans, or floats in [0, 1]."""
    return source.bytes or source.values.dtype == torch.bool or told(source) == UNIT


def find_range(sources: Sequence[Source], asked: Range | None) -> Range:
    """The range of all splits' values: as ``asked``, else as they tell. Raises ValueError, one line with what was seen, where
    values lie outside, tell no range, or tell different ones."""
    if asked is not None:
        for source in sources:
            check_within(source, asked)
        return asked
    found = [told(source) for source in sources]
    for source, one in zip(sources, found, strict=True):
        if one is None:
            low, high = seen(source)
            raise ValueError(
                f"{source.what}: {in_words(source)}; expected bytes or floats in [0, 1]; say range=({low:.4g}, {high:.4g}), "
                "or what the lowest and the highest possible value are"
            )
        if one != found[0]:
            raise ValueError(
                f"{source.what}: {in_words(source)}, {sources[0].what} has {in_words(sources[0])}: all splits must hold "
                "values of one range; say range=(lowest, highest)"
            )
    kinds = {source.bytes for source in sources}
    if found[0] == BYTES and len(kinds) > 1:
        odd = next(source for source in sources if source.bytes != sources[0].bytes)
        raise ValueError(
            f"{odd.what}: {odd.values.dtype}, {sources[0].what} is {sources[0].values.dtype}; hand over one type"
        )
    assert found[0] is not None
    return found[0]


def check_within(source: Source, allowed: Range) -> None:
    """Raise ValueError, with what was seen, for values outside of a range."""
    (low, high), (least, most) = seen(source), allowed
    slack = SLACK * (most - least)
    if low < least - slack or high > most + slack:
        raise ValueError(f"{source.what}: {in_words(source)} lie outside of range=({least:.4g}, {most:.4g})")


def guessed(sources: Sequence[Source], found: Range) -> str:
    """What is to be said where a range was guessed; empty where it was not."""
    if found in (UNIT, SIGNED) and (found == UNIT or all(s.whole for s in sources)):
        return ""
    if found == BYTES and all(source.bytes for source in sources):
        return ""
    low, high = found
    return (
        f"{sources[0].what}: {in_words(sources[0])} are taken for a range from {low:g} to {high:g} and measured in [0, 1]; "
        f"say range=({low:g}, {high:g}) where that is so, else which it is"
    )


def into_unit(x: Tensor, span: Range) -> Tensor:
    """Raw values of a range as real ones in [0, 1] (float64 where the raw ones are, else float32)."""
    x = real(x)
    low, high = span
    return x if span == UNIT else (x - low) / (high - low)


def real(x: Tensor) -> Tensor:
    """Values as float64 where they are, else as float32."""
    return x if x.dtype in (torch.float32, torch.float64) else x.float()


def out_of_unit(x: Tensor, span: Range) -> Tensor:
    """The inverse of `into_unit`."""
    low, high = span
    return x if span == UNIT else x * (high - low) + low


def columns_in_words(source: Source) -> str:
    """What is to be said of a table's columns: which hold integers, and whether all are counts; empty for nothing."""
    x = source.values.reshape(len(source.values), -1) if source.values.ndim == 2 else None
    if x is None:
        return ""
    whole = (x == x.round()).all(0) if x.dtype.is_floating_point else torch.ones(x.shape[1], dtype=torch.bool)
    k, n = int(whole.sum()), x.shape[1]
    if not k:
        return ""
    if k == n:
        return (
            f"{source.what}: all {n} columns are {'counts (integers from 0)' if seen(source)[0] >= 0 else 'integers'}"
        )
    return f"{source.what}: {k} of {n} columns hold integers"
