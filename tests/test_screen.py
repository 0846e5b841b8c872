"""A screen is never off by more than it says, and what it settles is the answer of the differences alone."""

import numpy as np
import pytest
import torch
from fakes import normal
from hypothesis import given, settings
from hypothesis import strategies as st

from latentbench.geometry import candidate_pairs, neighbours
from latentbench.geometry.candidate_pairs import Screen, precisions, separation
from latentbench.geometry.neighbours import count_inside, nearest
from latentbench.randomness import seeded


def clusters(n, d, spread, purpose):
    """Tight clusters far apart: where the product's differences cancel."""
    return torch.randint(-3, 4, (n, d), generator=seeded(n, purpose)) + spread * normal((n, d), purpose)


SETS = {
    "normal": lambda: (normal((60, 9), "a"), normal((80, 9), "b")),
    "far from the origin": lambda: (normal((60, 9), "a") + 1e6, normal((80, 9), "b") + 1e6),
    "one far away": lambda: (normal((60, 9), "a"), torch.cat([normal((79, 9), "b"), torch.full((1, 9), 1e5).double()])),
    "clusters": lambda: (clusters(60, 9, 1e-7, "a"), clusters(80, 9, 1e-7, "b")),
    "heaped": lambda: (torch.zeros(60, 9).double(), torch.ones(80, 9).double()),
    "tiny": lambda: (1e-120 * normal((60, 9), "a"), 1e-120 * normal((80, 9), "b")),
    "huge": lambda: (1e120 * normal((60, 9), "a"), 1e120 * normal((80, 9), "b")),
    "images": lambda: (normal((60, 3000), "a").sigmoid(), normal((80, 3000), "b").sigmoid()),
    "corners": lambda: (torch.eye(60, 80).double(), torch.eye(80).double()),
    "tight clusters": lambda: (clusters(60, 2, 1e-9, "a"), clusters(80, 2, 1e-9, "b")),
    "one coordinate": lambda: (normal((60, 1), "a"), normal((80, 1), "b")),
}

ALL = np.divmod(np.arange(60 * 80), 80)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", SETS)
def test_a_screen_is_off_by_its_margin_at_most(name, dtype):
    a, b = (x.numpy() for x in SETS[name]())
    radius = separation(b, b, np.arange(80), np.roll(np.arange(80), 1))
    s = Screen(a, b, radius**2, dtype, 7, torch.device("cpu"))
    row, column = ALL
    distance = s.scale * separation(a, b, row, column)
    true = (distance**2 - (s.scale * radius[column]) ** 2).reshape(60, 80)
    found = s.block(slice(0, 60)).astype(np.float64)
    assert (np.abs(found[:, :80] - true) <= s.margin).all()
    assert (found[:, 80:] > 1e30).all()
    if name in ("normal", "tiny", "huge"):
        assert 0.1 < distance.max() <= 2
        assert s.margin.max() < 1e3 * torch.finfo(dtype).eps


def naive(a, b, k, itself):
    """Every distance from its differences, ordered by distance and then by place."""
    x, y = a.numpy(), b.numpy()
    distance = torch.from_numpy(np.stack([np.sqrt(((row - y) * (row - y)).sum(1)) for row in x]))
    if itself:
        distance.fill_diagonal_(torch.inf)
    index = distance.sort(dim=1, stable=True).indices[:, :k]
    return distance.gather(1, index), index


COORDINATE = st.one_of(st.integers(-2, 2).map(float), st.floats(-1e6, 1e6, width=32))  # the first kind ties
POINTS = st.integers(1, 5).flatmap(lambda d: st.lists(st.tuples(*[COORDINATE] * d), min_size=2, max_size=40))


@settings(deadline=None, max_examples=150)
@given(POINTS, st.data())
def test_neighbours_and_balls_are_those_of_all_distances(rows, data):
    x = torch.tensor(rows, dtype=data.draw(st.sampled_from([torch.float32, torch.float64])))
    k = data.draw(st.integers(1, len(x) - 1))
    block = data.draw(st.sampled_from([1, 50, 10**6]))
    exact = x.double()
    half = len(x) // 2
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(neighbours, "BLOCK", block)
        found = nearest(x, k=k)
        distance, index = naive(exact, exact, k, True)
        assert torch.equal(found.indices, index)
        assert torch.equal(found.distance, distance)
        radius = found.distance[half:, -1]
        balls = count_inside(x[:half], x[half:], radius)
    inside = naive(exact[:half], exact[half:], len(x) - half, False)
    inside = torch.empty_like(inside[0]).scatter(1, inside[1], inside[0]) < radius
    assert torch.equal(balls.around, inside.sum(1))
    assert torch.equal(balls.within, inside.sum(0))


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("k", [1, 5, 79])
@pytest.mark.parametrize("block", [1000, 10**6])
def test_every_set_has_the_neighbours_of_all_distances(monkeypatch, name, k, block):
    monkeypatch.setattr(neighbours, "BLOCK", block)
    a, b = SETS[name]()
    distance, index = naive(b, b, k, True)
    found = nearest(b, k=k)
    assert torch.equal(found.indices, index)
    assert torch.equal(found.distance, distance)
    distance, index = naive(a, b, k, False)
    found = nearest(a, b, k)
    assert torch.equal(found.indices, index)
    assert torch.equal(found.distance, distance)


@pytest.mark.parametrize("kinds", [(torch.float32, torch.float64), (torch.float64,)])
def test_the_precision_of_the_screen_changes_nothing(monkeypatch, kinds):
    a, b = clusters(700, 4, 1e-3, "a"), normal((900, 4), "b")
    asked = []
    monkeypatch.setattr(neighbours, "precisions", lambda *x: asked.append(1) or kinds)
    found, balls = nearest(a, b, 5), count_inside(a, b, nearest(b, k=5).distance[:, -1])
    monkeypatch.undo()
    assert asked
    assert all(torch.equal(x, y) for x, y in zip(found, nearest(a, b, 5), strict=True))
    again = count_inside(a, b, nearest(b, k=5).distance[:, -1])
    assert all(torch.equal(x, y) for x, y in zip(balls, again, strict=True))


@pytest.mark.parametrize("distinct", [1, 3, 50])
def test_heaped_points_are_searched_as_few(monkeypatch, distinct):
    x = normal((distinct, 4), "heaps")[torch.arange(600) % distinct]
    settled = []

    def counted(a, b, row, column):
        settled.append(len(row))
        return separation(a, b, row, column)

    monkeypatch.setattr(neighbours, "separation", counted)
    found = nearest(x, k=3)
    distance, index = naive(x, x, 3, True)
    assert torch.equal(found.indices, index)
    assert torch.equal(found.distance, distance)
    assert sum(settled) < 600 * 600 / 4


@pytest.mark.parametrize("d", [1, 2, 33, 1000])
def test_pairs_are_settled_alike_in_any_company(monkeypatch, d):
    a, b = normal((60, d), "a").numpy(), normal((80, d), "b").numpy()
    row, column = ALL
    whole = separation(a, b, row, column)
    np.testing.assert_array_equal(whole, separation(b, a, column, row))
    monkeypatch.setattr(candidate_pairs, "SETTLE", 1)
    np.testing.assert_array_equal(whole, separation(a, b, row, column))


def test_fewer_bits_in_a_product_are_not_trusted(monkeypatch):
    x, cpu = normal((5, 4), "x"), torch.device("cpu")
    assert precisions(4, cpu) == (torch.float32, torch.float64)
    monkeypatch.setattr(torch, "get_float32_matmul_precision", lambda: "medium")
    assert precisions(4, cpu) == (torch.float64,)
    monkeypatch.undo()
    with torch.autocast("cpu"):
        assert precisions(4, cpu) == (torch.float64,)
        assert torch.equal(nearest(x, k=2).indices, naive(x, x, 2, True)[1])
    assert precisions(2_000_000, cpu) == (torch.float64,)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 1e200])
def test_points_that_are_nowhere_have_no_neighbours(bad):
    x = normal((9, 2), "x")
    x[3, 1] = bad
    for search in (lambda: nearest(x, k=1), lambda: nearest(normal((4, 2), "a"), x), lambda: nearest(x, x[:3], 1)):
        with pytest.raises(ValueError, match="NaN, infinite or beyond 1e\\+150"):
            search()
