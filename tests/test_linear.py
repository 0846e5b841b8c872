"""The page, the tables, the comparison and the history of many models: what they cost grows as the records do, and the
pairs that are claimed and ranked at once come to what each comes to alone.

Calls of Python functions are counted, not seconds: equal inputs give equal counts on any machine.
"""

from __future__ import annotations

import cProfile
from dataclasses import replace
from itertools import combinations

import made_up
import numpy as np
import pytest
import synthetic_run

from latentbench import records, report
from latentbench.comparing import runs
from latentbench.records import Kept
from latentbench.stats.cells import summarise
from latentbench.stats.families import Family, chance, together
from latentbench.stats.findings import findings
from latentbench.stats.findings.answers import answers
from latentbench.stats.findings.claims import _lead, _ranked, compare, leaders, standing
from latentbench.stats.findings.ranking import all_pairs
from latentbench.stats.over_datasets import across_datasets

FEW, TIMES, MOST = 12, 4, 5.5
"""Models, how many times as many, and how many times the calls that may take: 4 for what is linear, 16 for all pairs."""
PICTURES = frozenset("map strips samples posterior atlas reconstructions data".split())


def models(n):
    return tuple(f"{'vae' if k % 2 else 'ae'}-{k:03d}" for k in range(n))


def calls(work):
    """How many functions are called, of Python and of C."""
    profile = cProfile.Profile()
    profile.runcall(work)
    return sum(entry.callcount for entry in profile.getstats())


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    spec = synthetic_run.Synthetic(seeds=2, without=PICTURES)
    place = tmp_path_factory.mktemp("many")
    return {n: synthetic_run.build(place / str(n), replace(spec, models=models(n))) for n in (FEW, TIMES * FEW)}


WORKS = {
    "page": lambda folder, out: report.render([folder], out / "report.html"),
    "tables": lambda folder, out: report.write_tables(folder),
    "compare": lambda folder, out: runs.compare(folder, folder).findings,
    "history": lambda folder, out: report.render_history([folder, folder], out / "history.html"),
    "findings": lambda folder, out: findings(records.read(folder / "records.jsonl")),
    "answers": lambda folder, out: answers(records.read(folder / "records.jsonl")),
    "over data sets": lambda folder, out: across_datasets(summarise(records.read(folder / "records.jsonl"))),
}


@pytest.mark.parametrize("name", WORKS)
def test_calls_grow_as_the_records_do(folders, tmp_path, name):
    WORKS[name](folders[FEW], tmp_path)  # what is imported and compiled on the first call is not counted
    few, many = (calls(lambda f=folders[n]: WORKS[name](f, tmp_path)) for n in (FEW, TIMES * FEW))
    assert few > 1000
    assert many < MOST * few, f"{name}: {many} calls for {TIMES} times the models that take {few}"


def test_one_sided_comparison_is_linear(folders):
    """Where nothing of a model was measured in the same way, each cell looks for its twin."""

    def work(n):
        rows = records.read(folders[n] / "records.jsonl")
        moved = [replace(r, split="val") if r.metric != "r2" else r for r in rows]
        return calls(lambda: runs.compare_records(rows, moved))

    assert work(TIMES * FEW) < MOST * work(FEW)


def test_the_count_sees_all_pairs():
    """A count that cannot see what is quadratic proves nothing."""
    few, many = (calls(lambda n=n: [max(a, b) for a, b in combinations(range(n), 2)]) for n in (FEW, TIMES * FEW))
    assert many > MOST * few


def rows_of(kind, rng):
    """A metric of twelve models in one way that records come in: with holes, over splits, with a target, measured once."""
    out = []
    for k in range(12):
        level = {"apart": k, "near": 0.2 * k, "alike": 0.0}.get(kind, k // 3)
        values = level + 0.3 * rng.normal(size=5)
        if kind == "flat":
            values = np.full(5, float(k // 2))
        metric = "variance_law" if kind == "target" else "hole" if kind == "lower" else "probe.linear"
        more = {"target": 1.0} if kind == "target" else {}
        made = made_up.rows(f"m{k}", metric, values, **more)
        if kind == "holes":
            made = [r for r in made if rng.random() < 0.6] or made[:1]
        if kind == "once":
            made = [replace(made[0], seed=None, detail={"spread": 0.1 * (k % 3)})]
        if kind == "one seed":
            made = made[:1]
        out += made
    return out


KINDS = ("apart", "near", "alike", "grouped", "flat", "lower", "target", "holes", "once", "one seed", "splits")


@pytest.fixture(params=KINDS)
def cells(request):
    rng = np.random.default_rng(KINDS.index(request.param))
    found = summarise(rows_of(request.param, rng))
    if request.param == "splits":
        found = [replace(c, splits={s: s // 2 for s in c.values}) for c in found]
    return together(found)[0]


def test_family_at_once_is_that_of_each_pair(cells):
    alone = [p for a, b in combinations(cells, 2) if (p := chance(a, b)) is not None]
    family = Family(cells)
    assert family.size[1] == len(alone)
    adjusted = [family.adjusted(p, False) for p in sorted(alone)]
    expected, least = [], 0.0
    for k, p in enumerate(sorted(alone)):
        least = max(least, min(1.0, (len(alone) - k) * p))
        expected.append(least)
    assert adjusted == pytest.approx(expected, rel=1e-8)


def test_ranking_at_once_is_that_of_each_pair(cells):
    order = _ranked(cells, set())
    every = all_pairs(order)
    outcomes = set()
    for i, j in combinations(range(len(order)), 2):
        both = compare(order[j], order[i])
        outcomes.add(both.outcome)
        assert every.told[i, j] == (both.better > 0), (order[i].model, order[j].model)
    assert every.is_open == (outcomes <= {"one seed", "no seed in common"})
    assert every.is_equivalent == (outcomes == {"equivalent"})


def test_leading_group_is_the_smallest(cells):
    order = _ranked(cells, set())
    told = all_pairs(order).told
    sizes = [k for k in range(1, len(order)) if told[:k, k:].all()]
    assert _lead(order) == min(sizes, default=len(order))
    assert set(leaders(cells)) == {c.model for c in order[: _lead(order)]}
    assert standing(cells) is not None


def test_kept_records_are_worked_out_once():
    rows = Kept(made_up.steady("vae", probe__linear=0.9) + made_up.steady("ae", probe__linear=0.5))
    assert all(a is b for a, b in zip(summarise(rows), summarise(rows), strict=True))
    assert summarise(rows) == summarise(list(rows))
    summarise(rows).clear()
    assert summarise(rows)
