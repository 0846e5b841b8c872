"""Which pairs of points are close? A cheap look at all pairs that is never wrong, and an exact one at few of them.

A matrix product yields all squared distances of ``a`` (n, d) to ``b`` (m, d) at once, in single precision twice as
fast as in double, but only to within rounding: ``|a|^2 - 2 a.b + |b|^2`` cancels. A *screen* knows how far it may be
off, so it rules out what is certainly too far; what remains, a few pairs a point, is settled by `separation`, which
takes differences first and so loses nothing. The answer is that of the differences alone, whatever the precision of
the product, the block or the machine.

The bound. Both sets are moved to ``b``'s mean and scaled by a power of two to norms <= 1. Write A_i, B_j for those
norms, t_j for what is taken off column j (the squared radius of a ball; else 0), u for the unit roundoff of the
product's numbers and D = d + 2 for its length: the columns |a_i|^2 and |b_j|^2 - t_j stand beside the coordinates.

- The coordinates are rounded, by at most 2u each (to double by the move, then to single): (A_i + B_j)^2 (4u + 4u^2).
- A product of D terms, summed in any order, with or without fused multiply-add, is off by at most
  Du / (1 - Du) times the sum of its terms' magnitudes (Higham 2002, section 3.1), here <= (A_i + B_j)^2 + t_j.
- The two columns are themselves rounded: u ((A_i + B_j)^2 + t_j).
- What settles a pair, the sum of its squared differences in double, is itself off by (D + 3) 2^-53 (A_i + B_j)^2.

Together at most ``margin_i = 2 (D + 8) u ((A_i + max_j B_j)^2 + max_j t_j)`` while Du < .05; no underflow exceeds D times
the smallest normal number, which is added.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

LANES = 16
"""Groups come in multiples of this, what a vector register holds of float32."""
SETTLE = 32_768
"""Coordinates held at once while pairs are settled: few enough for a processor's cache, and for one thread."""


class Pairs(NamedTuple):
    """Pairs (row, column) that a screen lets through, int64 (p,), rows ascending, and its value for each (p,)."""

    row: Tensor
    column: Tensor
    value: Tensor


class Screen:
    """``|a_i - b_j|^2 - t_j``, scaled, to within ``margin[i]``, for ``a`` (n, d), ``b`` (m, d) and ``t`` (m,) or
    None; all float64. ``dtype`` is the product's: float32 or float64.

    A block's columns are dealt to groups like cards, column j to group j modulo their number, so that data in some
    order do not fill one group; columns that fill up the last round are infinitely far.
    """

    def __init__(self, a: Tensor, b: Tensor, t: Tensor | None, dtype: torch.dtype, groups: int) -> None:
        self.columns = len(b)
        self.groups = min(-(-groups // LANES) * LANES, self.columns)
        rounds = -(-self.columns // self.groups)
        centre = b.mean(0)
        a, b = a - centre, b - centre
        longest = max(float(a.norm(dim=1).max()), float(b.norm(dim=1).max()))
        self.scale = scale = 2.0 ** -max(-1000, math.frexp(longest)[1])
        a, b = (a * scale).to(dtype), (b * scale).to(dtype)
        a2, b2 = (x.double().square().sum(1) for x in (a, b))
        t = torch.zeros_like(b2) if t is None else (t * scale) * scale
        self.left = torch.cat([a, a2[:, None].to(dtype), a.new_ones(len(a), 1)], 1)
        self.right = a.new_zeros(a.shape[1] + 2, rounds * self.groups)
        self.right[:-2, : self.columns] = -2 * b.T
        self.right[-2] = 1
        self.right[-1] = torch.finfo(dtype).max / 4
        self.right[-1, : self.columns] = b2 - t
        info, length = torch.finfo(dtype), a.shape[1] + 2
        reach = (a2.sqrt() + b2.max().sqrt()).square() + t.max()
        # eps is 2u, and (1 + eps) covers the norms' own rounding
        self.margin = ((length + 8) * info.eps * (1 + 8 * info.eps) * reach + length * info.tiny)[:, None]
        self._block = a.new_empty(0)

    def block(self, rows: slice) -> Tensor:
        """The screened rows, (r, rounds x groups); valid until the next call, which writes over it."""
        shape = (rows.stop - rows.start, self.right.shape[1])
        if self._block.shape != shape:
            self._block = self.left.new_empty(shape)
        return torch.mm(self.left[rows], self.right, out=self._block)

    def through(self, block: Tensor, limit: Tensor, smallest: Tensor) -> Pairs:
        """The pairs of a block with a value of at most ``limit`` (r, 1); ``smallest`` (r, groups) of each group."""
        values, limits = native(block.view(len(block), -1, self.groups)), native(limit)
        row, group = _places(native(smallest) <= limits)
        members = values[row, :, group]
        at, turn = _places(members <= limits[row])
        return Pairs(*map(torch.as_tensor, (row[at], turn * self.groups + group[at], members[at, turn])))

    def smallest(self, block: Tensor) -> Tensor:
        """The smallest value of each group in each row, (r, groups)."""
        values = native(block.view(len(block), -1, self.groups))
        return torch.as_tensor(values.min(1) if isinstance(values, np.ndarray) else values.amin(1))


def native(x: Tensor) -> Any:
    """What to look through a block with: on a CPU the same memory as a numpy array, elsewhere the tensor.

    numpy finds, partitions and sorts several times faster than torch does; and many short calls that each wait for
    all threads crawl as soon as another process wants a core, while the product, one long call a block, does not.
    """
    return x.numpy() if x.device.type == "cpu" else x


def _places(mask: Any) -> Any:
    """Row and column of each True of ``mask`` (r, c), by row and then by column."""
    if isinstance(mask, np.ndarray):
        return np.divmod(np.flatnonzero(mask), mask.shape[1])
    return mask.nonzero().unbind(1)


def kth_smallest(values: Tensor, k: int) -> Tensor:
    """The ``k``-th smallest (r, 1), k >= 1, of each row of ``values`` (r, c)."""
    array = native(values)
    if isinstance(array, np.ndarray):
        return torch.from_numpy(np.partition(array, k - 1, axis=1)[:, k - 1 : k])
    return values.kthvalue(k, dim=1, keepdim=True).values


def precisions(a: Tensor) -> tuple[torch.dtype, ...]:
    """In what numbers to screen, cheapest first. Single precision only where its products are what the bound says:
    not where they were allowed to be rounded to fewer bits, nor where a row is too long for the bound."""
    try:
        exact = torch.get_float32_matmul_precision() == "highest"
    except RuntimeError:  # torch's word for "some backend is allowed fewer bits"
        exact = False
    exact = exact and not torch.is_autocast_enabled(a.device.type)
    short = (a.shape[1] + 2) * torch.finfo(torch.float32).eps < 0.1
    return (torch.float32, torch.float64) if exact and short else (torch.float64,)


def separation(a: Tensor, b: Tensor, row: Tensor, column: Tensor) -> Tensor:
    """Euclidean distances (p,) of the pairs ``a[row]``, ``b[column]``, from their differences, in float64: exactly 0
    for equal points, the same in both directions, exact to (d + 2) 2^-53 of itself wherever the points lie."""
    step = max(1, SETTLE // max(1, a.shape[1]))
    parts = zip(row.split(step), column.split(step), strict=True)
    return torch.cat([(a[i] - b[j]).square().sum(1).sqrt() for i, j in parts]) if len(row) else a.new_empty(0)
