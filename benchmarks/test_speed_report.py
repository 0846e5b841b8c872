"""From records to a page: rendering, tables and reading of a made-up run the size of the default one."""

from __future__ import annotations

import pytest
import synthetic_run

from latentbench import records, report
from latentbench.stats.cells import summarise


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return synthetic_run.build(tmp_path_factory.mktemp("run"))


def test_render(benchmark, folder, tmp_path):
    benchmark.pedantic(report.render, ([folder], tmp_path / "report.html"), rounds=5, warmup_rounds=1)


def test_tables(benchmark, folder):
    benchmark.pedantic(report.write_tables, (folder,), rounds=5, warmup_rounds=1)


def test_read(benchmark, folder):
    benchmark(records.read, folder / "records.jsonl")


def test_summarise(benchmark, folder):
    rows = records.read(folder / "records.jsonl")
    benchmark(summarise, rows)
