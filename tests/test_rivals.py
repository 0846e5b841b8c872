"""The pages on rivals and on growth say what was measured; exponents, ratios and operations are counted rightly."""

from __future__ import annotations

import importlib.util
import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

ROOT = Path(__file__).parents[1]
BENCHMARKS, DOCS = ROOT / "benchmarks", ROOT / "docs"


def load(path, monkeypatch):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, path.stem, module)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def suite(monkeypatch):
    """The modules of benchmarks/rivals that need no rival, by name."""
    return {
        n: load(BENCHMARKS / "rivals" / f"{n}.py", monkeypatch)
        for n in ("bare", "training", "convolutions", "contests", "race", "page")
    }


@pytest.fixture
def growth(monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "metric_growth", raising=False)
    return load(BENCHMARKS / "growth.py", monkeypatch)


@pytest.fixture
def single(growth):
    """The part of it on single measures."""
    return growth.metric_growth


def rows_of(contest, seconds, passes=2):
    return [
        {
            "contest": contest.name,
            "side": side.name,
            "pass": n,
            "code": "c",
            "seconds": seconds[side.name] * 10**n,
            "cpu": seconds[side.name],
            "mse": 0.01,
            "wall": 1.0,
            "load": 1.0,
            "flops_per_second": 1e9 * seconds[side.name],
        }
        for n in range(passes)
        for side in contest.sides
    ]


def test_the_page_of_rivals_is_made_from_the_committed_results(suite):
    result = json.loads((DOCS / "rivals.json").read_text())
    assert suite["page"].document(result) == (DOCS / "rivals.md").read_text()


def test_the_page_of_growth_is_made_from_the_committed_results(growth):
    result = json.loads((DOCS / "growth.json").read_text())
    assert growth.document(result) == (DOCS / "growth.md").read_text()


def test_the_cost_by_latent_size_shows_the_slowest_and_what_is_not_there(growth, single):
    rows = [
        {"d": d, "metric": name, "seconds": seconds * d, "mib": mib, "load": 1.0}
        for d in (2, 64)
        for name, seconds, mib in (("fast", 0.001, 1.0), ("slow", 0.01, None), (single.ALL, 0.011, 2000.0))
        if (d, name) != (2, "slow")
    ]
    table = single.table(rows, "d", most=1)
    assert table.splitlines()[2:] == ["| slow | – | 0.64 | – |", f"| {single.ALL} | 0.022 | 0.704 | 2,000 |"]
    measured = {"latents_measured": {"on": "2026-11-30", "processor": "P"}, "images": []}
    page = growth.document({**json.loads((DOCS / "growth.json").read_text()), "latents": rows, **measured})
    assert single.table(rows, "d") in page
    assert "of this machine" in page


def test_a_measure_that_grows_too_fast_is_named_and_one_that_takes_no_time_is_not(single):
    """Cubic and felt; cubic, and over before that says anything; quadratic."""
    rows = [
        {"n": n, "metric": name, "seconds": a * (n / 1000) ** p}
        for n in (1000, 10_000)
        for name, a, p in (("cubic", 0.01, 3), ("short", 1e-6, 3), ("square", 0.01, 2))
    ]
    assert list(single.beyond({"images": rows})) == ["cubic (n^3.00)"]
    assert "| cubic | 10,000 | 10 | 3.00 | 3.00 |" in single.exponents({"images": rows})


def test_what_would_take_longer_than_its_budget_is_left_out_and_asked_again_with_a_larger_one(
    single, monkeypatch, tmp_path
):
    """Two measures, one of which takes as many seconds as there are images in hundreds."""
    from latentbench import catalog

    some = dict(list(catalog.find_metrics(()).items())[:2])
    fast, slow = some
    asked = []

    def alone(work):
        n, name = asked[-1]
        return {"seconds": n / 100 if name == slow else 0.1, "mib": None, "status": "ok"}

    def embedded(n):
        monkeypatch.setattr(single, "alone", lambda work: (asked.append((n, names.pop(0))), alone(work))[1])
        names[:] = [m for m in (fast, slow, single.ALL) if (n, m) in left]
        return None, some

    names, out, path = [], {}, tmp_path / "growth.json"
    left = {(n, m) for n in (1000, 9000) for m in (fast, slow, single.ALL)} - {(9000, slow)}
    monkeypatch.setattr(single, "AXES", {"images": ("n", (1000, 9000))})
    monkeypatch.setattr(single, "embedded", embedded)
    single.walk("images", out, path, budget=1000, each=60)
    dropped = [r for r in out["images"] if r["status"] == "left out"]
    assert [(r["n"], r["metric"], r["forecast"]) for r in dropped] == [(9000, slow, 90.0)]
    left = {(9000, slow)}
    single.walk("images", out, path, budget=1000, each=100)
    assert len(asked) == 6
    assert sorted((r["n"], r["seconds"]) for r in out["images"] if r["metric"] == slow) == [(1000, 10.0), (9000, 90.0)]
    assert json.loads(path.read_text()) == out


def test_the_committed_results_are_of_the_same_work(suite):
    """Rivals and latentbench end at about the same error, so none of them did less."""
    rows = json.loads((DOCS / "rivals.json").read_text())["rows"]
    for contest in (c for c in suite["contests"].CONTESTS if c.group != "whole"):
        own = suite["race"].whole_passes(rows, contest)
        errors = {s.name: [r["mse"] for r in own if r["side"] == s.name and "mse" in r] for s in contest.sides}
        means = [sum(v) / len(v) for v in errors.values() if v]
        assert not means or max(means) < 1.15 * min(means), contest.name


def test_every_second_pass_goes_backwards(suite):
    contest = suite["contests"].CONTESTS[0]
    a, b, c = contest.sides
    turns = [s for n in range(4) for s in suite["race"].order(contest, n)]
    assert turns == [a, b, c, c, b, a, a, b, c, c, b, a]


def test_a_pass_that_was_cut_off_does_not_count(suite):
    contest = suite["contests"].CONTESTS[0]
    rows = rows_of(contest, dict.fromkeys([s.name for s in contest.sides], 1.0))
    kept = suite["race"].whole_passes(rows[:-1], contest)
    assert {r["pass"] for r in kept} == {0}
    assert len(kept) == len(contest.sides)
    assert suite["race"].whole_passes(rows, contest) == rows


def test_what_is_finished_is_not_run_again(suite, monkeypatch, tmp_path):
    race, contests = suite["race"], suite["contests"]
    contest = next(c for c in contests.CONTESTS if c.group == "seeds")
    asked = []
    monkeypatch.setattr(race, "ask", lambda side: asked.append(side) or {"seconds": 1.0, "wall": 1.0, "load": 0.0})
    monkeypatch.setattr(race, "version", lambda package: "1")
    out = tmp_path / "rivals.json"
    command = ["race.py", "--out", str(out), "--contests", contest.name, "--passes"]
    for passes, runs in (("2", 4), ("2", 4), ("3", 6)):
        monkeypatch.setattr(sys, "argv", [*command, passes])
        race.main()
        assert len(asked) == runs
    # The last process of the last pass never came back: that pass is run anew.
    held = json.loads(out.read_text())
    out.write_text(json.dumps(held | {"rows": held["rows"][:-1]}))
    race.main()
    assert len(asked) == 8
    assert len(json.loads(out.read_text())["rows"]) == 6


def test_without_mnist_its_contests_are_left_out_with_the_reason(suite, monkeypatch, tmp_path):
    race = suite["race"]
    monkeypatch.delenv("LATENTBENCH_DATA", raising=False)
    monkeypatch.setattr(race, "version", lambda package: "1")
    monkeypatch.setattr(race, "ask", lambda side: pytest.fail("nothing is to be run"))
    out = tmp_path / "rivals.json"
    monkeypatch.setattr(sys, "argv", ["race.py", "--out", str(out), "--contests", "MNIST, AE, 1 thread"])
    race.main()
    assert "not measured (LATENTBENCH_DATA is not set" in suite["page"].document(json.loads(out.read_text()))


def test_ratios_are_taken_pass_by_pass(suite):
    page = suite["page"]
    contest = next(c for c in suite["contests"].CONTESTS if len(c.sides) == 5)
    seconds = dict(zip([s.name for s in contest.sides], (2.0, 8.0, 1.0, 1.0, 4.0), strict=True))
    result = {"measured": "2026-01-01", "machine": {"processor": "p", "cores": 2, "python": "3"}, "versions": {}}
    text = page.document({**result, "skipped": {}, "rows": rows_of(contest, seconds)})
    # Each pass took ten times as long as the one before, on every side: the ratios know nothing of it.
    assert f"| {contest.name} | Pythae | 1 | 44 | 14.7 | 4.00 (4.00 to 4.00) | 4.00 (4.00 to 4.00) |" in text
    assert f"| {contest.name} | bare loop | 1 | 5.5 | 1.83 | 0.50 (0.50 to 0.50) |" in text
    assert f"| {contest.name} | latentbench | 2.0 | 4.0 | 0.50 (0.50 to 0.50) |" in text


@pytest.mark.parametrize("model", ["ae", "vae"])
@pytest.mark.parametrize("who", ["latentbench", "bare loop"])
def test_operations_are_those_that_torch_counts(suite, who, model):
    training = suite["training"]
    setting = training.Setting("digits", model, 8, 64, 128, 2)
    train, val = torch.rand(128, 1, 8, 8), torch.rand(50, 1, 8, 8)
    call = training.SIDES[who](setting, train, val)
    with FlopCounterMode(display=False) as counter:
        call()
    assert counter.get_total_flops() == setting.flops(64, 50)


@pytest.mark.parametrize("who", ["latentbench", "bare loop"])
def test_operations_of_convolutions_are_those_that_torch_counts(suite, who, monkeypatch):
    convolutions = suite["convolutions"]
    monkeypatch.setattr(convolutions, "BATCH", 2)
    call = convolutions.SIDES[who](convolutions.images(4), convolutions.images(3), 1)
    with FlopCounterMode(display=False) as counter:
        call()
    assert counter.get_total_flops() == convolutions.flops(4, 3)


def test_all_sides_train_the_same_network_of_convolutions(suite, monkeypatch):
    """From the same weights, by the same loss: after a step on all images nothing but draws and rounding tells them apart."""
    convolutions = suite["convolutions"]
    monkeypatch.setattr(convolutions, "BATCH", 8)
    x, found = convolutions.images(8), {}
    for who in convolutions.SIDES:
        encode, decode = convolutions.SIDES[who](x, x, 1)()
        mu, log_var = encode(x)
        assert mu.shape == log_var.shape == (8, convolutions.LATENT)
        assert decode(mu).shape == x.shape
        found[who] = convolutions.quality((encode, decode), x)["mse"]
    assert max(found.values()) < 1.02 * min(found.values())


@pytest.mark.parametrize("power", [0.0, 1.0, 1.7, 2.0])
def test_a_power_law_has_its_exponent(growth, power):
    found = growth.exponent([(x, 3 * x**power) for x in (10, 20, 80, 1000)])
    for value in (found.mean, found.low, found.high):
        assert value == pytest.approx(power, abs=1e-9)


def test_the_interval_of_an_exponent_is_that_of_a_regression(growth):
    from scipy.stats import linregress, t

    x = np.array([1.0, 2.0, 4.0, 8.0, 16.0])
    y = x**1.5 * np.exp([0.1, -0.2, 0.05, 0.1, -0.1])
    found, known = growth.exponent(zip(x, y, strict=True)), linregress(np.log(x), np.log(y))
    assert found.mean == pytest.approx(known.slope)
    assert found.high - found.mean == pytest.approx(t.ppf(0.975, 3) * known.stderr)
    assert found.mean - found.low == pytest.approx(t.ppf(0.975, 3) * known.stderr)


def test_two_sizes_have_a_slope_and_no_interval(growth):
    found = growth.exponent([(2, 3), (4, 12)])
    assert math.isclose(found.mean, 2)
    assert found.low is None


@pytest.mark.parametrize("points", [[(2, 1.0)], [(2, 1.0), (2, 2.0)], [(2, 1.0), (4, 0.0)]])
def test_no_exponent_from_one_size_or_no_time(growth, points):
    with pytest.raises(ValueError, match="two sizes"):
        growth.exponent(points)
