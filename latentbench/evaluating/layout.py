"""Which axis of what was handed over is what, and the way there and back.

    handed over                 measured as
    (n, f)                      vectors (f,); with layout="series" series of one channel
    (n, h, w)                   grey images, where values are bytes or in [0, 1], or a range is given; else it is asked
    (n, t, c)                   series, with layout="series" (or "channels_last"); (n, c, t) with "channels_first"
    (n, c, h, w), (n, h, w, c)  images, channels where there are 1, 3 or 4 of something; else it is asked
    (n, c, d, h, w)             volumes, as vectors

Axes are permuted, never reshaped: a decoder gives back what the encoder was given, or the same values flat in that order.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from latentbench.refusals import unknown
from latentbench.spaces.image import Image
from latentbench.spaces.series import Series
from latentbench.spaces.space import Space
from latentbench.spaces.vector import Vector

LAYOUTS = ("auto", "image", "series", "channels_first", "channels_last")
"""What ``layout`` may be."""
CHANNELS = (1, 3, 4)
SIDE = 4
"""Pixels along the shorter side from which on a reading as an image is the likely one."""


@dataclass(frozen=True)
class Layout:
    """The ``user``'s shape of one sample, the ``kind`` of space it is measured in, the ``order`` in which the user's axes
    become those that are measured, and their names as they were handed over, ``axes``."""

    user: tuple[int, ...]
    kind: type[Space]
    order: tuple[int, ...]
    axes: str

    @property
    def shape(self) -> tuple[int, ...]:
        """Of a measured sample."""
        permuted = self._permuted
        if self.kind is Image:
            return (1, *permuted) if len(permuted) == 2 else permuted
        if self.kind is Series:
            return (*permuted, 1) if len(permuted) == 1 else permuted
        return (math.prod(permuted),)

    @property
    def _permuted(self) -> tuple[int, ...]:
        return tuple(self.user[k] for k in self.order)

    def to_measured(self, x: Tensor) -> Tensor:
        """Samples (n, *user), or flat in that order, as (n, *shape). Raises ValueError for another shape."""
        given = tuple(x.shape[1:])
        flat = given == (math.prod(self.user),)
        if not flat and without_ones(given) != without_ones(self.user):
            raise ValueError(f"shape {tuple(x.shape)}; expected {self.said('n')}, as x_test was handed over, or flat")
        x = x.reshape(len(x), *self.user)
        return x.permute(0, *(k + 1 for k in self.order)).reshape(len(x), *self.shape)

    def to_user(self, x: Tensor) -> Tensor:
        """Measured samples (n, *shape) as they were handed over, (n, *user)."""
        back = sorted(range(len(self.order)), key=self.order.__getitem__)
        return x.reshape(len(x), *self._permuted).permute(0, *(k + 1 for k in back))

    def said(self, n: int | str) -> str:
        """The shape of ``n`` samples as they were handed over, in words."""
        return f"({n}, {', '.join(map(str, self.user))})"


def plain(space: Space) -> Layout:
    """The layout of samples that are handed over as they are measured."""
    axes = {1: "n,f", 2: "n,t,c", 3: "n,c,h,w"}[len(space.shape)]
    return Layout(space.shape, type(space), tuple(range(len(space.shape))), axes)


def check_layout(layout: str) -> None:
    """Raise ValueError or TypeError for a layout that there is not."""
    if not isinstance(layout, str):
        raise TypeError(f"layout: {layout!r} is not a string (allowed: {', '.join(LAYOUTS)})")
    if layout not in LAYOUTS:
        raise unknown("layout", layout, LAYOUTS)


def find_layout(what: str, shape: Sequence[int], layout: str, pictures: bool, seen: str) -> Layout:
    """The layout of samples of this ``shape`` (without n), called ``what`` in messages: as ``layout`` says, else as the
    shape tells. ``pictures``: whether the values may be an image's; ``seen`` says in words which they are.

    Raises ValueError, one line with what to say, where a shape is none or may be read in two ways."""
    shape = tuple(shape)
    whole = f"({', '.join(['n', *map(str, shape)])})"
    if not shape:
        raise ValueError(
            f"{what}: shape (n,) is one number a sample; expected (n, columns): write x[:, None] for one column"
        )
    if min(shape) < 1:
        raise ValueError(f"{what}: shape {whole} holds nothing")
    if len(shape) == 1:
        return _flat(what, shape, layout)
    if len(shape) == 2:
        return _two(what, shape, whole, layout, pictures, seen)
    if len(shape) == 3:
        return _three(what, shape, whole, layout)
    if len(shape) == 4:
        if layout == "series":
            raise ValueError(f"{what}: shape {whole} is no series; expected (n, steps, channels)")
        axes = "n,d,h,w,c" if layout == "channels_last" else "n,c,d,h,w"
        return Layout(shape, Vector, (0, 1, 2, 3), axes)
    raise ValueError(
        f"{what}: shape {whole} is not samples; expected (n, columns), (n, steps, channels), (n, h, w), (n, c, h, w), "
        "(n, h, w, c) or volumes (n, c, d, h, w)"
    )


def _flat(what: str, shape: tuple[int, ...], layout: str) -> Layout:
    if layout == "series":
        return Layout(shape, Series, (0,), "n,t")
    if layout != "auto":
        raise ValueError(
            f"{what}: layout='{layout}' needs images or series with channels, and (n, {shape[0]}) are vectors; unflatten them"
        )
    return Layout(shape, Vector, (0,), "n,f")


def _two(what: str, shape: tuple[int, ...], whole: str, layout: str, pictures: bool, seen: str) -> Layout:
    if layout in ("series", "channels_last"):
        return Layout(shape, Series, (0, 1), "n,t,c")
    if layout == "channels_first":
        return Layout(shape, Series, (1, 0), "n,c,t")
    if layout == "image" or pictures:
        return Layout(shape, Image, (0, 1), "n,h,w")
    raise ValueError(
        f"{what}: shape {whole} with {seen} may be grey images (n, h, w) or series (n, steps, channels); say "
        "layout='image' with range=(lowest, highest), which become [0, 1], or layout='series' ('channels_first' for "
        "(n, channels, steps))"
    )


def _three(what: str, shape: tuple[int, ...], whole: str, layout: str) -> Layout:
    if layout == "series":
        raise ValueError(f"{what}: shape {whole} is no series; expected (n, steps, channels)")
    first, last = Layout(shape, Image, (0, 1, 2), "n,c,h,w"), Layout(shape, Image, (2, 0, 1), "n,h,w,c")
    if layout == "channels_first":
        return first
    if layout == "channels_last":
        return last
    # The likely readings before the possible ones: 1, 3 or 4 channels of some pixels, of any, then two channels.
    for allowed, side in ((CHANNELS, SIDE), (CHANNELS, 1), ((2,), 1)):
        fitting = [one for one in (first, last) if one.shape[0] in allowed and min(one.shape[1:]) >= side]
        if len(fitting) == 1:
            return fitting[0]
        if fitting:
            break
    raise ValueError(
        f"{what}: in shape {whole} channels may be first or last; say layout='channels_first' for (n, c, h, w) or "
        "layout='channels_last' for (n, h, w, c)"
    )


def without_ones(shape: Sequence[int]) -> tuple[int, ...]:
    """A shape without its axes of length one."""
    return tuple(size for size in shape if size != 1)
