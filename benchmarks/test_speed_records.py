"""What a report spends its time on before it draws: reading records, their statistics, the mean over datasets.

Nothing here needs torch, so that a process is up in a second: what `gate` is checked with, launch after launch.
"""

from __future__ import annotations

import pytest

from latentbench import records
from latentbench.records import Record
from latentbench.stats.cells import summarise
from latentbench.stats.over_datasets import iqm_interval


@pytest.fixture(scope="module")
def rows():
    return [
        Record(model=m, metric=f"metric {k}", seed=s, value=0.1 * k + s, better="lower", dataset="made", split="test")
        for m in ("ae", "vae")
        for k in range(80)
        for s in range(6)
    ]


def test_read(benchmark, rows, tmp_path):
    """A run's records from their file."""
    path = tmp_path / "records.jsonl"
    records.write(path, rows)
    benchmark.pedantic(records.read, (path,), rounds=15, warmup_rounds=2)


def test_summarise(benchmark, rows):
    """Cells and intervals of a run's records."""
    benchmark.pedantic(summarise, (rows,), rounds=15, warmup_rounds=2)


def test_iqm(benchmark):
    """The bootstrap over seeds within datasets."""
    values = {f"data {d}": {s: 0.01 * (d * s % 7) for s in range(10)} for d in range(4)}
    benchmark.pedantic(iqm_interval, (values,), rounds=15, warmup_rounds=2)
