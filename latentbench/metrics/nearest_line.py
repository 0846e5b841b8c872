"""Which true line is an image most like, and how far from it is it?

The cosine distance of an image to the line at an angle, seen as a function of that angle, has one deep valley for each
line in the image. So the best of `BANK` lines evenly around the circle is sought coarse to fine, and then the bottom of
the valley between it and its neighbours.

One matrix product in single precision says which lines of the coarse bank come into question; it decides nothing. Such
a product of unit vectors of 1,024 entries was seen to err by 3e-6, by another amount on every make of processor, while
neighbours in the bank differ by less. Who is nearest is settled by sums of squared differences in double precision, among
more lines than such an error can hide: true lines a coarse step apart differ by 2.5e-4.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from latentbench.geometry.neighbours import flat

if TYPE_CHECKING:
    from jaxtyping import Float, Float64

Render = Callable[[Tensor], Tensor]

BANK = 8192
COARSE = 16
"""Every so many lines of the bank stand for it in the first search: 512 lines, two thirds of a degree apart."""
SUSPECTS = 8
"""So many of them are looked at again in double precision: the deepest valleys of an image, a line a valley."""
RIVAL = 1e-3
"""A second valley whose coarse line is farther than the first's by less than this, four times what a coarse step changes,
may be the deeper one: it is followed to its bottom too."""
TIE = 1e-10
"""Valleys as deep as each other to this are equally deep: far above the rounding of a sum in double precision."""


class NearestLines(NamedTuple):
    """The nearest true line of each of m frames: its ``angle`` (m,) in [0, 2 pi), and the cosine ``distance`` (m,) to
    it, in [0, 2]; float64."""

    angle: Tensor
    distance: Tensor


def unit_rows(images: Float[Tensor, "m ..."]) -> Float64[Tensor, "m d"]:
    """Images (m, ...) in [0, 1] as vectors (m, d) of length 1 in the range [-1, 1], float64; grey ones become 0."""
    v = 2 * flat(images) - 1
    out: Tensor = v / torch.linalg.vector_norm(v, dim=1, keepdim=True).clamp_min(1e-12)
    return out


def wrap(angle: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    """Angles to (-pi, pi], the short way round."""
    return math.pi - torch.remainder(math.pi - angle, 2 * math.pi)


@lru_cache(maxsize=1)
def _bank(render: Render) -> Tensor:
    """`BANK` true lines evenly around the circle, as unit vectors (BANK, d) in float32. They depend on the renderer
    alone, so that a process draws them once."""
    angles = torch.arange(BANK, dtype=torch.float64)[:, None] * (2 * math.pi / BANK)
    return torch.cat([unit_rows(render(part)).float() for part in angles.split(1024)])


def nearest_lines(images: Float[Tensor, "m ..."], render: Render) -> NearestLines:
    """The nearest true line of images (m, c, h, w) in [0, 1]; ``render`` draws lines of angles (m, 1).

    The best of the bank, coarse to fine, then the vertex of the parabola through the three distances around it: on a
    true line the angle is right to 1e-4. The distance is that of the better of the two, so an upper bound on the exact
    one, by less than 1e-7 on a line.
    """
    parts = [_nearest(part, render) for part in images.detach().cpu().split(512)]
    return NearestLines(torch.cat([p.angle for p in parts]), torch.cat([p.distance for p in parts]))


def _nearest(images: Tensor, render: Render) -> NearestLines:
    bank, v = _bank(render), unit_rows(images)
    likeness = v.float() @ bank[::COARSE].T
    near = COARSE * likeness.topk(SUSPECTS, dim=1).indices.sort(dim=1).values  # of equals the first
    apart = _apart(v, bank, near)
    place = apart.argmin(1, keepdim=True)
    best = near.gather(1, place)
    angle, distance = _bottom(v, bank, best, render)
    # Another valley is one that no two coarse steps lead to.
    way = (near - best + BANK // 2) % BANK - BANK // 2
    other = apart.masked_fill(way.abs() <= 2 * COARSE, math.inf)
    rows = (other.amin(1) <= apart.amin(1) + RIVAL).nonzero()[:, 0]
    if len(rows):
        rival = near[rows].gather(1, other[rows].argmin(1, keepdim=True))
        their_angle, their_distance = _bottom(v[rows], bank, rival, render)
        gap = their_distance - distance[rows]
        # Two lines may be exactly as near, by symmetry: then it is the one at the smaller angle, on every processor.
        deeper = (gap < -TIE) | ((gap <= TIE) & (their_angle < angle[rows]))
        angle[rows[deeper]], distance[rows[deeper]] = their_angle[deeper], their_distance[deeper]
    # |v| is 1 but for a grey image, whose cosine with anything is taken as 0: distance 1.
    grey = (1 - v.square().sum(1)) / 2
    return NearestLines(angle, (distance + grey).clamp(min=0.0))


def _bottom(v: Tensor, bank: Tensor, best: Tensor, render: Render) -> NearestLines:
    """The bottom of the valley around the bank's line at ``best`` (m, 1), for rows ``v`` (m, d)."""
    for reach, step in ((4 * 3, 4), (4, 1)):
        near = best + torch.arange(-reach, reach + 1, step)
        best = near.gather(1, _apart(v, bank, near).argmin(1, keepdim=True))
    left, middle, right = _apart(v, bank, best + torch.arange(-1, 2)).unbind(1)
    bend = left + right - 2 * middle
    shift = torch.where(bend > 0, (left - right) / (2 * bend.clamp_min(1e-300)), 0.0).clamp(-1, 1)
    steps = torch.stack([best[:, 0] + shift, best[:, 0].double()], 1)
    angles = torch.remainder(steps * (2 * math.pi / BANK), 2 * math.pi)
    # Drawn anew: the bank's lines are rounded to single precision.
    drawn = unit_rows(render(angles.reshape(-1, 1))).view(len(v), 2, -1)
    distance = (v[:, None] - drawn).square().sum(2) / 2
    return NearestLines(angles[:, 0], distance.amin(1))


def _apart(v: Tensor, bank: Tensor, places: Tensor) -> Tensor:
    """Half the squared distance (m, k), in double precision, of rows ``v`` (m, d) to the bank's lines at ``places``
    (m, k), counted around the circle: the cosine distance, where ``v`` is of length 1."""
    return torch.stack([(v - bank[place % BANK]).square().sum(1) / 2 for place in places.unbind(1)], 1)
