"""The VampPrior (Tomczak & Welling 2018): a VAE whose prior is what its encoder makes of k learned inputs.

The best prior for a VAE's bound is the aggregate posterior (1/N) sum_n q(z|x_n) itself, which has as many components as there
are training images and is overfitted. In its place stands a mixture of the posteriors of k *pseudo-inputs* u_1 .. u_k, samples
of the data's shape that are learned with all else:

    p(z) = (1/k) sum_j q(z|u_j),      q(z|u) = N(mu(u), diag sigma(u)^2)

Loss per image = -log p(x|z) + log q(z|x) - log p(z), z ~ q(z|x), in nats. The KL to a mixture has no closed form: the last two
terms are its estimate from the one draw. Each step sends k inputs through the encoder beside the batch, which is what the
prior costs.

Pseudo-inputs keep within the bounds of the data's values, where there are any (they are clipped, as in the paper's code).
They begin as draws about the training images: of each pixel the training mean plus its standard deviation times standard
normal noise. What they become is no image of the training data, unless it pays.

The likelihoods are those of `latentbench.models.variational` but that of counts: between whole numbers a pseudo-input has no
gradient.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from latentbench.core import Loss, ModelEntry, Posterior
from latentbench.models import fields
from latentbench.models.nets import Shape
from latentbench.models.variational import Variational
from latentbench.randomness import randn
from latentbench.spaces.known import space_of
from latentbench.spaces.space import Net, Space

HELD = 8_000_000
"""Values of log q(z_j|u) held at once where nothing is trained."""


class VampPriorAutoencoder(Variational):
    """A VAE with a mixture of its own posteriors for a prior; see the module's docstring. ValueError for a field outside its
    range.

    Loss: -log p(x|z) + log q(z|x) - log ((1/k) sum_j q(z|u_j)), z ~ q(z|x)

    Args:
        k: pseudo-inputs, 1 or more
    """

    def __init__(
        self,
        shape: Shape,
        latent_dim: int,
        *,
        depth: int = 2,
        width: int = 256,
        net: Net = "auto",
        k: int = 500,
        likelihood: Literal["gaussian", "bernoulli"] = "gaussian",
        sigma: float | None = None,
        space: Space | None = None,
    ) -> None:
        fields.count("k", k, 1, "pseudo-inputs")
        space = space or space_of(shape)
        super().__init__(
            shape, latent_dim, depth=depth, width=width, net=net, likelihood=likelihood, sigma=sigma, space=space
        )
        self.bounds = space.bounds
        middle, spread = (0.0, 1.0) if space.bounds is None else (sum(space.bounds) / 2, 0.1)
        self.pseudo = nn.Parameter(middle + spread * torch.randn(k, *shape))
        self._scale = middle, spread

    @torch.no_grad()
    def start(self, x: Tensor) -> None:
        """Begin where the training images ``x`` are: the decoder as `nets.Trunk.start` has it, the pseudo-inputs at draws
        about them."""
        super().start(x)
        middle, spread = self._scale
        noise = (self.pseudo - middle) / spread
        self.pseudo.copy_(self._within(x.mean(0) + x.std(0, correction=0) * noise))

    @property
    def pseudo_inputs(self) -> Tensor:
        """The pseudo-inputs u, (k, *shape), within the bounds of the data's values."""
        return self._within(self.pseudo)

    def components(self) -> Posterior:
        """The posteriors of the pseudo-inputs, of which the prior is the mixture."""
        return self.encode(self.pseudo_inputs)

    def prior(self, noise: Tensor, generator: torch.Generator) -> Tensor:
        """Draws (m, d) of the mixture, from standard normal ``noise`` (m, d); ``generator`` picks the components."""
        mu, log_var = self.components()
        assert log_var is not None
        which = torch.randint(len(mu), (len(noise),), generator=generator).to(noise.device)
        return mu[which] + (0.5 * log_var[which]).exp() * noise

    def log_prior(self, z: Tensor) -> Tensor:
        """Log p(z) of latent points (m, d) in nats, (m,)."""
        mixture = self.components()
        rows = max(1, HELD // mixture.mu.numel())
        return torch.cat([log_mixture(some, mixture) for some in z.split(rows)])

    def loss(self, x: Tensor, generator: torch.Generator) -> Loss:
        """Negative log-likelihood of one posterior draw plus the estimate of the KL from it, in nats per image."""
        posterior = self.encode(x)
        mu, log_var = posterior
        assert log_var is not None
        noise = randn(mu.shape, generator, mu)
        z = mu + (0.5 * log_var).exp() * noise
        nll = self.nll(z, x)
        log_q = -0.5 * (noise.square() + log_var + math.log(2 * math.pi)).sum(1)
        kl = (log_q - log_mixture(z, self.components())).mean()
        return Loss(nll + kl, {"nll": nll.detach(), "kl": kl.detach()})

    def _within(self, x: Tensor) -> Tensor:
        return x if self.bounds is None else x.clamp(*self.bounds)


def log_mixture(z: Tensor, components: Posterior) -> Tensor:
    """Log density in nats, (m,), at points ``z`` (m, d) of the mixture in equal parts of ``components``, k Gaussians with
    means and log-variances (k, d). The differences are squared one by one: products of narrow ones would cancel."""
    mu, log_var = components
    assert log_var is not None
    each = (z[:, None] - mu).square() * (-log_var).exp() + log_var
    return (-0.5 * (each + math.log(2 * math.pi)).sum(2)).logsumexp(1) - math.log(len(mu))


VAMP = ModelEntry(
    "vamp",
    VampPriorAutoencoder,
    "VampPrior: a VAE whose prior is the mixture of the posteriors of k learned inputs",
    "Tomczak & Welling 2018; Rybkin et al. 2021",
)
