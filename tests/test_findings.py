"""Findings: what the records say of two models, as data, by the rules of the sentences."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up import JITTER, anchor, posterior_of, rows, skipped, steady
from synthetic_run import Synthetic, build

import latentbench as lb
from latentbench import records
from latentbench.records import SELF_CHECK, Reason, Record
from latentbench.stats.cells import paired, summarise, t_test
from latentbench.stats.findings import FINDING_COLUMNS, findings, tables
from latentbench.stats.findings.claims import compare, standing
from latentbench.stats.findings.cost import cost
from latentbench.stats.findings.diagnosis import FAR, PUNCTUAL, advice, diagnosis, dimensions, flaws
from latentbench.stats.findings.finding import CAVEATS, QUESTIONS
from latentbench.stats.findings.table import COPYING, MEAN_IMAGE, NO_DIMENSION, Collapse, claims_together

COLLAPSED = [
    *steady("ae", r2=0.8, validity__normal=0.1, hole=0.7, path__tortuosity=1.4, path__validity_gain=0.05, active_units=8.0),
    *steady("bad", validity__normal=0.95, hole=0.03, path__tortuosity=1.0, path__validity_gain=0.5),
    *rows("bad", "r2", [0.0] * 6),
    *rows("bad", "active_units", [0.0] * 6),
]  # fmt: skip


def of(found, metric):
    """The only finding on a metric."""
    (one,) = [f for f in findings(found) if f.metric == metric]
    return one


# --- one finding ---


def test_a_finding_is_the_paired_interval_and_the_test_beside_it():
    ae, vae = 0.74 + JITTER, 0.15 + JITTER[::-1]
    one = of([*rows("ae", "hole", ae), *rows("vae", "hole", vae)], "hole")
    d = paired(dict(enumerate(vae)), dict(enumerate(ae))).difference
    assert (one.question, one.subject, one.rival) == ("complete", "vae", "ae")
    assert (one.difference, one.low, one.high, one.n) == (d.mean, d.low, d.high, 6)
    assert one.p == pytest.approx(t_test(d), rel=1e-9)
    assert one.adjusted == one.p < 0.05
    assert one.threshold == pytest.approx(0.05 * 0.74, rel=1e-9)
    assert (one.verdict, one.caveats) == ("better", ())
    assert (one.dataset, one.latent_dim, one.run) == ("digits", 8, "")


@pytest.mark.parametrize(
    ("metric", "first", "other", "verdict"),
    [
        ("hole", 0.7, 0.1, "better"),
        ("hole", 0.1, 0.7, "worse"),
        ("r2", 0.7, 0.1, "worse"),
        ("r2", 0.1, 0.7, "better"),
        ("r2", 0.7, 0.7, "equivalent"),
        ("r2", 0.7, 0.72, "not told apart"),
    ],
)
def test_the_metric_says_which_direction_is_good(metric, first, other, verdict):
    found = [*rows("ae", metric, first + JITTER), *rows("vae", metric, other + JITTER[::-1])]
    assert of(found, metric).verdict == verdict


@pytest.mark.parametrize(("other", "verdict"), [(1.1, "better"), (-3.0, "worse")])
def test_distances_to_a_target_are_compared(other, verdict):
    found = [
        *rows("ae", "variance_law", 3.0 + JITTER, target=1.0),
        *rows("vae", "variance_law", other + JITTER[::-1], target=1.0),
    ]
    one = of(found, "variance_law")
    assert one.verdict == verdict
    assert (one.difference > 0) == (verdict == "worse")
    assert one.difference == pytest.approx(abs(other - 1) - 2, abs=0.05)


def test_a_metric_without_a_direction_has_its_numbers_and_no_verdict():
    one = of([*rows("ae", "kl", 3 + JITTER, better="none"), *rows("vae", "kl", 9 + JITTER, better="none")], "kl")
    assert (one.verdict, one.caveats) == ("not comparable", ("no direction",))
    assert one.difference == pytest.approx(6)
    assert one.p is not None


def test_what_one_seed_or_none_in_common_leaves_open():
    one = of([*rows("ae", "hole", [0.7]), *rows("vae", "hole", [0.1])], "hole")
    assert (one.verdict, one.caveats, one.n) == ("not told apart", ("one seed",), 1)
    assert (one.low, one.high, one.p) == (None, None, None)
    late = [replace(r, seed=r.seed + 100) for r in rows("vae", "hole", [0.1, 0.2])]
    one = of([*rows("ae", "hole", [0.7, 0.8]), *late], "hole")
    assert (one.verdict, one.caveats, one.n) == ("not comparable", ("no seed in common",), 0)


@pytest.mark.parametrize(
    ("reason", "codes"),
    [
        ("the judge's self-check failed: it passes 9.0% of mean (at most 5%)", ("skipped", "judge refused")),
        ("no judge: the dataset has no labels", ("skipped", "no judge")),
        ("needs judge", ("skipped", "no judge")),
        ("the dataset has no labels", ("skipped", "no labels")),
        ("needs a posterior with a variance", ("skipped",)),
        ("the judge accepts no real image: nothing to compare with", ("skipped",)),
        (Reason("it was refused", "judge.passes_shuffle", {"share": 0.3, "most": 0.05}), ("skipped", "judge refused")),
        (Reason("nobody to ask", "judge.no_labels"), ("skipped", "no judge")),
        (Reason("nobody to ask", "needs.judge"), ("skipped", "no judge")),
        (Reason("no classes", "needs.train_labels"), ("skipped", "no labels")),
        (Reason("no judge would say so", "model.no_variance"), ("skipped",)),
        (Reason.recorded("a; b", "model.no_variance; judge.no_train", {}), ("skipped", "no judge")),
        ("training diverged; no judge: no labels were given", ("skipped", "no judge")),
    ],
)
def test_what_has_no_value_says_why(reason, codes):
    """By the code of the reason where it has one, by its words only where it has none."""
    one = of(
        [*skipped("ae", "validity.normal", reason), *rows("vae", "validity.normal", JITTER + 0.5)], "validity.normal"
    )
    assert (one.subject, one.rival, one.verdict) == ("ae", "vae", "not comparable")
    assert one.caveats == codes
    assert one.difference is None


def test_what_failed_its_self_check_is_not_comparable():
    check = Record(
        dataset="digits", model=SELF_CHECK, role="check", metric="hole", value=0.0, latent_dim=8, detail={"why": ["x"]}
    )
    one = of([*steady("ae", hole=0.7), *steady("vae", hole=0.1), check], "hole")
    assert (one.verdict, one.caveats) == ("not comparable", ("self-check failed",))


def test_nats_of_different_likelihoods_are_not_subtracted():
    found = [
        *rows("ae", "elbo", JITTER, detail={"likelihood": "gaussian"}),
        *rows("vae", "elbo", JITTER, detail={"likelihood": "bernoulli"}),
    ]
    one = of(found, "elbo")
    assert (one.verdict, one.caveats, one.difference) == ("not comparable", ("other likelihood",), None)


def test_an_interval_near_a_bound_is_approximate():
    found = [
        *rows("ae", "hole", [0.0, 0.0, 0.004], bounds=(0.0, 1.0)),
        *rows("vae", "hole", [0.4, 0.5, 0.45], bounds=(0.0, 1.0)),
    ]
    assert of(found, "hole").caveats == ("approximate",)


def test_a_t_interval_that_the_sign_flip_test_does_not_follow_is_borderline():
    found = [*rows("ae", "hole", [0.5] * 6), *rows("vae", "hole", [0.45, 0.4, 0.35, 0.4, 0.45, 0.5025])]
    one = of(found, "hole")
    assert (one.verdict, one.caveats) == ("better", ("borderline",))


def test_a_straighter_path_of_a_worse_reconstruction_may_be_blur():
    ae, vae = steady("ae", path__tortuosity=1.9, r2=0.8), steady("vae", path__tortuosity=1.1, r2=0.5)
    assert of([*ae, *vae], "path.tortuosity").caveats == ("blur",)
    assert of([*ae, *steady("vae", path__tortuosity=1.1, r2=0.9)], "path.tortuosity").caveats == ()


def test_a_second_judge_that_does_not_say_the_same_is_a_caveat():
    ae = steady("ae", validity__normal=0.1, validity__normal__second_judge=0.1)
    for second, codes in ((0.4, ()), (0.1, ("second judge differs",))):
        found = [*ae, *steady("vae", validity__normal=0.5, validity__normal__second_judge=second)]
        one = of(found, "validity.normal")
        assert (one.verdict, one.caveats) == ("better", codes)


def test_training_that_was_still_getting_better_is_a_caveat():
    head = Record(kind="run", detail={"config": {"epochs": 150}})
    trained = [*rows("ae", "train.epochs", [100] * 3, detail={"kept": 80}), *rows("vae", "train.epochs", [150] * 3, detail={"kept": 150})]  # fmt: skip
    found = [head, *steady("ae", 3, hole=0.7), *steady("vae", 3, hole=0.1), *(replace(r, split="") for r in trained)]
    (table,) = tables(found)
    assert table.undertrained == {"vae"}
    assert of(found, "hole").caveats == ("undertrained",)
    assert of(found[1:], "hole").caveats == ()


def test_throughput_is_told_apart_by_its_own_spread():
    def speed(model, rate, rankable=True, batch=64):
        return Record(dataset="digits", model=model, metric="throughput.encode", value=rate, unit="samples/s", better="higher",
                      metric_params={"batch": batch}, detail={"spread": 0.05, "rankable": rankable})  # fmt: skip

    first = [*steady("ae", r2=0.8), *steady("vae", r2=0.8), speed("ae", 9.0, batch=1), speed("ae", 100.0)]
    for second, verdict, codes in (
        (speed("vae", 50.0), "worse", ()),
        (speed("vae", 98.0), "not told apart", ()),
        (speed("vae", 50.0, False), "not comparable", ("unsteady timing",)),
    ):
        one = of([*first, second], "throughput.encode")
        assert (one.question, one.verdict, one.caveats) == ("cost", verdict, codes)
        assert one.difference == second.value - 100
        assert (one.low, one.p) == (None, None)


# --- all of them ---


def test_every_other_model_is_compared_with_the_first():
    found = findings([*steady("ae", hole=0.7), *steady("b", hole=0.1), *steady("c", hole=0.3)])
    assert [(f.subject, f.rival) for f in found] == [("b", "ae"), ("c", "ae")]
    assert findings(steady("ae", hole=0.7)) == []


def test_a_metric_is_filed_as_its_run_declares_and_else_by_what_rests_on_it():
    found = [
        *steady("a", path__jump=0.1, mine=1.0, probe__linear=0.9),
        *steady("b", path__jump=0.2, mine=2.0, probe__linear=0.8),
    ]
    assert {f.metric: f.question for f in findings(found)} == {
        "path.jump": "continuous", "mine": "other", "probe.linear": "other",
    }  # fmt: skip
    definitions = {
        "mine": {"headline": ["reconstructs", "complete"]},
        "path.jump": {"family": "reconstruction"},
        "probe.linear": {"family": "odd"},
    }
    head = Record(kind="run", detail={"definitions": definitions})
    assert {f.metric: f.question for f in findings([head, *found])} == {
        "path.jump": "cost", "mine": "complete", "probe.linear": "other",
    }  # fmt: skip


def test_runs_data_and_sizes_are_apart():
    two = [*steady("ae", hole=0.7), *steady("vae", hole=0.1)]
    other = [replace(r, dataset="mnist", latent_dim=2) for r in two]
    second = [replace(r, run="second") for r in two]
    found = findings([*(replace(r, run="first") for r in [*two, *other]), *second])
    assert [(f.run, f.dataset, f.latent_dim) for f in found] == [
        ("first", "digits", 8), ("first", "mnist", 2), ("second", "digits", 8),
    ]  # fmt: skip


def test_references_and_judges_are_no_subject():
    found = [*steady("ae", hole=0.7), *steady("vae", hole=0.1), anchor("baseline:pca", "hole", 0.5)]
    assert [f.subject for f in findings([*found, anchor("judge:second", "hole", 0.1)])] == ["vae"]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_mixture_of_values_and_gaps_gives_findings_of_the_vocabulary(data):
    metrics = (
        "r2",
        "hole",
        "variance_law",
        "validity.normal",
        "odd",
        "throughput.encode",
        "memorisation",
        "active_units",
    )
    found = []
    for model in data.draw(st.lists(st.sampled_from(["ae", "vae", "x.y:Z"]), min_size=1, unique=True)):
        for metric in data.draw(st.lists(st.sampled_from(metrics), unique=True)):
            better = data.draw(st.sampled_from(["higher", "lower", "target", "none"]))
            for seed in data.draw(st.lists(st.sampled_from([None, 0, 1, 2]), min_size=1, unique=True)):
                number = data.draw(st.one_of(st.none(), st.floats(-1e6, 1e6), st.just(0.0)))
                status = "ok" if number is not None else data.draw(st.sampled_from(["failed", "skipped"]))
                found.append(Record(dataset="d", model=model, metric=metric, seed=seed, split="test", value=number, status=status,
                                    better=better, target=1.0 if better == "target" else None))  # fmt: skip
    for f in findings(found):
        assert f.subject != f.rival
        assert f.question in (*QUESTIONS, "other")
        assert set(f.caveats) <= set(CAVEATS)
        assert f.verdict in ("better", "worse", "equivalent", "not told apart", "not comparable")
        assert f.p is None or 0 <= f.p <= 1
        if f.verdict in ("better", "worse") and f.low is not None:
            assert f.low > 0 or f.high < 0
            assert f.adjusted <= 0.05
            assert abs(f.difference) > f.threshold
        assert f.adjusted is None or f.p <= f.adjusted <= 1
        if f.verdict == "not comparable":
            assert f.caveats


# --- collapse and copies ---


def test_a_collapsed_model_leads_nowhere_and_is_compared_in_cost_alone():
    (table,) = tables(COLLAPSED)
    assert table.collapse == {"bad": Collapse((NO_DIMENSION,), 6, 6)}
    assert diagnosis(table, "bad") == "collapsed"
    for metric in ("validity.normal", "hole", "path.tortuosity"):
        assert table.leaders(metric) == ()
        one = of(COLLAPSED, metric)
        assert (one.subject, one.verdict) == ("bad", "not comparable")
        assert "collapsed" in one.caveats
    assert (of(COLLAPSED, "r2").verdict, of(COLLAPSED, "r2").caveats) == ("worse", ("collapsed",))


def test_a_model_that_collapsed_or_copies_is_better_in_nothing():
    for metric, numbers in (("active_units", [0.0] * 6), ("memorisation", [1.0] * 6)):
        found = [*steady("ae", r2=0.7, hole=0.5), *steady("bad", r2=0.9, hole=0.1), *rows("bad", metric, numbers)]
        one = of(found, "r2")
        assert (one.question, one.verdict) == ("cost", "not comparable")
        assert set(one.caveats) & {"collapsed", "copies"}
        assert tables(found)[0].leaders("r2") == ()
        worse = [*steady("ae", r2=0.95), *[r for r in found if r.model == "bad"]]
        assert of(worse, "r2").verdict == "worse"


def test_where_nothing_is_valid_codes_alone_lead_nowhere():
    """On real data the leaders of hole were three models without a valid draw."""

    def page(share, definitions=None):
        head = Record(kind="run", detail={"definitions": definitions or {}})
        return [
            head, anchor("ceiling:real", "validity.normal", 0.9),
            *steady("ae", hole=0.7, prior__mmd=0.9, validity__normal=0.5, codes__mine=0.9, r2=0.9),
            *steady("junk", hole=0.1, prior__mmd=0.1, codes__mine=0.5, r2=0.7),
            *rows("junk", "validity.normal", [share] * 6),
        ]  # fmt: skip

    for share, code in ((0.08, True), (0.1, False)):
        found = [replace(r, better="lower") if r.metric == "prior.mmd" else r for r in page(share)]
        (table,) = tables(found)
        assert (table.invalid == {"junk": pytest.approx(share)}) == code
        for metric in ("hole", "prior.mmd"):
            one = of(found, metric)
            assert one.verdict == ("not comparable" if code else "better")
            assert one.caveats == (("nothing valid",) if code else ())
            assert table.leaders(metric) == (() if code else ("junk",))
    # A model of which nothing is valid may still be the worse one, and is compared in all else.
    assert of(page(0.0), "r2").verdict == "worse"
    assert (
        of([*steady("ae", hole=0.05), *[r for r in page(0.0) if (r.model, r.metric) != ("ae", "hole")]], "hole").verdict
        == "worse"
    )
    # Which metrics look at codes alone their declarations say, not their names.
    declared = {
        "codes.mine": {"family": "completeness", "needs": ["train"]},
        "hole": {"family": "completeness", "needs": ["judge"]},
    }
    found = [replace(r, better="lower") if r.metric == "codes.mine" else r for r in page(0.0, declared)]
    assert [of(found, m).verdict for m in ("codes.mine", "hole")] == ["not comparable", "better"]


def test_a_least_effect_travels_in_the_definitions():
    def page(least):
        definitions = {"mine": {"least": least}}
        return [
            Record(kind="run", detail={"definitions": definitions}),
            *rows("a", "mine", 1 + JITTER),
            *rows("b", "mine", 1.5 + JITTER[::-1]),
        ]

    verdicts = {"better": {"absolute": 0.4}, "equivalent": {"absolute": 0.6}, "not told apart": {"relative": 1 / 3}}
    for verdict, least in verdicts.items():
        assert of(page(least), "mine").verdict == verdict
    assert of(page({"absolute": 0.6}), "mine").threshold == 0.6


def test_the_claims_of_a_page_are_adjusted_together():
    """Two models that differ in one metric of one data set, among more and more that are equal."""
    rng = np.random.default_rng(0)
    found = [*rows("a", "m0", rng.normal(1.0, 0.1, 6)), *rows("b", "m0", rng.normal(2.0, 0.1, 6))]
    before = of(found, "m0")
    for k in range(1, 4):
        noise = [r for model in ("a", "b") for r in rows(model, f"m{k}", rng.normal(1.0, 0.1, 6))]
        found += [replace(r, dataset=f"d{k}") for r in noise]
    after = of(found, "m0")
    assert before.adjusted == before.p == after.p
    assert after.adjusted == pytest.approx(4 * after.p)


def test_a_page_of_several_runs_is_one_family():
    one = [*steady("a", hole=0.7, r2=0.6), *steady("b", hole=0.4, r2=0.5)]
    family = claims_together([one, one])
    alone, page = tables(one)[0], tables(one, family)[0]
    assert (alone.claims, page.claims) == ((0, 2), (0, 4))
    first, other = (compare(*t.row("hole")).adjusted for t in (alone, page))
    assert first < other <= 2 * first * (1 + 1e-9)


def test_a_declaration_of_every_metric_has_a_least_effect():
    from latentbench import catalog
    from latentbench.core import Metric
    from latentbench.running.provenance import define

    for name, definition in define(catalog.metrics().values()).items():
        assert set(definition["least"]) <= {"absolute", "relative"}, name
        assert all(v > 0 for v in definition["least"].values()), name
        assert definition["on_request"] is catalog.metrics()[name].on_request, name
    assert define(catalog.metrics().values())["validity.normal"]["least"] == {"absolute": 0.02}
    with pytest.raises(ValueError, match="least is -1"):
        Metric("x", lambda e: 0.0, "higher", (0.0, 1.0), "", "", "", least=-1)


def test_the_rival_is_never_a_collapsed_model_where_another_is_left():
    found = [r for r in COLLAPSED if r.model == "bad"] + [r for r in COLLAPSED if r.model == "ae"]
    assert (of(found, "hole").subject, of(found, "hole").rival) == ("bad", "ae")
    assert (of(found, "r2").subject, of(found, "r2").rival) == ("ae", "bad")


def test_collapse_at_some_seeds_is_collapse():
    units = [8.0, 8.0, 0.0, 8.0, 8.0, 8.0]
    (table,) = tables([*steady("vae", r2=0.8, hole=0.1), *rows("vae", "active_units", units)])
    assert table.collapse == {"vae": Collapse((NO_DIMENSION,), 1, 6)}
    assert table.nothing_left
    (table,) = tables([*steady("vae", hole=0.1), *rows("vae", "r2", [0.8, 0.0, 0.01])])
    assert table.collapse == {"vae": Collapse((MEAN_IMAGE,), 2, 3)}


def test_a_model_that_copies_is_left_out():
    found = [*steady("ae", hole=0.7), *steady("table", hole=0.1), *rows("table", "memorisation", [1.0] * 6)]
    (table,) = tables(found)
    assert table.copies == {"table": 1.0}
    assert [c.model for c in table.row("hole")] == ["ae"]
    assert (of(found, "hole").verdict, of(found, "hole").caveats) == ("not comparable", ("copies",))
    assert 0.5 < COPYING < 1


# --- diagnosis ---


@pytest.mark.parametrize(
    ("kl_mean", "index", "word"),
    [
        (4.1, 0.1, "regular"),
        (13.0, 0.0006, "punctual"),
        (485.0, 0.06, "far apart"),
        (485.0, 0.001, "punctual and far apart"),
    ],
)
def test_diagnosis_of_the_ladder(kl_mean, index, word):
    (table,) = tables(posterior_of(kl_mean=kl_mean, index=index))
    assert diagnosis(table, "vae") == word


def test_diagnosis_by_dimension():
    units = {
        "active": [True, True, True, False],
        "mean_variance": [1.0, 1.0, 100.0, 0.0],
        "noise_variance": [0.2, 1e-6, 0.2, 1.0],
    }
    found = [
        *rows("vae", "active_units", [3.0], detail=units), *rows("vae", "punctual_index", [0.3]),
        *rows("vae", "kl.mean_part", [51.0], detail={"per_dimension": [0.5, 0.5, 50.0, 0.0]}), *rows("vae", "kl", [60.0]),
    ]  # fmt: skip
    (table,) = tables(found)
    assert dimensions(table, "vae") == {"regular": 1, "punctual": 1, "far apart": 1, "collapsed": 1}


def test_one_rule_of_what_is_punctual_and_what_is_far():
    assert flaws(PUNCTUAL, 1.0, FAR) == (False, False)
    assert flaws(0.99 * PUNCTUAL, 1.0, 1.01 * FAR) == (True, True)
    assert flaws(None, 1.0, None) == (False, False)
    assert flaws(0.0, 0.0, 5 * FAR, 8) == (False, False)


@pytest.mark.parametrize(
    ("given", "change", "beta"),
    [
        ({"r2": 0.0, "beta": 4.0}, "beta is too large", 0.4),
        ({"beta": 1.0, "kl": "mean"}, "one half of the KL", None),
        ({"index": 0.0}, "points by design", None),
        ({"index": 0.001, "beta": 0.5}, "beta is too small", 5.0),
        ({"index": 0.001, "beta": 0.0}, "beta is too small", 1.0),
        ({"kl_mean": 485.0, "beta": 1.0}, "means are free", 10.0),
    ],
)
def test_what_to_change_is_a_step_away(given, change, beta):
    (table,) = tables(posterior_of(**given))
    found = advice(table, "vae")
    assert (found.change, found.beta) == (change, beta)


# --- the pieces ---


def test_a_comparison_needs_two_values():
    (gone,), (cell,) = summarise(skipped("ae", "hole", "why")), summarise(rows("vae", "hole", JITTER))
    with pytest.raises(ValueError, match="hole: a claim needs a value of both ae and vae"):
        compare(gone, cell)
    assert standing([cell]) is None


def test_pca_stands_between_the_models():
    found = [*steady("ae", r2=0.8), *steady("vae", r2=0.5), *steady("b", r2=0.66), anchor("baseline:pca", "r2", 0.66)]
    (table,) = tables(found)
    one = cost(table)
    assert (one.above_pca, one.below_pca, one.near_pca) == (("ae",), ("vae",), ("b",))


# --- where they come out ---


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = build(tmp_path_factory.mktemp("findings") / "run", Synthetic())
    return records.read(folder / "records.jsonl")


def test_the_known_order_comes_out(demo):
    found = {f.metric: f for f in findings(demo)}
    assert {m: found[m].verdict for m in ("hole", "validity.normal", "validity.mixture", "kl")} == {
        "hole": "better", "validity.normal": "better", "validity.mixture": "not told apart", "kl": "not comparable",
    }  # fmt: skip
    assert {f.rival for f in found.values() if f.metric not in ("kl", "kl.mean_part", "kl.variance_part")} == {"ae"}


def test_a_result_has_them_as_a_table(demo):
    frame = lb.Result(demo).findings
    assert (
        ", ".join(frame.columns)
        == "question, subject, rival, metric, difference, low, high, p, adjusted, threshold, verdict, caveats"
    )
    assert len(frame) == len(findings(demo))
    assert all(isinstance(c, list) for c in frame.caveats)
    assert frame.set_index("metric").loc["kl", "caveats"] == ["skipped", "no direction"]
    assert list(lb.Result([]).findings.columns) == list(FINDING_COLUMNS)


def test_the_command_line_gives_them_to_machines(demo, tmp_path):
    from latentbench.cli.app import _result
    from latentbench.running.assemble import Outcome

    row = json.loads(json.dumps(_result(Outcome(tmp_path, tmp_path / "report.html", demo, 0), "en")))
    assert len(row["findings"]) == len(findings(demo))
    assert {"question", "subject", "rival", "metric", "verdict", "caveats", "n"} <= set(row["findings"][0])
    assert {a["question"] for a in row["answers"]} == {"continuous", "complete", "reconstructs", "posterior"}
    assert row["verdicts"][0]["headline"].startswith("Continuous? ")
