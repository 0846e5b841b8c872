"""The variational autoencoder: q(z|x) = N(mu(x), diag sigma(x)^2), prior p(z) = N(0, I).

Loss per image = -log p(x|z) + beta * KL(q(z|x) || p(z)), z ~ q(z|x), in nats (Kingma & Welling 2014; beta: Higgins et
al. 2017). The KL of a diagonal Gaussian is the sum over dimensions of two halves, each with a job of its own:

    mean part      mu^2 / 2                           keeps the means from flying apart
    variance part  (sigma^2 - 1 - ln sigma^2) / 2     keeps the posteriors from shrinking to points

``kl`` chooses which of them is in the loss: ``full``, ``mean`` or ``variance``. ``warmup`` lets beta rise in a straight
line from 0 over the first so many training steps (Bowman et al. 2016), so that a decoder that knows nothing yet does
not collapse the posterior; the validation loss weighs the KL with the whole beta throughout.

Likelihoods: Gaussian with one variance s^2 shared by all pixels. By default s^2 is learned, in the closed form of the
optimal sigma-VAE (Rybkin et al. 2021, eq. 8): the batch's mean squared error, so that the trade between error and KL
is set by the data and not by the units of a pixel. ``sigma`` fixes it instead. Bernoulli, on request, for values between 0
and 1 that are near to binary; the negative binomial (`latentbench.models.counts`) for counts.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from latentbench.core import Loss, ModelEntry, Posterior
from latentbench.models.counts import NegativeBinomial
from latentbench.models.nets import Shape, Trunk
from latentbench.spaces.known import space_of
from latentbench.spaces.space import Net, Space
from latentbench.stats.linear_vae import GaussianElbo

LOG_VAR = (-20.0, 10.0)
"""The log-variances a network may emit: sigma from 5e-5 to 150. Wide enough for a punctual posterior to show, narrow
enough for exp() not to overflow."""

LEAST_VARIANCE = 1e-8
"""The smallest decoder variance that is learned: it keeps the likelihood of a perfect fit finite."""


class VariationalAutoencoder(nn.Module):
    """A Gaussian VAE with one field for each choice; see the module's docstring.

    ``beta`` >= 0 weighs the KL; ``warmup`` >= 0 counts training steps; ``sigma`` > 0 fixes the decoder's standard
    deviation (None: learned); ValueError outside these ranges, where ``sigma`` is given to another likelihood than the
    Gaussian, which has none, and for a Bernoulli likelihood of values that are not bounded by 0 and 1.
    """

    def __init__(
        self,
        shape: Shape,
        latent_dim: int,
        *,
        depth: int = 2,
        width: int = 256,
        net: Net = "auto",
        beta: float = 1.0,
        likelihood: Literal["gaussian", "bernoulli", "negative_binomial"] = "gaussian",
        sigma: float | None = None,
        kl: Literal["full", "mean", "variance"] = "full",
        warmup: int = 0,
        space: Space | None = None,
    ) -> None:
        super().__init__()
        if not (beta >= 0 and math.isfinite(beta)):
            raise ValueError(f"beta: {beta} is not allowed; a number from 0")
        if sigma is not None and not (sigma > 0 and math.isfinite(sigma)):
            raise ValueError(f"sigma: {sigma} is not allowed; a number above 0")
        if sigma is not None and likelihood != "gaussian":
            raise ValueError(f"sigma: {sigma} is not allowed with likelihood={likelihood}, which has no variance")
        if warmup < 0:
            raise ValueError(f"warmup: {warmup} is not allowed; a number of training steps from 0")
        space = space or space_of(shape)
        if likelihood == "bernoulli" and space.bounds != (0.0, 1.0):
            raise ValueError("likelihood: bernoulli is not allowed: the data's values are not bounded by 0 and 1")
        self.latent_dim = latent_dim
        self.beta, self.likelihood, self.sigma, self.kl = beta, likelihood, sigma, kl
        self.warmup, self._step = warmup, 0
        self.trunk = Trunk(shape, 2 * latent_dim, latent_dim, depth=depth, width=width, net=net, space=space)
        self.register_buffer("variance", torch.tensor(1.0 if sigma is None else sigma**2))
        self.counts = NegativeBinomial(space) if likelihood == "negative_binomial" else None

    @property
    def decoder_variance(self) -> float | None:
        """The implied variance of a pixel, beta * s^2: a Gaussian loss with weight beta on the KL has the optimum of
        one with weight 1 and this variance. None for what is not Gaussian."""
        if self.likelihood != "gaussian":
            return None
        variance = self.get_buffer("variance")
        return float(variance) * self.beta

    @property
    def gaussian_elbo(self) -> GaussianElbo | None:
        """The loss by which dimensions collapse, for the forecast before training; None where the likelihood is not Gaussian,
        or the KL or half of it is left out."""
        if self.likelihood != "gaussian" or self.kl != "full" or not self.beta:
            return None
        return GaussianElbo(self.beta, None if self.sigma is None else self.sigma**2)

    @property
    def traceable(self) -> bool:
        """Every step does the same, but for a warm-up, which weighs each anew."""
        return not self.warmup

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

    def loss(self, x: Tensor, generator: torch.Generator) -> Loss:
        """Negative log-likelihood of one posterior draw plus beta KL, in nats per image."""
        posterior = self.encode(x)
        assert posterior.log_var is not None
        nll = self._nll(posterior.sample(generator), x)
        mean_part = posterior.mu.square().sum() * (0.5 / len(x))
        variance_part = (posterior.log_var.exp() - 1 - posterior.log_var).sum() * (0.5 / len(x))
        kl = {"mean": mean_part, "variance": variance_part}.get(self.kl)
        total = torch.add(nll, mean_part + variance_part if kl is None else kl, alpha=self._weight())
        terms = {"nll": nll, "kl.mean_part": mean_part, "kl.variance_part": variance_part}
        return Loss(total, {k: v.detach() for k, v in terms.items()})

    def log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        """Log p(x|z) in nats, (n,), summed over the values of a sample, for ``x`` (n, *shape) and latent points ``z`` (n, d).

        Counts: the log-probability of the raw counts. Gaussian: with the decoder's own variance s^2 (the learned one: a running mean over training batches), a
        density, so it may be positive; ``beta`` and ``warmup`` have no part in it. Bernoulli: for grey pixels the mean
        log-probability of binary images drawn with x as their probabilities. They do not compare.
        """
        if self.counts is not None:
            return self.counts.log_likelihood(x, self.trunk.logits(z))
        if self.likelihood == "bernoulli":
            each = F.binary_cross_entropy_with_logits(self.trunk.logits(z), x, reduction="none")
            return -each.flatten(1).sum(1)
        variance = self.get_buffer("variance").clamp_min(LEAST_VARIANCE)
        error = (self.decode(z) - x).square().flatten(1)
        return -0.5 * (error.sum(1) / variance + error.shape[1] * (2 * math.pi * variance).log())

    def _weight(self) -> float:
        """beta, or the part of it that the warm-up has reached; each training loss is a step."""
        if not (self.training and self._step < self.warmup):
            return self.beta
        self._step += 1
        return self.beta * (self._step - 1) / self.warmup

    def _nll(self, z: Tensor, x: Tensor) -> Tensor:
        """-log p(x|z), summed over the values of a sample, mean over samples."""
        if self.counts is not None:
            return -self.counts.log_likelihood(x, self.trunk.logits(z)).mean()
        if self.likelihood == "bernoulli":
            return F.binary_cross_entropy_with_logits(self.trunk.logits(z), x, reduction="sum") / len(x)
        pixels = x[0].numel()
        mse = F.mse_loss(self.decode(z), x)
        if self.sigma is not None:
            return 0.5 * pixels * (mse / self.sigma**2 + math.log(2 * math.pi * self.sigma**2))
        # Detached: at the optimal variance its own gradient vanishes.
        variance = mse.detach().clamp_min(LEAST_VARIANCE)
        if self.training:
            kept = self.get_buffer("variance")
            kept.add_(variance - kept, alpha=0.05)  # lerp_ cannot be mapped over a stack of models
        return mse * (0.5 * pixels / variance) + (2 * math.pi * variance).log() * (0.5 * pixels)


VAE = ModelEntry(
    "vae",
    VariationalAutoencoder,
    "variational autoencoder, Gaussian with a learned shared variance",
    "Kingma & Welling 2014; Rybkin et al. 2021",
)
