"""Precision, recall, density and coverage: do N(0, I) samples lie among the real images, and do they reach all of
them? Measured in the judge's features, between equally many of both.

Symbols: real features (n, f), fake features (m, f); the *ball* of a point reaches to its k-th neighbour in its own
set. Precision asks whether samples are plausible, recall and coverage whether they are all there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from torch import Tensor

from latentbench.core import Encoding, Metric, Undefined, Value
from latentbench.geometry.neighbours import count_inside, nearest
from latentbench.metrics.decoding import JUDGED
from latentbench.metrics.samplers import SAMPLE_COUNT, alike, asked, real_features, sample_features, train_features

if TYPE_CHECKING:
    from jaxtyping import Float


class Prdc(NamedTuple):
    """Precision, recall, density and coverage of one set of features against another."""

    precision: float
    recall: float
    density: float
    coverage: float


def prdc(real: Float[Tensor, "n f"], fake: Float[Tensor, "m f"], k: int) -> Prdc:
    """Precision, recall (Kynkaanniemi et al. 2019), density and coverage (Naeem et al. 2020) of ``fake`` (m, f)
    against ``real`` (n, f).

    With the ball of a point reaching to its k-th neighbour in its own set: *precision* is the share of fakes in some
    real ball, *recall* the share of reals in some fake ball, *density* the mean number of real balls a fake lies in,
    over k (about 1 for equal distributions, unbounded above: fakes crowded in the middle), *coverage* the share of
    real balls that hold a fake. All >= 0, higher is better; all but density <= 1. Raises Undefined where a set has no
    more than k points.
    """
    if min(len(real), len(fake)) <= k:
        raise Undefined(
            "{k} neighbours need more than {k} points, there are {real} real and {fake} sampled",
            "undefined.few_real_or_sampled",
            k=k,
            real=len(real),
            fake=len(fake),
        )
    real_balls = count_inside(fake, real, nearest(real, k=k).distance[:, -1])
    fake_balls = count_inside(real, fake, nearest(fake, k=k).distance[:, -1])
    return Prdc(
        precision=_share(real_balls.around),
        recall=_share(fake_balls.around),
        density=float(real_balls.around.double().mean() / k),
        coverage=_share(real_balls.within),
    )


def _share(counts: Tensor) -> float:
    """Share of ``counts`` (n,) that are not 0."""
    return float((counts > 0).double().mean())


def sample_scores(e: Encoding, sampler: str, count: int, k: int) -> tuple[Prdc, bool, int]:
    """`prdc` of decoded samples against real images of the split in the judge's features, equally many of both (at
    most ``count``); whether the samples are all alike; how many there were of each."""
    real = e.once(real_features, count=count)
    fake = e.once(sample_features, sampler=sampler, count=count)[: len(real)]
    return prdc(real, fake, k), alike(real, fake), len(real)


def real_scores(e: Encoding, count: int, k: int) -> Prdc:
    """`prdc` of real training images against real images of the split, equally many of both."""
    real, train = e.once(real_features, count=count), e.once(train_features, count=count)
    return prdc(real[: len(train)], train, k)


def _score(field: str) -> Callable[..., Value]:
    """The metric of one field of `Prdc`. Samples that are all one image are refused where they would win: one image
    in the middle of the real ones has precision 1, coverage 1 and the density n / k."""

    def compute(e: Encoding, sampler: str, count: int, k: int) -> Value:
        scores, alike, n = e.once(sample_scores, sampler=asked(e, sampler), count=count, k=k)
        if alike and field != "recall":
            raise Undefined(
                "all samples are the same image: {field} would say nothing of a distribution",
                "undefined.samples_alike",
                field=field,
            )
        crowded = scores.density > 1.5  # fakes heaped up amid the real images flatter precision and coverage too
        return Value(getattr(scores, field), detail={"samples": n, "density": scores.density, "crowded": crowded})

    return compute


def _real_score(field: str) -> Callable[..., Mapping[str, float]]:
    def references(e: Encoding, sampler: str, count: int, k: int) -> Mapping[str, float]:
        return {} if e.train is None else {"ceiling:real": getattr(e.once(real_scores, count=count, k=k), field)}

    return references


_PRDC = {"sampler": "normal", "count": SAMPLE_COUNT, "k": 5}

precision = Metric(
    name="precision",
    family="completeness",
    compute=_score("precision"),
    better="higher",
    bounds=(0.0, 1.0),
    unit="share",
    summary="share of N(0, I) samples near some real test image, in the judge's features (k = 5)",
    source="Kynkaanniemi et al. 2019",
    needs=JUDGED,
    params=_PRDC,
    references=_real_score("precision"),
    under_prior=True,
)

recall = Metric(
    name="recall",
    family="completeness",
    compute=_score("recall"),
    better="higher",
    bounds=(0.0, 1.0),
    unit="share",
    summary="share of real test images near some N(0, I) sample, in the judge's features (k = 5)",
    source="Kynkaanniemi et al. 2019",
    needs=JUDGED,
    params=_PRDC,
    references=_real_score("recall"),
    under_prior=True,
)

density = Metric(
    name="density",
    family="completeness",
    compute=_score("density"),
    better="higher",
    bounds=(0.0, None),
    unit="ratio",
    least=0.02,
    least_relative=0.05,
    summary="how many real neighbourhoods an N(0, I) sample lies in, over k = 5; above 1.5 = heaped up in the middle",
    source="Naeem et al. 2020",
    needs=JUDGED,
    params=_PRDC,
    references=_real_score("density"),
    under_prior=True,
)

coverage = Metric(
    name="coverage",
    family="completeness",
    compute=_score("coverage"),
    better="higher",
    bounds=(0.0, 1.0),
    unit="share",
    summary="share of real test images whose neighbourhood holds an N(0, I) sample, in the judge's features (k = 5)",
    source="Naeem et al. 2020",
    needs=JUDGED,
    params=_PRDC,
    references=_real_score("coverage"),
    under_prior=True,
)
