"""results.csv and summary.md, from records alone."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import pytest
from synthetic_run import Synthetic, build

from latentbench import records
from latentbench.records import Record
from latentbench.report.exports.tables import FIELDS, flat_rows, markdown_table, results_csv, summary_md
from latentbench.stats.cells import t_interval

COLUMNS = "dataset, model, params, latent_dim, seed, split, metric, metric_params, value, unit, better, low, high, status, reason, role"
BASE = {"dataset": "digits", "split": "test", "metric": "hole", "unit": "share", "better": "lower", "latent_dim": 8}


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = build(tmp_path_factory.mktemp("tables") / "run", Synthetic())
    return records.read(folder / "records.jsonl")


def parsed(found):
    return list(csv.DictReader(io.StringIO(results_csv(found))))


def hole(seed, value, **more):
    return Record(**{**BASE, "model": "vae:beta=4", "seed": seed, "value": value, **more})


def test_the_columns_and_their_order():
    assert ", ".join(FIELDS) == COLUMNS
    assert results_csv([]).strip() == COLUMNS.replace(" ", "")


def test_a_row_a_seed_and_one_for_the_mean_with_its_interval():
    params = {"width": 64, "beta": 4.0}
    found = [hole(s, v, params=params, metric_params={"k": 5}) for s, v in enumerate([0.1, 0.2, 0.15])]
    *seeds, mean = parsed(found)
    assert [r["seed"] for r in seeds] == ["0", "1", "2"]
    assert [float(r["value"]) for r in seeds] == [0.1, 0.2, 0.15]
    assert {r["low"] for r in seeds} == {""}
    assert mean["seed"] == ""
    interval = t_interval([0.1, 0.2, 0.15])
    assert [float(mean[k]) for k in ("value", "low", "high")] == pytest.approx(
        [interval.mean, interval.low, interval.high]
    )
    for row in (*seeds, mean):
        assert row["params"] == '{"beta":4.0,"width":64}'
        assert json.loads(row["metric_params"]) == {"k": 5}
        assert (row["model"], row["unit"], row["better"], row["latent_dim"]) == ("vae:beta=4", "share", "lower", "8")


def test_every_row_says_what_its_model_is(demo):
    rows = parsed(demo)
    assert {r["model"] for r in rows if r["role"] == "model"} == {"ae", "vae", ""}
    assert {r["model"] for r in rows if r["role"] == "judge"} == {"judge", "judge:second"}
    assert {r["role"] for r in rows} == {"model", "judge", "baseline", "ceiling", "floor", "null"}


def test_a_model_stands_in_the_tables_whatever_its_name_begins_with():
    found = [
        replace(hole(s, v + s**power / 100), model=m)
        for m, v, power in (("floor:mine", 0.1, 1), ("judge", 0.5, 0.5))
        for s in range(3)
    ]
    assert {(r["model"], r["role"]) for r in parsed(found)} == {("floor:mine", "model"), ("judge", "model")}
    text = summary_md(found)
    assert "| `floor:mine` | **0.11" in text
    assert "| `judge` | 0.508" in text


def test_numbers_survive_the_file_exactly():
    number = 0.1 + 0.2
    assert float(parsed([hole(0, number)])[0]["value"]) == number


def test_what_failed_or_was_skipped_has_its_reason_and_no_value():
    found = [
        hole(0, 0.1), hole(1, None, status="failed", reason='loss was "NaN", epoch 3\nand so on'),
        hole(2, None, status="skipped", reason="no judge"),
    ]  # fmt: skip
    one, two, three, mean = parsed(found)
    assert (one["status"], two["status"], three["status"]) == ("ok", "failed", "skipped")
    assert (two["value"], two["reason"]) == ("", 'loss was "NaN", epoch 3\nand so on')
    assert (mean["value"], mean["low"], mean["status"]) == ("0.1", "", "ok")
    assert "no judge" in mean["reason"]


def test_a_cell_that_failed_at_every_seed_has_an_empty_aggregate():
    *_, mean = parsed([hole(s, None, status="failed", reason="why") for s in range(2)])
    assert (mean["seed"], mean["value"], mean["status"], mean["reason"]) == ("", "", "failed", "why")


def test_what_was_measured_once_stands_once():
    rows = parsed([Record(**{**BASE, "model": "null:prior", "role": "null", "value": 0.01})])
    assert [(r["model"], r["role"], r["seed"], r["value"]) for r in rows] == [("null:prior", "null", "", "0.01")]


def test_splits_are_apart_and_only_values_are_in():
    found = [hole(0, 0.1), hole(1, 0.2), hole(0, 0.3, split="train"), hole(1, 0.4, split="train"),
             Record(kind="curve", model="vae", metric="loss", samples=(1.0,)), Record(kind="run")]  # fmt: skip
    rows = parsed(found)
    assert len(rows) == 6
    means = {r["split"]: float(r["value"]) for r in rows if not r["seed"]}
    assert means == pytest.approx({"test": 0.15, "train": 0.35})


def test_flat_rows_are_the_same_rows(demo):
    rows = flat_rows(demo)
    assert len(rows) == len(parsed(demo))
    assert all(tuple(row) == FIELDS for row in rows)
    ok = [r for r in rows if r["status"] == "ok"]
    assert all(r["value"] is not None for r in ok)


def test_a_cell_of_markdown_cannot_break_the_table():
    table = markdown_table(["a", "b"], [["x|y", "two\nlines"]])
    assert table.splitlines()[2] == "| x\\|y | two lines |"
    assert len(table.splitlines()) == 3


def lines(found):
    return summary_md(found).splitlines()


def test_the_summary_begins_with_the_verdict(demo):
    shown = [line for line in lines(demo) if line]
    assert shown[1].startswith("- **Continuous? ")
    assert shown[2].startswith("- **Complete? ")
    first_row = next(k for k, line in enumerate(shown) if line.startswith("|"))
    assert all(line.startswith("- **") for line in shown[1:first_row])


def test_the_summary_marks_best_and_tied_and_shows_what_to_read_against(demo):
    table = [line for line in lines(demo) if line.startswith("|")]
    assert table[0].startswith("| model | interpolate? | sample? |")  # the answers stand before the scores
    table = table[4:]
    head = [c.strip() for c in table[0].split("|")[1:-1]]
    body = {
        cells[0]: dict(zip(head, cells, strict=True))
        for line in table[2:]
        for cells in [[c.strip() for c in line.split("|")[1:-1]]]
    }
    assert head[0] == "digits at d = 8"
    vae, ae = body["`vae`"], body["`ae`"]
    assert vae["hole ↓"].startswith("**0.1")
    assert "±" in vae["hole ↓"]
    assert not ae["hole ↓"].startswith("**")
    assert vae["valid mixture ↑"].endswith("=")
    assert ae["valid mixture ↑"].endswith("=")
    assert ae["KL (nats)"] == "skipped"
    assert body["_ceiling_"]["valid N(0, I) ↑"] == "0.903"
    assert body["_floor_"]["valid N(0, I) ↑"] == "0.021"
    assert body["_PCA, same d_"]["R² ↑"] == "0.659"


def test_the_summary_ends_with_what_failed_and_how_to_have_it_again(demo):
    text = summary_md(demo)
    assert "Failed:\n\n- `vae`: diverged: loss was NaN in epoch 3 (probe.linear; seed 5)" in text
    assert "Skipped:\n\n- `ae`: needs a posterior with a variance" in text
    assert "sha256 `" + "d1" * 32 + "`" in text
    assert "torch 2.13.0+cpu" in text
    assert text.rstrip().endswith("    latentbench run --models ae,vae --dataset digits")


def test_a_summary_fits_a_comment(tmp_path):
    spec = Synthetic(models=tuple(f"vae:beta={b}" for b in range(1, 13)), seeds=3)
    found = records.read(build(tmp_path / "run", spec) / "records.jsonl")
    assert len(summary_md(found)) < 65_536 / 2


def test_a_collapsed_model_is_marked_and_never_best():
    def of(model, metric, value, better):
        return [
            Record(**{**BASE, "model": model, "metric": metric, "better": better, "seed": s, "value": value + s / 1000})
            for s in range(3)
        ]

    found = [
        *of("ae", "r2", 0.8, "higher"), *of("ae", "hole", 0.7, "lower"),
        *of("bad", "r2", 0.0, "higher"), *of("bad", "hole", 0.01, "lower"),
    ]  # fmt: skip
    (row,) = [line for line in lines(found) if line.startswith("| `bad`")]
    assert "(collapsed)" in row
    assert "**" not in row


def test_records_without_a_model_make_a_summary_too():
    assert "No model was measured" in summary_md([])
    assert "No model was measured" in summary_md([Record(kind="run", detail={})])
