"""Holes of one dimension: a gap that the other dimensions hide from distances in all of them.

One dimension in which the codes keep to two narrow bands leaves most of the prior empty, yet seven others full of
normal noise make the distance to the nearest codes what it always was. So codes are looked at along *directions*: the
axes, random ones, and those in which the codes are least Gaussian (independent components), so that a rotation of
the latent hides nothing. Along each the two rules of `latentbench.metrics.prior_holes` are applied, with N(0, 1) for
the prior, by exact integration instead of draws.

In a wide latent (above 256 dimensions) codes are fewer than d^2 by far: some direction will show a gap in anything. There
the axes are looked at as they are, and the rest is sought in the span of the codes' 32 leading principal axes.

Notation: w a unit vector (d,), C w the codes' places along it, d_k(t, C w) the distance from a place t to the k-th
nearest of them.
"""

from __future__ import annotations

import warnings
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from latentbench.geometry.on_a_line import kth_distance, normal_share_beyond
from latentbench.geometry.principal import LEADING, WIDE, leading
from latentbench.metrics.mixtures import Mixture
from latentbench.randomness import randn, seeded

if TYPE_CHECKING:
    from jaxtyping import Float, Float64

RANDOM = 32
"""Random directions beside the axes and the independent components."""
SEARCHED = 5000
"""Codes that independent components are sought in, at most."""
NO_SPREAD = 1e-150
"""Variances below this are none: a share of them could not be told from 0."""
STEPS = 8
"""Steps of FastICA: from a start in closed form so many find a component that is there; many more would follow the noise of
codes that have none, where the last digits decide."""
SHARPENED = 3
"""Directions of the largest holes that are looked at once more, `sharpened`."""
IN_SPAN = 1e-6
"""A unit vector that leaves no more than this outside a span lies in it: what is left is rounding, no direction."""
TOGETHER = 64
"""Directions held at once."""


class Gap(NamedTuple):
    """The largest hole along one direction: its ``share`` of N(0, 1) in [0, 1], the unit ``direction`` (d,), the ``radius``
    beyond which a place is in it, by which ``rule`` (``outside``, ``sparse``), and the ``kind`` of direction (``axis``,
    ``random``, ``independent``)."""

    share: float
    direction: Tensor
    radius: float
    rule: str
    kind: str


def independent(codes: Float[Tensor, "n d"]) -> Float64[Tensor, "r d"]:
    """Unit vectors (r, d), float64, of the directions in which ``codes`` (n, d) are least Gaussian, r <= d their rank:
    FastICA (Hyvarinen 1999), started where the fourth moments of the whitened codes have their principal axes (FOBI,
    Cardoso 1989). Without chance: the start is a closed form, the steps are few. None (0, d) for equal codes."""
    from sklearn.decomposition import FastICA

    x = codes[:: -(-len(codes) // SEARCHED)].double().cpu()  # evenly: codes may stand in order of their classes
    x = x - x.mean(0)
    value, vector = torch.linalg.eigh(x.T @ x / len(x))
    kept = value > 1e-10 * value[-1].clamp(min=1e-300)
    if not kept.any():
        return x[:0]
    whiten = (vector[:, kept] / value[kept].sqrt()).T
    white = x @ whiten.T
    fourth = (white * white.square().sum(1, keepdim=True)).T @ white / len(white)
    start = torch.linalg.eigh(fourth).eigenvectors.T
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # codes without independent components have nothing to converge to
        found = FastICA(whiten=False, w_init=start.numpy(), max_iter=STEPS).fit(white.numpy()).components_
    unmixing = torch.from_numpy(np.ascontiguousarray(found)).double() @ whiten
    unit: Tensor = unmixing / unmixing.norm(dim=1, keepdim=True)
    return unit


class Drawn(NamedTuple):
    """A prior that is known by draws alone, all float64 on the CPU: those that are ``asked`` about (m, d), as many as there
    are codes (``own``, (n, d)), and further ones (``more``, (l, d))."""

    asked: Tensor
    own: Tensor
    more: Tensor


class Directions(NamedTuple):
    """Directions in d dimensions: the ``axes``, so many of them, and the unit vectors ``others`` (w, d), float64; the ``kinds``
    of all. Of a wide latent also the ``span`` (d, k) of the codes' leading principal axes, within which others are sought."""

    axes: int
    others: Tensor
    kinds: list[str]
    span: Tensor | None = None

    def places(self, points: Tensor, rows: Tensor) -> Tensor:
        """Where ``points`` (n, d) lie along the directions ``rows`` (r,), ascending: (r, n)."""
        axis, other = rows[rows < self.axes], rows[rows >= self.axes] - self.axes
        return torch.cat([points.T[axis], self.others[other] @ points.T])

    def vector(self, row: int) -> Tensor:
        """The unit vector (d,) of one direction."""
        if row >= self.axes:
            return self.others[row - self.axes]
        unit = self.others.new_zeros(self.others.shape[1])
        unit[row] = 1
        return unit

    def spread(self, sampler: Mixture) -> Tensor:
        """The standard deviation of ``sampler``, a mixture of one, along each direction."""
        root = sampler.root[0]
        if root.dim() == 1:
            along, moved = root.square(), self.others * root.square()
        elif root.shape[1] < root.shape[0]:
            along, moved = root.square().sum(1), (self.others @ root) @ root.T
        else:
            covariance = root @ root.T
            along, moved = covariance.diagonal(), self.others @ covariance
        variance = torch.cat([along[: self.axes], torch.einsum("we,we->w", moved, self.others)])
        spread: Tensor = variance.clamp(min=0).sqrt()
        return spread


def directions(codes: Float[Tensor, "n d"], generator: torch.Generator) -> Directions:
    """The directions along which ``codes`` (n, d) are looked at: every axis, `RANDOM` ones from ``generator`` and the
    `independent` ones, of a wide latent those in the span of its leading principal axes. With d = 1 there is one
    direction."""
    d, none = codes.shape[1], torch.empty(0, codes.shape[1], dtype=torch.float64)
    if d == 1:
        return Directions(1, none, ["axis"])
    drawn = randn((RANDOM, d), generator, none)
    drawn = drawn / drawn.norm(dim=1, keepdim=True)
    span = leading(codes, LEADING).direction if d > WIDE else None
    if span is None:
        found = independent(codes)
    else:
        found = independent(codes @ span) @ span.T if span.shape[1] else none
    kinds = ["axis"] * d + ["random"] * RANDOM + ["independent"] * len(found)
    return Directions(d, torch.cat([drawn, found]), kinds, span)


@lru_cache(maxsize=64)
def normal_radius(n: int, k: int, quantile: float) -> float:
    """The ``quantile`` of the distance from a draw of N(0, 1) to the ``k``-th nearest of ``n`` others: over 2,000 places
    of equal mass and some sets of n."""
    like = torch.empty(0, dtype=torch.float64)
    place = torch.special.ndtri((torch.arange(2000, dtype=torch.float64) + 0.5) / 2000)
    repeats = max(4, 20000 // n)
    ordered = randn((repeats, n), seeded(0, "normal codes on a line"), like).sort(1).values
    return float(torch.quantile(kth_distance(place.expand(repeats, -1), ordered, k).flatten(), quantile))


def sharpened(codes: Float[Tensor, "n d"], direction: Float[Tensor, " d"]) -> Float[Tensor, " d"]:
    """The unit vector (d,) near ``direction`` (d,) that tells the two halves of ``codes`` (n, d) best apart: Fisher's
    linear discriminant between the two sides of their best split along it (the one that leaves least variance within
    them), twice. Where the codes lie in two bands the bands are seen at their own width, which a direction that is off by
    a few degrees blurs; where they do not, little changes."""
    for _ in range(2):
        along, order = (codes @ direction).sort(stable=True)
        n = torch.arange(1, len(along), dtype=along.dtype)
        left = along.cumsum(0)[:-1]
        between = (left - n / len(along) * along.sum()).square() / (n * (len(along) - n))
        cut = int(between.argmax()) + 1
        sides = codes[order[:cut]], codes[order[cut:]]
        around = torch.cat([side - side.mean(0) for side in sides])
        within = around.T @ around / len(codes)
        scale = float(within.diagonal().mean())
        if scale < NO_SPREAD:
            return direction  # codes that stand on one or two points have no width to be seen at
        ridge = 1e-9 * scale * torch.eye(len(direction), dtype=codes.dtype)
        turned = torch.linalg.solve(within + ridge, sides[1].mean(0) - sides[0].mean(0))
        if not bool(turned.norm() > 0):
            return direction
        direction = turned / turned.norm()
    return direction


def sharpened_within(
    codes: Float[Tensor, "n d"], direction: Float[Tensor, " d"], span: Float[Tensor, "d k"] | None
) -> Float[Tensor, " d"]:
    """`sharpened`, within a ``span`` (d, k) of orthonormal columns and ``direction``; None: all directions."""
    if span is None:
        return sharpened(codes, direction)
    rest = direction - span @ (span.T @ direction)
    if float(rest.norm()) > IN_SPAN:
        span = torch.cat([span, (rest / rest.norm())[:, None]], 1)
    return span @ sharpened(codes @ span, span.T @ direction)


def widest_gap(
    codes: Float[Tensor, "n d"],
    held_out: Float[Tensor, "h d"],
    k: int,
    quantile: float,
    generator: torch.Generator,
    sampler: Mixture,
    drawn: Drawn | None = None,
) -> Gap:
    """The largest one-dimensional hole over `directions` and the best few of them `sharpened`: the larger of

        outside  P[d_k(t, C w) > quantile of d_k(h w, C w) over h in H]
        sparse   P[d_k(t, C w) > quantile of d_k(t', T) over t' ~ N(0, 1)],  T ~ N(0, 1), as many as codes

    for t ~ N(0, 1), ``codes`` C (n, d) and ``held_out`` H (h, d); places are measured from the mean and in the standard
    deviations along w of the ``sampler``, a mixture of one. A direction in which it does not vary has no hole. As a maximum
    it is above 1 - quantile on normal codes too.

    A prior that is no Gaussian is known by draws (``drawn``): these stand in the place of t and of T, t', and ``sampler`` is
    the Gaussian of their moments, whose mean and deviations places are measured in.

    A gap that lies in no axis is found where the codes are many beside the dimensions, from about d^2 on.
    """
    c, h = codes.double().cpu(), held_out.double().cpu()
    search = _Search(c, h, k, quantile, sampler, drawn)
    every = directions(c, generator)
    share, radius, sparse = search.along(every)
    if len(every.kinds) > 1:
        best = share.argsort(descending=True, stable=True)[:SHARPENED]
        again = torch.stack([sharpened_within(c, every.vector(int(i)), every.span) for i in best])
        more = Directions(0, again, [every.kinds[i] for i in best])
        found = share, radius, sparse
        share, radius, sparse = (torch.cat(pair) for pair in zip(found, search.along(more), strict=True))
        every = Directions(every.axes, torch.cat([every.others, again]), every.kinds + more.kinds)
    w = int(share.argmax())
    rule = "sparse" if sparse[w] else "outside"
    return Gap(float(share[w]), every.vector(w), float(radius[w]), rule, every.kinds[w])


class _Search(NamedTuple):
    """What the directions are searched with, see `widest_gap`."""

    codes: Tensor
    held_out: Tensor
    k: int
    quantile: float
    sampler: Mixture
    drawn: Drawn | None = None

    def along(self, every: Directions) -> tuple[Tensor, Tensor, Tensor]:
        """Per direction of ``every``: the share of its hole, the radius in latent units, and whether that is the
        radius of the prior's own draws. The larger of two holes is that of the smaller radius."""
        spread, mean = every.spread(self.sampler), self.sampler.mean[0]
        share, radius = torch.zeros_like(spread), torch.zeros_like(spread)
        usual = torch.full_like(spread, normal_radius(len(self.codes), self.k, self.quantile))
        codes, held_out = self.codes - mean, self.held_out - mean
        varies = spread > 1e-6 * spread.max().clamp(min=1e-300)
        for rows in torch.nonzero(varies).flatten().split(TOGETHER) if varies.any() else ():
            scale = spread[rows, None]
            ordered = (every.places(codes, rows) / scale).sort(1).values
            away = kth_distance(every.places(held_out, rows) / scale, ordered, self.k)
            radius[rows] = torch.quantile(away, self.quantile, dim=1)
            if self.drawn is None:
                share[rows] = normal_share_beyond(ordered, self.k, torch.minimum(radius[rows], usual[rows]))
                continue
            asked, own, more = (every.places(points - mean, rows) / scale for points in self.drawn)
            usual[rows] = torch.quantile(kth_distance(more, own.sort(1).values, self.k), self.quantile, dim=1)
            beyond = kth_distance(asked, ordered, self.k) > torch.minimum(radius[rows], usual[rows])[:, None]
            share[rows] = beyond.double().mean(1)
        return share, torch.minimum(radius, usual) * spread, radius > usual
