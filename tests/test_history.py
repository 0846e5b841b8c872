"""A metric over revisions: where it changed, how often chance says so, and the page."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from synthetic_run import Synthetic, build

from latentbench import records
from latentbench.cli.app import main
from latentbench.comparing import history
from latentbench.comparing.matching import identity
from latentbench.records import Record
from latentbench.report.drawing.svg import tick_label
from latentbench.stats.cells import summarise


def revisions(table, names=("quality",), better="lower", first=lambda k: 0, **fields):
    """``table`` is (revisions, seeds) of one metric, or (metrics, revisions, seeds)."""
    table = np.asarray(table, float)
    table = table[None] if table.ndim == 2 else table
    out = []
    for k in range(table.shape[1]):
        rows = [
            Record(dataset="d", dataset_hash="a", model="vae", metric=name, better=better, seed=first(k) + s, value=float(v), split="test", **fields)
            for name, values in zip(names, table[:, k], strict=True) for s, v in enumerate(values)
        ]  # fmt: skip
        out.append(history.Revision(f"r{k}", "", {identity(c): c for c in summarise(rows)}))
    return out


def places(found):
    return [(b.at, b.change.verdict) for s in found for b in s.breaks]


def steps(levels, seeds=6, noise=0.01, seed=0):
    rng = np.random.default_rng(seed)
    return np.array(levels, float)[:, None] + rng.normal(0, noise, (len(levels), seeds))


def test_planted_changes_are_found_where_they_are():
    found = history.series(revisions(steps([1, 1, 1, 2, 2, 2, 2, 1.5, 1.5])))
    assert places(found) == [(3, "worse"), (7, "better")]
    first, second = found[0].breaks
    assert (first.change.base, first.change.head) == pytest.approx((1, 2), abs=0.02)
    assert (second.change.base, second.change.head) == pytest.approx((2, 1.5), abs=0.02)


def test_the_last_revision_alone_can_be_a_change():
    assert places(history.series(revisions(steps([1, 1, 1, 1, 2])))) == [(4, "worse")]
    assert places(history.series(revisions(steps([1, 2])))) == [(1, "worse")]


def test_direction_and_none():
    assert places(history.series(revisions(steps([1, 1, 2]), better="higher"))) == [(2, "better")]
    assert places(history.series(revisions(steps([1, 1, 2]), better="none"))) == [(2, "unknown")]


def test_below_the_threshold_nothing_is_marked():
    assert places(history.series(revisions(steps([1, 1, 1.03, 1.03], noise=1e-4)))) == []


def test_a_seed_that_comes_back_is_one_witness():
    """Two code versions, twenty runs each: runs of equal code give equal values, and only six seeds were ever drawn.
    Counted as 120 values a side, this chance difference would be certain."""
    one, two = [0.6, 0.8, 1.0, 1.2, 1.4, 1.0], [1.5, 0.7, 1.3, 0.9, 1.2, 1.6]
    table = [one] * 20 + [two] * 20
    fresh = history.series(revisions(table, first=lambda k: 6 * k))
    assert places(fresh) == [(20, "worse")]
    assert places(history.series(revisions(table))) == []


def test_seeds_that_do_not_come_back_add_up():
    """Ten fresh seeds a revision see what one revision cannot."""
    table = steps([1] * 10 + [1.2] * 10, noise=0.15)
    assert places(history.series(revisions(table, first=lambda k: 10 * k))) == [(10, "worse")]


def test_where_nothing_changed_almost_no_history_shows_a_change():
    """A familywise .25 %: 80 histories of 20 metrics expect .2 change points; four have a probability of 6e-5."""
    rng, alarms = np.random.default_rng(1), 0
    for k in range(80):
        table = rng.normal(1, 0.2, (20, 5, 6))
        runs = revisions(table, [f"m{m}" for m in range(20)], first=lambda r, k=k: 6 * r * (k % 2))
        alarms += bool(places(history.series(runs)))
    assert alarms <= 3


def test_gaps_and_what_failed_its_self_check_are_left_out():
    runs = revisions(steps([1, 1, 9, 2, 2]))
    bad = {k: replace(c, unproven="no") for k, c in runs[2].cells.items()}
    runs[2] = replace(runs[2], cells=bad)
    (found,) = history.series(runs)
    assert found.cells[2] is None
    assert places([found]) == [(3, "worse")]


@pytest.fixture
def runs(tmp_path):
    return [str(build(tmp_path / f"r{k}", Synthetic(seeds=4, shift=s))) for k, s in enumerate((0.0, 0.0, 4.0))]


def test_the_page_and_the_lines(tmp_path, runs, capsys):
    page = tmp_path / "page.html"
    assert main(["compare", "--history", *runs, "--out", str(page)]) == 0
    *lines, path = capsys.readouterr().out.splitlines()
    assert path == str(page)
    assert any(line.startswith("r2\tworse\thole of vae\t0.1") for line in lines)
    text = page.read_text()
    assert not re.search(r"(src|href)=\"(?!data:|#)", text)
    assert "<script" not in text
    assert "default-src 'none'" in text
    assert 'class="turn worse"' in text
    assert main(["compare", "--history", *runs, "--out", str(tmp_path / "again.html")]) == 0
    assert (tmp_path / "again.html").read_text() == text


def test_revisions_have_names_of_their_own(tmp_path):
    folders = [build(tmp_path / part / "run", Synthetic(seeds=2)) for part in ("a", "b")]
    rows = records.read(folders[0] / "records.jsonl")
    assert [r.label for r in history.read(folders)] == [str(f) for f in folders]
    records.write(
        folders[0] / "records.jsonl",
        [replace(r, detail={**r.detail, "git": "fedcba9876"}) if r.kind == "run" else r for r in rows],
    )
    assert [r.label for r in history.read(folders)] == ["fedcba9", "0123abc"]


def test_the_page_in_chinese(tmp_path, runs):
    assert main(["compare", "--history", *runs, "--out", str(tmp_path / "p.html"), "--lang", "zh"]) == 0
    assert "3 个修订版的历史" in (tmp_path / "p.html").read_text()


def test_a_history_refuses(tmp_path, runs, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    other = build(tmp_path / "other", Synthetic(seeds=2))
    rows = records.read(other / "records.jsonl")
    records.write(other / "records.jsonl", [replace(r, dataset_hash="ff") for r in rows])
    (tmp_path / "history.html").write_text("older")
    for words, told in (
        ([runs[0]], "two run folders or more, got 1"),
        ([runs[0], "nowhere"], "nowhere is not a finished run's folder"),
        ([runs[0], str(other)], "other data under the name 'digits'"),
        (runs, "history.html is there already"),
        ([*runs, "--out", f"{runs[0]}/report.html"], "a run's own page"),
        ([*runs, "--out", "no/where.html"], "is not a folder"),
    ):
        assert main(["compare", "--history", *words]) == 2
        assert told in capsys.readouterr().err
    assert (tmp_path / "history.html").read_text() == "older"


def test_ticks_a_quarter_apart_are_told_apart():
    assert [tick_label(v, 0.25) for v in (0.25, 0.5)] == ["0.25", "0.5"]
    assert [tick_label(v, 0.5) for v in (0.5, 1.0)] == ["0.5", "1"]
