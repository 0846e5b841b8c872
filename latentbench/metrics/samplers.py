"""Samplers: what "a point drawn from the prior" may mean, and the images such points decode to.

Three are tried on every model, because the sampler decides as much as the model does: the prior N(0, I) itself, a
full-covariance Gaussian and a mixture of 10 Gaussians, both fitted to the training split's codes (one draw of q(z|x)
an image; a plain autoencoder's means). A fourth is tried on request: a small flow trained on the same codes
(`latentbench.metrics.flow_matching`), the second stage that most latent spaces are made for. Of a wide latent, above `latentbench.geometry.principal.WIDE` dimensions, no d x d matrix is made: N(0, I) and
the mixture's components are diagonal, and the fitted Gaussian, full as ever, is drawn through the codes themselves. The standard normal noise behind them depends on the seed alone, so every
model is asked about the same draws.

A model may have been trained with *another prior* (`latentbench.core.Prior`). Then there is a fourth sampler, ``prior``,
and one rule for what a measure asks about:

    named by a sampler    validity.normal, .gaussian, .mixture, judge_frechet and judge_kid: that sampler, whatever the
                          model was trained with; validity.prior and judge_frechet.prior: the model's own
    of "the prior"        coverage, precision, recall, density, the labels of valid draws, uniqueness, novelty, the holes
                          and the distances of the codes from the prior (declared ``under_prior``): the prior that the
                          model was trained with, N(0, I) or its own (`trained_with`); the record says which
    closed forms          the halves of the KL and the variance law hold for N(0, I) alone: skipped for another prior
    of densities          elbo, nll.iw and kl take the prior's own density; skipped where it has none
    discrete codes        the prior is the autoregressive one that is fitted to the training codes (`code_prior`), since
                          that is what such models are drawn by; beside it ``marginal``, each position for itself; N(0, I)
                          and what is fitted to points have no meaning there
    a copier's choice     memorisation and data copying draw from the mixture, which finds what is stored wherever it
                          lies, and of a model with a prior of its own from that, where it shows more of a copy

From codes to pictures to the judge's word, each step is a plain function for `Encoding.once`: codes, decoded samples,
verdicts on them, their features. So ten measures of the same samples decode and judge them once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from latentbench.artifact_schema import AUTOREGRESSIVE, EVERY_SAMPLER, MARGINAL, OWN_SAMPLER, SAMPLERS
from latentbench.core import CONTINUUM, DECODER, JUDGE, OWN_PRIOR, TRAIN, Encoding, Need, Undefined, Verdict
from latentbench.geometry.neighbours import flat
from latentbench.metrics.code_prior import draw_points
from latentbench.metrics.decoding import decode, features, subsample, verdicts
from latentbench.metrics.flow_matching import Flow, draw_flow, fit_flow
from latentbench.metrics.mixtures import Mixture, draw, fit_gaussian, fit_mixture, standard_normal
from latentbench.randomness import randn

if TYPE_CHECKING:
    from jaxtyping import Float, Shaped

SAMPLE_COUNT = 2000
"""Samples that the metrics draw: one number, so that they share them."""
FLOW = "flow"
"""The sampler that is a flow."""
FLOW_CODES = 20_000
"""Training codes that a flow sees at most."""
FITTED: frozenset[Need] = frozenset({DECODER, JUDGE, TRAIN})
"""What judging the draws of a sampler takes that is fitted to the training codes."""
ALIKE = 1e-4
"""Samples whose features vary less than this share of the real images' are one image, not a distribution."""


def train_codes(e: Encoding, most: int) -> Float[Tensor, "n d"]:
    """At most ``most`` training codes (n, d): one draw of q(z|x) per image, the mean for a Dirac."""
    if e.train is None:
        raise Undefined(e.lack(TRAIN))
    return subsample(e.train.z, most, e.generator("codes"))


def trained_flow(e: Encoding) -> Flow:
    """The flow trained on the training codes, at most `FLOW_CODES` of them."""
    return fit_flow(e.once(train_codes, most=FLOW_CODES), e.generator("flow fit"))


def of_flow(e: Encoding) -> Mapping[str, Any]:
    """What a record says of the flow behind its draws: steps of training, codes it saw, and its time, which is this
    machine's and this moment's."""
    flow, codes = e.once(trained_flow), e.once(train_codes, most=FLOW_CODES)
    return {"steps": flow.steps, "codes": len(codes), "seconds": round(flow.seconds, 2)}


def trained_with(e: Encoding) -> str:
    """The sampler of the prior that the model was trained with: its own, where it has one, else N(0, I)."""
    return "normal" if e.prior is None else OWN_SAMPLER


def samplers_of(e: Encoding) -> tuple[str, ...]:
    """Every sampler that the model is drawn by, its own prior first."""
    if not CONTINUUM.met(e):
        return (OWN_SAMPLER, MARGINAL)
    return SAMPLERS if e.prior is None else (OWN_SAMPLER, *SAMPLERS)


def asked(e: Encoding, sampler: str) -> str:
    """The sampler that a measure of "the prior" asks about: in the place of N(0, I) the prior that the model was trained
    with."""
    return trained_with(e) if sampler == "normal" else sampler


def fitted(e: Encoding, sampler: str) -> Mixture:
    """What ``sampler`` (one of `SAMPLERS`) draws from. Raises ValueError for another name."""
    if sampler == "normal":
        return standard_normal(e.mu.shape[1])
    if sampler == "gaussian":
        return fit_gaussian(e.once(train_codes, most=5000))
    if sampler == "mixture":
        return fit_mixture(e.once(train_codes, most=5000), 10, e.generator("mixture fit"))
    raise ValueError(f"sampler: '{sampler}' is not one of {', '.join((*EVERY_SAMPLER, FLOW))}")


def drawn(e: Encoding, sampler: str, counts: Sequence[int], purpose: str, component: str) -> list[Tensor]:
    """Latent points (n, d) drawn by ``sampler`` (one of `EVERY_SAMPLER`, or `FLOW`), so many for each of ``counts``, float64 on the
    CPU but for a model's own prior. The noise depends on the seed and ``purpose`` alone, what is chosen besides on
    ``component``. Raises Undefined where the model has no prior of its own, ValueError where that gives no finite points,
    or for another sampler."""
    generator, pick = e.generator(purpose), e.generator(component)
    like = e.mu.double().cpu()
    if sampler in (MARGINAL, AUTOREGRESSIVE):
        noise = (randn((n, e.mu.shape[1]), generator, like) for n in counts)
        return [draw_points(e, some.to(e.mu), sampler == AUTOREGRESSIVE) for some in noise]
    if sampler == FLOW:
        flow = e.once(trained_flow)
        return [draw_flow(flow, randn((n, flow.sources), generator, like)) for n in counts]
    if sampler != OWN_SAMPLER:
        mixture = e.once(fitted, sampler=sampler)
        noise = (randn((n, mixture.sources), generator, mixture.mean) for n in counts)
        return [draw(mixture, some, pick) for some in noise]
    if e.prior is None:
        raise Undefined(e.lack(OWN_PRIOR))
    return [e.prior.draw(randn((n, e.mu.shape[1]), generator, like).to(e.mu), pick).detach() for n in counts]


def prior_codes(e: Encoding, sampler: str, count: int) -> Float[Tensor, "count d"]:
    """``count`` latent points (count, d) drawn by ``sampler``, from the same noise for every sampler and model."""
    return drawn(e, sampler, [count], "prior", "mixture component")[0].to(e.mu)


def prior_samples(e: Encoding, sampler: str, count: int) -> Float[Tensor, "count ..."]:
    """Raw decoded images (count, c, h, w) of `prior_codes`; of a conditional model under labels drawn from the training
    labels, or from those of the split where there are no others."""
    known = e.labels if e.train is None or e.train.labels is None else e.train.labels
    labels = None
    if e.decode_labelled is not None and known is not None:
        labels = known[torch.randint(len(known), (count,), generator=e.generator("prior labels")).to(known.device)]
    return decode(e, e.once(prior_codes, sampler=sampler, count=count), labels)


def judged_samples(e: Encoding, sampler: str, count: int) -> Verdict:
    """The judge's verdict on each of `prior_samples`; fields (count,)."""
    return verdicts(e, e.once(prior_samples, sampler=sampler, count=count))


def real_features(e: Encoding, count: int) -> Float[Tensor, "n f"]:
    """The judge's features (n, f) of at most ``count`` real images of the split."""
    return features(e, subsample(e.x, count, e.generator("real features")))


def train_features(e: Encoding, count: int) -> Float[Tensor, "n f"]:
    """The judge's features (n, f) of as many real training images as `real_features` has of the split's, or of all
    there are. The judge was trained on them."""
    if e.train is None:
        raise Undefined(e.lack(TRAIN))
    most = min(len(e.x), count)
    return features(e, subsample(e.train.x, most, e.generator("real against real")))


def sample_features(e: Encoding, sampler: str, count: int) -> Float[Tensor, "count f"]:
    """The judge's features (count, f) of `prior_samples`."""
    return features(e, e.once(prior_samples, sampler=sampler, count=count))


def alike(real: Shaped[Tensor, "n ..."], fake: Shaped[Tensor, "m ..."]) -> bool:
    """Whether ``fake`` (m, ...) is one image over and over: its features vary by less than `ALIKE` of the variance of
    ``real`` (n, ...)."""
    spread = [float(flat(f).var(0, correction=0).sum()) for f in (real, fake)]
    return spread[1] <= ALIKE * spread[0]


def anchor_images(e: Encoding, count: int) -> Mapping[str, Tensor]:
    """Samples that no model has a part in, at most ``count`` of each kind: real ones of the split, and the floors of their
    space (`latentbench.spaces`), of images noise, shuffled pixels, the mean (of the training split, where there is one),
    black, white and greys."""
    generator = e.generator("anchors")
    x = subsample(e.x, count, generator)
    return e.space.anchors(x, (e.x if e.train is None else e.train.x).mean(0, keepdim=True), generator)


def null_repeats(count: int) -> int:
    """How often a null value from ``count`` points is measured, to be averaged: small samples are cheap and noisy."""
    return max(1, round(2000 / max(1, count)))
