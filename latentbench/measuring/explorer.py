"""What a reader needs to walk through a latent space: a decoder that any language can compute (`plain_decoder`), the codes
of some held-out samples, how the dimensions are used, and what samplers draw from.

Where the decoder is too large or no plain chain, a `grid` of decoded points of the two leading dimensions stands in its
place; it is always there, for whoever computes nothing. Codes are posterior means of the held-out split, of samples that
the maps show.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from latentbench.artifact_schema import OWN_SAMPLER
from latentbench.core import Encoding, Undefined
from latentbench.geometry.neighbours import nearest
from latentbench.measuring.plain_decoder import chains, plain
from latentbench.metrics import divergence, posterior
from latentbench.metrics.decoding import decode
from latentbench.metrics.samplers import SAMPLE_COUNT, fitted, prior_codes

GRID, COARSE = 15, 7
"""Decoded points along each side of the grid; of samples of more than `FINE` values."""
FINE = 64 * 64 * 3
REACH = 2.8
"""Half of its side, in standard deviations of the codes; the mean code is in the middle."""
NUMBERS = 64_000
"""Coordinates of codes that are kept at most, as numbers in all."""
ROOTS = 40_000
"""Numbers of a sampler's covariances up to which it is kept."""
OWN_DRAWS = 500
"""Draws of a model's own prior that are kept."""
NAMES = 40
"""Columns up to which their names are kept."""
TRIED = 256
"""Codes, and draws of N(0, I), at which a plain decoder is held against the model's own."""
QUANTILE = 0.99
"""Share of the codes whose nearest neighbour is nearer than the radius that distances are told in."""
VALUES = 3.0
"""Values without bounds are drawn from minus this to this."""


def explorer(e: Encoding, index: Tensor, modules: Sequence[nn.Module] = ()) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The arrays and details of the role ``explorer`` (`artifact_schema`) for an encoding; ``index`` (m,) names the samples
    that the maps show, ``modules`` are those in which its decoder may be found. Raises Undefined for fewer than two codes.

    ``codes`` (n, d), ``mean``, ``spread`` (their standard deviation) and, of a Gaussian posterior, mean ``sigma`` and, where
    the prior is N(0, I), ``kl``, each (d,); ``order``: the active dimensions, by falling KL, without one by falling spread; ``grid`` (rows, columns,
    *shape). Details: the grid's ``dims`` and ``steps`` (in spreads), the ``radius`` within which `QUANTILE` of the codes have
    another one, and how many ``weights`` a chain has that was found.
    """
    if len(e.mu) < 2:
        raise Undefined("a walk needs two codes, there is {n}", "undefined.walk_codes", n=len(e.mu))
    d = e.mu.shape[1]
    rows = index[torch.linspace(0, len(index) - 1, min(len(index), max(2, NUMBERS // d))).round().long()].to(
        e.mu.device
    )
    codes = e.mu[rows]
    mean, spread = e.mu.double().mean(0), e.mu.double().std(0, correction=0)
    out = {"index": rows, "codes": codes.float(), "mean": mean.float(), "spread": spread.float()}
    weight = spread
    if e.log_var is not None:
        if e.prior is None:
            mean_part, variance_part = divergence.kl_parts(e.mu, e.log_var)
            out["kl"] = weight = (mean_part + variance_part).float()
        out["sigma"] = posterior.widths(e.mu, e.log_var).float()
    on = torch.nonzero(posterior.active(e.mu, e.log_var)).flatten()
    out["order"] = on[weight[on].argsort(descending=True, stable=True)]
    low, high = e.space.bounds or (-VALUES, VALUES)
    detail: dict[str, Any] = {
        "space": e.space.name, "shape": list(e.space.shape), "low": low, "high": high, "radius": _radius(codes), "of": len(e.mu),
    }  # fmt: skip
    if 0 < len(e.space.columns) <= NAMES:
        detail["columns"] = list(e.space.columns)
    if e.space.name != "image" and len(rows) * math.prod(e.space.shape) <= NUMBERS:
        out["x"] = e.x[rows].flatten(1).float()
    out["grid"], detail["dims"], detail["steps"] = _grid(e, mean, spread, out["order"])
    for sampler in ("gaussian", "mixture"):
        out |= _sampler(e, sampler)
    out |= _own_prior(e)
    kept, told = _decoder(e, modules, high - low)
    return out | kept, detail | told


def _radius(codes: Tensor) -> float:
    """The distance within which `QUANTILE` of the codes have another one."""
    apart = nearest(codes, codes, 2).distance[:, 1]
    return float(torch.quantile(apart.double(), QUANTILE))


def _grid(e: Encoding, mean: Tensor, spread: Tensor, order: Tensor) -> tuple[Tensor, list[int], list[float]]:
    """Decoded samples (rows, columns, *shape), the first dimension from left to right, the second from the bottom up, all
    others at the mean code; one row where only one dimension is active, one sample where none is."""
    dims = order[:2].tolist()
    side = GRID if math.prod(e.space.shape) <= FINE else COARSE
    steps = torch.linspace(-REACH, REACH, side, dtype=torch.float64)
    sides = [side if len(dims) > k else 1 for k in range(2)]
    points = mean.repeat(sides[1], sides[0], 1)
    if dims:
        points[..., dims[0]] += steps.to(mean) * spread[dims[0]]
    if len(dims) > 1:
        points[..., dims[1]] += steps.flip(0).to(mean)[:, None] * spread[dims[1]]
    frames = decode(e, points.flatten(0, 1).to(e.mu))
    return frames.view(sides[1], sides[0], *frames.shape[1:]), dims, [round(s, 6) for s in steps.tolist()]


def _sampler(e: Encoding, sampler: str) -> dict[str, Tensor]:
    """What a fitted sampler draws from; nothing where there are no training codes, or too many numbers to keep."""
    try:
        mixture = e.once(fitted, sampler=sampler)
    except Undefined:
        return {}
    if mixture.root.numel() > ROOTS:
        return {}
    parts = {"weight": mixture.weight, "mean": mixture.mean, "root": mixture.root}
    return {f"{sampler}_{name}": part.float() for name, part in parts.items()}


def _own_prior(e: Encoding) -> dict[str, Tensor]:
    """Draws of the model's own prior, where it has one, as a mixture of points: what draws from it is code that no page can
    carry."""
    if e.prior is None:
        return {}
    draws = e.once(prior_codes, sampler=OWN_SAMPLER, count=SAMPLE_COUNT)[
        : max(1, min(OWN_DRAWS, ROOTS // e.mu.shape[1]))
    ]
    mean = draws.cpu().float()
    parts = {"weight": torch.full((len(mean),), 1 / len(mean)), "mean": mean, "root": torch.zeros_like(mean)}
    return {f"{OWN_SAMPLER}_{name}": part for name, part in parts.items()}


def _decoder(e: Encoding, modules: Sequence[nn.Module], width: float) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The decoder as plain numbers where it can be; else how many weights a chain has that would be too large."""
    assert e.decode is not None
    found = chains(modules, e.mu.shape[1], math.prod(e.space.shape))
    draws = e.once(prior_codes, sampler="normal", count=TRIED) if found else e.mu[:0]
    kept = plain(found, e.decode, torch.cat([e.mu[:TRIED], draws.to(e.mu)]), width)
    if kept is None:
        return {}, {"weights": min(chain.weights for chain in found)} if found else {}
    arrays = {"weight": kept.weight, "scale": kept.scale, "bias": kept.bias}
    told = {
        "activations": [list(a) for a in kept.activations],
        "output": list(kept.output),
        "weights": len(kept.weight),
    }
    return {"sizes": torch.tensor(kept.sizes), **{k: torch.from_numpy(v) for k, v in arrays.items()}}, told
