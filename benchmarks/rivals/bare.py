"""The loss of a training loop as one writes it by hand: squared error, and for a VAE half of it with the KL."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def loss_of(encoder: nn.Module, decoder: nn.Module, vae: bool) -> Callable[[Tensor], Tensor]:
    """The loss of flat images (n, pixels), a mean over them; a ``vae`` encodes to means and logarithms of variances."""

    def loss(x: Tensor) -> Tensor:
        if not vae:
            return F.mse_loss(decoder(encoder(x)), x, reduction="sum") / len(x)
        mu, log_var = encoder(x).chunk(2, dim=1)
        z = mu + (0.5 * log_var).exp() * torch.randn_like(mu)
        kl = 0.5 * (mu.square() + log_var.exp() - 1 - log_var).sum()
        return (0.5 * F.mse_loss(decoder(z), x, reduction="sum") + kl) / len(x)

    return loss
