"""Polygons drawn without aliasing: every pixel gets exactly the share of its area that the polygon covers.

Coordinates are (column, row) in pixels: (0, 0) is the upper left corner of the image, the pixel in row i and column j
is the square [j, j+1] x [i, i+1]. Write ``C(a, b)`` for the area of the part of the polygon with column <= a and row
<= b; then a pixel's coverage is a second difference of C. And C is a sum over the polygon's directed edges, by Green's
theorem: an edge that runs over the columns [u, v] as row(t) adds, with the sign of its direction,

    integral of min(row(t), b) dt  from u to min(v, a)

which for a straight edge is the area of a trapezoid less that of a triangle or trapezoid below row b.

The same on every processor: what is computed from the corners are sums, products, quotients and comparisons of single
numbers, each of which IEEE 754 rounds in one way only, in an order that is written down here (a library's sum over an
axis adds in whatever order suits the processor). The corners themselves come from sines, which differ in their last
bits; `coverage(..., snap=True)` rounds them first, far above that noise.
"""

from __future__ import annotations

import torch
from torch import Tensor

CHUNK = 250_000
"""Corner values held at once."""
GRID = 2.0**20
"""Corners are snapped to so many places a pixel: 1e-6 of a pixel, 1e8 times the noise of a sine."""


def snapped(vertices: Tensor) -> Tensor:
    """Corners in pixels, rounded to the nearest 1 / `GRID`."""
    return (vertices * GRID).round() / GRID


def coverage(vertices: Tensor, size: int, snap: bool = False) -> Tensor:
    """Share of each pixel's area inside simple polygons: (m, size, size), float64 in [0, 1].

    ``vertices`` (m, k, 2): the k corners in order, in either direction, as (column, row) in [0, size]; what lies
    outside the image is cut off. Corners may repeat, so that polygons of fewer corners fit in one batch. With ``snap``
    they are `snapped`: images that are to be the same to the last bit wherever they are drawn.
    """
    if snap:
        vertices = snapped(vertices.double())
    step = max(1, CHUNK // (vertices.shape[1] * (size + 1) ** 2))
    parts = [_coverage(part.double(), size) for part in vertices.split(step)]
    return torch.cat(parts) if parts else vertices.new_zeros((0, size, size), dtype=torch.float64)


def _coverage(vertices: Tensor, size: int) -> Tensor:
    start, end = vertices, vertices.roll(-1, dims=1)
    backward = (end[..., :1] < start[..., :1]).expand_as(start)
    left, right = torch.where(backward, end, start), torch.where(backward, start, end)
    sign = 1 - 2 * backward[..., 0].double()
    run = right[..., 0] - left[..., 0]
    slope = torch.where(run > 0, (right[..., 1] - left[..., 1]) / run.where(run > 0, 1.0), 0.0)
    grid = torch.arange(size + 1, dtype=torch.float64, device=vertices.device)
    # (m, k, size + 1): how far each edge runs up to each column, and the rows at both ends of that part.
    reach = (grid - left[..., :1]).clamp(min=0).minimum(run[..., None])
    first = left[..., 1:].expand_as(reach)
    last = first + slope[..., None] * reach
    below = _mean_positive((first[..., None] - grid), (last[..., None] - grid))
    edge = reach[..., None] * ((first + last)[..., None] / 2 - below)
    area = _sum(sign[..., None, None] * edge)
    pixels = area.diff(dim=1).diff(dim=2).transpose(1, 2)
    # The sign of the whole is the direction in which the corners were given.
    turn = _sum(start[..., 0] * end[..., 1] - start[..., 1] * end[..., 0])
    # Nothing covered is 0 and never -0, which a clamp keeps or not as the processor has it.
    return (pixels * -turn.sign()[:, None, None]).clamp(0, 1) + 0.0


def _sum(parts: Tensor) -> Tensor:
    """The sum over the second axis, one after the other."""
    total, *rest = parts.unbind(1)
    for part in rest:
        total = total + part
    return total


def _mean_positive(first: Tensor, last: Tensor) -> Tensor:
    """The mean of max(u, 0) for u that runs evenly from ``first`` to ``last``."""
    low, high = torch.minimum(first, last), torch.maximum(first, last)
    crossing = high.clamp(min=0).square() / (2 * (high - low).clamp(min=torch.finfo(low.dtype).tiny))
    return torch.where(low >= 0, (low + high) / 2, crossing)
