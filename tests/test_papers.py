"""The checks against papers: what they ask for is there to be measured, and what is said of it follows from the numbers."""

import sys
from pathlib import Path

import pytest

from latentbench import catalog

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import papers


def rows(**values):
    return [
        {"check": "c", "model": model, "seed": s, "values": {"mse": v}}
        for model, some in values.items()
        for s, v in enumerate(some)
    ]


@pytest.mark.parametrize("check", papers.CHECKS, ids=lambda c: c.name)
def test_a_check_asks_for_models_and_measures_that_there_are(check):
    for part in check.parts:
        for label, metric in (part.first, part.second) if isinstance(part, papers.More) else (part.of,):
            assert label in check.models
            assert metric in papers.OWN or metric in catalog.metrics()
    assert set(check.models) == {label for label in check.models if papers.measures(check, label)}
    orders = sum(isinstance(p, papers.More) for p in check.parts)
    assert orders
    assert check.seeds >= 3


def test_an_order_is_read_over_seeds_in_pairs():
    part = papers.More("a above b", ("a", "mse"), ("b", "mse"))
    assert papers.interval(part, rows(a=[3.0, 4.0, 5.1], b=[1.0, 2.0, 3.0]))[1] == 1
    assert papers.interval(part, rows(b=[3.0, 4.0, 5.1], a=[1.0, 2.0, 3.0]))[1] == -1
    assert papers.interval(part, rows(a=[3.0, 1.0, 2.0], b=[1.0, 2.0, 3.0]))[1] == 0
    assert papers.interval(part, rows(a=[3.0], b=[1.0]))[1] == 0
    assert papers.interval(part, rows(a=[3.0, 4.0])) == (None, 0)


def test_a_factor_counts():
    part = papers.More("a is twice b", ("a", "mse"), ("b", "mse"), 2.0)
    assert papers.interval(part, rows(a=[5.0, 5.1, 5.2], b=[2.0, 2.0, 2.0]))[1] == 1
    assert papers.interval(part, rows(a=[3.0, 3.1, 3.2], b=[2.0, 2.0, 2.0]))[1] == -1


def test_a_range_holds_the_whole_interval():
    part = papers.Within("near 1", ("a", "mse"), 0.9, 1.1)
    assert [papers.interval(part, rows(a=some))[1] for some in ([1.0, 1.01, 0.99], [2.0, 2.01, 1.99], [0.9, 1.0, 1.1])] == [
        1, -1, 0,
    ]  # fmt: skip


def test_what_was_not_measured_is_said():
    out = {
        "rows": [],
        "lacking": {"wae": "why not"},
        "machine": {"processor": "p"},
        "versions": {},
        "measured": "2026-01-01",
    }
    text = papers.document(out)
    assert "not measured: why not" in text
    assert "not measured: not run yet" in text
    assert "held**" not in text


def test_a_model_that_does_not_do_so_is_said_not_to():
    check = next(c for c in papers.CHECKS if c.name == "cae")
    slopes = {"0": [1.0, 1.1, 1.2], "small": [2.0, 2.1, 2.2], "large": [0.1, 0.11, 0.12]}
    found = [
        {"check": "cae", "model": m, "seed": s, "values": {"encoder_slope": v}}
        for m, some in slopes.items()
        for s, v in enumerate(some)
    ]
    told = [papers._told(part, found, "") for part in check.parts]
    assert "**not held**" in told[0]
    assert "| **held** |" in told[1]
