"""Prior completeness by the judge's word: does a point drawn from the prior decode to something meaningful, and to
all that the data hold?

*Validity* is the share of samples the judge accepts, read between real test images (ceiling) and noise, shuffled
pixels, the mean image, black, white and grey (floors), under each of the samplers of `latentbench.metrics.samplers`.
No classifier is proof against a decoder that was trained to please it, so the record also says what share of the valid
samples lies ``far`` from every training image in pixels, beyond the 99.9 % quantile of real images. Validity says nothing
about variety: the labels of the valid samples do. Where the judge's word ends, `prior_coverage` and `prior_distances`
compare features, `prior_holes` and `prior_match` the codes alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from latentbench.core import CONTINUUM, DISCRETE, OWN_PRIOR, TRAIN, Encoding, Metric, Phrase, Undefined, Value, Verdict
from latentbench.geometry.neighbours import nearest
from latentbench.metrics.code_prior import of_training
from latentbench.metrics.decoding import JUDGED, judge_of, subsample, verdicts
from latentbench.metrics.samplers import (
    FITTED,
    FLOW,
    SAMPLE_COUNT,
    anchor_images,
    asked,
    judged_samples,
    of_flow,
    prior_samples,
)

if TYPE_CHECKING:
    from jaxtyping import Float, Float64, Int

KNOWN = 5000
"""Training images among which the nearest one is sought."""
FAR = 0.999
"""Quantile of real images' distances beyond which a sample is far from all of them."""


def label_shares(labels: Int[Tensor, " m"], classes: int) -> Float64[Tensor, " classes"]:
    """Share of each class among ``labels`` (m,), (classes,) float64."""
    return torch.bincount(labels, minlength=classes).double() / len(labels)


def normalised_entropy(shares: Float[Tensor, " C"]) -> float:
    """``-sum_c p_c ln p_c / ln C`` for ``shares`` (C,), C >= 2: 0 = one class only, 1 = all classes alike."""
    return float(torch.special.entr(shares).sum() / math.log(len(shares)))


def total_variation(p: Float[Tensor, " C"], q: Float[Tensor, " C"]) -> float:
    """``sum_c |p_c - q_c| / 2`` of two distributions (C,): 0 = the same, 1 = nothing in common."""
    return float((p.double() - q.double()).abs().sum() / 2)


def class_ratios(verdict: Verdict, expected: Float[Tensor, " C"]) -> Float64[Tensor, " C"]:
    """Of each class, the share of ``verdict``'s images (m,) that are valid and judged to be of it, over the share
    ``expected`` (C,): (C,) float64, >= 0; NaN for a class that nothing is expected of.

    1 = as many as expected; 0 = none of this class.
    """
    share = torch.bincount(verdict.label[verdict.valid], minlength=len(expected)).double() / len(verdict.label)
    return torch.where(expected > 0, share / expected, torch.nan)


def real_verdict(e: Encoding, count: int) -> Verdict:
    """The judge's verdict on at most ``count`` real images of the split."""
    return verdicts(e, e.once(anchor_images, count=count)["ceiling:real"])


def anchored(e: Encoding, count: int) -> Mapping[str, Verdict]:
    """Verdicts on `anchor_images`."""
    images = e.once(anchor_images, count=count)
    return {n: e.once(real_verdict, count=count) if n == "ceiling:real" else verdicts(e, x) for n, x in images.items()}


def to_training_images(e: Encoding, images: Tensor) -> Tensor:
    """Distance (m,) float64, clipped to the bounds of their space, from each of ``images`` (m, ...) to the nearest training
    image, of at most `KNOWN` of them, the same for every model. Raises Undefined without training images."""
    if e.train is None:
        raise Undefined(e.lack(TRAIN))
    known = subsample(e.train.x, KNOWN, e.generator("known images"))
    return nearest(e.space.clip(images), known).distance[:, 0]


def reach(e: Encoding, count: int) -> float:
    """How far, by `to_training_images`, at most ``count`` real images of the split lie: the `FAR` quantile."""
    real = e.once(anchor_images, count=count)["ceiling:real"]
    return float(to_training_images(e, real).quantile(FAR))


def far_share(e: Encoding, sampler: str, count: int) -> float | None:
    """Share of the valid samples that lie farther, in pixels, from every training image than `reach`: what the judge
    takes for real and no eye might. None without training images or valid samples."""
    valid = e.once(judged_samples, sampler=sampler, count=count).valid
    if e.train is None or e.train is e or not valid.any():
        return None
    distance = to_training_images(e, e.once(prior_samples, sampler=sampler, count=count)[valid])
    return float((distance > e.once(reach, count=count)).double().mean())


def _validity(e: Encoding, sampler: str, count: int) -> Value:
    verdict = e.once(judged_samples, sampler=sampler, count=count)
    detail: dict[str, Any] = {"samples": count, "confidence": float(verdict.confidence.double().mean())}
    if (far := far_share(e, sampler, count)) is not None:
        detail["far"] = far
    if sampler == FLOW:
        detail |= of_flow(e)
    return Value(float(verdict.valid.double().mean()), detail=detail)


def _validity_autoregressive(e: Encoding, sampler: str, count: int) -> Value:
    """The validity, with what fitting the prior came to: nats an image on codes kept aside, beside the marginal's."""
    value, prior = _validity(e, sampler, count), of_training(e)
    fitted = {"nll": prior.nll, "nll_marginal": prior.nll_marginal, "epochs": prior.epochs, "seconds": prior.seconds}
    return value._replace(detail={**value.detail, **fitted})


def _valid_anchors(e: Encoding, sampler: str, count: int) -> Mapping[str, float]:
    return {name: float(verdict.valid.double().mean()) for name, verdict in e.once(anchored, count=count).items()}


def _valid_labels(e: Encoding, verdict: Verdict) -> Tensor:
    """Class shares (C,) among valid images. Raises Undefined where they are fewer than the classes: no share of a
    class can be told from so few, and variety among next to nothing is no virtue."""
    classes = judge_of(e).classes
    labels = verdict.label[verdict.valid]
    if len(labels) < classes:
        raise Undefined(
            "{n} of {of} images are valid: too few for {classes} classes",
            "undefined.few_valid",
            n=len(labels),
            of=len(verdict.valid),
            classes=classes,
        )
    return label_shares(labels, classes).cpu()


def _label_entropy(e: Encoding, sampler: str, count: int) -> Value:
    verdict = e.once(judged_samples, sampler=asked(e, sampler), count=count)
    shares = _valid_labels(e, verdict)
    return Value(normalised_entropy(shares), detail=_label_detail(verdict, shares))


def _label_tv(e: Encoding, sampler: str, count: int) -> Value:
    verdict = e.once(judged_samples, sampler=asked(e, sampler), count=count)
    shares = _valid_labels(e, verdict)
    return Value(total_variation(shares, judge_of(e).train_marginal.cpu()), detail=_label_detail(verdict, shares))


def _label_detail(verdict: Verdict, shares: Tensor) -> Mapping[str, object]:
    return {"valid": int(verdict.valid.sum()), "samples": len(verdict.valid), "per_class": shares.tolist()}


def _real_entropy(e: Encoding, sampler: str, count: int) -> Mapping[str, float]:
    return {"ceiling:real": normalised_entropy(_valid_labels(e, e.once(real_verdict, count=count)))}


def _real_tv(e: Encoding, sampler: str, count: int) -> Mapping[str, float]:
    shares = _valid_labels(e, e.once(real_verdict, count=count))
    return {"ceiling:real": total_variation(shares, judge_of(e).train_marginal.cpu())}


def expected_shares(e: Encoding, count: int) -> Tensor:
    """Share of images (C,) float64 that are valid and of each class, were they as valid as real test images and of
    the classes of the training labels: valid share of real images * marginal. Raises Undefined where the judge
    accepts no real image."""
    valid = e.once(real_verdict, count=count).valid.double().mean()
    if valid == 0:
        raise Undefined("the judge accepts no real image: nothing to compare with", "undefined.none_real")
    return judge_of(e).train_marginal.double() * valid


def _worst(e: Encoding, verdict: Verdict, count: int) -> tuple[float, list[float | None]]:
    """The smallest of `class_ratios`, at most 1, and all of them (None: a class without training images)."""
    ratios = class_ratios(verdict, e.once(expected_shares, count=count))
    return min(1.0, float(ratios[~ratios.isnan()].min())), [None if math.isnan(r) else r for r in ratios.tolist()]


def _per_class(e: Encoding, sampler: str, count: int) -> Value:
    verdict = e.once(judged_samples, sampler=asked(e, sampler), count=count)
    worst, ratios = _worst(e, verdict, count)
    known = [min(1.0, r) for r in ratios if r is not None]
    detail: dict[str, Any] = {"samples": count, "per_class": ratios, "mean": sum(known) / len(known)}
    return Value(worst, detail=detail)


def _real_per_class(e: Encoding, sampler: str, count: int) -> Mapping[str, float]:
    return {name: _worst(e, verdict, count)[0] for name, verdict in e.once(anchored, count=count).items()}


validity_normal = Metric(
    name="validity.normal",
    family="completeness",
    compute=_validity,
    better="higher",
    bounds=(0.0, 1.0),
    unit="share",
    summary="share of decoded draws of N(0, I) that the judge accepts",
    source="latentbench",
    needs=JUDGED | {CONTINUUM},
    params={"sampler": "normal", "count": SAMPLE_COUNT},
    references=_valid_anchors,
    phrase=Phrase(
        "valid draws from N(0, I)",
        "decodes more valid draws from N(0, I)",
        "decodes fewer valid draws from N(0, I)",
    ),
    headline=("complete",),
)

validity_prior = Metric(
    name="validity.prior",
    family="completeness",
    compute=_validity,
    better="higher",
    bounds=(0.0, 1.0),
    unit="share",
    summary="share of decoded draws of the prior that a model was trained with, where that is not N(0, I), that the judge "
    "accepts",
    source="latentbench",
    needs=JUDGED | {OWN_PRIOR},
    params={"sampler": "prior", "count": SAMPLE_COUNT},
    references=_valid_anchors,
    phrase=Phrase(
        "valid draws from the prior that each was trained with",
        "decodes more valid draws from the prior it was trained with",
        "decodes fewer valid draws from the prior it was trained with",
    ),
    headline=("complete",),
    under_prior=True,
    standard="validity.normal",
)

validity_marginal = Metric(
    name="validity.marginal",
    family="completeness",
    compute=_validity,
    better="higher",
    bounds=(0.0, 1.0),
    unit="share",
    summary="of a discrete latent, share of decoded draws that the judge accepts where each position takes its codes as "
    "often as on the training images, independently of the others",
    source="latentbench",
    needs=FITTED | {DISCRETE},
    params={"sampler": "marginal", "count": SAMPLE_COUNT},
    references=_valid_anchors,
    phrase=Phrase(
        "valid draws of codes position by position",
        "decodes more valid draws of codes that know nothing of one another",
        "decodes fewer valid draws of codes that know nothing of one another",
    ),
)

validity_autoregressive = Metric(
    name="validity.autoregressive",
    family="completeness",
    compute=_validity_autoregressive,
    better="higher",
    bounds=(0.0, 1.0),
    unit="share",
    summary="of a discrete latent, share of decoded draws of a small autoregressive prior, fitted to the training codes, that "
    "the judge accepts",
    source="prior: van den Oord et al. 2017",
    needs=FITTED | {DISCRETE},
    params={"sampler": "autoregressive", "count": SAMPLE_COUNT},
    references=_valid_anchors,
    phrase=Phrase(
        "valid draws from an autoregressive prior over the codes",
        "decodes more valid draws from an autoregressive prior over its codes",
        "decodes fewer valid draws from an autoregressive prior over its codes",
    ),
)

validity_gaussian = Metric(
    name="validity.gaussian",
    family="completeness",
    compute=_validity,
    better="higher",
    bounds=(0.0, 1.0),
    unit="share",
    summary="share of decoded draws of a Gaussian fitted to the training codes that the judge accepts",
    source="sampler: Ghosh et al. 2020",
    needs=FITTED | {CONTINUUM},
    params={"sampler": "gaussian", "count": SAMPLE_COUNT},
    references=_valid_anchors,
    phrase=Phrase(
        "valid draws from a Gaussian fitted to the codes",
        "decodes more valid draws from a Gaussian fitted to its codes",
        "decodes fewer valid draws from a Gaussian fitted to its codes",
    ),
)

validity_mixture = Metric(
    name="validity.mixture",
    family="completeness",
    compute=_validity,
    better="higher",
    bounds=(0.0, 1.0),
    unit="share",
    summary="share of decoded draws of a 10-component mixture fitted to the training codes that the judge accepts",
    source="sampler: Ghosh et al. 2020",
    needs=FITTED | {CONTINUUM},
    params={"sampler": "mixture", "count": SAMPLE_COUNT},
    references=_valid_anchors,
    phrase=Phrase(
        "valid draws from a mixture fitted to the codes",
        "decodes more valid draws from a mixture fitted to its codes",
        "decodes fewer valid draws from a mixture fitted to its codes",
    ),
)

validity_flow = Metric(
    name="validity.flow",
    family="completeness",
    compute=_validity,
    better="higher",
    bounds=(0.0, 1.0),
    unit="share",
    summary="share of decoded draws of a small flow trained on the training codes that the judge accepts: what a second stage "
    "reaches",
    source="sampler: flow matching, Lipman et al. 2023",
    needs=FITTED | {CONTINUUM},
    params={"sampler": FLOW, "count": SAMPLE_COUNT},
    references=_valid_anchors,
    on_request=True,
)

validity_per_class = Metric(
    name="validity.per_class",
    family="completeness",
    compute=_per_class,
    better="higher",
    bounds=(0.0, 1.0),
    unit="share of what real images give",
    summary="valid N(0, I) samples of the class that has fewest of them, over what real images would give; 0 = a class "
    "is missing",
    source="latentbench",
    needs=JUDGED,
    params={"sampler": "normal", "count": SAMPLE_COUNT},
    references=_real_per_class,
    under_prior=True,
)

valid_label_entropy = Metric(
    name="valid_label_entropy",
    family="completeness",
    compute=_label_entropy,
    better="higher",
    bounds=(0.0, 1.0),
    unit="share of ln(classes)",
    summary="entropy of the judged classes of valid N(0, I) samples; 0 = one class, 1 = all alike",
    source="latentbench",
    needs=JUDGED,
    params={"sampler": "normal", "count": SAMPLE_COUNT},
    references=_real_entropy,
    under_prior=True,
)

valid_label_tv = Metric(
    name="valid_label_tv",
    family="completeness",
    compute=_label_tv,
    better="lower",
    bounds=(0.0, 1.0),
    unit="total variation",
    summary="distance between the judged classes of valid N(0, I) samples and the training labels; 0 = same shares",
    source="latentbench",
    needs=JUDGED,
    params={"sampler": "normal", "count": SAMPLE_COUNT},
    references=_real_tv,
    under_prior=True,
)
