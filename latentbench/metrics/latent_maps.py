"""Spatial latents: how fine are the maps that a second stage must draw, and do its channels say different things?

The codes of the training images (one draw of q(z|x) each) are maps (c, h, w). Symbols: Z the orthonormal DCT-II of a map,
u, v its frequencies; r_ij the correlation of channels i and j over codes and positions.

    high frequency      = sum_(u + v > (h + w - 2) / 2) Z_uv^2 / sum_uv Z_uv^2          over codes, mean over channels
    channel correlation = mean_(i < j) |r_ij|
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from latentbench.core import CONTINUUM, SPATIAL, TRAIN, Encoding, Metric, Undefined, Value
from latentbench.geometry.principal import deviation
from latentbench.metrics.decoding import subsample
from latentbench.metrics.second_stage import by_channel, maps, seen_codes

POINTS = 2000
"""Maps that are transformed, at most."""


def high_frequency(x: Tensor) -> float:
    """Share of the energy of maps ``x`` (n, c, h, w) beyond half of the largest u + v, mean over channels that are not 0
    throughout: in [0, 1]; a constant map 0, white noise of 8 x 8 .4375. Raises Undefined where all are 0."""
    from scipy.fft import dctn

    energy = np.square(dctn(x.double().cpu().numpy(), axes=(2, 3), norm="ortho")).sum(0)
    u, v = np.indices(energy.shape[1:])
    high = energy[:, u + v > (u.max() + v.max()) / 2].sum(1)
    total = energy.sum((1, 2))
    if not (total > 0).any():
        raise Undefined("all codes are 0: there is nothing to transform", "undefined.codes_zero")
    # A constant map's high frequencies are rounding.
    shares = high[total > 0] / total[total > 0]
    return float(np.where(shares < 1e-20, 0.0, shares).mean())


def channel_correlation(channels: Tensor) -> float:
    """Mean |r_ij| over pairs of ``channels`` (c, m) that vary, in [0, 1]. Raises Undefined for fewer than two of them."""
    sd = deviation(channels)
    x = channels[sd > 0]
    if len(x) < 2:
        raise Undefined("a correlation needs two channels that vary, there is {n}", "undefined.one_channel", n=len(x))
    x = (x - x.mean(1, keepdim=True)) / sd[sd > 0][:, None]
    r = (x @ x.T / x.shape[1]).abs().clamp(max=1)
    above = torch.ones_like(r).triu(1).bool()
    return float(r[above].mean())


def _high_frequency(e: Encoding, points: int) -> Value:
    codes = subsample(e.once(seen_codes), points, e.generator("second stage"))
    return Value(high_frequency(maps(e, codes)), detail={"points": len(codes), "latent_shape": list(e.latent_shape)})


def _channel_correlation(e: Encoding) -> Value:
    if not SPATIAL.met(e):
        raise Undefined(e.lack(SPATIAL))
    return Value(channel_correlation(e.once(by_channel)), detail={"latent_shape": list(e.latent_shape)})


latent_high_frequency = Metric(
    name="latent.high_frequency",
    family="representation",
    compute=_high_frequency,
    better="none",
    bounds=(0.0, 1.0),
    unit="share of energy",
    summary="share of the energy of spatial training codes beyond half of the highest frequency (DCT); constant maps: 0, "
    "white noise of 8 x 8: .4375",
    source="definition; after Skorokhodov et al. 2025",
    needs=frozenset({CONTINUUM, SPATIAL, TRAIN}),
    params={"points": POINTS},
    on_request=True,
)

latent_channel_correlation = Metric(
    name="latent.channel_correlation",
    family="representation",
    compute=_channel_correlation,
    better="none",
    bounds=(0.0, 1.0),
    unit="correlation",
    summary="mean absolute correlation of two channels of spatial training codes, over codes and positions; 0 = channels "
    "say different things",
    source="definition",
    needs=frozenset({CONTINUUM, SPATIAL, TRAIN}),
    on_request=True,
)
