"""Posterior measures: the table of closed forms, probabilistic PCA, and what must not change them."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from fakes import Coordinates, fake_encoding, known_answer, latent_encoding, normal, proofs_of, reference
from worse import collapsed

from latentbench.catalog import metrics
from latentbench.core import Undefined
from latentbench.measuring.scoring import faults
from latentbench.metrics import divergence, posterior

PROOFS = (
    proofs_of(
        "kl",
        "kl.mean_part",
        "kl.variance_part",
        package="torch",
        coordinates=Coordinates("exact", "no", "no", "exact", "to N(0, I), which has one scale"),
    ),
    proofs_of(
        "active_units",
        package=None,
        coordinates=Coordinates(
            "no",
            "exact",
            "no",
            "exact",
            "counts dimensions; those of a Dirac are compared with one another",
            shown=False,
        ),
        degrade=collapsed,
    ),
    proofs_of(
        "active_units.burda",
        package=None,
        coordinates=Coordinates(
            "no", "no", "no", "exact", "dimension by dimension, against a fixed scale", shown=False
        ),
        degrade=collapsed,
    ),
    proofs_of(
        "punctual_index",
        package=None,
        coordinates=Coordinates("no", "exact", "exact", "exact", "a ratio within each dimension"),
    ),
    proofs_of(
        "overlap",
        package=None,
        coordinates=Coordinates(
            "exact", "exact", "exact", "exact", "Bhattacharyya's coefficient belongs to the distributions"
        ),
    ),
    proofs_of(
        "variance_law",
        package=None,
        coordinates=Coordinates("no", "no", "no", "exact", "dimension by dimension, against a fixed scale"),
    ),
)

POSTERIOR = ("kl", "kl.mean_part", "kl.variance_part", "overlap", "punctual_index", "variance_law", "active_units",
             "active_units.burda")  # fmt: skip


def value(name, e):
    metric = metrics()[name]
    result = metric.compute(e, **metric.params)
    return getattr(result, "value", result)


def gaussian(mu, s, n=4):
    """An encoding of ``n`` equal one-dimensional posteriors N(mu, s^2)."""
    codes = torch.full((n, 1), float(mu), dtype=torch.float64)
    return latent_encoding(codes, codes, torch.full((n, 1), 2 * math.log(s), dtype=torch.float64))


def probabilistic_pca(n=4000):
    """The optimum of the linear VAE for eigenvalues 9, 5, 3, 2, noise .5 (Tipping & Bishop 1999): means with exactly
    the variance 1 - s^2, posterior variance s^2 = .5 / eigenvalue."""
    s2 = 0.5 / torch.tensor([9.0, 5.0, 3.0, 2.0], dtype=torch.float64)
    raw = normal((n, 4), "ppca")
    mu = (raw - raw.mean(0)) / raw.std(0, correction=0) * (1 - s2).sqrt()
    return latent_encoding(mu, mu, s2.log().expand_as(mu))


KL_TABLE = [  # mu, s, mean part, variance part
    (0, 1, 0, 0),
    (1, 1, 0.5, 0),
    (0, math.exp(0.5), 0, 0.359140914),
    (0, 1e-3, 0, 6.407755779),
    (2, 0.1, 2, 1.807585093),
]


@known_answer("kl", "kl.mean_part", "kl.variance_part")
@pytest.mark.parametrize(("mu", "s", "means", "variances"), KL_TABLE)
def test_kl_and_its_halves(mu, s, means, variances):
    e = gaussian(mu, s)
    assert value("kl.mean_part", e) == pytest.approx(means, rel=1e-6, abs=1e-10)
    assert value("kl.variance_part", e) == pytest.approx(variances, rel=1e-6, abs=1e-10)
    assert value("kl", e) == pytest.approx(means + variances, rel=1e-6, abs=1e-10)


@reference("kl", "kl.mean_part", "kl.variance_part")
def test_kl_is_torchs():
    mu, log_var = normal((50, 6), "mu"), normal((50, 6), "log_var")
    other = torch.distributions.kl_divergence(
        torch.distributions.Normal(mu, (log_var / 2).exp()),
        torch.distributions.Normal(torch.zeros_like(mu), torch.ones_like(mu)),
    )
    means, variances = divergence.kl_parts(mu, log_var)
    torch.testing.assert_close(means + variances, other.mean(0), rtol=1e-10, atol=1e-10)


@known_answer("kl", "variance_law", "active_units", "punctual_index")
def test_probabilistic_pca():
    e = probabilistic_pca()
    detail = metrics()["kl"].compute(e).detail["per_dimension"]
    assert detail == pytest.approx([1.44519, 1.15129, 0.89588, 0.69315], abs=5e-6)
    assert value("variance_law", e) == pytest.approx(1, rel=1e-9)
    assert value("active_units", e) == 4
    s2 = 0.5 / np.array([9.0, 5.0, 3.0, 2.0])
    result = metrics()["punctual_index"].compute(e)
    assert result.value == pytest.approx(np.median(np.sqrt(s2 / (1 - s2))), rel=1e-6)
    assert result.detail["mean"] == pytest.approx(np.mean(np.sqrt(s2 / (1 - s2))), rel=1e-6)


@known_answer("active_units", "active_units.burda")
def test_a_dimension_is_active_where_its_means_carry_more_than_one_percent():
    share = torch.tensor([0.5, 0.0101, 0.0099, 0.0], dtype=torch.float64)  # of the dimension's variance
    raw = normal((1000, 4), "active")
    raw = (raw - raw.mean(0)) / raw.std(0, correction=0)
    mu, log_var = raw * share.sqrt(), (1 - share).log().expand_as(raw)
    assert posterior.active(mu, log_var).tolist() == [True, True, False, False]
    assert value("active_units", latent_encoding(mu, mu, log_var)) == 2
    assert value("active_units.burda", latent_encoding(mu, mu, log_var)) == 2
    # Scale moves the published count, not the scale-free one.
    small = latent_encoding(mu / 10, mu / 10, log_var - 2 * math.log(10))
    assert (value("active_units", small), value("active_units.burda", small)) == (2, 0)


@known_answer("active_units")
def test_a_diracs_dimensions_are_measured_against_the_largest():
    raw = normal((1000, 3), "dirac")
    raw = (raw - raw.mean(0)) / raw.std(0, correction=0)
    mu = raw * torch.tensor([30.0, 3.1, 2.9])  # shares 1, .0107, .0093
    assert posterior.active(mu, None).tolist() == [True, True, False]
    assert not posterior.active(torch.ones(5, 3), None).any()


@known_answer("punctual_index")
def test_punctual_index_is_a_ratio_of_widths():
    mu = torch.tensor([[1.0], [-1.0]], dtype=torch.float64)  # sd 1
    log_var = torch.tensor([[0.01], [0.09]], dtype=torch.float64).log()  # s = .1 and .3
    assert value("punctual_index", latent_encoding(mu, mu, log_var)) == pytest.approx(0.2, rel=1e-6)
    assert value("punctual_index", latent_encoding(mu, mu)) == 0


@known_answer("punctual_index")
@pytest.mark.parametrize("barely", [0.12, 0.3])
def test_punctual_index_does_not_hang_on_one_barely_active_dimension(barely):
    """Seven dimensions of ratio .1 and one whose means hardly move, its sigma 1: a collapsed eighth, active by 1 to 8 %."""
    sd = torch.tensor([1.0] * 7 + [barely], dtype=torch.float64)
    s = torch.tensor([0.1] * 7 + [1.0], dtype=torch.float64)
    raw = normal((500, 8), "barely")
    mu = (raw - raw.mean(0)) / raw.std(0, correction=0) * sd
    result = metrics()["punctual_index"].compute(latent_encoding(mu, mu, 2 * s.log().expand_as(mu)))
    assert all(result.detail["active"])
    assert result.value == pytest.approx(0.1, rel=1e-9)
    assert result.detail["mean"] == pytest.approx((0.7 + 1 / barely) / 8, rel=1e-9)


@known_answer("variance_law")
def test_variance_law_adds_noise_and_spread_of_active_dimensions_only():
    mu = torch.tensor([[1.0, 0.0], [-1.0, 0.0]], dtype=torch.float64)
    log_var = torch.tensor([[0.25, 1.0], [0.75, 1.0]], dtype=torch.float64).log()
    assert value("variance_law", latent_encoding(mu, mu, log_var)) == pytest.approx(1.5, rel=1e-9)
    assert value("variance_law", latent_encoding(mu, mu)) == pytest.approx(1.0, rel=1e-9)


@known_answer("overlap")
@pytest.mark.parametrize("gap", [0.0, 1.0, 3.0])
def test_overlap_of_two_gaussians(gap):
    mu = torch.tensor([[0.0, 5.0], [gap, 5.0]], dtype=torch.float64)
    unit = latent_encoding(mu, mu, torch.zeros_like(mu))
    assert value("overlap", unit) == pytest.approx(math.exp(-(gap**2) / 8), rel=1e-9)
    s, t = 0.5, 2.0
    log_var = torch.tensor([[s, 1.0], [t, 1.0]], dtype=torch.float64).log() * 2
    both = s * s + t * t
    known = math.sqrt(2 * s * t / both) * math.exp(-(gap**2) / (4 * both))
    assert value("overlap", latent_encoding(mu, mu, log_var)) == pytest.approx(known, rel=1e-9)


@known_answer("overlap")
def test_overlap_is_zero_for_points_and_one_for_the_collapsed():
    mu = normal((30, 2), "mu")
    assert value("overlap", latent_encoding(mu, mu)) == 0
    assert value("overlap", latent_encoding(0 * mu, 0 * mu)) == 1
    assert value("overlap", latent_encoding(0 * mu, 0 * mu, 0 * mu)) == pytest.approx(1, rel=1e-10)
    assert value("overlap", latent_encoding(mu, mu, torch.full_like(mu, -30.0))) == pytest.approx(0, abs=1e-9)


def test_overlap_is_the_same_in_any_blocks(monkeypatch):
    e = fake_encoding(0.5)
    whole = value("overlap", e)
    monkeypatch.setattr("latentbench.geometry.neighbours.BLOCK", 50)
    assert value("overlap", e) == pytest.approx(whole, rel=1e-10)


def test_a_collapsed_posterior_has_no_active_dimension_and_no_ratios():
    mu = torch.zeros(20, 3)
    for e in (latent_encoding(mu, mu, torch.zeros_like(mu)), latent_encoding(mu, mu)):
        assert value("active_units", e) == 0
        for name in ("punctual_index", "variance_law"):
            with pytest.raises(Undefined, match="collapsed"):
                value(name, e)


@pytest.mark.parametrize("name", ["active_units", "punctual_index", "overlap"])
def test_a_rescaled_latent_changes_nothing(name):
    mu, log_var = normal((40, 3), "mu"), normal((40, 3), "log_var") - 3
    scale = torch.tensor([0.01, 1.0, 50.0], dtype=torch.float64)
    moved = latent_encoding(mu * scale + 4, mu * scale + 4, log_var + 2 * scale.log())
    assert value(name, moved) == pytest.approx(value(name, latent_encoding(mu, mu, log_var)), rel=1e-6)


@pytest.mark.parametrize("sigma", [None, 0.3])
def test_the_records_of_points_and_clouds_hold_what_a_diagnosis_of_each_dimension_needs(sigma):
    e = fake_encoding(sigma, dtype=torch.float64)
    detail = metrics()["active_units"].compute(e, threshold=posterior.ACTIVE).detail
    assert detail["active"] == [True] * 3
    assert detail["sigma"] == pytest.approx([sigma or 0.0] * 3, rel=1e-9)
    assert detail["mean_part"] == pytest.approx((e.mu.square().mean(0) / 2).tolist(), rel=1e-9)
    ratio = metrics()["punctual_index"].compute(e).detail
    assert ratio["sd"] == pytest.approx(np.sqrt(detail["mean_variance"]).tolist(), rel=1e-9)
    assert (ratio["sigma"], ratio["active"]) == (detail["sigma"], detail["active"])
    if sigma is not None:
        assert metrics()["kl.mean_part"].compute(e).detail["per_dimension"] == pytest.approx(
            detail["mean_part"], rel=1e-9
        )


@known_answer("kl", "overlap", "punctual_index", "active_units", "active_units.burda", "variance_law")
@pytest.mark.parametrize("sigma", [None, 0.3])
def test_posteriors_whose_answer_is_known_stand_beside(sigma):
    e = fake_encoding(sigma)
    found = {name: m.references(e, **m.params) for name, m in metrics().items() if name in POSTERIOR}
    assert found["kl"] == found["kl.mean_part"] == found["kl.variance_part"] == {"null:collapsed": 0}
    assert found["overlap"] == {"null:collapsed": pytest.approx(1, rel=1e-10), "null:points": 0}
    assert found["active_units"] == found["active_units.burda"] == {"floor:collapsed": 0, "ceiling:matched": 3}
    assert found["punctual_index"]["null:points"] == pytest.approx(0, abs=1e-8)
    assert found["punctual_index"]["null:matched"] == pytest.approx(1, abs=0.3)
    assert found["variance_law"]["null:matched"] == pytest.approx(1, abs=0.3)
    assert all(faults(metrics()[name], anchors) == [] for name, anchors in found.items())


@pytest.mark.parametrize("shape", [(20, 1), (20, 32), (3000, 2)])
def test_anchors_keep_to_what_is_expected_of_them_for_any_seed(shape):
    codes = torch.zeros(shape)
    for seed in range(200):
        e = replace(latent_encoding(codes, codes, codes), seed=seed)
        for name in ("punctual_index", "variance_law"):
            assert faults(metrics()[name], metrics()[name].references(e)) == []
