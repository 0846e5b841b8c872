"""What every entry of the speedrun is given and held to: the images, the clock, the ELBO, the target.

A VAE 784-400-16 of MNIST: encoder 784 - 400 - 2 x 16, decoder 16 - 400 - 784, ReLU, posterior diagonal Gaussian, prior
N(0, I), Bernoulli likelihood with the grey values as probabilities. The ELBO of an image x is

    sum_pixels x ln p + (1 - x) ln(1 - p)  -  KL(q(z|x) || N(0, I)),   p = g(z), z ~ q(z|x), in nats

of all 10,000 test images, one draw an image, the same draws for everybody.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

HERE = Path(__file__).parent
PIXELS, WIDTH, LATENT = 784, 400, 16
WEIGHTS = PIXELS * WIDTH + WIDTH + WIDTH * 2 * LATENT + 2 * LATENT + LATENT * WIDTH + WIDTH + WIDTH * PIXELS + PIXELS
"""Numbers in the network, biases included."""
FULL = 60
"""Epochs of the run that sets the target, and the most that anybody may take."""
LESS = 1.0
"""Nats below that run's ELBO that are good enough."""

Encode = Callable[[Tensor], tuple[Tensor, Tensor]]
Decode = Callable[[Tensor], Tensor]


class Reached(Exception):
    """The target was reached: training ends."""


def mnist(device: str) -> tuple[Tensor, Tensor]:
    """All 60,000 training and 10,000 test images, (n, 1, 28, 28) from 0 to 1, from the files under LATENTBENCH_DATA."""
    from latentbench.datasets.torchvision_guard import torchvision

    torchvision()
    from torchvision.datasets import MNIST

    root = os.environ.get("LATENTBENCH_DATA") or "data"
    splits = (MNIST(root, train=train).data[:, None].float() / 255 for train in (True, False))
    train, test = (x.to(device) for x in splits)
    return train, test


@torch.no_grad()
def elbo(encode: Encode, decode: Decode, x: Tensor) -> float:
    """The mean ELBO of images ``x`` (n, 1, 28, 28) in nats; ``decode`` gives logits (m, 784). Higher is better."""
    draws = torch.Generator().manual_seed(0)
    total = 0.0
    for part in x.split(2000):
        mu, log_var = encode(part)
        z = mu + (0.5 * log_var).exp() * torch.randn(mu.shape, generator=draws).to(mu)
        error = F.binary_cross_entropy_with_logits(decode(z).flatten(1), part.flatten(1), reduction="sum")
        total -= float(error + 0.5 * (mu.square() + log_var.exp() - 1 - log_var).sum())
    return total / len(x)


class Look(NamedTuple):
    """A look at the test images: the ``epoch`` after which, the ``seconds`` of training before it, and the ``elbo``."""

    epoch: int
    seconds: float
    elbo: float


class Referee:
    """The clock of one run. It stands still while the test images are looked at."""

    def __init__(self, test: Tensor, target: float, most: int = FULL) -> None:
        self.test, self.target, self.most = test, target, most
        self.looks: list[Look] = []
        self._spent, self._cpu, self._since = 0.0, 0.0, (0.0, 0.0)

    def _now(self) -> tuple[float, float]:
        if self.test.is_cuda:
            torch.cuda.synchronize(self.test.device)
        return time.perf_counter(), time.process_time()

    def start(self) -> None:
        """Training begins."""
        self._since = self._now()

    def look(self, encode: Encode, decode: Decode) -> None:
        """To be called by an entry after each epoch. Raises `Reached` where the target is reached or no epoch is left."""
        wall, cpu = self._now()
        self._spent, self._cpu = self._spent + wall - self._since[0], self._cpu + cpu - self._since[1]
        self.looks.append(Look(len(self.looks) + 1, self._spent, elbo(encode, decode, self.test)))
        if self.looks[-1].elbo >= self.target or len(self.looks) >= self.most:
            raise Reached
        self._since = self._now()

    def result(self) -> dict[str, object]:
        """What came out; ``reached`` is false where the epochs ran out."""
        last = self.looks[-1]
        about = {"seconds": last.seconds, "cpu": self._cpu, "epochs": last.epoch, "elbo": last.elbo}
        return {**about, "reached": last.elbo >= self.target, "looks": [list(look) for look in self.looks]}


def target() -> float:
    """The ELBO to reach: that of the full run, less `LESS` nat. Raises SystemExit where nobody has made it yet."""
    path = HERE / "target.json"
    if not path.exists():
        raise SystemExit(f"{path} is not there: python benchmarks/speedrun/run.py --target makes it")
    return float(json.loads(path.read_text())["elbo"]) - LESS
