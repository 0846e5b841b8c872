"""What a run does most: encode, decode, sample, train. The same calls that `latentbench.timing` times in a run."""

from __future__ import annotations

import copy

import pytest
import torch

from latentbench import timing
from latentbench.judge import train_judge
from latentbench.train import Plan, fit

CPU = torch.device("cpu")


@pytest.mark.parametrize("batch", [64, 512])
@pytest.mark.parametrize("what", timing.OPERATIONS)
@pytest.mark.parametrize("model", ["ae", "vae"])
def test_operation(benchmark, models, dataset, model, what, batch):
    call = timing.operation(what, models[model], batch, dataset.shape, CPU)
    benchmark.extra_info["images"] = batch
    benchmark(call)


@pytest.mark.parametrize("model", ["ae", "vae"])
def test_epoch(benchmark, models, dataset, model):
    """One pass of the optimiser loop with its validation: what a training step costs beyond its tensors."""
    plan = Plan(epochs=1, patience=0, batch_size=64, lr=1e-3)
    benchmark(fit, copy.deepcopy(models[model]), dataset.train.x, dataset.val.x, plan, 0)


def test_judge_training(benchmark, dataset):
    benchmark.pedantic(train_judge, (dataset,), {"steps": 100}, rounds=5, warmup_rounds=1)


def test_judge_verdicts(benchmark, judge, dataset):
    benchmark(judge, dataset.test.x)
