"""Mutual information between images and draws of their posteriors."""

import math

import numpy as np
import pytest
import torch
from fakes import Coordinates, fake_encoding, known_answer, latent_encoding, normal, proofs_of, reference, value
from scipy.integrate import quad
from scipy.special import logsumexp
from scipy.stats import norm

from latentbench.catalog import metrics
from latentbench.metrics import information
from latentbench.metrics.information import mutual_information

PROOFS = (
    proofs_of(
        "mutual_information",
        package="scipy",
        coordinates=Coordinates(
            "draws",
            "exact",
            "exact",
            "draws",
            "a property of the channel from image to code; noise is drawn by position",
        ),
    ),
)

NAME = "mutual_information"


def posteriors(mu, log_var):
    return latent_encoding(mu, mu, log_var)


@known_answer("mutual_information")
@pytest.mark.parametrize("log_var", [0.0, -30.0, -80.0])
def test_isolated_posteriors_tell_all_of_ln_n(log_var):
    mu = 100.0 * torch.arange(500, dtype=torch.float64)[:, None] * torch.ones(1, 3)
    result = metrics()[NAME].compute(posteriors(mu, torch.full_like(mu, log_var)), images=10000)
    assert result.value == pytest.approx(math.log(500), rel=1e-10)
    assert result.detail["saturated"]


@known_answer("mutual_information")
@pytest.mark.parametrize("log_var", [0.0, -30.0, 3.0])
def test_posteriors_that_are_all_the_same_tell_nothing(log_var):
    mu = torch.full((200, 4), 7.0, dtype=torch.float64)
    result = metrics()[NAME].compute(posteriors(mu, torch.full_like(mu, log_var)), images=10000)
    assert result.value == pytest.approx(0, abs=1e-9)
    assert not result.detail["saturated"]


@known_answer("mutual_information")
def test_pairs_of_equal_posteriors_tell_all_but_ln_two():
    mu = 100.0 * (torch.arange(100) // 2).double()[:, None]
    assert value(NAME, posteriors(mu, torch.zeros_like(mu))) == pytest.approx(math.log(50), rel=1e-9)


@known_answer("mutual_information")
@pytest.mark.parametrize("gap", [0.5, 1.0, 2.0])
def test_two_clusters_tell_what_quadrature_says(gap):
    """Half of the posteriors at -gap, half at +gap, unit width: I = h(mixture) - h(normal), to three standard errors."""

    def mixture(z):
        return (norm.pdf(z, -gap) + norm.pdf(z, gap)) / 2

    entropy = quad(lambda z: -mixture(z) * np.log(mixture(z)), -12, 12)[0]
    mu = gap * torch.where(torch.arange(4000) % 2 == 0, 1.0, -1.0).double()[:, None]
    assert value(NAME, posteriors(mu, torch.zeros_like(mu))) == pytest.approx(entropy - norm.entropy(), abs=0.025)


@known_answer("mutual_information")
def test_at_the_optimum_of_a_linear_vae_it_is_the_kl():
    """The aggregate posterior is the prior there, so I = KL = sum ln(1 / s^2) / 2; two strong dimensions, so that
    4000 posteriors are enough to fill the plane."""
    s2 = torch.tensor([1 / 4, 1 / 3], dtype=torch.float64)
    mu = normal((4000, 2), "linear") * (1 - s2).sqrt()
    expected = float((1 / s2).log().sum() / 2)
    assert value(NAME, posteriors(mu, s2.log().expand_as(mu))) == pytest.approx(expected, abs=0.05)


@reference("mutual_information")
@pytest.mark.parametrize("narrow", [0.0, 12.0])
def test_it_is_the_formula_in_scipy(narrow, monkeypatch):
    mu, log_var, noise = normal((80, 3), "mu"), normal((80, 3), "log_var") - narrow, normal((80, 3), "noise")
    sd = np.exp(log_var.numpy() / 2)
    z = mu.numpy() + sd * noise.numpy()
    log_q = norm(mu.numpy(), sd).logpdf(z[:, None]).sum(-1)
    expected = np.mean(np.diag(log_q) - logsumexp(log_q, axis=1) + math.log(80))
    assert mutual_information(mu, log_var, noise) == pytest.approx(expected, rel=1e-9)
    monkeypatch.setattr(information, "CANCELLATION", 0.0)
    assert mutual_information(mu, log_var, noise) == pytest.approx(expected, rel=1e-9)


def test_moving_turning_and_rescaling_the_latent_change_nothing():
    mu, log_var = normal((60, 3), "mu"), torch.full((60, 3), -1.0, dtype=torch.float64)
    noise = normal((60, 3), "noise")
    turn = torch.linalg.qr(normal((3, 3), "turn"))[0]
    base = mutual_information(mu, log_var, noise)
    assert mutual_information(mu @ turn + 1e3, log_var, noise @ turn) == pytest.approx(base, rel=1e-6)
    scale = torch.tensor([0.01, 1.0, 50.0], dtype=torch.float64)
    assert mutual_information(mu * scale, log_var + 2 * scale.log(), noise) == pytest.approx(base, rel=1e-6)


def test_it_falls_as_posteriors_widen_and_is_capped_by_images():
    found = [value(NAME, fake_encoding(s)) for s in (0.05, 0.5, 2.0, 8.0)]
    assert found == sorted(found, reverse=True)
    result = metrics()[NAME].compute(fake_encoding(0.01), images=20)
    assert result.detail["images"] == 20
    assert result.value == pytest.approx(math.log(20), rel=1e-3)


def test_a_point_tells_without_limit_and_is_skipped():
    assert "no variance" in fake_encoding(None, missing={"log_var": "no variance"}).absent(metrics()[NAME].needs)
