"""Which pairs of points are close? A cheap look at all pairs that is never wrong, and an exact one at few of them.

A matrix product yields all squared distances of ``a`` (n, d) to ``b`` (m, d) at once, in single precision twice as
fast as in double, but only to within rounding: ``|a|^2 - 2 a.b + |b|^2`` cancels. A *screen* knows how far it may be
off, so it rules out what is certainly too far; what remains, a few pairs a point, is settled by `separation`, which
takes differences first and so loses nothing. The answer is that of the differences alone, whatever the precision of
the product, the block or the machine.

Only the product is torch's, on any device: one long call a block. The rest is numpy's, which finds, partitions and sorts
several times faster on a CPU, and in one thread: many short calls that each wait for all threads crawl as soon as
another process wants a core.

The bound. Both sets are moved to ``b``'s mean and scaled by a power of two to norms <= 1. Write A_i, B_j for those
norms, t_j for what is taken off column j (the squared radius of a ball; else 0), u for the unit roundoff of the
product's numbers and D = d + 2 for its length: the columns |a_i|^2 and |b_j|^2 - t_j stand beside the coordinates.

- The coordinates are rounded, by at most 2u each (to double by the move, then to single), which changes 2 a.b by at
  most 2 (4u + 4u^2) A_i B_j <= (2u + 2u^2) (A_i + B_j)^2.
- A product of D terms, summed in any order, with or without fused multiply-add, is off by at most
  Du / (1 - Du) times the sum of its terms' magnitudes (Higham 2002, section 3.1), here <= (A_i + B_j)^2 + t_j.
- The two columns are themselves rounded, u ((A_i + B_j)^2 + t_j), and summed in double, (D + 1) 2^-53 (A_i + B_j)^2.
- What settles a pair, the sum of its squared differences in double, is itself off by (D + 3) 2^-53 (A_i + B_j)^2.

Together at most ``margin_i = 3 (D + 8) u ((A_i + max_j B_j)^2 + max_j t_j)`` while Du < .05; no underflow exceeds D times
the smallest normal number, which is added.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

Reals = NDArray[np.float64]
Places = NDArray[np.int64]
Values = NDArray[Any]
"""float32 or float64: what a screen's product is made in."""

LANES = 16
"""Groups come in multiples of this, what a vector register holds of float32."""
SETTLE = 30_000
"""Coordinates held at once while pairs are settled: few enough for a processor's cache."""


class Pairs(NamedTuple):
    """Pairs (row, column) that a screen lets through, int64 (p,), rows ascending, and its value for each (p,)."""

    row: Places
    column: Places
    value: Values


class Screen:
    """``|a_i - b_j|^2 - t_j``, scaled, to within ``margin[i]``, for ``a`` (n, d), ``b`` (m, d) and ``t`` (m,) or
    None. ``dtype`` is the product's, float32 or float64; ``device`` where it is made.

    A block's columns are dealt to groups like cards, column j to group j modulo their number, so that data in some
    order do not fill one group; columns that fill up the last round are as good as infinitely far.
    """

    def __init__(
        self, a: Reals, b: Reals, t: Reals | None, dtype: torch.dtype, groups: int, device: torch.device
    ) -> None:
        self.groups = min(-(-groups // LANES) * LANES, len(b))
        rounds = -(-len(b) // self.groups)
        self.length = a.shape[1] + 2
        self.width = rounds * self.groups
        centre = b.mean(0)
        a, b = a - centre, b - centre
        longest = math.sqrt(max((x * x).sum(1).max() for x in (a, b)))
        self.scale = 2.0 ** -max(-1000, math.frexp(longest)[1])
        a, b = a * self.scale, b * self.scale
        a2, b2 = (a * a).sum(1), (b * b).sum(1)
        t = np.zeros_like(b2) if t is None else t * self.scale * self.scale
        info = torch.finfo(dtype)
        left, right = torch.ones(len(a), self.length, dtype=dtype), torch.zeros(self.length, self.width, dtype=dtype)
        rows, columns = left.numpy(), right.numpy()
        rows[:, :-2], rows[:, -2] = a, a2
        columns[:-2, : len(b)], columns[-2], columns[-1] = -2 * b.T, 1, info.max / 4
        columns[-1, : len(b)] = b2 - t
        self.left, self.right = left.to(device), right.to(device)
        reach = (np.sqrt(a2) + math.sqrt(b2.max())) ** 2 + t.max()
        # eps is 2u; (1 + 8 eps) covers the norms' own rounding
        margin = 1.5 * (self.length + 8) * info.eps * (1 + 8 * info.eps) * reach + self.length * info.tiny
        self.margin: Reals = margin[:, None]
        self._block = self.left.new_empty(0)

    def block(self, rows: slice) -> Values:
        """The screened rows, (r, ``width``); valid until the next call, which writes over it."""
        shape = (rows.stop - rows.start, self.width)
        if self._block.shape != shape:
            self._block = self.left.new_empty(shape)
        block: Values = torch.mm(self.left[rows], self.right, out=self._block).cpu().numpy()
        return block

    def smallest(self, block: Values) -> Values:
        """The smallest value of each group in each row, (r, groups)."""
        least: Values = block.reshape(len(block), -1, self.groups).min(1)
        return least

    def through(self, block: Values, limit: Reals, smallest: Values) -> Pairs:
        """The pairs of a block with a value of at most ``limit`` (r, 1); ``smallest`` (r, groups) of each group."""
        limit = limit.astype(block.dtype)  # whose rounding the margin's slack covers
        row, group = _places(smallest <= limit)
        members = block.reshape(len(block), -1, self.groups)[row, :, group]
        at, turn = _places(members <= limit[row])
        return Pairs(row[at], turn * self.groups + group[at], members[at, turn])


def _places(mask: NDArray[np.bool_]) -> tuple[Places, Places]:
    """Row and column of each True of ``mask`` (r, c), by row and then by column."""
    return np.divmod(np.flatnonzero(mask), mask.shape[1])


def precisions(length: int, device: torch.device) -> tuple[torch.dtype, ...]:
    """In what numbers to screen points of ``length`` coordinates, cheapest first. Single precision only where its
    products are what the bound says: not where they were allowed to be rounded to fewer bits, nor where points are
    too long for the bound."""
    try:
        exact = torch.get_float32_matmul_precision() == "highest"
    except RuntimeError:  # torch's word for "some backend is allowed fewer bits"
        exact = False
    exact = exact and not torch.is_autocast_enabled(device.type)
    short = (length + 2) * torch.finfo(torch.float32).eps < 0.1
    return (torch.float32, torch.float64) if exact and short else (torch.float64,)


def separation(a: Reals, b: Reals, row: Places, column: Places) -> Reals:
    """Euclidean distances (p,) of the pairs ``a[row]``, ``b[column]``, from their differences, in float64: exactly 0
    for equal points, the same in both directions, exact to (d + 3) 2^-53 of itself wherever the points lie."""
    out = np.empty(len(row))
    step = max(1, SETTLE // max(1, a.shape[1]))
    for i in range(0, len(row), step):
        apart = a[row[i : i + step]] - b[column[i : i + step]]
        out[i : i + step] = np.sqrt((apart * apart).sum(1))
    return out
