"""How many latent dimensions are to stay in use, told before anything is trained: `latentbench.stats.linear_vae` for the models
and the data of a run.

A model says what loss it has in an attribute ``gaussian_elbo`` (`latentbench.core.GaussianElbo`). Of one that has
none, or None there (no Gaussian likelihood, no KL to N(0, I), no KL at all), nothing is told.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from latentbench.catalog import ModelSpec
from latentbench.core import Dataset, GaussianElbo
from latentbench.geometry.principal import leading
from latentbench.stats.linear_vae import WITHIN, Forecast, forecast, hit_rate

VALUES = 50_000_000
"""Numbers of training data that the covariance is taken of, as float64 400 MB; of more data an even choice of samples."""


def forecasts(models: Sequence[ModelSpec], dataset: Dataset) -> dict[str, Forecast]:
    """The forecast for each model of a run that allows one, by its spec."""
    elbos = [(spec, found) for spec in models if (found := _elbo(spec, dataset)) is not None]
    if not elbos:
        return {}
    eigenvalues, total = spectrum(dataset.train.x, max(spec.latent_dim for spec, _ in elbos))
    values = dataset.train.x[0].numel()
    return {
        spec.text: forecast(*elbo, eigenvalues, total, values, spec.latent_dim, spec.params.get("depth") == 0)
        for spec, elbo in elbos
    }


def _elbo(spec: ModelSpec, dataset: Dataset) -> GaussianElbo | None:
    with torch.random.fork_rng(devices=[]):
        found = getattr(spec.build(dataset.space), "gaussian_elbo", None)
    return found if isinstance(found, GaussianElbo) else None


def spectrum(x: Tensor, most: int) -> tuple[list[float], float]:
    """The largest ``most`` eigenvalues of the covariance of samples ``x`` (n, *shape), falling, and the sum of all, in squared
    units of the data."""
    step = -(-x.numel() // VALUES)
    some = x[::step].flatten(1)
    total = float(some.double().var(0, correction=0).sum())
    return leading(some, min(most, some.shape[1])).sd.square().tolist(), total


def told(found: Mapping[str, Forecast]) -> list[str]:
    """The forecasts as lines: ``forecast``, the model, how many dimensions, and what that is worth."""
    lines = [
        f"forecast\t{model}\t{f.active} of {f.latent_dim} latent dimensions stay in use, "
        f"{'for a linear model' if f.linear else 'if it were linear'} (decoder variance times beta: {f.variance:.3g})"
        for model, f in found.items()
    ]
    rate = hit_rate()
    if rate is not None and not all(f.linear for f in found.values()):
        fewer = (
            ""
            if rate.fewer_rate is None
            else f"; {rate.fewer_rate:.0%} of the {rate.fewer_cells} that were to lose some"
        )
        lines.append(
            f"note\ta network with hidden layers need not do as a linear one: within {WITHIN} dimension in {rate.rate:.0%} "
            f"[{rate.low:.0%}, {rate.high:.0%}] of {rate.cells} settings tried ({', '.join(rate.datasets)}; d = "
            f"{rate.latent_dim}{fewer}), on average {abs(rate.error):.1f} too {'many' if rate.error > 0 else 'few'}"
        )
    return lines
