"""Images in figures: as they are, pixel by pixel, in one row."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from latentbench.report.folder import Array

PIXELS = 48
"""Pixels of an image's longer side, at least: what shows a figure may smooth between pixels, and then blurs few of them."""


def strip(images: Array) -> Array:
    """(n, h, w[, 3]) images in one row, each pixel repeated as often as it takes to stay crisp."""
    row = np.concatenate(list(images), axis=1)
    times = max(1, -(-PIXELS // max(images.shape[1:3])))
    return row.repeat(times, 0).repeat(times, 1)


def show(axes: Axes, images: Array, bottom: float = 0.0, top: float = 1.0) -> None:
    """A row of n images from x = 0 to n, between two heights."""
    row = strip(images)
    axes.imshow(
        row, cmap="gray", vmin=0, vmax=255, extent=(0, len(images), bottom, top), aspect="auto", interpolation="none"
    )
