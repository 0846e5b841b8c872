"""The importance weighted autoencoder (Burda et al. 2016): the networks of a VAE, trained on a tighter bound.

    w_i = p(x|z_i) p(z_i) / q(z_i|x),   z_1 ... z_k ~ q(z|x)
    ELBO = E log w  <=  IW_k = E log (1/k) sum_i w_i  <=  log p(x)

IW_k rises with k to log p(x): k draws together may miss what one alone must not, so the posterior is held less closely to a
Gaussian that explains every draw. With k = 1 the loss is, in the mean over draws, the VAE's, whose KL is that mean worked
out. All draws share the gradient by their weights w_i / sum_j w_j, which is what reparametrised draws give.

A learned variance s^2 stands where the bound's derivative by it vanishes, at the weighted mean squared error of the draws;
the weights to weigh by are those under the running variance, so that the steps of training are the steps of that iteration.
With k = 1 it is the VAE's.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from latentbench.core import Loss, ModelEntry
from latentbench.models import fields
from latentbench.models.nets import Shape
from latentbench.models.variational import LEAST_VARIANCE, Family, Variational, gaussian
from latentbench.randomness import randn
from latentbench.spaces.space import Net, Space


class ImportanceWeightedAutoencoder(Variational):
    """A VAE trained on the bound of k draws; see the module's docstring. ValueError for a field outside its range.

    Loss: -log (1/k) sum_i p(x|z_i) p(z_i) / q(z_i|x), z_1 ... z_k ~ q(z|x)

    Args:
        k: draws of the posterior for each sample, 1 or more
    """

    def __init__(
        self,
        shape: Shape,
        latent_dim: int,
        *,
        depth: int = 2,
        width: int = 256,
        net: Net = "auto",
        k: int = 5,
        likelihood: Family = "gaussian",
        sigma: float | None = None,
        space: Space | None = None,
    ) -> None:
        fields.count("k", k, 1, "draws")
        super().__init__(
            shape, latent_dim, depth=depth, width=width, net=net, likelihood=likelihood, sigma=sigma, space=space
        )
        self.k = k

    def loss(self, x: Tensor, generator: torch.Generator) -> Loss:
        """Minus the bound of k draws, in nats per image. ``gain`` is what it lies above the ELBO of the same draws."""
        mu, log_var = self.encode(x)
        assert log_var is not None
        noise = randn((self.k, *mu.shape), generator, mu)
        z = mu + (0.5 * log_var).exp() * noise
        # log p(z) - log q(z|x): the normalisers cancel but for the widths.
        log_ratio = 0.5 * (noise.square() + log_var - z.square()).sum(-1)
        log_prob = self._log_prob(x, z, log_ratio)
        log_weights = log_prob + log_ratio
        bound = (torch.logsumexp(log_weights, 0) - math.log(self.k)).mean()
        terms = {"nll": -log_prob.mean(), "kl": -log_ratio.mean(), "gain": bound - log_weights.mean()}
        return Loss(-bound, {name: term.detach() for name, term in terms.items()})

    def _log_prob(self, x: Tensor, z: Tensor, log_ratio: Tensor) -> Tensor:
        """Log p(x|z) in nats, (k, n), of samples (n, *shape) and draws (k, n, d) with ``log_ratio`` log p(z) / q(z|x) (k, n)."""
        many, codes = x.expand(len(z), *x.shape).flatten(0, 1), z.flatten(0, 1)
        if self.likelihood != "gaussian" or self.sigma is not None:
            return self.log_likelihood(many, codes).view_as(log_ratio)
        pixels = x[0].numel()
        error = (self.decode(codes) - many).square().flatten(1).sum(1).view_as(log_ratio)
        running = self.get_buffer("variance").clamp_min(LEAST_VARIANCE)
        weights = torch.softmax(log_ratio.detach() - 0.5 * error.detach() / running, 0)
        return gaussian(error, pixels, self.learned((weights * error).sum(0).mean() / pixels))


IWAE = ModelEntry(
    "iwae",
    ImportanceWeightedAutoencoder,
    "importance weighted autoencoder: the bound of k draws",
    "Burda et al. 2016; Rybkin et al. 2021",
)
