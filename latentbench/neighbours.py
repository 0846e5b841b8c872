"""Nearest neighbours, exact, in blocks of bounded memory.

Several measures rest on one question: which of the points ``b`` (m, d) lie nearest to each point of ``a`` (n, d), and
how far away? Distances are Euclidean and computed in float64 through ``|a - b|^2 = |a|^2 - 2 a.b + |b|^2`` after both
sets were moved to ``b``'s mean, so the cancellation in that formula stays near 1e-8 of the data's own spread, however
far from the origin the data lie.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

BLOCK = 4_000_000
"""Distances held at once: 32 MB in float64."""


class Neighbours(NamedTuple):
    """The k nearest of each of n points: ``distance`` (n, k) float64, ascending; ``indices`` (n, k) int64."""

    distance: Tensor
    indices: Tensor


def blocks(rows: int, columns: int) -> Iterator[slice]:
    """Slices that cover ``rows`` rows of a matrix with ``columns`` columns, each of at most `BLOCK` entries (and of
    at least one row)."""
    step = max(1, BLOCK // max(1, columns))
    return (slice(i, min(i + step, rows)) for i in range(0, rows, step))


def flat(x: Tensor) -> Tensor:
    """Points as float64 rows: (n, ...) becomes (n, d)."""
    return x.reshape(len(x), -1).double()


def distances(a: Tensor, b: Tensor) -> Tensor:
    """Euclidean distances (n, m), float64, >= 0, of the rows of ``a`` (n, ...) to the rows of ``b`` (m, ...). All at
    once: for sets that fit; `nearest` works in blocks."""
    a, b = flat(a), flat(b)
    centre = b.mean(0)
    return torch.cdist(a - centre, b - centre, compute_mode="use_mm_for_euclid_dist")


def nearest(a: Tensor, b: Tensor | None = None, k: int = 1) -> Neighbours:
    """The ``k`` nearest rows of ``b`` (m, ...) for each row of ``a`` (n, ...), nearest first.

    Without ``b`` the neighbours are sought in ``a`` itself and no point is its own neighbour (a duplicate of it may
    be). Raises ValueError where there are fewer than ``k`` points to choose from.
    """
    itself = b is None
    a = flat(a)
    b = a if b is None else flat(b)
    if not 1 <= k <= len(b) - itself:
        raise ValueError(f"k: {k} neighbours asked for, there are {len(b) - itself}")
    centre = b.mean(0)
    a, b = a - centre, b - centre
    found = []
    for rows in blocks(len(a), len(b)):
        distance = torch.cdist(a[rows], b, compute_mode="use_mm_for_euclid_dist")
        if itself:
            distance[torch.arange(rows.stop - rows.start), torch.arange(rows.start, rows.stop)] = torch.inf
        found.append(distance.topk(k, largest=False))
    return Neighbours(torch.cat([f.values for f in found]), torch.cat([f.indices for f in found]))


def ranks(points: Tensor, index: Tensor) -> Tensor:
    """Which neighbour of point i is point ``index[i, j]``? float64 (n, k), 1 for the nearest, n - 1 for the farthest.

    ``points`` (n, ...), ``index`` (n, k) int64 without i itself in row i. Points at one distance share the mean of
    their ranks, so a set fallen onto one point ranks everything in the middle instead of first.
    """
    points = flat(points)
    points = points - points.mean(0)
    out = torch.empty(index.shape, dtype=torch.float64, device=points.device)
    for rows in blocks(len(points), len(points)):
        distance = torch.cdist(points[rows], points, compute_mode="use_mm_for_euclid_dist")
        distance[torch.arange(rows.stop - rows.start), torch.arange(rows.start, rows.stop)] = torch.inf
        asked = distance.gather(1, index[rows])
        for j in range(index.shape[1]):
            column = asked[:, j : j + 1]
            nearer = (distance < column).sum(1)
            level = (distance == column).sum(1)
            out[rows, j] = nearer + (level + 1) / 2
    return out
