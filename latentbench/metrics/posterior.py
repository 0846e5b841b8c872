"""The posterior: why mu *and* sigma.

``q(z|x) = N(mu, diag s^2)``; a plain autoencoder is a Dirac at mu (``log_var`` None): s = 0. A dimension is *active*
when its means move more than its noise; the others are *collapsed* and say nothing about x. Of the active ones: are
the posteriors *points*, narrow beside the cloud of their means? Do they overlap? Do they make up the prior together?

What each measure reads on posteriors whose answer is known stands beside it: all equal to the prior; points; and such
as make up the prior together.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from latentbench.core import CONTINUUM, STANDARD_PRIOR, WIDTHS, Encoding, Metric, Phrase, Undefined, Value
from latentbench.geometry.neighbours import blocks
from latentbench.metrics.decoding import subsample
from latentbench.randomness import randn

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Float64

ACTIVE = 0.01
"""Share of a dimension's variance that its means must carry for it to count as active (Burda et al. 2016)."""
SMALLEST = -600.0
"""The smallest log-variance told from others: a posterior as narrow as exp(-300) is a point."""
HELD = 128
"""How much smaller than a block of distances one of overlaps is: it stays in a cache while the dimensions pass."""


def moments(
    mu: Float[Tensor, "n d"], log_var: Float[Tensor, "n d"] | None
) -> tuple[Float64[Tensor, " d"], Float64[Tensor, " d"]]:
    """Per dimension: the variance of the means, ``Var(mu_d)``, and the mean noise variance, ``E s_d^2`` (0 for a
    Dirac); each (d,) float64."""
    mu = mu.double()
    spread = mu.var(0, correction=0)
    noise = torch.zeros_like(spread) if log_var is None else log_var.double().exp().mean(0)
    return spread, noise


def active(
    mu: Float[Tensor, "n d"], log_var: Float[Tensor, "n d"] | None, threshold: float = ACTIVE
) -> Bool[Tensor, " d"]:
    """Which dimensions carry information: (d,) bool, for ``mu`` (n, d) and ``log_var`` (n, d) or None.

    ``Var(mu_d) / (Var(mu_d) + E s_d^2) > threshold``, which no rescaling of the latent changes. A Dirac has no noise
    to compare with: there a dimension is active where its variance exceeds ``threshold`` of the largest one.
    """
    spread, noise = moments(mu, log_var)
    whole = spread + noise if log_var is not None else spread.max().expand_as(spread)
    return spread > threshold * whole


def punctuality(mu: Float[Tensor, "n d"], log_var: Float[Tensor, "n d"] | None) -> float:
    """Median over active dimensions of ``E[s_d] / sd(mu_d)``, the mean of the middle two where they are even in number:
    0 = points (any autoencoder), about 1 = posteriors as wide as the cloud of their means. Not the mean: one dimension
    that is barely active, sd(mu) next to nothing, would be all of it. Raises Undefined where no dimension is active."""
    return float(relative_widths(mu, log_var).quantile(0.5))


def relative_widths(mu: Float[Tensor, "n d"], log_var: Float[Tensor, "n d"] | None) -> Float64[Tensor, " active"]:
    """``E[s_d] / sd(mu_d)`` of each active dimension, (active,) float64. Raises Undefined where none is."""
    on = _some_active(mu, log_var)
    return (widths(mu, log_var) / mu.double().std(0, correction=0))[on]


def widths(mu: Float[Tensor, "n d"], log_var: Float[Tensor, "n d"] | None) -> Float64[Tensor, " d"]:
    """``E[s_d]`` per dimension, (d,) float64; 0 for a Dirac."""
    if log_var is None:
        return torch.zeros(mu.shape[1], dtype=torch.float64, device=mu.device)
    return (0.5 * log_var.double()).exp().mean(0)


def variance_sum(mu: Float[Tensor, "n d"], log_var: Float[Tensor, "n d"] | None) -> Float64[Tensor, " d"]:
    """``E[s_d^2] + Var(mu_d)`` per dimension, (d,) float64: the variance of the aggregate posterior, 1 where it
    matches N(0, I), as it does at an optimum of the linear VAE (Lucas et al. 2019)."""
    spread, noise = moments(mu, log_var)
    return spread + noise


def bhattacharyya_overlap(mu: Float[Tensor, "n d"], log_var: Float[Tensor, "n d"] | None) -> float:
    """Mean over posteriors of their largest Bhattacharyya coefficient with another one, in [0, 1]: 0 = isolated,
    1 = all the same.

    ``BC = prod_d sqrt(2 s_d t_d / (s_d^2 + t_d^2)) exp(-(mu_d - nu_d)^2 / (4 (s_d^2 + t_d^2)))`` for
    N(mu, s^2), N(nu, t^2) (Bhattacharyya 1943). Diracs share 1 where their means coincide, else 0. It grows with the
    number of posteriors, (n, d) here. Raises Undefined for fewer than two.
    """
    if len(mu) < 2:
        raise Undefined("overlap needs two posteriors, there is {n}", "undefined.overlap_posteriors", n=len(mu))
    if log_var is None:
        _, group, size = torch.unique(mu, dim=0, return_inverse=True, return_counts=True)
        return float((size[group] > 1).double().mean())
    mu, variance = mu.double(), log_var.double().clamp(min=SMALLEST).exp()
    largest = torch.full((len(mu),), -torch.inf, dtype=torch.float64, device=mu.device)
    for rows in blocks(len(mu), HELD * len(mu)):
        others = slice(rows.start, len(mu))  # the coefficient is symmetric: half of the pairs tell all
        log_bc = _log_coefficients(mu[rows], variance[rows], mu[others], variance[others])
        log_bc.diagonal().fill_(-torch.inf)
        largest[rows] = torch.maximum(largest[rows], log_bc.amax(1))
        largest[others] = torch.maximum(largest[others], log_bc.amax(0))
    return float(largest.exp().clamp(max=1.0).mean())


def _log_coefficients(mu: Tensor, s2: Tensor, nu: Tensor, t2: Tensor) -> Tensor:
    """Logarithms (n, m) of the Bhattacharyya coefficients of the Gaussians N(mu, s2) (n, d) with N(nu, t2) (m, d), all float64.

    Dimension by dimension, so that no (n, m, d) is held, with one logarithm at the end: of the product over d of
    ``((s^2 + t^2) / 2)^2 / (s^2 t^2)``, exactly 1 where the widths are equal. A product beyond float64 is a
    coefficient of 0.
    """
    apart = mu.new_zeros(len(mu), len(nu))
    spread = torch.ones_like(apart)
    for m, s, n, t in zip(mu.T, s2.T, nu.T, t2.T, strict=True):
        both = s[:, None] + t
        apart.add_((m[:, None] - n).square_().div_(both))
        spread.mul_(both / (2 * s[:, None])).mul_(both.div_(2 * t))
    return spread.log_().add_(apart).div_(-4)


def _some_active(mu: Tensor, log_var: Tensor | None) -> Tensor:
    on = active(mu, log_var)
    if not on.any():
        raise Undefined("no latent dimension is active: the posterior is collapsed", "undefined.collapsed")
    return on


def _active_units(e: Encoding, threshold: float) -> Value:
    spread, noise = moments(e.mu, e.log_var)
    on = active(e.mu, e.log_var, threshold)
    detail = {"active": on.tolist(), "mean_variance": spread.tolist(), "noise_variance": noise.tolist()}
    # What a diagnosis of each dimension rests on, for points too: E[s] and what its means cost, E mu^2 / 2.
    detail |= {"sigma": widths(e.mu, e.log_var).tolist(), "mean_part": (e.mu.double().square().mean(0) / 2).tolist()}
    return Value(float(on.sum()), detail=detail)


def _active_units_burda(e: Encoding, threshold: float) -> float:
    spread, _ = moments(e.mu, None)
    return float((spread > threshold).sum())


def _punctual_index(e: Encoding) -> Value:
    sigma, spread = widths(e.mu, e.log_var), e.mu.double().std(0, correction=0)
    on, mean = active(e.mu, e.log_var), float(relative_widths(e.mu, e.log_var).mean())
    detail = {"sigma": sigma.tolist(), "sd": spread.tolist(), "active": on.tolist(), "mean": mean}
    return Value(punctuality(e.mu, e.log_var), detail=detail)


def _overlap(e: Encoding, points: int) -> Value:
    rows = subsample(torch.arange(len(e.mu)), points, e.generator("overlap")).to(e.mu.device)
    log_var = None if e.log_var is None else e.log_var[rows]
    return Value(bhattacharyya_overlap(e.mu[rows], log_var), detail={"posteriors": len(rows)})


def _variance_law(e: Encoding) -> Value:
    on = _some_active(e.mu, e.log_var)
    each = variance_sum(e.mu, e.log_var)
    return Value(float(each[on].mean()), detail={"per_dimension": each.tolist(), "active": on.tolist()})


# --- anchors: posteriors whose values are known, as many of them and in as many dimensions as this run's ---


def _collapsed(e: Encoding) -> tuple[Tensor, Tensor]:
    """Posteriors that are all the prior: total collapse."""
    return torch.zeros_like(e.mu, dtype=torch.float64), torch.zeros_like(e.mu, dtype=torch.float64)


def _matched(e: Encoding) -> tuple[Tensor, Tensor]:
    """Posteriors that say something and together make up the prior: mu ~ N(0, I / 2), s^2 = 1 / 2."""
    mu = randn(e.mu.shape, e.generator("posterior anchors"), e.mu).double() * math.sqrt(0.5)
    return mu, torch.full_like(mu, math.log(0.5))


def _active_anchors(e: Encoding, threshold: float) -> Mapping[str, float]:
    count = {name: active(*of(e), threshold).sum() for name, of in _KNOWN.items()}
    return {name: float(units) for name, units in count.items()}


def _active_anchors_burda(e: Encoding, threshold: float) -> Mapping[str, float]:
    count = {name: (moments(*of(e))[0] > threshold).sum() for name, of in _KNOWN.items()}
    return {name: float(units) for name, units in count.items()}


def _punctual_anchors(e: Encoding) -> Mapping[str, float]:
    mu, log_var = _matched(e)
    return {"null:points": punctuality(mu, torch.full_like(mu, -40.0)), "null:matched": punctuality(mu, log_var)}


def _overlap_anchors(e: Encoding, points: int) -> Mapping[str, float]:
    some = [part[:points] for part in (*_collapsed(e), _matched(e)[0])]
    return {
        "null:collapsed": bhattacharyya_overlap(some[0], some[1]),
        "null:points": bhattacharyya_overlap(some[2], None),
    }


def _law_anchors(e: Encoding) -> Mapping[str, float]:
    return {"null:matched": float(variance_sum(*_matched(e)).mean())}


_KNOWN = {"floor:collapsed": _collapsed, "ceiling:matched": _matched}
active_units = Metric(
    name="active_units",
    family="posterior",
    needs=frozenset({CONTINUUM, WIDTHS}),
    compute=_active_units,
    better="higher",
    bounds=(0.0, None),
    unit="dimensions",
    least=0.5,
    summary="latent dimensions whose means carry more than 1 % of the variance; without a variance, more than 1 % of "
    "the largest dimension's",
    source="after Burda et al. 2016, made scale-free",
    params={"threshold": ACTIVE},
    references=_active_anchors,
    expects={"floor:collapsed": (0.0, 0.0)},
    headline=("posterior",),
)

active_units_burda = Metric(
    name="active_units.burda",
    family="posterior",
    compute=_active_units_burda,
    better="higher",
    bounds=(0.0, None),
    unit="dimensions",
    least=0.5,
    summary="latent dimensions with Var(mu) > .01, as published (depends on the latent's scale)",
    source="Burda et al. 2016, section 5.2",
    needs=frozenset({CONTINUUM}),
    params={"threshold": ACTIVE},
    references=_active_anchors_burda,
    expects={"floor:collapsed": (0.0, 0.0)},
)

punctual_index = Metric(
    name="punctual_index",
    family="posterior",
    needs=frozenset({CONTINUUM, WIDTHS}),
    compute=_punctual_index,
    better="none",
    bounds=(0.0, None),
    unit="ratio",
    summary="median over active dimensions of E[s] / sd(mu); 0 = punctual posteriors (any autoencoder)",
    source="latentbench",
    references=_punctual_anchors,
    expects={"null:points": (0.0, 1e-6), "null:matched": (0.5, 2.5)},
    headline=("posterior",),
)

overlap = Metric(
    name="overlap",
    family="posterior",
    needs=frozenset({CONTINUUM, WIDTHS}),
    compute=_overlap,
    better="none",
    bounds=(0.0, 1.0),
    unit="Bhattacharyya coefficient",
    summary="mean over images of the largest overlap of its posterior with another's; 0 = isolated, 1 = collapsed",
    source="coefficient: Bhattacharyya 1943",
    params={"points": 1000},
    references=_overlap_anchors,
    expects={"null:collapsed": (1.0 - 1e-9, 1.0), "null:points": (0.0, 0.0)},
    phrase=Phrase(
        "overlap of the posteriors",
        "lets its posteriors overlap more",
        "lets its posteriors overlap less",
    ),
)

variance_law = Metric(
    name="variance_law",
    family="posterior",
    needs=frozenset({CONTINUUM, WIDTHS, STANDARD_PRIOR}),
    compute=_variance_law,
    better="target",
    target=1.0,
    bounds=(0.0, None),
    unit="variance",
    least=0.05,
    summary="E[s^2] + Var(mu), mean over active dimensions; 1 where the aggregate posterior has the prior's variance",
    source="Lucas et al. 2019 (an optimum of the linear VAE)",
    references=_law_anchors,
    expects={"null:matched": (0.4, 1.8)},
)
