"""What the variational autoencoders have in common: q(z|x) = N(mu(x), diag sigma(x)^2) and the likelihoods p(x|z).

Likelihoods: Gaussian with one variance s^2 shared by all pixels. By default s^2 is learned, in the closed form of the
optimal sigma-VAE (Rybkin et al. 2021, eq. 8): the batch's mean squared error, so that the trade between error and KL
is set by the data and not by the units of a pixel. ``sigma`` fixes it instead. Bernoulli, on request, for values between 0
and 1 that are near to binary; the negative binomial (`latentbench.models.counts`) for counts.
"""

from __future__ import annotations

import math
from typing import Literal

from torch import Tensor, nn, tensor
from torch.nn import functional as F

from latentbench.core import Posterior
from latentbench.models import fields
from latentbench.models.counts import NegativeBinomial
from latentbench.models.nets import Shape, Trunk
from latentbench.spaces.known import space_of
from latentbench.spaces.space import Net, Space

Family = Literal["gaussian", "bernoulli", "negative_binomial"]

LOG_VAR = (-20.0, 10.0)
"""The log-variances a network may emit: sigma from 5e-5 to 150. Wide enough for a punctual posterior to show, narrow
enough for exp() not to overflow."""

LEAST_VARIANCE = 1e-8
"""The smallest decoder variance that is learned: it keeps the likelihood of a perfect fit finite."""

KEPT = 0.05
"""Share of a batch's variance in the running one, which is what the model is measured with."""


class Variational(nn.Module):
    """Abstract: a Gaussian encoder, a decoder, a likelihood; a subclass has the loss.

    ValueError for a ``sigma`` that is not above 0 or is given to another likelihood than the Gaussian, which has none,
    and for a Bernoulli likelihood of values that are not bounded by 0 and 1.

    Args:
        likelihood: p(x|z): a Gaussian with one variance for all pixels, Bernoulli for values from 0 to 1, negative
            binomial for counts
        sigma: standard deviation of the Gaussian likelihood, above 0; None: learned
    """

    def __init__(
        self,
        shape: Shape,
        latent_dim: int,
        *,
        depth: int,
        width: int,
        net: Net,
        likelihood: Family,
        sigma: float | None,
        space: Space | None = None,
        outputs: int | None = None,
    ) -> None:
        super().__init__()
        if sigma is not None:
            fields.above_zero("sigma", sigma)
        if sigma is not None and likelihood != "gaussian":
            raise ValueError(f"sigma: {sigma} is not allowed with likelihood={likelihood}, which has no variance")
        space = space or space_of(shape)
        if likelihood == "bernoulli" and space.bounds != (0.0, 1.0):
            raise ValueError("likelihood: bernoulli is not allowed: the data's values are not bounded by 0 and 1")
        self.latent_dim = latent_dim
        self.likelihood, self.sigma = likelihood, sigma
        outputs = outputs or 2 * latent_dim  # of the encoder: means and log-variances
        self.trunk = Trunk(shape, outputs, latent_dim, depth=depth, width=width, net=net, space=space)
        self.register_buffer("variance", tensor(1.0 if sigma is None else sigma**2))
        self.counts = NegativeBinomial(space) if likelihood == "negative_binomial" else None

    @property
    def traceable(self) -> bool:
        """Whether every step does the same: see `latentbench.core.Model`."""
        return True

    @property
    def decoder_variance(self) -> float | None:
        """The variance s^2 of a pixel; None for what is not Gaussian."""
        return None if self.likelihood != "gaussian" else float(self.get_buffer("variance"))

    def start(self, x: Tensor) -> None:
        """Begin where the training images ``x`` are: see `nets.Trunk.start`."""
        self.trunk.start(x)

    def check(self, x: Tensor) -> None:
        """Raises ValueError where the likelihood cannot be that of training samples ``x`` (n, *shape)."""
        if self.counts is not None:
            self.counts.check(x)

    def encode(self, x: Tensor) -> Posterior:
        """Posterior means and log-variances, each (n, d)."""
        mu, log_var = self.trunk.encode(x if self.counts is None else self.counts.seen(x)).chunk(2, dim=1)
        return Posterior(mu, log_var.clamp(*LOG_VAR))

    def decode(self, z: Tensor) -> Tensor:
        """Mean samples, (n, *shape): for Bernoulli the probabilities, for counts the means in measured values."""
        if self.counts is not None:
            return self.counts.measured(self.trunk.logits(z))
        return self.trunk.logits(z).sigmoid() if self.likelihood == "bernoulli" else self.trunk.decode(z)

    def log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        """Log p(x|z) in nats, (n,), summed over the values of a sample, for ``x`` (n, *shape) and latent points ``z`` (n, d).

        Counts: the log-probability of the raw counts. Gaussian: with the decoder's own variance s^2 (the learned one: a
        running mean over training batches), a density, so it may be positive; the weights and the warm-up of a loss have no
        part in it. Bernoulli: for grey pixels the mean log-probability of binary images drawn with x as their
        probabilities. They do not compare.
        """
        if self.counts is not None:
            return self.counts.log_likelihood(x, self.trunk.logits(z))
        if self.likelihood == "bernoulli":
            each = F.binary_cross_entropy_with_logits(self.trunk.logits(z), x, reduction="none")
            return -each.flatten(1).sum(1)
        variance = self.get_buffer("variance").clamp_min(LEAST_VARIANCE)
        error = (self.decode(z) - x).square().flatten(1)
        return gaussian(error.sum(1), error.shape[1], variance)

    def nll(self, z: Tensor, x: Tensor) -> Tensor:
        """-log p(x|z) of one latent point (n, d) a sample, summed over the values of a sample, mean over samples."""
        if self.counts is not None:
            return -self.counts.log_likelihood(x, self.trunk.logits(z)).mean()
        if self.likelihood == "bernoulli":
            return F.binary_cross_entropy_with_logits(self.trunk.logits(z), x, reduction="sum") / len(x)
        pixels = x[0].numel()
        mse = F.mse_loss(self.decode(z), x)
        if self.sigma is not None:
            return 0.5 * pixels * (mse / self.sigma**2 + math.log(2 * math.pi * self.sigma**2))
        variance = self.learned(mse)
        return mse * (0.5 * pixels / variance) + (2 * math.pi * variance).log() * (0.5 * pixels)

    def learned(self, mse: Tensor) -> Tensor:
        """The learned variance of a batch of this mean squared error, and the running one led after it. Detached: at the
        optimal variance its own gradient vanishes."""
        variance = mse.detach().clamp_min(LEAST_VARIANCE)
        if self.training:
            kept = self.get_buffer("variance")
            kept.add_(variance - kept, alpha=KEPT)  # lerp_ cannot be mapped over a stack of models
        return variance


def gaussian(error: Tensor, pixels: int, variance: Tensor) -> Tensor:
    """Log density in nats of samples of so many ``pixels`` whose squared errors sum to ``error``, of any shape, under
    N(g(z), variance I)."""
    return -0.5 * (error / variance + pixels * (2 * math.pi * variance).log())


def kl_parts(posterior: Posterior) -> tuple[Tensor, Tensor]:
    """The two halves of KL(q(z|x) || N(0, I)), that of the means and that of the variances, in nats, mean over samples.
    Raises ValueError for a posterior without variances."""
    mu, log_var = posterior
    if log_var is None:
        raise ValueError("a Dirac has no KL")
    return mu.square().sum() * (0.5 / len(mu)), (log_var.exp() - 1 - log_var).sum() * (0.5 / len(mu))
