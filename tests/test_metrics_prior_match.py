"""Codes against the prior: closed forms for Gaussians, scipy's integrals, unbiasedness, nulls."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from fakes import Coordinates, known_answer, latent_encoding, normal, proofs_of, reference, two_gaussians, value
from scipy.integrate import quad
from scipy.stats import norm
from sklearn.metrics.pairwise import rbf_kernel
from worse import gapped

from latentbench.catalog import metrics
from latentbench.core import Undefined
from latentbench.geometry.kernels import gaussian as rbf
from latentbench.geometry.kernels import mmd2
from latentbench.metrics.prior_match import directions, mmd2_to_normal, sliced_w2, w2_to_normal
from latentbench.randomness import seeded

PROOFS = (
    proofs_of(
        "prior.mmd",
        package="sklearn",
        coordinates=Coordinates(
            "exact", "no", "no", "exact", "N(0, I) is integrated in closed form, and has one scale"
        ),
        degrade=gapped,
    ),
    proofs_of(
        "prior.sliced_w2",
        package="scipy",
        coordinates=Coordinates(
            "draws",
            "no",
            "no",
            "exact",
            "N(0, I) and the directions drawn look alike from all sides, and have one scale",
        ),
        degrade=gapped,
    ),
)


def codes(z):
    return latent_encoding(z, z)


def shifted(n, d, length, scale=1.0, purpose="codes"):
    """Codes of N(m, scale^2 I), |m| = length."""
    return scale * normal((n, d), purpose) + length / math.sqrt(d)


@known_answer("prior.mmd")
@pytest.mark.parametrize(("length", "scale", "truth"), [(1.0, 1.0, 0.0399529), (0.0, 0.5, 0.0752832)])
def test_mmd_of_gaussians(length, scale, truth):
    assert value("prior.mmd", codes(shifted(4000, 8, length, scale))) == pytest.approx(truth, rel=0.06)


@known_answer("prior.mmd")
def test_mmd_sees_the_hole_that_two_moments_do_not():
    assert value("prior.mmd", codes(two_gaussians(0.25, 4000, "codes"))) == pytest.approx(0.02829, rel=0.05)


@known_answer("prior.sliced_w2")
@pytest.mark.parametrize(("length", "scale", "truth"), [(1.0, 0.5, 0.375), (1.0, 1.0, 0.125), (0.0, 2.0, 1.0)])
def test_sliced_distance_of_gaussians(length, scale, truth):
    assert value("prior.sliced_w2", codes(shifted(10000, 8, length, scale))) == pytest.approx(truth, rel=0.05)


@reference("prior.mmd")
@pytest.mark.parametrize("d", [1, 3])
def test_mmd_is_scikit_learns_kernel_and_scipys_integral(d):
    z, h2 = 0.7 * normal((40, d), "z") + 0.4, 1.7
    k = rbf_kernel(z.numpy(), z.numpy(), gamma=1 / (2 * h2))

    def against_normal(point):
        return quad(lambda y: math.exp(-((point - y) ** 2) / (2 * h2)) * norm.pdf(y), -12, 12)[0]

    cross = np.mean([math.prod(against_normal(c) for c in row) for row in z.tolist()])
    prior = quad(lambda y: against_normal(y) * norm.pdf(y), -12, 12)[0] ** d
    theirs = (k.sum() - k.trace()) / (40 * 39) - 2 * cross + prior
    assert mmd2_to_normal(z, h2) == pytest.approx(theirs, rel=1e-5)


@reference("prior.sliced_w2")
def test_distance_to_a_normal_is_scipys_integral_over_quantiles():
    x = 1.3 * normal((12, 1), "x") - 0.2
    ordered = x[:, 0].sort().values.tolist()
    theirs = sum(quad(lambda u, a=a: (a - norm.ppf(u)) ** 2, i / 12, (i + 1) / 12)[0] for i, a in enumerate(ordered))
    assert float(w2_to_normal(x)) == pytest.approx(theirs, rel=1e-5)


@known_answer("prior.mmd")
def test_mmd_is_unbiased():
    # q is uniform on a few atoms: the average over every possible sample of two is the distance of q itself.
    atoms, h2 = normal((5, 2), "atoms") + 0.3, 2.0
    cross = (h2 / (h2 + 1)) * (atoms.square().sum(1) / (-2 * (h2 + 1))).exp().mean()
    truth = float(rbf(h2)(atoms, atoms).mean() - 2 * cross + h2 / (h2 + 2))
    found = [mmd2_to_normal(atoms[[i, j]], h2) for i in range(5) for j in range(5)]
    assert np.mean(found) == pytest.approx(truth, rel=1e-10)
    nulls = np.array([mmd2_to_normal(normal((12, 2), f"null {i}"), h2) for i in range(400)])
    assert abs(nulls.mean()) < 4 * nulls.std() / 20
    assert (nulls < 0).mean() > 0.3


def test_a_closed_form_scatters_less_than_draws_of_the_prior():
    z = [normal((60, 4), f"z {i}") for i in range(60)]
    drawn = [mmd2(x, normal((60, 4), f"p {i}"), rbf(4.0)) for i, x in enumerate(z)]
    assert np.std([mmd2_to_normal(x, 4.0) for x in z]) < 0.8 * np.std(drawn)


def test_directions_are_orthonormal_bases_and_share_out_the_moments():
    along = directions(6, 20, seeded(0, "directions"))
    assert along.shape == (6, 24)
    torch.testing.assert_close(along @ along.T, 4 * torch.eye(6, dtype=torch.float64))
    z = normal((500, 6), "z")
    assert float((z @ along).square().mean()) == pytest.approx(float(z.square().mean()), rel=1e-10)


@pytest.mark.parametrize("name", ["prior.mmd", "prior.sliced_w2", "prior.c2st"])
def test_a_turn_of_the_latent_changes_next_to_nothing(name):
    z = shifted(1000, 4, 1.5, 0.8)
    turn = torch.linalg.qr(normal((4, 4), "turn")).Q
    error = {"prior.mmd": 1e-12, "prior.sliced_w2": 0.01, "prior.c2st": 0.03}[name]
    assert value(name, codes(z @ turn)) == pytest.approx(value(name, codes(z)), abs=error)


@pytest.mark.parametrize("name", ["prior.mmd", "prior.sliced_w2", "prior.c2st"])
def test_scales_and_shifts_come_in_order(name):
    for worse in ([1.0, 0.6, 0.3], [1.0, 1.5, 3.0]):
        found = [value(name, codes(shifted(600, 4, 0, s))) for s in worse]
        assert found == sorted(found)
    found = [value(name, codes(shifted(600, 4, m))) for m in (0, 1, 2)]
    assert found == sorted(found)


@pytest.mark.parametrize("name", ["prior.mmd", "prior.sliced_w2", "prior.c2st"])
def test_a_collapsed_posterior_matches_nothing(name):
    noise = normal((300, 3), "noise")
    log_var = torch.zeros(300, 3, dtype=torch.float64)
    e = replace(latent_encoding(noise, noise, log_var), mu=0.01 * normal((300, 3), "means"))
    with pytest.raises(Undefined, match="collapsed"):
        value(name, e)
    with pytest.raises(Undefined, match="collapsed"):
        value(name, codes(torch.zeros(300, 3)))


@pytest.mark.parametrize("name", ["hole", "prior.mmd", "prior.sliced_w2", "prior.c2st"])
@pytest.mark.parametrize(("train", "test", "d"), [(120, 40, 2), (1080, 360, 8), (3000, 2000, 16)])
def test_the_null_is_measured_and_lies_where_it_is_expected(name, train, test, d):
    metric = metrics()[name]
    # The codes themselves are far from the prior: a null value knows their number only.
    e = latent_encoding(9 + normal((train, d), "train"), 9 + normal((test, d), "test"))
    found = metric.references(e, **metric.params)
    assert list(found) == list(metric.expects) == ["null:prior"]
    low, high = metric.expects["null:prior"]
    assert low < found["null:prior"] < high
    good = latent_encoding(normal((train, d), "train"), normal((test, d), "test"))
    assert value(name, good) == pytest.approx(found["null:prior"], abs=5 * (high - low) / 2 * (40 / test) ** 0.5)
    assert value(name, e) > high


def test_codes_are_needed():
    with pytest.raises(Undefined, match="two codes"):
        mmd2_to_normal(normal((1, 2), "z"), 2.0)
    with pytest.raises(Undefined, match="no codes"):
        sliced_w2(normal((0, 2), "z"), torch.eye(2, dtype=torch.float64))
