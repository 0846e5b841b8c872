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
from latentbench.report.story.trade_off_map import BESIDE, MapPoint, trade_off_map
from latentbench.report.wording import words
from latentbench.running import executor, worker
from latentbench.stats.cells import t_interval
from latentbench.stats.findings import prediction as stats_of_prediction
from latentbench.stats.findings.evidence import measured
from latentbench.stats.findings.prediction import TARGET, left_out, prediction, predictions, spearman
from latentbench.studies.presets import studies, with_study

SPACES = [f"vae:beta={k}" for k in range(20)]
BASE = Record(run="r", dataset="d", split="test", bounds=(None, None), unit="share", better="higher")


def rows(metric, means, seeds=4, spread=0.001, sizes=None, phase=0.0, models=SPACES, **fields):
    """A record for each space and seed."""
    return [
        replace(
            BASE, metric=metric, model=model, seed=s, value=float(v) + spread * math.sin(3 * s + 7 * k + phase * k),
            latent_dim=(sizes or {}).get(model, 8), **fields,
        )
        for k, (model, v) in enumerate(zip(models, means, strict=False))
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


SIZES = {m: 2 ** (1 + k % 4) for k, m in enumerate(SPACES)}
BY_SIZE = np.array([SIZES[m] for m in SPACES]) / 20 + 0.02 * NOISE


def test_a_proxy_of_the_latent_size_is_told_and_said_to_be_no_more():
    """The flow does worse in larger spaces, and by nothing else: a measure that counts dimensions predicts it. What is left with
    size held fixed is next to nothing, and the page says so; a measure that agrees within sizes too is not so called."""
    beside = 0.02 * np.random.default_rng(7).permutation(20)
    reached = 0.9 - BY_SIZE
    records = [
        *rows(TARGET, reached, sizes=SIZES),
        *rows("count", np.array([SIZES[m] for m in SPACES]) + beside, sizes=SIZES),
        *rows("latent.effective_rank", -(reached**3), spread=0.0, sizes=SIZES),
    ]
    count, rank = (prediction(measured(records), name, SPACES) for name in ("count", "latent.effective_rank"))
    assert count.rho.mean < -0.8
    assert abs(count.partial) < 0.3
    assert rank.partial == pytest.approx(rank.rho.mean, abs=0.1)
    found = told(records)
    assert found.closing[0].endswith(
        "Size or one kind makes more than half of it: count. Such a measure may say no more than that."
    )
    (claim,) = found.claims
    assert claim.parts[0].number.startswith(claim.parts[0].brief + " over 20 spaces; latent size held fixed: ")


def test_a_difference_of_two_kinds_is_said_to_be_one():
    """Ten variants of a kind and ten of another, within which nothing goes with anything: over all it looks like a rule."""
    models = [f"ae:depth={k}" for k in range(10)] + [f"vae:beta={k}" for k in range(10)]
    rng = np.random.default_rng(3)
    of_kind = np.repeat([0.2, 0.8], 10)
    reached, score = of_kind + 0.1 * rng.random(20), of_kind + 0.1 * rng.random(20)
    within = [*rows(TARGET, reached, models=models), *rows("score", score, models=models)]
    found = prediction(measured(within), "score", models)
    assert found.p < 0.001
    assert abs(found.without) < 0.5
    throughout = [*rows(TARGET, reached, models=models), *rows("score", reached**2, models=models)]
    assert prediction(measured(throughout), "score", models).without > 0.9
    assert "Size or one kind makes more than half of it: score" in " ".join(told(within, models).closing)
    assert "Size or one kind" not in " ".join(told(throughout, models).closing)
    one = prediction(study(score=REACHED), "score", SPACES)
    assert (one.partial, one.without) == (None, None)


def test_ties_share_their_mean_rank_as_scipys_do():
    """A measure that counts, of three values, and a target that is full in the better half."""
    counts, full = np.round(2.4 * REACHED), np.minimum(REACHED, 0.5)
    m = measured([*rows(TARGET, full, spread=0.0), *rows("latent.dims95", counts, spread=0.0)])
    found = prediction(m, "latent.dims95", SPACES)
    theirs = spearmanr(counts, full)
    assert len(set(counts)) == 3
    assert found.rho.mean == pytest.approx(theirs.statistic, rel=1e-9)
    assert found.rho.mean < 0.95
    assert -1 <= found.rho.low <= found.rho.mean <= found.rho.high <= 1
    assert found.says == "predicts"


def test_what_is_not_comparable_between_latent_sizes_is_said_where_it_is_compared():
    (claim,) = told([*rows(TARGET, REACHED), *rows("latent.viv", -REACHED)]).claims
    assert "viv is not to be compared between latent sizes" in claim.meaning[0]
    assert "latent size held fixed" in claim.parts[0].number
    assert "not comparable across latent sizes" in catalog.metrics()["latent.viv"].summary


def test_what_half_of_the_spaces_lack_decides_nothing_and_is_named():
    half = [replace(r, status="skipped", value=None, reason="no posterior") if int(r.model[9:]) % 2 else r
            for r in rows("hole", -REACHED)]  # fmt: skip
    records = [*rows(TARGET, REACHED), *rows("r2", REACHED), *half, *rows("validity.normal", 0 * REACHED, spread=0.0)]
    m = measured(records)
    every = predictions(m, SPACES)
    assert [p.metric for p in every] == ["r2"]
    assert left_out(m, SPACES, every) == ("hole", "validity.normal")
    assert prediction(m, "hole", SPACES) is None
    found = told(records)
    assert [c.key for c in found.claims] == ["a"]
    said = f"Not tried, for fewer than {words.percent(0.8)} of the spaces have them or all have the same: hole, validity.normal."
    assert said in found.lead
    assert "Not tried" not in " ".join(told([*rows(TARGET, REACHED), *rows("r2", REACHED)]).lead)


def test_a_measure_may_decide_a_claim_and_not_stand_out_among_all():
    """p = .01: enough for the one claim that was stated, not for one of 21 measures; the page says how the two go together."""
    rng = np.random.default_rng(2)
    score = 0.5 * REACHED + 0.5 * NOISE
    records = [*rows(TARGET, REACHED), *rows("r2", score)]
    for k in range(20):
        records += rows(f"noise{k}", rng.normal(size=20))
    assert 0.05 / 21 < prediction(measured(records), "r2", SPACES).p < 0.05
    found = told(records)
    assert [c.verdict for c in found.claims] == ["supported"]
    assert "r2" not in found.closing[0]
    assert "may decide a claim and not stand out among all" in found.lead[1]


def test_of_a_flow_that_fails_in_most_spaces_nothing_is_told():
    """Untrained: no draw is valid but in a few spaces, and whatever is higher in these would seem to order all."""
    few, half = (np.maximum(np.arange(20) - first, 0) / 20 for first in (10, 9))
    for reached, n in ((few, 0), (half, 1)):
        untrained = [*rows(TARGET, reached, spread=0.0), *rows("r2", reached, spread=0.0)]
        assert len(predictions(measured(untrained), SPACES)) == n
        assert len(told(untrained).claims) == n


def test_a_small_map_names_what_has_room():
    """Eight points on one another and one apart: that and one of the eight at the least are named, no two names meet."""
    close = [MapPoint(k, f"vae:beta={k}", t_interval([0.5 + k / 1e4]), t_interval([0.5]), False) for k in range(8)]
    points = [*close, MapPoint(8, "apart", t_interval([0.9]), t_interval([0.9]), False)]
    drawn, whole = (
        str(trade_off_map(points, "x", "y", "map", BESIDE)),
        str(trade_off_map(points, "x", "y", "map")),
    )
    named = [p.name for p in points if f">{p.name}<" in drawn]
    assert "apart" in named
    assert 2 <= len(named) < 9
    assert all(f">{p.name}<" in whole for p in points)


def test_three_spaces_tell_nothing():
    few = [r for name in (TARGET, *AS_EXPECTED) for r in rows(name, REACHED[:3])]
    found = told(few, SPACES[:3])
    assert (found.heading, found.claims, found.chart) == ("nothing is told", [], None)
    assert found.closing == found.lead[1:]
    assert found.closing[0].startswith("Nothing is told: fewer than 5 spaces")


@pytest.mark.parametrize("r", [0.0, 0.7, 0.98])
def test_the_interval_covers_the_correlation_of_all_spaces_of_the_kind(r, monkeypatch):
    """28 spaces of 6 seeds from a normal population of known correlation: 95 % of the intervals hold the rank correlation of
    100,000 such spaces, give or take what 60 trials leave open, and each holds that of its own 28."""
    monkeypatch.setattr(stats_of_prediction, "REPEATS", 400)
    rng = np.random.default_rng(1)

    def scores(n, seeds, noise):
        first = rng.normal(size=n)
        return [side[:, None] + noise * rng.normal(size=(n, seeds))
                for side in (first, r * first + (1 - r * r) ** 0.5 * rng.normal(size=n))]  # fmt: skip

    truth = spearman(*(side[:, 0] for side in scores(100_000, 1, 0.5 / 6**0.5)))
    held = 0
    for _ in range(60):
        x, y = scores(28, 6, 0.5)
        low, high = np.quantile(stats_of_prediction._bootstrap(x, y), (0.025, 0.975))
        assert low <= spearman(x.mean(1), y.mean(1)) <= high
        held += low <= truth <= high
    assert held >= 54


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
        *[replace(r, split="") for r in rows("train.epochs", REACHED)],
        *rows("same", REACHED * 0, spread=0.0),
        *rows("some", REACHED),
    ]
    assert [p.metric for p in predictions(measured(records), SPACES)] == ["some"]
    assert predictions(measured(rows("some", REACHED)), SPACES) == ()
    assert predictions(study(some=REACHED), SPACES[:4]) == ()
    assert prediction(study(some=REACHED), "other", SPACES) is None


def told(records, models=SPACES):
    run = SimpleNamespace(
        models=tuple(models), records=records, dataset="digits", latent_dim_of=lambda m: 8, detail={}, seeds=range(4)
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
    assert "Told to predict it (adjusted for all 2 measures tried, Holm, 5 %): r2 1.00 (—; —)." in found.closing[0]
    rest = " ".join(found.lead[3:5])
    rho = prediction(measured(records), "hole", SPACES).rho.mean
    assert f"hole {words.number(rho, 2)} (—; —)" in rest
    assert "20 latent spaces on digits" in found.lead[0]
    assert "about others this says nothing" in found.closing[-1]
    assert "share its word with what they predict" in found.closing[-1]
    assert [drawn.count("whisker") for drawn in str(found.chart.drawing).split("</svg>")] == [2, 2, 0]


def test_without_a_flow_nothing_is_told():
    found = told(rows("r2", REACHED))
    assert found.closing == [
        "Nothing is told: fewer than 5 spaces have both a flow and a measure, or the flow does the same in most."
    ]
    assert found.chart is None
    assert found.claims == []


def test_where_the_flow_does_equally_well_everywhere_nothing_is_told():
    same = measured([*rows(TARGET, REACHED * 0, spread=0.0), *rows("r2", REACHED)])
    assert predictions(same, SPACES) == ()
    assert prediction(same, "r2", SPACES) is None


def test_a_forest_has_a_row_for_each_and_stays_within_its_ends():
    rows_ = [Row("a", t_interval([-1.5, 0.0, 1.5]), False), Row("b", t_interval([0.4, 0.5, 0.6]), True)]
    screen, phone, _ = str(forest(rows_, "title", "label")).split("</svg>")
    assert [(drawn.count("front-ring"), drawn.count("dot m0")) for drawn in (screen, phone)] == [(1, 1)] * 2
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
    assert len(run.seeds) == (6 if name == "predicts-generation" else 2)
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
    # After so few epochs the flow may reach no valid draw in most of the spaces: then that is what is said.
    told = "or the flow does the same in most" not in text
    assert ("Not told by these spaces" in text, "rank correlation with the flow" in text) == (told, told)
    assert "predict" in (tmp_path / "out" / "summary.md").read_text("utf-8")
