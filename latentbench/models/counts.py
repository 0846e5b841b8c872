"""Counts: the negative binomial likelihood, for data whose raw values are whole numbers from 0 (reads of genes, words of a
text).

    p(k | m, r) = Gamma(k + r) / (Gamma(r) k!) * (r / (r + m))^r * (m / (r + m))^k

with mean m, from the decoder, and *dispersion* r > 0, learned, one a column: variance m + m^2 / r, Poisson for r without end
(Lopez et al. 2018, scVI; Hilbe 2011).

Measured values are standardised; the space's scale leads back to the counts. The encoder sees log(1 + count). The decoder
gives the logarithm of each mean, beginning at the training mean of its column. A row's total ("library size") is not set
apart: it is decoded from z like all else. scVI hands the decoder the observed total, which keeps depth of sequencing out of
the code; but then no point of latent space decodes to a row by itself, and p(x|z) knows a part of x: draws from a prior,
paths and likelihoods of such a model are not those that are measured here.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from latentbench.spaces.space import Space

LOG_MEAN = 15.0
"""Largest size of a mean's logarithm: exp() of the decoder's output stays finite."""
LOG_DISPERSION = 7.0
"""Largest size of a dispersion's logarithm: at r = 1,100 a count is Poisson to the eye, and float32 still tells the two gamma
functions apart."""
WHOLE = 0.01
"""How far from a whole number a raw value may lie that went through a standardised one in float32, beside a millionth of
the largest of its column."""


def log_prob(k: Tensor, mean: Tensor, dispersion: Tensor) -> Tensor:
    """Log p(k | m, r) in nats of counts ``k`` (n, ..., f) with means ``mean`` of that shape and ``dispersion`` (f,), both
    above 0; that of `scipy.stats.nbinom` with n = r and p = r / (r + m)."""
    total = (dispersion + mean).log()
    gammas = torch.lgamma(k + dispersion) - torch.lgamma(dispersion) - torch.lgamma(k + 1)
    return gammas + dispersion * (dispersion.log() - total) + k * (mean.log() - total)


class NegativeBinomial(nn.Module):
    """The likelihood of samples of ``space``, its dispersions learned."""

    shift: Tensor
    width: Tensor
    start: Tensor

    def __init__(self, space: Space) -> None:
        super().__init__()
        columns = space.shape[-1]
        self.log_dispersion = nn.Parameter(torch.zeros(columns))
        shift = torch.tensor(space.scale.shift if space.scale else [0.0] * columns)
        width = torch.tensor(space.scale.width if space.scale else [1.0] * columns)
        self.register_buffer("shift", shift)
        self.register_buffer("width", width)
        # The shift of a standardised column is its training mean.
        self.register_buffer("start", shift.clamp_min(1e-3).log() if space.scale else torch.zeros(columns))

    @property
    def dispersion(self) -> Tensor:
        """R of each column, (f,)."""
        return self.log_dispersion.clamp(-LOG_DISPERSION, LOG_DISPERSION).exp()

    def counts(self, x: Tensor) -> Tensor:
        """Counts (n, *shape) of measured values."""
        return (x * self.width + self.shift).round().clamp_min(0)

    def seen(self, x: Tensor) -> Tensor:
        """What the encoder sees of measured values: log(1 + count)."""
        return self.counts(x).log1p()

    def mean(self, logits: Tensor) -> Tensor:
        """Means (n, *shape) of the decoder's outputs."""
        return (logits + self.start).clamp(-LOG_MEAN, LOG_MEAN).exp()

    def measured(self, logits: Tensor) -> Tensor:
        """Means in measured values (n, *shape)."""
        return (self.mean(logits) - self.shift) / self.width

    def log_likelihood(self, x: Tensor, logits: Tensor) -> Tensor:
        """Log p(x|z) in nats, (n,), summed over the values of a sample."""
        return log_prob(self.counts(x), self.mean(logits), self.dispersion).flatten(1).sum(1)

    def check(self, x: Tensor) -> None:
        """Raises ValueError where the raw values of samples ``x`` (n, *shape) are no counts."""
        raw = x.double() * self.width.double() + self.shift.double()
        near = WHOLE + 1e-6 * raw.abs().reshape(-1, raw.shape[-1]).amax(0)
        wrong = ((raw - raw.round()).abs() > near) | (raw < -near)
        if bool(wrong.any()):
            value = float(raw[wrong][0])
            raise ValueError(
                f"likelihood: negative_binomial is not allowed: the data are no counts, whole numbers from 0 "
                f"(one raw value is {value:.6g}); use gaussian"
            )
        top = float(raw.max())
        if top > 2**24:
            raise ValueError(
                f"likelihood: negative_binomial is not allowed: counts up to {top:.3g}, of which float32 tells "
                f"no single ones apart above {2**24:,}"
            )
