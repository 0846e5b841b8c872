"""The contractive autoencoder (Rifai et al. 2011): squared error, and a price on how far the code moves when the image does,
the squared Frobenius norm of the encoder's Jacobian, |df/dx|_F^2.

The error keeps what tells training images apart; the price takes away every other sensitivity, so the code answers to
directions along the data and to no others. Decoder and encoder do not share weights here, as they do in the paper: smaller
codes under a steeper decoder cost less at the same error, so the price also shrinks the codes. Compare it with other models
in measures that forgive scale.
"""

from __future__ import annotations

import torch
from torch import Tensor

from latentbench.core import Loss, ModelEntry
from latentbench.models import fields
from latentbench.models.deterministic import Deterministic
from latentbench.models.nets import Shape
from latentbench.models.slopes import along_axes, at_random, steepness_by_outputs
from latentbench.spaces.space import Net, Space

EXACT = 8
"""Up to so many latent dimensions the norm is exact where nobody says otherwise."""
PROBES = 4
"""Random directions in which it is estimated above."""


class ContractiveAutoencoder(Deterministic):
    """A deterministic autoencoder whose encoder's steepness costs; see the module's docstring. ValueError for a field outside
    its range.

    Loss: |g(f(x)) - x|^2 + weight * |df/dx|_F^2

    Args:
        weight: price of the encoder's squared Jacobian norm, 0 or more
        probes: random directions in which that norm is estimated (Hutchinson); 0: exact, a backward pass for each latent
            dimension; None: exact up to 8 dimensions, 4 directions above
    """

    def __init__(
        self,
        shape: Shape,
        latent_dim: int,
        *,
        depth: int = 2,
        width: int = 256,
        net: Net = "auto",
        weight: float = 0.01,
        probes: int | None = None,
        space: Space | None = None,
    ) -> None:
        fields.from_zero("weight", weight)
        if probes is not None:
            fields.count("probes", probes, 0, "directions")
        super().__init__(shape, latent_dim, depth=depth, width=width, net=net, space=space)
        self.weight = weight
        self.probes = probes if probes is not None else 0 if latent_dim <= EXACT else PROBES

    def loss(self, x: Tensor, generator: torch.Generator) -> Loss:
        """Squared error, summed over pixels, and the weighted squared norm of the Jacobian, means over images."""
        z = self.encode(x).mu
        error = self.squared_error(z, x)
        directions = at_random(z, self.probes, generator) if self.probes else along_axes(z)
        contraction = steepness_by_outputs(self.trunk.encode, x, directions)
        terms = {"squared_error": error.detach(), "contraction": contraction.detach()}
        return Loss(error + self.weight * contraction, terms)


CAE = ModelEntry("cae", ContractiveAutoencoder, "contractive autoencoder", "Rifai et al. 2011; Hutchinson 1990")
