"""Everything neighbour-based over the number of points, d = 64: two sizes in every run, 50,000 by hand with
``pytest benchmarks/test_speed_neighbours.py --benchmark-only -m large``."""

from __future__ import annotations

import pytest
import torch
from fakes import normal

from latentbench.geometry.neighbours import nearest, ranks
from latentbench.metrics.posterior import bhattacharyya_overlap
from latentbench.metrics.prior_coverage import prdc
from latentbench.metrics.prior_holes import hole_share
from latentbench.metrics.representation import trustworthiness

SIZES = [2_000, 10_000, pytest.param(50_000, marks=pytest.mark.large)]


def sets(n: int) -> tuple[torch.Tensor, torch.Tensor]:
    return normal((n, 64), "real"), 0.9 * normal((n, 64), "fake")


def timed(benchmark, call, *arguments):
    """Few rounds: a call of a second need not be repeated for seconds."""
    benchmark.pedantic(call, arguments, rounds=5 if len(arguments[0]) <= 10_000 else 1, warmup_rounds=1)


@pytest.mark.parametrize("n", SIZES)
def test_prdc(benchmark, n):
    timed(benchmark, prdc, *sets(n), 5)


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("k", [1, 10, 100])
def test_nearest(benchmark, n, k):
    timed(benchmark, nearest, *sets(n), k)


@pytest.mark.parametrize("n", SIZES)
def test_ranks(benchmark, n):
    x, _ = sets(n)
    timed(benchmark, ranks, x, torch.stack([torch.arange(n).roll(shift) for shift in range(1, 11)], 1))


@pytest.mark.parametrize("n", SIZES)
def test_trustworthiness(benchmark, n):
    x, _ = sets(n)
    timed(benchmark, trustworthiness, x, x[:, :8].contiguous(), 10)


@pytest.mark.parametrize("n", SIZES)
def test_hole(benchmark, n):
    codes, draws = sets(n)
    timed(benchmark, hole_share, draws[:4000], codes, normal((5000, 64), "held out"), 5, 0.99)


@pytest.mark.parametrize("n", SIZES[:2])
def test_overlap(benchmark, n):
    mu, log_var = sets(n)
    timed(benchmark, bhattacharyya_overlap, mu[:, :16].contiguous(), log_var[:, :16] - 2)
