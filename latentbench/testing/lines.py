"""An encoding of lines with a known angle, for the metrics that need to know it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from latentbench.core import Encoding, Judge, Posterior, Truth
from latentbench.datasets.polygons import coverage
from latentbench.randomness import seeded
from latentbench.testing.examples import CentroidJudge, encode


def small_line(angle: Tensor) -> Tensor:
    """Lines of length 3.5 and width 1 from the centre of 8x8 images, (m, 1, 8, 8), at angles (m, 1)."""
    angle = angle.double().reshape(-1)
    along = torch.stack([angle.cos(), -angle.sin()], 1)
    across = torch.stack([angle.sin(), angle.cos()], 1) / 2
    tip = 4 + 3.5 * along
    return coverage(torch.stack([4 - across, tip - across, tip + across, 4 + across], 1), 8)[:, None]


def lines_encoding(
    sigma: float | None = 0.3, n: int = 240, seed: int = 0, dtype: torch.dtype = torch.float32, **changes: Any
) -> Encoding:
    """`example_encoding` for data that are lines: a model whose latent is a plane about which its lines turn (a third
    dimension means nothing), so that all it decodes are true lines."""

    def decode(z: Tensor) -> Tensor:
        return small_line(torch.atan2(z[:, 1], z[:, 0])).to(z)

    def side(split: str, count: int, train: Encoding | None, judge: Judge | None) -> Encoding:
        angle = torch.rand(count, 1, generator=seeded(5, split), dtype=torch.float64) * (2 * torch.pi)
        third = torch.randn(count, 1, generator=seeded(6, split), dtype=torch.float64)
        mu = (2 * torch.cat([angle.cos(), angle.sin(), third], 1)).to(dtype)
        x, y = small_line(angle).to(dtype), (angle[:, 0] / (torch.pi / 2)).long()
        judge = judge or CentroidJudge(x, y, reach=2.0)
        posterior = Posterior(mu, None if sigma is None else torch.full_like(mu, sigma).square().log())
        e = encode(split, x, posterior, decode, y, train, judge, seed)
        return replace(e, factors=angle, truth=Truth(("angle",), small_line))

    train = side("train", n, None, None)
    train = replace(train, train=train)
    return replace(side("test", 60, train, train.judge), **changes)
