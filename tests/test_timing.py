"""Throughput: what a record holds, FLOPs by hand, the model left as it was, a slower model seen to be slower."""

from __future__ import annotations

import pytest
import torch

from latentbench import timing
from latentbench.models.ae import Autoencoder
from latentbench.models.vae import VariationalAutoencoder

CPU = torch.device("cpu")
SHAPE = (1, 8, 8)


class Slowed(Autoencoder):
    """The same model doing its work four times over."""

    def decode(self, z):
        for _ in range(3):
            super().decode(z)
        return super().decode(z)


@pytest.fixture(scope="module")
def records():
    torch.manual_seed(0)
    models = {
        "ae": Autoencoder(SHAPE, 8).eval(),
        "vae": VariationalAutoencoder(SHAPE, 8).eval(),
        "slow": Slowed(SHAPE, 8).eval(),
    }
    before = {n: [p.clone() for p in m.parameters()] for n, m in models.items()}
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    rows = timing.time_models(models, SHAPE, CPU, batches=(64,), train_batch=32)
    assert torch.equal(state, torch.get_rng_state())
    assert threads == torch.get_num_threads()
    for name, model in models.items():
        assert all(torch.equal(p, q) for p, q in zip(before[name], model.parameters(), strict=True))
    return rows


def find(records, model, metric):
    return next(r for r in records if (r.model, r.metric) == (model, metric))


@pytest.mark.parametrize("what", timing.OPERATIONS)
def test_blocks_are_kept(records, what):
    row = find(records, "ae", f"throughput.{what}")
    assert len(row.samples) >= 20
    assert min(row.samples) <= row.value <= max(row.samples)
    assert row.detail["rankable"] == (row.detail["spread"] <= timing.RANKABLE)
    assert row.detail["latency_ms"] == pytest.approx(1000 * row.metric_params["batch"] / row.value, rel=0.1)
    assert 0 < row.detail["peak_share"] < 1.5
    assert row.detail["peak_memory_bytes"] > 0
    assert row.is_timing


def test_flops_of_an_mlp(records):
    assert find(records, "ae", "cost.flops.encode").value == 2 * (64 * 256 + 256 * 256 + 256 * 8)
    assert find(records, "ae", "cost.flops.decode").value == 2 * (8 * 256 + 256 * 256 + 256 * 64)
    weights = sum(i * o + o for i, o in [(64, 256), (256, 256), (256, 8), (8, 256), (256, 256), (256, 64)])
    assert find(records, "ae", "cost.parameters").value == weights
    assert not find(records, "ae", "cost.parameters").is_timing


def test_a_slower_model_is_slower(records):
    fast, slow = (find(records, m, "throughput.decode") for m in ("ae", "slow"))
    assert slow.value < 0.5 * fast.value


def test_spread_known_answer():
    assert timing.spread([1.0] * 20) == 0
    assert timing.spread([float(v) for v in range(1, 8)]) == pytest.approx((6 - 2) / 4)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu():
    device = torch.device("cuda")
    rows = timing.time_models(
        {"ae": Autoencoder(SHAPE, 8).eval().to(device)}, SHAPE, device, batches=(64,), train_batch=64
    )
    row = find(rows, "ae", "throughput.train_step")
    assert row.metric_params["device"] == "cuda"
    assert row.detail["peak_memory_is"].startswith("CUDA")
    assert 0 < row.detail["peak_share"] < 1.5
