"""`latentbench.training.fit`: batches of 256, Adam at 5e-3 that falls to 0 over the last tenth, bfloat16 where steps are faster so."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from rules import LATENT, WIDTH, Referee
from torch import Tensor

BATCH, LR, EPOCHS = 256, 5e-3, 18
WORDS = f"`fit`: batch {BATCH}, Adam at {LR:g} falling over the last tenth of {EPOCHS} epochs, bfloat16 where it is faster, denormal numbers as 0"
TEXT = "vae:likelihood=bernoulli:net=mlp"
HELD = 500
"""Training images whose loss `fit` asks for after each epoch."""


def train(x: Tensor, seed: int, referee: Referee) -> None:
    """Finding out which precision is faster is part of the run and of its time; whether the loss is the same, the target says."""
    from latentbench.catalog import build_model
    from latentbench.config import make_run
    from latentbench.training.fit import Plan, fit, initialise
    from latentbench.training.precision import has_bfloat16, speed_ratios

    run = make_run({"models": TEXT, "depth": 1, "width": WIDTH, "latent_dim": LATENT})
    build = partial(build_model, TEXT, run, (1, 28, 28))
    plan = Plan(min(EPOCHS, referee.most), 0, BATCH, LR)
    half = has_bfloat16(x.device) and min(speed_ratios({TEXT: build}, x, plan)) > 1
    model: Any = initialise(build, seed).to(x.device)

    def look(epoch: int, loss: float, score: float) -> None:
        referee.look(lambda images: tuple(model.encode(images)), model.trunk.logits)

    fit(model, x, x[:HELD], replace(plan, precision="bfloat16" if half else "float32"), seed, look)
