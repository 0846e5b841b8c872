"""The speed gate: its statistics on made-up launches, and whole runs on small real repositories."""

from __future__ import annotations

import json
import random
import subprocess
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from scipy import stats as scipy_stats

from latentbench.cli.app import main
from latentbench.comparing import change
from latentbench.gate import checkouts, launcher, speed_gate
from latentbench.report.exports import gate as told
from latentbench.stats.intervals import welch

ASKED = speed_gate.Gate("main")
ROOT = Path(__file__).parents[1]


def pairs(n, noise=0.03, slow=0.0, seed=0, shift_of_reference=0.0, outliers=0.0):
    """Launches of two benchmarks, one of them slower at HEAD, and of the reference."""
    rng = random.Random(seed)

    def value(effect):
        # One process in ten is slow for its whole life.
        return 0.01 * np.exp(rng.gauss(0, noise) + effect + (0.3 if rng.random() < outliers else 0.0))

    def one(effect, reference):
        seconds = {"test_a": value(effect), "test_b": value(0.0), launcher.REFERENCE: value(reference)}
        return launcher.Launch({**seconds, launcher.MEMORY: 1e8 * np.exp(rng.gauss(0, 0.001))}, 1.0)

    return [(one(0.0, 0.0), one(np.log1p(slow), shift_of_reference)) for _ in range(n)]


def verdicts(found):
    return {c.name: c.verdict for c in speed_gate.judge(found, ASKED)[0]}


def test_visits_are_balanced_whatever_the_seed():
    for seed in range(20):
        first = list(islice(speed_gate.order(seed), 40))
        assert all(a != b for a, b in zip(first[::2], first[1::2], strict=True))
    assert len({tuple(islice(speed_gate.order(seed), 40)) for seed in range(20)}) > 1


def test_a_slowdown_is_found_and_only_where_it_is():
    assert verdicts(pairs(20, slow=0.1)) == {"test_a": "worse", "test_b": "same", launcher.MEMORY: "same"}
    assert verdicts(pairs(20, slow=-0.1))["test_a"] == "better"


def test_slow_processes_do_not_hide_a_slowdown():
    caught = [verdicts(pairs(26, slow=0.1, outliers=0.1, seed=s))["test_a"] == "worse" for s in range(40)]
    assert np.mean(caught) > 0.8


@pytest.mark.parametrize("noise", [0.02, 0.1])
def test_equal_revisions_are_not_called_worse(noise):
    """Six looks at each of 300 made-up sessions, slow processes among them; at .25 % a session one is expected."""
    alarms = 0
    for seed in range(300):
        found = pairs(speed_gate.LOOKS[-1], noise, outliers=0.1, seed=seed)
        alarms += any("worse" in verdicts(found[:n]).values() for n in speed_gate.LOOKS)
    assert alarms <= 3


def test_a_change_below_the_threshold_is_no_verdict():
    assert verdicts(pairs(26, noise=0.005, slow=0.03))["test_a"] in ("same", "unknown")


def test_nothing_stands_where_the_reference_moved():
    decided, reference = speed_gate.judge(pairs(20, slow=0.1, shift_of_reference=0.2), ASKED)
    assert {c.verdict for c in decided} == {"unknown"}
    assert reference.verdict == "worse"
    assert "reference" in decided[0].reason


def test_a_benchmark_of_one_side_is_named():
    found = [(a, launcher.Launch({"test_new": 0.01, **b.values}, 1.0)) for a, b in pairs(6)]
    decided = {c.name: c for c in speed_gate.judge(found, ASKED)[0]}
    assert decided["test_new"].reason == "it did not run at BASE"


def test_thresholds_of_single_benchmarks():
    asked = replace(ASKED, thresholds={"test_a": 0.2})
    assert {c.name: c.verdict for c in speed_gate.judge(pairs(20, slow=0.1), asked)[0]}["test_a"] == "same"
    assert speed_gate.thresholds(["10%", "test_a=20%"]) == (0.1, {"test_a": 0.2})


def test_it_stops_when_decided_and_when_time_is_up(monkeypatch):
    sides = tuple(checkouts.Checkout(n, "0" * 40, Path()) for n in "ab")
    made = {
        side.name: iter(made)
        for side, made in zip(sides, zip(*pairs(200, noise=0.01, slow=1.0), strict=True), strict=True)
    }

    def one(side):
        return next(made[side.name])

    found = speed_gate.carry_out(ASKED, one, sides)
    assert len(found.pairs) == speed_gate.LOOKS[0]
    assert found.stopped == "a benchmark is worse"
    clock = iter(range(0, 100_000, 60))
    monkeypatch.setattr(speed_gate.time, "monotonic", lambda: next(clock))
    with pytest.raises(ValueError, match="do not fit into 270 s"):
        speed_gate.carry_out(ASKED, one, sides)


def test_setting_nothing_aside_is_welch():
    a, b = np.random.default_rng(0).normal(0, [[1], [3]], (2, 12))
    found = welch(a, b)
    theirs = scipy_stats.ttest_ind(a, b, equal_var=False)
    assert (found.p, found.df) == pytest.approx((theirs.pvalue, theirs.df))


def test_the_slow_ones_are_set_aside():
    """Worked by hand: 1, 2, 3 | 9, 50 against 1, 1, 4 | 4, 4; three of five are left."""
    found = welch([50, 2, 9, 1, 3], [4, 1, 4, 1, 4], aside=0.4)
    u, v = (np.var(x, ddof=1) * 4 / 6 for x in ([1, 2, 3, 3, 3], [1, 1, 4, 4, 4]))
    assert found.difference.mean == pytest.approx(0.0)
    assert found.difference.sd == pytest.approx(np.sqrt(u + v))
    assert found.df == pytest.approx((u + v) ** 2 / (u**2 / 2 + v**2 / 2))
    with pytest.raises(ValueError, match="set aside"):
        welch([1.0, 2.0], [1.0, 2.0], aside=1.0)


def test_two_heaps_are_told_from_a_slowdown():
    """Launches of which three in ten take 1.6 times longer, as where another process has the other half of the core."""
    rng = np.random.default_rng(3)

    def some(effect):
        return rng.normal(effect, 0.02, 26) + 0.47 * (rng.random(26) < 0.3)

    wide = [welch(some(0.095), some(0)).p < 1e-4 for _ in range(100)]
    cut = [welch(some(0.095), some(0), aside=speed_gate.ASIDE).p < 1e-4 for _ in range(100)]
    assert np.mean(cut) > 0.9 > 0.3 > np.mean(wide)
    false = [welch(some(0), some(0), aside=speed_gate.ASIDE).p < 0.05 for _ in range(1000)]
    assert np.mean(false) < 0.09


SUITE = """
from mine import work


def test_work(benchmark):
    benchmark.pedantic(work, rounds=10, warmup_rounds=1)


def test_other(benchmark):
    benchmark.pedantic(sorted, (list(range(20000, 0, -1)),), rounds=10, warmup_rounds=1)
"""


def run(folder, *words):
    subprocess.run(words, cwd=folder, check=True, capture_output=True)


def commit(folder, message):
    run(folder, "git", "add", "-A")
    run(folder, "git", "-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "-qm", message)


def source(loops):
    return f"def work():\n    total = 0\n    for k in range({loops}):\n        total += k\n    return total\n"


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A user's own repository: a module under src, a suite, no package installed."""
    folder = tmp_path / "theirs"
    (folder / "src").mkdir(parents=True)
    (folder / "benchmarks").mkdir()
    (folder / "src/mine.py").write_text(source(30_000))
    (folder / "benchmarks/test_speed.py").write_text(SUITE)
    run(folder, "git", "init", "-q", "-b", "main")
    commit(folder, "first")
    monkeypatch.chdir(folder)
    return folder


def test_a_slower_working_tree_fails_the_gate(repository, tmp_path, capsys):
    (repository / "src/mine.py").write_text(source(60_000))
    (repository / "notes.txt").write_text("not tracked")
    before = {p: p.read_bytes() for p in repository.rglob("*") if p.is_file() and ".git" not in p.parts}
    out = tmp_path / "out"
    assert main(["gate", "--base", "main", "--out", str(out)]) == 1
    said = capsys.readouterr().out
    assert said.startswith("Worse: test_speed.py::test_work (")
    assert "untracked" in said
    found = json.loads((out / "launches.json").read_text("utf-8"))
    by = {c["name"]: c for c in found["changes"]}
    assert by["test_speed.py::test_work"]["harm"]["mean"] == pytest.approx(1.0, abs=0.4)
    assert by["test_speed.py::test_other"]["verdict"] != "worse"
    assert by[launcher.MEMORY]["verdict"] == "same"
    assert len(found["pairs"]) >= speed_gate.LOOKS[0]
    assert "#### Worse" in (out / "summary.md").read_text("utf-8")
    assert {p: p.read_bytes() for p in before} == before
    assert subprocess.run(["git", "stash", "list"], capture_output=True, text=True, check=True).stdout == ""
    assert main(["gate", "--base", "main", "--out", str(out)]) == 2
    assert "not an empty folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["--base", "nowhere"], "--base 'nowhere' is no revision"),
        (["--base", "main", "--head", "--upload-pack=x"], "is no revision"),
        (["--base", "main", "--suite", "bench"], "--suite bench is not in"),
        (["--base", "main", "--threshold", ".05"], "not a share of the base"),
        (["--base", "main", "--threshold", "a lot"], "no amount of change"),
        (["--base", "main", "--fail-on", "worst"], "did you mean 'worse'?"),
        (["--base", "main", "--minutes", "soon"], "--minutes 'soon' is not a number from 0.1 to 600"),
        (["--base", "main", "--clock", "sun"], "unknown clock 'sun'"),
        (["--base", "main", "--only", "nothing_like_it"], "ran no benchmark of yours"),
        ([], "missing option"),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(repository, capsys, words, what):
    assert main(["gate", *words]) == 2
    said = capsys.readouterr()
    assert what in said.err.lower() or what in said.err
    assert said.err.count("\n") == 1
    assert not said.out


def test_broken_benchmarks_are_told(repository, capsys):
    (repository / "benchmarks/test_speed.py").write_text("import not_there\n")
    assert main(["gate", "--base", "main"]) == 2
    assert "No module named 'not_there'" in capsys.readouterr().err


def test_outside_a_repository(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["gate", "--base", "main"]) == 2
    assert "not a git repository" in capsys.readouterr().err


def test_markdown_tells_pairs_and_reference():
    changes_, reference = speed_gate.judge(pairs(8, slow=0.2), ASKED)
    decision = speed_gate.Decision(
        tuple(changes_), reference, tuple(pairs(8)), "a benchmark is worse", "main (1)", "x (2)", 30
    )
    text = told.markdown(decision)
    assert "Speed: x (2) against main (1)" in text
    assert "8 pairs of process launches" in text
    assert "reference workload" in text
    assert change.of_verdict(changes_, "worse")[0].name == "test_a"


def test_a_decision_is_told_in_findings_too():
    both = [(a, launcher.Launch({"test_new": 0.01, **b.values}, 1.0)) for a, b in pairs(20, slow=0.2)]
    decided, reference = speed_gate.judge(both, ASKED)
    decision = speed_gate.Decision(tuple(decided), reference, tuple(both), "a benchmark is worse", "main (1)", "x (2)")
    rows = told.as_json(decision)
    found = {f["metric"]: f for f in rows["findings"]}
    assert [f["metric"] for f in rows["findings"]] == [c["metric"] for c in rows["changes"]]
    assert {(f["question"], f["subject"], f["rival"]) for f in found.values()} == {("cost", "x (2)", "main (1)")}
    worse, lost = found["test_a"], found["test_new"]
    assert (worse["verdict"], worse["caveats"]) == ("worse", ())
    assert worse["difference"] == pytest.approx(0.002, rel=0.3)
    assert (lost["verdict"], lost["caveats"], lost["difference"]) == ("not comparable", ("one side only",), None)
    assert found["test_b"]["verdict"] == "equivalent"


def test_a_benchmark_that_ran_in_some_launches_is_not_comparable():
    some = [(a, b if k else launcher.Launch({"test_b": 0.01}, 1.0)) for k, (a, b) in enumerate(pairs(12))]
    decision = speed_gate.Decision(tuple(speed_gate.judge(some, ASKED)[0]), None, tuple(some), "", "main", "x")
    found = {f.metric: f for f in decision.findings}
    assert (found["test_a"].verdict, found["test_a"].caveats) == ("not comparable", ("some launches only",))


def test_where_the_reference_moved_nothing_is_comparable():
    decided, _ = speed_gate.judge(pairs(20, slow=0.1, shift_of_reference=0.2), ASKED)
    found = speed_gate.Decision(tuple(decided), None, (), "", "main", "x").findings
    assert {(f.verdict, f.caveats) for f in found} == {("not comparable", ("reference moved",))}
    assert all(f.difference is not None for f in found)


def test_the_page_of_error_rates_tells_the_raw_runs(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import gate_table

    rows = gate_table.read(ROOT / "docs/gate.jsonl")
    page = (ROOT / "docs/gate.md").read_text("utf-8")
    assert len(gate_table.counts(rows)) >= 4
    assert [line for line in gate_table.counts(rows) if line not in page] == []
    # Power over resampled sessions, few of them here.
    shares = gate_table.resampled(rows, 80)
    assert shares["a false alarm"].startswith("0 of 80")
    assert int(shares["20% slower, caught"].split()[0]) >= 18
