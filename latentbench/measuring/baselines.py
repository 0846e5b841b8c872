"""Baselines: what costs no training. They are measured like models and stand in the same table.

``baseline:mean`` decodes everything to the training images' mean; ``baseline:pca`` projects onto the first d principal
components of the training images, the best linear autoencoder there is (its mean squared error bounds any linear
model's from below).
"""

from __future__ import annotations

import torch
from torch import Tensor

from latentbench.core import Posterior


class PrincipalComponents:
    """PCA fitted to images (n, c, h, w): ``encode`` projects the centred image onto d orthonormal components,
    ``decode`` adds the mean back. With ``latent_dim`` above the number of pixels the surplus components are zero."""

    decoder_variance = None

    def __init__(self, x: Tensor, latent_dim: int, exact: int | None = None) -> None:
        """``exact``: pixels beyond which the components are found by a randomised method, cheap and hardly less exact;
        None: as many as images, at least 4096."""
        self.latent_dim = latent_dim
        self.shape = x.shape[1:]
        flat = x.flatten(1).double()
        self.mean = flat.mean(0)
        centred = flat - self.mean
        # The smaller of the two Gram matrices: pixels x pixels, or images x images for large images.
        if flat.shape[1] <= (max(len(flat), 4096) if exact is None else exact):
            _, vectors = torch.linalg.eigh(centred.T @ centred)
            components = vectors.flip(1)[:, :latent_dim]
        else:
            _, _, components = torch.svd_lowrank(centred, q=min(latent_dim, *flat.shape), niter=8)
        self.components = torch.zeros(flat.shape[1], latent_dim, dtype=torch.float64, device=x.device)
        self.components[:, : components.shape[1]] = components

    def encode(self, x: Tensor) -> Posterior:
        """Scores (n, d)."""
        return Posterior(((x.flatten(1).double() - self.mean) @ self.components).to(x.dtype))

    def decode(self, z: Tensor) -> Tensor:
        """Images (n, c, h, w)."""
        return (z.double() @ self.components.T + self.mean).to(z.dtype).view(-1, *self.shape)


class MeanImage(PrincipalComponents):
    """The constant decoder: every code is 0, every image the mean."""

    def __init__(self, x: Tensor, latent_dim: int) -> None:
        self.latent_dim = latent_dim
        self.shape = x.shape[1:]
        self.mean = x.flatten(1).double().mean(0)
        self.components = torch.zeros(len(self.mean), latent_dim, dtype=torch.float64, device=x.device)


BASELINES = {"baseline:mean": MeanImage, "baseline:pca": PrincipalComponents}
ANCHOR = "baseline:pca"
"""The baseline beside whose encoding floors and ceilings are measured."""
