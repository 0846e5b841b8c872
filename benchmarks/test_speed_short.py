"""What a run spends most of its time on, in short: an epoch of training and a neighbour search. For a gate on every change."""

from __future__ import annotations

import torch

from latentbench.catalog import build_model
from latentbench.config import Run
from latentbench.geometry.neighbours import nearest
from latentbench.training.fit import Plan, fit, initialise


def test_epoch(benchmark, dataset):
    """A VAE's pass through the training images with its validation."""
    plan = Plan(epochs=1, patience=0, batch_size=64, lr=1e-3)

    def fresh():
        run = Run(width=128, latent_dim=8)
        model = initialise(lambda: build_model("vae", run, dataset.shape), 0)
        return (model, dataset.train.x, dataset.val.x, plan, 0), {}

    benchmark.pedantic(fit, setup=fresh, rounds=12, warmup_rounds=2)


def test_neighbours(benchmark):
    """Five nearest among 2,000 points of 32 dimensions."""
    points = torch.randn(2000, 32, generator=torch.Generator().manual_seed(0))
    benchmark.pedantic(nearest, (points, points, 5), rounds=12, warmup_rounds=2)
