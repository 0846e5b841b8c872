"""One dimension by sorting is what all dimensions are by search, and its integral what draws come near."""

import pytest
import torch
from fakes import normal

from latentbench.geometry.neighbours import nearest
from latentbench.geometry.on_a_line import kth_distance, normal_share_beyond


@pytest.mark.parametrize(("n", "k"), [(5, 5), (7, 3), (300, 5), (40, 1)])
def test_distances_are_those_of_the_search(n, k):
    points, others = normal((4, 200), "points"), normal((4, n), "others")
    others[2, : n // 2] = others[2, 0]  # heaped on one place
    points[3, 0] = others[3, 0]
    found = kth_distance(points, others.sort(1).values, k)
    known = torch.stack(
        [nearest(p[:, None], o[:, None], k).distance[:, -1] for p, o in zip(points, others, strict=True)]
    )
    torch.testing.assert_close(found, known, rtol=0, atol=1e-12)


def test_the_share_beyond_is_what_a_fine_grid_of_the_normal_says():
    place = torch.special.ndtri((torch.arange(200_000, dtype=torch.float64) + 0.5) / 200_000)
    ordered = torch.stack(
        [normal((300,), "a"), 3 * normal((300,), "b"), normal((300,), "c").sign() + 0.1, torch.zeros(300)]
    )
    ordered = ordered.double().sort(1).values
    radius = torch.tensor([0.1, 0.1, 0.3, 1.0], dtype=torch.float64)
    found = normal_share_beyond(ordered, 5, radius)
    away = torch.stack([kth_distance(place[None], o[None], 5)[0] for o in ordered])
    torch.testing.assert_close(found, (away > radius[:, None]).double().mean(1), rtol=0, atol=5e-5)
    assert float(found[3]) == pytest.approx(2 * (1 - 0.8413447), abs=1e-6)


def test_no_radius_and_every_radius():
    ordered = normal((1, 50), "codes").sort(1).values
    assert float(normal_share_beyond(ordered, 2, torch.zeros(1).double())) == 1
    assert float(normal_share_beyond(ordered, 2, torch.full((1,), 50.0).double())) == 0


def test_fewer_points_than_neighbours_are_refused():
    with pytest.raises(ValueError, match="5 neighbours asked for, there are 4"):
        kth_distance(normal((1, 3), "p"), normal((1, 4), "o"), 5)
    with pytest.raises(ValueError, match="0 neighbours asked for, there are 4"):
        normal_share_beyond(normal((1, 4), "o"), 0, torch.ones(1))
