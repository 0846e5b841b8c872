"""Multilayer perceptrons, which every space can be encoded and decoded by."""

from __future__ import annotations

import itertools
import math

from torch import nn


def mlp(shape: tuple[int, ...], outputs: int, latent_dim: int, depth: int, width: int) -> tuple[nn.Module, nn.Module]:
    """Encoder (n, *shape) -> (n, outputs) and decoder (n, latent_dim) -> (n, values of a sample): ``depth`` hidden layers of
    ``width`` ReLU units each."""
    values = math.prod(shape)
    encoder = [nn.Flatten(), *layers([values, *[width] * depth, outputs])]
    return nn.Sequential(*encoder), nn.Sequential(*layers([latent_dim, *[width] * depth, values]))


def layers(sizes: list[int]) -> list[nn.Module]:
    """Linear layers of these sizes with ReLU between them."""
    out: list[nn.Module] = []
    for i, o in itertools.pairwise(sizes):
        out += [nn.Linear(i, o), nn.ReLU(inplace=True)]
    return out[:-1]
