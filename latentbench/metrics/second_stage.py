"""What a second stage sees: the codes of the training images, one draw z ~ q(z|x) each.

A diffusion or flow model that is trained in a latent space is trained on these, and on nothing else: their spread decides
by what they must be multiplied, their spectrum how many directions they fill. Two shapes of latent are told apart. The
latent of a vector of d values has d *channels*; a *spatial* one, (c, h, w), has c channels of h x w positions each.

    scale_c = 1 / sd_c,   shift_c = mean_c          over codes, and positions where there are any
    effective rank = exp( - sum_i p_i ln p_i ),     p_i = lambda_i / sum_j lambda_j        (Roy & Vetterli 2007)
    dims95 = min { k : sum_(i <= k) p_i >= .95 },   lambda the eigenvalues of the codes' covariance, falling

With z' = (z - shift) * scale the second stage is given values of mean 0 and variance 1.
"""

from __future__ import annotations

import torch
from torch import Tensor

from latentbench.core import CONTINUUM, SPATIAL, TRAIN, Encoding, Metric, Undefined, Value
from latentbench.geometry.neighbours import flat
from latentbench.geometry.principal import NONE, deviation
from latentbench.metrics.decoding import subsample

ENOUGH = 0.95
"""The share of the variance that `latent.dims95` asks for."""
POINTS = 2000
"""Codes whose covariance is decomposed where the latent has more dimensions than that."""
LISTED = 16
"""Channels up to which each has its own factor in the line to paste."""


def seen_codes(e: Encoding) -> Tensor:
    """What a second stage is trained on: one draw of q(z|x) per training image, (n, d) float64, the mean for a Dirac.
    Raises Undefined without a training split."""
    if e.train is None:
        raise Undefined(e.lack(TRAIN))
    return flat(e.train.z)


def maps(e: Encoding, codes: Tensor) -> Tensor:
    """Codes (n, d) as maps (n, c, h, w), channels first, in whatever order the encoder had them. Raises Undefined where the
    latent is not spatial."""
    if not SPATIAL.met(e):
        raise Undefined(e.lack(SPATIAL))
    return codes.reshape(len(codes), *e.latent_shape).movedim(e.latent_channels % 3 + 1, 1)


def by_channel(e: Encoding) -> Tensor:
    """The values of `seen_codes` by channel, (c, m): of a spatial latent m = n h w, of a vector c = d and m = n."""
    codes = e.once(seen_codes)
    return maps(e, codes).movedim(1, 0).flatten(1) if SPATIAL.met(e) else codes.T


def spectrum(codes: Tensor) -> Tensor:
    """Eigenvalues of the covariance of ``codes`` (n, d), over n, each >= 0, falling, (min(n, d),) float64: through the
    smaller of the two Gram matrices."""
    x = flat(codes)
    x = x - x.mean(0)
    gram = x.T @ x if x.shape[1] <= len(x) else x @ x.T
    falling: Tensor = torch.linalg.eigvalsh(gram / len(x)).flip(0)
    return falling.clamp(min=0)


def shares(codes: Tensor) -> Tensor:
    """`spectrum` as shares of the variance, those of rounding left out. Raises Undefined where all codes are one point."""
    value = spectrum(codes)
    size = float(flat(codes).square().mean())
    if float(value.sum()) <= NONE * size:
        raise Undefined("all codes are the same point: they have no spread", "undefined.one_code")
    value = value[value > NONE * value[0]]
    return value / value.sum()


def effective_rank(codes: Tensor) -> float:
    """The exponential of the entropy of `shares` of codes (n, d): in dimensions, from 1 to min(n - 1, d); k equal eigenvalues and no
    others: k. Roy & Vetterli 2007."""
    return float(torch.special.entr(shares(codes)).sum().exp().clamp(min=1.0))


def dimensions_for(codes: Tensor, enough: float) -> int:
    """The fewest principal axes that hold the share ``enough`` of the variance of codes (n, d)."""
    held = shares(codes).cumsum(0)
    return int((held < enough - 1e-9).sum()) + 1


def _few_codes(e: Encoding) -> Tensor:
    codes = e.once(seen_codes)
    return subsample(codes, POINTS, e.generator("second stage")) if codes.shape[1] > POINTS else codes


def _line(scale: float, shift: float) -> str:
    return f"scaling_factor={scale:.5g}, shift_factor={shift:.5g}"


def _scale(e: Encoding) -> Value:
    channels = e.once(by_channel)
    sd = float(deviation(channels.flatten()))
    if sd == 0.0:
        raise Undefined("all codes are the same point: they have no spread", "undefined.one_code")
    each = deviation(channels)
    detail = {
        "per_channel": [1 / s if s > 0 else None for s in each.tolist()],
        "paste": _line(1 / sd, float(channels.mean())),
    }
    return Value(1 / sd, detail=detail)


def _shift(e: Encoding) -> Value:
    channels = e.once(by_channel)
    return Value(float(channels.mean()), detail={"per_channel": channels.mean(1).tolist()})


def _effective_rank(e: Encoding) -> Value:
    codes = e.once(_few_codes)
    return Value(effective_rank(codes), detail={"of": codes.shape[1], "points": len(codes)})


def _dims95(e: Encoding) -> Value:
    codes = e.once(_few_codes)
    return Value(float(dimensions_for(codes, ENOUGH)), detail={"of": codes.shape[1], "points": len(codes)})


latent_scale = Metric(
    name="latent.scale",
    family="representation",
    compute=_scale,
    better="none",
    bounds=(0.0, None),
    unit="1 / latent unit",
    summary="what a second stage must multiply codes by: 1 over the standard deviation of all values of the training "
    "codes, z' = (z - shift) * scale; by channel in the record",
    source="scaling factor: Rombach et al. 2022",
    needs=frozenset({CONTINUUM, TRAIN}),
)

latent_shift = Metric(
    name="latent.shift",
    family="representation",
    compute=_shift,
    better="none",
    bounds=(None, None),
    unit="latent units",
    summary="what a second stage must subtract from codes: the mean of all values of the training codes; by channel in "
    "the record",
    source="shift factor: Esser et al. 2024",
    needs=frozenset({CONTINUUM, TRAIN}),
)

latent_effective_rank = Metric(
    name="latent.effective_rank",
    family="representation",
    compute=_effective_rank,
    better="none",
    bounds=(1.0, None),
    unit="dimensions",
    summary="how many dimensions the training codes fill: exp of the entropy of their covariance's eigenvalues as shares; "
    "k equal ones: k",
    source="Roy & Vetterli 2007",
    needs=frozenset({CONTINUUM, TRAIN}),
)

latent_dims95 = Metric(
    name="latent.dims95",
    family="representation",
    compute=_dims95,
    better="none",
    bounds=(1.0, None),
    unit="dimensions",
    summary="how many principal axes hold 95 % of the variance of the training codes",
    source="definition",
    needs=frozenset({CONTINUUM, TRAIN}),
    on_request=True,
)
