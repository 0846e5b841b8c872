"""Seeds trained in one stack: what each of them yields is what it yields alone."""

from __future__ import annotations

import copy
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from latentbench import catalog
from latentbench.config import make_run
from latentbench.core import Loss
from latentbench.models.ae import Autoencoder
from latentbench.randomness import Replay, randn, seeded
from latentbench.training import stacking
from latentbench.training.fit import Diverged, Plan, fit, initialise
from latentbench.training.stacking import fit_all, fit_stacked, stackable, stacks

SHAPE = (1, 6, 6)
TRAIN = torch.rand((96, *SHAPE), generator=seeded(0, "train"))
VAL = torch.rand((40, *SHAPE), generator=seeded(0, "val"))
PLAN = Plan(epochs=6, patience=0, batch_size=32, lr=1e-3)
SPECS = ["ae", "ae:noise=.3", "vae", "vae:sigma=1:warmup=5", "vae:likelihood=bernoulli", "vae:net=conv"]


def build(text: str, seed: int) -> torch.nn.Module:
    run = make_run({"models": text, "latent_dim": 3, "width": 16})
    return initialise(lambda: catalog.build_model(text, run, SHAPE), seed)


def alone(text: str, seed: int, plan: Plan):
    model = build(text, seed)
    return model, fit(model, TRAIN, VAL, plan, seed)


@pytest.mark.parametrize("text", SPECS)
def test_a_seed_in_a_stack_is_the_seed_alone(text):
    """To rounding: after 18 steps losses agree to 1e-5 and weights to 1e-4, far below what another seed changes."""
    seeds = (0, 3, 5)
    models = [build(text, seed) for seed in seeds]
    assert stackable(models, TRAIN[:2])
    found = fit_stacked(models, TRAIN, VAL, PLAN, seeds)
    for model, seed, history in zip(models, seeds, found, strict=True):
        single, expected = alone(text, seed, PLAN)
        assert history.curves.keys() == expected.curves.keys()
        for name, curve in expected.curves.items():
            assert history.curves[name] == pytest.approx(curve, rel=1e-5, abs=1e-6), name
        for name, weight in single.state_dict().items():
            assert torch.allclose(model.state_dict()[name], weight, atol=1e-4), name
    other = found[1].curves["loss.val"]
    assert found[0].curves["loss.val"] != pytest.approx(other, rel=1e-4), "seeds differ by more than the tolerance"


def test_who_else_is_in_the_stack_does_not_matter():
    first = fit_stacked([build("vae", s) for s in (1, 2)], TRAIN, VAL, PLAN, (1, 2))[0]
    again = fit_stacked([build("vae", s) for s in (7, 8, 1, 9)], TRAIN, VAL, PLAN, (7, 8, 1, 9))[2]
    assert first.curves["loss.val"] == pytest.approx(again.curves["loss.val"], rel=1e-5)


def test_each_seed_stops_by_itself_and_keeps_its_best_weights():
    """At so high a rate the validation loss soon rises, at another epoch for each seed."""
    plan, seeds = Plan(epochs=40, patience=3, batch_size=32, lr=0.02), (0, 1, 2, 3)
    models = [build("ae", seed) for seed in seeds]
    found = fit_stacked(models, TRAIN, VAL, plan, seeds)
    expected = [alone("ae", seed, plan) for seed in seeds]
    assert [h.epochs for h in found] == [h.epochs for _, h in expected]
    assert len({h.epochs for h in found}) > 1, "all stopped together: nothing was tested"
    for model, history, (single, wanted) in zip(models, found, expected, strict=True):
        assert history.best == wanted.best
        assert history.best < history.epochs
        for name, weight in single.state_dict().items():
            assert torch.allclose(model.state_dict()[name], weight, atol=5e-3), name


def test_a_seed_that_diverges_takes_no_other_with_it():
    models = [build("ae", seed) for seed in (0, 1)]
    with torch.no_grad():
        next(models[0].parameters()).fill_(float("nan"))
    failed, history = fit_stacked(models, TRAIN, VAL, PLAN, (0, 1))
    assert isinstance(failed, Diverged)
    assert history.curves["loss.val"] == pytest.approx(alone("ae", 1, PLAN)[1].curves["loss.val"], rel=1e-5)


class Ambient(Autoencoder):
    """Draws from its generator without `randn`, which a stack cannot give each seed its own of."""

    def loss(self, x: torch.Tensor, generator: torch.Generator) -> Loss:
        error = (self.decode(self.encode(x + torch.randn(x.shape, generator=generator)).mu) - x).square().sum()
        return Loss(error, {})


def test_what_cannot_be_stacked_is_trained_alone(monkeypatch):
    models = [initialise(lambda: Ambient(SHAPE, 3), seed) for seed in (0, 1)]
    assert not stackable(models, TRAIN[:2])
    assert not stackable([build("ae", 0), build("ae:depth=1", 0)], TRAIN[:2])
    monkeypatch.setattr(stacking, "stacks", lambda device, seeds: True)
    twins = copy.deepcopy(models)
    found = fit_all(models, TRAIN, VAL, PLAN, (0, 1))
    for history, twin, seed in zip(found, twins, (0, 1), strict=True):
        assert history.curves == fit(twin, TRAIN, VAL, PLAN, seed).curves


def test_on_a_cpu_seeds_are_trained_one_after_another_exactly_as_alone():
    assert not stacks(torch.device("cpu"), 6)
    assert stacks(torch.device("cuda"), 2)
    assert not stacks(torch.device("cuda"), 1)
    found = fit_all([build("vae", seed) for seed in (0, 1)], TRAIN, VAL, PLAN, (0, 1))
    assert [h.curves for h in found] == [alone("vae", seed, PLAN)[1].curves for seed in (0, 1)]


def test_replay_hands_out_what_was_drawn():
    draws = [torch.ones(2), torch.zeros(3)]
    replay = Replay(draws)
    assert randn((2,), replay, draws[0]) is draws[0]
    assert randn((3,), replay, draws[0]) is draws[1]
    assert replay.asked == [(2,), (3,)]


def test_a_stack_is_the_first_thing_that_a_process_trains():
    """torch 2.6 loads its compiler at the first mapping, which fails where operations are being written down."""
    code = """
from test_stacking import TRAIN, VAL, Plan, build, fit_stacked
plan = Plan(epochs=200, patience=0, batch_size=32, lr=1e-3)  # 600 steps, which are worth a list of operations
print([history.epochs for history in fit_stacked([build("vae", seed) for seed in (0, 1)], TRAIN, VAL, plan, (0, 1))])
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parent, capture_output=True, text=True)
    assert done.stdout == "[200, 200]\n", done.stderr
