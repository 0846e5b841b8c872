"""The interquartile mean over datasets: known answers, scipy as a reference, and what is not gathered."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from latentbench.records import SELF_CHECK, Record
from latentbench.stats.cells import summarise
from latentbench.stats.intervals import t_interval
from latentbench.stats.over_datasets import (
    across_datasets,
    anchors,
    interquartile_mean,
    iqm_interval,
    stratified_bootstrap,
)

FLOORS = {"floor:noise": 0.1, "floor:mean": 0.0}


def measured(
    dataset, values, model="vae", better="higher", run="", metric="validity.normal", ceiling=0.9, floors=FLOORS
):
    base = {
        "dataset": dataset,
        "metric": metric,
        "split": "test",
        "better": better,
        "run": run or dataset,
        "latent_dim": 8,
    }
    ends = {**floors, **({} if ceiling is None else {"ceiling:real": ceiling})}
    return [
        *(Record(**base, model=model, seed=s, value=v) for s, v in enumerate(values)),
        *(
            Record(**{**base, "latent_dim": None}, model=name, role=name.partition(":")[0], value=v)
            for name, v in ends.items()
        ),
    ]  # fmt: skip


def gathered(*rows):
    return across_datasets(summarise([r for part in rows for r in part]))


def test_interquartile_mean_known_answers():
    assert interquartile_mean(range(20)) == 9.5
    assert interquartile_mean([5.0]) == 5
    assert interquartile_mean([1.0, 2.0, 100.0]) == pytest.approx(103 / 3)
    assert interquartile_mean([-1e9, 1.0, 2.0, 1e9]) == 1.5
    with pytest.raises(ValueError, match="at least one"):
        interquartile_mean([])


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=50))
def test_interquartile_mean_is_scipys_trimmed_mean(values):
    assert interquartile_mean(values) == pytest.approx(stats.trim_mean(values, 0.25), rel=1e-9, abs=1e-9)


def test_interquartile_mean_goes_along_the_last_axis():
    x = np.random.default_rng(0).normal(size=(3, 4, 13))
    assert interquartile_mean(x) == pytest.approx(stats.trim_mean(x, 0.25, axis=-1))


def test_draws_stay_within_their_stratum():
    """Two datasets a long way apart: a draw that crossed over would change how many values come from each."""
    drawn = stratified_bootstrap([[0.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0]], 200)
    assert drawn.shape == (200,)
    assert (drawn == 0.5).all()


def test_draws_are_scipys_bootstrap_of_one_stratum():
    x = np.random.default_rng(1).normal(size=12)
    ours = stratified_bootstrap([x], 20_000)
    reference = stats.bootstrap((x,), lambda v, axis: stats.trim_mean(v, 0.25, axis=axis), n_resamples=20_000,
                                method="percentile", random_state=np.random.default_rng(2))  # fmt: skip
    assert ours.std(ddof=1) == pytest.approx(reference.standard_error, rel=0.03)
    for found, known in zip(np.quantile(ours, [0.025, 0.975]), reference.confidence_interval, strict=True):
        assert found == pytest.approx(known, abs=0.03 * reference.standard_error + 0.02)


def test_the_same_values_give_the_same_interval():
    held = {"a": {0: 0.1, 1: 0.3, 2: 0.2}, "b": {0: 0.8, 1: 0.7, 2: 0.9}}
    assert iqm_interval(held) == iqm_interval(held)
    moved = iqm_interval({d: {s: 10 * v - 3 for s, v in seeds.items()} for d, seeds in held.items()})
    assert (moved.mean, moved.low, moved.high) == pytest.approx(
        [10 * v - 3 for v in (iqm_interval(held).mean, iqm_interval(held).low, iqm_interval(held).high)]
    )


def test_one_dataset_has_about_the_interval_of_its_mean():
    x = np.random.default_rng(3).uniform(0, 1, 40)
    ours, known = iqm_interval({"a": dict(enumerate(x))}), t_interval(x)
    assert ours.low < known.mean < ours.high
    assert ours.half == pytest.approx(known.half, rel=0.6)


def test_every_interval_over_datasets_says_that_it_is_approximate():
    assert "bootstrap" in iqm_interval({"a": {0: 1.0, 1: 2.0}, "b": {0: 1.0, 1: 2.0}}).approximate


def test_a_dataset_with_one_seed_allows_no_interval():
    found = iqm_interval({"a": {0: 0.2, 1: 0.3}, "b": {0: 0.7}})
    assert (found.low, found.high, found.approximate, found.n) == (None, None, "", 3)
    assert found.mean == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("values", "level", "says"),
    [({}, 0.95, "at least one"), ({"a": {}}, 0.95, "at least one"), ({"a": {0: float("nan"), 1: 1.0}}, 0.95, "finite"),
     ({"a": {0: 1.0, 1: 1.0}}, 0.0, "level")],
)  # fmt: skip
def test_what_has_no_interval_is_refused(values, level, says):
    with pytest.raises(ValueError, match=says):
        iqm_interval(values, level)
    with pytest.raises(ValueError, match="every stratum"):
        stratified_bootstrap([])


def test_scores_lie_between_the_best_floor_and_the_ceiling():
    (found,) = gathered(measured("digits", [0.5, 0.5]), measured("mnist", [0.9, 0.9], ceiling=0.7))
    # (.5 - .1) / (.9 - .1) = .5 and (.9 - .1) / (.7 - .1) = 4/3; the mean image's floor is the lower one.
    assert found.iqm.mean == pytest.approx((0.5 + 4 / 3) / 2)
    assert (found.model, found.metric, found.seeds) == ("vae", "validity.normal", {"digits": 2, "mnist": 2})


def test_where_lower_is_better_a_higher_score_is_still_better():
    ends = {"ceiling": 0.1, "floors": {"floor:noise": 0.9, "floor:mean": 0.8}, "better": "lower"}
    (found,) = gathered(measured("a", [0.1, 0.1], **ends), measured("b", [0.45, 0.45], **ends))
    assert found.iqm.mean == pytest.approx((1.0 + 0.5) / 2)  # the floor is the lowest, .8


@pytest.mark.parametrize(
    "changes",
    [
        {"ceiling": None}, {"floors": {}}, {"ceiling": 0.1}, {"ceiling": 0.05}, {"better": "none"}, {"better": "target"},
    ],
)  # fmt: skip
def test_without_a_floor_below_a_ceiling_nothing_is_gathered(changes):
    assert gathered(measured("a", [0.1, 0.2], **changes), measured("b", [0.1, 0.2], **changes)) == []


def test_a_dataset_without_anchors_is_left_out():
    whole = measured("a", [0.4, 0.5]), measured("b", [0.5, 0.6])
    (found,) = gathered(*whole, measured("c", [0.1, 0.2], ceiling=None))
    assert set(found.seeds) == {"a", "b"}


def test_anchors_are_those_of_the_same_run_and_latent_size():
    cells = summarise([*measured("a", [0.5, 0.6]), *measured("a", [0.5, 0.6], run="other", ceiling=0.8)])
    own = [c for c in cells if c.model == "vae"]
    assert [anchors(cells, c) for c in own] == [(0.1, 0.9), (0.1, 0.8)]


def test_a_metric_that_failed_its_self_check_is_not_gathered():
    check = Record(
        dataset="a",
        run="a",
        metric="validity.normal",
        split="test",
        model=SELF_CHECK,
        role="check",
        value=0.0,
        latent_dim=8,
    )
    assert gathered(measured("a", [0.5, 0.6]), measured("b", [0.5, 0.6]), [check]) == []


def test_one_dataset_is_no_aggregate_and_a_second_run_on_it_is_named():
    assert gathered(measured("a", [0.5, 0.6]), measured("a", [0.1, 0.2], run="again")) == []
    (found,) = gathered(measured("a", [0.5, 0.5]), measured("b", [0.5, 0.5]), measured("a", [0.1, 0.1], run="again"))
    assert found.twice == ("a",)
    assert found.iqm.mean == pytest.approx(0.5)


def test_models_and_metrics_are_apart_and_in_order():
    rows = [
        *measured("a", [0.5, 0.6]), *measured("a", [0.2, 0.3], model="ae"), *measured("b", [0.5, 0.6]),
        *measured("b", [0.2, 0.3], model="ae"), *measured("a", [0.3, 0.3], metric="density"),
        *measured("b", [0.3, 0.3], metric="density"),
    ]  # fmt: skip
    assert [(f.metric, f.model) for f in gathered(rows)] == [
        ("validity.normal", "vae"), ("validity.normal", "ae"), ("density", "vae"),
    ]  # fmt: skip


def test_importing_it_is_cheap():
    code = "import sys, latentbench.stats.over_datasets; print([m for m in ('torch', 'pandas', 'scipy.stats') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
