"""``--precision auto``: bfloat16 where it is faster and the loss the same, float32 where not, and the run says why."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch.nn import functional as F

from latentbench import catalog
from latentbench.config import make_run
from latentbench.core import Loss
from latentbench.models.ae import Autoencoder
from latentbench.models.nets import Trunk
from latentbench.randomness import seeded
from latentbench.running import plan
from latentbench.training import precision, steps
from latentbench.training.fit import Plan, initialise
from latentbench.training.precision import Losses, choose, compare_losses, speed_ratios
from latentbench.training.stacking import StackedStep
from latentbench.training.steps import Adam, EagerStep, TracedStep, TrainStep, products

SHAPE = (1, 4, 4)
TRAIN = torch.rand((128, *SHAPE), generator=seeded(0, "train"))
VAL = torch.rand((64, *SHAPE), generator=seeded(0, "val"))
PLAN = Plan(epochs=2, patience=0, batch_size=32, lr=1e-3)
FAST, SLOW = (1.5,) * 6, (1.2, 1.2, 1.2, 1.2, 1.2, 0.99)


def builder(kind=Autoencoder):
    return partial(kind, SHAPE, 2, depth=1, width=16)


class Cancels(Autoencoder):
    """Learns from the small difference of what a layer makes of x and x itself, of which rounding leaves nothing."""

    def __init__(self, *shape, **fields):
        super().__init__(*shape, **fields)
        self.near = Trunk(SHAPE, 16, 2, depth=0, width=1, net="mlp").requires_grad_(False)
        for name, weight in self.near.named_parameters():
            weight.copy_(1.001 * torch.eye(16) if name == "encoder.1.weight" else torch.zeros_like(weight))

    def loss(self, x, generator):
        small = self.near.encode(x) - x.flatten(1)
        return Loss(F.mse_loss(self.decode(self.encode(x).mu).flatten(1), 1e3 * small, reduction="sum") / len(x), {})


class Diverges(Autoencoder):
    def loss(self, x, generator):
        return Loss(super().loss(x, generator).total * math.inf, {})


@pytest.fixture
def fast(monkeypatch):
    """A machine with fast bfloat16 products, and trials of a few steps."""
    monkeypatch.setattr(precision, "has_bfloat16", lambda device: True)
    monkeypatch.setattr(precision, "speed_ratios", lambda *x: FAST)
    monkeypatch.setattr(precision, "STEPS", 20)


def test_a_machine_without_bfloat16_trains_in_float32_and_tries_nothing(monkeypatch):
    monkeypatch.setattr(precision, "has_bfloat16", lambda device: False)
    monkeypatch.setattr(precision, "compare_losses", None)
    found = choose({"ae": builder()}, TRAIN, VAL, PLAN)
    assert (found.precision, found.reason.code, found.ratios) == ("float32", "precision.none", ())


@pytest.mark.parametrize("ratios", [SLOW, (1.05,) * 6])
def test_what_is_not_faster_in_every_round_and_by_a_tenth_is_not_taken(monkeypatch, fast, ratios):
    monkeypatch.setattr(precision, "speed_ratios", lambda *x: ratios)
    monkeypatch.setattr(precision, "compare_losses", None)
    found = choose({"ae": builder()}, TRAIN, VAL, PLAN)
    assert (found.precision, found.reason.code) == ("float32", "precision.slow")
    assert found.ratios == ratios


def test_where_it_is_faster_and_losses_agree_bfloat16_is_taken(fast):
    found = choose({"ae": builder(), "two": builder()}, TRAIN, VAL, PLAN)
    assert (found.precision, found.reason.code) == ("bfloat16", "precision.same")
    row = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert set(row["losses"]) == {"ae", "two"}
    assert len(row["losses"]["ae"]["float32"]) == precision.SEEDS
    assert row["losses"]["ae"]["spread"] > 0


def test_a_model_that_rounded_products_hurt_keeps_the_whole_run_in_float32(fast):
    found = choose({"ae": builder(), "cancels": builder(Cancels)}, TRAIN, VAL, replace(PLAN, lr=1e-2))
    assert (found.precision, found.reason.code) == ("float32", "precision.differs")
    assert found.reason.values["model"] == "cancels"


def test_one_that_diverges_is_no_reason_to_take_it(fast):
    found = choose({"bad": builder(Diverges)}, TRAIN, VAL, PLAN)
    assert (found.precision, found.reason.code) == ("float32", "precision.diverged")
    assert found.to_json()["losses"]["bad"] == {"float32": [None] * 4, "bfloat16": [None] * 4}


def test_losses_agree_where_the_interval_of_their_change_lies_within_the_spread_of_seeds():
    """Known: losses 1, 2, 3, 4 have a standard deviation of 1.29; a change by .1 each lies within, by 1.3 not, and a mean
    change of 0 whose interval is wider does not either."""
    base = (1.0, 2.0, 3.0, 4.0)
    assert Losses(base, tuple(x + 0.1 for x in base)).agree
    assert not Losses(base, tuple(x + 1.3 for x in base)).agree
    assert not Losses(base, tuple(x - 1.3 for x in base)).agree
    wide = Losses(base, tuple(x + e for x, e in zip(base, (2, -2, 2, -2), strict=True)))
    assert wide.change[0] == 0
    assert not wide.agree
    assert Losses(base, base).spread == pytest.approx((5 / 3) ** 0.5)
    assert not Losses(base, (1.0, 2.0, 3.0, math.inf)).agree


def test_trials_leave_torch_as_it_was():
    before, threads, rounding = torch.get_rng_state(), torch.get_num_threads(), torch.get_float32_matmul_precision()
    ratios = speed_ratios({"ae": builder()}, TRAIN, PLAN)
    losses = compare_losses(builder(), TRAIN, VAL, Plan(1, 0, 32, 1e-3))
    assert len(ratios) == precision.ROUNDS
    assert min(ratios) > 0
    assert len(losses.float32) == len(losses.bfloat16) == precision.SEEDS
    assert len(set(losses.float32)) == precision.SEEDS
    assert (torch.get_num_threads(), torch.get_float32_matmul_precision()) == (threads, rounding)
    assert torch.equal(torch.get_rng_state(), before)


# --- layers in mixed precision ---

PICTURES = torch.rand((48, 3, 16, 16), generator=seeded(0, "pictures"))
KINDS = (torch.nn.Linear, torch.nn.Conv2d, torch.nn.ConvTranspose2d)


def build(text):
    run = make_run({"models": text, "latent_dim": 4, "width": 32})
    return initialise(lambda: catalog.build_model(text, run, PICTURES.shape[1:]), 0).train()


@pytest.mark.parametrize("text", ["ae", "vae", "ae:net=conv", "vae:net=conv", "vae:net=conv:depth=3"])
def test_layers_are_taken_in_bfloat16_and_losses_and_gradients_in_float32(text):
    model, seen = build(text), []
    layers = [m for m in model.modules() if isinstance(m, KINDS)]
    for layer in layers:
        layer.register_forward_hook(lambda module, given, out: seen.append(out.dtype))
    with products("bfloat16"):
        found = model.loss(PICTURES, seeded(0, "draws"))
    exact = model.loss(PICTURES, seeded(0, "draws"))
    assert seen == [torch.bfloat16] * len(layers) + [torch.float32] * len(layers)
    assert {found.total.dtype, *(t.dtype for t in found.terms.values())} == {torch.float32}
    assert float(found.total.detach()) == pytest.approx(float(exact.total.detach()), rel=2e-3)
    weights = list(model.parameters())
    rounded, whole = (torch.autograd.grad(one.total, weights) for one in (found, exact))
    for name, a, b in zip(dict(model.named_parameters()), rounded, whole, strict=True):
        assert a.dtype == torch.float32
        assert float((a - b).norm()) < 0.2 * float(b.norm()), name  # a unit near 0 may pass in one and not in the other


@pytest.mark.parametrize("text", ["vae", "ae:net=conv", "vae:net=conv"])
def test_traced_in_mixed_precision_it_is_the_ordinary_step(text):
    model, twin = build(text), build(text)
    update = TrainStep(model, seeded(0, "draws"), steps.WORTHWHILE, "bfloat16")
    with products("bfloat16"):
        assert isinstance(update.way(PICTURES.contiguous(memory_format=update.layout)), TracedStep)
    twin.to(memory_format=update.layout)
    ordinary = EagerStep(twin, seeded(0, "draws"), Adam(twin.parameters()))
    pictures = PICTURES.contiguous(memory_format=update.layout)
    for _ in range(3):
        one = update(PICTURES, 1e-3)
        with products("bfloat16"):
            other = ordinary(pictures, 1e-3)
        assert torch.equal(one.total, other.total)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), twin.parameters(), strict=True))


@pytest.mark.parametrize("text", ["vae", "ae:net=conv"])
def test_seeds_in_a_stack_take_their_layers_in_bfloat16_too(text):
    models = [build(text) for _ in range(2)]
    draws = [seeded(k, "draws") for k in range(2)]
    stack = StackedStep(models, draws, "bfloat16")
    losses = [float(stack(torch.stack([PICTURES] * 2), 1e-3).total[k]) for k in range(2)]
    alone = [TrainStep(m, seeded(0, "draws"), 1, "bfloat16")(PICTURES, 1e-3) for m in models[:1]]
    assert losses[0] == pytest.approx(float(alone[0].total), rel=1e-3)


@pytest.mark.parametrize("text", ["ae", "ae:net=conv"])
def test_networks_learn_as_well_in_either(text, monkeypatch):
    monkeypatch.setattr(precision, "STEPS", 20)
    losses = compare_losses(partial(build, text), PICTURES, PICTURES[:16], Plan(8, 0, 16, 1e-3))
    assert losses.bfloat16 == pytest.approx(losses.float32, rel=0.01)


# --- a run ---


def asked(tmp_path, **more):
    return make_run(
        {"models": "ae", "seeds": 1, "epochs": 1, "width": 8, "precision": "auto", "out": str(tmp_path / "run"), **more}
    )


@pytest.fixture
def counted(monkeypatch, tmp_path, fast):
    """How often a trial was made, with a cache of its own."""
    calls = []

    def tried(*args):
        calls.append(args)
        return choose(*args)

    monkeypatch.setattr(precision, "choose", tried)
    monkeypatch.setenv("LATENTBENCH_CACHE", str(tmp_path / "cache"))
    return calls


def test_a_planned_run_has_one_precision_and_is_the_run_that_names_it(tmp_path, counted):
    planned = plan.plan(asked(tmp_path))
    assert planned.run.precision == "bfloat16"
    named = plan.plan(asked(tmp_path, precision="bfloat16"))
    assert planned.run.id == named.run.id
    assert [p.key for p in planned.parts] == [p.key for p in named.parts]
    assert named.precision is None
    assert len(counted) == 1


def test_it_is_found_out_once_on_a_machine_and_anew_for_other_models(tmp_path, counted):
    first = plan.plan(asked(tmp_path)).precision
    assert plan.plan(asked(tmp_path)).precision == first
    assert len(counted) == 1
    plan.plan(asked(tmp_path, models="vae"))
    assert len(counted) == 2
    plan.plan(asked(tmp_path, cache=False))
    assert len(counted) == 3


@pytest.mark.parametrize("content", ["", "[]", '{"taken": "float64"}', '{"taken": "bfloat16", "reason": {}}'])
def test_a_damaged_cache_is_no_answer(tmp_path, counted, content):
    plan.plan(asked(tmp_path))
    (path,) = (tmp_path / "cache" / "precision").iterdir()
    path.write_text(content)
    assert plan.plan(asked(tmp_path)).run.precision == "bfloat16"
    assert len(counted) == 2


@pytest.mark.parametrize("job", [{"shard": "1/2"}, {"assemble": True}])
def test_jobs_of_one_run_name_their_precision(tmp_path, counted, job):
    with pytest.raises(ValueError, match="precision: 'auto' is not allowed with --shard and --assemble"):
        plan.plan(asked(tmp_path, **job))
    assert not counted
