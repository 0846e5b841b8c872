"""Throughput: what a record holds, FLOPs and bytes by hand, nothing left changed, a slower model seen to be slower."""

from __future__ import annotations

import copy
import json

import pytest
import torch
from torch import nn

from latentbench.core import Posterior
from latentbench.measuring import cost_of_a_call, timing
from latentbench.models.ae import Autoencoder
from latentbench.models.vae import VariationalAutoencoder
from latentbench.records import OPERATIONS, Record
from latentbench.training.fit import Plan

CPU = torch.device("cpu")
SHAPE = (1, 8, 8)
BATCHES = (4, 64)
SCHEDULE = timing.Schedule(Plan(epochs=20, patience=0, batch_size=32, lr=1e-3), images=1000)


class Slowed(Autoencoder):
    """The same model decoding four times over."""

    def decode(self, z):
        for _ in range(3):
            super().decode(z)
        return super().decode(z)


class Dropping(Autoencoder):
    """Draws from torch's global generator while it trains."""

    def loss(self, x, generator):
        return super().loss(nn.functional.dropout(x, 0.5, training=self.training), generator)


class Broken(Autoencoder):
    """Decodes batches of up to 8 images only."""

    def decode(self, z):
        if len(z) > 8:
            raise ArithmeticError("more than\neight")
        return super().decode(z)


class Callables:
    """A model that is two functions and cannot be trained."""

    latent_dim = 64

    def encode(self, x):
        return Posterior(x.flatten(1))

    def decode(self, z):
        return z.view(-1, *SHAPE)


@pytest.fixture(scope="module")
def records():
    torch.manual_seed(0)
    models = {
        "ae": Autoencoder(SHAPE, 8).eval(),
        "vae": VariationalAutoencoder(SHAPE, 8).train(),
        "slow": Slowed(SHAPE, 8),
        "dropping": Dropping(SHAPE, 8),
        "broken": Broken(SHAPE, 8),
        "frozen": Autoencoder(SHAPE, 8).eval().requires_grad_(False),
        "callables": Callables(),
    }
    modules = {n: m for n, m in models.items() if isinstance(m, nn.Module)}
    before = {n: copy.deepcopy(m.state_dict()) for n, m in modules.items()}
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    rows = timing.time_models(models, SHAPE, CPU, BATCHES, SCHEDULE)
    assert torch.equal(state, torch.get_rng_state())
    assert threads == torch.get_num_threads()
    for name, model in modules.items():
        assert all(torch.equal(v, model.state_dict()[k]) for k, v in before[name].items()), name
        assert all(p.grad is None for p in model.parameters()), name
    assert (models["ae"].training, models["vae"].training) == (False, True)
    assert not any(p.requires_grad for p in models["frozen"].parameters())
    return rows


def find(records, model, metric, batch=None):
    return next(
        r for r in records if (r.model, r.metric) == (model, metric) and batch in (None, r.metric_params.get("batch"))
    )


@pytest.mark.parametrize("model", ["ae", "vae", "frozen", "dropping"])
@pytest.mark.parametrize("what", OPERATIONS)
def test_blocks_are_kept_for_every_batch_size(records, what, model):
    rows = [r for r in records if (r.model, r.metric) == (model, f"throughput.{what}")]
    assert [r.metric_params["batch"] for r in rows] == ([4, 32, 64] if what == "train_step" else [4, 64])
    for row in rows:
        assert (row.status, row.unit, row.better) == ("ok", "samples/s", "higher")
        assert len(row.samples) == row.detail["blocks"] >= 20
        assert min(row.samples) <= row.value <= max(row.samples)
        assert row.detail["rankable"] == (row.detail["spread"] <= timing.RANKABLE)
        assert row.detail["latency_ms"] == pytest.approx(1000 * row.metric_params["batch"] / row.value)
        assert row.detail["peak_share"] > 0  # near 1 at most on an idle machine
        assert row.detail["peak_memory_bytes"] > 0
        assert row.detail["threads"] == torch.get_num_threads()
        assert row.is_timing


def test_records_survive_their_file(records):
    for row in records:
        again = Record.from_json(row.to_json())
        assert (again.value, again.samples, again.detail) == (
            row.value,
            row.samples,
            json.loads(json.dumps(row.detail)),
        )


def test_flops_of_an_mlp(records):
    assert find(records, "ae", "cost.flops.encode").value == 2 * (64 * 256 + 256 * 256 + 256 * 8)
    assert find(records, "ae", "cost.flops.decode").value == 2 * (8 * 256 + 256 * 256 + 256 * 64)
    assert find(records, "ae", "throughput.decode", 64).detail["flops"] == 64 * 2 * (8 * 256 + 256 * 256 + 256 * 64)
    assert find(records, "slow", "cost.flops.decode").value == 4 * find(records, "ae", "cost.flops.decode").value
    weights = sum(i * o + o for i, o in [(64, 256), (256, 256), (256, 8), (8, 256), (256, 256), (256, 64)])
    assert find(records, "ae", "cost.parameters").value == weights
    assert not find(records, "ae", "cost.parameters").is_timing


def test_flops_of_a_training_step_by_hand():
    layer = nn.Linear(5, 7)
    x = torch.rand(3, 5)
    # forward and the weights' gradient; the input asks for none
    assert cost_of_a_call.flops(lambda: layer(x).sum().backward()) == 2 * (2 * 3 * 5 * 7)


def test_peak_memory_by_hand():
    x = torch.zeros(1000)

    def two_then_one():
        y = x + 1  # 4000 bytes
        y = y + 1  # 8000 while the old one lives
        return y.double()  # 4000 and 8000

    assert cost_of_a_call.peak_memory(two_then_one, CPU) == 12000
    assert cost_of_a_call.peak_memory(lambda: x.view(10, 100).add_(1), CPU) == 0  # views and work in place make nothing
    assert cost_of_a_call.peak_memory(lambda: [x + i for i in range(5)], CPU) == 5 * 4000
    assert cost_of_a_call.peak_memory(lambda: [float((x + i).sum()) for i in range(5)], CPU) < 2 * 4000


def test_a_training_step_holds_gradients_and_both_moments(records):
    weights = find(records, "ae", "cost.parameters").value
    held = find(records, "ae", "throughput.train_step", 4).detail["peak_memory_bytes"]
    assert 3 * 4 * weights <= held < 4 * 4 * weights


def test_a_slower_model_is_slower(records):
    fast, slow = (find(records, m, "throughput.decode", 64) for m in ("ae", "slow"))
    assert slow.value < 0.7 * fast.value


def test_one_broken_call_fails_alone(records):
    for what, fails in {"encode": False, "decode": True, "sample": True, "train_step": True}.items():
        row = find(records, "broken", f"throughput.{what}", 64)
        assert (row.status, row.value is None) == (("failed", True) if fails else ("ok", False)), what
    assert find(records, "broken", "throughput.decode", 64).reason == "ArithmeticError: more than eight"
    assert find(records, "broken", "throughput.decode", 4).status == "ok"


def test_what_cannot_train_is_skipped(records):
    row = find(records, "callables", "throughput.train_step")
    assert (row.status, row.reason) == ("skipped", "needs a torch.nn.Module with a loss")
    assert find(records, "callables", "throughput.encode").status == "ok"
    assert find(records, "callables", "cost.parameters").status == "skipped"
    assert find(records, "callables", "cost.flops.encode").value == 0


def test_a_call_too_long_to_repeat_is_skipped(monkeypatch):
    monkeypatch.setattr(timing, "CALL_SECONDS", 0.0)
    row = timing.time_models({"c": Callables()}, SHAPE, CPU, (1,))[-1]
    assert row.status == "skipped"
    rows = timing.time_models({"a": Autoencoder(SHAPE, 8)}, SHAPE, CPU, (1,))
    assert "too long to repeat" in find(rows, "a", "throughput.encode").reason
    assert find(rows, "", "throughput.matmul_peak").status == "skipped"
    assert find(rows, "a", "cost.flops.encode").status == "ok"


def test_models_take_turns(monkeypatch):
    order = []
    monkeypatch.setattr(timing, "_block", lambda target: order.append(target.model))
    monkeypatch.setattr(timing, "_calibrate", lambda target: None)
    targets = [timing.Target("throughput.encode", m, 1, CPU, lambda: None) for m in "abc"]
    timing._time([targets], 3)
    assert order == list("abcbcacab")


def test_the_peak_is_measured(records):
    row = find(records, "", "throughput.matmul_peak")
    assert row.unit == "FLOP/s"
    assert row.value > find(records, "ae", "throughput.encode", 4).value
    # Measured again on a machine whose other work may have come or gone: the same order of magnitude.
    assert 0.1 < timing.matmul_peak(CPU).value / row.value < 10


def test_spread_known_answer():
    assert timing.spread([1.0] * 20) == 0
    assert timing.spread([float(v) for v in range(1, 8)]) == pytest.approx((6 - 2) / 4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batches": (0,)}, "batches: 0 is not a batch size; it must be at least 1"),
        ({"batches": (), "schedule": SCHEDULE}, "batches: at least one is needed"),
        ({"blocks": 5}, "blocks: 5 is too few to state a spread; at least 20 are needed"),
    ],
)
def test_wrong_input_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        timing.time_models({}, SHAPE, CPU, **options)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_no_gpu_is_one_clear_line():
    with pytest.raises(RuntimeError, match="cuda is not available"):
        timing.time_models({}, SHAPE, "cuda")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu():
    model = Autoencoder(SHAPE, 8).eval()
    state = torch.cuda.get_rng_state()
    rows = timing.time_models({"ae": model}, SHAPE, "cuda", (64,))
    assert torch.equal(state, torch.cuda.get_rng_state())
    assert {p.device.type for p in model.parameters()} == {"cpu"}
    for what in OPERATIONS:
        row = find(rows, "ae", f"throughput.{what}")
        assert (row.status, row.metric_params["device"]) == ("ok", "cuda")
        assert row.detail["peak_share"] > 0  # near 1 at most on an idle machine
        assert row.detail["peak_memory_bytes"] > 0
        # waited for, one call takes no less than its share of a row of calls
        assert row.detail["latency_ms"] > 0.5 * 1000 * 64 / row.value
