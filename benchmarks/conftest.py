"""What the benchmarks share: real digits, an autoencoder and a VAE after a little training, a judge, one thread."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("NUMBA_NUM_THREADS", "1")

import pytest

MODELS = ("ae", "vae")

# Each fixture imports what it needs: a benchmark that needs none of it starts in half the time.


@pytest.fixture(scope="session")
def dataset():
    from latentbench.catalog import load_dataset
    from latentbench.config import Run

    return load_dataset(Run())


@pytest.fixture(scope="session")
def models(dataset):
    from latentbench.catalog import build_model
    from latentbench.config import Run
    from latentbench.training.fit import Plan, fit, initialise

    run = Run(latent_dim=8)
    trained = {}
    for text in MODELS:
        model = initialise(lambda text=text: build_model(text, run, dataset.shape), 0)
        fit(model, dataset.train.x, dataset.val.x, Plan(epochs=40, patience=0, batch_size=64, lr=1e-3), 0)
        trained[text] = model
    return trained


@pytest.fixture(scope="session")
def judge(dataset):
    from latentbench.measuring.judge import train_judge

    return train_judge(dataset, steps=300)


@pytest.fixture(scope="session")
def encodings(dataset, models, judge):
    import torch

    from latentbench.measuring import scoring

    cpu = torch.device("cpu")
    return {text: scoring.encode(model, dataset, 0, cpu, judge) for text, model in models.items()}
