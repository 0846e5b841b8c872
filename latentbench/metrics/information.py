"""Information: how much does a draw of q(z|x) tell about which image it came from?

    I(x; z) = E_x E_{z ~ q(z|x)} [ log q(z|x) - log q(z) ],    q(z) = (1/n) sum_j q(z|x_j),

with the aggregate posterior q(z) taken over all n images, not over a batch. In nats between 0 (total collapse: z is
noise) and ln n (isolated posteriors: every image can be told from every other). Near ln n it only says how many images
there were: the number is then *saturated* and bounds the information from below.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from latentbench.core import CONTINUUM, LOG_VAR, Encoding, Metric, Undefined, Value
from latentbench.geometry.neighbours import blocks
from latentbench.metrics.decoding import subsample
from latentbench.randomness import randn

if TYPE_CHECKING:
    from jaxtyping import Float, Float64

SATURATED = 0.95
"""Share of ln n above which the estimate is said to be saturated."""
CANCELLATION = 1e10
"""Largest square, in units of a posterior's variance, that may cancel in float64: it leaves an error of 1e-5 nats."""


def log_densities(
    z: Float[Tensor, "m d"], mu: Float[Tensor, "n d"], log_var: Float[Tensor, "n d"]
) -> Float64[Tensor, "m n"]:
    """``log N(z_i; mu_j, s_j^2) + d/2 ln 2 pi``, (m, n) float64, for ``z`` (m, d) and ``mu``, ``log_var`` (n, d).

    By matrix products, or a dimension at a time where posteriors are so narrow that the products would cancel.
    """
    z, mu, log_var = z.double(), mu.double(), log_var.double()
    centre, weight = mu.mean(0), torch.exp(-log_var)
    z, mu = z - centre, mu - centre
    reach = (z.abs().amax(0) + mu.abs().amax(0)).square()
    if float((reach * weight.amax(0)).amax()) < CANCELLATION:
        level = -0.5 * (mu.square() * weight + log_var).sum(1)
        return torch.addmm(level, torch.cat([z.square(), z], 1), torch.cat([-0.5 * weight, mu * weight], 1).T)
    log_density = (-0.5 * log_var.sum(1)).repeat(len(z), 1)
    for k in range(z.shape[1]):
        log_density.addcmul_((z[:, k : k + 1] - mu[:, k]).square_(), weight[:, k].expand(len(z), -1), value=-0.5)
    return log_density


def mutual_information(mu: Float[Tensor, "n d"], log_var: Float[Tensor, "n d"], noise: Float[Tensor, "n d"]) -> float:
    """``I(x; z)`` in nats, in [0, ln n], of posteriors ``mu``, ``log_var`` (n, d), one draw ``z = mu + s noise`` each;
    ``noise`` (n, d) standard normal. Hoffman & Johnson 2016, over all n instead of a batch."""
    mu, log_var, noise = mu.double(), log_var.double(), noise.double()
    n = len(mu)
    z = mu + (0.5 * log_var).exp() * noise
    own = -0.5 * (noise.square() + log_var).sum(1)
    total = torch.zeros((), dtype=torch.float64, device=mu.device)
    for rows in blocks(n, 8 * n):  # smaller blocks than memory asks for: they stay in the cache
        log_q = log_densities(z[rows], mu, log_var)
        log_q[torch.arange(rows.stop - rows.start), torch.arange(rows.start, rows.stop)] = own[rows]
        most = log_q.amax(1, keepdim=True)
        # Beside the largest, exp(-700) is nothing; the exponentials below it underflow, which costs 5 times the rest.
        log_sum = log_q.sub_(most).clamp_(min=-700.0).exp_().sum(1).log() + most.squeeze(1)
        total += (own[rows] - log_sum).sum()
    # A sampling error below 0 says no more than 0 does.
    return min(max(float(total) / n + math.log(n), 0.0), math.log(n))


def _mutual_information(e: Encoding, images: int) -> Value:
    if e.log_var is None:
        raise Undefined(e.absent(frozenset({LOG_VAR})))
    rows = subsample(torch.arange(len(e.mu)), images, e.generator("information images")).to(e.mu.device)
    noise = randn((len(rows), e.mu.shape[1]), e.generator("information draws"), e.mu.double())
    estimate, ceiling = mutual_information(e.mu[rows], e.log_var[rows], noise), math.log(len(rows))
    return Value(
        estimate, detail={"images": len(rows), "ceiling": ceiling, "saturated": estimate > SATURATED * ceiling}
    )


def _anchors(e: Encoding, images: int) -> Mapping[str, float]:
    """The estimator on posteriors that are all the prior, and the most it can say of so many images."""
    n = min(images, len(e.mu))
    noise = randn((min(n, 1000), e.mu.shape[1]), e.generator("information anchors"), e.mu)
    nothing = torch.zeros_like(noise)
    return {"null:collapsed": mutual_information(nothing, nothing, noise), "ceiling:isolated": math.log(n)}


information = Metric(
    name="mutual_information",
    family="posterior",
    compute=_mutual_information,
    better="none",
    bounds=(0.0, None),
    unit="nats",
    summary="what a draw of q(z|x) tells about its image; 0 = total collapse, ln(images) = isolated posteriors, and "
    "above 95 % of that saturated: only a lower bound",
    source="Hoffman & Johnson 2016",
    needs=frozenset({CONTINUUM, LOG_VAR}),
    params={"images": 10000},
    references=_anchors,
    expects={"null:collapsed": (0.0, 1e-6)},
)
