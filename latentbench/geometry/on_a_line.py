"""Neighbours on a line: distances and coverage in one dimension, by sorting; many lines at once.

In one dimension the k nearest of n sorted points stand side by side, so that the distance to the k-th nearest is a
minimum over k + 1 windows, and the places within ``radius`` of k points or more are a union of intervals, whose
standard normal measure is a sum of differences of Phi: no draws are needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from jaxtyping import Float


def kth_distance(points: Float[Tensor, "w m"], ordered: Float[Tensor, "w n"], k: int) -> Float[Tensor, "w m"]:
    """Distance (w, m), float64, from each of ``points`` (w, m) to the ``k``-th nearest of ``ordered`` (w, n), which
    ascends in every row; row i is searched in row i. Raises ValueError for fewer than ``k`` points to choose from."""
    _enough(ordered, k)
    place = torch.searchsorted(ordered, points.contiguous())
    edge = ordered.new_full((len(ordered), k), float("inf"))
    padded = torch.cat([-edge, ordered, edge], 1)
    best = torch.full_like(points, float("inf"))
    for before in range(k + 1):  # so many of the k neighbours stand before the point
        low = padded.gather(1, place + k - before)
        high = padded.gather(1, place + 2 * k - 1 - before)
        best = torch.minimum(best, torch.maximum(points - low, high - points))
    return best


def normal_share_beyond(ordered: Float[Tensor, "w n"], k: int, radius: Float[Tensor, " w"]) -> Float[Tensor, " w"]:
    """The share (w,) of N(0, 1) that is farther than ``radius`` (w,) from the ``k``-th nearest of ``ordered`` (w, n), which
    ascends in every row: exact, in [0, 1]. Raises ValueError for fewer than ``k`` points to choose from."""
    _enough(ordered, k)
    r = radius[:, None]
    low, high = ordered[:, k - 1 :] - r, ordered[:, : ordered.shape[1] - k + 1] + r
    held = low <= high  # all places of [low, high] have these k points within reach; both ends ascend
    reached = torch.where(held, high, -torch.inf).cummax(1).values
    begin = torch.maximum(low[:, 1:], reached[:, :-1])
    begin = torch.cat([low[:, :1], begin], 1)
    covered = (torch.special.ndtr(high) - torch.special.ndtr(begin)).clamp(min=0).masked_fill(~held, 0).sum(1)
    share: Tensor = (1 - covered).clamp(0, 1)
    return share


def _enough(ordered: Float[Tensor, "w n"], k: int) -> None:
    if not 1 <= k <= ordered.shape[1]:
        raise ValueError(f"k: {k} neighbours asked for, there are {ordered.shape[1]}")
