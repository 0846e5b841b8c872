"""Samplers: the moments they draw with, and that all models see the same noise."""

import warnings

import numpy as np
import pytest
import torch
from fakes import fake_encoding, latent_encoding, normal
from sklearn.cluster import KMeans
from sklearn.mixture import GaussianMixture

from latentbench.core import Undefined
from latentbench.metrics import mixtures
from latentbench.metrics.mixtures import fit_gaussian, fit_mixture
from latentbench.metrics.samplers import prior_codes
from latentbench.randomness import seeded


def test_the_gaussian_has_the_moments_of_the_codes():
    codes = normal((3000, 3), "codes") @ normal((3, 3), "mixing") + 5
    e = latent_encoding(codes, codes)
    drawn = prior_codes(e, "gaussian", 200_000)
    torch.testing.assert_close(drawn.mean(0), codes.mean(0), rtol=0, atol=0.03)
    torch.testing.assert_close(drawn.T.cov(), codes.T.cov(), rtol=0.03, atol=0.03)


def test_the_mixture_has_the_moments_of_the_codes_too():
    codes = torch.where(torch.rand(3000, 1, generator=seeded(0, "mode")) < 0.3, -4.0, 2.0) + normal((3000, 2), "codes")
    drawn = prior_codes(latent_encoding(codes, codes), "mixture", 100_000)
    torch.testing.assert_close(drawn.mean(0), codes.mean(0), rtol=0, atol=0.05)
    torch.testing.assert_close(drawn.T.cov(), codes.T.cov(), rtol=0.03, atol=0.05)
    assert ((drawn[:, 0] < -1).double().mean() - (codes[:, 0] < -1).double().mean()).abs() < 0.01


def test_codes_without_variance_break_no_sampler():
    codes = torch.zeros(100, 3, dtype=torch.float64)
    assert fit_gaussian(codes).root.abs().max() == 0
    for sampler in ("gaussian", "mixture"):
        assert prior_codes(latent_encoding(codes, codes), sampler, 50).abs().max() < 0.01
    flat = torch.cat([normal((100, 1), "one"), codes[:, :1]], 1)
    assert prior_codes(latent_encoding(flat, flat), "gaussian", 50)[:, 1].abs().max() < 1e-6


def test_a_mixture_of_few_codes_has_fewer_components():
    assert len(fit_mixture(normal((7, 2), "codes"), 10, seeded(0, "fit")).weight) == 3
    with pytest.raises(Undefined, match="two training codes"):
        fit_mixture(normal((1, 2), "codes"), 10, seeded(0, "fit"))


def heaps(n, d=4):
    """Codes (n, d) around twelve places of unequal weight, some near each other: EM has many optima for ten Gaussians."""
    place = 4 * normal((12, d), "places")
    place[6:] = place[:6] + normal((6, d), "near")
    chosen = (torch.rand(n, generator=seeded(0, "which")) ** 2 * 12).long()
    return place[chosen] + 0.5 * normal((n, d), "codes")


def log_likelihood(mixture, codes):
    each = [
        torch.distributions.MultivariateNormal(m, scale_tril=r) for m, r in zip(mixture.mean, mixture.root, strict=True)
    ]
    return float(
        torch.stack([w.log() + p.log_prob(codes) for w, p in zip(mixture.weight, each, strict=True)])
        .logsumexp(0)
        .mean()
    )


def test_a_mixture_hangs_less_on_where_it_started_than_one_run_of_em(monkeypatch):
    codes = heaps(1000)

    def spread():
        found = [log_likelihood(fit_mixture(codes, 10, seeded(s, "fit")), codes) for s in range(8)]
        return float(torch.tensor(found).std()), float(torch.tensor(found).mean())

    ten = spread()
    monkeypatch.setattr(mixtures, "STARTS", 1)
    one = spread()
    assert ten[0] < 0.6 * one[0], (ten, one)
    assert ten[1] > one[1]


@pytest.mark.parametrize(("n", "d"), [(300, 2), (1000, 4), (60, 8), (200, 300)])
@pytest.mark.parametrize("seed", range(3))
def test_a_start_is_the_one_that_scikit_learn_finds(n, d, seed, monkeypatch):
    """`GaussianMixture` with as many starts and steps; of 300 dimensions with diagonal covariances. Components in parts, too."""
    points = heaps(n, d)
    points = (points - points.mean(0)) / points.std(0, correction=0)
    diagonal, starts = d > 256, np.random.RandomState(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = GaussianMixture(
            10,
            covariance_type="diag" if diagonal else "full",
            n_init=5,
            max_iter=mixtures.FIRST_STEPS,
            random_state=seed,
        ).fit(points)
        labels = [KMeans(10, n_init=1, random_state=starts).fit(points).labels_ for _ in range(5)]
    for held in (mixtures.HELD, 3 * n * d):
        monkeypatch.setattr(mixtures, "HELD", held)
        likelihood, ours = max(
            (mixtures._started(points, one, 10, diagonal) for one in labels), key=lambda found: found[0]
        )
        assert likelihood == pytest.approx(theirs.lower_bound_, abs=1e-7)
        covariance = ours.root.square() if diagonal else ours.root @ ours.root.mT
        for own, other in (
            (ours.weight, theirs.weights_),
            (ours.mean, theirs.means_),
            (covariance, theirs.covariances_),
        ):
            torch.testing.assert_close(own, torch.from_numpy(other), rtol=1e-6, atol=1e-7)


def test_last_digits_and_the_order_of_starts_change_no_mixture():
    codes = heaps(1000)
    usual = fit_mixture(codes, 10, seeded(0, "fit"))
    again = fit_mixture(codes * (1 + 1e-9 * normal(codes.shape, "digits")), 10, seeded(0, "fit"))
    for a, b in zip(usual, again, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)
    assert (usual.mean[:, 0].diff() >= 0).all()


def test_a_mixture_is_fitted_to_all_codes_though_its_starts_see_some():
    """Codes in order of two classes, the second one rare and last."""
    codes = torch.cat([normal((5000, 2), "many"), 9 + 0.1 * normal((1000, 2), "few")])
    mixture = fit_mixture(codes, 2, seeded(0, "fit"))
    torch.testing.assert_close(mixture.weight, torch.tensor([5 / 6, 1 / 6]).double(), rtol=0, atol=1e-3)
    torch.testing.assert_close(mixture.mean[1], codes[5000:].mean(0), rtol=0, atol=1e-3)


def test_prior_draws_depend_on_the_seed_and_not_on_the_model():
    one, other, later = fake_encoding(None), fake_encoding(0.3), fake_encoding(None, seed=1)
    codes = [prior_codes(e, "normal", 20) for e in (one, other, later)]
    assert torch.equal(codes[0], codes[1])
    assert not torch.equal(codes[0], codes[2])
    with pytest.raises(ValueError, match="'uniform' is not one of prior, normal, gaussian, mixture"):
        prior_codes(one, "uniform", 5)
