"""Nearest neighbours, exact, in blocks: memory grows with the number of points, never with its square.

Several measures rest on one question: which of the points ``b`` (m, d) lie nearest to each point of ``a`` (n, d), and
how far away? Distances are Euclidean, taken from differences in float64 and so exact wherever the data lie; which
pairs are worth that look, a *screen* tells (`latentbench.screen`). Where points tie, the first comes first, so the
answer depends on nothing but the points: on no block, no precision and no thread.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from latentbench.screen import Pairs, Screen, kth_smallest, native, precisions, separation

BLOCK = 4_000_000
"""Distances held at once: 32 MB in float64, 16 MB in a screen of float32."""
FEW = 16
"""A screen in single precision serves while it lets through less than this part of all pairs, 1 / FEW."""


LARGEST = 1e150
"""Coordinates below this have squares that float64 holds."""


class Neighbours(NamedTuple):
    """The k nearest of each of n points: ``distance`` (n, k) float64, ascending; ``indices`` (n, k) int64."""

    distance: Tensor
    indices: Tensor


class Balls(NamedTuple):
    """Points in balls, counted: ``around`` (n,) int64, in how many balls each point lies; ``within`` (m,) int64, how
    many points each ball holds."""

    around: Tensor
    within: Tensor


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
    once, for sets that fit, and to 1e-8 of the data's spread; `nearest` and `count_inside` are exact, in blocks."""
    a, b = flat(a), flat(b)
    centre = b.mean(0)
    return torch.cdist(a - centre, b - centre, compute_mode="use_mm_for_euclid_dist")


def nearest(a: Tensor, b: Tensor | None = None, k: int = 1) -> Neighbours:
    """The ``k`` nearest rows of ``b`` (m, ...) for each row of ``a`` (n, ...), nearest first, of equals the first.

    Without ``b`` the neighbours are sought in ``a`` itself and no point is its own neighbour (a duplicate of it may
    be). Raises ValueError where there are fewer than ``k`` points to choose from or where one is not finite.
    """
    itself = b is None
    a = _finite(a)
    b = a if b is None else _finite(b)
    if not 1 <= k <= len(b) - itself:
        raise ValueError(f"k: {k} neighbours asked for, there are {len(b) - itself}")
    own = torch.arange(len(a), device=a.device) if itself else None
    found = _search(a, b, own, k)
    if found is None:
        # Points heaped on one another. No point needs more than k + 1 copies of another: one of them may be itself.
        kept = _copies(b, k + 1)
        if own is not None:
            own = torch.full_like(own, -1).index_copy_(0, kept, torch.arange(len(kept), device=a.device))
        found = _search(a, b[kept], own, k, patient=True)
        assert found is not None
        found = Neighbours(found.distance, kept[found.indices])
    return found


def count_inside(points: Tensor, centres: Tensor, radius: Tensor) -> Balls:
    """How many of the balls around ``centres`` (m, ...) with ``radius`` (m,) hold each of ``points`` (n, ...), and how
    many of the points each ball holds. A point on a ball's surface is not in it: distance < radius.

    Raises ValueError where a coordinate is not finite.
    """
    a, b, radius = _finite(points), _finite(centres), radius.double()
    kinds = list(precisions(a))
    groups = math.isqrt(16 * len(b))
    screen = Screen(a, b, radius.square(), kinds.pop(0), groups)
    around = torch.zeros(len(a), dtype=torch.int64, device=a.device)
    within = torch.zeros(len(b), dtype=torch.int64, device=a.device)
    for rows in blocks(len(a), screen.right.shape[1]):
        pairs, unsure = _touching(screen, rows)
        while kinds and len(unsure) * FEW > (rows.stop - rows.start) * len(b):
            screen = Screen(a, b, radius.square(), kinds.pop(0), groups)
            pairs, unsure = _touching(screen, rows)
        inside = torch.ones_like(pairs.row, dtype=torch.bool)
        row, column = pairs.row[unsure], pairs.column[unsure]
        inside[unsure] = separation(a[rows], b, row, column) < radius[column]
        around[rows] = torch.bincount(pairs.row[inside], minlength=rows.stop - rows.start)
        within += torch.bincount(pairs.column[inside], minlength=len(b))
    return Balls(around, within)


def ranks(points: Tensor, index: Tensor) -> Tensor:
    """Which neighbour of point i is point ``index[i, j]``? float64 (n, k), 1 for the nearest, n - 1 for the farthest.

    ``points`` (n, ...), ``index`` (n, k) int64 without i itself in row i. Points at one distance, to the rounding of
    float64, share the mean of their ranks, so a set fallen onto one point ranks everything in the middle instead of
    first. Raises ValueError where a coordinate is not finite.
    """
    points = _finite(points)
    screen = Screen(points, points, None, torch.float64, len(points))
    out = torch.empty(index.shape, dtype=torch.float64, device=points.device)
    for rows in blocks(len(points), len(points)):
        block = screen.block(rows)
        block[torch.arange(rows.stop - rows.start), torch.arange(rows.start, rows.stop)] = torch.inf
        asked, slack = block.gather(1, index[rows]), 2 * screen.margin[rows]
        block = _sorted(block)
        nearer = torch.searchsorted(block, asked - slack)
        level = torch.searchsorted(block, asked + slack, right=True) - nearer
        out[rows] = nearer + (level + 1) / 2
    return out


def _finite(x: Tensor) -> Tensor:
    x = flat(x.detach())
    if not bool((x.abs() < LARGEST).all()):
        raise ValueError(f"points: a coordinate is NaN, infinite or beyond {LARGEST:g}: it has no neighbours")
    return x


def _search(a: Tensor, b: Tensor, own: Tensor | None, k: int, patient: bool = False) -> Neighbours | None:
    """The ``k`` nearest, where ``own`` (n,) is each point's own column (-1: none). None where not even float64 tells
    enough pairs apart, unless ``patient``."""
    # So many groups that the k nearest mostly fall into different ones, and so few that they are quickly ordered.
    groups = max(4 * k, math.isqrt(k * len(b)))
    kinds = list(precisions(a))
    screen = Screen(a, b, None, kinds.pop(0), groups)
    found = []
    for rows in blocks(len(a), screen.right.shape[1]):
        enough = (rows.stop - rows.start) * max(2 * k, len(b) // FEW)
        pairs = _candidates(screen, rows, own, k)
        while kinds and len(pairs.row) > enough:
            screen = Screen(a, b, None, kinds.pop(0), groups)
            pairs = _candidates(screen, rows, own, k)
        if len(pairs.row) > enough and not patient:
            return None
        found.append(_first(separation(a[rows], b, pairs.row, pairs.column), pairs, rows.stop - rows.start, k))
    return Neighbours(torch.cat([f.distance for f in found]), torch.cat([f.indices for f in found]))


def _candidates(screen: Screen, rows: slice, own: Tensor | None, k: int) -> Pairs:
    """Pairs of a block among which the ``k`` nearest of each row certainly are.

    The k-th smallest of the groups' smallest values bounds the k-th smallest value, which is off by a margin at most,
    as is every other.
    """
    block = screen.block(rows)
    if own is not None:
        row = (own[rows] >= 0).nonzero()[:, 0]
        block[row, own[rows][row]] = torch.inf
    smallest = screen.smallest(block)
    bound = kth_smallest(smallest, k)
    return screen.through(block, (bound + 2 * screen.margin[rows]).to(block.dtype), smallest)


def _touching(screen: Screen, rows: slice) -> tuple[Pairs, Tensor]:
    """Pairs of a block that are or may be inside, and the places of those of which it is unsure."""
    block, margin = screen.block(rows), screen.margin[rows]
    pairs = screen.through(block, margin.to(block.dtype), screen.smallest(block))
    return pairs, (pairs.value >= -margin[pairs.row, 0]).nonzero()[:, 0]


def _first(distance: Tensor, pairs: Pairs, rows: int, k: int) -> Neighbours:
    """The ``k`` nearest of each row's candidates, by distance and then by column."""
    order = pairs.column.argsort(stable=True)
    order = order[distance[order].argsort(stable=True)]
    order = order[pairs.row[order].argsort(stable=True)]
    count = torch.bincount(pairs.row, minlength=rows)
    place = order[(count.cumsum(0) - count)[:, None] + torch.arange(k, device=order.device)]
    return Neighbours(distance[place], pairs.column[place])


def _copies(points: Tensor, most: int) -> Tensor:
    """Indices (c,), ascending, of the points without those that have ``most`` equal ones before them."""
    _, group, size = torch.unique(points, dim=0, return_inverse=True, return_counts=True)
    order = group.argsort(stable=True)
    turn = torch.arange(len(order), device=order.device) - (size.cumsum(0) - size)[group[order]]
    kept: Tensor = order[turn < most].sort().values
    return kept


def _sorted(block: Tensor) -> Tensor:
    """A block with each row in order; may write over it."""
    array = native(block)
    if isinstance(array, Tensor):
        return array.sort(1).values
    array.sort(1)
    return block
