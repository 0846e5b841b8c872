"""Statements of the page that were false once: legends, short names, counts, and times taken beside other work."""

from __future__ import annotations

import html
import itertools
import re
from dataclasses import replace

import pytest
from synthetic_run import Synthetic, build

from latentbench import machine, records
from latentbench.records import Record
from latentbench.report import classes
from latentbench.report import folder as folders
from latentbench.report.exports.comparison import value as compared
from latentbench.report.exports.console import console_table
from latentbench.report.exports.tables import summary_md
from latentbench.report.page import SECTIONS
from latentbench.report.page import html as html_of
from latentbench.report.templates import beside, source
from latentbench.report.wording import words
from latentbench.run_folder import RunFiles
from latentbench.running import worker
from latentbench.stats.cells import summarise
from latentbench.stats.findings.claims import compare, leaders
from latentbench.stats.findings.listing import findings
from latentbench.training.fit import History

ALIKE = "a-quarry-of-many-very-similar-stones"
NAMES = {
    "told apart at the end": [f"{ALIKE}-{k:03d}" for k in range(100)],
    "at the start": [f"{k:03d}-{ALIKE}" for k in range(100)],
    "in the middle": [f"{ALIKE}-{k:03d}-{ALIKE}" for k in range(100)],
    "at both ends": [f"{a}-{ALIKE}-{b}" for a in range(10) for b in range(10)],
    "whole and cut": ["a-quarry-o…", ALIKE, f"{ALIKE}-2", "a", "…2"],
    "twice the same": ["stone", "stone", ALIKE, ALIKE],
    "short": list("0123456789"),
}


@pytest.mark.parametrize("most", [4, classes.NARROW, classes.LEGEND])
@pytest.mark.parametrize("names", NAMES.values(), ids=NAMES)
def test_shortened_names_stay_distinct(names, most):
    short = classes.short_names(names, most)
    assert len(set(short)) == len(names)
    digits = len(str(len(names) - 1))
    for name, text in zip(names, short, strict=True):
        assert len(text) <= most + digits
        assert text == name or classes.CUT in text


def test_nothing_is_cut_where_the_browser_would_cut_it():
    """What the style sheet shortened nobody could hold apart."""
    sheets = [source("style.css"), *(sheet for section in SECTIONS for sheet in beside(section.template, "css"))]
    assert len(sheets) > 10
    assert not any("text-overflow" in sheet for sheet in sheets)


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """100 classes of long names that begin alike, seven models of which the page draws five."""
    folder = tmp_path_factory.mktemp("many") / "run"
    models = ("ae", "vae", *(f"vae:beta={b}" for b in range(2, 7)))
    spec = Synthetic(models, seeds=2, classes=NAMES["told apart at the end"], points=200)
    return build(folder, spec), models


@pytest.fixture(scope="module")
def page(many):
    return html_of(folders.load([many[0]]))


def section(page: str, name: str) -> str:
    return re.search(rf'<section id="{name}">.*?</section>', page, re.S)[0]


def test_names_of_a_hundred_classes_differ_wherever_they_are_shown(page):
    shown = {
        "maps": re.findall(r'<button [^>]*title="show only ([^"]*)"[^>]*>.*?<span>([^<]*)</span>', section(page, "maps")),
        "samples": re.findall(r'title="[^"]*reads ([^",]*), conf[^"]*"><img.*?</b> ([^<]*)</span>', section(page, "samples")),
        "paths": re.findall(r'title="reads (\S*) for [^"]*">([^<]*)</span>', section(page, "paths")),
    }  # fmt: skip
    for where, pairs in shown.items():
        assert len(pairs) > 5, where
        by_text = {text: {name for name, other in pairs if other == text} for _, text in pairs}
        assert all(len(names) == 1 for names in by_text.values()), where
        assert all(len(html.unescape(text)) <= classes.LEGEND for text in by_text), where


def test_the_legend_of_classes_names_those_with_a_point():
    entries = classes.legend(classes.np.array([2, 0, 2]), ["a", "b", "c"])
    assert [(e.number, e.name, e.points) for e in entries] == [(0, "a", 1), (2, "c", 2)]


def test_a_legend_of_models_names_what_is_drawn_and_nothing_else(page, many):
    """Every mark of a legend stands in a drawing of its section, and every drawn model in the legend."""
    found = 0
    for part in re.findall(r'<section id="[^"]*">.*?</section>', page, re.S):
        for legend in re.findall(r'<ul class="legend models".*?</ul>', part, re.S):
            found += 1
            drawings = "".join(re.findall(r'<svg class="plot.*?</svg>', part, re.S))
            assert set(re.findall(r'class="dot (m\d)"', legend)) == set(re.findall(r'"(?:dot|open) (m\d)"', drawings))
    assert found
    speed = section(page, "speed")
    table = speed[speed.index("All timings") :]
    assert all(f"<span>{m}</span>" in speed or f">{m}</th>" in table for m in many[1]), "a timing is in neither"


def test_timings_of_models_that_are_not_drawn_stand_in_the_table(page, many):
    table = section(page, "speed").partition("All timings")[2]
    assert all(f'<th scope="row">{model}</th>' in table for model in many[1])


LARGE = 12_345_678.0
COUNTED = [("cost.parameters", "parameters"), ("mine.images_used", "images"), ("train.epochs", "epochs")]
FULL = f"12{words.THIN}345{words.THIN}678"


def counted(metric: str, unit: str, **changes: object) -> list[Record]:
    return [Record(model=m, metric=metric, unit=unit, value=LARGE, split="", **changes) for m in ("ae", "vae")]


@pytest.mark.parametrize(("metric", "unit"), COUNTED)
def test_a_count_is_an_integer_in_full_everywhere(metric, unit, tmp_path, monkeypatch):
    from latentbench.report.exports import console, tables

    seeds = {} if metric.startswith("cost") else {"seed": 0}
    run = build(tmp_path / "run", Synthetic(seeds=1, extra=counted(metric, unit, **seeds)))
    rows = [r for r in records.read(RunFiles(run).records) if r.metric != metric or r.value == LARGE]
    rows = [
        replace(r, detail={**r.detail, "models": {m: {"parameters": LARGE} for m in ("ae", "vae")}}) if r.kind == "run" else r
        for r in rows
    ]  # fmt: skip
    RunFiles(run).write_records(rows)
    monkeypatch.setattr(tables, "KEY", (*tables.KEY, (metric, "counted")))
    monkeypatch.setattr(console, "COLUMNS", (*console.COLUMNS, (metric, "counted")))
    texts = {
        "page": html.unescape(html_of(folders.load([run]))),
        "summary": summary_md(rows),
        "terminal": "\n".join(" ".join(row) for row in console_table(rows)[1]),
        "compare": compared(LARGE, unit),
    }
    for where, text in texts.items():
        assert FULL in text, where
        visible = re.sub(r"(?s)<script.*?</script>|data:[^\"]*", "", text)
        assert not re.search(r"12345678|\d\.0\b(?=[^0-9.]*parameters)", visible), where
        assert f"12.3{words.THIN}M" not in visible, where


@pytest.mark.parametrize(
    ("value", "text"),
    [(600136.0, f"600{words.THIN}136"), (600136, "600136"), (0.001, "0.001"), (4.0, "4"), ({"a": [2.0]}, "a 2")],
)
def test_a_whole_number_bears_no_point(value, text):
    assert words.plain(value) == text


def test_a_mean_of_counts_is_no_count():
    assert words.quantity(57.25, "epochs") == words.number(57.25)
    assert words.quantity(None, "epochs") == words.number(None)


def trained(workers: int | None, load: float | None) -> dict:
    return {"workers": workers, "load": load, "threads": 1, "rankable": machine.undisturbed(workers, load, 1)}


def times(detail: dict) -> list[Record]:
    return [
        Record(dataset="d", model=m, seed=s, metric="train.seconds", unit="s", better="lower", value=v + 0.01 * s, detail=detail)
        for m, v in (("ae", 2.0), ("vae", 9.0))
        for s in range(6)
    ]  # fmt: skip


ALONE = [(1, 0.2), (1, 1.2), (1, None)]
BESIDE = [(2, 0.5), (8, 1.0), (1, 2.7), (None, 0.1)]


@pytest.mark.parametrize(("circumstances", "ranks"), [(c, True) for c in ALONE] + [(c, False) for c in BESIDE])
def test_a_training_time_ranks_only_where_nothing_else_ran(circumstances, ranks):
    """The times are four standard deviations and more apart: alone one is better, beside other work nobody is."""
    rows = times(trained(*circumstances))
    cells = summarise(rows)
    assert all(c.rankable is ranks and c.disturbed is not ranks for c in cells)
    assert leaders(cells) == (("ae",) if ranks else ())
    assert bool(compare(*cells).side) is ranks
    (found,) = (f for f in findings(rows) if f.metric == "train.seconds")
    assert found.verdict == ("worse" if ranks else "not comparable")
    assert ("unsteady timing" in found.caveats) is not ranks


def test_the_page_says_that_times_were_taken_beside_other_work(tmp_path):
    for name, detail in (("alone", trained(1, 0.3)), ("beside", trained(2, 0.3))):
        run = build(tmp_path / name, Synthetic(seeds=2))
        rows = [
            replace(r, better="lower", detail=detail) if r.metric == "train.seconds" else r
            for r in records.read(RunFiles(run).records)
        ]
        RunFiles(run).write_records(rows)
        page = html_of(folders.load([run]))
        said = "they rank nobody" in section(page, "training"), "timed beside other work" in section(page, "scores")
        assert said == (name == "beside", name == "beside")


def test_a_worker_records_what_else_ran(monkeypatch):
    row = Record(model="ae", seed=0)
    for workers, load, rankable in (("1", 0.4, True), ("2", 0.4, False), (None, 0.4, False), ("1", 3.0, False)):
        monkeypatch.delenv(machine.WORKERS, raising=False)
        if workers:
            monkeypatch.setenv(machine.WORKERS, workers)
        monkeypatch.setattr(worker.torch, "get_num_threads", lambda: 1)
        found = worker._seconds(History(seconds=2.0, load=load), row)
        assert (found.value, found.detail["load"], found.detail["rankable"]) == (2.0, load, rankable)
        assert found.detail["workers"] == (int(workers) if workers else None)
        assert found.is_timing


def test_every_pair_of_ways_to_be_busy_is_told_from_quiet():
    for workers, load, threads in itertools.product((1, 2), (0.0, 1.0, 4.0), (1, 4)):
        assert machine.undisturbed(workers, load, threads) == (workers == 1 and load <= threads + machine.BESIDE)
