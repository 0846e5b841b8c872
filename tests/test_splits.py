"""Several splits of the data in one run: seeds are dealt to them, and intervals are over the means of the splits."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from scipy import stats

import latentbench as lb
from latentbench.cli import main
from latentbench.config import make_run
from latentbench.records import Record
from latentbench.report.wording.findings import statements
from latentbench.run_folder import RunFiles
from latentbench.running.plan import plan
from latentbench.stats.cells import summarise
from latentbench.stats.families import chance
from latentbench.stats.findings.claims import compare
from latentbench.stats.intervals import t_interval, t_test

SMALL = {"models": "ae:width=8,vae:width=8", "epochs": 2, "metrics": "r2,mse,hole.outside", "workers": 1, "quiet": True}


def made(run: str, of: str, values: dict[int, float], splits: int) -> list[Record]:
    """Values of one model by seed, dealt to splits in turn, and the run's own record."""
    head = Record(kind="run", run=run, detail={"dataset": {"splits": [f"hash{k}" for k in range(splits)]}})
    rows = [
        Record(run=run, dataset="d", dataset_hash=f"hash{s % splits}", model=of, metric="r2", split="test", seed=s,
               value=v, better="higher", unit="R^2")
        for s, v in values.items()
    ]  # fmt: skip
    return [head, *rows]


def test_an_interval_is_over_the_means_of_splits():
    """Six values in three pairs: the t-interval of three means, with two degrees of freedom."""
    values = [1.0, 4.0, 2.0, 1.2, 4.4, 2.4]
    means = [1.1, 4.2, 2.2]
    i = t_interval(values, groups=[0, 1, 2, 0, 1, 2])
    half = stats.t.ppf(0.975, 2) * stats.sem(means)
    assert (i.mean, i.half) == pytest.approx((2.5, half))
    assert (i.n, i.groups, i.independent) == (6, 3, 3)
    assert t_test(i) == pytest.approx(stats.ttest_1samp(means, 0).pvalue)


def test_one_split_gives_no_interval():
    i = t_interval([1.0, 2.0], groups=[0, 0])
    assert (i.mean, i.low, i.high, i.n) == (1.5, None, None, 2)


def test_a_cell_gathers_all_splits():
    (cell,) = summarise(made("r", "ae", dict(enumerate([0.1, 0.4, 0.2, 0.12, 0.44, 0.24])), 3))
    assert set(cell.values) == set(range(6))
    assert cell.splits == {s: s % 3 for s in range(6)}
    assert cell.interval is not None
    assert cell.interval.half == pytest.approx(stats.t.ppf(0.975, 2) * stats.sem([0.11, 0.42, 0.22]))


def test_without_the_runs_own_word_other_data_are_other_data():
    """Only a run that says so has several splits: hashes alone gather nothing."""
    assert len(summarise(made("r", "ae", {0: 0.1, 1: 0.2}, 2)[1:])) == 2


def test_what_is_measured_once_is_the_mean_over_splits():
    rows = made("r", "ae", {0: 0.1, 1: 0.2}, 2)
    anchors = [
        replace(r, model="ceiling:real", role="ceiling", seed=None, value=v)
        for r, v in zip(rows[1:], (0.8, 0.9), strict=True)
    ]
    cell = next(c for c in summarise([*rows, *anchors]) if c.role == "ceiling")
    assert cell.values == {None: pytest.approx(0.85)}


def test_two_models_are_compared_split_by_split():
    """A difference that is the same at both seeds of a split is one witness, not two."""
    a = {0: 0.5, 1: 0.5, 2: 0.5, 3: 0.5, 4: 0.5, 5: 0.5}
    b = {0: 0.6, 1: 0.7, 2: 0.65, 3: 0.6, 4: 0.7, 5: 0.65}
    rows = [*made("r", "ae", a, 3), *made("r", "vae", b, 3)[1:]]
    first, other = summarise(rows)
    expected = stats.ttest_1samp([0.1, 0.2, 0.15], 0).pvalue
    assert chance(first, other) == pytest.approx(expected)
    assert compare(first, other).p == pytest.approx(expected)
    assert compare(first, other).sign_flip_p is None  # three signs cannot be rarer than one in four


def test_the_interval_covers_the_split():
    """Values that move with their split: by seed the interval would miss the truth far more often than it says."""
    draws, by_split, by_seed = random.Random(0), 0, 0
    for _ in range(2000):
        split = [draws.gauss(0, 1) for _ in range(3)]
        values = [split[s % 3] + draws.gauss(0, 0.3) for s in range(6)]
        for groups in ([s % 3 for s in range(6)], None):
            i = t_interval(values, groups=groups)
            assert i.low is not None
            assert i.high is not None
            hit = i.low <= 0 <= i.high
            by_split, by_seed = (by_split + hit, by_seed) if groups else (by_split, by_seed + hit)
    assert by_split / 2000 == pytest.approx(0.95, abs=0.02)
    assert by_seed / 2000 < 0.9


def test_seeds_are_dealt_in_turn():
    run = make_run({"seeds": "0-4", "splits": 2, "split_seed": 7})
    assert [(one.split_seed, one.seeds, one.splits) for one in run.by_split()] == [(7, (0, 2, 4), 1), (8, (1, 3), 1)]
    assert make_run({}).by_split() == (make_run({}),)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--splits", "7"], "splits: 7 is not allowed: there are 6 seeds to deal to them"),
        (["--splits", "0"], "splits: '0' is not allowed"),
    ],
)
def test_refusals(words, said, capsys):
    assert main(["run", *words, "--dry-run"]) == 2
    assert said in capsys.readouterr().err


def test_every_split_has_its_own_judge_and_only_the_first_pictures(tmp_path):
    planned = plan(
        make_run({**SMALL, "metrics": "validity.normal", "seeds": 4, "splits": 2, "out": str(tmp_path / "r")})
    )
    kinds = [p.kind for p in planned.parts]
    assert (kinds.count("judge"), kinds.count("time"), kinds.count("train")) == (2, 1, 8)
    assert {u.run.split_seed for u in planned.units if u.kind in ("map", "time")} == {0}
    assert planned.units[-1].kind == "time"
    assert set(planned.units[-1].needs) == {u.folder for u in planned.units[:-1]}


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    return lb.run(**SMALL, seeds=4, splits=2, out=str(tmp_path_factory.mktemp("splits") / "run"))


def test_a_run_over_splits(result):
    cells = {(c.model, c.metric): c for c in summarise(result.records) if c.is_model and c.split in ("test", "")}
    cell = cells["ae:width=8", "r2"]
    assert cell.splits == {0: 0, 1: 1, 2: 0, 3: 1}
    hashes = {r.seed: r.dataset_hash for r in result.records if r.metric == "r2" and r.model == "ae:width=8"}
    assert hashes[0] == hashes[2] != hashes[1] == hashes[3]
    assert cell.interval is not None
    means = [(cell.values[0] + cell.values[2]) / 2, (cell.values[1] + cell.values[3]) / 2]
    assert cell.interval.half == pytest.approx(stats.t.ppf(0.975, 1) * stats.sem(means))


def test_a_seed_of_a_split_is_that_of_a_run_on_it(result, tmp_path):
    """Bit for bit: what one split gives hangs on no other."""
    alone = lb.run(**SMALL, seeds="1,3", split_seed=1, out=str(tmp_path / "alone"))

    def values(rows):
        return {
            (r.model, r.metric, r.split, r.seed): r.value
            for r in rows
            if r.role == "model" and r.metric in ("r2", "mse")
        }

    mine, whole = values(alone.records), values(result.records)
    assert mine
    assert all(whole[key] == value for key, value in mine.items())


def test_the_page_says_so(result):
    told = " ".join(s for v in statements(result.records) for s in (v.headline, *v.sentences))
    assert "4 seeds on 2 splits of the data" in told
    assert "over the means of 2 random splits of the data" in told
    assert "Levels hold for this split" not in told
    page = RunFiles(result.folder).page.read_text("utf-8")
    assert "dealt to 2 random splits of the data" in page
    assert "one split of the data and one judge" not in page


def test_it_is_measured_anew_and_compared(result, tmp_path):
    again = lb.measure(result.folder, metrics="r2", out=str(tmp_path / "anew"))
    rows = [r for r in again.records if r.metric == "r2" and r.role == "model"]
    assert {r.seed for r in rows} == {0, 1, 2, 3}
    assert main(["compare", str(result.folder), str(tmp_path / "anew"), "--json"]) == 0


def test_data_with_splits_of_its_own_is_refused(capsys, monkeypatch):
    from latentbench import catalog

    loaded = catalog.load_dataset(make_run({}))
    monkeypatch.setattr(catalog, "load_dataset", lambda run, **_: loaded)
    assert main(["run", "--splits", "2", "--dry-run"]) == 2
    assert "gives the same images for other split seeds" in capsys.readouterr().err
