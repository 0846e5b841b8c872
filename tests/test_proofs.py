"""Every metric carries its proofs, and no row of the page that lists them is out of date."""

from __future__ import annotations

import pytest
from proofs import PAGE, RENEW, marked, of, proofs, row

from latentbench.catalog import metrics

METRICS = dict(metrics())
ROWS = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]


def test_every_metric_has_a_known_answer():
    assert marked("known_answer") >= set(METRICS), f"none for {sorted(set(METRICS) - marked('known_answer'))}"


@pytest.mark.parametrize("decorator", ["known_answer", "reference"])
def test_marks_name_metrics_that_exist(decorator):
    assert marked(decorator) <= set(METRICS), f"unknown: {sorted(marked(decorator) - set(METRICS))}"


def test_every_metric_has_its_proofs_in_its_test_file():
    assert set(proofs()) == set(METRICS), "PROOFS of the test files and metrics of the catalog differ"


@pytest.mark.parametrize("metric", [m for m, proof in proofs().items() if proof.package])
def test_what_another_package_has_is_compared_with_it(metric):
    tests, package = of("reference", metric), proofs()[metric].package
    assert tests, f"no test of {metric} is marked @reference"
    assert any(package in t.packages for t in tests), (package, tests)


def test_the_page_lists_most_measures():
    """A new measure has no row until the page is made anew; one that is no more has none."""
    listed = {line.split("`")[1] for line in ROWS}
    assert listed <= set(METRICS), f"{PAGE.name} lists what is no more: run `{RENEW}`"
    assert len(listed) == len(ROWS) >= 50


@pytest.mark.parametrize("line", ROWS, ids=lambda line: line.split("`")[1])
def test_a_row_of_the_page_is_up_to_date(line):
    metric = METRICS.get(line.split("`")[1])
    assert metric is not None
    assert line == row(metric), f"{PAGE.name} is out of date: run `{RENEW}`"
