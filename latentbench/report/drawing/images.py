"""Arrays of pixels -> data URIs: single images, film strips and the sprite behind the maps.

Everything is WEBP: lossless where images are small (their pixels are the point), lossy above, so that a page of large
colour images stays small. Encoding is deterministic: equal arrays give equal bytes.
"""

from __future__ import annotations

import base64
import io
import math
from typing import NamedTuple

import numpy as np
from PIL import Image

from latentbench.report.folder import Array

LOSSLESS_UP_TO = 40 * 40
"""Numbers in one image (pixels x channels) up to which it is stored without loss."""

THUMB = 40
"""Pixels of a thumbnail's longer side in the sprite at most; larger ones are averaged down."""


class Picture(NamedTuple):
    """A data URI with the pixel size it is stored in."""

    uri: str
    width: int
    height: int


def encode(pixels: Array, lossless: bool = True) -> Picture:
    """One image, uint8 (h, w) or (h, w, 3), as a WEBP data URI."""
    array = np.ascontiguousarray(pixels)
    if array.dtype != np.uint8:
        array = np.clip(np.nan_to_num(array), 0, 255).astype(np.uint8)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    buffer = io.BytesIO()
    Image.fromarray(array).convert("RGB").save(
        buffer, "WEBP", lossless=lossless, quality=70 if lossless else 80, method=4
    )
    code = base64.b64encode(buffer.getvalue()).decode("ascii")
    return Picture(f"data:image/webp;base64,{code}", array.shape[1], array.shape[0])


def small(images: Array) -> bool:
    """Whether images (k, h, w[, 3]) are small enough to be stored without loss."""
    return math.prod(images.shape[1:]) <= LOSSLESS_UP_TO


def singles(images: Array) -> list[Picture]:
    """Each of the images (k, h, w[, 3]) as a picture of its own."""
    return [encode(image, lossless=small(images)) for image in images]


def strip(frames: Array, at_least: int = 48) -> Picture:
    """Frames (T, h, w[, 3]) side by side. Small frames are enlarged by a whole factor to ``at_least`` pixels a side,
    so that their pixels stay square whatever width the page gives the strip."""
    factor = max(1, math.ceil(at_least / max(frames.shape[1], frames.shape[2]))) if small(frames) else 1
    large = frames.repeat(factor, axis=1).repeat(factor, axis=2)
    return encode(np.concatenate(list(large), axis=1), lossless=small(frames))


def shown_size(height: int, width: int, wanted: int = 48) -> tuple[int, int]:
    """(height, width) in CSS pixels: the whole multiple of the image's own size nearest to ``wanted`` (large images
    are shown at ``wanted`` to twice that), so that pixels stay square and crisp."""
    longest = max(height, width)
    if longest <= wanted * 4 / 3:
        factor: float = max(1, round(wanted / longest))
    else:
        factor = wanted * 4 / 3 / longest
    return round(height * factor), round(width * factor)


class Sprite(NamedTuple):
    """Many thumbnails in one picture: ``columns`` a row, each ``tile_width`` x ``tile_height`` pixels."""

    picture: Picture
    columns: int
    rows: int
    tile_width: int
    tile_height: int

    def shares(self, k: int) -> tuple[float, float]:
        """CSS ``background-position`` percentages (x, y) that show tile k."""
        row, column = divmod(k, self.columns)
        return 100 * column / max(1, self.columns - 1), 100 * row / max(1, self.rows - 1)


def sprite(thumbs: Array) -> Sprite:
    """All thumbnails (m, h, w[, 3]) in one square-ish sheet, row by row."""
    factor = math.ceil(max(thumbs.shape[1:3]) / THUMB)
    if factor > 1:
        down, across = (min(factor, side) for side in thumbs.shape[1:3])  # a narrow image keeps its one row
        h, w = thumbs.shape[1] // down * down, thumbs.shape[2] // across * across
        blocks = thumbs[:, :h, :w].reshape(len(thumbs), h // down, down, w // across, across, *thumbs.shape[3:])
        thumbs = blocks.mean(axis=(2, 4)).round().astype(np.uint8)
    m, h, w = thumbs.shape[:3]
    columns = max(1, math.ceil(math.sqrt(m)))
    rows = max(1, math.ceil(m / columns))
    sheet = np.zeros((rows * columns, *thumbs.shape[1:]), np.uint8)
    sheet[:m] = thumbs
    tiled = sheet.reshape(rows, columns, h, w, -1).swapaxes(1, 2).reshape(rows * h, columns * w, -1)
    return Sprite(encode(tiled, lossless=small(thumbs)), columns, rows, w, h)
