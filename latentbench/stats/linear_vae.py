"""Closed forms of the linear VAE, computed from the data's own covariance: what training must come to.

With x = W z + b + noise of variance s^2 in each of D values, prior N(0, I_d), KL weight beta and the eigenvalues
lambda_1 >= lambda_2 >= ... of the covariance of the training samples, every optimum of the linear VAE of *fixed* s^2 is that of
probabilistic PCA with noise variance t = beta s^2 (Tipping & Bishop 1999; Lucas et al. 2019): in the coordinates of the
principal components, for i <= d,

    lambda_i > t     sigma_i^2 = t / lambda_i,  Var(mu_i) = 1 - t / lambda_i,  KL_i = ln(lambda_i / t) / 2
    lambda_i <= t    collapsed: sigma_i = 1, mu_i = 0, KL_i = 0

so the variance law sigma_i^2 + Var(mu_i) = 1 holds in every dimension, and a dimension collapses as soon as t passes its
eigenvalue. Dropping a half of the KL removes the optimum altogether. Let w_i be the length of the decoder's column i:

    no KL            the loss grows with sigma_i^2 w_i^2 / (2 s^2) only: sigma_i -> 0 at once
    mean half only   the same: nothing opposes sigma_i -> 0
    variance half    mu_i -> c mu_i, w_i -> w_i / c leaves the error as it is and makes sigma_i w_i smaller: c -> infinity,
                     Var(mu_i) grows without bound

Where s^2 is *learned* it settles where it agrees with what it leaves over. Put the optimum above into the loss: a kept
direction costs beta / 2 (its error t, over 2 s^2) and a KL of ln(lambda_i / t) / 2, a lost one its variance, so that

    L(s^2) = D/2 ln s^2 + sum_kept beta/2 (1 + ln(lambda_i / (beta s^2))) + sum_lost lambda_j / (2 s^2)
    2 dL / d ln s^2 = D - beta k - R_k / s^2,     k = how many are kept,  R_k = sum of the lost eigenvalues

The derivative is continuous (where lambda_i = beta s^2 a direction changes sides, beta on both) and rises with s^2: L is
convex in ln s^2, and its one minimum is at the k that agrees with itself,

    s^2 = R_k / (D - beta k)     with     lambda_k > beta s^2 >= lambda_{k+1}  (the latter for k < d).

With beta = 1 that is probabilistic PCA's own: the mean of the D - k lost eigenvalues. As beta k nears D nothing pays for the
KL any more; a k of D / beta or more is never the optimum. Where nothing is lost (R_k = 0) s^2 falls to 0 and all stay.

A network with hidden layers bends its sheet and need not obey any of this. What the count of the linear model, used as a
forecast for such a network, is worth has been measured (`hit_rate`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

RATES = Path(__file__).with_name("forecast_rates.json")
"""What came of forecasts for networks with hidden layers; ``benchmarks/forecast.py`` writes it."""
WITHIN = 1
"""Dimensions by which a forecast may miss and still be right."""


class Forecast(NamedTuple):
    """How many of ``latent_dim`` dimensions are to stay in use, ``active``, and the implied decoder variance t = beta s^2 that it
    rests on, in squared units of the data. ``linear``: of a linear model, for which it is the algebra's own answer."""

    active: int
    latent_dim: int
    variance: float
    linear: bool = False


class HitRate(NamedTuple):
    """How often a forecast for networks with hidden layers came within `WITHIN` dimensions: ``rate`` in [0, 1] with its 95 %
    interval (Wilson 1927) from ``low`` to ``high``, over ``cells``, each a data set, a beta and a way to the variance, its
    seeds averaged; ``error``: forecast minus outcome, its mean over cells, in dimensions; ``fewer_rate``: the rate in those
    ``fewer_cells`` in which the forecast was less than all dimensions (None: in none); ``latent_dim`` of all of them."""

    rate: float
    low: float
    high: float
    error: float
    cells: int
    fewer_rate: float | None
    fewer_cells: int
    latent_dim: int
    datasets: tuple[str, ...]


def kl(eigenvalues: Sequence[float], latent_dim: int, variance: float) -> list[float]:
    """KL of each of ``latent_dim`` dimensions in nats, >= 0, falling, for eigenvalues in falling order and the implied
    decoder variance t = beta s^2 > 0."""
    used = list(eigenvalues[:latent_dim]) + [0.0] * (latent_dim - len(eigenvalues))
    return [0.5 * math.log(value / variance) if value > variance else 0.0 for value in used]


def active(eigenvalues: Sequence[float], latent_dim: int, variance: float) -> int:
    """How many of ``latent_dim`` dimensions stay in use: #{lambda_i > t}, for eigenvalues in falling order, t = beta s^2 >= 0."""
    return sum(1 for value in eigenvalues[:latent_dim] if value > variance)


def learned_variance(
    eigenvalues: Sequence[float], total: float, values: int, latent_dim: int, beta: float, least: float = 0.0
) -> float:
    """The decoder variance s^2 at which a linear VAE that learns it settles, in squared units of the data, >= ``least``.

    ``eigenvalues``: the largest, in falling order, at least ``latent_dim`` of them unless there are no more; ``total``: the sum
    of all; ``values``: D, how many values a sample has; ``beta`` >= 0. Raises ValueError for D, beta or total that cannot be.
    The derivation is the module's; source: Tipping & Bishop 1999, eq. 8, for beta = 1."""
    if values < 1 or not (beta >= 0 and math.isfinite(beta)) or not (total >= 0 and math.isfinite(total)):
        raise ValueError(f"no variance for {values} values, beta {beta}, a total variance of {total}")
    largest = [*eigenvalues[: min(latent_dim, values)]]
    kept = [0.0, *accumulate(largest)]
    for k in range(len(largest), -1, -1):
        if beta * k >= values:
            continue
        variance = max((total - kept[k]) / (values - beta * k), least)
        if k == 0 or largest[k - 1] > beta * variance:
            return variance
    raise AssertionError("k = 0 agrees with itself")


def forecast(
    beta: float,
    variance: float | None,
    eigenvalues: Sequence[float],
    total: float,
    values: int,
    latent_dim: int,
    linear: bool = False,
) -> Forecast:
    """How many latent dimensions the linear VAE keeps whose loss is -log N(x; g(z), s^2 I) + ``beta`` KL(q(z|x) || N(0, I)), of
    the fixed ``variance`` s^2 > 0 (None: learned); the other arguments and errors as those of `learned_variance`."""
    if variance is None:
        # What the sum of the kept eigenvalues leaves of the total in float64 is no variance.
        variance = learned_variance(eigenvalues, total, values, latent_dim, beta, least=1e-12 * total / values)
    implied = beta * variance
    return Forecast(active(eigenvalues, latent_dim, implied), latent_dim, implied, linear)


@cache
def hit_rate() -> HitRate | None:
    """What forecasts for networks with hidden layers came to, as last measured; None where that was not."""
    if not RATES.is_file():
        return None
    row: Mapping[str, Any] = json.loads(RATES.read_text("utf-8"))
    return HitRate(**{**{name: row[name] for name in HitRate._fields}, "datasets": tuple(row["datasets"])})
