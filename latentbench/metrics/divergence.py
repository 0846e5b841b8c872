"""Divergence from the prior: what the posteriors pay, and which half of the bill is whose.

For ``q(z|x) = N(mu, diag s^2)`` the divergence splits into two halves,

    KL(q(z|x) || N(0, I)) = sum_d  mu_d^2 / 2  +  (s_d^2 - 1 - ln s_d^2) / 2,

and so do the ways to escape it: *far-apart means* (the first half large) and *punctual posteriors* (the second). A
Dirac (any autoencoder) pays without limit: it has no KL.

Of a model that was trained with another prior the KL is the one to that, E log q(z|x) - log p(z), estimated by one draw z an
image; it does not fall into halves.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from latentbench.core import CONTINUUM, LOG_VAR, PRIOR_DENSITY, STANDARD_PRIOR, Encoding, Metric, Undefined, Value

if TYPE_CHECKING:
    from jaxtyping import Float, Float64


def kl_parts(
    mu: Float[Tensor, "n d"], log_var: Float[Tensor, "n d"]
) -> tuple[Float64[Tensor, " d"], Float64[Tensor, " d"]]:
    """Both halves of the KL per dimension, in nats, averaged over images: ``E mu^2 / 2`` and
    ``E (s^2 - 1 - ln s^2) / 2``, each (d,) float64 and >= 0, for ``mu``, ``log_var`` (n, d).

    Kingma & Welling 2014, appendix B.
    """
    mu, log_var = mu.double(), log_var.double()
    means = mu.square().mean(0) / 2
    # expm1 keeps the digits of a nearly collapsed dimension, where s^2 - 1 and ln s^2 almost cancel.
    variances = (torch.expm1(log_var) - log_var).mean(0) / 2
    return means, variances.clamp(min=0.0)


def kl_of_each(mu: Float[Tensor, "n d"], log_var: Float[Tensor, "n d"]) -> Float64[Tensor, " n"]:
    """The KL of each image's posterior in nats, (n,) float64, for ``mu``, ``log_var`` (n, d); see `kl_parts`."""
    mu, log_var = mu.double(), log_var.double()
    return (mu.square() + torch.expm1(log_var) - log_var).sum(1) / 2


def kl_to_own(e: Encoding) -> Float64[Tensor, " n"]:
    """``log q(z|x) - log p(z)`` in nats, (n,) float64, of the encoding's one draw z for each image, p the model's own
    prior: the KL on average over draws; a single one may be below 0. Raises Undefined without a variance or a density."""
    if e.prior is None or e.prior.log_prob is None:
        raise Undefined(e.lack(PRIOR_DENSITY))
    mu, log_var, z = e.mu.double(), _log_var(e).double(), e.z.double()
    log_q = -0.5 * ((z - mu).square() * (-log_var).exp() + log_var + math.log(2 * math.pi)).sum(1)
    return log_q - e.prior.log_prob(e.z).double()


def _log_var(e: Encoding) -> Tensor:
    if e.log_var is None:
        raise Undefined(e.lack(LOG_VAR))
    return e.log_var


def _halves(e: Encoding) -> tuple[Tensor, Tensor]:
    return kl_parts(e.mu, _log_var(e))


def _summed(per_dimension: Tensor) -> Value:
    return Value(float(per_dimension.sum()), detail={"per_dimension": per_dimension.tolist()})


def _kl(e: Encoding) -> Value:
    if e.prior is not None:
        each = kl_to_own(e)
        error = float(each.std(correction=0)) / math.sqrt(len(each))
        return Value(max(0.0, float(each.mean())), detail={"draws": 1, "standard_error": error})
    means, variances = e.once(_halves)
    return _summed(means + variances)


def _kl_mean_part(e: Encoding) -> Value:
    return _summed(e.once(_halves)[0])


def _kl_variance_part(e: Encoding) -> Value:
    return _summed(e.once(_halves)[1])


def _kl_anchors(e: Encoding) -> Mapping[str, float]:
    """Posteriors that are all the prior."""
    nothing = torch.zeros_like(e.mu)
    means, variances = kl_parts(nothing, nothing)
    return {"null:collapsed": float((means + variances).sum())}


_LOG_VAR: Mapping[str, Any] = {
    "family": "posterior",
    "better": "none",
    "bounds": (0.0, None),
    "unit": "nats",
    "references": _kl_anchors,
    "expects": {"null:collapsed": (0.0, 1e-9)},
}

kl = Metric(
    name="kl",
    compute=_kl,
    needs=frozenset({CONTINUUM, LOG_VAR, PRIOR_DENSITY}),
    under_prior=True,
    summary="KL(q(z|x) || N(0, I)), summed over dimensions, mean over images; 0 = total collapse",
    source="Kingma & Welling 2014, appendix B",
    **_LOG_VAR,
    headline=("posterior",),
)

kl_mean_part = Metric(
    name="kl.mean_part",
    compute=_kl_mean_part,
    needs=frozenset({CONTINUUM, LOG_VAR, STANDARD_PRIOR}),
    summary="the half of the KL that the means pay, E mu^2 / 2; large = means far apart",
    source="Kingma & Welling 2014, appendix B, first half",
    **_LOG_VAR,
    headline=("posterior",),
)

kl_variance_part = Metric(
    name="kl.variance_part",
    compute=_kl_variance_part,
    needs=frozenset({CONTINUUM, LOG_VAR, STANDARD_PRIOR}),
    summary="the half of the KL that the variances pay, E (s^2 - 1 - ln s^2) / 2; large = punctual posteriors",
    source="Kingma & Welling 2014, appendix B, second half",
    **_LOG_VAR,
)
