"""Intervals, pairs and ties, against scipy and by simulation."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from latentbench.records import Record
from latentbench.stats.cells import (
    Interval,
    holm,
    paired,
    references,
    seeds_to_see,
    sign_flip,
    summarise,
    t_interval,
    t_test,
    within_spread,
)
from latentbench.stats.families import Family, _Sorted, chance, chances, together
from latentbench.stats.findings.claims import compare, difference, leaders, standing
from latentbench.stats.intervals import EXACT, MOST_SEEDS
from latentbench.stats.least import LeastEffect, recorded

numbers = st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=12).filter(lambda v: np.std(v) > 1e-3)


def rows(model, values, better="higher", **more):
    fields = {"dataset": "d", "metric": "m", "split": "test", **more}
    return [Record(model=model, seed=s, value=v, better=better, **fields) for s, v in enumerate(values)]


def cell(model, values, better="higher", **more):
    (found,) = summarise(rows(model, values, better, **more))
    return found


def once(model, value, better="higher", **detail):
    (found,) = summarise([Record(dataset="d", model=model, metric="m", value=value, better=better, detail=detail)])
    return found


@given(numbers)
def test_t_interval_is_scipys(values):
    ours = t_interval(values)
    low, high = stats.t.interval(0.95, len(values) - 1, np.mean(values), stats.sem(values))
    assert ours.low == pytest.approx(low, rel=1e-9, abs=1e-9)
    assert ours.high == pytest.approx(high, rel=1e-9, abs=1e-9)
    assert ours.half == pytest.approx((high - low) / 2)


def test_level_is_heeded():
    x = [1.0, 2.0, 4.0, 3.0]
    low, high = stats.ttest_1samp(x, 0).confidence_interval(0.8)
    assert (t_interval(x, 0.8).low, t_interval(x, 0.8).high) == pytest.approx((low, high))


def test_one_value_has_no_interval():
    one = t_interval([3.0])
    assert (one.mean, one.low, one.high, one.sd, one.half, one.n, one.side) == (3.0, None, None, None, None, 1, 0)


@pytest.mark.parametrize(
    ("values", "level", "says"),
    [
        ([], 0.95, "at least one"),
        ([1.0, math.nan], 0.95, "finite"),
        ([math.inf], 0.95, "inf"),
        ([1.0], 1.0, "level 1.0"),
    ],
)
def test_what_has_no_interval_is_refused(values, level, says):
    with pytest.raises(ValueError, match=says):
        t_interval(values, level)


def test_coverage_on_gaussian_data():
    draws = np.random.default_rng(0).normal(2, 3, (2000, 6))
    hits = [i.low <= 2 <= i.high for i in map(t_interval, draws)]
    assert 0.93 <= np.mean(hits) <= 0.97


def test_the_interval_is_wider_than_the_normal_one_by_what_six_seeds_cost():
    i = t_interval([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    assert i.half * math.sqrt(6) / i.sd == pytest.approx(2.5705818)


@pytest.mark.parametrize(("low", "high", "side"), [(0.1, 0.2, 1), (-0.2, -0.1, -1), (-0.1, 0.1, 0), (0.0, 0.1, 0)])
def test_side(low, high, side):
    assert Interval((low + high) / 2, low, high, 0.1, 3).side == side


def test_paired_is_scipys_and_pairs_by_seed():
    a, b = {0: 1.0, 1: 2.0, 2: 4.0, 9: 100.0}, {2: 3.5, 0: 0.8, 1: 1.1}
    result = paired(a, b)
    reference = stats.ttest_rel([1.0, 2.0, 4.0], [0.8, 1.1, 3.5]).confidence_interval()
    assert result.difference.n == 3
    assert (result.difference.low, result.difference.high) == pytest.approx((reference.low, reference.high))
    with pytest.raises(ValueError, match="in common"):
        paired({0: 1.0}, {1: 1.0})


def test_pairing_finds_what_two_intervals_that_overlap_hide():
    hard = np.random.default_rng(1).normal(0, 1, 6)
    a, b = dict(enumerate(hard + 0.1)), dict(enumerate(hard + np.array([0, 1, -1, 1, -1, 0]) * 0.01))
    assert not paired(a, b).tied
    assert t_interval(a.values()).low < t_interval(b.values()).high


@given(numbers)
def test_swapping_the_two_mirrors_the_difference(values):
    a, b = dict(enumerate(values)), dict.fromkeys(range(len(values)), 0.5)
    there, back = paired(a, b), paired(b, a)
    assert there.difference.mean == pytest.approx(-back.difference.mean)
    assert there.tied == back.tied
    assert there.sign_flip_p == pytest.approx(back.sign_flip_p)


def test_equal_models_and_single_seeds_are_tied():
    same = paired({0: 1.0, 1: 2.0}, {0: 1.0, 1: 2.0})
    assert (same.tied, same.sign_flip_p) == (True, 1.0)
    one = paired({0: 1.0}, {0: 2.0})
    assert (one.tied, one.sign_flip_p) == (True, 1.0)


def test_sign_flip_known_answers():
    assert sign_flip([1.0] * 6) == pytest.approx(2 / 64)
    assert sign_flip([-0.3, -1.0, -2.0, -0.1, -5.0, -0.7]) == pytest.approx(2 / 64)
    assert sign_flip([1.0, -1.0]) == 1
    assert sign_flip([0.0, 0.0]) == 1
    assert sign_flip([1.0] * 20) == pytest.approx(2**-19)
    with pytest.raises(ValueError, match="at least one"):
        sign_flip([])


@given(st.lists(st.integers(-50, 50), min_size=1, max_size=8))
def test_sign_flip_goes_through_all_patterns(differences):
    seen = abs(sum(differences))
    patterns = list(itertools.product((1, -1), repeat=len(differences)))
    far = sum(abs(sum(s * d for s, d in zip(p, differences, strict=True))) >= seen for p in patterns)
    assert sign_flip([d / 7 for d in differences]) == pytest.approx(far / len(patterns))


def test_sign_flip_is_scipys_permutation_test():
    d = np.random.default_rng(2).normal(0.3, 1, 9)
    reference = stats.permutation_test((d,), lambda x: abs(x.mean()), permutation_type="samples", alternative="greater",
                                       n_resamples=np.inf, vectorized=False)  # fmt: skip
    assert sign_flip(d) == pytest.approx(reference.pvalue)


def test_many_seeds_are_sampled_and_agree_with_all_patterns(monkeypatch):
    d = np.random.default_rng(3).normal(0.35, 1, EXACT + 1)
    sampled = sign_flip(d)
    assert sampled == sign_flip(d)
    monkeypatch.setattr("latentbench.stats.intervals.EXACT", EXACT + 1)
    assert sampled != sign_flip(d)
    assert sampled == pytest.approx(sign_flip(d), abs=0.006)


# --- how many seeds ---


@pytest.mark.parametrize(("sd", "effect", "alpha"), [(1.0, 1.0, 0.05), (0.03, 0.02, 0.01), (2.0, 0.4, 0.001)])
def test_so_many_seeds_see_the_effect_and_one_fewer_does_not(sd, effect, alpha):
    """Power of the paired t-test, by simulation."""
    n = seeds_to_see(sd, effect, alpha)
    rng = np.random.default_rng(4)

    def found(count):
        x = rng.normal(effect, sd, (20_000, count))
        return (stats.ttest_1samp(x, 0, axis=1).pvalue <= alpha).mean()

    assert found(n) >= 0.8 - 0.01
    assert found(n - 1) <= 0.8 + 0.01


def test_seeds_to_see_known_answers():
    # Cohen 1988: d = .5 and d = 1 at 5 %, two-sided, with a power of .8.
    assert seeds_to_see(1.0, 0.5) == 34
    assert seeds_to_see(1.0, 1.0) == 10
    assert seeds_to_see(10.0, 5.0) == 34
    assert seeds_to_see(1.0, 100.0) == 2
    assert seeds_to_see(0.0, 1.0) == 2
    assert seeds_to_see(1.0, 0.01) is None
    assert seeds_to_see(1.0, 0.0) is None


@given(st.floats(0.01, 3), st.floats(0.01, 3), st.floats(1e-6, 0.2))
def test_more_seeds_for_less_chance_of_error_and_for_smaller_effects(sd, effect, alpha):
    n = seeds_to_see(sd, effect, alpha) or MOST_SEEDS + 1
    assert (seeds_to_see(sd, effect, alpha / 10) or MOST_SEEDS + 1) >= n
    assert (seeds_to_see(sd, effect / 2, alpha) or MOST_SEEDS + 1) >= n


@pytest.mark.parametrize("odd", [(1.0, 1.0, 0.0), (1.0, 1.0, 1.0), (-1.0, 1.0, 0.05), (1.0, -1.0, 0.05)])
def test_what_has_no_power_is_refused(odd):
    with pytest.raises(ValueError, match="alpha"):
        seeds_to_see(*odd)


# --- the least effect that matters ---


@pytest.mark.parametrize(
    ("bounds", "unit", "expected"),
    [
        ((0.0, 1.0), "share", 0.02),
        ((-1.0, 1.0), "share", 0.02),
        ((None, 1.0), "share of variance", 0.02),
        ((0.0, None), "share of turn", 0.2),
        ((0.0, 15.0), "changes", 0.2),
        ((None, None), "dB", 0.2),
    ],
)
def test_the_least_effect_of_what_declares_none(bounds, unit, expected):
    for absent in ({}, {"least": None}, {"least": {}}):
        assert recorded(absent, bounds, unit).between(-4.0, 2.0) == pytest.approx(expected)


def test_the_least_effect_that_is_declared():
    assert LeastEffect(0.5, None).between(100.0, 90.0) == 0.5
    assert LeastEffect(None, 0.1).between(100.0, 90.0) == pytest.approx(10.0)
    assert LeastEffect(0.5, 0.1).between(1e-3, 1e-4) == 0.5
    for declared in (LeastEffect(0.5, None), LeastEffect(None, 0.1), LeastEffect(0.5, 0.1), LeastEffect(0.0, None)):
        assert recorded({"least": declared.to_json()}, (0.0, 1.0), "share") == declared


# --- claims together ---


def test_the_chance_of_a_pair_is_scipys():
    rng = np.random.default_rng(5)
    d = rng.normal(0.4, 1, (50, 6))
    assert chances(d, np.ones(50)) == pytest.approx(stats.ttest_1samp(d, 0, axis=1).pvalue, rel=1e-9)
    for a, b in rng.normal(0.4, 1, (20, 2, 6)):
        assert chance(cell("a", a), cell("b", b)) == pytest.approx(stats.ttest_rel(a, b).pvalue, rel=1e-9)
        assert chance(cell("a", a), cell("b", b)) == pytest.approx(
            t_test(paired(dict(enumerate(a)), dict(enumerate(b))).difference)
        )


def test_one_and_the_same_difference_at_every_seed_is_no_certainty():
    """A t-test divides by a spread of 0 there; what is left of rounding is no spread either."""
    for shift in (0.1, 1.0, 1e-3):
        a = [0.3 + k / 7 for k in range(6)]
        assert chance(cell("a", a), cell("b", [v + shift for v in a])) == pytest.approx(4.0**-5)
    assert chance(cell("a", [8.0] * 6), cell("b", [8.0] * 6)) == 1.0
    assert chance(cell("a", [0.1 + 0.2] * 6), cell("b", [0.3] * 6)) == 1.0


def test_equal_draws_give_one_difference_as_seldom_as_is_said():
    """The worst case: two values, each with probability 1/2."""
    rng = np.random.default_rng(6)
    a, b = rng.integers(0, 2, (2, 200_000, 3))
    alike = ((a - b) == (a - b)[:, :1]).all(1) & (a != b)[:, 0]
    assert 0 < alike.mean() <= 4.0**-2


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_a_family_adjusts_as_holm_does(p):
    family = Family(())
    family.__dict__["_chances"] = (_Sorted(p), _Sorted([]))
    assert [family.adjusted(x, True) for x in p] == pytest.approx(holm(p))
    assert family.tells(True) == (min(holm(p)) <= 0.05)
    assert family.adjusted(0.2, False) == 0.2


def test_headlines_are_a_family_and_all_metrics_another():
    head = Record(kind="run", detail={"definitions": {"h": {"headline": ["complete"]}}})
    rng = np.random.default_rng(7)
    found = [
        r for metric in ("h", "x", "y") for model in ("a", "b", "c") for r in rows(model, rng.normal(0, 1, 6), metric=metric)
    ]  # fmt: skip
    (cells,) = together(summarise([head, *found]))
    assert cells[0].family.size == (3, 9)
    by = {(c.model, c.metric): c for c in cells}
    p = {m: [chance(by[a, m], by[b, m]) for a, b in ("ab", "ac", "bc")] for m in "hxy"}
    told = {m: [compare(by[a, m], by[b, m]).adjusted for a, b in ("ab", "ac", "bc")] for m in "hxy"}
    assert told["h"] == pytest.approx(holm(p["h"]))
    assert [*told["x"], *told["y"]] == pytest.approx(holm([*p["h"], *p["x"], *p["y"]])[3:])


def test_a_family_holds_models_of_one_run_one_data_set_and_one_size_against_one_another():
    x = [1.0, 2.0, 4.0]
    one = rows("a", x) + rows("b", x[::-1])
    other = [replace(r, dataset="e", run="second") for r in one]
    sizes = [replace(r, latent_dim=d) for r, d in zip(one, [2] * 3 + [8] * 3, strict=True)]
    assert Family(summarise([*one, *other])).size == (0, 2)
    assert Family(summarise(sizes)).size == (0, 0)
    assert Family(summarise([*one, *rows("baseline:pca", x, role="baseline")])).size == (0, 1)
    assert Family(summarise([*rows("a", x[:1]), *rows("b", x[:1])])).size == (0, 0)


# --- who leads ---


def many(**values):
    """One cell a model."""
    return summarise([r for model, x in values.items() for r in rows(model, x)])


def test_a_leading_group_is_told_from_every_outsider():
    j = np.array([-0.02, 0.01, 0.0, 0.02, -0.01, 0.0])
    good, near, bad = 1 + j, 1.01 + j[::-1], 0.5 + np.roll(j, 2)
    assert set(leaders(many(a=good, b=near, c=bad))) == {"a", "b"}
    assert leaders(many(a=good, c=bad)) == ("a",)
    # A model that is told from neither keeps the best from leading alone.
    wide = [1.6, 0.2, 1.4, 0.1, 0.9, 0.4]
    assert set(leaders(many(a=good, c=bad, w=wide))) == {"a", "c", "w"}


def test_one_in_the_middle_that_is_told_from_neither_side_leaves_no_leader():
    """Best and worst are told apart, and still no group leads: told from the worst, the best is not told from the middle."""
    j = np.array([-0.3, 0.2, 0.1, 0.3, -0.2, -0.1])
    best, middle, worst = 1.5 + j, 1.25 + np.roll(j, 2), 1.0 + np.roll(j, 3)
    cells = many(a=best, b=middle, c=worst)
    assert [compare(*pair).side for pair in itertools.combinations(cells, 2)] == [0, -1, 0]
    assert set(leaders(cells)) == {"a", "b", "c"}


def test_below_the_least_effect_nothing_leads_however_sure():
    """100 % against 100 %, ahead; best at 1 + 5e-12 against 1 + 9e-12: both were sentences of a page."""
    j = np.array([1.0, 2.0, 3.0, 2.0, 1.0, 2.0])
    for a, b, more in (
        (1 - 1e-4 * j, 1 - 3e-4 * j, {"bounds": (0.0, 1.0)}),
        (1 + 5e-12 * j, 1 + 9e-12 * j, {"better": "lower"}),
        (100 + 0.01 * j, 101 + 0.01 * j[::-1], {}),
    ):
        cells = summarise([*rows("a", a, **more), *rows("b", b, **more)])
        assert compare(*cells).outcome == "equivalent"
        assert set(leaders(cells)) == {"a", "b"}
        assert standing(cells) == ((), ("a", "b"), False, True)


def test_a_difference_below_the_least_effect_whose_interval_reaches_beyond_is_not_told_apart():
    j = np.array([-0.02, 0.01, 0.0, 0.02, -0.01, 0.0])
    cells = summarise([*rows("a", 0.5 + j, bounds=(0.0, 1.0)), *rows("b", 0.51 + j[::-1], bounds=(0.0, 1.0))])
    c = compare(*cells)
    assert (c.outcome, c.threshold, c.side) == ("not told apart", 0.02, 0)
    assert c.seeds_needed == seeds_to_see(c.difference.sd, 0.02, 0.05)


def test_what_may_not_be_called_better_is_barred_and_may_be_called_worse():
    x, y = [1.0, 1.1, 1.2, 1.0], [0.5, 0.61, 0.7, 0.52]
    good, bad = many(a=x, b=y)
    barred = replace(good, barred=("nothing valid",))
    assert [compare(bad, barred).outcome, compare(barred, bad).outcome] == ["barred", "barred"]
    assert compare(bad, barred).bars == ("nothing valid",)
    assert compare(good, replace(bad, barred=("nothing valid",))).outcome == "lower"
    assert leaders([barred, bad]) == ()
    assert leaders([barred, bad, replace(bad, model="c")]) != ("a",)


def test_an_alone_or_excluded_rival_leaves_nobody_to_lead():
    """ "Best" in bold without a rival, at .003 +- .029, was on a page."""
    assert leaders(many(a=[1.0, 1.1], b=[0.1, 0.2]), excluded=["b"]) == ()


def test_leaders_in_each_direction():
    good, bad = [1.0, 1.1, 1.2], [0.1, 0.2, 0.1]
    assert leaders(summarise([*rows("a", good, "lower"), *rows("b", bad, "lower")])) == ("b",)
    assert leaders(summarise([*rows("a", good, "none"), *rows("b", bad, "none")])) == ()
    near = [*rows("a", [1.0, 1.01, 0.99], "target", target=1.0), *rows("b", [3.0, 3.1, 2.9], "target", target=1.0)]
    assert leaders(summarise(near)) == ("a",)


def test_errors_on_both_sides_of_a_target_do_not_cancel():
    far = cell("far", [0.0, 2.0, 0.1, 1.9], "target", target=1.0)
    near = cell("near", [1.2, 1.21, 1.19, 1.2], "target", target=1.0)
    assert leaders([far, near]) == ("near",)


def test_nothing_leads_alone_and_references_never():
    assert leaders([cell("a", [1.0, 2.0])]) == ()
    assert leaders([cell("a", [1.0, 1.1]), cell("baseline:pca", [5.0, 5.1], role="baseline")]) == ()
    assert leaders([cell("a", [1.0, 1.1]), cell("baseline:mine", [5.0, 5.01])]) == ("baseline:mine",)
    assert leaders([cell("a", [1.0, 1.1]), cell("b", [0.0, 0.1])], excluded=["a", "b"]) == ()


def test_nats_of_different_likelihoods_rank_nobody():
    density, mass = {"detail": {"likelihood": "gaussian"}}, {"detail": {"likelihood": "bernoulli"}}
    high, low = [24.0, 24.1, 24.2], [-25.0, -25.1, -25.2]
    assert leaders([cell("a", high, **density), cell("b", low, **density)]) == ("a",)
    assert leaders([cell("a", high, **density), cell("b", low, **mass)]) == ()
    assert difference(cell("a", high, **density), cell("b", low, **mass)) is None
    assert difference(cell("a", high, **density), cell("b", low, **density)) is not None


def test_one_seed_ranks_nobody():
    assert set(leaders([cell("a", [1.0]), cell("b", [0.0])])) == {"a", "b"}


def test_exact_counts_and_timings_that_were_measured_once():
    assert leaders([once("a", 100.0, "lower"), once("b", 90.0, "lower")]) == ("b",)
    assert compare(once("a", 100.0), once("b", 100.0)).outcome == "equivalent"
    assert compare(once("a", 100.0), once("b", 101.0)).outcome == "equivalent"
    assert set(leaders([once("a", 100.0), once("b", 101.0)])) == {"a", "b"}
    fast, slow = once("a", 120.0, spread=0.05, rankable=True), once("b", 100.0, spread=0.05, rankable=True)
    assert leaders([fast, slow]) == ("a",)
    assert within_spread(fast, once("b", 115.0, spread=0.05, rankable=True))
    assert within_spread(fast, once("b", 10.0, spread=0.9, rankable=False))
    assert leaders([fast, once("b", 10.0, spread=0.9, rankable=False)]) == ()  # there is nobody to rank it among


def test_summarise_counts_what_failed():
    failed = Record(
        dataset="d", model="a", metric="m", split="test", seed=9, status="failed", reason="why", better="higher"
    )
    (found,) = summarise([*rows("a", [1.0, 2.0]), failed])
    assert (found.failed, found.skipped, found.status, found.reason) == (1, 0, "ok", "why")
    assert found.interval.n == 2


def test_summarise_of_what_has_no_value():
    base = {"dataset": "d", "model": "a", "metric": "m", "split": "test"}
    (found,) = summarise(
        [
            Record(**base, seed=0, status="skipped", reason="no judge"),
            Record(**base, seed=1, status="failed", reason="NaN"),
            Record(**base, seed=2, status="skipped", reason="no judge"),
        ]
    )
    assert (found.status, found.reason, found.interval) == ("failed", "no judge; NaN", None)
    assert (found.failed, found.skipped, dict(found.values)) == (1, 2, {})


def test_summarise_keeps_apart_what_differs_and_keeps_the_order():
    records = [
        *rows("b", [1.0]), *rows("a", [1.0]), *rows("a", [2.0], split="train"), *rows("a", [3.0], metric_params={"k": 5}),
        *rows("a", [4.0], run="other"), Record(kind="curve", model="a", metric="loss"), *rows("b", [5.0, 6.0])[1:],
    ]  # fmt: skip
    found = summarise(records)
    assert [(c.model, list(c.values.values())) for c in found] == [
        ("b", [1.0, 6.0]), ("a", [1.0]), ("a", [2.0]), ("a", [3.0]), ("a", [4.0]),
    ]  # fmt: skip


def test_references_by_name():
    anchors = [
        Record(dataset=d, model=f"{role}:{name}", role=role, metric="m", split="test", value=v)
        for d, role, name, v in (
            ("d", "ceiling", "real", 0.9),
            ("d", "floor", "noise", 0.0),
            ("e", "floor", "mean", 0.1),
        )
    ]
    judge = Record(dataset="d", model="judge", role="judge", metric="m", split="test", value=0.7)
    cells = summarise([*rows("a", [1.0]), *rows("floor:mine", [2.0]), *anchors, judge])
    assert [c.model for c in cells if c.is_model] == ["a", "floor:mine"]
    found = references(cells, "d", "m")
    assert {name: c.interval.mean for name, c in found.items()} == {"ceiling:real": 0.9, "floor:noise": 0.0}
    assert references(cells, "d", "other") == {}


def test_importing_it_is_cheap():
    code = "import sys, latentbench.stats; print([m for m in ('torch', 'pandas', 'scipy.stats') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# --- bounds, p-values, families ---


def test_an_interval_is_cut_at_the_bounds_and_labelled_near_them():
    cut = t_interval([0.0, 0.0, 0.01, 0.0, 0.03, 0.0], bounds=(0.0, 1.0))
    whole = t_interval([0.0, 0.0, 0.01, 0.0, 0.03, 0.0])
    assert whole.low < 0 == cut.low
    assert (cut.mean, cut.high, cut.half, cut.sd) == pytest.approx((whole.mean, whole.high, whole.half, whole.sd))
    assert "bound" in cut.approximate
    assert whole.approximate == ""


@pytest.mark.parametrize(
    ("values", "bounds", "labelled"),
    [
        ([0.4, 0.5, 0.6], (0.0, 1.0), False),
        ([0.96, 0.98, 1.0], (0.0, 1.0), True),
        ([0.96, 0.98, 1.0], (0.0, None), False),
        ([0.96, 0.98, 1.0], (None, None), False),
        ([1.0, 1.0, 1.0], (0.0, 1.0), True),
        ([0.5, 0.5, 0.5], (0.0, 1.0), False),
        ([1.0, 1.0, 1.0], (0.0, None), False),
        ([3.0, 4.0, 5.0], (1.0, None), False),  # three standard deviations above the bound
        ([2.0, 3.0, 4.0], (1.0, None), True),  # two: as close as is called close
        ([0.0], (0.0, 1.0), False),  # one value has no interval that could be approximate
    ],
)
def test_what_is_close_to_a_bound(values, bounds, labelled):
    assert bool(t_interval(values, bounds=bounds).approximate) == labelled


@given(st.lists(st.floats(0, 1), min_size=2, max_size=8))
def test_a_cut_interval_holds_its_mean_and_keeps_within_the_bounds(values):
    i = t_interval(values, bounds=(0.0, 1.0))
    assert -1e-12 <= i.low <= i.mean <= i.high <= 1 + 1e-12


def test_cells_take_the_bounds_of_their_metric():
    near = cell("a", [0.0, 0.001, 0.0], bounds=(0.0, 1.0))
    assert near.interval.low == 0
    assert near.interval.approximate
    assert cell("a", [0.0, 0.001, 0.0]).interval.low < 0


@given(numbers)
def test_t_test_is_scipys_and_agrees_with_the_interval(values):
    d = t_interval(values)
    assert t_test(d) == pytest.approx(stats.ttest_1samp(values, 0).pvalue, rel=1e-6, abs=1e-12)
    if abs(t_test(d) - 0.05) > 1e-6:
        assert (t_test(d) < 0.05) == (d.side != 0)


def test_t_test_where_there_is_nothing_to_test():
    assert t_test(t_interval([1.0])) == 1
    assert t_test(t_interval([0.0, 0.0])) == 1
    assert t_test(t_interval([1.0, 1.0])) == 0


def test_holm_known_answers():
    # Holm 1979: (K - i + 1) p_(i), never falling: .01 * 4, .013 * 3, .02 * 2, .04 * 1.
    assert holm([0.01, 0.04, 0.013, 0.02]) == pytest.approx([0.04, 0.04, 0.04, 0.04])
    assert holm([0.001, 0.5, 0.012]) == pytest.approx([0.003, 0.5, 0.024])
    assert holm([0.3, 0.6, 0.5]) == pytest.approx([0.9, 1.0, 1.0])
    assert holm([0.03]) == [0.03]
    assert holm([]) == []
    with pytest.raises(ValueError, match=r"1\.2"):
        holm([0.1, 1.2])
    with pytest.raises(ValueError, match="nan"):
        holm([math.nan])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_the_vectorised_formula_of_statsmodels(p):
    """multipletests(p, method="holm"): running maximum of p sorted times K, K - 1, .. 1, cut at 1, in the given order."""
    order = np.argsort(p, kind="stable")
    known = np.empty(len(p))
    known[order] = np.clip(np.maximum.accumulate(np.asarray(p)[order] * np.arange(len(p), 0, -1)), 0, 1)
    assert holm(p) == pytest.approx(known.tolist())
    assert all(after >= before for before, after in zip(p, holm(p), strict=True))


def test_the_least_seeds_for_a_family_of_claims():
    """n >= 1 + log2(K / .05): what the exact sign-flip test needs before Holm can let K claims through."""
    for claims in (1, 4, 10):
        least = math.ceil(1 + math.log2(claims / 0.05))
        assert max(holm([sign_flip([1.0] * least)] * claims)) <= 0.05
        assert max(holm([sign_flip([1.0] * (least - 1))] * claims)) > 0.05
