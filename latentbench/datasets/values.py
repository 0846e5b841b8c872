"""Values of images as numbers in [0, 1], read as what they hold.

    bytes                               / 255; as they are where they hold only 0 and 1
    booleans, floats in [0, 1]          as they are
    floats from 0 to 255, from -1 to 1  / 255, (x + 1) / 2, and it is said
    integers up to 255, up to 65,535    / 255, / 65,535, and it is said; 10 or 12 bits in 16 are taken as these
    anything else                       refused, unless its range was told (``range=LOW,HIGH``)

Values that use less than a tenth of their range are said: they may have been written in another one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from latentbench.records import Reason

BYTE = 255
LITTLE = 0.1
"""Share of their range below which the values that are used are said."""
DEPTHS = (10, 12, 14)
"""Bits that are often written in 16."""


class Range(NamedTuple):
    """The values that become 0 and 1, and what is to be said of it."""

    low: float
    high: float
    notes: tuple[Reason, ...] = ()


def measured(
    place: str, x: Mapping[str, NDArray[Any]], told: str | None = None
) -> tuple[dict[str, NDArray[Any]], Range]:
    """The images of each part as float32 in [0, 1], or as the bytes that become it; and the range they were read in, one for
    all parts. ``told``: what the user says of it. Raises ValueError, one line, for what cannot be read so."""
    for what, some in x.items():
        if some.dtype.kind not in "fbiu":
            raise ValueError(f"{place}: {what} holds {some.dtype}, not numbers; expected uint8, or floats in [0, 1]")
        finite(place, what, some)
    found = range_of(place, x, told)
    out = {what: _scaled(some, found) for what, some in x.items()}
    first = next((some[:1] for some in out.values() if len(some)), None)
    if first is not None and all(bool((some == first).all()) for some in out.values()):
        raise ValueError(f"{place}: all images of {', '.join(x)} are the same: there is nothing to learn")
    return out, found


def finite(place: str, what: str, x: NDArray[Any]) -> None:
    """Raise ValueError where values are NaN or infinite, or would be as float32."""
    if x.dtype.kind != "f":
        return
    with np.errstate(invalid="ignore"):
        bad = ~(np.abs(x) <= np.finfo(np.float32).max)
    if bad.any():
        first = int(np.argmax(bad.reshape(len(x), -1).any(1)))
        raise ValueError(
            f"{place}: {what} holds {int(bad.sum())} values that are NaN or infinite, the first in row {first}"
        )


def range_of(place: str, x: Mapping[str, NDArray[Any]], told: str | None = None) -> Range:
    """The range that the values of all parts were written in."""
    some = [a for a in x.values() if a.size]
    low, high = (float(f([f(a) for a in some])) if some else 0.0 for f in (np.min, np.max))
    if told is not None:
        return told_range(place, told, low, high)
    kinds = {a.dtype.kind for a in some}
    if kinds <= {"b"} or (low >= 0 and high <= 1 and kinds <= {"b", "i", "u"}):
        return Range(0, 1)
    if kinds <= {"b", "i", "u"}:
        widest = max((a.dtype.itemsize for a in some), default=1)
        return of_integers(place, low, high, widest)
    share = None
    if low >= 0 and 1 < high <= BYTE:
        lit = sum(int((a > 0).sum()) for a in some)
        share = sum(int((a > 1).sum()) for a in some) / max(lit, 1)
    return of_floats(place, low, high, share)


def of_integers(place: str, low: float, high: float, width: int) -> Range:
    """The range of integers of ``width`` bytes that lie between ``low`` and ``high``."""
    if low < 0 or high > 65535:
        raise _refused(place, low, high)
    if high <= BYTE:
        notes = () if width == 1 else (_said(0, BYTE, low, high),)
        return Range(0, BYTE, (*notes, *_little(high, BYTE)))
    if high >= LITTLE * 65535:
        return Range(0, 65535, () if width == 2 else (_said(0, 65535, low, high),))
    top = next(2**k - 1 for k in DEPTHS if high < 2**k)
    return Range(0, top, (_said(0, top, low, high),))


def of_floats(place: str, low: float, high: float, above_one: float | None) -> Range:
    """The range of real values that lie between ``low`` and ``high``; ``above_one``: which share of those above 0."""
    if low >= 0 and high <= 1:
        return Range(0, 1, _little(high, 1))
    if -1 <= low <= -0.5 and high <= 1:
        return Range(-1, 1, (_said(-1, 1, low, high),))
    # One bright pixel among values in [0, 1] is a fault and no range.
    if low >= 0 and high <= BYTE and above_one is not None and above_one > 0.5:
        return Range(0, BYTE, (_said(0, BYTE, low, high), *_little(high, BYTE)))
    raise _refused(place, low, high)


def of_bytes(high: int) -> Range:
    """The range of bytes of which ``high`` is the highest."""
    return Range(0, BYTE, _little(high, BYTE))


def told_range(place: str, told: str, low: float | None = None, high: float | None = None) -> Range:
    """The range that was told as ``LOW,HIGH``. Raises ValueError where it is none, or values from ``low`` to ``high`` lie outside."""
    try:
        bottom, top = map(float, told.split(","))
    except ValueError:
        bottom, top = math.nan, math.nan
    if not (math.isfinite(bottom) and math.isfinite(top) and bottom < top):
        raise ValueError(f"{place}: range '{told}' is not allowed; two numbers, the lower first: range=0,255")
    if low is None or high is None:
        return Range(bottom, top, (_said(bottom, top, bottom, top),))
    if low < bottom or high > top:
        raise ValueError(f"{place}: values from {low:.7g} to {high:.7g} lie outside range={told}")
    return Range(bottom, top, (_said(bottom, top, low, high),))


def _said(bottom: float, top: float, low: float, high: float) -> Reason:
    return Reason.of(
        "data.range", "values from {low} to {high} are read as lying from {bottom} to {top}",
        low=f"{low:.6g}", high=f"{high:.6g}", bottom=f"{bottom:.6g}", top=f"{top:.6g}",
    )  # fmt: skip


def _little(high: float, top: float) -> tuple[Reason, ...]:
    if not 0 < high < LITTLE * top:
        return ()
    return (
        Reason.of(
            "data.little_range",
            "values up to {high} use less than a tenth of the range up to {top}: all images are dark; where they were "
            "written in another range, say so (range=LOW,HIGH)",
            high=f"{high:.6g}",
            top=f"{top:.6g}",
        ),
    )


def _refused(place: str, low: float, high: float) -> ValueError:
    told = f"range={min(low, 0):.6g},{high:.6g}"
    return ValueError(
        f"{place}: values from {low:.7g} to {high:.7g}; expected uint8, or floats in [0, 1]; say what range they were written "
        f"in, such as {told}"
    )


def _scaled(x: NDArray[Any], found: Range) -> NDArray[Any]:
    if (found.low, found.high) == (0, BYTE) and x.dtype == np.uint8:
        return x
    if (found.low, found.high) == (0, 1):
        return x.astype(np.float32)
    if (found.low, found.high) == (0, BYTE):
        out: NDArray[Any] = x.astype(np.float32) / np.float32(BYTE)
        return out
    return ((x.astype(np.float64) - found.low) / (found.high - found.low)).astype(np.float32)
