"""Junk: images that are none, made from real ones, by which a judge is taught to refuse and then tried.

A *kind* is an object: a name, a maker and what it is there for. About half of the kinds are *shown* to the judge's
training; the others never are, so that it can be told what the judge makes of junk it has not seen. Every kind that is
shown has relatives among those that are not:

    shown                           never shown
    noise                           gaussian_noise
    shuffle                         rows
    halves                          sides, roll
    blend, subset_mean, maximum     average, mean
    blur                            blur_more
    black, white, constant          inverted

``average``, the mean of two images, is held out for one more reason: it is the middle of a cross-fade, which decoded paths
are measured against. A judge that was taught to refuse it would flatter every path.

*Floors* are what a judge must refuse on any data: one that passes more than 5 % of one of them is not used.

What is made from real images may be a real image: the upper half of one line upon the lower half of another is one of the
two where the other half is empty, and a patch of clear sky stays one however its rows are permuted. Taught as junk, it
would teach the judge to refuse what is real. So a maker also gives the images that its own were made from, and what
differs from one of them by less than `SAME` of the data's variance, less than a reconstruction of R^2 .99 does, is that
image still: it is neither taught nor counted. What is made from no image in particular is held against training images
where it is counted.

Of some kinds no distance in pixels tells that they are real: shuffled grass is grass. So halfway through its training a
judge is asked: a kind of which it takes more than half for real by then is withdrawn, unless it is a floor; what it passes
of it is recorded all the same. Where such a kind is a floor, the judge is refused: on such data no classifier can tell.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from latentbench.geometry.neighbours import nearest
from latentbench.randomness import randn

SAME = 0.01
"""Share of the data's variance below which two images are one."""
CANDIDATES = 4
"""Images of which the one that is least like the first becomes the second of a pair."""
FEW = 20
"""Images below which a share of them says nothing."""
HALVES = 20
"""Means of random halves beside the mean image."""


class Made(NamedTuple):
    """What a maker gives: ``images`` (n, c, h, w) and, for each, the k real images that it may still be, ``sources``
    (k, n, c, h, w); None where it is made from none in particular."""

    images: Tensor
    sources: Tensor | None = None


Maker = Callable[[Tensor, int, torch.Generator], Made]


@dataclass(frozen=True)
class Kind:
    """A kind of junk. ``maker(x, count, generator)`` makes ``count`` of it from real images ``x`` (n, c, h, w) in
    [0, 1]; ``shown``: whether the judge's training sees it, ``weight``: its part of a batch of junk beside those of the
    others; ``floor``: whether a judge that passes it is refused."""

    name: str
    maker: Maker
    shown: bool
    floor: bool = False
    weight: float = 1.0
    single: bool = False

    def make(self, x: Tensor, count: int, generator: torch.Generator, apart: float) -> Tensor:
        """At most ``count`` images of this kind (m, c, h, w) from real images ``x``: those farther than ``apart``, in
        pixels, from every image that they were made from."""
        made = self.maker(x, count, generator)
        return made.images if made.sources is None else made.images[_to_sources(made.images, made.sources) > apart]

    def tried(self, x: Tensor, count: int, generator: torch.Generator, apart: float, known: Tensor) -> Tensor:
        """Like `make`, to be counted: what is made from no image in particular is held against ``known`` (k, c, h, w),
        and there are none where fewer than `FEW` are left."""
        made = self.maker(x, 1 if self.single else count, generator)
        if made.sources is None:
            distance = nearest(made.images, known).distance[:, 0]
        else:
            distance = _to_sources(made.images, made.sources)
        left = made.images[distance > apart]
        return left if len(left) >= min(FEW, len(made.images)) else left[:0]


def _to_sources(images: Tensor, sources: Tensor) -> Tensor:
    """Distance (n,) float64 from each of ``images`` (n, c, h, w) to the nearest of its own ``sources`` (k, n, c, h, w)."""
    return (images - sources).double().flatten(2).square().sum(2).sqrt().amin(0)


def apart(x: Tensor) -> float:
    """The distance in pixels below which two images are one, on data ``x`` (n, c, h, w): ``sqrt(SAME * V)`` with V the
    variance of an image, summed over its pixels."""
    return math.sqrt(SAME * float(x.double().var(0, correction=0).sum()))


def batch(kinds: Sequence[Kind], x: Tensor, count: int, generator: torch.Generator, apart: float) -> Tensor:
    """At most ``count`` images (m, c, h, w) of these kinds, by their weights."""
    ends = torch.tensor([0.0, *(k.weight for k in kinds)], dtype=torch.float64).cumsum(0)
    sizes = (ends / ends[-1] * count).round().long().diff().tolist()
    return torch.cat([k.make(x, n, generator, apart) for k, n in zip(kinds, sizes, strict=True) if n])


def _some(x: Tensor, count: int, g: torch.Generator) -> Tensor:
    return x[torch.randint(len(x), (count,), generator=g)]


def _pairs(x: Tensor, count: int, g: torch.Generator) -> tuple[Tensor, Tensor]:
    """Two images each, the second the farthest from the first of four: of two that are alike the halves make a third."""
    first, others = _some(x, count, g), _some(x, count * CANDIDATES, g).view(CANDIDATES, count, *x.shape[1:])
    farthest = (others - first).flatten(2).square().sum(2).argmax(0)
    return first, others[farthest, torch.arange(count)]


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
    whole = _some(x, count, g)
    return Made(shuffle_pixels(whole, g), whole[None])


def _rows(x: Tensor, count: int, g: torch.Generator) -> Made:
    whole = _some(x, count, g)
    n, c, h, w = whole.shape
    order = torch.rand((n, 1, h, 1), generator=g).argsort(2).expand(n, c, h, w)
    return Made(whole.gather(2, order), whole[None])


def _blend(x: Tensor, count: int, g: torch.Generator) -> Made:
    images = _some(x, count * 8, g).view(count, 8, *x.shape[1:])
    weights = torch.rand((count, 8, 1, 1, 1), generator=g) + 0.5
    return Made((images * weights).sum(1) / weights.sum(1), images.transpose(0, 1))


def _subset_mean(x: Tensor, count: int, g: torch.Generator) -> Made:
    sizes = (2 ** (4 + 4 * torch.rand(count, generator=g))).long().tolist()
    return Made(torch.stack([_some(x, size, g).mean(0) for size in sizes]) if sizes else x[:0])


def _mean(x: Tensor, count: int, g: torch.Generator) -> Made:
    """The mean image and means of random halves, its own neighbourhood: so the floor is a share and not a coin."""
    half = max(1, len(x) // 2)
    halves = [x[torch.randperm(len(x), generator=g)[:half]].mean(0) for _ in range(min(count, HALVES))]
    return Made(torch.stack([x.mean(0), *halves]))


def _average(x: Tensor, count: int, g: torch.Generator) -> Made:
    a, b = _pairs(x, count, g)
    return Made((a + b) / 2, torch.stack([a, b]))


def _maximum(x: Tensor, count: int, g: torch.Generator) -> Made:
    a, b = _pairs(x, count, g)
    return Made(torch.maximum(a, b), torch.stack([a, b]))


def _halves(x: Tensor, count: int, g: torch.Generator) -> Made:
    a, b = _pairs(x, count, g)
    cut = x.shape[2] // 2
    return Made(torch.cat([a[:, :, :cut], b[:, :, cut:]], 2), torch.stack([a, b]))


def _sides(x: Tensor, count: int, g: torch.Generator) -> Made:
    a, b = _pairs(x, count, g)
    cut = x.shape[3] // 2
    return Made(torch.cat([a[..., :cut], b[..., cut:]], 3), torch.stack([a, b]))


def _roll(x: Tensor, count: int, g: torch.Generator) -> Made:
    whole = _some(x, count, g)
    return Made(whole.roll((x.shape[2] // 2, x.shape[3] // 2), (2, 3)), whole[None])


def _blurred(x: Tensor, passes: int) -> Tensor:
    for _ in range(passes):
        x = F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
    return x


def _blur(x: Tensor, count: int, g: torch.Generator) -> Made:
    whole = _some(x, count, g)
    return Made(_blurred(whole, 1), whole[None])


def _blur_more(x: Tensor, count: int, g: torch.Generator) -> Made:
    whole = _some(x, count, g)
    return Made(_blurred(whole, 3), whole[None])


def _inverted(x: Tensor, count: int, g: torch.Generator) -> Made:
    whole = _some(x, count, g)
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
    Kind("mean", _mean, shown=False, floor=True),
    Kind("black", _black, shown=True, floor=True, weight=0.25, single=True),
    Kind("white", _white, shown=True, floor=True, weight=0.25, single=True),
    Kind("constant", _constant, shown=True, floor=True, weight=0.5),
    Kind("rows", _rows, shown=False),
    Kind("blend", _blend, shown=True),
    Kind("subset_mean", _subset_mean, shown=True),
    Kind("average", _average, shown=False),
    Kind("maximum", _maximum, shown=True),
    Kind("halves", _halves, shown=True),
    Kind("sides", _sides, shown=False),
    Kind("roll", _roll, shown=False),
    Kind("blur", _blur, shown=True),
    Kind("blur_more", _blur_more, shown=False),
    Kind("inverted", _inverted, shown=False),
)
"""The kinds that are tried on images."""
