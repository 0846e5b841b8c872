"""Intrinsic dimension: on a surface of how many dimensions do the codes lie?

A latent space of d dimensions may hold codes that fill only some of them. Both estimators look at how distances to
neighbours grow: about a point of an m-dimensional surface the number of points within r grows like r^m, whatever the
density. They ask about the posterior means, duplicates counted once; rotating, shifting or rescaling all of the latent
changes nothing. Both read low where points are few for their dimension, so what they read on as many points of N(0, I)
stands beside, and what they read on the images themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from latentbench.core import CONTINUUM, Encoding, Metric, Undefined, Value
from latentbench.geometry.neighbours import flat, nearest
from latentbench.metrics.decoding import subsample
from latentbench.metrics.posterior import active
from latentbench.randomness import randn

if TYPE_CHECKING:
    from jaxtyping import Float64, Shaped


def neighbour_distances(points: Shaped[Tensor, "n ..."], k: int) -> Float64[Tensor, "m k"]:
    """Distances of each distinct one of ``points`` (n, ...) to its ``k`` nearest others, (m, k) float64, ascending, all
    above 0. Raises Undefined where there are not more than ``k`` distinct points."""
    points = torch.unique(flat(points), dim=0)
    if len(points) <= k:
        raise Undefined(
            "{k} neighbours need more than {k} distinct points, there are {n}",
            "undefined.few_distinct_points",
            k=k,
            n=len(points),
        )
    index = nearest(points, k=k).indices
    # Again from the differences: what nearest() subtracts leaves 1e-8 of the spread, too much for its logarithm.
    columns = [(points - points[index[:, j]]).square().sum(1).sqrt() for j in range(k)]
    return torch.stack(columns, 1).sort(1).values


def two_nearest(points: Shaped[Tensor, "n ..."], discard: float) -> float:
    """TwoNN (Facco et al. 2017): with ``mu = r_2 / r_1`` of each of ``points`` (n, ...), ``-ln(1 - F(mu)) = m ln mu``; m is
    the slope through the origin fitted to the empirical F(mu_(i)) = i / n without the ``discard`` share of largest mu.

    > 0, in dimensions. Raises Undefined for fewer than 3 distinct points, or where too few ratios are above 1.
    """
    distance = neighbour_distances(points, 2)
    n = len(distance)
    kept = int(n * (1 - discard))
    log_ratio = (distance[:, 1] / distance[:, 0]).log().sort().values[:kept]
    surprise = -torch.log1p(-torch.arange(1, kept + 1, dtype=torch.float64, device=log_ratio.device) / n)
    if not float(log_ratio.square().sum()) > 0:
        raise Undefined(
            "the two nearest neighbours of every code lie at one distance: there is no dimension to read",
            "undefined.two_at_one_distance",
        )
    return float(log_ratio @ surprise / log_ratio.square().sum())


def likeliest_dimension(points: Shaped[Tensor, "n ..."], k: int) -> float:
    """The maximum-likelihood dimension of ``points`` (n, ...) (Levina & Bickel 2005), from distances T_1 <= ... <= T_k:

        1 / m = (1 / n) sum_i (1 / (k - 1)) sum_{j < k} ln(T_k(i) / T_j(i)),

    the mean taken over the *inverse* local estimates, as MacKay & Ghahramani 2005 correct it: the mean of the estimates
    themselves reads high by (k - 1) / (k - 2). > 0, in dimensions. Raises Undefined for too few distinct points.
    """
    distance = neighbour_distances(points, k)
    inverse = float((distance[:, -1:] / distance[:, :-1]).log().mean())
    if not inverse > 0:
        raise Undefined(
            "all neighbours of every code lie at one distance: there is no dimension to read",
            "undefined.all_at_one_distance",
        )
    return 1.0 / inverse


def _means(e: Encoding, points: int) -> Tensor:
    if not active(e.mu, e.log_var).any():
        raise Undefined("no latent dimension is active: the posterior is collapsed", "undefined.collapsed")
    return subsample(e.mu, points, e.generator("dimension"))


def _two_nearest(e: Encoding, points: int, discard: float) -> Value:
    codes = _means(e, points)
    return Value(two_nearest(codes, discard), detail={"points": len(codes)})


def _likeliest(e: Encoding, points: int, k: int) -> Value:
    codes = _means(e, points)
    return Value(likeliest_dimension(codes, k), detail={"points": len(codes)})


def _others(e: Encoding, points: int) -> Mapping[str, Tensor]:
    """As many points of the prior, and the images themselves."""
    normal = randn((min(points, len(e.mu)), e.mu.shape[1]), e.generator("dimension anchors"), e.mu)
    return {"null:normal": normal, "null:images": subsample(e.x, points, e.generator("dimension"))}


def _two_nearest_anchors(e: Encoding, points: int, discard: float) -> Mapping[str, float]:
    return {name: two_nearest(cloud, discard) for name, cloud in e.once(_others, points=points).items()}


def _likeliest_anchors(e: Encoding, points: int, k: int) -> Mapping[str, float]:
    return {name: likeliest_dimension(cloud, k) for name, cloud in e.once(_others, points=points).items()}


two_nn = Metric(
    name="intrinsic_dim.twonn",
    family="representation",
    compute=_two_nearest,
    better="none",
    bounds=(0.0, None),
    unit="dimensions",
    summary="dimension of the surface that the posterior means lie on, from each one's two nearest neighbours",
    source="Facco et al. 2017",
    needs=frozenset({CONTINUUM}),
    params={"points": 2000, "discard": 0.1},
    references=_two_nearest_anchors,
)

levina_bickel = Metric(
    name="intrinsic_dim.mle",
    family="representation",
    compute=_likeliest,
    better="none",
    bounds=(0.0, None),
    unit="dimensions",
    summary="dimension of the surface that the posterior means lie on, by maximum likelihood from 10 neighbours",
    source="Levina & Bickel 2005; mean of inverses: MacKay & Ghahramani 2005",
    needs=frozenset({CONTINUUM}),
    params={"points": 2000, "k": 10},
    references=_likeliest_anchors,
)
