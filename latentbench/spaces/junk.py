"""Junk: samples that are none, made from real ones, by which a judge is taught to refuse and then tried.

A *kind* is an object: a name, a maker and what it is there for. About half of the kinds are *shown* to the judge's
training; the others never are, so that it can be told what the judge makes of junk it has not seen. Every kind that is
shown has relatives among those that are not. Which kinds there are, a space says (`latentbench.spaces`).

*Floors* are what a judge must refuse on any data: one that passes more than 5 % of one of them is not used.

What is made from real samples may be a real sample: the upper half of one line upon the lower half of another is one of the
two where the other half is empty, and a patch of clear sky stays one however its rows are permuted. Taught as junk, it
would teach the judge to refuse what is real. So a maker also gives the samples that its own were made from, and what
differs from one of them by less than `SAME` of the data's variance, less than a reconstruction of R^2 .99 does, is that
sample still: it is neither taught nor counted. What is made from no image in particular is held against training data
where it is counted.

Of some kinds no distance tells that they are real: shuffled grass is grass. So halfway through its training a
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

from latentbench.geometry.neighbours import nearest

SAME = 0.01
"""Share of the data's variance below which two samples are one."""
CANDIDATES = 4
"""Samples of which the one that is least like the first becomes the second of a pair."""
HALVES = 20
"""Means of random halves beside the mean sample."""
FEW = 20
"""Samples below which a share of them says nothing."""


class Made(NamedTuple):
    """What a maker gives: ``samples`` (n, ...) and, for each, the k real samples that it may still be, ``sources``
    (k, n, ...); None where it is made from none in particular."""

    samples: Tensor
    sources: Tensor | None = None


Maker = Callable[[Tensor, int, torch.Generator], Made]


@dataclass(frozen=True)
class Kind:
    """A kind of junk. ``maker(x, count, generator)`` makes ``count`` of it from real samples ``x`` (n, ...) of a space;
    ``shown``: whether the judge's training sees it, ``weight``: its part of a batch of junk beside those of the
    others; ``floor``: whether a judge that passes it is refused."""

    name: str
    maker: Maker
    shown: bool
    floor: bool = False
    weight: float = 1.0
    single: bool = False

    def make(self, x: Tensor, count: int, generator: torch.Generator, apart: float) -> Tensor:
        """At most ``count`` samples of this kind (m, ...) from real ones ``x``: those farther than ``apart``, in the
        data's own values, from every sample that they were made from."""
        made = self.maker(x, count, generator)
        return made.samples if made.sources is None else made.samples[_to_sources(made.samples, made.sources) > apart]

    def tried(self, x: Tensor, count: int, generator: torch.Generator, apart: float, known: Tensor) -> Tensor:
        """Like `make`, to be counted: what is made from no image in particular is held against ``known`` (k, ...),
        and there are none where fewer than `FEW` are left."""
        made = self.maker(x, 1 if self.single else count, generator)
        if made.sources is None:
            distance = nearest(made.samples, known).distance[:, 0]
        else:
            distance = _to_sources(made.samples, made.sources)
        left = made.samples[distance > apart]
        return left if len(left) >= min(FEW, len(made.samples)) else left[:0]


def _to_sources(samples: Tensor, sources: Tensor) -> Tensor:
    """Distance (n,) float64 from each of ``samples`` (n, ...) to the nearest of its own ``sources`` (k, n, ...)."""
    return (samples - sources).double().flatten(2).square().sum(2).sqrt().amin(0)


def apart(x: Tensor) -> float:
    """The distance below which two samples are one, on data ``x`` (n, ...): ``sqrt(SAME * V)`` with V the variance of a
    sample, summed over its values."""
    return math.sqrt(SAME * float(x.double().var(0, correction=0).sum()))


def batch(kinds: Sequence[Kind], x: Tensor, count: int, generator: torch.Generator, apart: float) -> Tensor:
    """At most ``count`` samples (m, ...) of these kinds, by their weights."""
    ends = torch.tensor([0.0, *(k.weight for k in kinds)], dtype=torch.float64).cumsum(0)
    sizes = (ends / ends[-1] * count).round().long().diff().tolist()
    return torch.cat([k.make(x, n, generator, apart) for k, n in zip(kinds, sizes, strict=True) if n])


def some(x: Tensor, count: int, g: torch.Generator) -> Tensor:
    """``count`` of the samples ``x`` (n, ...), drawn with replacement."""
    return x[torch.randint(len(x), (count,), generator=g)]


def pairs(x: Tensor, count: int, g: torch.Generator) -> tuple[Tensor, Tensor]:
    """Two samples each, the second the farthest from the first of four: of two that are alike the halves make a third."""
    first, others = some(x, count, g), some(x, count * CANDIDATES, g).view(CANDIDATES, count, *x.shape[1:])
    farthest = (others - first).flatten(2).square().sum(2).argmax(0)
    return first, others[farthest, torch.arange(count)]


def blend(x: Tensor, count: int, g: torch.Generator) -> Made:
    """Weighted means of eight samples each, with weights from .5 to 1.5."""
    drawn = some(x, count * 8, g).view(count, 8, *x.shape[1:])
    weights = torch.rand((count, 8, *[1] * (x.ndim - 1)), generator=g) + 0.5
    return Made((drawn * weights).sum(1) / weights.sum(1), drawn.transpose(0, 1))


def average(x: Tensor, count: int, g: torch.Generator) -> Made:
    """The middle between two samples."""
    a, b = pairs(x, count, g)
    return Made((a + b) / 2, torch.stack([a, b]))


def mean(x: Tensor, count: int, g: torch.Generator) -> Made:
    """The mean sample and means of random halves, its own neighbourhood: so the floor is a share and not a coin."""
    half = max(1, len(x) // 2)
    halves = [x[torch.randperm(len(x), generator=g)[:half]].mean(0) for _ in range(min(count, HALVES))]
    return Made(torch.stack([x.mean(0), *halves]))
