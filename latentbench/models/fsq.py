"""Finite scalar quantisation (FSQ): every latent value is rounded to one of L levels; no codebook is learned.

The encoder's output f(x) is squashed value by value and rounded (Mentzer, Minnen, Agustsson & Tschannen 2024). With L levels
of a value, h = (L - 1)(1 + eps) / 2, and o = 1/2 for even L, else 0,

    b(f) = h tanh(f + atanh(o / h)) - o,    q(f) = round(b(f)),

which takes the L whole numbers from -floor(L / 2) on, and 0 at f = 0 falls on one of them. The latent point is
q / floor(L / 2), within [-1, 1]. Rounding has the gradient of the identity (straight through). Loss of an image:
|x - g(q)|^2, summed over pixels, and nothing else: nothing needs to be committed to, and no code can die. Training begins
with the decoder at the mean image.

A position is a group of values and its code their levels taken together, so that it has L_1 L_2 ... codes; the latent has
``parts`` positions.
"""

from __future__ import annotations

import math
import re

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from latentbench.core import Codebook, Loss, ModelEntry, Posterior
from latentbench.models.nets import Shape, Trunk
from latentbench.models.positions import split_latent, straight_through
from latentbench.spaces.space import Net, Space

EPS = 1e-3
"""By this the squashing reaches beyond the outermost levels, which else no finite input would come to (two levels)."""
MOST_CODES = 65536


class FiniteScalarQuantised(nn.Module):
    """An autoencoder whose latent values are rounded; its posterior is a Dirac at the rounded point; see the module's
    docstring.

    ValueError for a field outside its range, where the levels do not fit the positions, and for more than `MOST_CODES` codes.

    Loss: |x - g(q)|^2

    Args:
        levels: of each value of a position, ``8x5x5x5``, or one number for all of them, from 2 each
        parts: positions, a divisor of the latent size; None: as many as the levels leave, of one number what suits it
            (`positions.split_latent`)
    """

    decoder_variance = None
    traceable = True
    bases: Tensor
    levels: Tensor

    def __init__(
        self,
        shape: Shape,
        latent_dim: int,
        *,
        depth: int = 2,
        width: int = 256,
        net: Net = "auto",
        levels: str = "8",
        parts: int | None = None,
        space: Space | None = None,
    ) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        self.parts, each = positions(latent_dim, levels, parts)
        self.size = math.prod(each)
        self.trunk = Trunk(shape, latent_dim, latent_dim, depth=depth, width=width, net=net, space=space)
        # What the fields say and no training moves: not part of the weights.
        self.register_buffer("levels", torch.tensor(each), persistent=False)
        bases = [math.prod(each[:i]) for i in range(len(each))]
        self.register_buffer("bases", torch.tensor(bases), persistent=False)

    def start(self, x: Tensor) -> None:
        """Begin at the mean of the training images ``x``: see `nets.Trunk.start_at_mean`.

        As long as the decoder lacks the mean image, every image's gradient asks the latent for the same, and nothing holds
        the encoder back: all outputs run one way until tanh is flat, where no gradient is left and all images have one code
        (MNIST: 2 of 512 codes used; 460 from the mean image).
        """
        self.trunk.start_at_mean(x)

    def encode(self, x: Tensor) -> Posterior:
        """The rounded point q(f(x)), (n, d), as a Dirac."""
        return Posterior(self.quantise(self.trunk.encode(x)))

    def decode(self, z: Tensor) -> Tensor:
        """Images g(z), (n, c, h, w)."""
        return self.trunk.decode(z)

    def discrete_codes(self) -> Codebook:
        """One of the products of levels at each of ``parts`` positions."""
        return Codebook(self.size, self.parts, self._codes, self._points)

    def loss(self, x: Tensor, generator: torch.Generator) -> Loss:
        """Squared error, summed over pixels, mean over images."""
        error = F.mse_loss(self.decode(self.encode(x).mu), x, reduction="sum") / len(x)
        return Loss(error, {"squared_error": error.detach()})

    def squash(self, z: Tensor) -> Tensor:
        """b(z) of latent values (n, d): within half a level of the outermost whole numbers."""
        levels = self._levels(z)
        half = (levels - 1) * (1 + EPS) / 2
        offset = torch.where(levels % 2 == 0, 0.5, 0.0).to(z)
        return half * torch.tanh(z + torch.atanh(offset / half)) - offset

    def quantise(self, z: Tensor) -> Tensor:
        """The rounded latent point (n, d) of the encoder's output (n, d), with the gradient of `squash`."""
        b = self.squash(z)
        return straight_through(b, b.round()) / self._middle(z)

    def _levels(self, z: Tensor) -> Tensor:
        """L of each latent value, (d,)."""
        return self.levels.repeat(self.parts).to(z)

    def _middle(self, z: Tensor) -> Tensor:
        """floor(L / 2) of each latent value, (d,)."""
        return (self._levels(z) / 2).floor()

    def _codes(self, z: Tensor) -> Tensor:
        middle = self._middle(z)
        digits = (z * middle + middle).round().clamp_min(0)
        digits = torch.minimum(digits, self._levels(z) - 1).long()
        return (digits.view(len(z), self.parts, -1) * self.bases).sum(-1)

    def _points(self, codes: Tensor) -> Tensor:
        digits = (codes[..., None] // self.bases % self.levels).flatten(1).to(next(self.parameters()).dtype)
        middle = self._middle(digits)
        return (digits - middle) / middle


def positions(latent_dim: int, levels: str, parts: int | None) -> tuple[int, list[int]]:
    """How many positions there are, and the levels of each value of one. Raises ValueError, one line, for text that is no
    levels, and where levels, ``parts`` and the latent size do not fit."""
    words = levels.split("x")
    each = [int(w) for w in words if re.fullmatch(r"[0-9]{1,5}", w)]
    if len(each) < len(words) or min(each) < 2:
        raise ValueError(f"levels: '{levels}' is not allowed; numbers from 2 such as 8 or 8x5x5x5")
    if len(each) == 1:
        parts, values = split_latent(latent_dim, parts)
        each = each * values
    elif latent_dim % len(each) or parts not in (None, latent_dim // len(each)):
        fits = f"{latent_dim // len(each)} parts" if latent_dim % len(each) == 0 else "no number of parts"
        raise ValueError(
            f"levels: '{levels}' is not allowed: {len(each)} values a part make {fits} of {latent_dim} latent values"
        )
    else:
        parts = latent_dim // len(each)
    if math.prod(each) > MOST_CODES:
        raise ValueError(f"levels: '{levels}' is not allowed: {math.prod(each)} codes a part, more than {MOST_CODES}")
    return parts, each


FSQ = ModelEntry(
    "fsq",
    FiniteScalarQuantised,
    "autoencoder whose latent values are rounded to a few levels (finite scalar quantisation)",
    "Mentzer et al. 2024",
)
