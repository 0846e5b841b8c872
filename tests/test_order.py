"""As what is decoded gets worse, step by step, the measures get worse step by step.

The model is principal components of digits in standardised coordinates, so that N(0, I) lies where its codes lie; what
it decodes is blurred, drowned in noise, shuffled, faded to the mean image, or made of fewer components. Everything is
measured through `lb.evaluate`, by one real judge.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import pairwise

import pytest
import torch
from cheats import Cheat, X, honest_white, measured
from proofs import proofs
from torch import Tensor
from torch.nn import functional as F
from worse import EVERY

from latentbench.catalog import metrics
from latentbench.core import DECODER
from latentbench.randomness import seeded
from latentbench.spaces.image import shuffle_pixels


def blur(x: Tensor, width: float) -> Tensor:
    """Convolved with a Gaussian of this standard deviation in pixels."""
    if width == 0:
        return x
    reach = int(3 * width + 1)
    kernel = torch.exp(-torch.arange(-reach, reach + 1).float().square() / (2 * width**2))
    kernel /= kernel.sum()
    x = F.pad(x, (reach, reach, reach, reach), mode="replicate")
    return F.conv2d(F.conv2d(x, kernel.view(1, 1, 1, -1)), kernel.view(1, 1, -1, 1))


def drown(x: Tensor, share: float) -> Tensor:
    """Mixed with fresh uniform noise."""
    return (1 - share) * x + share * torch.rand(x.shape, generator=DRAWS)


def shuffle(x: Tensor, share: float) -> Tensor:
    """This share of the images with their pixels shuffled."""
    hit = torch.rand((len(x), 1, 1, 1), generator=DRAWS) < share
    return torch.where(hit, shuffle_pixels(x, DRAWS), x)


def fade(x: Tensor, share: float) -> Tensor:
    """Mixed with the mean image."""
    return (1 - share) * x + share * X.mean(0)


DRAWS = seeded(0, "degraded")
BASE = 16
STEPS: dict[str, tuple[float, ...]] = {
    "blur": (0, 0.5, 0.8, 1.2, 2),
    "noise": (0, 0.1, 0.25, 0.5, 1),
    "shuffle": (0, 0.25, 0.5, 0.75, 1),
    "mean": (0, 0.25, 0.5, 0.75),
    "components": (16, 8, 4, 2, 1),
}
WORSE: dict[str, Callable[[Tensor, float], Tensor]] = {"blur": blur, "noise": drown, "shuffle": shuffle, "mean": fade}

SHARES = ("validity.normal", "validity.gaussian", "validity.mixture", "validity.per_class", "coverage")
"""Shares that junk leaves nothing of."""
ORDERED = {n: p.follows for n, p in proofs().items() if p.follows}
"""Which series each metric must follow."""
FREE = {n: p.free for n, p in proofs().items() if p.free}
"""Metrics of a decoder that have a direction and need not follow: name -> why."""


def model(series: str, step: float) -> Cheat:
    if series == "components":
        return honest_white(int(step))
    base = honest_white(BASE)
    return base._replace(decode=lambda z: WORSE[series](base.decode(z), step))


@cache
def readings(series: str) -> list[dict[str, float | None]]:
    """What each step of a series reads on the test split: metric -> value, None where it is undefined."""
    DRAWS.manual_seed(0)
    found = [measured(model(series, step), f"{series} {step}", list(ORDERED)) for step in STEPS[series]]
    return [{r.metric: r.value for r in f.records if r.split == "test" and not r.is_reference} for f in found]


def test_every_metric_of_a_decoder_with_a_direction_is_put_in_order_or_says_why_not():
    directed = {n for n, m in metrics().items() if m.better in ("higher", "lower") and DECODER in m.needs}
    assert directed - set(ORDERED) - set(FREE) == set()
    assert not set(ORDERED) & set(FREE)
    assert {series for followed in ORDERED.values() for series in followed} == set(STEPS) == set(EVERY)


CASES = [(metric, series) for metric, followed in ORDERED.items() for series in followed]


@pytest.mark.parametrize(("metric", "series"), CASES)
def test_worse_step_by_step(metric, series):
    """No step improves by more than the sampling error of 2,000 samples (.02 of a share, 5 % of a distance), and the
    last is much worse than the first."""
    sign = -1 if metrics()[metric].better == "higher" else 1
    values = [row[metric] for row in readings(series)]
    bad = [sign * v for v in values if v is not None]
    assert len(bad) >= 3
    slack = 0.02 if metrics()[metric].bounds == (0.0, 1.0) else 0.05 * max(map(abs, bad))
    for before, after in pairwise(bad):
        assert after >= before - slack, values
    assert bad[-1] > bad[0] + 2 * slack, values


@pytest.mark.parametrize("series", ["blur", "noise", "shuffle"])
def test_the_last_step_is_junk(series):
    last = readings(series)[-1]
    for metric in SHARES:
        assert last[metric] is None or last[metric] < 0.05, metric  # as much as a judge may pass of junk


def test_fixed_points():
    """The mean image explains nothing; uniform noise over [0, 1] misses by its variance and the data's spread."""
    mean = measured(
        honest_white(BASE)._replace(decode=lambda z: X.mean(0).expand(len(z), *X.shape[1:])), "mean", ["r2"]
    )
    assert mean.value("r2", "train") == pytest.approx(0, abs=1e-3)
    noise = measured(honest_white(BASE)._replace(decode=lambda z: drown(X[: len(z)], 1.0)), "noise", ["mse"])
    expected = float(((X - 0.5).square()).mean()) + 1 / 12
    assert noise.value("mse", "train") == pytest.approx(expected, rel=0.02)
