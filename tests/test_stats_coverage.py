"""What the intervals are worth, by simulation, and that the published page says so."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path

import numpy as np
import pytest

from latentbench.stats.intervals import UNBOUNDED, t_interval

ROOT = Path(__file__).parents[1]
SCRIPT, PAGE = ROOT / "benchmarks" / "simulate_coverage.py", ROOT / "docs" / "coverage.md"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("simulate_coverage", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def few(script):
    """Every table of the page from a handful of studies."""
    return list(script.simulate(4))


def coverage(script, population, n, studies=2000):
    draws = population.draw(script.generator("test", population.name, n), (studies, n)).tolist()
    found = [t_interval(x, bounds=population.bounds) for x in draws]
    return np.mean([script.holds(i, population.mean) for i in found]), np.mean([bool(i.approximate) for i in found])


def named(script, name):
    (found,) = [p for p in script.POPULATIONS if p.name.startswith(name)]
    return found


@pytest.mark.parametrize("n", [6, 10, 20])
def test_the_t_interval_covers_on_gaussian_values(script, n):
    covered, labelled = coverage(script, named(script, "Gaussian"), n)
    assert 0.93 <= covered <= 0.97
    assert labelled == 0


@pytest.mark.parametrize("name", ["skewed: exponential", "skewed: lognormal, sigma 1", "share piled up at 0"])
def test_where_it_falls_short_at_a_bound_it_is_labelled(script, name):
    covered, labelled = coverage(script, named(script, name), 6)
    assert covered < 0.92
    assert labelled > 0.9


@pytest.mark.parametrize(
    "name", ["share around .50", "valid of 1,000 draws, true share .5", "valid of 1,000 draws, true share .01"]
)
def test_a_share_away_from_its_bounds_covers_and_is_not_labelled(script, name):
    covered, labelled = coverage(script, named(script, name), 6)
    assert 0.93 <= covered <= 0.97
    assert labelled < 0.1


def test_cutting_at_the_bounds_changes_no_coverage(script):
    population = named(script, "share piled up at 0")
    cut, _ = coverage(script, population, 6)
    whole, _ = coverage(script, population._replace(bounds=UNBOUNDED), 6)
    assert cut == whole


def test_correlated_seeds_are_covered_by_a_narrower_paired_interval(script):
    rows = {name: row for name, row in script.differences(2000).rows if name.startswith("Gaussian")}
    for row in rows.values():
        assert all(0.93 <= c <= 0.97 for c in row[:3])
    together = rows["Gaussian, correlation of equal seeds 0.8"]
    assert all(width < 0.6 for width in together[3:])


def test_a_percentile_bootstrap_of_five_seeds_covers_84_percent(script):
    ((_, row),) = script.percentile(1000).rows
    assert row[0] == pytest.approx(0.84, abs=0.04)


def test_the_bootstrap_over_datasets_covers_where_plain_percentiles_fall_short(script):
    name, draw = next(iter(script.SCORES.items()))
    moved, plain = (script._aggregate(name, draw, 3, 6, 600, 300, expanded) for expanded in (True, False))
    assert 0.92 <= moved <= 0.98
    assert 0.85 <= plain < 0.93


def test_so_many_seeds_see_the_difference_they_are_named_for(script):
    """Also where their number follows from the spread of six seeds."""
    for row in script.forecasts(300).rows:
        assert all(0.6 < share < 0.9 for share in row[1])


def test_holm_keeps_ten_claims_at_five_percent(script):
    (_, alone), (_, adjusted) = script.families(1000).rows
    assert all(0.34 < share < 0.46 for share in alone)
    assert all(share < 0.07 for share in adjusted)


def test_the_published_page_is_what_the_script_writes(script, few):
    """Its words, tables and rows, not its digits: those are of 2,000 studies."""
    number = re.compile(r"(?<=\| )(?:\d\.\d{3}|–)(?= \|)")
    page = PAGE.read_text("utf-8")
    assert number.sub("x", page) == number.sub("x", script.markdown(few, script.STUDIES))


def test_the_published_numbers_agree_with_themselves_and_with_the_promise():
    held = json.loads((ROOT / "docs" / "coverage.json").read_text("utf-8"))
    page = PAGE.read_text("utf-8")
    assert held["studies"] == 2000
    for table in held["tables"]:
        assert f"## {table['title']}\n" in page
        for name, *row in table["rows"]:
            assert f"| {name} | " + " | ".join("–" if v is None else f"{v:.3f}" for v in row) + " |" in page
    means = {name: row for name, *row in held["tables"][0]["rows"]}
    assert all(0.93 <= c <= 0.97 for c in means["Gaussian"][:3])
