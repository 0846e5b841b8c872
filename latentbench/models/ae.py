"""The autoencoder: z = f(x), x_hat = g(z), squared error and nothing else.

Nothing asks the codes f(x) to lie anywhere in particular or the space between them to mean anything: that is the point
of comparison. With ``noise`` > 0 it is the denoising autoencoder of Vincent et al. 2008: x + noise * eps goes in, x is
to come out. Linear (``depth`` 0) it finds the space of the first d principal components (Baldi & Hornik 1989).
"""

from __future__ import annotations

import torch
from torch import Tensor

from latentbench.core import Loss, ModelEntry
from latentbench.models import fields
from latentbench.models.deterministic import Deterministic
from latentbench.models.nets import Shape
from latentbench.randomness import randn
from latentbench.spaces.space import Net, Space


class Autoencoder(Deterministic):
    """A deterministic autoencoder; its posterior is a Dirac at f(x). ValueError for a field outside its range.

    Loss: |g(f(x + noise * eps)) - x|^2, eps ~ N(0, I)

    Args:
        noise: standard deviation of the Gaussian corruption of the input, in units of the data's range; 0 or more
    """

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
        fields.from_zero("noise", noise)
        super().__init__(shape, latent_dim, depth=depth, width=width, net=net, space=space)
        self.noise = noise

    def loss(self, x: Tensor, generator: torch.Generator) -> Loss:
        """Squared error, summed over pixels, mean over images."""
        seen = x + self.noise * randn(x.shape, generator, x) if self.noise else x
        error = self.squared_error(self.encode(seen).mu, x)
        return Loss(error, {"squared_error": error.detach()})


AE = ModelEntry(
    "ae", Autoencoder, "plain autoencoder; noise > 0: denoising", "Hinton & Salakhutdinov 2006; Vincent et al. 2008"
)
