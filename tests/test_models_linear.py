"""Linear models reach, by training, what algebra says of them: the two lines behind "why mu and sigma".

A linear VAE with full KL is probabilistic PCA (Tipping & Bishop 1999; Lucas et al. 2019). Take away the KL and its
posteriors shrink to points; leave only the variances' half of it and its means fly apart.
"""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest
import torch
from fakes import normal, value

from latentbench.catalog import build_model, metrics
from latentbench.config import make_run
from latentbench.core import Dataset, Split
from latentbench.measuring import scoring
from latentbench.training.fit import Plan, fit, initialise

EIGENVALUES = torch.tensor([9.0, 5.0, 3.0, 2.0] + [0.5] * 8, dtype=torch.float64)
OPTIMUM = -17.0538847
KL = [1.44519, 1.15129, 0.89588, 0.69315]


def pictures(n=2000):
    """Images of 12 pixels, in a turned frame, whose covariance has exactly `EIGENVALUES`: the exact optimum of these
    very images is then that of the closed form."""
    raw = normal((n, 12), "linear data")
    raw = raw - raw.mean(0)
    _, singular, directions = torch.linalg.svd(raw, full_matrices=False)
    white = raw @ directions.T / singular * math.sqrt(n)
    turn = torch.linalg.qr(normal((12, 12), "turn"))[0]
    return (white * EIGENVALUES.sqrt() @ turn).float().view(-1, 1, 3, 4)


def train(text, x, epochs, lr=1e-2, batch=200, latent_dim=4, seed=0):
    """The model of ``text`` without hidden layers, fitted to ``x``."""
    run = make_run({"models": text, "latent_dim": latent_dim, "depth": 0})
    model = initialise(lambda: build_model(text, run, tuple(x.shape[1:])), seed)
    fit(model, x, x[:100], Plan(epochs, 0, batch, lr), seed)
    return model


def view(model, x):
    """The model's encoding of the images it was trained on: no other sample's error stands in the way."""
    return scoring.encode(model, Dataset("linear", *(Split(x, None) for _ in range(3))), 0, torch.device("cpu"))


def check_probabilistic_pca(epochs, batch, tolerance, shape=(1, 3, 4)):
    x = pictures().view(-1, *shape)
    model = train("vae", x, epochs, lr=3e-2, batch=batch)
    e = view(model, x)
    bound = value("elbo", e, images=len(x))
    assert bound == pytest.approx(OPTIMUM, abs=tolerance)
    assert bound <= -value("nll.iw", e, images=len(x)) <= OPTIMUM + 1e-3  # no bound above the exact likelihood
    assert model.decoder_variance == pytest.approx(0.5, rel=tolerance)
    assert value("variance_law", e) == pytest.approx(1, abs=tolerance)
    assert value("active_units", e) == 4
    # The KL settles on the principal axes, in any order.
    found = sorted(metrics()["kl"].compute(e).detail["per_dimension"], reverse=True)
    assert found == pytest.approx(KL, abs=tolerance)
    assert sum(found) == pytest.approx(sum(KL), abs=tolerance)


@pytest.mark.parametrize("shape", [(1, 3, 4), (12,), (6, 2)], ids=["image", "vector", "series"])
def test_linear_vae_with_learned_variance_is_probabilistic_pca(shape):
    check_probabilistic_pca(epochs=600, batch=1000, tolerance=0.02, shape=shape)


@pytest.mark.slow
def test_linear_vae_reaches_probabilistic_pca_closely():
    check_probabilistic_pca(epochs=6000, batch=2000, tolerance=0.008)


@pytest.mark.parametrize(("variance", "units"), [(0.7, 4), (2.5, 3), (4.0, 2), (7.0, 1), (10.0, 0)])
def test_the_active_units_are_the_eigenvalues_above_a_fixed_variance(variance, units):
    x = pictures()
    e = view(train(f"vae:sigma={math.sqrt(variance)}", x, 100), x)
    assert value("active_units", e) == units == int((variance < EIGENVALUES).sum())
    kl = sum(0.5 * math.log(v / variance) for v in EIGENVALUES[:4].tolist() if v > variance)
    assert value("kl", e) == pytest.approx(kl, abs=0.05)


def test_without_kl_the_posteriors_of_a_linear_decoder_shrink_to_points():
    """The loss holds s only as error, W^T W s^2 / 2 v: nothing pushes back, however long it goes on."""
    x = pictures(1000)
    index = [value("punctual_index", view(train("vae:beta=0", x, epochs, lr=2e-2), x)) for epochs in (15, 60, 240)]
    assert index[1] < 0.6 * index[0]
    assert index[2] < 0.6 * index[1]
    assert index[2] < 0.03


def test_regularising_the_variances_alone_lets_the_means_fly_apart():
    """Codes c times as large under a decoder 1 / c times as steep cost nothing and feel less of s = 1: no optimum."""
    x = pictures(1000)
    views = [view(train("vae:kl=variance", x, epochs, lr=2e-2), x) for epochs in (15, 60, 240)]
    law = [value("variance_law", e) for e in views]
    assert law[1] > 1.5 * law[0]
    assert law[2] > 1.5 * law[1]
    assert law[2] > 20
    assert all(0.8 < math.exp(0.5 * float(e.log_var.mean())) < 1.1 for e in views[1:])
    both = value("variance_law", view(train("vae", x, 60, lr=2e-2), x))
    assert both == pytest.approx(1, abs=0.1)


def test_regularising_the_means_alone_leaves_points():
    x = pictures(1000)
    alone, both = (view(train(text, x, 240, lr=2e-2), x) for text in ("vae:kl=mean", "vae"))
    assert value("punctual_index", alone) < 0.2 * value("punctual_index", both)
    assert value("kl.mean_part", alone) < 2 * value("kl.mean_part", both)


def digits():
    from latentbench.datasets import digits

    return digits.load("", "", 0).train.x


def test_digits_collapse_totally_at_unit_variance():
    """No principal component of digits in [0, 1] has a variance above 1."""
    x = digits()
    assert float(torch.linalg.eigvalsh(torch.cov(x.flatten(1).T)).max()) < 1
    e = view(train("vae:sigma=1", x, 60, latent_dim=8, batch=64), x)
    assert value("active_units", e) == 0
    assert value("kl", e) < 0.05


@pytest.mark.slow
def test_twelve_components_of_mnist_stand_above_unit_variance():
    root = os.environ.get("LATENTBENCH_DATA")
    if not root or not Path(root, "MNIST/raw").is_dir():
        pytest.skip("LATENTBENCH_DATA names no folder with MNIST/raw")
    from latentbench.catalog import find_dataset

    entry, argument = find_dataset("mnist")
    x = entry.load(argument, root, 0).train.x
    assert int((torch.linalg.eigvalsh(torch.cov(x.flatten(1).T)) > 1).sum()) == 12
    e = view(train("vae:sigma=1", x, 80, batch=1000, latent_dim=16), x)
    assert value("active_units", e) == 12
