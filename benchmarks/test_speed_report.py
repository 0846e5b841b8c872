"""From records to a page: rendering, tables and reading of a made-up run the size of the default one."""

from __future__ import annotations

import pytest
import synthetic_run

from latentbench import records, report
from latentbench.comparing import runs
from latentbench.stats.cells import summarise

MANY = synthetic_run.Synthetic(
    models=tuple(f"{'vae' if k % 2 else 'ae'}-{k:03d}" for k in range(300)), seeds=6,
    without=frozenset("map strips samples posterior atlas reconstructions data".split()),
)  # fmt: skip
"""300 models, 44,000 records, no pictures."""


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


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    return synthetic_run.build(tmp_path_factory.mktemp("many"), MANY)


def test_render_many(benchmark, many, tmp_path):
    benchmark.pedantic(report.render, ([many], tmp_path / "report.html"), rounds=1)


def test_compare_many(benchmark, many):
    benchmark.pedantic(lambda: runs.compare(many, many).findings, rounds=1)


def test_history_many(benchmark, many, tmp_path):
    benchmark.pedantic(report.render_history, ([many, many], tmp_path / "history.html"), rounds=1)
