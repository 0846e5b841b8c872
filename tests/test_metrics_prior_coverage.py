"""Precision, recall, density, coverage: published expectations, and the reference package's figures."""

import math

import pytest
import torch
from fakes import (
    Between,
    Coordinates,
    encode,
    known_answer,
    normal,
    proofs_of,
    reference,
    value,
)
from prdc import compute_prdc
from worse import EVERY, jagged, one_sided

from latentbench.catalog import metrics
from latentbench.core import Posterior, Undefined
from latentbench.geometry import neighbours
from latentbench.measuring.scoring import score
from latentbench.metrics.prior_coverage import Prdc, prdc
from latentbench.records import Record

NORMAL = Coordinates(
    "draws", "no", "no", "exact", "N(0, I) and the directions drawn look alike from all sides, and have one scale"
)
PROOFS = (
    # What is drawn towards the middle of the data lies amid real features: these two reward it, and do not stand alone.
    # Nor do they follow a blur: the ball of a real image at the rim of its class is wide, and on some processors' judges
    # it holds whatever is blurred beyond recognition (precision .62, density .12, coverage .003, nothing of it valid).
    proofs_of(
        "precision",
        "density",
        package="prdc",
        coordinates=NORMAL,
        degrade=jagged,
        follows=("noise", "shuffle"),
    ),
    proofs_of(
        "coverage",
        package="prdc",
        coordinates=NORMAL,
        degrade=jagged,
        follows=EVERY,
    ),
    proofs_of(
        "recall",
        package="prdc",
        coordinates=NORMAL,
        degrade=one_sided,
        follows=("blur", "noise", "mean", "components"),
    ),
)


def expected_coverage(n, k):
    """Naeem et al. 2020, proposition: equal distributions, n samples of each."""
    return 1 - math.prod((n - i) / (2 * n - i) for i in range(1, k + 1))


@known_answer("coverage", "density", "precision", "recall")
def test_scores_of_equal_distributions():
    assert expected_coverage(2000, 5) == pytest.approx(0.96887, abs=5e-6)
    scores = prdc(normal((2000, 16), "real"), normal((2000, 16), "fake"), 5)
    assert scores.coverage == pytest.approx(0.96887, abs=0.015)
    assert scores.density == pytest.approx(1, abs=0.05)
    assert scores.precision == pytest.approx(scores.recall, abs=0.05)


@known_answer("precision", "recall", "density", "coverage")
def test_scores_of_one_point_at_the_real_mean():
    real = normal((2000, 64), "real")
    assert prdc(real, real.mean(0).expand(2000, -1), 5) == (1, 0, 400, 1)


@known_answer("precision", "recall", "coverage")
@pytest.mark.parametrize("kept", [1, 4, 10])
def test_recall_and_coverage_count_the_modes_kept(kept):
    modes = 100 * torch.eye(10, dtype=torch.float64)
    mode = torch.arange(2000) % 10
    real = modes[mode] + normal((2000, 10), "real")
    # The fakes are the real points of the modes kept, nudged: there everything is covered, elsewhere nothing.
    scores = prdc(real, real[mode < kept] + 1e-3, 5)
    assert scores.recall == scores.coverage == pytest.approx(kept / 10, rel=1e-9)
    assert scores.precision == 1


@reference("precision", "recall", "density", "coverage")
@pytest.mark.parametrize(("n", "m", "shift"), [(200, 200, 0.0), (150, 300, 0.8), (80, 60, 3.0)])
def test_scores_are_those_of_the_reference_package(n, m, shift):
    real, fake = normal((n, 8), "real"), 0.8 * normal((m, 8), "fake") + shift
    reference = compute_prdc(real.numpy(), fake.numpy(), nearest_k=5)
    for name, ours in prdc(real, fake, 5)._asdict().items():
        assert ours == pytest.approx(reference[name], rel=1e-9, abs=1e-10), name


@reference("precision", "recall", "density", "coverage")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shift", [0.0, 1000.0])
def test_scores_are_those_of_the_reference_package_in_any_precision(monkeypatch, dtype, shift):
    monkeypatch.setattr(neighbours, "BLOCK", 70_000)
    real = (normal((1100, 64), "real") + shift).to(dtype)
    fake = (0.9 * normal((900, 64), "fake") + shift).to(dtype)
    # The package's own products of float32 lose what lies far from the origin, so it is given the same in float64.
    reference = compute_prdc(real.double().numpy(), fake.double().numpy(), nearest_k=5)
    assert prdc(real, fake, 5) == pytest.approx(tuple(reference[name] for name in Prdc._fields), rel=1e-10)


@known_answer("precision", "recall", "density", "coverage")
def test_copies_lie_in_the_balls_they_reach_and_on_the_surface_of_none():
    # Among n copies of the real points each lies in the balls whose points are nearer than their k-th neighbour: a
    # point's own ball and those of which it is one of the k - 1 nearest; the k-th lies on the surface, outside.
    x = normal((300, 4), "real")
    scores = prdc(x, x.clone(), 5)
    assert scores == (1, 1, 1, 1)
    heaped = x[torch.arange(300) % 40]  # every point at least seven times: balls of radius 0 hold nothing
    assert prdc(heaped, heaped, 5) == (0, 0, 0, 0)


@known_answer("precision", "recall", "density", "coverage")
def test_scores_reach_the_judges_features_of_decoded_prior_samples():
    class Probit(Between):
        def features(self, x):
            return torch.special.ndtri(x.flatten(1))

    def decode(z):
        return torch.special.ndtr(z).view(-1, 1, 8, 8)

    codes = normal((2000, 64), "real")
    train = encode("train", decode(codes), Posterior(codes), decode, judge=Probit(0, 1))
    e = encode("test", decode(codes), Posterior(codes), decode, train=train, judge=Probit(0, 1))
    assert value("coverage", e) == pytest.approx(0.96887, abs=0.015)
    assert value("density", e) == pytest.approx(1, abs=0.1)
    assert value("precision", e) == pytest.approx(value("recall", e), abs=0.05)
    heaped = encode("test", decode(codes), Posterior(codes), lambda z: decode(0.3 * z), train=train, judge=Probit(0, 1))
    rows = score(heaped, [metrics()[n] for n in ("precision", "recall", "density", "coverage")], Record(metric=""))
    assert [Record.from_json(r.to_json()).detail["crowded"] for r in rows] == [True] * 4
    (honest,) = score(e, [metrics()["density"]], Record(metric=""))
    assert honest.detail["crowded"] is False
    assert value("recall", heaped) < 0.3


def test_scores_need_more_points_than_neighbours():
    with pytest.raises(Undefined, match="more than 5 points, there are 5 real"):
        prdc(normal((5, 2), "a"), normal((50, 2), "b"), 5)
