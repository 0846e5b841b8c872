"""What the fields of a model's spec may be: one line that names the field, the value and what is allowed."""

from __future__ import annotations

import math


def from_zero(name: str, value: float) -> float:
    """The value of a field that may be any number from 0. Raises ValueError."""
    if not (value >= 0 and math.isfinite(value)):
        raise ValueError(f"{name}: {value} is not allowed; a number from 0")
    return value


def above_zero(name: str, value: float) -> float:
    """The value of a field that may be any number above 0. Raises ValueError."""
    if not (value > 0 and math.isfinite(value)):
        raise ValueError(f"{name}: {value} is not allowed; a number above 0")
    return value


def share(name: str, value: float) -> float:
    """The value of a field that may be any number from 0 to 1. Raises ValueError."""
    if not 0 <= value <= 1:
        raise ValueError(f"{name}: {value} is not allowed; a number from 0 to 1")
    return value


def count(name: str, value: int, least: int, of: str) -> int:
    """The value of a field that counts something, ``least`` of it or more. Raises ValueError."""
    if value < least:
        raise ValueError(f"{name}: {value} is not allowed; a number of {of} from {least}")
    return value
