"""The table over datasets on the page, and the label of approximate intervals wherever one is shown."""

from __future__ import annotations

import re

import pytest
from synthetic_run import Synthetic, build

from latentbench import report
from latentbench.records import Record
from latentbench.report import columns
from latentbench.report.exports.console import console_table
from latentbench.report.exports.tables import flat_rows, summary_md
from latentbench.report.folder import load
from latentbench.report.sections import over_datasets
from latentbench.stats.findings import table


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    place = tmp_path_factory.mktemp("across")
    return [build(place / "one", Synthetic(seeds=4)), build(place / "two", Synthetic(seeds=3, dataset="mnist"))]


def lines(folders):
    runs = load(folders)
    return over_datasets.lines(runs, columns.columns(runs))


def test_a_line_a_measure_with_floor_and_ceiling_and_model(folders):
    found = lines(folders)
    assert {x.metric for x in found} == {"validity.normal", "validity.gaussian", "validity.mixture"}
    ae, vae = [x for x in found if x.metric == "validity.normal"]
    assert (ae.model, vae.model) == ("ae", "vae")
    assert vae.data == "digits (4), mnist (3)"
    # The VAE's valid share is .446, its floor .021, its ceiling .903.
    assert float(vae.iqm) == pytest.approx((0.446 - 0.021) / (0.903 - 0.021), abs=0.06)
    assert float(vae.low) <= float(vae.iqm) <= float(vae.high)


def test_the_page_shows_it_as_approximate(folders, tmp_path):
    text = report.render(folders, tmp_path / "both.html").read_text("utf-8")
    block = text[text.index('id="across"') : text.index('id="maps"')]
    assert "approximate" in block
    assert len(re.findall(r"<tr><th scope=\"row\">", block)) == len(lines(folders))
    assert "standing" not in block


def test_one_dataset_has_no_such_table(folders, tmp_path):
    again = build(tmp_path / "again", Synthetic(seeds=2, shift=1.0))
    assert lines([folders[0], again]) == []
    assert 'id="across"' not in report.render([folders[0], again], tmp_path / "both.html").read_text("utf-8")


def test_a_single_seed_has_no_interval_over_datasets(folders, tmp_path):
    one = build(tmp_path / "one", Synthetic(seeds=1, dataset="mnist"))
    assert {x.low for x in lines([folders[0], one])} == {""}
    text = report.render([folders[0], one], tmp_path / "both.html").read_text("utf-8")
    assert "needs two seeds on every dataset" in text


def test_a_collapsed_model_is_named(folders, tmp_path, monkeypatch):
    monkeypatch.setattr(
        table,
        "_collapse",
        lambda t: {"vae": table.Collapse((table.NO_DIMENSION,), 3, 3)} if t.dataset == "mnist" else {},
    )
    notes = {x.model: list(x.notes) for x in lines(folders)}
    assert notes == {"ae": [], "vae": ["collapsed on mnist"]}


def near_zero(model, shares, **more):
    fields = {"dataset": "digits", "split": "test", "metric": "validity.normal", "unit": "share", "better": "higher"}
    return [
        Record(**fields, model=model, seed=s, value=v, bounds=(0.0, 1.0), **more) for s, v in enumerate(shares)
    ]  # fmt: skip


@pytest.fixture
def rare():
    return [
        *near_zero("ae", [0.0, 0.0, 0.004]),
        *near_zero("flat", [0.0, 0.0, 0.0]),
        *near_zero("vae", [0.4, 0.5, 0.45]),
    ]


def test_approximate_intervals_are_marked_in_the_tables(rare):
    lines_ = {line.split("|")[1].strip(" `"): line for line in summary_md(rare).splitlines() if line.startswith("| `")}
    assert "≈" in lines_["ae"]
    assert "0 ± 0 ≈" in lines_["flat"]
    assert "≈" not in lines_["vae"]
    shown = {row[0]: " ".join(row) for row in console_table(rare)[1]}
    assert "≈" in shown["ae"]
    assert "≈" not in shown["vae"]


def test_the_flat_table_cuts_the_interval_at_the_bound_and_says_why_it_is_approximate(rare):
    means = {r["model"]: r for r in flat_rows(rare) if r["seed"] is None}
    assert means["ae"]["low"] == 0
    assert means["ae"]["reason"].startswith("interval approximate: ")
    assert (means["flat"]["low"], means["flat"]["high"]) == (0, 0)
    assert means["vae"]["reason"] == ""


def test_an_approximate_interval_is_marked_on_the_page(rare, tmp_path):
    from latentbench import records

    (tmp_path / "run").mkdir()
    records.write(tmp_path / "run" / "records.jsonl", rare)
    text = report.render([tmp_path / "run"], tmp_path / "page.html").read_text("utf-8")
    cells = [re.sub(r"<[^>]+>", "", c) for c in re.findall(r'<span class="half">.*?</span>', text)]
    assert sum("≈" in c and "±" in c for c in cells) == 2
    assert text.count(", approximate: ") == 2
