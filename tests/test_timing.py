"""Throughput: what a record holds, FLOPs and bytes by hand, nothing left changed, a slower model seen to be slower."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from typing import ClassVar

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from latentbench.core import Posterior
from latentbench.measuring import cost_of_a_call, timing
from latentbench.models.ae import Autoencoder
from latentbench.models.vae import VariationalAutoencoder
from latentbench.randomness import seeded
from latentbench.records import OPERATIONS, Record
from latentbench.training import stacking, steps
from latentbench.training.fit import Plan, fit
from latentbench.training.stacking import training_step
from latentbench.training.steps import TrainStep

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


@pytest.mark.parametrize(
    "layers",
    [
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.ConvTranspose2d(4, 3, 3, stride=2)),
        nn.Sequential(nn.Flatten(), nn.Linear(192, 8), nn.LayerNorm(8)),
        nn.Sequential(nn.Flatten(2), nn.TransformerEncoderLayer(64, 2, 16, dropout=0.0)),
    ],
    ids=["convolutions", "linear", "attention"],
)
@pytest.mark.parametrize("learning", [True, False])
def test_operations_are_those_that_torch_counts(layers, learning):
    x = torch.rand(2, 3, 8, 8, generator=seeded(0, "images"))

    def call():
        with torch.inference_mode(not learning):
            out = layers(x)
        if learning:
            out.square().sum().backward()

    with FlopCounterMode(display=False) as counter:
        call()
    assert cost_of_a_call.flops(call) == counter.get_total_flops() > 0


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
    # Of each its quickest block: the one that other work on the machine disturbed least.
    fast, slow = (max(find(records, m, "throughput.decode", 64).samples) for m in ("ae", "slow"))
    assert slow < 0.7 * fast


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


def plan(**changes):
    return replace(SCHEDULE.plan, **changes)


class Seen(Autoencoder):
    """Notes under which rounding of products each training loss is asked for, and of how many images."""

    seen: ClassVar[list[tuple[str, int]]] = []
    traceable = False

    def loss(self, x, generator):
        self.seen.append((torch.get_float32_matmul_precision(), len(x)))
        return super().loss(x, generator)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_step_timed_has_the_precision_of_the_step_taken(precision):
    images, before = torch.rand(64, *SHAPE), torch.get_float32_matmul_precision()
    asked = plan(epochs=1, precision=precision)
    Seen.seen.clear()
    fit(Seen(SHAPE, 8), images, images[:1], asked, 0)
    taken = {p for p, n in Seen.seen if n > 1}
    Seen.seen.clear()
    call = timing.operation("train_step", Seen(SHAPE, 8), 32, SHAPE, CPU, timing.Schedule(asked, 64))
    call()
    assert {p for p, n in Seen.seen} == taken == {"medium" if precision == "bfloat16" else before}
    assert torch.get_float32_matmul_precision() == before


WAYS = [
    (Autoencoder, {}, {}, "traced"),
    (Autoencoder, {"images": 40}, {}, "ordinary"),  # 20 steps are planned: not worth a trace
    (VariationalAutoencoder, {}, {"warmup": 9}, "ordinary"),  # no step is like the one before
    (VariationalAutoencoder, {}, {}, "traced"),
]


@pytest.mark.parametrize(("kind", "schedule", "fields", "way"), WAYS)
def test_the_step_timed_is_made_the_way_of_the_step_taken(kind, schedule, fields, way, monkeypatch):
    """What training makes of the first batch is seen from outside; what is timed says so of itself."""
    taken = []
    for made in (steps.EagerStep, steps.TracedStep):
        monkeypatch.setattr(made, "__call__", spied(made.__call__, taken))
    schedule = SCHEDULE._replace(**schedule)
    images = torch.rand(schedule.images, *SHAPE)
    fit(kind(SHAPE, 8, **fields), images, images[:8], schedule.plan, 0)
    in_training = taken[-1]
    (row,) = (
        r
        for r in timing.time_models({"m": kind(SHAPE, 8, **fields)}, SHAPE, CPU, (32,), schedule)
        if r.metric == "throughput.train_step"
    )
    assert (row.detail["step"], row.detail["models"], row.detail["precision"]) == (way, 1, "float32")
    assert {"traced": steps.TracedStep, "ordinary": steps.EagerStep}[way] is in_training is taken[-1]


def spied(call, taken):
    def spy(self, x, rate):
        taken.append(type(self))
        return call(self, x, rate)

    return spy


def test_the_timed_step_trains_to_the_weights_of_training():
    """One epoch of one batch: the same call on the same images, from the same draws, moves the weights equally."""
    x = torch.rand((32, *SHAPE), generator=seeded(0, "throughput"))
    (trained, timed), draws = (Autoencoder(SHAPE, 8) for _ in range(2)), seeded(0, "d")
    timed.load_state_dict(trained.state_dict())
    asked = plan(epochs=1000)
    one = TrainStep(trained, seeded(0, "d"), asked.steps(len(x)))
    other = training_step([timed], [draws], asked, len(x), x[:2])
    for step in (one, other):
        for _ in range(3):
            step(x, 1e-3)
    for name, weight in trained.state_dict().items():
        assert torch.equal(timed.state_dict()[name], weight), name


def test_seeds_that_train_in_a_stack_are_timed_in_one(monkeypatch):
    """Three models at once: as many images, and the operations of three."""
    monkeypatch.setattr(stacking, "stacks", lambda device, seeds: seeds > 1)
    model = Autoencoder(SHAPE, 8)
    alone, together = (
        next(r for r in timing.time_models({"m": model}, SHAPE, CPU, (32,), schedule) if "train_step" in r.metric)
        for schedule in (SCHEDULE, SCHEDULE._replace(seeds=3))
    )
    assert (together.detail["step"], together.detail["models"], alone.detail["models"]) == ("stacked", 3, 1)
    assert together.detail["flops"] == 3 * alone.detail["flops"]
    assert together.detail["latency_ms"] == pytest.approx(1000 * 3 * 32 / together.value)
    # On a processor a stack is hardly faster: what stands for three models must not read as three times the speed.
    assert max(together.samples) < 3 * max(alone.samples)
