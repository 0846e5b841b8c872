"""Images (c, h, w) with values in [0, 1].

Every kind of junk that is shown to a judge's training has relatives among those that are not:

    shown                           never shown
    noise                           gaussian_noise
    shuffle                         rows
    halves                          sides, roll
    blend, subset_mean, maximum     average, mean
    blur                            blur_more
    black, white, constant          inverted

``average``, the mean of two images, is held out for one more reason: it is the middle of a cross-fade, which decoded paths
are measured against. A judge that was taught to refuse it would flatter every path.

Networks: ``conv``, strided 3x3 convolutions that halve the image ``depth`` times (doubling the channels up to ``width``),
mirrored by transposed ones, or an MLP.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from latentbench.randomness import randn
from latentbench.spaces.junk import Kind, Made, average, blend, mean, pairs, some
from latentbench.spaces.networks import layers as linear
from latentbench.spaces.networks import mlp
from latentbench.spaces.space import Classifier, Net, Networks, Space

GREYS = 99
"""Images of one grey each among the anchors."""
SMALL = 1024
"""Images of at most this many values get an MLP under ``auto``, larger ones convolutions."""
TINY = 100
"""Images of at most this many values are classified by an MLP, larger ones by convolutions. Digits of 8 x 8 over five seeds, the
MLP and what stood here before: accuracy .987 and .986, real images passed .941 and .932, most of a kind of junk that was shown
.049 and .071, never shown .198 and .175, for a fifth of the processor time."""


def _noise(x: Tensor, count: int, g: torch.Generator) -> Made:
    return Made(torch.rand((count, *x.shape[1:]), generator=g))


def _gaussian_noise(x: Tensor, count: int, g: torch.Generator) -> Made:
    shape = torch.Size((count, *x.shape[1:]))
    return Made((x.mean() + x.std() * randn(shape, g, x)).clamp(0, 1))


def shuffle_pixels(x: Tensor, g: torch.Generator) -> Tensor:
    """Each image with its own random permutation of pixels (the same in all channels): its histogram stays, its
    picture goes. Shape (n, c, h, w)."""
    n, c, h, w = x.shape
    order = torch.rand((n, 1, h * w), generator=g).argsort(-1).expand(n, c, h * w)
    return x.reshape(n, c, h * w).gather(2, order.to(x.device)).view(n, c, h, w)


def _shuffle(x: Tensor, count: int, g: torch.Generator) -> Made:
    whole = some(x, count, g)
    return Made(shuffle_pixels(whole, g), whole[None])


def _rows(x: Tensor, count: int, g: torch.Generator) -> Made:
    whole = some(x, count, g)
    n, c, h, w = whole.shape
    order = torch.rand((n, 1, h, 1), generator=g).argsort(2).expand(n, c, h, w)
    return Made(whole.gather(2, order), whole[None])


def _subset_mean(x: Tensor, count: int, g: torch.Generator) -> Made:
    sizes = (2 ** (4 + 4 * torch.rand(count, generator=g))).long()
    drawn = torch.randint(len(x), (int(sizes.sum()),), generator=g).to(x.device)
    begins = (sizes.cumsum(0) - sizes).to(x.device)
    means = F.embedding_bag(drawn, x.flatten(1), begins, mode="mean")  # of rows, wherever they come from
    return Made(means.view(count, *x.shape[1:]))


def _maximum(x: Tensor, count: int, g: torch.Generator) -> Made:
    a, b = pairs(x, count, g)
    return Made(torch.maximum(a, b), torch.stack([a, b]))


def _halves(x: Tensor, count: int, g: torch.Generator) -> Made:
    a, b = pairs(x, count, g)
    cut = x.shape[2] // 2
    return Made(torch.cat([a[:, :, :cut], b[:, :, cut:]], 2), torch.stack([a, b]))


def _sides(x: Tensor, count: int, g: torch.Generator) -> Made:
    a, b = pairs(x, count, g)
    cut = x.shape[3] // 2
    return Made(torch.cat([a[..., :cut], b[..., cut:]], 3), torch.stack([a, b]))


def _roll(x: Tensor, count: int, g: torch.Generator) -> Made:
    whole = some(x, count, g)
    return Made(whole.roll((x.shape[2] // 2, x.shape[3] // 2), (2, 3)), whole[None])


def _blurred(x: Tensor, passes: int) -> Tensor:
    for _ in range(passes):
        x = F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
    return x


def _blur(x: Tensor, count: int, g: torch.Generator) -> Made:
    whole = some(x, count, g)
    return Made(_blurred(whole, 1), whole[None])


def _blur_more(x: Tensor, count: int, g: torch.Generator) -> Made:
    whole = some(x, count, g)
    return Made(_blurred(whole, 3), whole[None])


def _inverted(x: Tensor, count: int, g: torch.Generator) -> Made:
    whole = some(x, count, g)
    return Made(1 - whole, whole[None])


def constants(x: Tensor, values: Sequence[float]) -> Tensor:
    """Images shaped like those of ``x`` (n, c, h, w), each of one of ``values`` in all its pixels and channels."""
    return torch.tensor(values, dtype=x.dtype, device=x.device)[:, None, None, None].expand(-1, *x.shape[1:])


def _black(x: Tensor, count: int, g: torch.Generator) -> Made:
    return Made(constants(x, [0.0] * count))


def _white(x: Tensor, count: int, g: torch.Generator) -> Made:
    return Made(constants(x, [1.0] * count))


def _constant(x: Tensor, count: int, g: torch.Generator) -> Made:
    return Made(constants(x, torch.rand(count, generator=g).tolist()))


IMAGES: tuple[Kind, ...] = (
    Kind("noise", _noise, shown=True, floor=True),
    Kind("gaussian_noise", _gaussian_noise, shown=False, floor=True),
    Kind("shuffle", _shuffle, shown=True, floor=True),
    Kind("mean", mean, shown=False, floor=True),
    Kind("black", _black, shown=True, floor=True, weight=0.25, single=True),
    Kind("white", _white, shown=True, floor=True, weight=0.25, single=True),
    Kind("constant", _constant, shown=True, floor=True, weight=0.5),
    Kind("rows", _rows, shown=False),
    Kind("blend", blend, shown=True),
    Kind("subset_mean", _subset_mean, shown=True),
    Kind("average", average, shown=False),
    Kind("maximum", _maximum, shown=True),
    Kind("halves", _halves, shown=True),
    Kind("sides", _sides, shown=False),
    Kind("roll", _roll, shown=False),
    Kind("blur", _blur, shown=True),
    Kind("blur_more", _blur_more, shown=False),
    Kind("inverted", _inverted, shown=False),
)
"""The kinds that are tried on images."""


@final
@dataclass(frozen=True)
class Image(Space):
    """Images (c, h, w), grey or in colour, with values in [0, 1]."""

    name: ClassVar[str] = "image"
    one: ClassVar[str] = "image"
    many: ClassVar[str] = "images"

    bounds: tuple[float, float] | None = (0.0, 1.0)

    def faults(self) -> list[str]:
        """Also a number of channels that no picture has."""
        channels = self.shape[0]
        return [*super().faults(), *([] if channels in (1, 3, 4) else [f"{channels} channels; 1, 3 or 4"])]

    @property
    def junk(self) -> tuple[Kind, ...]:
        """See `IMAGES`."""
        return IMAGES

    def anchors(self, x: Tensor, mean: Tensor, generator: torch.Generator) -> Mapping[str, Tensor]:
        """Real images; uniform noise; real images with their pixels shuffled, each in its own way; the mean image, once; a
        black and a white one; `GREYS` of one grey each."""
        noise = torch.rand(x.shape, generator=generator, device=generator.device).to(x)
        order = torch.rand(len(x), 1, x[0, 0].numel(), generator=generator, device=generator.device).argsort(-1)
        shuffled = x.flatten(2).gather(2, order.to(x.device).expand(-1, x.shape[1], -1)).view_as(x)
        greys = torch.linspace(0, 1, GREYS + 2, dtype=x.dtype, device=x.device)
        grey = greys[:, None, None, None].expand(-1, *x.shape[1:])
        return {
            "ceiling:real": x,
            "floor:noise": noise,
            "floor:shuffle": shuffled,
            "floor:mean": mean,
            "floor:black": grey[:1],
            "floor:white": grey[-1:],
            "floor:constant": grey[1:-1],
        }

    def classifier(self, outputs: int) -> Classifier:
        """Convolutions down to four pixels a side, then one layer of ``outputs`` ReLU units; of images of at most `TINY`
        values an MLP with one hidden layer of 8 ``outputs``."""
        c, h, w = self.shape
        if c * h * w <= TINY:
            body = nn.Sequential(nn.Flatten(), *linear([c * h * w, 8 * outputs, outputs]), nn.ReLU())
            return Classifier(body, steps=800, rate=5e-3)
        # Images up to 16 pixels keep their resolution in the first layer: there is none to spare.
        first = 1 if min(h, w) <= 16 else 2
        layers: list[nn.Module] = [nn.Conv2d(c, 16, 3, stride=first, padding=1), nn.ReLU()]
        size = (math.ceil(h / first), math.ceil(w / first))
        channels = 16
        while min(size) > 4:
            layers += [nn.Conv2d(channels, 32, 3, stride=2, padding=1), nn.ReLU()]
            channels, size = 32, (math.ceil(size[0] / 2), math.ceil(size[1] / 2))
        layers += [nn.Flatten(), nn.Linear(channels * size[0] * size[1], outputs), nn.ReLU()]
        return Classifier(nn.Sequential(*layers))

    def networks(self, outputs: int, latent_dim: int, depth: int, width: int, net: Net) -> Networks:
        """Convolutions where they are asked for, or under ``auto`` for images of more than `SMALL` values; else an MLP.
        Raises ValueError where the image is too small to be halved ``depth`` times."""
        if net == "conv" or (net == "auto" and math.prod(self.shape) > SMALL and depth > 0):
            c, h, w = self.shape
            return _conv((c, h, w), outputs, latent_dim, depth, width)
        return mlp(self.shape, outputs, latent_dim, depth, width)

    def pictures(self, x: Tensor) -> NDArray[np.uint8]:
        """Images (..., c, h, w) as uint8 (..., h, w) for one channel, (..., h, w, 3) for more."""
        x = x.detach().cpu().nan_to_num(0).clamp(0, 1).movedim(-3, -1)
        x = x[..., 0] if x.shape[-1] < 3 else x[..., :3]
        out: NDArray[np.uint8] = (x * 255).round().byte().numpy()
        return out


def _conv(
    shape: tuple[int, int, int], outputs: int, latent_dim: int, depth: int, width: int
) -> tuple[nn.Module, nn.Module]:
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
