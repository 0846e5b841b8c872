"""Distances between decoded samples and real test images in the judge's features, as whole distributions.

Symbols: real features (n, f), fake features (n, f), equally many of both; moments (m, S), a mean (f,) and a covariance
(f, f).

    Frechet distance   |m_1 - m_2|^2 + tr(S_1 + S_2 - 2 (S_1 S_2)^(1/2))         of two Gaussians with these moments
    kernel distance    the unbiased MMD^2 with k(x, y) = (x.y / f + 1)^3         sees three moments, without bias

They are *not* FID and KID, which use the features of one published network: these compare models of one run under one
judge, and nothing else. The Frechet distance of samples is biased upwards, by f (f + 5) / (2 n) between two samples of
one N(0, I); so all models share n, and train images against test images show what n real images come to. Both
distances are blind to whatever leaves the moments alone: a hole between two modes, for one.

Kinds of fakes are told apart, as Ghosh et al. (2020) do: reconstructions, draws of each sampler, and decoded
midpoints between two test images.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from latentbench.core import CONTINUUM, DECODER, OWN_PRIOR, Encoding, Metric, Need, Undefined, Value
from latentbench.geometry.kernels import between, cubic, within
from latentbench.geometry.neighbours import flat
from latentbench.metrics.decoding import JUDGED, decode, features, protocol
from latentbench.metrics.samplers import (
    FITTED,
    FLOW,
    SAMPLE_COUNT,
    alike,
    anchor_images,
    real_features,
    sample_features,
    train_features,
)

if TYPE_CHECKING:
    from jaxtyping import Float


class Moments(NamedTuple):
    """``mean`` (f,) and ``covariance`` (f, f), float64."""

    mean: Tensor
    covariance: Tensor


def moments(points: Float[Tensor, "n f"]) -> Moments:
    """Mean and covariance (over n - 1) of ``points`` (n, f), in float64. Raises Undefined for n < 2."""
    if len(points) < 2:
        raise Undefined("a covariance needs two points, there is {n}", "undefined.covariance_points", n=len(points))
    points = flat(points)
    mean = points.mean(0)
    n = len(points)
    covariance = (points.T @ points).sub_(n * torch.outer(mean, mean)).div_(n - 1)
    if (mean.square() > 1e4 * covariance.diagonal()).any():  # the short way would cancel more than four digits
        centred = points - mean
        covariance = centred.T @ centred / (n - 1)
    return Moments(mean, covariance)


def frechet(a: Moments, b: Moments) -> float:
    """Squared Frechet (2-Wasserstein) distance of two Gaussians, ``|m_a - m_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2))``
    (Dowson & Landau 1982). Squared units of the features, >= 0, 0 = the same moments, symmetric.

    The trace of the root is the sum of the singular values of S_a^(1/2) S_b^(1/2): symmetric roots only, so singular
    covariances (dead features, fewer points than features) cost no accuracy.
    """
    cross = torch.linalg.svdvals(_root(a.covariance) @ _root(b.covariance)).sum()
    shape = a.covariance.trace() + b.covariance.trace() - 2 * cross
    return float((a.mean - b.mean).square().sum() + shape.clamp(min=0))


def _root(covariance: Tensor) -> Tensor:
    """The symmetric root of a positive semidefinite matrix."""
    value, vector = torch.linalg.eigh(covariance)
    root: Tensor = vector * value.clamp(min=0).sqrt() @ vector.T
    return root


# --- what the metrics below share, each computed once per encoding ---


def reconstruction_features(e: Encoding, count: int) -> Tensor:
    """The judge's features (n, f) of the reconstructions of the very images behind `real_features`."""
    if e.x_hat is None:
        raise Undefined(e.lack(DECODER))
    return real_features(replace(e, x=e.x_hat), count)  # the same generator picks the same rows


def midpoint_features(e: Encoding, count: int) -> Tensor:
    """The judge's features (n, f) of decoded midpoints between the means of two test images, n = min(count, images):
    every image is paired once as the first and once as the second."""
    n = len(e.mu)
    order = torch.randperm(n, generator=e.generator("midpoint pairs")).to(e.mu.device)
    return features(e, decode(e, (e.mu[order] + e.mu[order.roll(1)])[:count] / 2))


def fake_features(e: Encoding, kind: str, count: int) -> Tensor:
    """Features of as many fakes of a ``kind`` as there are real images to compare with (n, f)."""
    if kind == "reconstruction":
        return e.once(reconstruction_features, count=count)
    if kind == "interpolation":
        return e.once(midpoint_features, count=count)
    return e.once(sample_features, sampler=kind, count=count)[: len(e.x)]


def anchor_features(e: Encoding, count: int) -> Mapping[str, Tensor]:
    """Features of what is no model's: real training images (where there are any), noise and shuffled pixels."""
    images = e.once(anchor_images, count=count)
    anchors = {name: features(e, images[name]) for name in ("floor:noise", "floor:shuffle")}
    return anchors if e.train is None else {"ceiling:real": e.once(train_features, count=count), **anchors}


def real_moments(e: Encoding, count: int) -> Moments:
    """`moments` of `real_features`."""
    return moments(e.once(real_features, count=count))


def real_within(e: Encoding, count: int) -> float:
    """Mean kernel between two real images of the split."""
    return within(e.once(real_features, count=count), cubic)


def _fakes(e: Encoding, kind: str, count: int) -> Tensor:
    """`fake_features`, refused where they are one image over and over: no distribution to be near."""
    fake = fake_features(e, kind, count)
    if alike(e.once(real_features, count=count), fake):
        raise Undefined(
            "all images are the same: a distance would say nothing of a distribution", "undefined.images_alike"
        )
    return fake


def _frechet(e: Encoding, kind: str, count: int) -> Value:
    fake, real = moments(_fakes(e, kind, count)), e.once(real_moments, count=count)
    apart = float((fake.mean - real.mean).square().sum())
    n = min(count, len(e.x))
    detail = {"samples": n, "of_means": apart, **protocol(e, n, judged=True)}
    return Value(frechet(fake, real), detail=detail)


def _frechet_anchors(e: Encoding, kind: str, count: int) -> Mapping[str, float]:
    real = e.once(real_moments, count=count)
    distances = {n: frechet(moments(f), real) for n, f in e.once(anchor_features, count=count).items()}
    if kind == "reconstruction":  # the same images on both sides: the sampling error of other real images is not in it
        distances.pop("ceiling:real", None)
    return distances


def _kernel(e: Encoding, fake: Tensor, count: int) -> float:
    real = e.once(real_features, count=count)
    if min(len(real), len(fake)) < 2:
        raise Undefined(
            "pairs need two images of each side, there are {real} and {fake}",
            "undefined.few_images_a_side",
            real=len(real),
            fake=len(fake),
        )
    return e.once(real_within, count=count) - 2 * between(real, fake, cubic) + within(fake, cubic)


def _kid(e: Encoding, kind: str, count: int) -> Value:
    return Value(_kernel(e, _fakes(e, kind, count), count), detail={"samples": min(count, len(e.x))})


def _kid_anchors(e: Encoding, kind: str, count: int) -> Mapping[str, float]:
    return {n: _kernel(e, f, count) for n, f in e.once(anchor_features, count=count).items()}


_OF = {
    "normal": "decoded draws of N(0, I)",
    "prior": "decoded draws of the prior that a model was trained with (where that is not N(0, I))",
    "gaussian": "decoded draws of a Gaussian fitted to the training codes",
    "mixture": "decoded draws of a 10-component mixture fitted to the training codes",
    FLOW: "decoded draws of a small flow trained on the training codes",
    "reconstruction": "the reconstructions of the same images",
    "interpolation": "decoded midpoints between two images",
}


_NEEDS: Mapping[str, frozenset[Need]] = {
    "prior": JUDGED | {OWN_PRIOR},
    "gaussian": FITTED | {CONTINUUM},
    "mixture": FITTED | {CONTINUUM},
    FLOW: FITTED | {CONTINUUM},
    "reconstruction": JUDGED,
}


def _declare(
    name: str,
    kind: str,
    compute: Callable[..., Value],
    references: Callable[..., Mapping[str, float]],
    what: str,
    source: str,
    low: float | None,
) -> Metric:
    return Metric(
        name=name if kind == "normal" else f"{name}.{kind}",
        family="completeness",
        compute=compute,
        better="lower",
        bounds=(low, None),
        unit="squared feature units" if compute is _frechet else "kernel units",
        summary=f"{what} between real test images and {_OF[kind]}, in the judge's features",
        source=source,
        needs=_NEEDS.get(kind, JUDGED | {CONTINUUM}),
        params={"kind": kind, "count": SAMPLE_COUNT},
        references=references,
        under_prior=kind == "prior",
        standard=name if kind == "prior" else "",
        on_request=kind == FLOW,
    )


def _frechet_metric(kind: str) -> Metric:
    source = "Heusel et al. 2017, with the judge's features; kinds of fakes: Ghosh et al. 2020"
    return _declare("judge_frechet", kind, _frechet, _frechet_anchors, "Frechet distance", source, 0.0)


def _kid_metric(kind: str) -> Metric:
    source = "Binkowski et al. 2018, with the judge's features"
    return _declare("judge_kid", kind, _kid, _kid_anchors, "unbiased MMD^2 (cubic kernel)", source, None)


judge_frechet = _frechet_metric("normal")
judge_frechet_prior = _frechet_metric("prior")
judge_frechet_gaussian = _frechet_metric("gaussian")
judge_frechet_mixture = _frechet_metric("mixture")
judge_frechet_flow = _frechet_metric(FLOW)
judge_frechet_reconstruction = _frechet_metric("reconstruction")
judge_frechet_interpolation = _frechet_metric("interpolation")

judge_kid = _kid_metric("normal")
judge_kid_gaussian = _kid_metric("gaussian")
judge_kid_mixture = _kid_metric("mixture")
