"""Holes where the answer is a normal or a chi-square probability."""

from dataclasses import replace

import pytest
import torch
from fakes import (
    Coordinates,
    known_answer,
    latent_encoding,
    normal,
    proofs_of,
    two_gaussians,
    value,
)
from poor_arithmetic import PoorArithmetic
from scipy.stats import chi2
from worse import gapped, shrunk

from latentbench import denormals
from latentbench.catalog import metrics
from latentbench.core import Undefined
from latentbench.metrics.hole_directions import independent, sharpened, widest_gap
from latentbench.metrics.prior_holes import PARTS, hole_share, holes, null_holes, worst_of
from latentbench.metrics.samplers import standard_normal
from latentbench.randomness import seeded

TURNED = Coordinates(
    "draws", "no", "no", "exact", "N(0, I) and the directions drawn look alike from all sides, and have one scale"
)
PROOFS = (
    proofs_of("hole", "hole.outside", package="sklearn", coordinates=TURNED, degrade=shrunk),
    proofs_of("hole.sparse", "hole.dimension", package="sklearn", coordinates=TURNED, degrade=gapped),
    proofs_of(
        "hole.gaussian",
        package="sklearn",
        coordinates=Coordinates(
            "draws", "exact", "no", "exact", "the Gaussian moves along, but distances between codes are Euclidean"
        ),
        degrade=gapped,
    ),
)

SIZES = [(1078, 360), (5000, 2000)]
"""Codes and held-out codes: of the default data, and of a larger set."""
ROTATION = torch.linalg.qr(normal((8, 8), "rotation"))[0]


def scaled(c, n, h, d=8):
    return latent_encoding(c * normal((n, d), "train"), c * normal((h, d), "test"))


def one_of_eight(tau, n, purpose):
    """Codes (n, 8): normal but for the third dimension, which is two Gaussians."""
    codes = normal((n, 8), purpose)
    codes[:, 2:3] = two_gaussians(tau, n, f"{purpose} two")
    return codes


def all_of_eight(tau, n, purpose):
    """Codes (n, 8), two Gaussians in each dimension on its own: 256 clusters."""
    order = [torch.randperm(n, generator=seeded(j, purpose)) for j in range(8)]
    return torch.cat([two_gaussians(tau, n, f"{purpose} {j}")[order[j]] for j in range(8)], 1)


@known_answer("hole", "hole.outside")
@pytest.mark.parametrize(("tau", "share"), [(0.10, 0.7492), (0.25, 0.3613), (0.50, 0.0424)])
def test_hole_between_two_gaussians(tau, share):
    e = latent_encoding(two_gaussians(tau, 6000, "train"), two_gaussians(tau, 6000, "test"))
    assert value("hole", e, draws=8000) == pytest.approx(share, abs=0.02)
    assert value("hole.outside", e, draws=8000) == pytest.approx(share, abs=0.02)


@known_answer("hole", "hole.gaussian", "hole.outside", "hole.sparse", "hole.dimension")
def test_no_hole_where_the_codes_are_normal():
    e = latent_encoding(normal((4000, 4), "train"), normal((4000, 4), "test"))
    for name in ("hole", "hole.gaussian", "hole.outside", "hole.sparse", "hole.dimension"):
        assert value(name, e) == pytest.approx(0.012, abs=0.008)
        null = metrics()[name].references(e, **metrics()[name].params)
        assert null["null:prior"] == pytest.approx(0.012, abs=0.008)
        assert null != {"null:prior": 0.01}


def test_the_null_grows_where_few_codes_were_held_out():
    # The 99 % quantile between the two largest of 60 distances leaves (60 - .99 * 59) / 61 of the mass outside.
    e = latent_encoding(normal((2000, 3), "train"), normal((60, 3), "test"))
    null = {n: metrics()[n].references(e, **metrics()[n].params)["null:prior"] for n in metrics() if n[:4] == "hole"}
    assert null["hole.outside"] == pytest.approx(1 - (0.99 * 59 + 1) / 61, abs=0.012)
    assert null["hole.sparse"] == pytest.approx(0.01, abs=0.006)
    assert null["hole.dimension"] > 2 * null["hole.outside"]
    assert null["hole.sparse"] < null["hole"] < null["hole.dimension"]
    for name, found in null.items():
        assert metrics()[name].expects["null:prior"][1] > found


@known_answer("hole", "hole.outside", "hole.gaussian")
@pytest.mark.parametrize("scale", [0.3, 0.5, 0.8, 1.0])
@pytest.mark.parametrize(("n", "h"), SIZES)
def test_a_hole_under_the_normal_is_partly_a_matter_of_scale(scale, n, h):
    # With many codes N(0, c^2 I_8) the hole is everything outside their 99 % ball: .986, .755, .117, .01.
    share = chi2.sf(scale**2 * chi2.ppf(0.99, 8), 8)
    e = scaled(scale, n, h)
    assert value("hole.outside", e) == pytest.approx(share, abs=0.03)
    assert value("hole", e) == pytest.approx(share, abs=0.05)
    moved = latent_encoding(e.train.z + 1, e.z + 1)
    assert value("hole.gaussian", moved) == pytest.approx(0.01, abs=0.05)


@known_answer("hole", "hole.sparse")
@pytest.mark.parametrize(("scale", "low", "high"), [(1.2, 0, 0.013), (1.5, 0, 0.013), (2, 0.02, 0.1), (3, 0.96, 1), (4, 1, 1), (10, 1, 1)])  # fmt: skip
@pytest.mark.parametrize(("n", "h"), SIZES)
def test_codes_spread_too_wide_are_sparse(scale, low, high, n, h):
    """Their own radius is wide too: by it alone they have no hole, and the widest codes led."""
    e = scaled(scale, n, h)
    assert value("hole.outside", e) < 0.003
    assert low <= value("hole.sparse", e) <= high
    assert value("hole", e) == pytest.approx(value("hole.sparse", e), abs=0.005)
    assert value("hole.gaussian", e) < 0.06


@known_answer("hole", "hole.dimension")
@pytest.mark.parametrize("turn", [None, ROTATION], ids=["axis", "rotated"])
@pytest.mark.parametrize(("tau", "share"), [(0.10, 0.7492), (0.25, 0.3613), (0.50, 0.0424)])
@pytest.mark.parametrize(("n", "h"), SIZES)
def test_a_gap_in_one_of_eight_dimensions_is_found_in_any_direction(tau, share, turn, n, h):
    codes, held_out = (one_of_eight(tau, size, p) for p, size in (("train", n), ("test", h)))
    if turn is not None:
        codes, held_out = codes @ turn, held_out @ turn
    e = latent_encoding(codes, held_out)
    assert value("hole.dimension", e) == pytest.approx(share, abs=0.05)
    assert value("hole", e) == pytest.approx(share, abs=0.05)
    assert value("hole.gaussian", e) == pytest.approx(share, abs=0.05)
    assert value("hole.outside", e) < 0.025
    assert value("hole.sparse", e) < 0.025


@pytest.mark.parametrize("turn", [None, ROTATION], ids=["axes", "rotated"])
@pytest.mark.parametrize("tau", [0.1, 0.25])
def test_gaps_in_all_of_eight_dimensions_are_holes(tau, turn):
    """One dimension of it alone is as empty as `share` says; 5,000 codes are enough to see that most of the rest is, too."""
    share = {0.1: 0.7492, 0.25: 0.3613}[tau]
    codes, held_out = (all_of_eight(tau, size, p) for p, size in (("train", 5000), ("test", 2000)))
    if turn is not None:
        codes, held_out = codes @ turn, held_out @ turn
    e = latent_encoding(codes, held_out)
    assert value("hole.dimension", e) == pytest.approx(share, abs=0.05)
    assert value("hole", e) > 0.9
    assert value("hole.gaussian", e) > 0.9


@known_answer("hole", "hole.dimension", "hole.sparse")
@pytest.mark.parametrize(("n", "h"), SIZES)
def test_a_junk_dimension_leaves_nothing_but_holes(n, h):
    """Draws of a posterior with log-variance 10 in one dimension: sd 148."""
    wide = torch.ones(8, dtype=torch.float64)
    wide[3] = 10.0
    wide = torch.where(wide > 1, (0.5 * wide).exp(), wide)
    e = latent_encoding(wide * normal((n, 8), "train"), wide * normal((h, 8), "test"))
    assert value("hole.dimension", e) > 0.99
    assert value("hole.sparse", e) > 0.7
    assert value("hole", e) > 0.99


def test_hole_sees_a_gap_that_two_moments_do_not():
    e = latent_encoding(two_gaussians(0.1, 3000, "train"), two_gaussians(0.1, 3000, "test"))
    assert value("hole.gaussian", e) == pytest.approx(value("hole", e), abs=0.03)
    assert value("hole", e) > 0.7


def test_the_worst_part_is_the_one_furthest_above_its_null():
    assert worst_of((0.02, 0.02, 0.03), (0.01, 0.01, 0.03)) == 0
    assert worst_of((0.0, 1.0, 0.5), (0.01, 0.01, 0.03)) == 1
    assert worst_of((1.0, 1.0, 1.0), (0.05, 0.01, 0.03)) == 0, (
        "what is all holes is named by the first, whatever the null"
    )
    assert worst_of((0.4, 0.1, 0.4 + 1e-13), (0.01, 0.01, 0.01)) == 0, "no last digit decides"


def test_what_a_record_says_of_the_worst_part():
    e = scaled(3, 1078, 360)
    metric = metrics()["hole"]
    found = metric.compute(e, **metric.params)
    assert found.detail["worst"] == "sparse"
    assert {p: found.detail[p] for p in PARTS} == {p: value(f"hole.{p}", e) for p in PARTS}
    assert found.value == found.detail["sparse"]


def test_the_null_of_the_worst_is_what_the_worst_reads_on_normal_codes():
    """Measured by the same choice, it is no more flattering than the measure: normal codes lie about it."""
    found = [holes(replace(e, seed=s), "normal", 5, 0.99, 10000, 5000, 4000) for s, e in
             ((s, latent_encoding(normal((700, 4), f"train {s}"), normal((200, 4), f"test {s}"))) for s in range(12))]  # fmt: skip
    excess = torch.tensor([f.shares.worst - f.null.worst for f in found])
    assert abs(float(excess.mean())) < 0.012
    assert 2 <= int((excess > 0).sum()) <= 10


def test_the_null_holds_for_sizes_alone():
    one = null_holes(3, 200, 60, 500, 5, 0.99)
    null_holes.cache_clear()
    assert null_holes(3, 200, 60, 500, 5, 0.99) == one


def test_independent_components_turn_with_the_codes():
    codes = one_of_eight(0.1, 3000, "train")
    for turn in (torch.eye(8, dtype=torch.float64), ROTATION):
        found = independent(codes @ turn) @ turn.T
        assert found.norm(dim=1).sub(1).abs().max() < 1e-12
        assert float(found[:, 2].abs().max()) > 0.998
        near = found[found[:, 2].abs().argmax()]
        assert float(sharpened(codes, near)[2].abs()) > 0.99999


def test_no_direction_hangs_on_the_last_digits():
    """Also of codes that have no independent components, where a longer search would follow their noise."""
    for codes in (
        normal((1078, 8), "train"),
        one_of_eight(0.25, 1078, "train") @ ROTATION,
        normal((1078, 64), "train"),
    ):
        held_out = normal((360, codes.shape[1]), "test")
        sampler = standard_normal(codes.shape[1])

        def gap(codes, held_out=held_out, sampler=sampler):
            return widest_gap(codes, held_out, 5, 0.99, seeded(0, "directions"), sampler).share

        usual = gap(codes)
        with PoorArithmetic():
            assert gap(codes) == pytest.approx(usual, abs=1e-6)
        assert gap(codes * (1 + 1e-13 * normal(codes.shape, "digits"))) == pytest.approx(usual, abs=1e-6)


@pytest.mark.parametrize("name", ["hole", "hole.gaussian", "hole.dimension"])
def test_codes_that_do_not_vary_have_a_value(name):
    """A dimension that stands still, and all of them: the prior is a hole, the Gaussian fitted to a point is that point."""
    still = normal((300, 3), "train")
    still[:, 1] = 0
    for codes in (still, torch.zeros(300, 3, dtype=torch.float64), torch.full((300, 3), 0.1)):
        found = value(name, latent_encoding(codes, codes[:100]))
        assert found < 0.2 if name == "hole.gaussian" else found > 0.99


def test_codes_of_one_point_have_a_value_where_denormal_numbers_are_zero():
    """As a worker has it: what keeps a matrix from being singular must not be one of those."""
    with denormals.as_zero():
        assert value("hole", latent_encoding(torch.zeros(300, 8), torch.zeros(100, 8))) > 0.99


def test_hole_needs_as_many_codes_as_neighbours():
    with pytest.raises(Undefined, match="5 neighbours"):
        hole_share(normal((9, 2), "z"), normal((4, 2), "c"), normal((9, 2), "h"), 5, 0.99)
    for name in ("hole", "hole.dimension"):
        with pytest.raises(Undefined, match="5 neighbours"):
            value(name, latent_encoding(normal((4, 2), "c"), normal((9, 2), "h")))
