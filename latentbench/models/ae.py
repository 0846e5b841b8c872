"""The autoencoder: z = f(x), x_hat = g(z), squared error and nothing else.

Nothing asks the codes f(x) to lie anywhere in particular or the space between them to mean anything: that is the point
of comparison. With ``noise`` > 0 it is the denoising autoencoder of Vincent et al. 2008: x + noise * eps goes in, x is
to come out. Linear (``depth`` 0) it finds the space of the first d principal components (Baldi & Hornik 1989).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from latentbench.core import Loss, ModelEntry, Posterior
from latentbench.models.nets import Shape, Trunk
from latentbench.randomness import randn
from latentbench.spaces.space import Net, Space


class Autoencoder(nn.Module):
    """A deterministic autoencoder; its posterior is a Dirac at f(x).

    Loss: sum over pixels of (g(f(x)) - x)^2, mean over images. ``noise`` >= 0: standard deviation of the Gaussian
    corruption of the input, in units of the image range; ValueError below 0.
    """

    decoder_variance = None
    traceable = True

    def __init__(
        self,
        shape: Shape,
        latent_dim: int,
        *,
        depth: int = 2,
        width: int = 256,
        net: Net = "auto",
        noise: float = 0.0,
        space: Space | None = None,
    ) -> None:
        super().__init__()
        if not (noise >= 0 and math.isfinite(noise)):
            raise ValueError(f"noise: {noise} is not allowed; a number from 0")
        self.latent_dim = latent_dim
        self.noise = noise
        self.trunk = Trunk(shape, latent_dim, latent_dim, depth=depth, width=width, net=net, space=space)

    def start(self, x: Tensor) -> None:
        """Begin where the training images ``x`` are: see `nets.Trunk.start`."""
        self.trunk.start(x)

    def encode(self, x: Tensor) -> Posterior:
        """The code f(x), (n, d), as a Dirac."""
        return Posterior(self.trunk.encode(x))

    def decode(self, z: Tensor) -> Tensor:
        """Images g(z), (n, c, h, w)."""
        return self.trunk.decode(z)

    def loss(self, x: Tensor, generator: torch.Generator) -> Loss:
        """Squared error, summed over pixels, mean over images."""
        seen = x + self.noise * randn(x.shape, generator, x) if self.noise else x
        error = F.mse_loss(self.decode(self.encode(seen).mu), x, reduction="sum") / len(x)
        return Loss(error, {"squared_error": error.detach()})


AE = ModelEntry(
    "ae", Autoencoder, "plain autoencoder; noise > 0: denoising", "Hinton & Salakhutdinov 2006; Vincent et al. 2008"
)
