"""Neighbours are exact: against scikit-learn, far from the origin, in any blocks."""

import numpy as np
import pytest
import torch
from fakes import normal
from scipy.stats import rankdata
from sklearn.neighbors import NearestNeighbors

from latentbench.geometry import neighbours
from latentbench.geometry.neighbours import distances, nearest, ranks
from latentbench.randomness import seeded


@pytest.mark.parametrize("shift", [0.0, 1e4])
@pytest.mark.parametrize("block", [1, 100, 10**6])
def test_nearest_is_scikit_learns_however_cut_and_wherever_the_data_lie(monkeypatch, block, shift):
    monkeypatch.setattr(neighbours, "BLOCK", block)
    a, b = normal((40, 6), "a") + shift, normal((70, 6), "b") + shift
    distance, index = NearestNeighbors(n_neighbors=4, algorithm="brute").fit(b.numpy()).kneighbors(a.numpy())
    found = nearest(a, b, 4)
    np.testing.assert_array_equal(found.indices.numpy(), index)
    np.testing.assert_allclose(found.distance.numpy(), distance, rtol=1e-7 if shift == 0 else 1e-4)


def test_without_a_second_set_no_point_is_its_own_neighbour(monkeypatch):
    monkeypatch.setattr(neighbours, "BLOCK", 77)
    a = normal((50, 3), "a")
    _, index = NearestNeighbors(n_neighbors=6).fit(a.numpy()).kneighbors(a.numpy())
    np.testing.assert_array_equal(nearest(a, k=5).indices.numpy(), index[:, 1:])


def test_duplicates_are_neighbours_at_distance_zero():
    a = torch.tensor([[0.0, 3.0], [0.0, 3.0], [9.0, 9.0]])
    assert nearest(a, k=1).indices[:2, 0].tolist() == [1, 0]
    assert nearest(a, k=1).distance[0, 0] == 0
    assert distances(a, a)[0, 1] == 0


def test_images_are_taken_as_vectors():
    x = normal((9, 2, 3, 3), "x")
    assert torch.equal(nearest(x, k=2).indices, nearest(x.flatten(1), k=2).indices)


@pytest.mark.parametrize("k", [0, 5])
def test_too_many_neighbours_are_refused(k):
    with pytest.raises(ValueError, match=f"{k} neighbours asked for, there are 4"):
        nearest(torch.zeros(5, 2), k=k)


def test_ranks_count_from_one_and_share_ties():
    line = torch.tensor([[0.0], [1.0], [3.0], [7.0]])
    index = torch.tensor([[1, 2, 3], [0, 2, 3], [1, 0, 3], [2, 1, 0]])
    assert ranks(line, index).tolist() == [[1, 2, 3], [1, 2, 3], [1, 2, 3], [1, 2, 3]]
    assert ranks(torch.zeros(5, 2), torch.tensor([[1], [0], [0], [0], [0]])).flatten().tolist() == [2.5] * 5


@pytest.mark.parametrize("block", [1, 500, 10**6])
@pytest.mark.parametrize("shift", [0, 1000])
def test_ranks_are_mean_ranks_of_tied_distances(monkeypatch, block, shift):
    monkeypatch.setattr(neighbours, "BLOCK", block)
    grid = torch.randint(-2, 3, (60, 3), generator=seeded(0, "lattice"))
    others = torch.stack([torch.cat([torch.arange(i), torch.arange(i + 1, 60)]) for i in range(60)])
    found = ranks(grid / 8.0 + shift, others)
    square = (grid[:, None] - grid).square().sum(2).gather(1, others)
    np.testing.assert_array_equal(found.numpy(), rankdata(square.numpy(), axis=1))
