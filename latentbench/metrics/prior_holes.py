"""Holes: prior mass that no posterior supports, measured among codes, without decoder or judge.

Notation: C one draw of q(z|x) per training image, H one per held-out image (a plain autoencoder's means), d_k(z, C)
the distance from z to its k-th nearest code. A point lies in a hole where it is farther from C than nearly all of H
are. The same estimator serves every model. For a plain autoencoder N(0, I) is partly a matter of scale, so the hole
under a Gaussian fitted to C stands beside.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from latentbench.core import TRAIN, Encoding, Metric, Phrase, Undefined, Value
from latentbench.geometry.neighbours import nearest
from latentbench.metrics.decoding import subsample
from latentbench.metrics.samplers import null_repeats, prior_codes, train_codes
from latentbench.randomness import randn


def hole_share(points: Tensor, codes: Tensor, held_out: Tensor, k: int, quantile: float) -> float:
    """Share of ``points`` (m, d) farther from ``codes`` (n, d) than held-out codes are:
    ``P[d_k(z, C) > quantile of d_k(h, C) over h in H]``, d_k the distance to the k-th nearest code.

    In [0, 1], lower is better; ``1 - quantile`` where the points are distributed as the codes. Raises Undefined where
    there are fewer than ``k`` codes.
    """
    return share_beyond(points, codes, k, support_radius(codes, held_out, k, quantile))


def support_radius(codes: Tensor, held_out: Tensor, k: int, quantile: float) -> float:
    """The ``quantile`` over ``held_out`` (h, d) of the distance to the ``k``-th nearest of ``codes`` (n, d): how far
    from the codes a point may lie and still be one of their kind. Raises Undefined for fewer than ``k`` codes."""
    if len(codes) < k:
        raise Undefined(
            "{k} neighbours need at least {k} training codes, there are {n}", "undefined.few_codes", k=k, n=len(codes)
        )
    return float(torch.quantile(nearest(held_out, codes, k).distance[:, -1], quantile))


def share_beyond(points: Tensor, codes: Tensor, k: int, radius: float) -> float:
    """Share of ``points`` (m, d) whose ``k``-th nearest of ``codes`` (n, d) is farther than ``radius``."""
    return float((nearest(points, codes, k).distance[:, -1] > radius).double().mean())


def support(e: Encoding, k: int, quantile: float, codes: int, held_out: int) -> tuple[Tensor, float]:
    """The training codes C (n, d) that hold up the space, and the `support_radius` around each of them."""
    c = e.once(train_codes, most=codes)
    h = subsample(e.z, held_out, e.generator("held-out codes"))
    return c, support_radius(c, h, k, quantile)


def _hole(e: Encoding, sampler: str, k: int, quantile: float, codes: int, held_out: int, draws: int) -> Value:
    c, radius = e.once(support, k=k, quantile=quantile, codes=codes, held_out=held_out)
    z = e.once(prior_codes, sampler=sampler, count=draws)
    return Value(share_beyond(z, c, k, radius), detail={"codes": len(c), "draws": draws, "radius": radius})


def hole_null(e: Encoding, k: int, quantile: float, codes: int, held_out: int, draws: int) -> Mapping[str, float]:
    """`hole_share` where C, H and the draws all come from N(0, I), with this run's counts and latent size: about
    ``1 - quantile``, and more where H is small, for the quantile of a few distances falls short of the true one."""
    if e.train is None:
        raise Undefined(e.lack(TRAIN))
    d, generator = e.mu.shape[1], e.generator("hole null")
    sizes = min(len(e.train.z), codes), min(len(e.z), held_out)
    repeats = null_repeats(sizes[1])
    shares = []
    for _ in range(repeats):
        c, h, z = (randn((n, d), generator, e.mu) for n in (*sizes, -(-draws // repeats)))
        shares.append(hole_share(z, c, h, k, quantile))
    return {"null:prior": sum(shares) / repeats}


def _null(e: Encoding, sampler: str, **sizes: Any) -> Mapping[str, float]:
    return e.once(hole_null, **sizes)


_HOLE = {"k": 5, "quantile": 0.99, "codes": 10000, "held_out": 5000, "draws": 4000}
_EXPECTS = {"null:prior": (0.0, 0.05)}
"""1 - quantile = .01, with room for the quantile of some 50 held-out codes and more."""

hole = Metric(
    name="hole",
    family="completeness",
    compute=_hole,
    better="lower",
    bounds=(0.0, 1.0),
    unit="share of prior mass",
    summary="share of N(0, I) farther from the training codes than 99 % of held-out codes are; .01 = none",
    source="latentbench",
    needs=frozenset({TRAIN}),
    params={"sampler": "normal", **_HOLE},
    references=_null,
    expects=_EXPECTS,
    phrase=Phrase(
        "holes under N(0, I)",
        "leaves more holes under N(0, I)",
        "leaves fewer holes under N(0, I)",
    ),
    headline=("complete", "posterior"),
)

hole_gaussian = Metric(
    name="hole.gaussian",
    family="completeness",
    compute=_hole,
    better="lower",
    bounds=(0.0, 1.0),
    unit="share of prior mass",
    summary="share of the Gaussian fitted to the training codes farther from them than 99 % of held-out codes are",
    source="latentbench",
    needs=frozenset({TRAIN}),
    params={"sampler": "gaussian", **_HOLE},
    references=_null,
    expects=_EXPECTS,
    phrase=Phrase(
        "holes under a Gaussian fitted to the codes",
        "leaves more holes under a Gaussian fitted to its codes",
        "leaves fewer holes under a Gaussian fitted to its codes",
    ),
)
