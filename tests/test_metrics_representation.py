"""Representation measures against scikit-learn and against chance."""

import math

import pytest
import torch
from fakes import Coordinates, encode, fake_encoding, known_answer, normal, proofs_of, reference
from sklearn.manifold import trustworthiness as sklearn_trustworthiness
from sklearn.metrics import silhouette_score
from sklearn.neighbors import KNeighborsClassifier
from worse import shuffled

from latentbench.catalog import metrics
from latentbench.core import Posterior, Undefined
from latentbench.metrics.representation import neighbour_vote, probe_accuracy, silhouette_width, trustworthiness

PROOFS = (
    proofs_of(
        "probe.linear",
        package="sklearn",
        coordinates=Coordinates(
            "no", "exact", "exact", "exact", "standardised along each coordinate, with an even ridge"
        ),
        degrade=shuffled,
    ),
    proofs_of(
        "probe.knn",
        package="sklearn",
        coordinates=Coordinates(
            "exact", "exact", "no", "exact", "Euclidean neighbours or distances of codes", shown=False
        ),
        degrade=shuffled,
    ),
    proofs_of(
        "silhouette",
        "trustworthiness",
        "neighbourhood_continuity",
        package="sklearn",
        coordinates=Coordinates("exact", "exact", "no", "exact", "Euclidean neighbours or distances of codes"),
        degrade=shuffled,
    ),
)


def pair(x, mu, y=None):
    """An encoding of images ``x`` (n, p) by ``mu`` (n, d), its own training split."""
    train = encode("train", x[:, None, None], Posterior(mu), y=y)
    return encode("test", x[:, None, None], Posterior(mu), y=y, train=train)


def value(name, e, **changes):
    metric = metrics()[name]
    result = metric.compute(e, **{**metric.params, **changes})
    return getattr(result, "value", result)


@reference("trustworthiness", "neighbourhood_continuity")
@known_answer("trustworthiness", "neighbourhood_continuity")
def test_both_are_scikit_learns_with_the_spaces_in_their_places():
    x = normal((150, 12), "x")
    mu = x[:, :3] + 0.3 * normal((150, 3), "noise")
    e = pair(x, mu)
    assert value("trustworthiness", e) == pytest.approx(sklearn_trustworthiness(x, mu, n_neighbors=10), rel=1e-10)
    torn = sklearn_trustworthiness(mu.numpy(), x.numpy(), n_neighbors=10)
    assert value("neighbourhood_continuity", e) == pytest.approx(torn, rel=1e-10)


@known_answer("trustworthiness", "neighbourhood_continuity")
def test_both_are_one_for_a_similarity_and_a_half_by_chance():
    x = normal((300, 5), "x")
    same = pair(x, 7 * x + 3)
    assert value("trustworthiness", same) == value("neighbourhood_continuity", same) == 1
    chance = pair(x, normal((300, 2), "unrelated"))
    assert value("trustworthiness", chance) == pytest.approx(0.5, abs=0.05)
    assert value("neighbourhood_continuity", chance) == pytest.approx(0.5, abs=0.05)


def test_a_latent_fallen_onto_one_point_scores_chance_not_perfection():
    x = normal((200, 5), "x")
    collapsed = pair(x, torch.zeros(200, 2))
    assert value("neighbourhood_continuity", collapsed) == pytest.approx(0.5, abs=0.03)
    assert value("trustworthiness", collapsed) < 0.65


def test_too_few_points_have_no_neighbourhoods():
    x = normal((20, 2), "x")
    with pytest.raises(Undefined, match="more than 20 points, there are 20"):
        trustworthiness(x, x, 10)


def test_points_caps_the_sample_and_says_so():
    x = normal((120, 4), "x")
    result = metrics()["trustworthiness"].compute(pair(x, x[:, :2]), k=10, points=50)
    assert result.detail == {"points": 50}


@known_answer("probe.linear")
def test_probe_reaches_the_optimum_of_two_gaussians_one_apart():
    y = torch.arange(8000) % 2
    mu = normal((8000, 1), "probe") + y[:, None]
    # Phi(1/2), to the sampling error of 8000 points
    assert value("probe.linear", pair(mu, mu, y), points=8000) == pytest.approx(0.6915, abs=0.016)


@known_answer("probe.linear")
def test_probe_is_perfect_where_classes_are_apart_and_knows_the_majority():
    y = torch.tensor([0, 0, 0, 1] * 30)
    mu = normal((120, 2), "mu") + 40.0 * y[:, None]
    e = pair(mu, mu, y)
    assert value("probe.linear", e) == 1
    assert value("probe.linear", pair(mu, 1e-6 * mu - 5, y)) == 1
    assert value("probe.linear", pair(mu, 0 * mu, y)) == 0.75
    assert metrics()["probe.linear"].references(e, points=5000) == {"floor:majority": 0.75}


def test_probe_needs_two_classes():
    with pytest.raises(Undefined, match="two classes"):
        probe_accuracy(*(normal((5, 1), "p").double().numpy(), torch.zeros(5, dtype=torch.int64).numpy()) * 2)


@reference("probe.knn")
@pytest.mark.parametrize("k", [1, 4, 10])
def test_the_neighbours_vote_is_scikit_learns(k):
    """With four classes and an even k votes tie; both give a tie to the smallest label."""
    train, test = normal((200, 3), "train"), normal((150, 3), "test")
    y, y_test = torch.arange(200) % 4, torch.arange(150) % 4
    theirs = KNeighborsClassifier(k).fit(train.numpy(), y.numpy()).score(test.numpy(), y_test.numpy())
    assert neighbour_vote(train, y, test, y_test, k) == pytest.approx(theirs, rel=1e-10)


@known_answer("probe.knn")
def test_neighbours_know_classes_that_are_apart_and_guess_where_there_are_none():
    y = torch.tensor([0, 0, 0, 1] * 30)
    mu = normal((120, 2), "mu") + 40.0 * y[:, None]
    assert value("probe.knn", pair(mu, mu, y)) == 1
    chance = pair(mu, normal((120, 2), "unrelated"), y)
    assert value("probe.knn", chance) <= 0.85
    assert metrics()["probe.knn"].references(chance, points=5000, k=10) == {"floor:majority": 0.75}


@known_answer("probe.knn")
def test_one_neighbour_of_two_overlapping_classes_is_wrong_as_often_as_cover_and_hart_say():
    """Labels drawn with P[1 | x] = p everywhere: the nearest neighbour errs with 2 p (1 - p)."""
    y = (normal((8000,), "labels") < -0.6745).long()  # p = 1/4
    mu = normal((8000, 2), "anywhere")
    train = encode("train", mu[:4000, None, None], Posterior(mu[:4000]), y=y[:4000])
    e = encode("test", mu[4000:, None, None], Posterior(mu[4000:]), y=y[4000:], train=train)
    assert value("probe.knn", e, k=1) == pytest.approx(1 - 2 * 0.25 * 0.75, abs=0.03)


def test_a_vote_needs_as_many_codes_as_neighbours():
    x, y = normal((5, 2), "few"), torch.arange(5)
    with pytest.raises(Undefined, match="at least 10 training codes, there are 5"):
        neighbour_vote(x, y, x, y, 10)


@reference("silhouette")
@pytest.mark.parametrize("classes", [2, 7])
@pytest.mark.parametrize("shift", [0.0, 1.0, 1000.0])
def test_silhouette_is_scikit_learns(classes, shift):
    y = torch.arange(150) % classes * 3
    x = normal((150, 4), "x") + shift * torch.arange(150)[:, None] % classes
    assert silhouette_width(x, y) == pytest.approx(silhouette_score(x.numpy(), y.numpy()), rel=1e-5, abs=1e-9)


@reference("silhouette")
def test_silhouette_counts_a_class_of_one_as_scikit_learn_does(monkeypatch):
    x, y = normal((61, 3), "x"), torch.tensor([0, 1] * 30 + [2])
    theirs = silhouette_score(x.numpy(), y.numpy())
    assert silhouette_width(x, y) == pytest.approx(theirs, rel=1e-9)
    monkeypatch.setattr("latentbench.geometry.neighbours.BLOCK", 300)
    assert silhouette_width(x, y) == pytest.approx(theirs, rel=1e-9)


@known_answer("silhouette")
def test_silhouette_of_two_pairs_by_hand():
    """On a line, 0 and 1 against 10 and 11: a = 1, b = 10.5 or 9.5."""
    x, y = torch.tensor([[0.0], [1.0], [10.0], [11.0]]), torch.tensor([0, 0, 1, 1])
    assert silhouette_width(x, y) == pytest.approx((9.5 / 10.5 + 8.5 / 9.5) / 2, rel=1e-9)
    assert silhouette_width(torch.ones(4, 1), y) == 0
    with pytest.raises(Undefined, match="found 1"):
        silhouette_width(x, torch.zeros(4, dtype=torch.int64))
    with pytest.raises(Undefined, match="found 4"):
        silhouette_width(x, torch.arange(4))


@pytest.mark.parametrize("name", ["silhouette", "probe.knn"])
def test_turning_moving_and_rescaling_the_latent_change_nothing(name):
    y = torch.arange(200) % 3
    mu = normal((200, 3), "mu") + y[:, None]
    turn = torch.linalg.qr(normal((3, 3), "turn"))[0]
    base = value(name, pair(mu, mu, y))
    assert 0 < base < 1
    for moved in (mu @ turn, 1e-3 * mu, 50 * mu - 9):
        assert value(name, pair(mu, moved, y)) == pytest.approx(base, rel=1e-6)


def test_labels_dealt_out_anew_have_no_silhouette():
    metric = metrics()["silhouette"]
    (null,) = metric.references(fake_encoding(), **metric.params).values()
    assert null < 0.1 < value("silhouette", fake_encoding())
    assert not math.isnan(null)
