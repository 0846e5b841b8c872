"""What a run does most: encode, decode, sample, train. The same calls that `latentbench.measuring.timing` times in a run."""

from __future__ import annotations

import copy

import pytest
import torch

from latentbench.catalog import build_model
from latentbench.config import make_run
from latentbench.measuring import cost_of_a_call, timing
from latentbench.measuring.judge import train_judge
from latentbench.records import OPERATIONS
from latentbench.training.fit import Plan, fit, initialise

CPU = torch.device("cpu")


@pytest.mark.parametrize("batch", [64, 512])
@pytest.mark.parametrize("what", OPERATIONS)
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


@pytest.mark.parametrize("threads", [1, 2])
def test_epoch_of_large_batches(benchmark, threads):
    """784-512-16, batch 1024: here the matrix products should be most of the work. ``peak_share``: their operations a
    second over the machine's rate of float32 products."""
    run = make_run({"models": "ae", "latent_dim": 16, "depth": 1, "width": 512})
    x = torch.rand((5 * 1024, 1, 28, 28), generator=torch.Generator().manual_seed(0))
    model = initialise(lambda: build_model("ae", run, (1, 28, 28)), 0)
    plan = Plan(epochs=1, patience=0, batch_size=1024, lr=1e-3)
    torch.set_num_threads(threads)
    try:
        operations = cost_of_a_call.flops(lambda: fit(copy.deepcopy(model), x, x[:1024], plan, 0))
        benchmark.pedantic(fit, (copy.deepcopy(model), x, x[:1024], plan, 0), rounds=7, warmup_rounds=1)
        peak = timing.matmul_peak().value
    finally:
        torch.set_num_threads(1)
    benchmark.extra_info["peak_share"] = operations / benchmark.stats.stats.min / peak


def test_judge_training(benchmark, dataset):
    benchmark.pedantic(train_judge, (dataset,), {"steps": 100}, rounds=5, warmup_rounds=1)


def test_judge_verdicts(benchmark, judge, dataset):
    benchmark(judge, dataset.test.x)
