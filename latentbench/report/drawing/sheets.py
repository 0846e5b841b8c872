"""Many images in one drawing: sheets of decoded images framed by the judge's word, and mosaics."""

from __future__ import annotations

import math

import numpy as np
from markupsafe import Markup

from latentbench.report.drawing import images
from latentbench.report.drawing.svg import drawing, tag
from latentbench.report.folder import Array


def mosaic(grid: Array) -> images.Picture:
    """(rows, columns, h, w[, 3]) images as one picture."""
    rows, columns, h, w = grid.shape[:4]
    whole = grid.swapaxes(1, 2).reshape(rows * h, columns * w, *grid.shape[4:])
    return images.encode(whole, lossless=rows * columns * h * w <= 400 * 400)


def picture(shown: images.Picture, x: float, y: float, width: float, height: float) -> Markup:
    """A picture inside a drawing, its pixels crisp."""
    return tag(
        "image", href=shown.uri, x=x, y=y, width=width, height=height, preserveAspectRatio="none", class_="pixels"
    )


def sheet(pictures: Array, valid: Array | None, label: str, columns: int = 10) -> Markup:
    """Decoded images (k, h, w[, 3]) in rows, each framed by the judge's word: solid valid, dashed refused."""
    k, h, w = pictures.shape[:3]
    columns = min(columns, k)
    wide, gap = 40.0, 5.0
    high = wide * h / w
    parts = []
    for i in range(k):
        px, py = (i % columns) * (wide + gap) + 2, (i // columns) * (high + gap) + 2
        parts.append(picture(images.encode(pictures[i], lossless=images.small(pictures)), px, py, wide, high))
        if valid is not None:
            word = "ok" if bool(np.asarray(valid)[i]) else "no"
            parts.append(tag("rect", x=px - 1.5, y=py - 1.5, width=wide + 3, height=high + 3, class_=f"judged {word}"))
    rows = math.ceil(k / columns)
    return drawing(columns * (wide + gap) + 1, rows * (high + gap) + 1, *parts, label=label, class_="sheet-drawing")
