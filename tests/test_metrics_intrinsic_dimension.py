"""Intrinsic dimension of clouds whose dimension is known."""

import numpy as np
import pytest
import torch
from fakes import Coordinates, fake_encoding, known_answer, latent_encoding, normal, proofs_of, reference, value
from scipy.spatial.distance import cdist

from latentbench.catalog import metrics
from latentbench.core import Undefined
from latentbench.metrics.intrinsic_dimension import likeliest_dimension, two_nearest
from latentbench.randomness import seeded

PROOFS = (
    proofs_of(
        "intrinsic_dim.twonn",
        "intrinsic_dim.mle",
        package="scipy",
        coordinates=Coordinates("exact", "exact", "no", "exact", "Euclidean neighbours or distances of codes"),
    ),
)

BOTH = ("intrinsic_dim.twonn", "intrinsic_dim.mle")


def cloud(n, m, ambient, shape="cube"):
    """``n`` points of an m-dimensional cube or Gaussian in a plane of ``ambient`` dimensions."""
    points = (
        torch.rand(n, m, generator=seeded(m, "cube"), dtype=torch.float64) if shape == "cube" else normal((n, m), "g")
    )
    frame = torch.linalg.qr(normal((ambient, m), "frame"))[0]
    return points @ frame.T + 3.0


@known_answer("intrinsic_dim.twonn", "intrinsic_dim.mle")
@pytest.mark.parametrize("shape", ["cube", "gaussian"])
@pytest.mark.parametrize("m", [1, 2, 4])
def test_a_flat_cloud_has_its_dimension_whatever_the_space_around(m, shape):
    """Both read the slope of n = 4000 exponentials, so their own error is m / sqrt(n); a boundary of 4000 points lowers
    them by some percent more, increasingly with the dimension."""
    e = latent_encoding(cloud(10, m, 16), cloud(4000, m, 16, shape))
    for name in BOTH:
        assert value(name, e, points=4000) == pytest.approx(m, rel=0.08), name


@known_answer("intrinsic_dim.twonn", "intrinsic_dim.mle")
def test_a_circle_is_a_line_and_a_sphere_a_surface():
    angle = 2 * np.pi * torch.rand(1500, 1, generator=seeded(0, "angle"), dtype=torch.float64)
    circle = torch.cat([angle.cos(), angle.sin()], 1)
    sphere = torch.nn.functional.normalize(normal((3000, 3), "sphere"), dim=1)
    for name in BOTH:
        assert value(name, latent_encoding(circle, circle)) == pytest.approx(1, rel=0.06)
        assert value(name, latent_encoding(sphere, sphere), points=3000) == pytest.approx(2, rel=0.06)


def neighbours(x, k):
    return np.sort(cdist(x, x), axis=1)[:, 1 : k + 1]


@reference("intrinsic_dim.twonn")
@pytest.mark.parametrize("discard", [0.1, 0.0001])
def test_two_nearest_is_the_papers_fit_in_numpy(discard):
    x = normal((300, 5), "x").numpy()
    distance = neighbours(x, 2)
    mu = np.sort(distance[:, 1] / distance[:, 0])[: int(300 * (1 - discard))]
    surprise = -np.log(1 - np.arange(1, len(mu) + 1) / 300)
    slope = np.linalg.lstsq(np.log(mu)[:, None], surprise, rcond=None)[0][0]
    assert two_nearest(torch.from_numpy(x), discard) == pytest.approx(slope, rel=1e-9)


@reference("intrinsic_dim.mle")
def test_likeliest_dimension_is_the_harmonic_mean_of_the_local_ones_in_numpy():
    x = normal((300, 5), "x").numpy()
    local = [9 / np.log(t[-1] / t[:-1]).sum() for t in neighbours(x, 10)]
    assert likeliest_dimension(torch.from_numpy(x), 10) == pytest.approx(1 / np.mean(1 / np.array(local)), rel=1e-9)


@reference("intrinsic_dim.twonn", "intrinsic_dim.mle")
def test_both_are_scikit_dimensions():
    ids = pytest.importorskip("skdim.id", reason="scikit-dimension is not installed")
    x = normal((400, 5), "x").numpy()
    assert two_nearest(torch.from_numpy(x), 0.1) == pytest.approx(ids.TwoNN().fit(x).dimension_, rel=1e-5)
    theirs = ids.MLE().fit(x, n_neighbors=10, comb="mle").dimension_
    assert likeliest_dimension(torch.from_numpy(x), 10) == pytest.approx(theirs, rel=1e-5)


@pytest.mark.parametrize("name", BOTH)
def test_turning_moving_rescaling_and_doubling_change_nothing(name):
    x = normal((200, 4), "x") * torch.tensor([1.0, 0.3, 2.0, 1.0])
    base = value(name, latent_encoding(x, x))
    turn = torch.linalg.qr(normal((4, 4), "turn"))[0]
    for moved in (x @ turn, 1e3 * x - 70, 1e-4 * x, torch.cat([x, x])):
        assert value(name, latent_encoding(moved, moved), points=400) == pytest.approx(base, rel=1e-6)


@pytest.mark.parametrize("name", BOTH)
def test_a_collapsed_latent_has_no_dimension(name):
    x = torch.ones(50, 3)
    with pytest.raises(Undefined, match="collapsed"):
        value(name, latent_encoding(x, x))


def test_duplicates_are_one_point():
    few = torch.eye(3).repeat(20, 1)
    with pytest.raises(Undefined, match="10 distinct points, there are 3"):
        likeliest_dimension(few, 10)
    with pytest.raises(Undefined, match="one distance"):
        two_nearest(few, 0.1)


@pytest.mark.parametrize("name", BOTH)
def test_what_as_many_points_of_the_prior_read_stands_beside(name):
    e = fake_encoding()
    found = metrics()[name].references(e, **metrics()[name].params)
    assert found["null:normal"] == pytest.approx(3, rel=0.4)  # 60 points in 3 dimensions
    assert found["null:images"] == value(name, latent_encoding(e.x, e.x.flatten(1)))
