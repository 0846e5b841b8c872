"""Prior completeness: does a point drawn from the prior decode to something meaningful?

Three *samplers* are tried on every model, because the sampler decides as much as the model does: the prior N(0, I)
itself, a full-covariance Gaussian and a mixture of 10 Gaussians, both fitted to the training split's codes (one draw
of q(z|x) an image; a plain autoencoder's means). The standard normal noise behind them depends on the seed alone, so
every model is asked about the same draws.

*Validity* is the share of samples the judge accepts, read between real test images (ceiling) and noise, shuffled
pixels and the mean image (floors). It says nothing about variety: the labels of the valid samples, and precision,
recall, density and coverage in the judge's features do. A *hole* is prior mass that no posterior supports: it is
measured among codes, without decoder or judge.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from latentbench.core import Encoding, Metric, Need, Undefined, Value, Verdict, randn
from latentbench.decoding import decode, features, judge_of, subsample, verdicts
from latentbench.neighbours import distances, flat, nearest

SAMPLERS = ("normal", "gaussian", "mixture")
ALIKE = 1e-4
"""Samples whose features vary less than this share of the real images' are one image, not a distribution."""


class Mixture(NamedTuple):
    """A mixture of c Gaussians: ``weight`` (c,), ``mean`` (c, d), ``root`` (c, d, d) with root root^T = covariance;
    float64 on the CPU."""

    weight: Tensor
    mean: Tensor
    root: Tensor


class Prdc(NamedTuple):
    """Precision, recall, density and coverage of one set of features against another."""

    precision: float
    recall: float
    density: float
    coverage: float


def fit_gaussian(codes: Tensor) -> Mixture:
    """The Gaussian with the mean and the full covariance of ``codes`` (n, d), as a mixture of one. Directions without
    variance stay without."""
    codes = flat(codes).cpu()
    mean = codes.mean(0)
    covariance = (codes - mean).T @ (codes - mean) / len(codes)
    value, vector = torch.linalg.eigh(covariance)
    root = vector * value.clamp(min=0).sqrt() @ vector.T  # symmetric, so the draw pairs across models
    return Mixture(torch.ones(1, dtype=torch.float64), mean[None], root[None])


def fit_mixture(codes: Tensor, components: int, generator: torch.Generator) -> Mixture:
    """A mixture of ``components`` full-covariance Gaussians fitted to ``codes`` (n, d) by EM from a seeded k-means
    start (scikit-learn's GaussianMixture), on standardised coordinates so that its ridge of 1e-6 is relative.

    With fewer than two codes a component there are as many components as that allows; raises Undefined for n < 2.
    """
    from sklearn.mixture import GaussianMixture

    codes = flat(codes).cpu()
    if len(codes) < 2:
        raise Undefined(f"a mixture needs two training codes, there is {len(codes)}")
    mean, sd = codes.mean(0), codes.std(0, correction=0)
    sd = torch.where(sd > 0, sd, 1.0)
    seed = int(torch.randint(2**31 - 1, (1,), generator=generator))
    model = GaussianMixture(max(1, min(components, len(codes) // 2)), random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # unconverged EM, or fewer distinct codes than components, is still a mixture
        model.fit(((codes - mean) / sd).numpy())
    root = torch.linalg.cholesky(torch.from_numpy(np.asarray(model.covariances_)))
    means = torch.from_numpy(np.asarray(model.means_))
    return Mixture(torch.from_numpy(np.asarray(model.weights_)), mean + sd * means, sd[:, None] * root)


def draw(mixture: Mixture, noise: Tensor, generator: torch.Generator) -> Tensor:
    """Samples (m, d) of a mixture from standard normal ``noise`` (m, d) float64; ``generator`` picks components."""
    if len(mixture.weight) == 1:
        return mixture.mean + noise @ mixture.root[0].T
    chosen = torch.multinomial(mixture.weight, len(noise), replacement=True, generator=generator)
    return mixture.mean[chosen] + torch.einsum("mij,mj->mi", mixture.root[chosen], noise)


def label_shares(labels: Tensor, classes: int) -> Tensor:
    """Share of each class among ``labels`` (m,), (classes,) float64."""
    return torch.bincount(labels, minlength=classes).double() / len(labels)


def normalised_entropy(shares: Tensor) -> float:
    """``-sum_c p_c ln p_c / ln C`` for ``shares`` (C,), C >= 2: 0 = one class only, 1 = all classes alike."""
    return float(torch.special.entr(shares).sum() / math.log(len(shares)))


def total_variation(p: Tensor, q: Tensor) -> float:
    """``sum_c |p_c - q_c| / 2`` of two distributions (C,): 0 = the same, 1 = nothing in common."""
    return float((p.double() - q.double()).abs().sum() / 2)


def prdc(real: Tensor, fake: Tensor, k: int) -> Prdc:
    """Precision, recall (Kynkaanniemi et al. 2019), density and coverage (Naeem et al. 2020) of ``fake`` (m, f)
    against ``real`` (n, f).

    With the ball of a point reaching to its k-th neighbour in its own set: *precision* is the share of fakes in some
    real ball, *recall* the share of reals in some fake ball, *density* the mean number of real balls a fake lies in,
    over k (about 1 for equal distributions, unbounded above: fakes crowded in the middle), *coverage* the share of
    real balls that hold a fake. All >= 0, higher is better; all but density <= 1. Raises Undefined where a set has no
    more than k points.
    """
    if min(len(real), len(fake)) <= k:
        raise Undefined(f"{k} neighbours need more than {k} points, there are {len(real)} real and {len(fake)} sampled")
    real_radius = nearest(real, k=k).distance[:, -1:]
    fake_radius = nearest(fake, k=k).distance[:, -1]
    distance = distances(real, fake)
    inside = distance < real_radius
    return Prdc(
        precision=float(inside.any(0).double().mean()),
        recall=float((distance < fake_radius).any(1).double().mean()),
        density=float(inside.sum(0).double().mean() / k),
        coverage=float((distance.amin(1) < real_radius[:, 0]).double().mean()),
    )


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
        raise Undefined(f"{k} neighbours need at least {k} training codes, there are {len(codes)}")
    return float(torch.quantile(nearest(held_out, codes, k).distance[:, -1], quantile))


def share_beyond(points: Tensor, codes: Tensor, k: int, radius: float) -> float:
    """Share of ``points`` (m, d) whose ``k``-th nearest of ``codes`` (n, d) is farther than ``radius``."""
    return float((nearest(points, codes, k).distance[:, -1] > radius).double().mean())


# --- shared by the metrics below and by the pictures of the report, each computed once per encoding ---


def train_codes(e: Encoding, most: int) -> Tensor:
    """At most ``most`` training codes (n, d): one draw of q(z|x) per image, the mean for a Dirac."""
    if e.train is None:
        raise Undefined(e.missing.get("train", "needs train"))
    return subsample(e.train.z, most, e.generator("codes"))


def fitted(e: Encoding, sampler: str) -> Mixture:
    """What ``sampler`` (one of `SAMPLERS`) draws from. Raises ValueError for another name."""
    if sampler == "normal":
        d = e.mu.shape[1]
        one = torch.ones(1, dtype=torch.float64)
        return Mixture(one, torch.zeros(1, d, dtype=torch.float64), torch.eye(d, dtype=torch.float64)[None])
    if sampler == "gaussian":
        return fit_gaussian(e.once(train_codes, most=5000))
    if sampler == "mixture":
        return fit_mixture(e.once(train_codes, most=5000), 10, e.generator("mixture fit"))
    raise ValueError(f"sampler: '{sampler}' is not one of {', '.join(SAMPLERS)}")


def prior_codes(e: Encoding, sampler: str, count: int) -> Tensor:
    """``count`` latent points (count, d) drawn by ``sampler``, from the same noise for every sampler and model."""
    mixture = e.once(fitted, sampler=sampler)
    noise = randn((count, e.mu.shape[1]), e.generator("prior"), mixture.mean)
    return draw(mixture, noise, e.generator("mixture component")).to(e.mu)


def prior_samples(e: Encoding, sampler: str, count: int) -> Tensor:
    """Raw decoded images (count, c, h, w) of `prior_codes`."""
    return decode(e, e.once(prior_codes, sampler=sampler, count=count))


def judged_samples(e: Encoding, sampler: str, count: int) -> Verdict:
    """The judge's verdict on each of `prior_samples`; fields (count,)."""
    return verdicts(e, e.once(prior_samples, sampler=sampler, count=count))


def anchors(e: Encoding, count: int) -> Mapping[str, float]:
    """Valid shares that no model has a part in: real images of the split; uniform noise; real images with their
    pixels shuffled, each in its own way; the mean image (of the training split, where there is one)."""
    generator = e.generator("anchors")
    x = subsample(e.x, count, generator)
    noise = torch.rand(x.shape, generator=generator, device=generator.device).to(x)
    order = torch.rand(len(x), 1, x[0, 0].numel(), generator=generator, device=generator.device).argsort(-1)
    shuffled = x.flatten(2).gather(2, order.to(x.device).expand(-1, x.shape[1], -1)).view_as(x)
    mean = (e.x if e.train is None else e.train.x).mean(0, keepdim=True)
    images = {"ceiling:real": x, "floor:noise": noise, "floor:shuffle": shuffled, "floor:mean": mean}
    return {name: float(verdicts(e, image).valid.double().mean()) for name, image in images.items()}


def _validity(e: Encoding, sampler: str, count: int) -> Value:
    verdict = e.once(judged_samples, sampler=sampler, count=count)
    detail = {"samples": count, "confidence": float(verdict.confidence.double().mean())}
    return Value(float(verdict.valid.double().mean()), detail=detail)


def _anchored(e: Encoding, sampler: str, count: int) -> Mapping[str, float]:
    return e.once(anchors, count=count)


def _valid_labels(e: Encoding, verdict: Verdict) -> Tensor:
    """Class shares (C,) among valid images. Raises Undefined where they are fewer than the classes: no share of a
    class can be told from so few, and variety among next to nothing is no virtue."""
    classes = judge_of(e).classes
    labels = verdict.label[verdict.valid]
    if len(labels) < classes:
        raise Undefined(f"{len(labels)} of {len(verdict.valid)} images are valid: too few for {classes} classes")
    return label_shares(labels, classes).cpu()


def _label_entropy(e: Encoding, sampler: str, count: int) -> Value:
    verdict = e.once(judged_samples, sampler=sampler, count=count)
    shares = _valid_labels(e, verdict)
    return Value(normalised_entropy(shares), detail=_label_detail(verdict, shares))


def _label_tv(e: Encoding, sampler: str, count: int) -> Value:
    verdict = e.once(judged_samples, sampler=sampler, count=count)
    shares = _valid_labels(e, verdict)
    return Value(total_variation(shares, judge_of(e).train_marginal.cpu()), detail=_label_detail(verdict, shares))


def _label_detail(verdict: Verdict, shares: Tensor) -> Mapping[str, object]:
    return {"valid": int(verdict.valid.sum()), "samples": len(verdict.valid), "per_class": shares.tolist()}


def _real_verdict(e: Encoding) -> Verdict:
    return verdicts(e, e.x)


def _real_entropy(e: Encoding, sampler: str, count: int) -> Mapping[str, float]:
    return {"ceiling:real": normalised_entropy(_valid_labels(e, e.once(_real_verdict)))}


def _real_tv(e: Encoding, sampler: str, count: int) -> Mapping[str, float]:
    shares = _valid_labels(e, e.once(_real_verdict))
    return {"ceiling:real": total_variation(shares, judge_of(e).train_marginal.cpu())}


def _real_features(e: Encoding, count: int) -> Tensor:
    return features(e, subsample(e.x, count, e.generator("real features")))


def sample_scores(e: Encoding, sampler: str, count: int, k: int) -> tuple[Prdc, bool, int]:
    """`prdc` of decoded samples against real images of the split in the judge's features, equally many of both (at
    most ``count``); whether the samples are all alike; how many there were of each."""
    real = e.once(_real_features, count=count)
    fake = features(e, e.once(prior_samples, sampler=sampler, count=count)[: len(real)])
    spread = [float(flat(f).var(0, correction=0).sum()) for f in (real, fake)]
    return prdc(real, fake, k), spread[1] <= ALIKE * spread[0], len(real)


def real_scores(e: Encoding, count: int, k: int) -> Prdc:
    """`prdc` of real training images against real images of the split, equally many of both."""
    if e.train is None:
        raise Undefined(e.missing.get("train", "needs train"))
    real = e.once(_real_features, count=count)
    n = min(len(real), len(e.train.x))
    train = subsample(e.train.x, n, e.generator("real against real"))
    return prdc(real[:n], features(e, train), k)


def _score(field: str) -> Callable[..., Value]:
    """The metric of one field of `Prdc`. Samples that are all one image are refused where they would win: one image
    in the middle of the real ones has precision 1, coverage 1 and the density n / k."""

    def compute(e: Encoding, sampler: str, count: int, k: int) -> Value:
        scores, alike, n = e.once(sample_scores, sampler=sampler, count=count, k=k)
        if alike and field != "recall":
            raise Undefined(f"all samples are the same image: {field} would say nothing of a distribution")
        crowded = scores.density > 1.5  # fakes heaped up amid the real images flatter precision and coverage too
        return Value(getattr(scores, field), detail={"samples": n, "density": scores.density, "crowded": crowded})

    return compute


def _real_score(field: str) -> Callable[..., Mapping[str, float]]:
    def references(e: Encoding, sampler: str, count: int, k: int) -> Mapping[str, float]:
        return {} if e.train is None else {"ceiling:real": getattr(e.once(real_scores, count=count, k=k), field)}

    return references


def _radius(e: Encoding, k: int, quantile: float, codes: int, held_out: int) -> float:
    h = subsample(e.z, held_out, e.generator("held-out codes"))
    return support_radius(e.once(train_codes, most=codes), h, k, quantile)


def _hole(e: Encoding, sampler: str, k: int, quantile: float, codes: int, held_out: int, draws: int) -> Value:
    c = e.once(train_codes, most=codes)
    z = e.once(prior_codes, sampler=sampler, count=draws)
    radius = e.once(_radius, k=k, quantile=quantile, codes=codes, held_out=held_out)
    return Value(share_beyond(z, c, k, radius), detail={"codes": len(c), "draws": draws, "radius": radius})


def _hole_null(e: Encoding, quantile: float, **params: object) -> Mapping[str, float]:
    return {"null:held-out": round(1.0 - quantile, 12)}


_JUDGED: frozenset[Need] = frozenset({"decoder", "judge"})
_FITTED: frozenset[Need] = frozenset({"decoder", "judge", "train"})
_COUNT = 2000

validity_normal = Metric(
    name="validity.normal",
    compute=_validity,
    better="higher",
    bounds=(0.0, 1.0),
    unit="share",
    summary="share of decoded draws of N(0, I) that the judge accepts",
    source="latentbench",
    needs=_JUDGED,
    params={"sampler": "normal", "count": _COUNT},
    references=_anchored,
)

validity_gaussian = Metric(
    name="validity.gaussian",
    compute=_validity,
    better="higher",
    bounds=(0.0, 1.0),
    unit="share",
    summary="share of decoded draws of a Gaussian fitted to the training codes that the judge accepts",
    source="sampler: Ghosh et al. 2020",
    needs=_FITTED,
    params={"sampler": "gaussian", "count": _COUNT},
    references=_anchored,
)

validity_mixture = Metric(
    name="validity.mixture",
    compute=_validity,
    better="higher",
    bounds=(0.0, 1.0),
    unit="share",
    summary="share of decoded draws of a 10-component mixture fitted to the training codes that the judge accepts",
    source="sampler: Ghosh et al. 2020",
    needs=_FITTED,
    params={"sampler": "mixture", "count": _COUNT},
    references=_anchored,
)

valid_label_entropy = Metric(
    name="valid_label_entropy",
    compute=_label_entropy,
    better="higher",
    bounds=(0.0, 1.0),
    unit="share of ln(classes)",
    summary="entropy of the judged classes of valid N(0, I) samples; 0 = one class, 1 = all alike",
    source="latentbench",
    needs=_JUDGED,
    params={"sampler": "normal", "count": _COUNT},
    references=_real_entropy,
)

valid_label_tv = Metric(
    name="valid_label_tv",
    compute=_label_tv,
    better="lower",
    bounds=(0.0, 1.0),
    unit="total variation",
    summary="distance between the judged classes of valid N(0, I) samples and the training labels; 0 = same shares",
    source="latentbench",
    needs=_JUDGED,
    params={"sampler": "normal", "count": _COUNT},
    references=_real_tv,
)

_PRDC = {"sampler": "normal", "count": _COUNT, "k": 5}

precision = Metric(
    name="precision",
    compute=_score("precision"),
    better="higher",
    bounds=(0.0, 1.0),
    unit="share",
    summary="share of N(0, I) samples near some real test image, in the judge's features (k = 5)",
    source="Kynkaanniemi et al. 2019",
    needs=_JUDGED,
    params=_PRDC,
    references=_real_score("precision"),
)

recall = Metric(
    name="recall",
    compute=_score("recall"),
    better="higher",
    bounds=(0.0, 1.0),
    unit="share",
    summary="share of real test images near some N(0, I) sample, in the judge's features (k = 5)",
    source="Kynkaanniemi et al. 2019",
    needs=_JUDGED,
    params=_PRDC,
    references=_real_score("recall"),
)

density = Metric(
    name="density",
    compute=_score("density"),
    better="higher",
    bounds=(0.0, None),
    unit="ratio",
    summary="how many real neighbourhoods an N(0, I) sample lies in, over k = 5; above 1.5 = heaped up in the middle",
    source="Naeem et al. 2020",
    needs=_JUDGED,
    params=_PRDC,
    references=_real_score("density"),
)

coverage = Metric(
    name="coverage",
    compute=_score("coverage"),
    better="higher",
    bounds=(0.0, 1.0),
    unit="share",
    summary="share of real test images whose neighbourhood holds an N(0, I) sample, in the judge's features (k = 5)",
    source="Naeem et al. 2020",
    needs=_JUDGED,
    params=_PRDC,
    references=_real_score("coverage"),
)

_HOLE = {"k": 5, "quantile": 0.99, "codes": 10000, "held_out": 5000, "draws": 4000}

hole = Metric(
    name="hole",
    compute=_hole,
    better="lower",
    bounds=(0.0, 1.0),
    unit="share of prior mass",
    summary="share of N(0, I) farther from the training codes than 99 % of held-out codes are; .01 = none",
    source="latentbench",
    needs=frozenset({"train"}),
    params={"sampler": "normal", **_HOLE},
    references=_hole_null,
)

hole_gaussian = Metric(
    name="hole.gaussian",
    compute=_hole,
    better="lower",
    bounds=(0.0, 1.0),
    unit="share of prior mass",
    summary="share of the Gaussian fitted to the training codes farther from them than 99 % of held-out codes are",
    source="latentbench",
    needs=frozenset({"train"}),
    params={"sampler": "gaussian", **_HOLE},
    references=_hole_null,
)
