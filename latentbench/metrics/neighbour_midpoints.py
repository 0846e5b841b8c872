"""Between neighbours: what does the decoder make of points a second stage will hit, near the codes and not on them?

A second stage draws points like the codes and never a code itself. Each held-out image's mean mu is moved halfway to the
code of its k-th nearest training image; what is decoded there is shown to the judge, and its features are held against
those of the real held-out images by their Frechet distance (judge_frechet), after the interpolated distance of Xu et al.
2026. At alpha = 0 nothing is moved, and the distance is that of the reconstructions.

    p = (1 - alpha) mu + alpha c,   c the mean of the k-th nearest training code to mu
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from latentbench.core import CONTINUUM, TRAIN, Encoding, Metric, Undefined, Value
from latentbench.geometry.neighbours import nearest
from latentbench.metrics.decoding import decode, features, protocol, subsample, verdicts
from latentbench.metrics.prior_completeness import anchored
from latentbench.metrics.prior_distances import anchor_features, frechet, moments, real_moments
from latentbench.metrics.samplers import FITTED, SAMPLE_COUNT, alike, real_features

HALFWAY = 0.5
FURTHER = 10
"""The other neighbour that the record tells of."""


def toward_neighbours(e: Encoding, k: int, alpha: float, count: int) -> Tensor:
    """Decoded points (n, *shape), of the very images behind `real_features`. Raises Undefined where fewer than k training
    codes are known."""
    if e.train is None:
        raise Undefined(e.lack(TRAIN))
    if len(e.train.mu) < k:
        raise Undefined(
            "{k} neighbours need at least {k} training codes, there are {n}",
            "undefined.few_codes",
            k=k,
            n=len(e.train.mu),
        )
    rows = subsample(torch.arange(len(e.mu)), count, e.generator("real features")).to(e.mu.device)
    mu = e.mu[rows]
    goal = e.train.mu[nearest(mu, e.train.mu, k).indices[:, k - 1]]
    labels = None if e.labels is None else e.labels[rows]
    return decode(e, mu + alpha * (goal - mu), labels)


def neighbour_features(e: Encoding, k: int, alpha: float, count: int) -> Tensor:
    """The judge's features (n, f) of `toward_neighbours`."""
    return features(e, e.once(toward_neighbours, k=k, alpha=alpha, count=count))


def _valid_share(e: Encoding, k: int, alpha: float, count: int) -> float:
    images = e.once(toward_neighbours, k=k, alpha=alpha, count=count)
    return float(verdicts(e, images).valid.double().mean())


def _distance(e: Encoding, k: int, alpha: float, count: int) -> float:
    fake = e.once(neighbour_features, k=k, alpha=alpha, count=count)
    if alike(e.once(real_features, count=count), fake):
        raise Undefined(
            "all images are the same: a distance would say nothing of a distribution", "undefined.images_alike"
        )
    return frechet(moments(fake), e.once(real_moments, count=count))


def _further(e: Encoding, k: int) -> int | None:
    """`FURTHER`, where there are so many training codes."""
    return FURTHER if e.train is not None and k != FURTHER <= len(e.train.mu) else None


def _validity(e: Encoding, k: int, alpha: float, count: int) -> Value:
    value, other = _valid_share(e, k, alpha, count), _further(e, k)
    detail = {} if other is None else {f"k{other}": _valid_share(e, other, alpha, count)}
    return Value(value, detail={"samples": min(count, len(e.mu)), **detail})


def _frechet(e: Encoding, k: int, alpha: float, count: int) -> Value:
    value, other = _distance(e, k, alpha, count), _further(e, k)
    detail = {} if other is None else {f"k{other}": _distance(e, other, alpha, count)}
    n = min(count, len(e.mu))
    return Value(value, detail={"samples": n, **protocol(e, n, judged=True), **detail})


def _anchors_of_validity(e: Encoding, k: int, alpha: float, count: int) -> Mapping[str, float]:
    return {name: float(v.valid.double().mean()) for name, v in e.once(anchored, count=count).items()}


def _anchors_of_frechet(e: Encoding, k: int, alpha: float, count: int) -> Mapping[str, float]:
    real = e.once(real_moments, count=count)
    return {name: frechet(moments(f), real) for name, f in e.once(anchor_features, count=count).items()}


neighbour_validity = Metric(
    name="neighbour.validity",
    family="completeness",
    compute=_validity,
    better="higher",
    bounds=(0.0, 1.0),
    unit="share",
    summary="share of decoded points halfway to the nearest training code that the judge accepts",
    source="after Xu et al. 2026",
    needs=FITTED | {CONTINUUM},
    params={"k": 1, "alpha": HALFWAY, "count": SAMPLE_COUNT},
    references=_anchors_of_validity,
    on_request=True,
)

neighbour_frechet = Metric(
    name="neighbour.frechet",
    family="completeness",
    compute=_frechet,
    better="lower",
    bounds=(0.0, None),
    unit="squared feature units",
    summary="Frechet distance between real test images and decoded points halfway to the nearest training code, in the "
    "judge's features",
    source="after Xu et al. 2026; Heusel et al. 2017, with the judge's features",
    needs=FITTED | {CONTINUUM},
    params={"k": 1, "alpha": HALFWAY, "count": SAMPLE_COUNT},
    references=_anchors_of_frechet,
    on_request=True,
)
