"""`latentbench.training.fit`: batches of 256, Adam at 2e-3 that falls to 0 over the last tenth, `--precision auto`."""

from __future__ import annotations

from functools import partial
from typing import Any

from rules import LATENT, WIDTH, Referee
from torch import Tensor

BATCH, LR, EPOCHS = 256, 2e-3, 20
WORDS = f"`fit`: batch {BATCH}, Adam at {LR:g} falling over the last tenth of {EPOCHS} epochs, `--precision auto`"
TEXT = "vae:likelihood=bernoulli:net=mlp"
HELD = 500
"""Training images whose loss `fit` asks for after each epoch."""


def train(x: Tensor, seed: int, referee: Referee) -> None:
    """The trial of the precision is part of the run and of its time."""
    from latentbench.catalog import build_model
    from latentbench.config import make_run
    from latentbench.training.fit import Plan, fit, initialise
    from latentbench.training.precision import choose

    run = make_run({"models": TEXT, "depth": 1, "width": WIDTH, "latent_dim": LATENT})
    build = partial(build_model, TEXT, run, (1, 28, 28))
    plan = Plan(min(EPOCHS, referee.most), 0, BATCH, LR)
    precision = choose({TEXT: build}, x, x[:HELD], plan).precision
    model: Any = initialise(build, seed).to(x.device)

    def look(epoch: int, loss: float, score: float) -> None:
        referee.look(lambda images: tuple(model.encode(images)), model.trunk.logits)

    fit(model, x, x[:HELD], Plan(plan.epochs, 0, BATCH, LR, precision), seed, look)
