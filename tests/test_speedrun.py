"""The speedrun: the clock stands still during looks, the ELBO is the closed form, entries train the network of the rules."""

from __future__ import annotations

import importlib.util
import json
import math
import sys
import threading
from pathlib import Path

import pytest
import torch
from torch import nn

from latentbench.models.vae import VariationalAutoencoder
from latentbench.randomness import seeded

SPEEDRUN = Path(__file__).parents[1] / "benchmarks" / "speedrun"
TRAIN = 0.2 * torch.rand((512, 1, 28, 28), generator=seeded(0, "train"))
TEST = 0.2 * torch.rand((64, 1, 28, 28), generator=seeded(0, "test"))


@pytest.fixture
def run(monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "rules", raising=False)
    spec = importlib.util.spec_from_file_location("speedrun_run", SPEEDRUN / "run.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def rules(run):
    return sys.modules["rules"]


def test_the_elbo_of_a_model_that_knows_nothing_is_that_of_a_coin_at_every_pixel(rules):
    """Known: posterior N(0, I), every pixel 1/2: 784 ln 2 nats and no KL. With means of 1 the KL is a half each."""
    zeros = torch.zeros(len(TEST), 16)
    assert rules.elbo(lambda x: (zeros, zeros), lambda z: torch.zeros(len(z), 784), TEST) == pytest.approx(
        -784 * math.log(2), rel=1e-6
    )
    assert rules.elbo(lambda x: (zeros + 1, zeros), lambda z: torch.zeros(len(z), 784), TEST) == pytest.approx(
        -784 * math.log(2) - 8, rel=1e-6
    )


def test_the_elbo_is_the_loss_of_latentbenchs_own_model(rules):
    """Another way to the same number, of the same draws."""
    model = VariationalAutoencoder((1, 28, 28), 16, depth=1, width=400, likelihood="bernoulli").eval()
    with torch.no_grad():
        loss = float(model.loss(TEST, torch.Generator().manual_seed(0)).total)
    assert -rules.elbo(model.encode, model.trunk.logits, TEST) == pytest.approx(loss, rel=1e-5)


def test_the_clock_stands_still_while_the_test_images_are_looked_at(rules, monkeypatch):
    """Epochs of 2 s, looks of 30 s: three epochs take 6 s of the clock and of the processor."""
    now = [100.0]

    def later(seconds):
        now[0] += seconds

    monkeypatch.setattr(rules.Referee, "_now", lambda self: (now[0], now[0]))
    monkeypatch.setattr(rules, "elbo", lambda *x: later(30) or -100.0)
    referee = rules.Referee(TEST, -50.0, most=3)
    referee.start()
    for _ in range(2):
        later(2)
        referee.look(None, None)
    later(2)
    with pytest.raises(rules.Reached):
        referee.look(None, None)
    found = referee.result()
    assert (found["epochs"], found["reached"]) == (3, False)
    assert (found["seconds"], found["cpu"]) == (6, 6)
    assert [look[1] for look in found["looks"]] == [2, 4, 6]


def test_it_is_over_at_the_first_look_that_reaches_the_target(rules, monkeypatch):
    found = iter((-120.0, -104.9, -104.0))
    monkeypatch.setattr(rules, "elbo", lambda *x: next(found))
    referee = rules.Referee(TEST, -105.0)
    referee.start()
    referee.look(None, None)
    with pytest.raises(rules.Reached):
        referee.look(None, None)
    assert (referee.result()["epochs"], referee.result()["elbo"], referee.result()["reached"]) == (2, -104.9, True)


@pytest.mark.parametrize("name", ["latentbench", "bare_loop"])
def test_an_entry_trains_the_network_of_the_rules(run, rules, name, monkeypatch):
    """Weights counted as they are looked at; the fourth epoch is better than the first; other seeds, other runs."""
    monkeypatch.setattr("latentbench.training.precision.has_bfloat16", lambda device: False)
    module, counted = run.entry(name), []
    original = rules.elbo

    def elbo(encode, decode, x):
        own = {id(p): p.numel() for f in (encode, decode) for m in modules_of(f) for p in m.parameters()}
        counted.append(sum(own.values()))
        return original(encode, decode, x)

    monkeypatch.setattr(rules, "elbo", elbo)
    ends = []
    for seed in (0, 1):
        referee = rules.Referee(TEST, 0.0, most=4)
        referee.start()
        with pytest.raises(rules.Reached):
            module.train(TRAIN, seed, referee)
        assert referee.looks[3].elbo > referee.looks[0].elbo
        ends.append(referee.looks[3].elbo)
    assert set(counted) == {rules.WEIGHTS}
    assert ends[0] != ends[1]


def modules_of(function):
    """The modules that a function is made of: itself, what it belongs to, what it closes over."""
    if isinstance(function, nn.Module):
        return [function]
    if isinstance(owner := getattr(function, "__self__", None), nn.Module):
        return [owner]
    cells = [c.cell_contents for c in function.__closure__ or ()]
    return [cell for cell in cells if isinstance(cell, nn.Module)]


def test_the_tables_are_those_of_the_committed_results(run):
    rows = json.loads(run.RESULTS.read_text())["rows"] if run.RESULTS.exists() else []
    text = run.README.read_text()
    assert run.readme(text, rows) == text
    assert {r["target"] for r in rows} <= ({run.target()} if run.TARGET.exists() else set())


def test_the_readme_counts_the_weights_as_the_rules_do(run, rules):
    assert f"{rules.WEIGHTS:,} numbers" in run.README.read_text()


def test_runs_that_are_there_are_not_made_again_and_another_target_forgets_them(run, rules, monkeypatch, tmp_path):
    asked = []
    answer = {"seconds": 1.0, "cpu": 1.0, "epochs": 2, "elbo": -104.0, "reached": True, "looks": [], "load": 0.0}
    monkeypatch.setattr(run, "ask", lambda name, seed, *_: asked.append((name, seed)) or answer)
    monkeypatch.setattr(run, "RESULTS", tmp_path / "results.json")
    monkeypatch.setattr(run, "target", lambda: -105.0)
    run.race(["a", "b"], "cpu", 2, 1, again=False, at_once=1)
    assert asked == [("a", 0), ("b", 0), ("b", 1), ("a", 1)]
    run.race(["a", "b"], "cpu", 3, 1, again=False, at_once=1)
    assert asked[4:] == [("a", 2), ("b", 2)]
    run.race(["a"], "cpu", 3, 1, again=True, at_once=1)
    assert asked[6:] == [("a", 0), ("a", 1), ("a", 2)]
    monkeypatch.setattr(run, "target", lambda: -104.5)
    run.race(["a"], "cpu", 1, 1, again=False, at_once=1)
    assert asked[9:] == [("a", 0)]
    assert len(json.loads(run.RESULTS.read_text())["rows"]) == 1


def test_two_runs_at_a_time_have_cores_of_their_own(run, monkeypatch, tmp_path):
    monkeypatch.setattr(run.os, "sched_getaffinity", lambda process: {3, 1, 0, 2}, raising=False)
    assert run.shared_out(1, 4) == [()]
    assert run.shared_out(2, 2) == [[0, 1], [2, 3]]
    with pytest.raises(SystemExit, match="6 threads need as many cores, there are 4"):
        run.shared_out(3, 2)
    with pytest.raises(SystemExit, match="--at-once 0: at least one"):
        run.shared_out(0, 1)

    seen, both = [], threading.Barrier(2)

    def asked(name, seed, device, threads, goal, cores):
        both.wait(60)  # one alone would wait for ever
        seen.append(tuple(cores))
        return {"seconds": 1.0, "cpu": 1.0, "epochs": 2, "elbo": -104.0, "reached": True, "looks": [], "load": 0.0}

    monkeypatch.setattr(run, "ask", asked)
    monkeypatch.setattr(run, "RESULTS", tmp_path / "results.json")
    monkeypatch.setattr(run, "target", lambda: -105.0)
    run.race(["a", "b"], "cpu", 2, 1, again=False, at_once=2)
    assert sorted(seen) == [(0,), (0,), (1,), (1,)]
    assert "1 thread a run, 2 runs at a time" in run.table(json.loads(run.RESULTS.read_text())["rows"], "cpu")


def test_a_device_without_runs_says_that_it_was_not_run(run):
    assert run.table([], "cuda").startswith("Not run")
