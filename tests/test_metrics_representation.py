"""Representation measures against scikit-learn and against chance."""

import pytest
import torch
from fakes import encode, known_answer, normal
from sklearn.manifold import trustworthiness as sklearn_trustworthiness

from latentbench.catalog import metrics
from latentbench.core import Posterior, Undefined
from latentbench.metrics.representation import probe_accuracy, trustworthiness


def pair(x, mu, y=None):
    """An encoding of images ``x`` (n, p) by ``mu`` (n, d), its own training split."""
    train = encode("train", x[:, None, None], Posterior(mu), y=y)
    return encode("test", x[:, None, None], Posterior(mu), y=y, train=train)


def value(name, e, **changes):
    metric = metrics()[name]
    result = metric.compute(e, **{**metric.params, **changes})
    return getattr(result, "value", result)


@known_answer("trustworthiness", "neighbourhood_continuity")
def test_both_are_scikit_learns_with_the_spaces_in_their_places():
    x = normal((150, 12), "x")
    mu = x[:, :3] + 0.3 * normal((150, 3), "noise")
    e = pair(x, mu)
    assert value("trustworthiness", e) == pytest.approx(sklearn_trustworthiness(x, mu, n_neighbors=10), rel=1e-12)
    torn = sklearn_trustworthiness(mu.numpy(), x.numpy(), n_neighbors=10)
    assert value("neighbourhood_continuity", e) == pytest.approx(torn, rel=1e-12)


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
        probe_accuracy(*(normal((5, 1), "p").numpy(), torch.zeros(5).numpy()) * 2)
