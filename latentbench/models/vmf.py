"""The hyperspherical VAE (Davidson et al. 2018): codes on the unit sphere S^(d-1) of the d latent dimensions.

q(z|x) is the von Mises-Fisher distribution about mu(x), |mu(x)| = 1, of concentration kappa(x), and the prior is uniform on the
sphere (`latentbench.models.von_mises_fisher`). Loss per image = -log p(x|z) + KL(q(z|x) || uniform), in nats. The KL hangs on
kappa alone: nothing draws the means together, and no place of the sphere is better than another.

What follows from codes that lie on a sphere:

    posterior    it is no Gaussian and has no log-variance: what asks for the width of single dimensions, for the halves of the
                 KL or for Gaussian importance weights is skipped with that reason. A moment-matched Gaussian would be a lie:
                 it leaves the sphere
    prior        drawn from, without a density: on R^d a sphere has none
    decoder      a latent point stands for its direction, g(z) = g(z / |z|): so points off the sphere, which no training shows
                 the decoder, decode to what lies on it. The straight line between two codes, which paths and midpoints are
                 measured along for all models, is then decoded as the great circle between them, at another pace; through the
                 middle of opposite codes it jumps, since any great circle would do
    N(0, I)      decodes, for the same reason, as the prior does

The likelihoods are those of `latentbench.models.variational`.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from latentbench.core import Loss, ModelEntry
from latentbench.models.nets import Shape
from latentbench.models.variational import Family, Variational
from latentbench.models.von_mises_fisher import VonMisesFisher, kl_to_uniform
from latentbench.spaces.space import Net, Space

MOST = 1e4
"""The largest concentration a network may emit: draws lie about sqrt((d - 1) / kappa) from mu."""
START = 10
"""The concentration, as a multiple of d, of a network that knows nothing yet: draws lie about .3 from mu. From 0 on, where
draws hardly hang on mu, the decoder learns to do without them and stays there (digits: R^2 below 0)."""


class HypersphericalAutoencoder(Variational):
    """A VAE on the sphere; see the module's docstring. ValueError for a latent size of 1: S^0 is two points.

    Loss: -log p(x|z) + KL(vMF(mu(x), kappa(x)) || uniform), z ~ vMF(mu(x), kappa(x))
    """

    def __init__(
        self,
        shape: Shape,
        latent_dim: int,
        *,
        depth: int = 2,
        width: int = 256,
        net: Net = "auto",
        likelihood: Family = "gaussian",
        sigma: float | None = None,
        space: Space | None = None,
    ) -> None:
        if latent_dim < 2:
            raise ValueError(f"latent_dim: {latent_dim} is not allowed; a sphere takes 2 dimensions or more")
        super().__init__(
            shape, latent_dim, depth=depth, width=width, net=net, likelihood=likelihood, sigma=sigma, space=space,
            outputs=latent_dim + 1,
        )  # fmt: skip

    def encode(self, x: Tensor) -> VonMisesFisher:  # type: ignore[override]
        """Mean directions (n, d) and concentrations (n,)."""
        out = self.trunk.encode(x if self.counts is None else self.counts.seen(x))
        kappa = F.softplus(out[:, -1] + START * self.latent_dim).clamp(max=MOST)
        return VonMisesFisher(F.normalize(out[:, :-1], dim=1), kappa)

    def decode(self, z: Tensor) -> Tensor:
        """Mean samples, (n, *shape), of the directions of latent points (n, d)."""
        return super().decode(F.normalize(z, dim=1))

    def log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        """Log p(x|z) in nats, (n,), of the directions of latent points ``z`` (n, d)."""
        return super().log_likelihood(x, F.normalize(z, dim=1))

    def prior(self, noise: Tensor, generator: torch.Generator) -> Tensor:
        """Uniform draws (m, d) of the sphere, the directions of standard normal ``noise`` (m, d)."""
        return F.normalize(noise, dim=1)

    def loss(self, x: Tensor, generator: torch.Generator) -> Loss:
        """Negative log-likelihood of one posterior draw plus the KL, in nats per image."""
        posterior = self.encode(x)
        nll = self.nll(posterior.sample(generator), x)
        kl = kl_to_uniform(posterior.kappa, self.latent_dim).mean()
        terms = {"nll": nll, "kl": kl, "kappa": posterior.kappa.mean()}
        return Loss(nll + kl, {k: v.detach() for k, v in terms.items()})


VMF = ModelEntry(
    "vmf",
    HypersphericalAutoencoder,
    "hyperspherical VAE: codes on the unit sphere, von Mises-Fisher posteriors, uniform prior",
    "Davidson et al. 2018; Rybkin et al. 2021",
)
