"""The loop one writes by hand: batches of 128, Adam at 1e-3, float32. Its full run sets the target."""

from __future__ import annotations

import torch
from rules import LATENT, PIXELS, WIDTH, Decode, Encode, Referee
from torch import Tensor, nn
from torch.nn import functional as F

WORDS = "by hand: batch 128, a fused Adam at 1e-3, float32"
BATCH, LR = 128, 1e-3


def train(x: Tensor, seed: int, referee: Referee) -> None:
    """Until the referee says that it is over."""
    torch.manual_seed(seed)
    encoder = nn.Sequential(nn.Linear(PIXELS, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 2 * LATENT)).to(x.device)
    decoder = nn.Sequential(nn.Linear(LATENT, WIDTH), nn.ReLU(), nn.Linear(WIDTH, PIXELS)).to(x.device)
    optimiser = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=LR, fused=True)
    encode, decode = coders(encoder, decoder)
    x = x.flatten(1)
    while True:
        for rows in torch.randperm(len(x), device=x.device).split(BATCH):
            batch = x[rows]
            mu, log_var = encode(batch)
            z = mu + (0.5 * log_var).exp() * torch.randn_like(mu)
            error = F.binary_cross_entropy_with_logits(decoder(z), batch, reduction="sum")
            kl = 0.5 * (mu.square() + log_var.exp() - 1 - log_var).sum()
            optimiser.zero_grad()
            ((error + kl) / len(batch)).backward()
            optimiser.step()
        referee.look(encode, decode)


def coders(encoder: nn.Module, decoder: nn.Module) -> tuple[Encode, Decode]:
    """As the referee wants them."""

    def encode(x: Tensor) -> tuple[Tensor, Tensor]:
        mu, log_var = encoder(x.flatten(1)).chunk(2, dim=1)
        return mu, log_var

    return encode, decoder
