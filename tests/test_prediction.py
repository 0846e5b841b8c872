"""Which measures predict what a flow reaches: rank correlations that are known, and what is said where there are none."""

import math
from dataclasses import replace
from importlib.metadata import EntryPoint
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import spearmanr

from latentbench import catalog
from latentbench.cli.app import main
from latentbench.config import make_run
from latentbench.records import Record
from latentbench.report import story
from latentbench.report.story import predicts_generation
from latentbench.report.story.forest import Row, forest
from latentbench.running import executor, worker
from latentbench.stats.cells import t_interval
from latentbench.stats.findings.evidence import measured
from latentbench.stats.findings.prediction import TARGET, prediction, predictions, spearman
from latentbench.studies.presets import studies, with_study

SPACES = [f"vae:beta={k}" for k in range(20)]
BASE = Record(run="r", dataset="d", split="test", bounds=(None, None), unit="share", better="higher")


def rows(metric, means, seeds=4, spread=0.001, sizes=None, phase=0.0, **fields):
    """A record for each space and seed."""
    return [
        replace(
            BASE, metric=metric, model=model, seed=s, value=float(v) + spread * math.sin(3 * s + 7 * k + phase * k),
            latent_dim=(sizes or {}).get(model, 8), **fields,
        )
        for k, (model, v) in enumerate(zip(SPACES, means, strict=False))
        for s in range(seeds)
    ]  # fmt: skip


REACHED = np.linspace(0.1, 0.9, 20)
NOISE = np.random.default_rng(5).permutation(20) / 20


def study(**measures):
    return measured([*rows(TARGET, REACHED), *(r for name, means in measures.items() for r in rows(name, means))])


def test_ranks_that_agree_disagree_and_have_nothing_to_do_with_one_another():
    found = {p.metric: p for p in predictions(study(up=REACHED**3, down=-REACHED, noise=NOISE), SPACES)}
    assert found["up"].rho.mean == pytest.approx(1)
    assert found["down"].rho.mean == pytest.approx(-1)
    assert (found["up"].says, found["down"].says) == ("predicts", "predicts")
    assert found["noise"].says != "predicts"
    assert found["noise"].rho.low < found["noise"].rho.mean < found["noise"].rho.high
    assert list(found)[-1] == "noise"


def test_the_correlation_and_its_chance_are_scipys():
    x, y = NOISE + 0.7 * REACHED, REACHED
    theirs = spearmanr(x, y)
    assert spearman(x, y) == pytest.approx(theirs.statistic, rel=1e-12)
    mine = prediction(study(some=x), "some", SPACES)
    assert mine.rho.mean == pytest.approx(theirs.statistic, abs=0.02)
    assert mine.p == pytest.approx(theirs.pvalue, rel=0.35)
    assert math.isnan(spearman(np.ones(5), np.arange(5.0)))


def test_many_measures_of_noise_predict_nothing():
    """Forty measures that have nothing to do with it: by chance two have p below 5 %, adjusted none has."""
    rng = np.random.default_rng(0)
    found = predictions(study(**{f"noise{k}": rng.normal(size=20) for k in range(40)}), SPACES)
    assert len(found) == 40
    assert min(p.p for p in found) < 0.05
    assert not [p.metric for p in found if p.says == "predicts"]


def test_a_correlation_of_size_alone_is_gone_where_size_is_held_fixed():
    sizes = {m: 2 ** (1 + k // 5) for k, m in enumerate(SPACES)}
    wiggle = np.tile([0.0, 0.02, -0.02, 0.01, -0.01], 4)
    other = np.tile([0.01, -0.02, 0.0, 0.02, -0.01], 4)
    base = np.repeat([0.1, 0.3, 0.5, 0.7], 5)
    records = [*rows(TARGET, base + wiggle, sizes=sizes), *rows("size", base + other, sizes=sizes)]
    found = prediction(measured(records), "size", SPACES)
    assert found.rho.mean > 0.85
    assert abs(found.partial) < 0.4


def test_the_interval_counts_seeds_that_disagree():
    calm = prediction(study(some=REACHED + 0.2 * NOISE), "some", SPACES)
    wild = measured([*rows(TARGET, REACHED, spread=0.4), *rows("some", REACHED + 0.2 * NOISE, spread=0.4, phase=4.0)])
    unsteady = prediction(wild, "some", SPACES)
    assert unsteady.rho.high - unsteady.rho.low > calm.rho.high - calm.rho.low


def test_what_few_spaces_have_and_what_the_flow_itself_reached_is_not_tried():
    records = [
        *rows(TARGET, REACHED),
        *rows("few", REACHED[:10]),
        *rows("judge_frechet.flow", -REACHED, metric_params={"kind": "flow"}),
        *rows("train.seconds", REACHED),
        *rows("same", REACHED * 0, spread=0.0),
        *rows("some", REACHED),
    ]
    assert [p.metric for p in predictions(measured(records), SPACES)] == ["some"]
    assert predictions(measured(rows("some", REACHED)), SPACES) == ()
    assert predictions(study(some=REACHED), SPACES[:4]) == ()
    assert prediction(study(some=REACHED), "other", SPACES) is None


def told(records):
    run = SimpleNamespace(
        models=tuple(SPACES), records=records, dataset="digits", latent_dim_of=lambda m: 8, detail={}, seeds=range(4)
    )
    return predicts_generation.tell(run, [])


def verdicts(**measures):
    return {c.key: c.verdict for c in predicts_generation.claims(study(**measures), SPACES)}


AS_EXPECTED = {
    "r2": REACHED, "judge_frechet.reconstruction": -REACHED, "validity.normal": REACHED, "hole": -REACHED,
    "neighbour.validity": REACHED, "neighbour.frechet": -REACHED, "latent.viv": -REACHED, "latent.neighbour_labels": REACHED,
    "latent.effective_rank": -REACHED, "intrinsic_dim.twonn": -REACHED,
}  # fmt: skip


def test_where_all_is_as_expected_all_is_supported():
    assert verdicts(**AS_EXPECTED) == dict.fromkeys("abcde", "supported")


@pytest.mark.parametrize(
    ("key", "metric"),
    [("a", "r2"), ("b", "hole"), ("c", "neighbour.validity"), ("d", "latent.viv"), ("e", "intrinsic_dim.twonn")],
)
def test_the_other_sign_makes_a_claim_fail_and_noise_leaves_it_open(key, metric):
    assert verdicts(**AS_EXPECTED | {metric: -AS_EXPECTED[metric]})[key] == "not supported"
    assert verdicts(**AS_EXPECTED | {metric: NOISE})[key] == "undecided"


def test_the_answer_names_what_predicts_and_what_does_not():
    records = [*rows(TARGET, REACHED), *rows("r2", REACHED), *rows("hole", NOISE)]
    found = told(records)
    assert "Told to predict it (adjusted for all 2 measures tried, Holm, 5 %): r2 1.00." in found.closing
    rest = " ".join(found.lead[2:4])
    assert "hole" in rest
    assert "20 latent spaces on digits" in found.lead[0]
    assert "about others this says nothing" in found.closing[-1]
    assert "share its word with what they predict" in found.closing[-1]
    assert str(found.chart.drawing).count("whisker") == 2


def test_without_a_flow_nothing_is_told():
    found = told(rows("r2", REACHED))
    assert found.closing == [
        "Nothing is told: fewer than 5 spaces have both a flow and a measure, or the flow does equally well in all."
    ]
    assert found.chart is None
    assert found.claims == []


def test_where_the_flow_does_equally_well_everywhere_nothing_is_told():
    same = measured([*rows(TARGET, REACHED * 0, spread=0.0), *rows("r2", REACHED)])
    assert predictions(same, SPACES) == ()
    assert prediction(same, "r2", SPACES) is None


def test_a_forest_has_a_row_for_each_and_stays_within_its_ends():
    rows_ = [Row("a", t_interval([-1.5, 0.0, 1.5]), False), Row("b", t_interval([0.4, 0.5, 0.6]), True)]
    drawn = str(forest(rows_, "title", "label"))
    assert drawn.count("front-ring") == 1
    assert drawn.count("dot m0") == 1
    assert forest([], "title", "label") == ""


@pytest.mark.parametrize("name", ["predicts-generation", "predicts-generation-mnist"])
def test_the_studies_can_be_run(name):
    run = make_run(with_study({"study": name}))
    assert name in story.STORIES
    assert studies()[name].summary
    assert TARGET in catalog.find_metrics(run.metrics)
    for text in run.models:
        assert catalog.resolve_model(text, run).latent_dim
    assert len(set(run.models)) == len(run.models) >= (20 if name == "predicts-generation" else 10)
    used = {metric for e in predicts_generation.EXPECTED for metric, _ in e.signs}
    assert used & set(catalog.find_metrics(run.metrics))
    if name == "predicts-generation":
        assert used <= set(catalog.find_metrics(run.metrics))


class InThisProcess:
    """Carries out units where it stands, with the flows of tests."""

    def __init__(self, workers, jobs, listen):
        self.listen, self.waiting = listen, []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.waiting.clear()

    @property
    def idle(self):
        return not self.waiting

    @property
    def busy(self):
        return bool(self.waiting)

    def submit(self, unit):
        self.waiting.append(unit)

    def next_finished(self):
        unit = self.waiting.pop()
        worker.perform(unit, self.listen)
        return unit, ""


def test_a_tiny_run_of_it_is_told(tmp_path, monkeypatch):
    """Six spaces, two seeds, twelve epochs, few measures: the page opens with the question and says what the spaces tell."""
    point = EntryPoint("here", "tests:InThisProcess", executor.GROUP)
    monkeypatch.setattr(EntryPoint, "load", lambda self: InThisProcess)
    monkeypatch.setattr(executor, "entry_points", lambda group: [point])
    options = {
        "study": "predicts-generation", "models": "ae:latent_dim=2,ae:latent_dim=3,ae:latent_dim=4,vae,vae:beta=3,wae", "epochs": "12",
        "seeds": "2", "width": "48", "metrics": f"r2,validity.normal,{TARGET}", "executor": "here", "out": str(tmp_path / "out"),
    }  # fmt: skip
    assert main(["run", *(word for name, value in options.items() for word in (f"--{name}", value)), "--quiet"]) == 0
    page = (tmp_path / "out" / "report.html").read_text("utf-8")
    text = page.partition('<section class="story"')[2].partition("</section>")[0]
    assert "6 latent spaces on digits" in text
    assert "Not told by these spaces" in text
    assert "rank correlation with the flow" in text
    assert "predict" in (tmp_path / "out" / "summary.md").read_text("utf-8")
