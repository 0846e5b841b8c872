"""Every metric carries its proofs, and the page that lists them is up to date."""

from __future__ import annotations

import pytest
from proofs import ALONE, IMPLEMENTED, PAGE, RENEW, marked, of, page

from latentbench.catalog import metrics

METRICS = dict(metrics())


def test_every_metric_has_a_known_answer():
    assert marked("known_answer") >= set(METRICS), f"none for {sorted(set(METRICS) - marked('known_answer'))}"


@pytest.mark.parametrize("decorator", ["known_answer", "reference"])
def test_marks_name_metrics_that_exist(decorator):
    assert marked(decorator) <= set(METRICS), f"unknown: {sorted(marked(decorator) - set(METRICS))}"


def test_every_metric_says_whether_another_package_has_it():
    assert not set(IMPLEMENTED) & ALONE
    assert set(METRICS) <= set(IMPLEMENTED) | ALONE, sorted(set(METRICS) - set(IMPLEMENTED) - ALONE)


@pytest.mark.parametrize("metric", [m for m in IMPLEMENTED if m in METRICS])
def test_what_another_package_has_is_compared_with_it(metric):
    tests = of("reference", metric)
    assert tests, f"no test of {metric} is marked @reference"
    assert any(IMPLEMENTED[metric] in t.packages for t in tests), (IMPLEMENTED[metric], tests)


def test_the_page_of_measures_is_up_to_date():
    written = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
    assert written == page(), f"{PAGE.name} is out of date: run `{RENEW}`"
