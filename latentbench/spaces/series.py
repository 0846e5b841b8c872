"""Time series (t, c): ``t`` steps of ``c`` channels, real values.

They are measured after standardising each channel by its mean and standard deviation on the training split.

    shown                       never shown
    noise                       gaussian_noise
    shuffle                     blocks
    segments                    reversed
    channels                    inverted
    blend                       average
    flat                        mean

``segments`` is one series up to its middle and another from there on; ``blocks`` shuffles eighths of the time; ``channels``
takes each channel from another series (there is none of it where there is one channel); ``inverted`` is turned upside down.

Floors are uniform noise and flat series: slow or noisy series that are shuffled, reversed or drawn from a Gaussian may be real.
On ``waves`` a judge passes .91 of real series, 0 of the floors and at most .015 of any kind (``average``), shown or not.
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
from latentbench.spaces.networks import mlp
from latentbench.spaces.space import Classifier, Net, Networks, Space

BLOCKS = 8
"""Parts of the time that are shuffled as wholes."""
REACH = 3.0
"""Standard deviations that a picture reaches up and down."""
HIGH, WIDE, EDGE = 40, 40, 2
"""Pixels of a picture, and those left blank at its sides, so that pictures in a row stay apart."""
INKS = (40, 125, 175, 205)
"""Greys of the channels' lines, in turn."""
SMALL = 256
"""Series of at most this many values get an MLP under ``auto``, longer ones convolutions."""


def _noise(x: Tensor, count: int, g: torch.Generator) -> Made:
    """Uniform between the least and the largest value of each channel."""
    low, high = x.amin((0, 1)), x.amax((0, 1))
    return Made(low + (high - low) * torch.rand((count, *x.shape[1:]), generator=g))


def _gaussian_noise(x: Tensor, count: int, g: torch.Generator) -> Made:
    shape = torch.Size((count, *x.shape[1:]))
    return Made(x.mean((0, 1)) + x.std((0, 1)) * randn(shape, g, x))


def shuffle_time(x: Tensor, g: torch.Generator, parts: int | None = None) -> Tensor:
    """Series (n, t, c), each with its own permutation of its steps, or of ``parts`` blocks of them."""
    n, t, _ = x.shape
    blocks = t if parts is None else min(t, parts)
    place = torch.arange(t) * blocks // t
    rank = torch.rand((n, blocks), generator=g)
    order = (rank[:, place] + torch.arange(t) * 1e-9).argsort(1)
    return x.gather(1, order.to(x.device)[..., None].expand_as(x))


def _shuffle(x: Tensor, count: int, g: torch.Generator) -> Made:
    whole = some(x, count, g)
    return Made(shuffle_time(whole, g), whole[None])


def _blocks(x: Tensor, count: int, g: torch.Generator) -> Made:
    whole = some(x, count, g)
    return Made(shuffle_time(whole, g, BLOCKS), whole[None])


def _segments(x: Tensor, count: int, g: torch.Generator) -> Made:
    a, b = pairs(x, count, g)
    cut = x.shape[1] // 2
    return Made(torch.cat([a[:, :cut], b[:, cut:]], 1), torch.stack([a, b]))


def _channels(x: Tensor, count: int, g: torch.Generator) -> Made:
    whole = some(x, count, g)
    order = torch.rand((len(whole), whole.shape[2]), generator=g).argsort(0)
    # Of a single channel, or where all happen to come from one series, it is that series still.
    sources = whole[order.T]
    return Made(torch.stack([s[..., c] for c, s in enumerate(sources)], -1), sources)


def _inverted(x: Tensor, count: int, g: torch.Generator) -> Made:
    whole = some(x, count, g)
    return Made(2 * x.mean((0, 1)) - whole, whole[None])


def _reversed(x: Tensor, count: int, g: torch.Generator) -> Made:
    whole = some(x, count, g)
    return Made(whole.flip(1), whole[None])


def flat(x: Tensor, count: int, g: torch.Generator) -> Tensor:
    """``count`` series like ``x`` (n, t, c), each channel at one value all along, drawn between its extremes."""
    low, high = x.amin((0, 1)), x.amax((0, 1))
    share = torch.rand((count, 1, x.shape[2]), generator=g, device=g.device).to(x)
    return (low + (high - low) * share).expand(-1, *x.shape[1:])


def _flat(x: Tensor, count: int, g: torch.Generator) -> Made:
    return Made(flat(x, count, g))


SERIES: tuple[Kind, ...] = (
    Kind("noise", _noise, shown=True, floor=True),
    Kind("gaussian_noise", _gaussian_noise, shown=False),
    Kind("shuffle", _shuffle, shown=True),
    Kind("blocks", _blocks, shown=False),
    Kind("segments", _segments, shown=True),
    Kind("reversed", _reversed, shown=False),
    Kind("channels", _channels, shown=True),
    Kind("inverted", _inverted, shown=False),
    Kind("blend", blend, shown=True),
    Kind("average", average, shown=False),
    Kind("flat", _flat, shown=True, floor=True, weight=0.5),
    Kind("mean", mean, shown=False),
)
"""The kinds that are tried on series."""


@final
@dataclass(frozen=True)
class Series(Space):
    """Series (t, c): steps of channels."""

    name: ClassVar[str] = "series"
    one: ClassVar[str] = "series"
    many: ClassVar[str] = "series"

    @property
    def junk(self) -> tuple[Kind, ...]:
        """See `SERIES`."""
        return SERIES

    def anchors(self, x: Tensor, mean: Tensor, generator: torch.Generator) -> Mapping[str, Tensor]:
        """Real series; uniform noise between each channel's extremes; series with their steps shuffled; the mean series,
        once; flat ones."""
        low, high = x.amin((0, 1)), x.amax((0, 1))
        noise = low + (high - low) * torch.rand(x.shape, generator=generator, device=generator.device).to(x)
        return {
            "ceiling:real": x,
            "floor:noise": noise,
            "floor:shuffle": shuffle_time(x, generator),
            "floor:mean": mean,
            "floor:flat": flat(x, len(x), generator),
        }

    def classifier(self, outputs: int) -> Classifier:
        """Convolutions over time down to eight steps, then one layer of ``outputs`` ReLU units."""
        t, c = self.shape
        layers: list[nn.Module] = [_Channels(), nn.Conv1d(c, 16, 5, padding=2), nn.ReLU()]
        channels = 16
        while t > 8:
            layers += [nn.Conv1d(channels, 32, 5, stride=2, padding=2), nn.ReLU()]
            channels, t = 32, math.ceil(t / 2)
        return Classifier(nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * t, outputs), nn.ReLU()))

    def networks(self, outputs: int, latent_dim: int, depth: int, width: int, net: Net) -> Networks:
        """Convolutions over time that halve it ``depth`` times, mirrored by transposed ones, where they are asked for or
        under ``auto`` for more than `SMALL` values; else an MLP. Raises ValueError where there are too few steps."""
        if net == "conv" or (net == "auto" and math.prod(self.shape) > SMALL and depth > 0):
            return _conv(self.shape, outputs, latent_dim, depth, width)
        return mlp(self.shape, outputs, latent_dim, depth, width)

    def by_column(self, x: Tensor) -> Tensor | None:
        """The values of each channel at all steps, (n t, c)."""
        return x.reshape(-1, x.shape[-1])

    def pictures(self, x: Tensor) -> NDArray[np.uint8]:
        """Line plots (..., `HIGH`, `WIDE`) of series (..., t, c), on white, a line a channel, the first the darkest; 0 stands in the middle and
        `REACH` at the edges, or the bounds where there are some."""
        low, high = self.bounds or (-REACH, REACH)
        flat = x.detach().cpu().double().nan_to_num(0).reshape(-1, *x.shape[-2:])
        at = torch.linspace(0, flat.shape[1] - 1, WIDE - 2 * EDGE, dtype=torch.float64)
        left = at.floor().long().clamp(max=max(0, flat.shape[1] - 2))
        right = (left + 1).clamp(max=flat.shape[1] - 1)
        part = (at - left)[:, None]
        values = flat[:, left] * (1 - part) + flat[:, right] * part
        row = ((high - values) / (high - low)).clamp(0, 1) * (HIGH - 1)
        # From each column of pixels to the next a line covers the rows between.
        following = torch.cat([row[:, 1:], row[:, -1:]], 1)
        upper, lower = torch.minimum(row, following) - 0.5, torch.maximum(row, following) + 0.5
        rows = torch.arange(HIGH, dtype=torch.float64)[:, None, None]
        inked = (rows >= upper[:, None]) & (rows <= lower[:, None])
        inks = torch.tensor(INKS)[torch.arange(flat.shape[2]) % len(INKS)]
        # Where lines cross, the darkest is on top.
        grey = F.pad(torch.where(inked, inks, 255).amin(-1), (EDGE, EDGE), value=255)
        out: NDArray[np.uint8] = grey.byte().view(*x.shape[:-2], HIGH, WIDE).numpy()
        return out


class _Channels(nn.Module):
    """(n, t, c) as (n, c, t), and back."""

    def forward(self, x: Tensor) -> Tensor:
        """Swap the last two axes."""
        return x.transpose(1, 2)


def _conv(shape: tuple[int, ...], outputs: int, latent_dim: int, depth: int, width: int) -> Networks:
    t, channels = shape
    steps = [t]
    for _ in range(depth):
        if steps[-1] < 2:
            raise ValueError(f"depth: {t} steps cannot be halved {depth} times; use a smaller depth")
        steps.append((steps[-1] + 1) // 2)
    widths = [channels, *[min(width, 32 * 2**i) for i in range(depth)]]
    down: list[nn.Module] = [_Channels()]
    up: list[nn.Module] = []
    for k in range(depth):
        down += [nn.Conv1d(widths[k], widths[k + 1], 5, stride=2, padding=2), nn.ReLU(inplace=True)]
        # output_padding undoes the rounding of the halving: 2 * ceil(t / 2) - 1 + padding = t
        padding = steps[k] - 2 * steps[k + 1] + 1
        stage = [nn.ConvTranspose1d(widths[k + 1], widths[k], 5, stride=2, padding=2, output_padding=padding)]
        up = [*stage, *([nn.ReLU(inplace=True)] if k else []), *up]
    flat = widths[-1] * steps[-1]
    tail = [
        nn.Linear(latent_dim, flat),
        nn.Unflatten(1, (widths[-1], steps[-1])),
        *([nn.ReLU(inplace=True)] if depth else []),
    ]
    encoder = nn.Sequential(*down, nn.Flatten(), nn.Linear(flat, outputs))
    return encoder, nn.Sequential(*tail, *up, _Channels())
