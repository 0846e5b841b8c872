"""Holes where the answer is a normal or a chi-square probability."""

import pytest
from fakes import (
    Coordinates,
    known_answer,
    latent_encoding,
    normal,
    proofs_of,
    two_gaussians,
    value,
)
from scipy.stats import chi2
from worse import gapped, shrunk

from latentbench.catalog import metrics
from latentbench.core import Undefined
from latentbench.metrics.prior_holes import hole_share

PROOFS = (
    proofs_of(
        "hole",
        package="sklearn",
        coordinates=Coordinates(
            "draws",
            "no",
            "no",
            "exact",
            "N(0, I) and the directions drawn look alike from all sides, and have one scale",
        ),
        degrade=shrunk,
    ),
    proofs_of(
        "hole.gaussian",
        package="sklearn",
        coordinates=Coordinates(
            "draws", "exact", "no", "exact", "the Gaussian moves along, but distances between codes are Euclidean"
        ),
        degrade=gapped,
    ),
)


@known_answer("hole")
@pytest.mark.parametrize(("tau", "share"), [(0.10, 0.7492), (0.25, 0.3613), (0.50, 0.0424)])
def test_hole_between_two_gaussians(tau, share):
    e = latent_encoding(two_gaussians(tau, 6000, "train"), two_gaussians(tau, 6000, "test"))
    assert value("hole", e, draws=8000) == pytest.approx(share, abs=0.02)


@known_answer("hole", "hole.gaussian")
def test_no_hole_where_the_codes_are_normal():
    e = latent_encoding(normal((4000, 4), "train"), normal((4000, 4), "test"))
    assert value("hole", e) == pytest.approx(0.01, abs=0.006)
    assert value("hole.gaussian", e) == pytest.approx(0.01, abs=0.006)
    for name in ("hole", "hole.gaussian"):
        null = metrics()[name].references(e, **metrics()[name].params)
        assert null["null:prior"] == pytest.approx(0.01, abs=0.006)
        assert null != {"null:prior": 0.01}


def test_the_null_grows_where_few_codes_were_held_out():
    # The 99 % quantile between the two largest of 60 distances leaves (60 - .99 * 59) / 61 of the mass outside.
    e = latent_encoding(normal((2000, 3), "train"), normal((60, 3), "test"))
    null = metrics()["hole"].references(e, **metrics()["hole"].params)["null:prior"]
    assert null == pytest.approx(1 - (0.99 * 59 + 1) / 61, abs=0.012)
    assert metrics()["hole"].expects["null:prior"][1] > null


@known_answer("hole", "hole.gaussian")
@pytest.mark.parametrize("scale", [0.3, 0.5, 1.0, 2.0])
def test_a_hole_under_the_normal_is_partly_a_matter_of_scale(scale):
    # With many codes N(0, c^2 I_8) the hole is everything outside their 99 % ball: .986, .755, .01, 0.
    share = chi2.sf(scale**2 * chi2.ppf(0.99, 8), 8)
    e = latent_encoding(scale * normal((4000, 8), "train") + 1, scale * normal((4000, 8), "test") + 1)
    centred = latent_encoding(e.train.z - 1, e.z - 1)
    assert value("hole", centred) == pytest.approx(share, abs=0.025)
    assert value("hole.gaussian", e) == pytest.approx(0.01, abs=0.008)


def test_hole_sees_a_gap_that_two_moments_do_not():
    e = latent_encoding(two_gaussians(0.1, 3000, "train"), two_gaussians(0.1, 3000, "test"))
    assert value("hole.gaussian", e) == pytest.approx(value("hole", e), abs=0.03)
    assert value("hole", e) > 0.7


def test_hole_needs_as_many_codes_as_neighbours():
    with pytest.raises(Undefined, match="5 neighbours"):
        hole_share(normal((9, 2), "z"), normal((4, 2), "c"), normal((9, 2), "h"), 5, 0.99)
