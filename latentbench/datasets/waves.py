"""waves: series of two channels that swing and fade, made here from known factors: no download.

A series has 64 steps of time u from 0 to 1. With the phase th(u) = 2 pi cycles u + phase and a wave form f,

    first channel    amplitude * exp(-decay u) * f(th(u))
    second channel   amplitude * exp(-decay u) * f(th(u) - lag)

The form is the label: a sine, a triangle, a rounded square, or a train of pulses. So everything a judge of series must know
is in the data and known: a form (values), a pace (neighbouring steps), a fading (the direction of time: played backwards no
series is one of these) and a lag (how the channels hang together). All forms are smooth in every factor, so that a path
between two series exists, and what is drawn is the same to the last bits on every processor.
"""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor

from latentbench.core import Dataset, DatasetEntry, Truth
from latentbench.datasets.splits import standardised
from latentbench.randomness import numpy_rng
from latentbench.spaces.space import Scale

STEPS = 64
KINDS = ("sine", "triangle", "square", "pulse")
FACTORS = {
    "cycles": (2.0, 4.0),
    "phase": (0.0, 2 * math.pi),
    "amplitude": (0.5, 1.0),
    "decay": (0.5, 2.0),
    "lag": (0.25 * math.pi, 0.75 * math.pi),
}
"""Name and range of each continuous factor: turns, radians, highest value, turns into 1/e, radians."""
SERIES = 2000
GRID = 2.0**20
"""Values are rounded to the nearest 1 / `GRID`, far above the noise of a sine, whose last bits differ by processor."""


def form(kind: Tensor, th: Tensor) -> Tensor:
    """The wave form of each ``kind`` (m, 1, 1) at phases ``th`` (m, t, c), in [-1, 1]."""
    sine = th.sin()
    forms = (sine, sine.asin() * (2 / math.pi), (3 * sine).tanh() / math.tanh(3), 2 * (4 * (th.cos() - 1)).exp() - 1)
    return torch.stack(torch.broadcast_tensors(*forms)).gather(0, kind.expand_as(th)[None].long())[0]


def raw(factors: Tensor) -> Tensor:
    """Series (m, 64, 2), float64 in [-1, 1], of ``factors`` (m, 6): the number of the kind, then those of `FACTORS`."""
    kind, cycles, phase, amplitude, decay, lag = factors.double()[..., None, None].unbind(1)
    u = torch.linspace(0, 1, STEPS, dtype=torch.float64)[None, :, None]
    th = 2 * math.pi * cycles * u + phase - lag * torch.tensor([0.0, 1.0], dtype=torch.float64)
    values: Tensor = amplitude * (-decay * u).exp() * form(kind, th)
    return (values * GRID).round() / GRID


def render(factors: Tensor, scale: Scale) -> Tensor:
    """Series (m, 64, 2) in measured values; ``factors`` as in `raw`."""
    return scale.to_measured(raw(factors))


def load(argument: str, data_root: str, seed: int) -> Dataset:
    """2,000 series, equally many of each kind, drawn from and split by the split seed."""
    rng = numpy_rng(seed, "waves")
    low, high = (torch.tensor(ends, dtype=torch.float64) for ends in zip(*FACTORS.values(), strict=True))
    drawn = low + (high - low) * torch.from_numpy(rng.random((SERIES, len(FACTORS))))
    kind = torch.arange(SERIES) % len(KINDS)
    factors = torch.cat([kind[:, None].double(), drawn], 1)
    dataset = standardised(
        "waves", raw(factors).numpy(), kind.numpy(), seed, KINDS, ("first", "second"), factors.numpy()
    )
    scale = dataset.space.scale
    assert scale is not None
    truth = Truth(("kind", *FACTORS), partial(render, scale=scale))
    return Dataset(dataset.name, dataset.train, dataset.val, dataset.test, KINDS, truth, given_space=dataset.space)


WAVES = DatasetEntry(
    name="waves",
    load=load,
    summary="2,000 fading waves of four forms in two channels, 64 steps, made here: no download",
    source="latentbench",
    defaults={"latent_dim": 8, "width": 256, "epochs": 120, "batch_size": 64},
)
