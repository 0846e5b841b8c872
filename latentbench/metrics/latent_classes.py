"""How the classes lie among the codes that a second stage is trained on (one draw of q(z|x) per training image).

Codes are standardised, each dimension to variance 1 (those that never vary are left out), so that an evenly or unevenly
scaled latent is the same. With W the covariance within classes, pooled by their shares, of eigenvalues lambda_j, j = 1..d:

    class variance (rho) = (1/d) tr W                       what of the variance the class does not explain, in [0, 1]
    viv                  = (1/d) sum_j (pi/2) sqrt(lambda_j)

The second is a *velocity's irreducible variance*. A flow that is told the class draws straight lines from noise
x_0 ~ N(0, 1) to a code x_1 ~ N(m, lambda), x_t = (1 - t) x_0 + t x_1. Lines cross: of the velocity x_1 - x_0 the place x_t
leaves the variance lambda / ((1 - t)^2 + t^2 lambda) open, whose integral over t from 0 to 1 is (pi/2) sqrt(lambda). No
network of whatever size gets below it. Both are means over dimensions of what the latent size itself sets: models of
different sizes are not to be compared by them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from latentbench.core import CONTINUUM, TRAIN, TRAIN_LABELS, Encoding, Metric, Undefined, Value
from latentbench.geometry.neighbours import flat, nearest
from latentbench.geometry.principal import deviation
from latentbench.metrics.decoding import subsample
from latentbench.metrics.second_stage import seen_codes

POINTS = 5000
"""Codes that are looked at, at most."""


def within_covariance(codes: Tensor, labels: Tensor) -> Tensor:
    """The pooled covariance within classes, (d', d') float64, of ``codes`` (n, d) standardised by dimension, those without
    variance left out: ``sum_c (n_c / n) Cov_c``, over n_c. Its trace over d' is in [0, 1]. Raises Undefined where no
    dimension varies."""
    x = flat(codes)
    sd = deviation(x.T)
    varies = sd > 0
    if not bool(varies.any()):
        raise Undefined("all codes are the same point: they have no spread", "undefined.one_code")
    x = ((x - x.mean(0)) / sd)[:, varies]
    _, own = torch.unique(labels, return_inverse=True)
    count = torch.bincount(own).double()
    centre = torch.zeros(len(count), x.shape[1], dtype=x.dtype, device=x.device).index_add_(0, own, x) / count[:, None]
    apart = x - centre[own]
    return apart.T @ apart / len(x)


def class_variance(codes: Tensor, labels: Tensor) -> float:
    """rho, in [0, 1]: 0 = every class is one point, 1 = classes lie on one another."""
    return float(within_covariance(codes, labels).diagonal().mean().clamp(0, 1))


def irreducible_variance(codes: Tensor, labels: Tensor) -> float:
    """``mean_j (pi/2) sqrt(lambda_j)``, >= 0, at most pi/2: N(0, I) whatever the labels: pi/2."""
    value = torch.linalg.eigvalsh(within_covariance(codes, labels)).clamp(min=0)
    return min(float((math.pi / 2) * value.sqrt().mean()), math.pi / 2)


def own_label_share(codes: Tensor, labels: Tensor, k: int) -> float:
    """Share, in [0, 1], of the ``k`` nearest of each of ``codes`` (n, d) that have its own label; of labels dealt at random
    the sum of the squared class shares. Raises Undefined for n <= k."""
    if len(codes) <= k:
        raise Undefined(
            "{k} neighbours need more than {least} points, there are {n}",
            "undefined.few_points",
            k=k,
            least=k,
            n=len(codes),
        )
    near = labels[nearest(codes, k=k).indices]
    return float((near == labels[:, None]).double().mean())


def _labelled(e: Encoding, points: int) -> tuple[Tensor, Tensor]:
    """At most ``points`` training codes and their labels."""
    if e.train is None or e.train.labels is None:
        raise Undefined(e.lack(TRAIN_LABELS))
    rows = subsample(torch.arange(len(e.train.z)), points, e.generator("classes of codes")).to(e.mu.device)
    return e.once(seen_codes)[rows], e.train.labels[rows]


def _class_variance(e: Encoding, points: int) -> Value:
    codes, labels = e.once(_labelled, points=points)
    return Value(class_variance(codes, labels), detail={"points": len(codes), "dimensions": codes.shape[1]})


def _viv(e: Encoding, points: int) -> Value:
    codes, labels = e.once(_labelled, points=points)
    return Value(irreducible_variance(codes, labels), detail={"points": len(codes), "dimensions": codes.shape[1]})


def _neighbour_labels(e: Encoding, k: int, points: int) -> Value:
    codes, labels = e.once(_labelled, points=points)
    return Value(own_label_share(codes, labels, k), detail={"points": len(codes)})


def _dealt_anew(e: Encoding, k: int, points: int) -> Mapping[str, float]:
    """The labels dealt at random, worked out: what any codes read where classes are nothing to them. Of one's own class
    n_c - 1 are left of n - 1."""
    _, labels = e.once(_labelled, points=points)
    count = torch.unique(labels, return_counts=True)[1].double()
    n = float(count.sum())
    return {"null:labels": float((count * (count - 1)).sum()) / (n * (n - 1))}


latent_class_variance = Metric(
    name="latent.class_variance",
    family="representation",
    compute=_class_variance,
    better="none",
    bounds=(0.0, 1.0),
    unit="share of variance",
    summary="share of the variance of standardised training codes that lies within classes (rho); 0 = a class is a point, "
    "1 = classes lie on one another",
    source="law of total variance; after Zhong et al. 2026",
    needs=frozenset({CONTINUUM, TRAIN, TRAIN_LABELS}),
    params={"points": POINTS},
)

latent_viv = Metric(
    name="latent.viv",
    family="representation",
    compute=_viv,
    better="none",
    bounds=(0.0, math.pi / 2),
    unit="squared standardised latent units",
    summary="what of a flow's velocity no network can know, given class and place: mean of pi/2 sqrt(eigenvalue) of the "
    "covariance within classes; N(0, I): pi/2; not comparable across latent sizes",
    source="Zhong et al. 2026",
    needs=frozenset({CONTINUUM, TRAIN, TRAIN_LABELS}),
    params={"points": POINTS},
    on_request=True,
)

latent_neighbour_labels = Metric(
    name="latent.neighbour_labels",
    family="representation",
    compute=_neighbour_labels,
    better="none",
    bounds=(0.0, 1.0),
    unit="share",
    summary="share of the 10 nearest training codes that have a code's own label; labels dealt at random: the sum of "
    "squared class shares",
    source="definition",
    needs=frozenset({CONTINUUM, TRAIN, TRAIN_LABELS}),
    params={"k": 10, "points": POINTS},
    references=_dealt_anew,
)
