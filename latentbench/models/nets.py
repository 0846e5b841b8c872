"""Shared encoder and decoder blocks, so that models compared differ in their loss and in nothing else.

``mlp``: flatten, ``depth`` hidden layers of ``width`` ReLU units, a linear head. ``conv``: strided 3x3 convolutions
that halve the image ``depth`` times (doubling the channels up to ``width``), mirrored by transposed ones. ``depth`` 0
is linear in both.

The decoder ends in a sigmoid, since images lie in [0, 1]; only a linear one (``depth`` 0) does not, so that it *is*
linear and the closed forms (PCA, probabilistic PCA) hold for it.
"""

from __future__ import annotations

import itertools
import math
from typing import Literal

import torch
from torch import Tensor, nn

Net = Literal["auto", "mlp", "conv"]
Shape = tuple[int, int, int]

DARK = 0.05
"""Images whose mean value is below this, or above 1 less this, are nearly empty: see `Trunk.start`."""

SMALL = 1024
"""Images of at most this many values get an MLP under ``auto``, larger ones convolutions."""


class Trunk(nn.Module):
    """An encoder (n, c, h, w) -> (n, outputs) and its mirror, a decoder (n, d) -> (n, c, h, w).

    Raises ValueError where the image is too small to be halved ``depth`` times.
    """

    def __init__(self, shape: Shape, outputs: int, latent_dim: int, *, depth: int, width: int, net: Net) -> None:
        super().__init__()
        self.shape = shape
        self.linear = depth == 0
        if net == "conv" or (net == "auto" and math.prod(shape) > SMALL and depth > 0):
            self.encoder, self.decoder = _conv(shape, outputs, latent_dim, depth, width)
        else:
            self.encoder, self.decoder = _mlp(shape, outputs, latent_dim, depth, width)

    def encode(self, x: Tensor) -> Tensor:
        """Head outputs (n, outputs) of images."""
        out: Tensor = self.encoder(x)
        return out

    def logits(self, z: Tensor) -> Tensor:
        """What stands before the sigmoid, (n, c, h, w), for latent points (n, d)."""
        out: Tensor = self.decoder(z)
        return out.view(-1, *self.shape)

    @torch.no_grad()
    def start(self, x: Tensor) -> None:
        """Let the decoder begin at the mean value of the training images ``x``, where these are nearly empty.

        A sigmoid begins at 1/2. On images that are all but black the way down from there overshoots: units die, the
        sigmoid saturates, and squared error stays at the black image for good (thin lines: R^2 -.05 after 3,000 steps,
        .997 from the mean). Other images need no such help and keep the plain start.
        """
        mean = float(x.mean())
        head = list(self.decoder.modules())[-1]
        if self.linear or DARK <= mean <= 1 - DARK or not 0 < mean < 1:
            return
        if isinstance(head, nn.Linear | nn.ConvTranspose2d) and head.bias is not None:
            head.bias.fill_(math.log(mean / (1 - mean)))

    def decode(self, z: Tensor) -> Tensor:
        """Images (n, c, h, w) of latent points (n, d)."""
        return self.logits(z) if self.linear else self.logits(z).sigmoid()


def _mlp(shape: Shape, outputs: int, latent_dim: int, depth: int, width: int) -> tuple[nn.Module, nn.Module]:
    pixels = math.prod(shape)
    encoder = [nn.Flatten(), *_layers([pixels, *[width] * depth, outputs])]
    return nn.Sequential(*encoder), nn.Sequential(*_layers([latent_dim, *[width] * depth, pixels]))


def _layers(sizes: list[int]) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for i, o in itertools.pairwise(sizes):
        layers += [nn.Linear(i, o), nn.ReLU(inplace=True)]
    return layers[:-1]


def _conv(shape: Shape, outputs: int, latent_dim: int, depth: int, width: int) -> tuple[nn.Module, nn.Module]:
    channels, *sizes = shape
    steps = [(sizes[0], sizes[1])]
    for _ in range(depth):
        h, w = steps[-1]
        if min(h, w) < 2:
            raise ValueError(
                f"depth: a {sizes[0]}x{sizes[1]} image cannot be halved {depth} times; use a smaller depth"
            )
        steps.append(((h + 1) // 2, (w + 1) // 2))
    widths = [channels, *[min(width, 32 * 2**i) for i in range(depth)]]
    down: list[nn.Module] = []
    up: list[nn.Module] = []
    for k in range(depth):
        (h, w), (h2, w2) = steps[k], steps[k + 1]
        down += [nn.Conv2d(widths[k], widths[k + 1], 3, stride=2, padding=1), nn.ReLU(inplace=True)]
        # output_padding undoes the rounding of the halving: 2 * ceil(h / 2) - 1 + padding = h
        padding = (h - 2 * h2 + 1, w - 2 * w2 + 1)
        stage = [nn.ConvTranspose2d(widths[k + 1], widths[k], 3, stride=2, padding=1, output_padding=padding)]
        up = [*stage, *([nn.ReLU(inplace=True)] if k else []), *up]
    h, w = steps[-1]
    flat = widths[-1] * h * w
    head = [nn.Flatten(), nn.Linear(flat, outputs)]
    tail = [
        nn.Linear(latent_dim, flat),
        nn.Unflatten(1, (widths[-1], h, w)),
        *([nn.ReLU(inplace=True)] if depth else []),
    ]
    return nn.Sequential(*down, *head), nn.Sequential(*tail, *up)
