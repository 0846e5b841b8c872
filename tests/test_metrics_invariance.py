"""What a metric may not notice: other coordinates of the same latent space, and another order of the images.

Every metric's test file says what happens to its number when the latent is turned, scaled evenly or stretched unevenly
(the decoder undoing it), and when the images come in another order (`fakes.Coordinates`): ``exact``, the same number;
``draws``, other draws of the same distribution; ``no``, another number, for the reason given.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest
import torch
from proofs import proofs

from latentbench.catalog import metrics
from latentbench.testing import REPARAMETRISATIONS, permuted, reparametrised
from latentbench.testing.metrics import example_for, number

METRICS = dict(metrics())
SEEDS = range(6)


TABLE = {name: proof.coordinates for name, proof in proofs().items()}
COLUMNS = {"rotation": "rotation", "isotropic scale": "isotropic", "anisotropic scale": "anisotropic"}


def cases(*said: str) -> list:
    found = []
    for name, row in TABLE.items():
        columns = [c for c, field in COLUMNS.items() if getattr(row, field) in said]
        found += [(name, c) for c in (*columns, *(["order"] if row.order in said else []))]
    return found


def moved(e, change: str):
    return permuted(e) if change == "order" else reparametrised(e, REPARAMETRISATIONS[change])


def examples(name: str):
    every = (example_for(METRICS[name])(sigma, torch.float64) for sigma in (None, 0.3))
    return [e for e in every if not e.absent(METRICS[name].needs)]


def test_every_metric_says_what_it_may_not_notice():
    assert set(TABLE) == set(METRICS)
    assert {getattr(r, f) for r in TABLE.values() for f in (*COLUMNS.values(), "order")} == {"exact", "draws", "no"}
    assert all(r.why for r in TABLE.values())


@cache
def usual(name: str) -> list[float | None]:
    """The metric's number of each example as it is: whatever the change, the same."""
    return [number(METRICS[name], e) for e in examples(name)]


@pytest.mark.parametrize(("name", "change"), cases("exact"))
def test_the_same_number(name, change):
    for e, before in zip(examples(name), usual(name), strict=True):
        found = number(METRICS[name], moved(e, change))
        assert found is not None
        assert found == pytest.approx(before, rel=1e-6, abs=1e-9)


@cache
def usual_over_seeds(name: str) -> list[torch.Tensor]:
    """That of each example under several seeds."""
    return [over_seeds(name, e) for e in examples(name)]


def over_seeds(name: str, e) -> torch.Tensor:
    """The metric's number under several seeds: only what it draws changes."""
    train = e.train
    views = (replace(e, seed=s, train=replace(train, seed=s)) for s in SEEDS)
    return torch.tensor([number(METRICS[name], view) for view in views], dtype=torch.float64)


@pytest.mark.parametrize(("name", "change"), cases("draws"))
def test_other_draws_of_the_same_distribution(name, change):
    """Means over seeds differ by less than five standard errors (and a thousandth)."""
    for e, here in zip(examples(name), usual_over_seeds(name), strict=True):
        there = over_seeds(name, moved(e, change))
        error = ((here.var() + there.var()) / len(SEEDS)).sqrt()
        assert abs(here.mean() - there.mean()) <= 5 * error + 1e-3 * max(1.0, abs(here.mean()))


SHOWN = [case for case in cases("no") if TABLE[case[0]].shown]


@pytest.mark.parametrize(("name", "change"), [c for c in SHOWN if "scale" in c[1]])
def test_another_number_where_the_table_says_so(name, change):
    """Else the table would hide an invariance, and these tests could not tell other coordinates from the same."""
    there = (number(METRICS[name], moved(e, change)) for e in examples(name))
    seen = list(zip(usual(name), there, strict=True))
    assert any(a != pytest.approx(b, rel=1e-3) for a, b in seen if a is not None and b is not None) or any(
        b is None for _, b in seen
    )
