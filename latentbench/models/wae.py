"""The Wasserstein autoencoder with MMD penalty (Tolstikhin et al. 2018): z = f(x), a point, and the codes *as a whole* are
to lie like the prior.

A VAE asks every posterior to be near N(0, I), so that posteriors of different images overlap and the decoder blurs. Here
only their mixture is asked for, q(z) = E_x delta(z - f(x)): images keep their own codes. The distance of q(z) and p(z) = N(0, I)
is the MMD of a batch's codes and as many draws of the prior (`latentbench.models.discrepancy`).
"""

from __future__ import annotations

import torch
from torch import Tensor

from latentbench.core import Loss, ModelEntry
from latentbench.models import fields
from latentbench.models.deterministic import Deterministic
from latentbench.models.discrepancy import mmd2_to_prior
from latentbench.models.nets import Shape
from latentbench.spaces.space import Net, Space


class WassersteinAutoencoder(Deterministic):
    """A deterministic autoencoder whose codes as a whole are pulled to N(0, I); see the module's docstring. ValueError for a
    field outside its range.

    Loss: |g(f(x)) - x|^2 + weight * MMD^2(q(z), p(z)), z = f(x)

    Args:
        weight: weight of the MMD of codes and prior, 0 or more
    """

    def __init__(
        self,
        shape: Shape,
        latent_dim: int,
        *,
        depth: int = 2,
        width: int = 256,
        net: Net = "auto",
        weight: float = 2.0,
        space: Space | None = None,
    ) -> None:
        fields.from_zero("weight", weight)
        super().__init__(shape, latent_dim, depth=depth, width=width, net=net, space=space)
        self.weight = weight

    def loss(self, x: Tensor, generator: torch.Generator) -> Loss:
        """Squared error, summed over pixels, mean over images, and the weighted MMD of the batch."""
        z = self.encode(x).mu
        error, mmd = self.squared_error(z, x), mmd2_to_prior(z, generator)
        return Loss(error + self.weight * mmd, {"squared_error": error.detach(), "mmd": mmd.detach()})


WAE = ModelEntry("wae", WassersteinAutoencoder, "Wasserstein autoencoder, MMD penalty", "Tolstikhin et al. 2018")
