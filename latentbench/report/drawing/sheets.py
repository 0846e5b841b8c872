"""Many images in one drawing: sheets of decoded images framed by the judge's word, and mosaics."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from markupsafe import Markup

from latentbench.report.drawing import images
from latentbench.report.drawing.svg import drawing, tag, text
from latentbench.report.folder import Array

TILE = 32
"""Pixels of the shorter side of a tile with a gap around it, at least."""


def mosaic(grid: Array, gap: bool = False) -> images.Picture:
    """(rows, columns, h, w[, 3]) images as one picture; with a ``gap`` a grey line stands between them."""
    if gap:
        factor = max(1, math.ceil(TILE / min(grid.shape[2:4])))
        large = grid.repeat(factor, axis=2).repeat(factor, axis=3)
        grid = np.pad(large, [(0, 0), (0, 0), (1, 1), (1, 1), *[(0, 0)] * (grid.ndim - 4)], constant_values=128)
    rows, columns, h, w = grid.shape[:4]
    whole = grid.swapaxes(1, 2).reshape(rows * h, columns * w, *grid.shape[4:])
    return images.encode(
        whole, lossless=rows * columns * h * w <= 400 * 400 or (gap and rows * columns * h * w <= 800 * 800)
    )


def picture(shown: images.Picture, x: float, y: float, width: float, height: float) -> Markup:
    """A picture inside a drawing, its pixels crisp."""
    return tag(
        "image", href=shown.uri, x=x, y=y, width=width, height=height, preserveAspectRatio="none", class_="pixels"
    )


def sheet(
    pictures: Array, valid: Array | None, label: str, columns: int = 10, notes: Sequence[str] | None = None
) -> Markup:
    """Decoded images (k, h, w[, 3]) in rows, each framed by the judge's word (solid valid, dashed refused), with a
    note under each where there are notes."""
    k, h, w = pictures.shape[:3]
    columns = min(columns, k)
    wide, gap = 40.0, 5.0
    high, beneath = wide * h / w, 14.0 if notes else 0.0
    parts = []
    for i in range(k):
        px, py = (i % columns) * (wide + gap) + 2, (i // columns) * (high + gap + beneath) + 2
        parts.append(picture(images.encode(pictures[i], lossless=images.small(pictures)), px, py, wide, high))
        if valid is not None:
            word = "ok" if bool(np.asarray(valid)[i]) else "no"
            parts.append(tag("rect", x=px - 1.5, y=py - 1.5, width=wide + 3, height=high + 3, class_=f"judged {word}"))
        if notes:
            parts.append(text(px + wide / 2, py + high + 13, notes[i], "tick", "middle"))
    rows = math.ceil(k / columns)
    return drawing(
        columns * (wide + gap) + 1, rows * (high + gap + beneath) + 1, *parts, label=label, class_="sheet-drawing"
    )
