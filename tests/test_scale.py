"""Memory grows with the number of points, not with its square; the page of figures is made from raw results."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

N = 8000
CALLS = {
    "prdc": "from latentbench.metrics.prior_coverage import prdc; prdc(x, 0.9 * x.flip(0), 5)",
    "nearest": "from latentbench.geometry.neighbours import nearest; nearest(x, k=5)",
    "heaped": "from latentbench.geometry.neighbours import nearest; nearest(x.round(decimals=-1), k=5)",
    "trustworthiness": "from latentbench.metrics.representation import trustworthiness; "
    "trustworthiness(x, x[:, :8], 10)",
    "hole": "from latentbench.metrics.prior_holes import hole_share; hole_share(x, x, x.flip(0), 5, 0.99)",
    "overlap": "from latentbench.metrics.posterior import bhattacharyya_overlap; "
    "bhattacharyya_overlap(x[:, :2], x[:, 2:4])",
}
RIVALS = Path(__file__).parent.parent / "benchmarks" / "rivals"


@pytest.mark.parametrize("what", CALLS)
def test_no_matrix_of_all_pairs_is_held(what):
    pytest.importorskip("resource")
    code = f"""
import resource, torch
torch.set_num_threads(1)
x = torch.randn({N}, 64, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
def call(x):
    {CALLS[what]}
call(x[:500])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
call(x)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    unit = 1 if sys.platform == "darwin" else 1024
    assert int(done.stdout) * unit < N * N * 8 / 3


def load(name):
    spec = importlib.util.spec_from_file_location(name, RIVALS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def table(monkeypatch):
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    load("cases")
    return load("table")


def run(case, who, n, wall, extra=1 << 20):
    return {
        "case": case,
        "who": who,
        "n": n,
        "threads": 1,
        "wall": wall,
        "cpu": wall,
        "extra_bytes": extra,
        "peak_bytes": 1 << 30,
        "answer": [1.0],
        "load": 1.0,
    }


def test_the_table_pairs_neighbours_in_time(table):
    rows = [
        run("nearest", who, n, wall * n / 2000, n << 10)
        for n in (10_000, 100_000)
        for who, wall in (("latentbench", 1.0), ("scikit-learn, brute", 3.0)) * 2
    ]
    ours, theirs = table._pairs(rows[:4], "scikit-learn, brute")
    mean, low, high = table.ratio(ours, theirs, "wall")
    assert mean == pytest.approx(3)
    assert low == pytest.approx(3)
    assert high == pytest.approx(3)
    result = {"started": "2026-01-01T00:00", "machine": {"processor": "p", "cores": 2, "python": "3"}, "versions": {}}
    page = table.document(json.loads(json.dumps(result | {"runs": rows})))
    assert "| nearest | 10,000 | 1 | scikit-learn, brute | 5 | 15 | 3.00 (3.00 to 3.00) |" in page
    assert "N^1.00" in page
    assert "nearest 1.00 GiB" in page


def test_an_interval_is_students(table):
    rows = [run("nearest", "a", 1, 1.0)] * 3
    others = [run("nearest", "b", 1, x) for x in (2.0, 2.2, 2.42)]
    mean, low, high = table.ratio(rows, others, "wall")
    assert mean == pytest.approx(2.2)
    assert high / mean == pytest.approx(mean / low) == pytest.approx(1.1 ** (4.30 / 3**0.5))


def test_growth_is_the_slope_of_logarithms(table):
    assert table.exponent([(10, 5), (100, 500), (1000, 50_000)]) == pytest.approx(2)


def test_the_page_is_made_from_the_committed_results(table):
    docs = RIVALS.parents[1] / "docs"
    assert table.document(json.loads((docs / "scale.json").read_text())) == (docs / "scale.md").read_text()
