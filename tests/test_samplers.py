"""Samplers: the moments they draw with, and that all models see the same noise."""

import pytest
import torch
from fakes import fake_encoding, latent_encoding, normal

from latentbench.core import Undefined
from latentbench.metrics.samplers import fit_gaussian, fit_mixture, prior_codes
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


def test_prior_draws_depend_on_the_seed_and_not_on_the_model():
    one, other, later = fake_encoding(None), fake_encoding(0.3), fake_encoding(None, seed=1)
    codes = [prior_codes(e, "normal", 20) for e in (one, other, later)]
    assert torch.equal(codes[0], codes[1])
    assert not torch.equal(codes[0], codes[2])
    with pytest.raises(ValueError, match="'uniform' is not one of normal, gaussian, mixture"):
        prior_codes(one, "uniform", 5)
