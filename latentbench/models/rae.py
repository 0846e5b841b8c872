"""The regularised autoencoder (Ghosh et al. 2020): a VAE's noise only smooths the decoder, so smooth the decoder and leave the
noise out.

Codes are points, nothing is drawn in training. Their squared length is kept small, beta |z|^2 / 2, which is what is left of
the KL of a posterior of constant width; and the decoder is kept from making up for small codes by being steep, in one of
their ways (``penalty``):

    l2         weight * |theta|^2, theta the weights and biases of the decoder                 RAE-L2
    gradient   weight * |dg/dz|_F^2, exact, mean over codes                                    RAE-GP
    spectral   every layer of the decoder has spectral norm 1; weight has no part in it        RAE-SN
    none       nothing: RAE, an autoencoder with small codes

Nothing asks the codes to lie like N(0, I): what is to be sampled from is a density fitted to them afterwards (the samplers
``gaussian`` and ``mixture``).
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from latentbench.core import Loss, ModelEntry
from latentbench.models import fields
from latentbench.models.deterministic import Deterministic
from latentbench.models.nets import Shape
from latentbench.models.slopes import along_axes, steepness_by_inputs
from latentbench.spaces.space import Net, Space


class RegularisedAutoencoder(Deterministic):
    """A deterministic autoencoder with small codes and a smooth decoder; see the module's docstring. ValueError for a field
    outside its range.

    Loss: |g(z) - x|^2 + beta * |z|^2 / 2 + weight * penalty, z = f(x)

    Args:
        beta: weight of the codes' squared length, 0 or more
        penalty: how the decoder is kept smooth: by its weights' squares, by its Jacobian at the codes, by spectral norms of 1,
            or not at all
        weight: weight of that penalty, 0 or more
    """

    def __init__(
        self,
        shape: Shape,
        latent_dim: int,
        *,
        depth: int = 2,
        width: int = 256,
        net: Net = "auto",
        beta: float = 0.01,
        penalty: Literal["l2", "gradient", "spectral", "none"] = "l2",
        weight: float = 1e-4,
        space: Space | None = None,
    ) -> None:
        fields.from_zero("beta", beta)
        fields.from_zero("weight", weight)
        super().__init__(shape, latent_dim, depth=depth, width=width, net=net, space=space)
        self.beta, self.penalty, self.weight = beta, penalty, weight
        if penalty == "spectral":
            self.traceable = False  # each training pass leads estimates of its singular vectors on, in place
            for layer in [
                m for m in self.trunk.decoder.modules() if isinstance(getattr(m, "weight", None), nn.Parameter)
            ]:
                spectral_norm(layer)

    def loss(self, x: Tensor, generator: torch.Generator) -> Loss:
        """Squared error, summed over pixels, half the codes' squared length, and the penalty, means over images."""
        z = self.encode(x).mu
        parts = {"squared_error": self.squared_error(z, x), "squared_length": z.square().sum() / len(x)}
        total = parts["squared_error"] + 0.5 * self.beta * parts["squared_length"]
        if self.weight and self.penalty in ("l2", "gradient"):
            parts["penalty"] = self._squared_weights() if self.penalty == "l2" else self._steepness(z)
            total = total + self.weight * parts["penalty"]
        return Loss(total, {name: part.detach() for name, part in parts.items()})

    def _squared_weights(self) -> Tensor:
        return torch.stack([weight.square().sum() for weight in self.trunk.decoder.parameters()]).sum()

    def _steepness(self, z: Tensor) -> Tensor:
        return steepness_by_inputs(self.decode, z, along_axes(z))


RAE = ModelEntry(
    "rae",
    RegularisedAutoencoder,
    "regularised autoencoder: small codes, a smooth decoder, no noise",
    "Ghosh et al. 2020; Miyato et al. 2018",
)
