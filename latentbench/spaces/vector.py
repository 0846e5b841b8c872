"""Vectors (f,): rows of a table, real values by column.

They are measured after standardising by the mean and standard deviation of each column on the training split, so that no
column outweighs another by its unit; ``scale`` leads back to raw values.

    shown                       never shown
    noise                       gaussian_noise
    columns                     some_columns
    halves                      permuted
    blend                       average
    constant                    mean

``columns`` takes each column from another sample: it keeps every marginal and breaks every relation between columns;
``permuted`` gives each sample's values to columns that are not theirs.

Floors are both kinds of noise and nothing else: where columns are independent, shuffled ones are real; where a class is one
heap, its mean is; where all columns go together, a constant is. Measured on the first split, at least 200 samples a kind
(passed of real, noise, gaussian_noise, columns, mean):

    breast_cancer                            .87    0     0     0     0
    digits as vectors                        .95    0     0    .003   0
    three Gaussian classes, ten dimensions   .95   .005   0    .01    0
    diabetes by thirds of its target         .89   .01    0    .025   0
    wine                                     .89   .14   .03   .30   .91

Of wine, 107 rows in 13 columns, half of all uniform noise lies as near to the data as the data themselves (5th neighbour):
neither fewer steps, nor noise added to the rows, nor dropout told the two apart, and the judge is refused.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from latentbench.randomness import randn
from latentbench.spaces.junk import Kind, Made, average, blend, mean, pairs, some
from latentbench.spaces.networks import layers, mlp
from latentbench.spaces.space import Classifier, Net, Networks, Space

REACH = 3.0
"""Standard deviations that the colours of a picture reach."""
TALL = 64
"""Pixels that a picture is high at most."""
COLOURS = ((33, 102, 172), (247, 247, 247), (178, 88, 0))
"""Of the lowest, the middle and the highest value in a picture."""


def _noise(x: Tensor, count: int, g: torch.Generator) -> Made:
    """Uniform between the least and the largest value of each column."""
    low, high = x.amin(0), x.amax(0)
    return Made(low + (high - low) * torch.rand((count, *x.shape[1:]), generator=g))


def _gaussian_noise(x: Tensor, count: int, g: torch.Generator) -> Made:
    shape = torch.Size((count, *x.shape[1:]))
    return Made(x.mean(0) + 2 * x.std(0) * randn(shape, g, x))


def shuffle_columns(x: Tensor, g: torch.Generator) -> Tensor:
    """Samples (n, f) whose columns were each permuted among them, in its own way."""
    order = torch.rand(x.shape, generator=g).argsort(0)
    return x.gather(0, order.to(x.device))


def _columns(x: Tensor, count: int, g: torch.Generator) -> Made:
    whole = some(x, count, g)
    return Made(shuffle_columns(whole, g), whole[None])


def _some_columns(x: Tensor, count: int, g: torch.Generator) -> Made:
    whole = some(x, count, g)
    kept = torch.rand(whole.shape, generator=g) < 0.5
    return Made(torch.where(kept, whole, shuffle_columns(whole, g)), whole[None])


def _halves(x: Tensor, count: int, g: torch.Generator) -> Made:
    a, b = pairs(x, count, g)
    cut = x.shape[1] // 2
    return Made(torch.cat([a[:, :cut], b[:, cut:]], 1), torch.stack([a, b]))


def _permuted(x: Tensor, count: int, g: torch.Generator) -> Made:
    whole = some(x, count, g)
    order = torch.rand(whole.shape, generator=g).argsort(1)
    return Made(whole.gather(1, order.to(x.device)), whole[None])


def _constant(x: Tensor, count: int, g: torch.Generator) -> Made:
    """One value in all columns, drawn like any value of the data."""
    values = x.flatten()[torch.randint(x.numel(), (count,), generator=g)]
    return Made(values[:, None].expand(-1, *x.shape[1:]))


VECTORS: tuple[Kind, ...] = (
    Kind("noise", _noise, shown=True, floor=True),
    Kind("gaussian_noise", _gaussian_noise, shown=False, floor=True),
    Kind("columns", _columns, shown=True),
    Kind("some_columns", _some_columns, shown=False),
    Kind("halves", _halves, shown=True),
    Kind("permuted", _permuted, shown=False),
    Kind("average", average, shown=False),
    Kind("blend", blend, shown=True),
    Kind("constant", _constant, shown=True, weight=0.5),
    Kind("mean", mean, shown=False),
)
"""The kinds that are tried on vectors."""


@final
@dataclass(frozen=True)
class Vector(Space):
    """Rows (f,) of real values."""

    name: ClassVar[str] = "vector"
    one: ClassVar[str] = "vector"
    many: ClassVar[str] = "vectors"

    @property
    def junk(self) -> tuple[Kind, ...]:
        """See `VECTORS`."""
        return VECTORS

    def anchors(self, x: Tensor, mean: Tensor, generator: torch.Generator) -> Mapping[str, Tensor]:
        """Real rows; uniform noise between each column's extremes; rows with their columns shuffled among them; the mean
        row, once."""
        low, high = x.amin(0), x.amax(0)
        noise = low + (high - low) * torch.rand(x.shape, generator=generator, device=generator.device).to(x)
        return {
            "ceiling:real": x,
            "floor:noise": noise,
            "floor:shuffle": shuffle_columns(x, generator),
            "floor:mean": mean,
        }

    def classifier(self, outputs: int) -> Classifier:
        """Two layers of ``outputs`` ReLU units."""
        return Classifier(nn.Sequential(nn.Flatten(), *layers([self.shape[0], 2 * outputs, outputs]), nn.ReLU()))

    def networks(self, outputs: int, latent_dim: int, depth: int, width: int, net: Net) -> Networks:
        """An MLP. Raises ValueError for ``net`` conv: there is nothing to convolve over."""
        if net == "conv":
            raise ValueError("net: 'conv' is not allowed for vectors; use mlp")
        return mlp(self.shape, outputs, latent_dim, depth, width)

    def by_column(self, x: Tensor) -> Tensor | None:
        """The vectors as they are, (n, f)."""
        return x

    def pictures(self, x: Tensor) -> NDArray[np.uint8]:
        """Heat strips (..., h, w, 3) of vectors (..., f), a third as wide as they are high, a row a column of the data, the
        first on top: white 0 (the mean, where values are standardised), blue below, orange above, full at `REACH`; bounded
        values from blue (lowest) to orange (highest). Of more than `TALL` columns neighbours share a row, as their mean."""
        low, high = self.bounds or (-REACH, REACH)
        values = x.detach().cpu().double().nan_to_num(0).reshape(-1, 1, x.shape[-1])
        tall = min(TALL, x.shape[-1])
        pooled = F.adaptive_avg_pool1d(values, tall).view(*x.shape[:-1], tall)
        share = ((pooled - low) / (high - low)).clamp(0, 1)[..., None]
        blue, white, orange = (torch.tensor(c, dtype=torch.float64) for c in COLOURS)
        below, above = (2 * share).clamp(0, 1), (2 * share - 1).clamp(0, 1)
        colour = torch.where(share < 0.5, blue + (white - blue) * below, white + (orange - white) * above)
        wide = math.ceil(tall / 3)
        strips = colour.round().byte()[..., None, :].expand(*x.shape[:-1], tall, wide, 3)
        out: NDArray[np.uint8] = strips.numpy()
        return out
