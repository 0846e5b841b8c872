"""Nearest neighbours, exact, in blocks: memory grows with the number of points, never with its square.

Several measures rest on one question: which of the points ``b`` (m, d) lie nearest to each point of ``a`` (n, d), and
how far away? Distances are Euclidean, taken from differences in float64 and so exact wherever the data lie; which
pairs are worth that look, a *screen* tells (`latentbench.geometry.candidate_pairs`). Where points tie, the first comes first, so the
answer depends on nothing but the points: on no block, no precision and no thread.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from latentbench.geometry.candidate_pairs import Pairs, Places, Reals, Screen, precisions, separation

if TYPE_CHECKING:
    from jaxtyping import Float64, Int, Shaped

BLOCK = 4_000_000
"""Distances held at once: 32 MB in float64, 16 MB in a screen of float32."""
POINTS = 4_000_000
"""Coordinates of the points that neighbours are sought for, held at once where these are many; of 2,048 points at least."""
FEW = 16
"""A screen serves while it leaves less than this part of all pairs or groups to be settled, 1 / FEW."""
TRIED = 256
"""With more coordinates than this a screen of float32 is tried on a few points first."""
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


def flat(x: Shaped[Tensor, "n ..."]) -> Float64[Tensor, "n d"]:
    """Points as float64 rows: (n, ...) becomes (n, d)."""
    return x.reshape(len(x), -1).double()


def distances(a: Shaped[Tensor, "n ..."], b: Shaped[Tensor, "m ..."]) -> Float64[Tensor, "n m"]:
    """Euclidean distances (n, m), float64, >= 0, of the rows of ``a`` (n, ...) to the rows of ``b`` (m, ...). All at
    once, for sets that fit, and to 1e-8 of the data's spread; `nearest` and `count_inside` are exact, in blocks."""
    a, b = flat(a), flat(b)
    centre = b.mean(0)
    return torch.cdist(a - centre, b - centre, compute_mode="use_mm_for_euclid_dist")


def nearest(a: Shaped[Tensor, "n ..."], b: Shaped[Tensor, "m ..."] | None = None, k: int = 1) -> Neighbours:
    """The ``k`` nearest rows of ``b`` (m, ...) for each row of ``a`` (n, ...), nearest first, of equals the first.

    Without ``b`` the neighbours are sought in ``a`` itself and no point is its own neighbour (a duplicate of it may
    be). Raises ValueError where there are fewer than ``k`` points to choose from or where one is not finite.
    """
    itself = b is None
    x = _finite(a)
    y = x if b is None else _finite(b)
    if not 1 <= k <= len(y) - itself:
        raise ValueError(f"k: {k} neighbours asked for, there are {len(y) - itself}")
    own = np.arange(len(x)) if itself else np.full(len(x), -1)
    result = _search(x, y, own, k, a.device)
    if result is None:
        # Points heaped on one another. No point needs more than k + 1 copies of another: one of them may be itself.
        kept = _copies(y, k + 1)
        place = np.full(len(y), -1)
        place[kept] = np.arange(len(kept))
        result = _search(x, y[kept], np.where(own < 0, -1, place[own]), k, a.device, patient=True)
        assert result is not None
        result = result[0], kept[result[1]]
    return Neighbours(*(torch.from_numpy(part).to(a.device) for part in result))


def count_inside(
    points: Shaped[Tensor, "n ..."], centres: Shaped[Tensor, "m ..."], radius: Shaped[Tensor, " m"]
) -> Balls:
    """How many of the balls around ``centres`` (m, ...) with ``radius`` (m,) hold each of ``points`` (n, ...), and how
    many of the points each ball holds. A point on a ball's surface is not in it: distance < radius.

    Raises ValueError where a coordinate is not finite.
    """
    a, b, r = _finite(points), _finite(centres), radius.detach().cpu().double().numpy()
    kinds = list(precisions(a.shape[1], points.device))
    groups = math.isqrt(16 * len(b))
    screen = Screen(a, b, r * r, kinds.pop(0), groups, points.device)
    around, within = np.zeros(len(a), np.int64), np.zeros(len(b), np.int64)
    for rows in blocks(len(a), screen.width):
        pairs, unsure = _touching(screen, rows)
        while kinds and len(unsure) * FEW > (rows.stop - rows.start) * len(b):
            screen = Screen(a, b, r * r, kinds.pop(0), groups, points.device)
            pairs, unsure = _touching(screen, rows)
        inside = np.ones(len(pairs.row), np.bool_)
        row, column = pairs.row[unsure], pairs.column[unsure]
        inside[unsure] = separation(a[rows], b, row, column) < r[column]
        around[rows] = np.bincount(pairs.row[inside], minlength=rows.stop - rows.start)
        within += np.bincount(pairs.column[inside], minlength=len(b))
    return Balls(*(torch.from_numpy(part).to(points.device) for part in (around, within)))


def ranks(points: Shaped[Tensor, "n ..."], index: Int[Tensor, "n k"]) -> Float64[Tensor, "n k"]:
    """Which neighbour of point i is point ``index[i, j]``? float64 (n, k), 1 for the nearest, n - 1 for the farthest.

    ``points`` (n, ...), ``index`` (n, k) int64 without i itself in row i. Points at one distance, to the rounding of
    float64, share the mean of their ranks, so a set fallen onto one point ranks everything in the middle instead of
    first. Raises ValueError where a coordinate is not finite.
    """
    x, asked = _finite(points), index.cpu().numpy()
    screen = Screen(x, x, None, torch.float64, len(x), points.device)
    out = np.empty(asked.shape)
    for rows in blocks(len(x), screen.width):
        block, slack = screen.block(rows), 2 * screen.margin[rows]
        block[np.arange(len(block)), np.arange(rows.start, rows.stop)] = np.inf
        value = np.take_along_axis(block, asked[rows], 1)
        block.sort(1)
        for i, line, low, high in zip(range(rows.start, rows.stop), block, value - slack, value + slack, strict=True):
            # nearer, and as near, itself among them: the mean of ranks nearer + 1 ... upto
            out[i] = (line.searchsorted(low) + line.searchsorted(high, "right") + 1) / 2
    return torch.from_numpy(out).to(points.device)


def _finite(x: Shaped[Tensor, "n ..."]) -> Reals:
    points: Reals = flat(x.detach().cpu()).numpy()
    if not (np.abs(points) < LARGEST).all():
        raise ValueError(f"points: a coordinate is NaN, infinite or beyond {LARGEST:g}: it has no neighbours")
    return points


def _search(
    a: Reals, b: Reals, own: Places, k: int, device: torch.device, patient: bool = False
) -> tuple[Reals, Places] | None:
    """Distances and indices (n, k) of the ``k`` nearest, where ``own`` (n,) is each point's own column (-1: none). None
    where not even float64 tells enough pairs apart, unless ``patient``."""
    # So many groups that the k nearest mostly fall into different ones, and so few that they are quickly ordered.
    groups = max(4 * k, math.isqrt(k * len(b)))
    kinds = list(precisions(a.shape[1], device))
    kind = kinds.pop(0)
    distance, index = np.empty((len(a), k)), np.empty((len(a), k), np.int64)
    for part in _parts(*a.shape):
        points, itself = a[part], own[part]
        screen = Screen(points, b, None, kind, groups, device)
        for rows in blocks(len(points), screen.width):
            pairs = _candidates(screen, rows, itself, k, patient and not kinds)
            while pairs is None and kinds:
                kind = kinds.pop(0)
                screen = Screen(points, b, None, kind, groups, device)
                pairs = _candidates(screen, rows, itself, k, patient and not kinds)
            if pairs is None:
                return None
            apart = separation(points[rows], b, pairs.row, pairs.column)
            first = _first(apart, pairs, rows.stop - rows.start, k)
            at = slice(part.start + rows.start, part.start + rows.stop)
            distance[at], index[at] = apart[first], pairs.column[first]
    return distance, index


def _parts(n: int, d: int) -> Iterator[slice]:
    """Slices that cover ``n`` points of ``d`` coordinates, each of about `POINTS` coordinates. The first of many is short,
    where coordinates are many: on it the precision is found that tells pairs apart."""
    step = max(2048, POINTS // max(1, d))
    first = 128 if d > TRIED and n > 128 else min(step, n)
    yield slice(0, first)
    yield from (slice(i, min(i + step, n)) for i in range(first, n, step))


def _candidates(screen: Screen, rows: slice, own: Places, k: int, patient: bool = False) -> Pairs | None:
    """Pairs of a block among which the ``k`` nearest of each row certainly are; None, unless ``patient``, where they
    would be a good part of all.

    The k-th smallest of the groups' smallest values bounds the k-th smallest value, which is off by a margin at most,
    as is every other.
    """
    block = screen.block(rows)
    row = np.flatnonzero(own[rows] >= 0)
    block[row, own[rows][row]] = np.inf
    smallest = screen.smallest(block)
    limit = np.partition(smallest, k - 1, axis=1)[:, k - 1 : k] + 2 * screen.margin[rows]
    if not patient and np.count_nonzero(smallest <= limit) > len(block) * max(2 * k, screen.groups // FEW):
        return None
    return screen.through(block, limit, smallest)


def _touching(screen: Screen, rows: slice) -> tuple[Pairs, Places]:
    """Pairs of a block that are or may be inside, and the places of those of which it is unsure."""
    block, margin = screen.block(rows), screen.margin[rows]
    pairs = screen.through(block, margin, screen.smallest(block))
    return pairs, np.flatnonzero(pairs.value >= -margin[pairs.row, 0])


def _first(distance: Reals, pairs: Pairs, rows: int, k: int) -> Places:
    """Places (rows, k) of the ``k`` nearest of each row's candidates, by distance and then by column."""
    order = np.lexsort((pairs.column, distance, pairs.row))
    count = np.bincount(pairs.row, minlength=rows)
    first: Places = order[(count.cumsum() - count)[:, None] + np.arange(k)]
    return first


def _copies(points: Reals, most: int) -> Places:
    """Indices (c,), ascending, of the points without those that have ``most`` equal ones before them."""
    _, group, size = np.unique(points, axis=0, return_inverse=True, return_counts=True)
    group = group.reshape(-1)
    order = group.argsort(kind="stable")
    turn = np.arange(len(order)) - (size.cumsum() - size)[group[order]]
    kept: Places = np.sort(order[turn < most])
    return kept
