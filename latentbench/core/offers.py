"""What a model may say of itself beyond encoding and decoding: its prior, its likelihood, its loss, its codes.

Symbols as in `latentbench.core`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor


class Prior(NamedTuple):
    """p(z), the prior that a model was trained with, where it is not N(0, I). ``draw(noise, generator)`` maps standard
    normal ``noise`` (m, d) and a CPU generator, for discrete choices, to latent points (m, d): the same arguments give the
    same points. ``log_prob(z)`` maps latent points (m, d) to log p(z) in nats, (m,); None where there is no density."""

    draw: Callable[[Tensor, torch.Generator], Tensor]
    log_prob: Callable[[Tensor], Tensor] | None = None


class Likelihood(NamedTuple):
    """p(x|z) of a generative model. ``log_prob(x, z)`` maps images (n, c, h, w) and latent points (n, d) to log p(x|z)
    in nats, (n,), summed over pixels, whatever weights the training loss had; ``family`` names the distribution
    (``gaussian``, ``bernoulli``; empty: unnamed), since values of different families do not compare."""

    family: str
    log_prob: Callable[[Tensor, Tensor], Tensor]


class GaussianElbo(NamedTuple):
    """The loss -log N(x; g(z), s^2 I) + ``beta`` KL(q(z|x) || N(0, I)), ``beta`` >= 0; ``variance``: the fixed s^2 > 0, None
    where it is learned. All that a forecast of the dimensions in use asks of a model."""

    beta: float
    variance: float | None


class Codebook(NamedTuple):
    """What a discrete latent is: at each of ``parts`` positions one of ``size`` codes, ``parts``, ``size`` >= 1.

    ``codes`` reads latent points (n, d), such as posterior means, as int64 (n, parts) in [0, size); ``points`` gives the
    latent points (n, d) of such codes. ``points(codes(z))`` is z for whatever the model encodes to; of codes whose points
    are equal any may be read."""

    size: int
    parts: int
    codes: Callable[[Tensor], Tensor]
    points: Callable[[Tensor], Tensor]
