"""A learned density of latent points, exact and quick to draw from: affine couplings over a mixture of Gaussians.

An invertible map u = f(z) is made of `LAYERS` affine couplings (Dinh, Sohl-Dickstein & Bengio 2017): each leaves one half a of
the coordinates as they are and moves the other by what a small network makes of them,

    u_a = z_a,   u_b = z_b exp(s(z_a)) + t(z_a),     log |det du/dz| = sum_b s(z_a),     s in (-`REACH`, `REACH`),

halves in turns. The images u are of a mixture of `COMPONENTS` diagonal Gaussians (after Izmailov et al. 2020), which also serves
one dimension, where nothing is left to couple:

    log p(z) = log sum_k w_k N(f(z); m_k, diag s_k^2) + log |det du/dz|.

It begins near N(0, I): the couplings as the identity, the means close to 0, the widths at 1.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LAYERS, WIDTH, COMPONENTS = 4, 64, 10
"""Couplings, hidden units of their networks, and Gaussians of the mixture."""
REACH = 2.0
"""Largest |s|: a coupling stretches by at most e^2."""
START = 0.3
"""Standard deviation of the mixture's means at the start: enough to tell them apart."""


class CouplingFlow(nn.Module):
    """A density over latent points of ``latent_dim`` >= 1 dimensions; see the module's docstring. Weights are drawn from
    torch's global generator, as those of any module."""

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        layers = LAYERS if latent_dim > 1 else 0
        self.networks = nn.ModuleList(
            nn.Sequential(nn.Linear(latent_dim, WIDTH), nn.SiLU(), nn.Linear(WIDTH, 2 * latent_dim))
            for _ in range(layers)
        )
        for network in self.networks:
            nn.init.zeros_(network[-1].weight)  # type: ignore[index]
            nn.init.zeros_(network[-1].bias)  # type: ignore[index]
        even = torch.arange(latent_dim) % 2 == 0
        masks = [even if k % 2 == 0 else ~even for k in range(layers)]
        self.register_buffer("kept", torch.stack(masks).float() if masks else torch.zeros(0, latent_dim))
        self.logit = nn.Parameter(torch.zeros(COMPONENTS))
        self.mean = nn.Parameter(START * torch.randn(COMPONENTS, latent_dim))
        self.log_sd = nn.Parameter(torch.zeros(COMPONENTS, latent_dim))

    def _moved(self, k: int, fixed: Tensor) -> tuple[Tensor, Tensor]:
        """S and t of a coupling from the half that stays, 0 on that half; (m, d) each."""
        kept = self.get_buffer("kept")[k]
        raw, shift = self.networks[k](fixed).chunk(2, dim=1)
        return REACH * torch.tanh(raw / REACH) * (1 - kept), shift * (1 - kept)

    def log_prob(self, z: Tensor) -> Tensor:
        """Log p(z) in nats, (m,), of latent points (m, d)."""
        u, stretched = z, z.new_zeros(len(z))
        for k in range(len(self.networks)):
            s, t = self._moved(k, u * self.get_buffer("kept")[k])
            u, stretched = u * s.exp() + t, stretched + s.sum(1)
        apart = (u[:, None] - self.mean) * (-self.log_sd).exp()
        each = -0.5 * apart.square().sum(2) - self.log_sd.sum(1) - 0.5 * z.shape[1] * math.log(2 * math.pi)
        return torch.logsumexp(each + F.log_softmax(self.logit, 0), 1) + stretched

    def draw(self, noise: Tensor, generator: torch.Generator) -> Tensor:
        """Latent points (m, d) made of standard normal ``noise`` (m, d); ``generator`` chooses components."""
        share = self.logit.softmax(0).detach().cpu()
        chosen = torch.multinomial(share, len(noise), replacement=True, generator=generator).to(noise.device)
        z = self.mean[chosen].to(noise) + self.log_sd[chosen].exp().to(noise) * noise
        z = z.to(self.mean)
        for k in reversed(range(len(self.networks))):
            s, t = self._moved(k, z * self.get_buffer("kept")[k])
            z = (z - t) * (-s).exp()
        return z
