"""What the benchmarks share: real digits, an autoencoder and a VAE after a little training, a judge, one thread."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("NUMBA_NUM_THREADS", "1")

import pytest
import torch

from latentbench import measure
from latentbench.catalog import build_model, load_dataset
from latentbench.config import Run
from latentbench.judge import train_judge
from latentbench.train import Plan, fit, initialise

torch.set_num_threads(1)

MODELS = ("ae", "vae")
CPU = torch.device("cpu")


@pytest.fixture(scope="session")
def dataset():
    return load_dataset(Run())


@pytest.fixture(scope="session")
def models(dataset):
    run = Run(latent_dim=8)
    trained = {}
    for text in MODELS:
        model = initialise(lambda text=text: build_model(text, run, dataset.shape), 0)
        fit(model, dataset.train.x, dataset.val.x, Plan(epochs=40, patience=0, batch_size=64, lr=1e-3), 0)
        trained[text] = model
    return trained


@pytest.fixture(scope="session")
def judge(dataset):
    return train_judge(dataset, steps=300)


@pytest.fixture(scope="session")
def encodings(dataset, models, judge):
    return {text: measure.encode(model, dataset, 0, CPU, judge) for text, model in models.items()}
