"""A small flow, trained on codes: what a second stage really reaches in a latent space.

Flow matching (Lipman et al. 2023) along straight paths: with noise x_0 ~ N(0, I), a code x_1 (standardised, each dimension to
mean 0 and variance 1) and a time t in [0, 1] of density 2 t (late times decide on details), the place x_t = (1 - t) x_0 + t x_1 and the velocity v = x_1 - x_0, a network u
descends

    E | u(x_t, t) - v |^2

where u has the optimum for a single normal cloud built in, w = ((1 - t)^2 + t^2)^(-1/2) and u = (2 t - 1) w^2 x + w f(w x, t)
(the scalings of Karras et al. 2022 on straight paths), so that a network f = 0 draws N(0, I) from standardised codes,
and a draw is what dx/dt = u(x, t) makes of x_0 from t = 0 to 1, by Heun's rule in `SAMPLING` equal steps. The network is an
MLP of `HIDDEN` layers that is told the time by cosines; it is trained by Adam, at a rate that falls to 0 along a half cosine,
on batches of fresh noise and times, and drawn from with the running mean of its weights. Its weights, batches and noise come
from a generator that is seeded by the run's seed, never by the model: all models of a seed get the same second stage.

Where codes lie in heaps some draws fall between them, as with any second stage of a finite size: of ten Gaussians, each a
fifth as wide as the whole, 2 % more than of a mixture of ten.
"""

from __future__ import annotations

import math
import time
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from latentbench.core import Undefined
from latentbench.geometry.neighbours import flat
from latentbench.geometry.principal import WIDE, deviation
from latentbench.randomness import randn

HIDDEN, WIDTH = 3, 96
"""Hidden layers of the network, and their width; in a latent of more dimensions than half of it as many as twice those."""
WIDEST = 1024
"""The most units of a hidden layer."""
STEPS, BATCH = 3000, 256
"""Steps of training, and codes in each. A wide latent is trained for a quarter of the steps."""
RATE, BETAS, EPS = 1e-2, (0.9, 0.999), 1e-8
"""Adam's rate at the start, its decay rates, and what keeps its denominator from 0 (Kingma & Ba 2015)."""
KEPT = 0.995
"""What the running mean of the weights keeps of itself at a step."""
WAVES = 8
"""Cosines that tell the time, of 1 to so many half periods."""
SAMPLING = 40
"""Steps of Heun's rule behind a draw."""


class Flow(NamedTuple):
    """A trained flow of codes (d,): ``mean`` and ``sd`` (d,) of the codes, ``weights`` by layer, (outputs, inputs) and
    (outputs,); float32 on the CPU. ``steps`` of training took ``seconds``."""

    mean: Tensor
    sd: Tensor
    weights: tuple[Tensor, ...]
    steps: int
    seconds: float

    @property
    def sources(self) -> int:
        """How many standard normal numbers are behind a draw: d."""
        return len(self.mean)


def fit_flow(codes: Tensor, generator: torch.Generator) -> Flow:
    """A flow trained on ``codes`` (n, d); `generator` draws weights, batches, noise and times. Dimensions that never vary
    stay as they are. Raises Undefined for fewer than two codes."""
    started = time.perf_counter()
    x = flat(codes).cpu()
    if len(x) < 2:
        raise Undefined("a flow needs two training codes, there is {n}", "undefined.flow_codes", n=len(x))
    mean, sd = x.mean(0), deviation(x.T)
    points = ((x - mean) / torch.where(sd > 0, sd, 1.0)).float()
    steps = STEPS if x.shape[1] <= WIDE else STEPS // 4
    with torch.enable_grad(), torch.inference_mode(False):
        weights = _trained(points.clone(), steps, generator)
    return Flow(mean.float(), sd.float(), weights, steps, time.perf_counter() - started)


def draw_flow(flow: Flow, noise: Tensor) -> Tensor:
    """Codes (m, d) that the flow makes of standard normal ``noise`` (m, d), in its dtype."""
    x, step = noise.float().cpu(), 1.0 / SAMPLING
    with torch.no_grad():
        for k in range(SAMPLING):
            here = _velocity(flow.weights, x, torch.full((len(x), 1), k * step))
            there = _velocity(flow.weights, x + step * here, torch.full((len(x), 1), (k + 1) * step))
            x = x + (step / 2) * (here + there)
    return (flow.mean + flow.sd * x).to(noise)


def _velocity(weights: tuple[Tensor, ...], x: Tensor, t: Tensor) -> Tensor:
    """u(x, t), (m, d), for places (m, d) and times (m, 1)."""
    scale = ((1 - t) ** 2 + t**2).rsqrt()
    h = torch.cat([scale * x, torch.cos(math.pi * t * torch.arange(1, WAVES + 1))], 1)
    *hidden, last, bias = weights
    for weight, shift in zip(hidden[::2], hidden[1::2], strict=True):
        h = F.silu(F.linear(h, weight, shift))
    return (2 * t - 1) * scale**2 * x + scale * F.linear(h, last, bias)


def _trained(points: Tensor, steps: int, generator: torch.Generator) -> tuple[Tensor, ...]:
    """The running mean of the weights after training on standardised ``points`` (n, d). All weights lie in one vector, so
    that Adam is a handful of operations on it."""
    n, d = points.shape
    width = min(max(WIDTH, 2 * d), WIDEST)
    sizes = [d + WAVES, *[width] * HIDDEN, d]
    shapes = [s for a, b in pairwise(sizes) for s in ((b, a), (b,))]
    count = [math.prod(s) for s in shapes]
    spread = [(1 / s[1]) ** 0.5 if len(s) == 2 else 0.0 for s in shapes]
    theta = torch.cat([scale * randn((c,), generator, points) for c, scale in zip(count, spread, strict=True)])
    theta[-count[-1] - count[-2] :] *= 0.1  # begins near the field of N(0, I)

    def unpacked(vector: Tensor) -> tuple[Tensor, ...]:
        return tuple(part.view(s) for part, s in zip(vector.split(count), shapes, strict=True))

    first, second, kept = torch.zeros_like(theta), torch.zeros_like(theta), theta.clone()
    theta.requires_grad_(True)
    for k in range(1, steps + 1):
        chosen = points[torch.randint(n, (BATCH,), generator=generator)]
        noise, t = randn(chosen.shape, generator, points), torch.rand((BATCH, 1), generator=generator).sqrt()
        error = _velocity(unpacked(theta), noise + t * (chosen - noise), t) - (chosen - noise)
        (slope,) = torch.autograd.grad(error.square().mean(), theta)
        rate = RATE * 0.5 * (1 + math.cos(math.pi * k / steps))
        with torch.no_grad():
            first.lerp_(slope, 1 - BETAS[0])
            second.mul_(BETAS[1]).addcmul_(slope, slope, value=1 - BETAS[1])
            root = second.sqrt().div_((1 - BETAS[1] ** k) ** 0.5).add_(EPS)
            theta.addcdiv_(first, root, value=-rate / (1 - BETAS[0] ** k))
            kept.lerp_(theta, max(1 - KEPT, 1 / k))
    return unpacked(kept)
