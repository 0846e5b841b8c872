"""Column by column: how the values of each column are distributed, real and decoded; and decoded draws beside the nearest
real sample. For spaces that have columns: vectors, and series, whose channels they are."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from latentbench.core import Encoding, Undefined
from latentbench.geometry.neighbours import nearest
from latentbench.metrics.samplers import SAMPLE_COUNT, prior_samples, samplers_of, trained_with

LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
"""The quantiles that stand for a distribution."""
PAIRS = 8
"""Decoded draws of the prior beside their nearest real sample."""
MOST = 200
"""Columns that are kept, those whose reconstructions are farthest from the real ones."""


def quantiles(values: Tensor) -> Tensor:
    """The `LEVELS` of each column of values (n, f), (f, 5), float64."""
    return values.double().quantile(torch.tensor(LEVELS, dtype=torch.float64, device=values.device), 0).T


def distance(a: Tensor, b: Tensor) -> Tensor:
    """How far two distributions, given by quantiles (f, 5), lie apart in each column: the mean of the quantiles' distances,
    a coarse Wasserstein-1 distance, (f,)."""
    return (a - b).abs().mean(1)


def columns(e: Encoding) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Quantiles (f, 5), in measured values, of ``real`` held-out samples, of their ``reconstructions`` and of the draws of
    each sampler; ``raw`` (f, 2), the lowest and highest of the real ones in raw values; their places ``index`` (f,) among
    all columns; ``draws`` (k, *shape) of the prior with the ``nearest`` real one and its ``distance`` (k,). Raises Undefined
    where the space has no columns."""
    real = e.space.by_column(e.x)
    if real is None:
        raise Undefined("the samples have no columns", "undefined.columns")
    out = {"real": quantiles(real)}
    if e.x_hat is not None:
        out["reconstructions"] = _of(e, e.x_hat)
    for sampler in samplers_of(e) if e.train is not None else (trained_with(e),):
        out[sampler] = _of(e, e.once(prior_samples, sampler=sampler, count=SAMPLE_COUNT))
    ends = out["real"][:, [0, -1]]
    out["raw"] = ends if e.space.scale is None else e.space.scale.to_raw(ends.T).T
    apart = distance(out["real"], out.get("reconstructions", out[trained_with(e)]))
    kept = apart.argsort(descending=True, stable=True)[:MOST].sort().values
    out = {name: values[kept] for name, values in out.items()} | {"index": kept}
    drawn = e.space.clip(e.once(prior_samples, sampler=trained_with(e), count=SAMPLE_COUNT)[:PAIRS])
    known = (e if e.train is None else e.train).x
    found = nearest(drawn, known)
    out |= {"draws": drawn, "nearest": known[found.indices[:, 0]], "distance": found.distance[:, 0]}
    names = e.space.columns or tuple(str(k + 1) for k in range(real.shape[1]))
    return out, {"columns": [names[k] for k in kept.tolist()], "of": real.shape[1], "levels": list(LEVELS)}


def _of(e: Encoding, x: Tensor) -> Tensor:
    """Quantiles of samples that may hold values that are not finite."""
    values = e.space.by_column(x.nan_to_num(0))
    assert values is not None
    return quantiles(values)
