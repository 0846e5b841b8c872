"""Intervals, pairs and ties, against scipy and by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latentbench.records import Record
from latentbench.stats import leaders, paired, sign_flip, summarise, t_interval


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=12).filter(lambda v: np.std(v) > 1e-3))
def test_t_interval_is_scipys(values):
    from scipy import stats

    ours = t_interval(values)
    low, high = stats.t.interval(0.95, len(values) - 1, np.mean(values), stats.sem(values))
    assert ours.low == pytest.approx(low, rel=1e-9, abs=1e-9)
    assert ours.high == pytest.approx(high, rel=1e-9, abs=1e-9)


def test_one_value_has_no_interval_and_none_is_refused():
    assert t_interval([3.0]).low is None
    with pytest.raises(ValueError, match="at least one"):
        t_interval([])


def test_coverage_on_gaussian_data():
    draws = np.random.default_rng(0).normal(2, 3, (2000, 6))
    hits = [i.low <= 2 <= i.high for i in map(t_interval, draws)]
    assert 0.93 <= np.mean(hits) <= 0.97


def test_paired_is_scipys_and_pairs_by_seed():
    from scipy import stats

    a, b = {0: 1.0, 1: 2.0, 2: 4.0, 9: 100.0}, {2: 3.5, 0: 0.8, 1: 1.1}
    result = paired(a, b)
    reference = stats.ttest_rel([1.0, 2.0, 4.0], [0.8, 1.1, 3.5]).confidence_interval()
    assert result.difference.n == 3
    assert (result.difference.low, result.difference.high) == pytest.approx((reference.low, reference.high))
    with pytest.raises(ValueError, match="in common"):
        paired({0: 1.0}, {1: 1.0})


def test_sign_flip_known_answers():
    assert sign_flip([1.0] * 6) == pytest.approx(2 / 64)
    assert sign_flip([1.0, -1.0]) == 1
    assert sign_flip([0.0, 0.0]) == 1
    assert sign_flip([1.0] * 20) < 0.001


def test_more_seeds_are_enough():
    a = dict(enumerate([1.0, 2.0, 3.0, 1.5]))
    b = dict(enumerate([0.5, 2.2, 2.0, 1.4]))
    result = paired(a, b)
    assert result.tied
    n = result.difference.n + result.more_seeds
    from scipy import stats

    half = stats.t.ppf(0.975, n - 1) * result.difference.sd / math.sqrt(n)
    assert half < abs(result.difference.mean) <= stats.t.ppf(0.975, n - 2) * result.difference.sd / math.sqrt(n - 1)


def rows(model, values, better="higher", **more):
    return [Record(dataset="d", model=model, metric="m", split="test", seed=s, value=v, better=better, **more)
            for s, v in enumerate(values)]  # fmt: skip


def test_leaders_and_ties():
    good, same, bad = [1.0, 1.1, 1.2], [1.1, 1.0, 1.2], [0.1, 0.2, 0.1]
    records = [*rows("a", good), *rows("b", bad), *rows("c", same)]
    assert set(leaders(summarise(records))) == {"a", "c"}
    assert leaders(summarise([*rows("a", good, "lower"), *rows("b", bad, "lower")])) == ("b",)
    assert leaders(summarise([*rows("a", good, "none"), *rows("b", bad, "none")])) == ()
    assert leaders(summarise([*rows("a", good), *rows("b", bad)]), excluded=["a"]) == ("b",)
    near = [*rows("a", [1.0, 1.01, 0.99], "target", target=1.0), *rows("b", [3.0, 3.1, 2.9], "target", target=1.0)]
    assert leaders(summarise(near)) == ("a",)


def test_summarise_counts_what_failed():
    failed = Record(
        dataset="d", model="a", metric="m", split="test", seed=9, status="failed", reason="why", better="higher"
    )
    (cell,) = summarise([*rows("a", [1.0, 2.0]), failed])
    assert (cell.failed, cell.skipped, cell.status, cell.reason) == (1, 0, "ok", "why")
    assert cell.interval.n == 2
