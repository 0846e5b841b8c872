"""Adam's rate over a training: known answers, alone and in a stack."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from latentbench.config import make_run
from latentbench.core import Loss
from latentbench.datasets.digits import DIGITS
from latentbench.training.fit import DECAY, EarlyStopping, Plan, fit
from latentbench.training.stacking import StackedStep, fit_stacked
from latentbench.training.steps import TrainStep

PLAN = Plan(epochs=100, patience=4, batch_size=8, lr=2.0, lr_warmup=0.1)


def told(scores, plan=PLAN):
    """Early stopping that has heard of these validation losses."""
    stopping = EarlyStopping(plan)
    for score in scores:
        stopping.log({"": 0.0}, score)
    return stopping


@pytest.mark.parametrize(
    ("begun", "ended", "rate"),
    [(0, 0.5, 0.1), (4.5, 5, 1.0), (9.5, 10, 2.0), (50, 50.5, 2.0), (90, 90.5, 2.0), (95, 95.5, 1.0), (99.5, 100, 0.1)],
)
def test_the_rate_rises_stays_and_falls(begun, ended, rate):
    assert told([]).rate(begun, ended) == pytest.approx(rate)


def test_from_a_plateau_on_the_rate_falls_to_0_over_as_many_epochs_as_it_was_waited_for():
    stopping = told([*range(30, 10, -1), 12, 12, 12])
    assert stopping.plateau is None
    stopping.log({"": 0.0}, 12)
    assert stopping.plateau == 24
    assert [stopping.rate(t, t + 0.5) for t in (24, 25, 26, 27, 27.5)] == pytest.approx([2.0, 1.5, 1.0, 0.5, 0.25])
    for _ in range(4):
        assert not stopping.over
        stopping.log({"": 0.0}, 1.0)  # lower than ever: the rate is on its way all the same
    assert stopping.over


def test_epochs_in_which_the_rate_still_rises_are_not_waited_for():
    """A loss that stands still from the first epoch on: patience counts from the tenth."""
    stopping = told([1.0] * 13)
    assert stopping.plateau is None
    stopping.log({"": 0.0}, 1.0)
    assert stopping.plateau == 14


def test_without_patience_there_is_no_plateau():
    stopping = told([1.0] * 99, replace(PLAN, patience=0))
    assert stopping.plateau is None
    assert not stopping.over


class Slope(nn.Module):
    """One weight on a constant slope: Adam takes it down by its rate at each step, so that it says the sum of the rates. In
    evaluation its loss falls until it has come to ``floor``, and stands still there."""

    def __init__(self, floor=1e9):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros((), dtype=torch.float64))
        self.floor = floor

    def loss(self, x, generator):
        """Minus the weight."""
        total = x.mean() * 0 - self.weight
        return Loss(total if self.training else total.clamp(min=-self.floor), {})


X = torch.zeros(16, 1, 2, 2, dtype=torch.float64)


def walked(plan, models, stacked):
    """Where models come to, and their histories."""
    if stacked:
        histories = fit_stacked(models, X, X[:4], plan, list(range(len(models))))
    else:
        histories = [fit(model, X, X[:4], plan, seed) for seed, model in enumerate(models)]
    return [float(m.weight.detach()) for m in models], histories


@pytest.mark.parametrize("stacked", [False, True])
def test_a_training_takes_the_steps_of_its_plan(stacked):
    """20 epochs of two steps: the rate rises over 8 steps, and falls over 4."""
    plan = Plan(epochs=20, patience=0, batch_size=8, lr=0.01, lr_warmup=0.2)
    (there,), _ = walked(plan, [Slope()], stacked)
    rates = [min(1, (k + 1) / 8, (1 - k / 40) / DECAY) for k in range(40)]
    assert there == pytest.approx(0.01 * sum(rates), rel=1e-6)


def test_models_of_a_stack_that_reach_their_plateaus_apart_are_each_where_they_would_be_alone():
    plan, floors = Plan(epochs=200, patience=5, batch_size=8, lr=0.01), (0.1, 0.3, 0.31, 0.7)
    alone, expected = walked(plan, [Slope(f) for f in floors], stacked=False)
    # In a stack there is one floor for all: what sets these models apart is where they begin.
    models = [Slope(1.0) for _ in floors]
    with torch.no_grad():
        for model, floor in zip(models, floors, strict=True):
            model.weight.fill_(1.0 - floor)
    together, found = walked(plan, models, stacked=True)
    assert [h.epochs for h in found] == [h.epochs for h in expected]
    assert len({h.epochs for h in found}) >= 3
    assert [t - (1.0 - f) for t, f in zip(together, floors, strict=True)] == pytest.approx(alone, abs=1e-9)


def test_a_lower_rate_is_a_shorter_step_and_the_highest_is_taken_to_the_last_bit():
    def net(seed):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return Linear()

    class Linear(nn.Module):
        """A layer of its own, with a loss that hangs on every weight."""

        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(3, 2)

        def loss(self, x, generator):
            """Of a batch (n, 3)."""
            return Loss(self.layer(x).square().mean(), {})

    x, rates = torch.rand(2, 5, 3, generator=torch.Generator().manual_seed(0)), [3e-3, 1e-3]
    models = [net(0), net(1)]
    stack = StackedStep([net(0), net(1)], [torch.Generator(), torch.Generator()])
    for _ in range(5):
        stack(x, rates)
    for place, (model, rate) in enumerate(zip(models, rates, strict=True)):
        step = TrainStep(model, torch.Generator(), 5)
        for _ in range(5):
            step(x[place], rate)
        for name, weight in model.named_parameters():
            assert torch.allclose(stack.weights[f"model.{name}"][place], weight, atol=1e-7, rtol=1e-6)
    same = StackedStep([net(0), net(1)], [torch.Generator(), torch.Generator()])
    for _ in range(5):
        same(x, 3e-3)
    assert all(torch.equal(stack.weights[k][0], same.weights[k][0]) for k in same.weights)


def test_digits_have_a_rate_of_their_own_and_others_the_usual():
    digits, other = make_run({}).resolve(DIGITS.defaults), make_run({}).resolve({})
    assert (digits.lr, digits.lr_warmup) == (2e-3, 0.1)
    assert (other.lr, other.lr_warmup) == (1e-3, 0.0)
    asked = make_run({"lr": 0.5, "lr_warmup": 0}).resolve(DIGITS.defaults)
    assert (asked.lr, asked.lr_warmup) == (0.5, 0.0)
    assert Plan.of(digits).risen == 30
