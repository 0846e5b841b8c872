"""Likelihood: how probable are held-out images under the model, log p(x) = log int p(x|z) p(z) dz?

Draws z_1 ... z_k from q(z|x) have importance weights w = p(x|z) p(z) / q(z|x), whose mean is p(x). Two lower bounds on
log p(x) follow, equal where q is the exact posterior and every weight is p(x) itself:

    ELBO(x) = E log w  <=  E log (1/k) sum_i w_i = IW_k(x)  <=  log p(x)

(Kingma & Welling 2014; Burda et al. 2016). Both are made of the same draws, so their order holds to the last digit.
The weights are those of the model as a generative model: the weight that training put on the KL, a warm-up of it or
half of it left out change nothing here. p(z) is the prior that the model was trained with: N(0, I), or its own where that
has a density.

Nats of different likelihoods do not compare: a Gaussian's is a density of continuous pixels and may well be positive,
a Bernoulli's is a probability of binary ones. Each record names its family. A point (any autoencoder) has no q to draw
from and an error instead of a likelihood: it has neither bound.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from latentbench.core import CONTINUUM, LIKELIHOOD, LOG_VAR, PRIOR_DENSITY, Encoding, Metric, Undefined, Value
from latentbench.geometry.principal import WIDE
from latentbench.metrics.decoding import CHUNK, subsample
from latentbench.randomness import randn

if TYPE_CHECKING:
    from jaxtyping import Float, Float64

HELD = 2_000_000
"""Coordinates of a wide latent's draws held at once."""


def importance_weights(
    x: Float[Tensor, "n ..."],
    mu: Float[Tensor, "n d"],
    log_var: Float[Tensor, "n d"],
    noise: Float[Tensor, "k n d"],
    log_prob: Callable[[Tensor, Tensor], Tensor],
    log_prior: Callable[[Tensor], Tensor] | None = None,
) -> Float64[Tensor, "k n"]:
    """``log w = log p(x|z) + log p(z) - log q(z|x)`` in nats, (k, n) float64, of the draws ``z = mu + s noise``.

    ``x`` (n, c, h, w); ``mu``, ``log_var`` (n, d); ``noise`` (k, n, d) standard normal; ``log_prob`` maps images and
    latent points to log p(x|z), (m,), ``log_prior`` latent points to log p(z), (m,); None: N(0, I). Burda et al. 2016,
    section 3.
    """
    z = mu + (0.5 * log_var).exp() * noise
    codes = z.flatten(0, 1)
    # The normalisers of N(0, I) and q(z|x) cancel but for the widths.
    log_ratio = 0.5 * (noise.double().square() + log_var.double() - z.double().square()).sum(-1)
    if log_prior is not None:
        log_normal = -0.5 * (codes.double().square() + math.log(2 * math.pi)).sum(1)
        other = torch.cat([log_prior(some).double() for some in codes.split(CHUNK)])
        log_ratio = log_ratio + (other - log_normal).view_as(log_ratio)
    pairs = torch.arange(z[..., 0].numel(), device=x.device)
    parts = [log_prob(x[rows % len(x)], codes[rows]).double() for rows in pairs.split(CHUNK)]
    return torch.cat(parts).view_as(log_ratio) + log_ratio


def evidence_bound(log_weights: Float[Tensor, "k n"]) -> Float[Tensor, " n"]:
    """The ELBO of each image, mean over draws, (n,) nats, from log-weights (k, n)."""
    return log_weights.mean(0)


def importance_bound(log_weights: Float[Tensor, "k n"]) -> Float[Tensor, " n"]:
    """``IW_k``, log of the mean weight of each image, (n,) nats, from log-weights (k, n); rises with k to log p(x)."""
    return torch.logsumexp(log_weights, 0) - math.log(len(log_weights))


def effective_share(log_weights: Float[Tensor, "k n"]) -> float:
    """``(sum w)^2 / (k sum w^2)``, mean over images, in (0, 1]: which share of the k draws counts. 1 = q is the exact
    posterior; near 1 / k a single draw carries the bound, which then lies far below log p(x). Kong 1992."""
    log_share = 2 * torch.logsumexp(log_weights, 0) - torch.logsumexp(2 * log_weights, 0)
    return float(log_share.exp().mean() / len(log_weights))


def log_weights(e: Encoding, images: int, draws: int) -> Tensor:
    """`importance_weights` of ``draws`` draws for each of at most ``images`` images of the split: the same images and
    the same noise for every model. Raises Undefined without a likelihood or a variance."""
    if e.likelihood is None or e.log_var is None:
        raise Undefined(e.absent(frozenset({LIKELIHOOD, LOG_VAR})))
    prior = None if e.prior is None else e.prior.log_prob
    if e.prior is not None and prior is None:
        raise Undefined(e.lack(PRIOR_DENSITY))
    rows = subsample(torch.arange(len(e.x)), images, e.generator("likelihood images")).to(e.mu.device)
    generator, d = e.generator("likelihood draws"), e.mu.shape[1]
    together = draws if d <= WIDE else max(1, HELD // (len(rows) * d))
    parts = []
    for first in range(0, draws, together):
        shape = min(together, draws - first), len(rows), d
        noise = randn(shape, generator, e.mu.double()).to(e.mu)
        parts.append(importance_weights(e.x[rows], e.mu[rows], e.log_var[rows], noise, e.likelihood.log_prob, prior))
    return torch.cat(parts)


def _value(e: Encoding, each: Tensor, weights: Tensor) -> Value:
    detail = {
        "likelihood": e.likelihood.family if e.likelihood else "",
        "images": weights.shape[1],
        "standard_error": float(each.std(correction=0)) / math.sqrt(len(each)),
        "effective_share": effective_share(weights),
    }
    return Value(float(each.mean()), detail=detail)


def _elbo(e: Encoding, images: int, draws: int) -> Value:
    weights = e.once(log_weights, images=images, draws=draws)
    return _value(e, evidence_bound(weights), weights)


def _nll(e: Encoding, images: int, draws: int) -> Value:
    weights = e.once(log_weights, images=images, draws=draws)
    return _value(e, -importance_bound(weights), weights)


_BOUND: Mapping[str, Any] = {
    "family": "reconstruction",
    "bounds": (None, None),
    "unit": "nats per image",
    "least": 1.0,
    "needs": frozenset({CONTINUUM, LIKELIHOOD, LOG_VAR, PRIOR_DENSITY}),
    "under_prior": True,
    "params": {"images": 1000, "draws": 50},
}

elbo = Metric(
    name="elbo",
    compute=_elbo,
    better="higher",
    summary="lower bound on log p(x), KL at weight 1; a Gaussian density, so it may be positive, or a Bernoulli "
    "probability: the two do not compare",
    source="Kingma & Welling 2014",
    **_BOUND,
)

nll_iw = Metric(
    name="nll.iw",
    compute=_nll,
    better="lower",
    summary="-log p(x), at most this: importance-weighted bound of 50 draws; Gaussian and Bernoulli do not compare",
    source="Burda et al. 2016",
    **_BOUND,
)
