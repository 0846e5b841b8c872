"""Closed forms of the linear VAE, computed from the data's own covariance: what training must come to.

With x = W z + b + noise of fixed variance s0^2, prior N(0, I_q), KL weight beta and the eigenvalues lambda_1 >= ... of
the covariance of the training images, every optimum of the linear VAE is that of probabilistic PCA with noise variance
t = beta s0^2 (Tipping & Bishop 1999; Lucas et al. 2019): in the coordinates of the principal components, for i <= q,

    lambda_i > t     s_i^2 = t / lambda_i,  Var(mu_i) = 1 - t / lambda_i,  KL_i = ln(lambda_i / t) / 2
    lambda_i <= t    collapsed: s_i = 1, mu_i = 0, KL_i = 0

so the variance law s_i^2 + Var(mu_i) = 1 holds in every dimension, and a dimension collapses as soon as t passes its
eigenvalue. Dropping a half of the KL removes the optimum altogether. Let w_i be the length of the decoder's column i:

    no KL            the loss grows with s_i^2 w_i^2 / (2 s0^2) only: s_i -> 0 at once
    mean half only   the same: nothing opposes s_i -> 0
    variance half    mu_i -> c mu_i, w_i -> w_i / c leaves the error as it is and makes s_i w_i smaller: c -> infinity,
                     Var(mu_i) grows without bound
"""

from __future__ import annotations

import math
from collections.abc import Sequence


def kl(eigenvalues: Sequence[float], latent_dim: int, variance: float) -> list[float]:
    """KL of each of ``latent_dim`` dimensions in nats, >= 0, falling, for eigenvalues in falling order and the implied
    decoder variance t = beta s0^2 > 0."""
    used = list(eigenvalues[:latent_dim]) + [0.0] * (latent_dim - len(eigenvalues))
    return [0.5 * math.log(value / variance) if value > variance else 0.0 for value in used]


def active(eigenvalues: Sequence[float], latent_dim: int, variance: float) -> int:
    """How many of ``latent_dim`` dimensions stay in use: #{lambda_i > t}."""
    return sum(value > variance for value in eigenvalues[:latent_dim])
