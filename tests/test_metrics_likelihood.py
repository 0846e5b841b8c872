"""ELBO and importance-weighted bound: probabilistic PCA, whose likelihood is known, and the order of the bounds."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from fakes import Coordinates, encode, fake_encoding, known_answer, normal, normal_log_prob, proofs_of, reference, value
from scipy.special import logsumexp
from scipy.stats import multivariate_normal, norm
from worse import unlikely

from latentbench.catalog import build_model, metrics
from latentbench.config import make_run
from latentbench.core import Dataset, Likelihood, Posterior, Split
from latentbench.measuring import scoring
from latentbench.metrics.likelihood import effective_share, importance_bound, importance_weights

PROOFS = (
    proofs_of(
        "elbo",
        "nll.iw",
        package="scipy",
        coordinates=Coordinates(
            "draws", "no", "no", "draws", "the prior N(0, I) has one scale; noise is drawn by position"
        ),
        degrade=unlikely,
        free="of a likelihood, which these models have not",
    ),
)

EIGENVALUES = torch.tensor([9.0, 5.0, 3.0, 2.0] + [0.5] * 8, dtype=torch.float64)
OPTIMUM = -17.0538847
NOISE = 0.5


class ProbabilisticPca:
    """The maximum-likelihood linear-Gaussian model of `EIGENVALUES`, q = 4, and its exact posterior, both widened by
    ``off`` >= 1: x = W z + noise, W_i = sqrt(lambda_i - s^2), z | x = N(W_i x_i / lambda_i, s^2 / lambda_i)."""

    def __init__(self, off=1.0):
        lead = EIGENVALUES[:4]
        self.weight, self.shrink, self.variance = (lead - NOISE).sqrt(), (lead - NOISE).sqrt() / lead, NOISE / lead
        self.off = off

    def encode(self, x):
        mu = x.flatten(1)[:, :4] * self.shrink
        return Posterior(mu, (self.off * self.variance).log().expand_as(mu))

    def decode(self, z):
        flat = torch.cat([z * self.weight, torch.zeros(len(z), 8, dtype=z.dtype)], 1)
        return flat.view(-1, 1, 3, 4)

    def log_likelihood(self, x, z):
        return normal_log_prob(x, self.decode(z), math.sqrt(NOISE))


def pictures(n=2000):
    """Images whose second moments are exactly `EIGENVALUES`: the mean of any quadratic in them is the exact one."""
    raw = normal((n, 12), "probabilistic pca")
    raw = raw - raw.mean(0)
    _, _, turn = torch.linalg.svd(raw, full_matrices=False)
    white = raw @ turn.T
    return (white / white.std(0, correction=0) * EIGENVALUES.sqrt()).view(-1, 1, 3, 4)


def encoding(model, x):
    e = encode("test", x, model.encode(x), model.decode)
    return replace(e, likelihood=Likelihood("gaussian", model.log_likelihood))


@known_answer("elbo", "nll.iw")
@pytest.mark.parametrize("draws", [1, 2, 50])
def test_both_are_the_exact_likelihood_at_the_optimum_of_a_linear_vae(draws):
    """There every weight is p(x) itself, so neither the noise nor the number of draws matters."""
    e = encoding(ProbabilisticPca(), pictures())
    assert value("elbo", e, images=2000, draws=draws) == pytest.approx(OPTIMUM, abs=5e-8)
    assert value("nll.iw", e, images=2000, draws=draws) == pytest.approx(-OPTIMUM, abs=5e-8)


@reference("elbo", "nll.iw")
def test_the_optimum_is_scipys_density_of_each_image():
    x = pictures(300)
    exact = multivariate_normal(np.zeros(12), np.diag(EIGENVALUES)).logpdf(x.flatten(1).numpy())
    model = ProbabilisticPca()
    mu, log_var = model.encode(x)
    weights = importance_weights(x, mu, log_var, normal((3, 300, 4), "draws"), model.log_likelihood)
    np.testing.assert_allclose(weights.numpy(), np.tile(exact, (3, 1)), rtol=1e-10)


@known_answer("elbo")
def test_elbo_falls_short_of_the_likelihood_by_the_divergence_of_the_posteriors():
    """q twice as wide as it should be: log p - ELBO = KL(N(0, 2) || N(0, 1)) = (2 - 1 - ln 2) / 2 a dimension."""
    e = encoding(ProbabilisticPca(off=2.0), pictures(4000))
    gap = 4 * (1 - math.log(2)) / 2
    # Of 4000 x 50 draws of a gap with standard deviation sqrt(4 / 2): .0032; four of them
    assert value("elbo", e, images=4000) == pytest.approx(OPTIMUM - gap, abs=0.013)


@known_answer("nll.iw")
def test_the_bound_rises_with_its_draws_to_the_likelihood():
    e = encoding(ProbabilisticPca(off=2.0), pictures())
    found = [-value("nll.iw", e, images=2000, draws=k) for k in (1, 5, 50, 500)]
    assert found == sorted(found)
    assert found[0] < OPTIMUM - 0.4
    assert found[-1] == pytest.approx(OPTIMUM, abs=0.01)


@reference("elbo", "nll.iw")
def test_weights_and_bounds_are_scipys():
    e = fake_encoding(0.3, dtype=torch.float64)
    noise = normal((7, len(e.x), 3), "noise")
    weights = importance_weights(e.x, e.mu, e.log_var, noise, e.likelihood.log_prob)
    sd = np.exp(0.5 * e.log_var.numpy())
    expected = []
    for draw in noise:
        z = e.mu.numpy() + sd * draw.numpy()
        mean = e.decode(torch.from_numpy(z)).numpy()
        image = norm(mean, 0.1).logpdf(e.x.numpy()).sum((1, 2, 3))
        expected.append(image + (norm.logpdf(z) - norm(e.mu.numpy(), sd).logpdf(z)).sum(1))
    np.testing.assert_allclose(weights.numpy(), expected, rtol=1e-9)
    bound = logsumexp(expected, axis=0) - math.log(7)
    np.testing.assert_allclose(importance_bound(weights).numpy(), bound, rtol=1e-9)


def test_effective_share_is_one_for_equal_weights_and_one_draws_for_one_that_rules():
    assert effective_share(torch.zeros(8, 3)) == pytest.approx(1, rel=1e-10)
    assert effective_share(torch.tensor([[0.0], [-99.0], [-99.0], [-99.0]])) == pytest.approx(0.25, rel=1e-9)


@pytest.mark.parametrize("sigma", [0.05, 0.3, 1.0])
def test_the_elbo_never_exceeds_the_importance_weighted_bound(sigma):
    e = fake_encoding(sigma)
    assert value("elbo", e) <= -value("nll.iw", e)


def test_the_record_names_family_and_error():
    detail = metrics()["elbo"].compute(fake_encoding(), images=40, draws=5).detail
    assert detail["likelihood"] == "gaussian"
    assert detail["images"] == 40
    assert detail["standard_error"] > 0
    assert 0.2 <= detail["effective_share"] <= 1


def dataset(x):
    return Dataset("given", *(Split(x, None) for _ in range(3)))


def model(text, seed=0):
    run = make_run({"models": text, "latent_dim": 3, "width": 16})
    torch.manual_seed(seed)
    return build_model(text, run, (1, 4, 4)).eval()


def view(text, x):
    return scoring.encode(model(text), dataset(x), 0, torch.device("cpu"))


@pytest.mark.parametrize(
    "text", ["vae:sigma=0.5", "vae:sigma=0.5:beta=4", "vae:sigma=0.5:kl=mean", "vae:sigma=0.5:beta=0"]
)
def test_the_weight_that_training_puts_on_the_kl_changes_nothing(text):
    x = torch.rand(30, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    assert value("elbo", view(text, x)) == value("elbo", view("vae:sigma=0.5", x))


@reference("elbo")
@pytest.mark.parametrize("text", ["vae:sigma=0.5", "vae", "vae:likelihood=bernoulli"])
def test_a_vaes_own_likelihood_is_torchs(text):
    x = torch.rand(30, 1, 4, 4, generator=torch.Generator().manual_seed(0)).round()
    vae, z = model(text), torch.randn(30, 3, generator=torch.Generator().manual_seed(1))
    mean = vae.decode(z)
    sd = 0.5 if "sigma" in text else 1.0
    there = torch.distributions.Bernoulli(mean) if "bernoulli" in text else torch.distributions.Normal(mean, sd)
    torch.testing.assert_close(vae.log_likelihood(x, z), there.log_prob(x).flatten(1).sum(1), rtol=1e-5, atol=1e-5)


def test_loss_at_weight_one_is_the_negative_elbo():
    """The training loss of a fixed-variance VAE, KL in closed form, and the ELBO of draws estimate one number."""
    x = torch.rand(200, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    vae = model("vae:sigma=0.5")
    with torch.no_grad():
        losses = [float(vae.loss(x, torch.Generator().manual_seed(s)).total) for s in range(50)]
    assert value("elbo", view("vae:sigma=0.5", x)) == pytest.approx(-np.mean(losses), abs=0.05)


def test_points_and_models_without_a_likelihood_have_neither():
    x = torch.rand(30, 1, 4, 4)
    e = view("ae", x)
    for name in ("elbo", "nll.iw"):
        assert "no likelihood" in e.absent(metrics()[name].needs)
        assert "no variance" in e.absent(metrics()[name].needs)
