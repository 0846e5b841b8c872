"""Two runs, or two sets of timings: known answers, the rule's error rate, what is refused and what it says."""

from __future__ import annotations

import importlib.util
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats as scipy_stats
from synthetic_run import Synthetic, build

from latentbench import records
from latentbench.cli.app import main
from latentbench.comparing import benchmark_files
from latentbench.comparing.change import VERDICTS, Change, decide, fails, finding, headline, overall
from latentbench.comparing.runs import Comparison, compare, compare_records, parse_thresholds
from latentbench.records import SELF_CHECK, Record
from latentbench.report.exports.comparison import markdown, sentence, table
from latentbench.stats.findings import Finding
from latentbench.stats.findings.finding import CAVEATS, QUESTIONS
from latentbench.stats.intervals import Interval, t_interval, t_test, welch


def rows(values, metric="quality", model="vae", better="lower", first=0, **fields) -> list[Record]:
    """One record a seed, from seed ``first``."""
    base = {"dataset": "d", "dataset_hash": "aa", "split": "test", "unit": "share", "latent_dim": 2, **fields}
    return [
        Record(model=model, metric=metric, better=better, seed=first + k, value=float(v), **base)
        for k, v in enumerate(values)
    ]


def failed(count, reason="training diverged: loss is nan", status="failed", **fields) -> list[Record]:
    return [replace(r, value=None, status=status, reason=reason) for r in rows([0.0] * count, **fields)]


def only(found: Comparison) -> Change:
    assert len(found.changes) == 1
    return found.changes[0]


def noise(seed, n=6, mean=1.0, sd=0.01):
    return np.random.default_rng(seed).normal(mean, sd, n)


@pytest.mark.known_answer
@pytest.mark.parametrize(("n", "m", "scale"), [(6, 6, 1.0), (2, 9, 30.0), (20, 3, 0.01)])
def test_welch_is_that_of_scipy(n, m, scale):
    a, b = noise(1, n, 3.0, 1.0), noise(2, m, 2.0, scale)
    mine, theirs = welch(a, b), scipy_stats.ttest_ind(a, b, equal_var=False)
    low, high = theirs.confidence_interval(0.95)
    assert mine.p == pytest.approx(theirs.pvalue, rel=1e-9)
    assert mine.df == pytest.approx(theirs.df, rel=1e-9)
    assert (mine.difference.low, mine.difference.high) == pytest.approx((low, high), rel=1e-9)


def test_welch_of_what_does_not_vary():
    assert welch([1.0, 1.0], [1.0, 1.0]).p == 1.0
    assert welch([1.0, 1.0], [2.0, 2.0]).p == 0.0
    one = welch([1.0], [2.0, 3.0])
    assert (one.p, one.difference.low, one.difference.mean) == (1.0, None, -1.5)
    with pytest.raises(ValueError, match="at least one value"):
        welch([], [1.0])


def test_welch_does_not_lose_tiny_spreads():
    """Squares of squared standard errors underflow where the values are small."""
    a, b = noise(1) * 1e-100, noise(2) * 1e-100
    assert welch(a, b).df == pytest.approx(welch(a * 1e100, b * 1e100).df)


@pytest.mark.parametrize(
    ("better", "shift", "verdict"),
    [("lower", 0.2, "worse"), ("lower", -0.2, "better"), ("higher", 0.2, "better"), ("higher", -0.2, "worse")],
)
def test_a_planted_shift_is_judged_by_its_direction(better, shift, verdict):
    base = noise(1)
    paired = compare_records(
        rows(base, better=better), rows(base + shift + noise(2, mean=0.0, sd=0.001), better=better)
    )
    unpaired = compare_records(rows(base, better=better), rows(noise(3) + shift, better=better, first=6))
    for found in (paired, unpaired):
        assert only(found).verdict == verdict
        assert math.copysign(1, only(found).harm.mean) == (1 if verdict == "worse" else -1)


def test_a_target_is_approached_from_both_sides():
    fields = {"better": "target", "target": 1.0}
    near, far = 1.0 + noise(1, mean=0.1), 1.0 - noise(2, mean=0.5)
    assert only(compare_records(rows(near, **fields), rows(far, **fields))).verdict == "worse"
    assert only(compare_records(rows(far, **fields), rows(near, **fields))).verdict == "better"


def test_without_a_direction_nothing_is_worse():
    moved = compare_records(rows(noise(1), better="none"), rows(noise(1) + 5, better="none"))
    assert only(moved).verdict == "unknown"
    assert "no better direction" in only(moved).reason


def test_equal_values_are_the_same_whatever_they_are():
    for values in ([0.0] * 6, noise(1), [1e9] * 6):
        assert only(compare_records(rows(values), rows(values))).verdict == "same"


def test_seeds_in_common_are_paired():
    """Differences between seeds a hundred times the effect: pairing sees it, Welch could not."""
    base = np.arange(1.0, 7.0) * 10
    found = only(compare_records(rows(base), rows(base + 3 + noise(1, mean=0.0))))
    assert found.harm.mean == pytest.approx(3, abs=0.1)
    assert found.verdict == "worse"
    other = only(compare_records(rows(base), rows(base + 3, first=6)))
    assert other.verdict == "unknown"


def test_only_common_seeds_count_where_there_are_two():
    base, head = rows([1.0, 2.0, 3.0, 99.0]), rows([1.0, 2.0, 3.0, 50.0, 60.0], first=0)
    found = only(compare_records(base[:3], head))
    assert (found.base, found.head, found.harm.n) == (2.0, 2.0, 3)


def test_likelihoods_of_different_kinds_do_not_compare():
    gaussian, bernoulli = (rows(noise(1), detail={"likelihood": k}) for k in ("gaussian", "bernoulli"))
    assert "different likelihoods" in only(compare_records(gaussian, bernoulli)).reason
    assert only(compare_records(gaussian, gaussian)).verdict == "same"
    assert only(compare_records(rows(noise(1)), rows(noise(1), detail={"spread": 1}))).verdict == "same"


def test_one_seed_says_nothing_unless_it_is_equal():
    assert only(compare_records(rows([1.0]), rows([2.0]))).verdict == "unknown"


def test_a_small_share_may_move():
    """Beyond 5 % of the base, but within 1 % of what a share can be."""
    share = {"bounds": (0.0, 1.0), "better": "higher"}
    base = np.full(6, 0.004) + noise(1, mean=0.0, sd=1e-5)
    small = only(compare_records(rows(base, **share), rows(base - 0.001, **share)))
    assert (small.verdict, small.threshold) == ("same", 0.01)
    assert only(compare_records(rows(base), rows(base + 0.001))).verdict == "worse"
    wide = only(compare_records(rows(base, bounds=(0.0, 1e4)), rows(base, bounds=(0.0, 1e4))))
    assert wide.threshold == pytest.approx(0.05 * 0.004, rel=0.01)


def test_thresholds_of_both_kinds():
    base = noise(1)
    head = rows(base * 1.1 + noise(2, mean=0, sd=1e-4))
    for word, verdict in (
        ("quality=20%", "same"),
        ("quality=.2", "same"),
        ("quality=2%", "worse"),
        ("quality=0.05", "worse"),
    ):
        assert only(compare_records(rows(base), head, parse_thresholds([word]))).verdict == verdict
    with pytest.raises(ValueError, match=r"qualty.*did you mean 'quality'"):
        compare_records(rows(base), head, parse_thresholds(["qualty=1%"]))


@pytest.mark.parametrize("word", ["quality", "quality=", "=5%", "quality=five", "quality=-1", "quality=nan%"])
def test_a_threshold_that_cannot_be(word):
    with pytest.raises(ValueError, match="threshold: "):
        parse_thresholds([word])


@pytest.mark.parametrize(
    ("head", "verdict", "words"),
    [
        (failed(6), "worse", "failed at head: training diverged"),
        (failed(6, status="skipped", reason="no valid image"), "unknown", "skipped at head: no valid image"),
        ([*rows([1.0] * 5), *failed(1, first=5)], "unknown", "failed with 1 of 6 seeds at head, 0 at base"),
        ([*rows([1.0] * 2), *failed(4, first=2)], "worse", "failed with 4 of 6 seeds at head"),
        ([], "unknown", "only base measured it"),
    ],
)
def test_a_model_that_failed_does_not_pass_silently(head, verdict, words):
    found = compare_records([*rows(noise(1)), *rows([1.0], "other")], [*head, *rows([1.0], "other")])
    change = next(c for c in found.changes if c.metric == "quality")
    assert change.verdict == verdict
    assert words in change.reason
    if verdict == "worse":
        assert "quality of vae (" in sentence(found.changes)
        assert change.reason in markdown(found.changes, "t")


def test_what_failed_its_self_check_is_unknown():
    check = rows([0.0], model=SELF_CHECK, role="check", detail={"why": ["it does not tell noise apart"]})
    bad = [replace(r, seed=None) for r in check]
    for base, head in ((rows(noise(1)) + bad, rows(noise(1) + 1)), (rows(noise(1)), rows(noise(1) + 1) + bad)):
        found = only(compare_records(base, head))
        assert found.verdict == "unknown"
        assert "self-check" in found.reason
        assert "does not tell noise apart" in found.reason


def test_references_and_the_judge_make_no_claim_but_the_judge_is_named():
    named = ("floor:noise", "baseline:pca", "judge", "judge:second")

    def side(shift):
        return [
            *rows([1.0, 1.0]),
            *(r for m in named for r in rows([shift], model=m, role=m.partition(":")[0])),
        ]

    found = compare_records(side(1.0), [replace(r, seed=None) if r.role == "judge" else r for r in side(2.0)])
    assert [c.subject for c in found.changes] == ["vae"]
    (note,) = (n for n in found.notes if n.startswith("the judge differs"))
    assert "judge:second quality" in note


def test_another_judge_is_no_change_of_the_model():
    """What a judge scores has its level from that judge: only what the same judge measured is better or worse. A metric that
    needs none is compared as always, and so is one of a judge that is on both sides the same."""
    names = ("validity", "validity.second_judge", "hole")
    needs = {"validity": {"needs": ["judge"]}, "hole": {"needs": []}}

    def side(level, first, second):
        measured = [r for n in names for r in rows(noise(7) - level, metric=n, better="higher")]
        judges = rows([first], model="judge", role="judge") + rows([second], model="judge:second", role="judge")
        run = Record(kind="run", dataset="d", dataset_hash="aa", detail={"definitions": needs})
        return [run, *measured, *(replace(r, seed=None) for r in judges)]

    def verdicts(first, second):
        found = compare_records(side(0.0, 0.9, 0.8), side(0.5, first, second))
        return {c.metric: (c.verdict, c.reason_codes) for c in found.changes}

    lost, other = ("worse", ()), ("unknown", ("judge differs",))
    assert verdicts(0.9, 0.8) == dict.fromkeys(names, lost)
    assert verdicts(0.91, 0.8) == {"validity": other, "validity.second_judge": lost, "hole": lost}
    assert verdicts(0.9, 0.81) == {"validity": lost, "validity.second_judge": other, "hole": lost}


def test_a_model_is_compared_whatever_its_name_begins_with():
    found = compare_records(*(rows(noise(k), model="judgement") + rows(noise(k), model="floor:mine") for k in (1, 2)))
    assert {c.subject for c in found.changes} == {"judgement", "floor:mine"}
    assert not [n for n in found.notes if "judge differs" in n]


def test_other_data_under_one_name_are_refused():
    with pytest.raises(ValueError, match="'d': dataset_hash aa against bb"):
        compare_records(rows([1.0]), rows([1.0], dataset_hash="bb"))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"metric_params": {"frames": 8}}, "metric_params.frames None against 8"),
        ({"split": "train"}, "split 'test' against 'train'"),
        ({"latent_dim": 3}, "latent_dim 2 against 3"),
    ],
)
def test_another_protocol_is_not_compared_and_the_field_named(fields, words):
    other = rows([1.0, 2.0], "other")
    found = compare_records([*rows(noise(1)), *other], [*rows(noise(1), **fields), *other])
    assert sorted(c.metric for c in found.changes) == ["other", "quality"]
    change = next(c for c in found.changes if c.metric == "quality")
    assert change.verdict == "unknown"
    assert words in change.reason
    with pytest.raises(ValueError, match="nothing in common: " + next(iter(fields))):
        compare_records(rows(noise(1)), rows(noise(1), **fields))


SAID = {"range": [0.0, 1.0], "size": [1, 8, 8], "n": 100, "extractor": "aa"}


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"n": 50}, "protocol differs: n 100 against 50"),
        ({"extractor": "bb"}, "protocol differs: extractor 'aa' against 'bb'"),
        ({"size": [1, 16, 16]}, "protocol differs: size [1, 8, 8] against [1, 16, 16]"),
        ({"range": None}, "protocol differs: range [0.0, 1.0] against None"),
    ],
)
def test_a_protocol_in_the_record_is_compared_whatever_the_metric(changed, words):
    base = rows(noise(1), metric="any.distance", detail={"protocol": SAID})
    same = only(compare_records(base, rows(noise(1) + 1, metric="any.distance", detail={"protocol": SAID})))
    assert same.verdict == "worse"
    other = rows(noise(1) + 1, metric="any.distance", detail={"protocol": {**SAID, **changed}})
    change = only(compare_records(base, other))
    assert (change.verdict, change.reason, change.reason_codes) == ("unknown", words, ("protocol differs",))


def test_records_from_before_there_were_protocols_compare_as_they_did():
    told = rows(noise(1) + 1, metric="any.distance", detail={"protocol": SAID})
    assert only(compare_records(rows(noise(1), metric="any.distance"), told)).verdict == "worse"


def test_other_parameters_of_a_model_are_noted_and_compared():
    found = compare_records(rows([1.0, 1.0], params={"beta": 1}), rows([9.0, 9.0], params={"beta": 4}))
    assert only(found).verdict == "worse"
    assert "parameters of vae differ: beta 1 against 4" in found.notes


def test_exact_counts_compare_as_they_are():
    def side(value):
        return [replace(r, seed=None) for r in rows([value], "cost.parameters")]

    assert only(compare_records(side(1000), side(1000))).verdict == "same"
    assert only(compare_records(side(1000), side(1100))).verdict == "worse"
    assert only(compare_records(side(1000), side(1010))).verdict == "same"


def timed(rate, **machine) -> list[Record]:
    environment = {"cpu": "A", "cores": 2, "threads": 1, "device": "cpu", "torch": "2.9", **machine}
    row = replace(rows([rate], "throughput.encode", better="higher")[0], seed=None)
    return [Record(kind="run", detail={"environment": environment}), row]


def test_timings_of_different_machines_are_unknown():
    found = only(compare_records(timed(100.0), timed(50.0, cpu="B")))
    assert (found.verdict, found.reason) == ("unknown", "machine differs: cpu 'A' against 'B'")
    unnamed = only(compare_records(timed(100.0)[1:], timed(50.0)[1:]))
    assert unnamed.reason == "machine differs: not recorded"


def test_timings_of_one_machine_get_a_verdict_only_where_clear():
    assert only(compare_records(timed(100.0), timed(50.0))).verdict == "unknown"
    assert only(compare_records(timed(100.0), timed(2.0))).verdict == "worse"
    assert only(compare_records(timed(2.0), timed(100.0))).verdict == "better"


def test_family_of_comparisons_without_a_change_raises_almost_no_alarm():
    """A familywise .25 %: 160 comparisons of 100 metrics, paired and not, expect .4 with an alarm; five or more have a
    probability of 6e-5. At a plain 5 % each of them would have some."""
    rng, alarms, plain = np.random.default_rng(0), 0, 0
    for k in range(160):
        found = []
        for v in rng.normal(1.0, 0.2, (100, 12)):
            d = t_interval(v[6:] - v[:6]) if k % 2 else welch(v[6:], v[:6]).difference
            p = t_test(d) if k % 2 else welch(v[6:], v[:6]).p
            found.append(Change("", "m", "", "lower", 1.0, 1.0, d, threshold=0.05, p=p))
        alarms += any(c.verdict in ("worse", "better") for c in decide(found))
        plain += any(c.p < 0.05 for c in found)
    assert alarms <= 4
    assert plain > 140


def bench(folder: Path, name: str, medians, machine=None, rounds=9, seed=0) -> Path:
    """A folder with one pytest-benchmark file a launch."""
    folder = folder / name
    folder.mkdir()
    rng = np.random.default_rng(seed)
    for k, seconds in enumerate(medians):
        data = list(seconds * np.exp(rng.normal(0, 0.01, rounds)))
        held = {
            "machine_info": {"node": f"host{k}", "python_version": "3.12.1", "cpu": {"brand_raw": "A", "hz_actual": [k, 0], "count": 2}, **(machine or {})},
            "benchmarks": [{"name": "test_fit", "fullname": "b.py::test_fit", "stats": {"median": seconds, "data": data}}],
            "version": "5.2.3",
        }  # fmt: skip
        (folder / f"{k}.json").write_text(json.dumps(held))
    return folder


def test_several_launches_are_the_sample(tmp_path):
    launch = np.exp(noise(1, 8, 0.0, 0.02))
    a = bench(tmp_path, "a", launch)
    same, slow = bench(tmp_path, "same", launch[::-1]), bench(tmp_path, "slow", launch[::-1] * 1.2)
    assert only(compare(a, same)).verdict == "same"
    found = only(compare(a, slow))
    assert (found.verdict, found.relative, found.threshold) == ("worse", True, 0.05)
    assert found.harm.mean == pytest.approx(0.2, abs=0.01)
    assert only(compare(slow, a)).verdict == "better"
    assert only(compare(a, slow, parse_thresholds(["b.py::test_fit=30%"]))).verdict == "same"


def test_one_launch_a_side_needs_a_clear_change(tmp_path):
    """However many rounds: they share their launch's luck."""
    sides = {name: bench(tmp_path, name, [t], rounds=1000) for name, t in (("a", 1.0), ("b", 1.15), ("c", 3.0))}
    found = compare(sides["a"] / "0.json", sides["b"] / "0.json")
    assert only(found).verdict == "unknown"
    assert benchmark_files.ALLOWANCE in found.notes
    assert only(compare(sides["a"], sides["c"])).verdict == "worse"


@pytest.mark.parametrize(
    ("machine", "words"),
    [
        ({"cpu": {"brand_raw": "B", "count": 2}}, "cpu.brand_raw 'A' against 'B'"),
        ({"python_version": "3.13.0"}, "python_version '3.12.1' against '3.13.0'"),
        ({"numpy": "2.4"}, "numpy None against '2.4'"),
    ],
)
def test_timings_of_another_machine_are_refused(tmp_path, machine, words):
    a, b = bench(tmp_path, "a", [1.0]), bench(tmp_path, "b", [1.0], machine)
    with pytest.raises(ValueError, match="different machines: " + words.replace(".", r"\.")):
        compare(a, b)


def test_a_benchmark_of_one_side_is_unknown(tmp_path):
    a, b = bench(tmp_path, "a", [1.0]), bench(tmp_path, "b", [1.0])
    held = json.loads((b / "0.json").read_text())
    held["benchmarks"].append({**held["benchmarks"][0], "fullname": "b.py::test_new"})
    (b / "0.json").write_text(json.dumps(held))
    new = next(c for c in compare(a, b).changes if c.subject == "b.py::test_new")
    assert (new.verdict, new.reason) == ("unknown", "only head ran it")


def refused(capsys, *words) -> str:
    assert main(["compare", *map(str, words)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    return err


def test_what_the_command_refuses(tmp_path, capsys):
    a, b = build(tmp_path / "a"), bench(tmp_path, "b", [1.0])
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.json").write_text('{"benchmarks": 3}')
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "run.json").write_text("{}")
    assert "half is an unfinished run" in refused(capsys, a, tmp_path / "half")
    assert "does not exist" in refused(capsys, a, tmp_path / "nowhere")
    assert "cannot be compared" in refused(capsys, a, b)
    assert "neither records.jsonl" in refused(capsys, b, tmp_path / "empty")
    assert "bad.json is no pytest-benchmark" in refused(capsys, b, tmp_path / "bad.json")
    assert "takes BASE and HEAD, got 1" in refused(capsys, a)
    assert "did you mean 'worse'" in refused(capsys, a, a, "--fail-on", "wors")
    out = tmp_path / "kept.md"
    out.write_text("older")
    assert "did you mean 'r2'" in refused(capsys, a, a, "--threshold", "r3=5%", "--out", out)
    assert out.read_text() == "older"
    assert "no/where.md cannot be written: no is not a folder" in refused(capsys, a, a, "--out", "no/where.md")


def test_exit_codes_and_what_is_printed(tmp_path, capsys):
    a, b = build(tmp_path / "a"), build(tmp_path / "b", Synthetic(shift=2.0))
    assert main(["compare", str(a), str(a), "--fail-on", "worse"]) == 0
    assert "Nothing is worse." in capsys.readouterr().out
    assert main(["compare", str(a), str(b)]) == 0
    assert main(["compare", str(a), str(b), "--fail-on", "worse", "--out", str(tmp_path / "out.md")]) == 1
    assert "worse: 3 of" in capsys.readouterr().out
    assert main(["compare", str(a), str(b), "--fail-on", "unknown", "--json"]) == 1
    held = json.loads(capsys.readouterr().out)
    assert {c["metric"] for c in held["changes"] if c["verdict"] == "worse"} == {"hole", "variance_law"}
    assert [f["metric"] for f in held["findings"]] == [c["metric"] for c in held["changes"]]
    worse = [f for f in held["findings"] if f["verdict"] == "worse"]
    assert {(f["question"], f["subject"], f["rival"]) for f in worse} >= {("complete", f"ae at {b}", f"ae at {a}")}
    text = (tmp_path / "out.md").read_text()
    assert text.startswith("### ")
    assert "**Worse: " in text
    assert "| `hole` of ae |" in text


def test_markdown_is_safe_and_fits_a_comment():
    harm = welch([1.0, 1.1], [1.0, 1.2]).difference
    many = [Change(f"a|b<i>{k}", "m" * 40, "s", "lower", 1.0, 1.0, harm, threshold=9.0) for k in range(900)]
    text = markdown(decide(many), "a <script>")
    assert len(text) < 65_536
    assert "<script>" not in text
    assert "too many to list" in text
    few = markdown(decide(many[:2]), "t")
    assert "a&#124;b&lt;i&gt;0" in few
    assert few.count("<details>") == few.count("</details>") == 1


def test_values_are_told_with_their_sign():
    higher = Change("vae", "r2", "share", "higher", 0.8, 0.7, welch([0.8, 0.801], [0.7, 0.701]).difference, p=0.0)
    (row,) = table(decide([higher]))[1]
    assert row[0] == "worse"
    assert row[4].startswith("−0.100 [−0.10")
    assert headline(decide([higher])).startswith("worse: 1 of 1")


def test_records_alone_are_enough(tmp_path):
    """A committed baseline has no artifacts."""
    a = build(tmp_path / "a")
    (tmp_path / "base").mkdir()
    kept = [r for r in records.read(a / "records.jsonl") if r.kind in ("run", "value")]
    records.write(tmp_path / "base" / "records.jsonl", kept)
    assert {c.verdict for c in compare(tmp_path / "base", a).changes} <= {"same", "unknown"}


def test_the_committed_baseline_is_small_and_says_the_same_as_itself():
    folder = Path(__file__).parents[1] / "benchmarks" / "baseline"
    assert (folder / "records.jsonl").stat().st_size < 1_000_000
    found = compare(folder, folder).changes
    assert {c.verdict for c in found} == {"same"}
    assert {c.subject.split(" ")[0] for c in found} == {"ae", "vae"}
    assert not [c for c in found if c.relative]


@pytest.fixture(scope="module")
def script():
    path = Path(__file__).parents[1] / "benchmarks" / "gate_errors_quality.py"
    spec = importlib.util.spec_from_file_location("gate_errors_quality", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_each_planted_regression_still_finds_its_place_in_the_source(script, tmp_path):
    for plant in (*script.PLANTS, *script.HARMLESS):
        made = script.scratch(tmp_path, plant) / "latentbench"
        expected: dict[str, str] = {}
        for name, old, new in ((plant.file, plant.old, plant.new), *plant.more):
            here = expected.get(name) or (script.ROOT / "latentbench" / name).read_text()
            expected[name] = here.replace(old, new)
            assert expected[name] != here
        assert all((made / name).read_text() == text for name, text in expected.items())


def test_the_page_of_error_rates_is_that_of_its_numbers(script):
    held = json.loads((script.ROOT / "docs" / "gate-quality.json").read_text())
    assert script.page(held) == (script.ROOT / "docs" / "gate-quality.md").read_text()
    assert all(p["worse"] for p in held["plants"])
    assert len(held["plants"]) == len(script.PLANTS)
    assert sum(bool(r["worse"]) for r in held["reruns"]) <= 1


# --- changes as findings ---


def as_finding(base, head, **fields) -> Finding:
    """The finding on ``quality`` of two sets of records that have another metric in common."""
    more = rows([1.0], "other")
    found = compare_records([*base, *more], [*head, *more], **fields)
    (one,) = [f for f in found.findings if f.metric == "quality"]
    return one


JITTER = noise(2, mean=0.0, sd=0.001)
UNPROVEN = replace(rows([0.0], model=SELF_CHECK, role="check", detail={"why": ["it is blind"]})[0], seed=None)


@pytest.mark.parametrize(
    ("base", "head", "verdict", "caveats"),
    [
        (rows(noise(1)), rows(noise(1) + 0.2 + JITTER), "worse", ()),
        (rows(noise(1)), rows(noise(1) - 0.2 + JITTER), "better", ()),
        (rows(noise(1)), rows(noise(1) + JITTER), "equivalent", ()),
        (rows(noise(1)), rows(noise(3, sd=0.4)), "not told apart", ("wide",)),
        (rows(noise(1)), rows(noise(1) + noise(2, mean=0.05)), "not told apart", ("at the threshold",)),
        (rows([1.0]), rows([2.0]), "not told apart", ("one value",)),
        (rows(noise(1), better="none"), rows(noise(1) + 5, better="none"), "not comparable", ("no direction",)),
        (rows(noise(1)), failed(6), "worse", ("failed",)),
        (rows(noise(1)), failed(6, status="skipped"), "not comparable", ("skipped",)),
        (rows(noise(1)), failed(6, "no judge: the dataset has no labels", "skipped"), "not comparable", ("skipped", "no judge")),
        (rows(noise(1)), [*rows([1.0] * 5), *failed(1, first=5)], "not comparable", ("fails more",)),
        (rows(noise(1)), [], "not comparable", ("one side only",)),
        ([], failed(6), "not comparable", ("failed", "one side only")),
        (rows(noise(1)), rows(noise(1), split="train"), "not comparable", ("protocol differs",)),
        (rows(noise(1)), rows(noise(1), unit="nats"), "not comparable", ("protocol differs",)),
        (rows(noise(1)), [*rows(noise(1)), UNPROVEN], "not comparable", ("self-check failed",)),
        (
            rows(noise(1), detail={"likelihood": "gaussian"}),
            rows(noise(1), detail={"likelihood": "bernoulli"}),
            "not comparable",
            ("other likelihood",),
        ),
    ],
)  # fmt: skip
def test_a_change_is_a_finding_of_head_against_base(base, head, verdict, caveats):
    found = as_finding(base, head, names=("a", "b"))
    assert (found.verdict, found.caveats) == (verdict, caveats)
    split = " (test)" if caveats == ("protocol differs",) and found.reason.startswith("protocol") else ""
    assert (found.subject, found.rival, found.dataset) == (f"vae{split} at b", f"vae{split} at a", "d")
    assert bool(found.reason) == (verdict not in ("better", "worse", "equivalent") or "failed" in caveats)
    assert (found.difference is None) == (found.threshold is None) == (found.n == 0)
    assert (found.low is None) == (found.p is None) == (found.adjusted is None)


@pytest.mark.parametrize(
    ("base", "head", "verdict", "caveats"),
    [
        (timed(100.0), timed(50.0, cpu="B"), "not comparable", ("machine differs",)),
        (timed(100.0), timed(0.0), "not comparable", ("zero time",)),
        (timed(100.0), timed(50.0), "not told apart", ("wide",)),
        (timed(100.0), timed(2.0), "worse", ()),
    ],
)
def test_a_timing_is_a_finding_on_the_cost(base, head, verdict, caveats):
    (found,) = compare_records(base, head).findings
    assert (found.question, found.verdict, found.caveats) == ("cost", verdict, caveats)


def test_a_timing_too_unsteady_to_rank_is_not_comparable():
    unsteady = [replace(r, detail={"rankable": False}) if r.kind == "value" else r for r in timed(50.0)]
    (found,) = compare_records(timed(100.0), unsteady).findings
    assert (found.verdict, found.caveats) == ("not comparable", ("unsteady timing",))


@pytest.mark.known_answer
@pytest.mark.parametrize("better", ["lower", "higher"])
def test_a_finding_is_of_the_value_and_in_its_unit(better):
    """Twice as much of 10 s is 10 s more, and at least .5 s of it count: whatever direction is good."""
    gain = -1.0 if better == "higher" else 1.0
    harm = Interval(gain, *sorted((gain * 0.9, gain * 1.2)), 0.1, 8)
    one = Change("fit", "time", "s", better, 10.0, 20.0, harm, relative=True, threshold=0.05, p=1e-9)
    (decided,) = decide([one])
    found = finding(decided, "old", "new", "cost")
    assert (found.difference, found.low, found.high) == pytest.approx((10.0, 9.0, 12.0))
    assert (found.threshold, found.p, found.adjusted, found.n) == (0.5, 1e-9, 1e-9, 8)
    assert found.verdict == decided.verdict == ("better" if better == "higher" else "worse")
    assert (found.subject, found.rival) == ("fit at new", "fit at old")
    assert finding(replace(decided, subject=""), "old", "new").subject == "new"


def test_an_interval_near_a_bound_stays_approximate_in_the_finding():
    harm = t_interval([0.0, 0.0, 0.01], bounds=(0.0, 1.0))
    assert finding(decide([Change("m", "q", "", "lower", 0.5, 0.5, harm, threshold=0.5)])[0], "a", "b").caveats == (
        "approximate",
    )


def test_a_metric_is_filed_as_heads_run_declares():
    def run(**headline):
        return Record(kind="run", detail={"definitions": {"quality": headline}})

    found = as_finding([run(headline="posterior"), *rows(noise(1))], [run(headline="complete"), *rows(noise(1))])
    assert found.question == "complete"


@pytest.mark.parametrize("shift", [0.0, 2.0])
def test_findings_lose_nothing_of_the_changes(tmp_path, shift):
    found = compare(build(tmp_path / "a"), build(tmp_path / "b", Synthetic(shift=shift)))
    back = {"equivalent": "same", "not told apart": "unknown", "not comparable": "unknown"}
    assert len(found.findings) == len(found.changes) > 0
    for f, c in zip(found.findings, found.changes, strict=True):
        assert back.get(f.verdict, f.verdict) == c.verdict
        assert c.subject in f.subject
        assert c.subject in f.rival
        assert (f.metric, f.reason, f.dataset, f.latent_dim) == (c.metric, c.reason, c.dataset, c.latent_dim)
        assert (f.difference is None) == (c.harm is None)
        if c.harm and not c.relative:
            sign = -1 if c.better == "higher" else 1
            assert (sign * f.difference, f.threshold) == (c.harm.mean, c.threshold)
        if f.p is not None:
            assert (f.p, f.adjusted) == (c.p, c.adjusted)
        assert set(f.caveats) <= set(CAVEATS)
        assert f.question in (*QUESTIONS, "other")
        assert f.caveats or f.verdict not in ("not told apart", "not comparable")


def test_a_benchmark_of_one_side_is_a_finding_without_numbers(tmp_path):
    a, b = bench(tmp_path, "a", [1.0, 1.1]), bench(tmp_path, "b", [1.0, 1.1])
    for file in b.iterdir():
        file.write_text(file.read_text().replace("test_fit", "test_new"))
    extra = json.loads((a / "0.json").read_text())
    (b / "2.json").write_text(json.dumps(extra))
    new = next(f for f in compare(a, b).findings if f.subject == f"b.py::test_new at {b}")
    assert (new.question, new.verdict, new.caveats) == ("cost", "not comparable", ("one side only",))
    assert (new.difference, new.n, new.reason) == (None, 0, "only head ran it")


@pytest.mark.parametrize(
    ("verdicts", "together"),
    [
        ((), "unknown"),
        (("unknown", "unknown"), "unknown"),
        (("unknown", "same"), "same"),
        (("same", "better", "unknown"), "better"),
        (("same", "better", "worse"), "worse"),
    ],
)
def test_what_all_changes_come_to(verdicts, together):
    made = [Change("", "m", "", "lower", verdict=v) for v in verdicts]
    assert overall(made) == together
    assert [fails(made, [v]) for v in VERDICTS] == [v in verdicts for v in VERDICTS]
