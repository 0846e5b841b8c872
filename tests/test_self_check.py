"""A metric that reads its own anchors wrongly on this data is marked and ranks nobody."""

from dataclasses import replace

import pytest
from fakes import fake_encoding

from latentbench.core import Metric
from latentbench.measuring import scoring
from latentbench.records import SELF_CHECK, Record
from latentbench.report import columns
from latentbench.report.exports.console import console_table
from latentbench.report.sections import scores
from latentbench.report.wording.findings.claims import sentences
from latentbench.stats.cells import summarise
from latentbench.stats.findings import claims, findings
from latentbench.stats.findings.claims import leaders

GIVEN = Metric(
    name="given",
    compute=lambda e: 0.5,
    better="higher",
    bounds=(0.0, 1.0),
    unit="share",
    summary="a number",
    source="this test",
)


def check(better="higher", expects=None, **anchors):
    named = {name.replace("_", ":"): value for name, value in anchors.items()}
    metric = replace(GIVEN, better=better, expects=expects or {}, references=lambda e: named)
    rows = scoring.references(fake_encoding(), [metric], Record(dataset="d", seed=None))
    (found,) = (r for r in rows if r.model == SELF_CHECK)
    assert found.role == "check"
    assert {r.model: r.value for r in rows if r is not found} == named
    assert all(r.model.startswith(f"{r.role}:") for r in rows)
    return found.value, " ".join(found.detail.get("why", ()))


@pytest.mark.parametrize(
    ("case", "says"),
    [
        ({"floor_noise": 0.1, "ceiling_real": 0.9}, ""),
        ({"floor_noise": 0.9, "ceiling_real": 0.9}, "floor:noise (0.9) is as good as ceiling:real (0.9)"),
        ({"floor_noise": 0.1, "ceiling_real": 0.9, "better": "lower"}, "floor:noise (0.1) is as good"),
        ({"floor_noise": 0.9, "ceiling_real": 0.1, "better": "lower"}, ""),
        ({"floor_noise": 0.9, "ceiling_real": 0.1, "better": "none"}, ""),
        ({"null_equal": 0.4, "expects": {"null:equal": (0.0, 0.1)}}, "null:equal is 0.4, expected 0 to 0.1"),
        ({"null_equal": 0.04, "expects": {"null:equal": (0.0, 0.1)}}, ""),
        ({"null_equal": 1.4}, "outside the bounds 0.0 to 1.0"),
    ],
)
def test_what_the_self_check_refuses(case, says):
    passed, why = check(**case)
    assert passed == (0.0 if says else 1.0)
    assert says in why


def test_a_metric_that_cannot_read_its_anchors_fails_its_self_check():
    def broken(e):
        raise RuntimeError("no such thing")

    (row,) = scoring.references(fake_encoding(), [replace(GIVEN, references=broken)], Record())
    assert (row.model, row.value, row.detail["why"]) == (SELF_CHECK, 0.0, ["RuntimeError: no such thing"])


@pytest.mark.parametrize("name", ["real", "ceiling", "ceiling:", "check:self", "baseline:pca", "model:x", ""])
def test_an_anchor_without_a_known_kind_is_no_anchor(name):
    anchored = replace(GIVEN, references=lambda e: {"floor:noise": 0.1, name: 0.9})
    (row,) = scoring.references(fake_encoding(), [anchored], Record())
    assert (row.role, row.value) == ("check", 0.0)
    assert row.detail["why"] == [f"ValueError: anchor '{name}' is not named kind:name (kinds: ceiling, floor, null)"]


def rows(metric, passed):
    base = Record(dataset="d", split="test", metric=metric, unit="share", better="higher", bounds=(0.0, 1.0), run="r")
    out = [replace(base, model=m, seed=s, value=v + s / 100) for m, v in (("a", 0.1), ("b", 0.8)) for s in range(6)]
    why = {} if passed else {"why": ["null:equal is 0.4, expected 0 to 0.1"]}
    return [*out, replace(base, model=SELF_CHECK, role="check", value=float(passed), detail=why)]


@pytest.mark.parametrize("metric", ["validity.normal", "a.plug-in"])
def test_what_failed_its_self_check_ranks_nobody_and_supports_no_claim(metric):
    good, bad = (summarise(rows(metric, passed)) for passed in (True, False))
    assert {c.model for c in bad} == {"a", "b"}
    assert leaders(good) == ("b",)
    assert leaders(bad) == ()
    assert claims.difference(*good).difference.side == 1
    assert claims.difference(*bad) is None
    told = [sentences(claims.claims(cells), {}) for cells in (good, bad)]
    assert "paired difference" in told[0][0]
    assert told[1][0].endswith("self-check here: null:equal is 0.4, expected 0 to 0.1.")
    (ranked,), (unranked,) = (findings(rows(metric, passed)) for passed in (True, False))
    assert (ranked.verdict, ranked.caveats) == ("better", ())
    assert (unranked.verdict, unranked.caveats) == ("not comparable", ("self-check failed",))


def test_the_page_and_the_console_mark_it(tmp_path):
    from latentbench import records
    from latentbench.report import render
    from latentbench.report.folder import load

    head = Record(kind="run", dataset="d", run="r", detail={"config": {"models": ["a", "b"]}})
    records.write(tmp_path / "records.jsonl", [head, *rows("validity.normal", False)])
    (table,) = scores.tables(columns.columns(load([tmp_path])))
    (row,) = (r for g in table.groups for r in g.rows)
    assert row.unproven.startswith("null:equal")
    assert {s.standing for s in row.scores} == {""}
    assert not row.anchors
    assert "self-check failed, ranks nobody" in render([tmp_path]).read_text("utf-8")
    _, lines = console_table(records.read(tmp_path / "records.jsonl"))
    assert not any("*" in cell or "=" in cell for line in lines for cell in line)
