"""Points halfway to a neighbour's code: worked out by hand on a line, and nothing moved is the reconstruction."""

import numpy as np
import pytest
import torch
from fakes import Between, Coordinates, encode, fake_encoding, known_answer, proofs_of, reference, value
from sklearn.neighbors import NearestNeighbors
from worse import EVERY, jagged

from latentbench.catalog import metrics
from latentbench.core import Posterior, Undefined

NEAREST = Coordinates(
    "exact", "exact", "no", "exact", "Euclidean neighbours among codes, and straight lines to them", False
)
PROOFS = (
    proofs_of("neighbour.validity", package="sklearn", coordinates=NEAREST, degrade=jagged, follows=EVERY),
    proofs_of("neighbour.frechet", package="torchmetrics", coordinates=NEAREST, degrade=jagged, follows=EVERY),
)


def pixels(train, test, judge):
    """Images of one pixel that are their own codes."""

    def side(split, points, of):
        x = torch.tensor(points, dtype=torch.float64).view(-1, 1, 1, 1)
        return encode(split, x, Posterior(x.flatten(1)), lambda z: z.view(-1, 1, 1, 1), None, of, judge)

    return side("test", test, side("train", train, None))


@known_answer("neighbour.validity")
def test_halfway_points_on_a_line():
    """From .1 .3 .6 halfway to the nearest of 0 .5 1: .05 .4 .55, and halfway to the second nearest .3 .15 .8."""
    e = pixels([0.0, 0.5, 1.0], [0.1, 0.3, 0.6], Between(0.2, 0.5))
    assert value("neighbour.validity", e) == pytest.approx(1 / 3)
    assert value("neighbour.validity", e, alpha=0.0) == pytest.approx(1 / 3)
    assert value("neighbour.validity", e, k=2) == pytest.approx(1 / 3)
    wide = pixels([0.0, 0.5, 1.0], [0.1, 0.3, 0.6], Between(0.1, 0.6))
    assert value("neighbour.validity", wide) == pytest.approx(2 / 3)
    with pytest.raises(Undefined, match="4 neighbours need at least 4 training codes, there are 3"):
        value("neighbour.validity", e, k=4)


@known_answer("neighbour.frechet")
def test_all_points_pulled_evenly_to_one_code():
    """Every point's only neighbour is 0: halfway the pixels are half as large. Frechet: (m/2)^2 + (s/2)^2."""
    test = [0.2, 0.4, 0.6, 0.8]
    e = pixels([0.0, 0.0], test, Between(-1, 2))
    mean, sd = np.mean(test), np.std(test, ddof=1)
    assert value("neighbour.frechet", e) == pytest.approx((mean / 2) ** 2 + (sd / 2) ** 2, rel=1e-9)


def test_nothing_moved_is_the_reconstruction():
    e = fake_encoding(dtype=torch.float64)
    assert value("neighbour.frechet", e, alpha=0.0) == pytest.approx(value("judge_frechet.reconstruction", e), rel=1e-9)
    for count in (20, 2000):  # also where images are drawn: the same ones
        still = value("neighbour.frechet", e, alpha=0.0, count=count)
        assert still == pytest.approx(value("judge_frechet.reconstruction", e, count=count), rel=1e-9)


def test_the_tenth_neighbour_stands_in_the_record_and_the_protocol_too():
    e = fake_encoding()
    found = metrics()["neighbour.frechet"].compute(e, **metrics()["neighbour.frechet"].params)
    assert found.detail["k10"] == pytest.approx(value("neighbour.frechet", e, k=10), rel=1e-9)
    assert found.detail["protocol"] == {"range": [0.0, 1.0], "size": [1, 4, 4], "n": 60, "extractor": "CentroidJudge"}
    few = pixels([0.0, 0.5, 1.0], [0.1, 0.3, 0.6], Between(0.2, 0.5))
    assert "k10" not in metrics()["neighbour.validity"].compute(few, **metrics()["neighbour.validity"].params).detail


@reference("neighbour.validity")
def test_neighbours_are_sklearns():
    e = fake_encoding(dtype=torch.float64)
    codes = e.train.mu.numpy()
    near = NearestNeighbors(n_neighbors=1).fit(codes).kneighbors(e.mu.numpy(), return_distance=False)[:, 0]
    halfway = e.decode(torch.from_numpy((e.mu.numpy() + codes[near]) / 2))
    assert value("neighbour.validity", e) == float(e.judge(halfway.clamp(0, 1)).valid.double().mean())


@reference("neighbour.frechet")
def test_the_distance_is_torchmetrics():
    from latentbench.datasets import torchvision_guard

    torchvision_guard.torchvision()
    from torchmetrics.image.fid import _compute_fid

    e = fake_encoding(dtype=torch.float64)
    near = torch.cdist(e.mu, e.train.mu).argmin(1)
    images = [e.x, e.decode((e.mu + e.train.mu[near]) / 2)]
    real, fake = (e.judge.features(x.clamp(0, 1)) for x in images)
    theirs = _compute_fid(real.mean(0), torch.cov(real.T), fake.mean(0), torch.cov(fake.T))
    assert value("neighbour.frechet", e) == pytest.approx(float(theirs), rel=1e-4)
