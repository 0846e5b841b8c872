"""A traced step is the ordinary step, to the last bit; where it cannot be, the ordinary one is made."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from latentbench import catalog
from latentbench.config import make_run
from latentbench.core import Loss
from latentbench.models.ae import Autoencoder
from latentbench.randomness import seeded
from latentbench.training import steps
from latentbench.training.fit import Plan, fit, initialise
from latentbench.training.stacking import StackedStep
from latentbench.training.steps import Adam, CudaGraph, EagerStep, OperationList, TracedStep, TrainStep, traced_step

SHAPE = (1, 6, 6)
TRAIN = torch.rand((100, *SHAPE), generator=seeded(0, "train"))
VAL = torch.rand((40, *SHAPE), generator=seeded(0, "val"))
PLAN = Plan(epochs=5, patience=3, batch_size=32, lr=1e-2)
TRACED = [
    "ae",
    "ae:noise=.3",
    "ae:net=conv",
    "vae",
    "vae:kl=mean",
    "vae:sigma=.5",
    "vae:likelihood=bernoulli",
    "vae:net=conv",
]


def build(text: str) -> nn.Module:
    run = make_run({"models": text, "latent_dim": 3, "width": 16})
    return initialise(lambda: catalog.build_model(text, run, SHAPE), 0)


def both_ways(model: nn.Module, monkeypatch, plan: Plan = PLAN):
    """The model trained with the traced step where there is one, and without: weights, buffers and curves of each."""
    found = []
    for worthwhile in (1, 10**9):
        monkeypatch.setattr(steps, "WORTHWHILE", worthwhile)
        trained = copy.deepcopy(model)
        torch.manual_seed(5)
        history = fit(trained, TRAIN, VAL, plan, 3)
        found.append((trained.state_dict(), history.curves, history.best))
    return found


def assert_same(one, two):
    assert one[1:] == two[1:]
    assert one[0].keys() == two[0].keys()
    for name, tensor in one[0].items():
        assert torch.equal(tensor, two[0][name]), name


def is_traced(model: nn.Module) -> bool:
    update = TrainStep(copy.deepcopy(model).train(), seeded(0, "draws"), steps.WORTHWHILE)
    return isinstance(update.way(TRAIN[:32]), TracedStep)


@pytest.mark.parametrize("text", TRACED)
def test_a_traced_step_gives_the_same_weights_to_the_last_bit(text, monkeypatch):
    model = build(text)
    assert is_traced(model)
    assert_same(*both_ways(model, monkeypatch))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_so_it_does_at_every_precision(precision, monkeypatch):
    assert_same(*both_ways(build("vae"), monkeypatch, Plan(4, 0, 32, 1e-3, precision)))


def test_a_warm_up_weighs_every_step_anew_and_is_not_traced():
    assert not is_traced(build("vae:warmup=9"))


def test_few_steps_are_not_worth_a_trace():
    update = TrainStep(build("ae"), seeded(0, "draws"), steps.WORTHWHILE - 1)
    assert isinstance(update.way(TRAIN[:32]), EagerStep)


def test_finding_the_way_leaves_the_model_and_its_draws_as_they_were():
    model, draws = build("vae").train(), seeded(0, "draws")
    before, state, own = copy.deepcopy(model.state_dict()), draws.get_state(), torch.get_rng_state()
    adam = Adam(model.parameters())
    assert traced_step(model, TRAIN[:32], draws, adam) is not None
    assert not adam.moments
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert torch.equal(draws.get_state(), state)
    assert torch.equal(torch.get_rng_state(), own)
    assert all(weight.requires_grad for weight in model.parameters())


@pytest.mark.parametrize("text", ["ae", "ae:net=conv", "vae", "vae:net=conv"])
def test_the_ordinary_step_is_the_one_written_by_hand_to_the_last_bit(text):
    """Autograd's ``backward`` and ``torch.optim.Adam``, at a falling rate."""
    ours, theirs = build(text).train(), build(text).train()
    step, draws = EagerStep(ours, seeded(0, "draws"), Adam(ours.parameters())), seeded(0, "draws")
    optimiser = torch.optim.Adam(theirs.parameters(), fused=True)
    for rate in (1e-2, 1e-2, 1e-3, 1e-4):
        found = step(TRAIN[:32], rate)
        optimiser.param_groups[0]["lr"] = rate
        optimiser.zero_grad()
        loss = theirs.loss(TRAIN[:32], draws)
        loss.total.backward()
        optimiser.step()
        assert torch.equal(found.total, loss.total)
    for name, weight in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[name], weight), name


@pytest.mark.parametrize("without", [(), (0, 1, 2, 3), (1,), (0, 2)], ids=["never", "always", "once", "at times"])
def test_adam_is_torchs_to_the_last_bit(without):
    """Whatever a gradient's layout: one that lies in memory column by column belongs to the same weights. A weight without a
    gradient in these updates is left, and has had fewer of them than the others; one is of another type."""
    generator = seeded(0, "gradients")
    weights = [torch.randn(shape, generator=generator) for shape in ((3, 4), (5,), (2, 3, 4))]
    weights.append(torch.randn(4, generator=generator).double())
    theirs = [w.clone().requires_grad_() for w in weights]
    adam, optimiser = Adam(weights), torch.optim.Adam(theirs, lr=0.1, fused=True)
    for update in range(4):
        gradients = [torch.randn(w.shape, generator=generator, dtype=w.dtype) for w in weights]
        for w, g in zip(theirs, gradients, strict=True):
            w.grad = g.clone()
        turned = [g.mT.contiguous().mT if g.ndim > 1 else g for g in gradients]
        if update in without:
            theirs[1].grad = turned[1] = None
        optimiser.step()
        adam(turned, 0.1)
    for ours, expected in zip(weights, theirs, strict=True):
        assert torch.equal(ours, expected)


class Counts(Autoencoder):
    """Weighs each loss by how many came before."""

    seen = 0

    def loss(self, x, generator):
        self.seen += 1
        return Loss(super().loss(x, generator).total * self.seen, {})


class Draws(Autoencoder):
    """Draws without `core.randn`."""

    def loss(self, x, generator):
        noisy = x + 0.1 * torch.randn(x.shape, generator=generator)
        return Loss((self.decode(self.encode(noisy).mu) - x).square().mean(), {})


class Looks(Autoencoder):
    """Takes a number out of the batch."""

    def loss(self, x, generator):
        return Loss(super().loss(x, generator).total * float(x.mean()), {})


class Branches(Autoencoder):
    """Does one thing for a light batch and another for a dark one."""

    def loss(self, x, generator):
        error = (self.decode(self.encode(x).mu) - x).flatten(1)
        return Loss(error.abs().sum() if x.mean() > 0.4 else error.square().sum(), {})


@pytest.mark.parametrize("kind", [Counts, Draws, Looks, Branches])
def test_a_model_that_promises_too_much_is_trained_the_ordinary_way(kind, monkeypatch):
    model = initialise(lambda: kind(SHAPE, 3, width=16), 0)
    assert model.traceable
    assert not is_traced(model)
    monkeypatch.setattr(steps, "WORTHWHILE", 1)
    assert is_traced(build("ae")), "nothing is traced here: this test says nothing"
    # The attempt leaves nothing behind either: what is counted is counted from where it was.
    if kind is not Draws:
        assert_same(*both_ways(model, monkeypatch))


class Layers(nn.Module):
    """Batch statistics, dropout, a weight without a use and one that is not to be learned."""

    traceable = True

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(36, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.Linear(8, 36))
        self.unused = nn.Parameter(torch.ones(3))
        self.fixed = nn.Parameter(torch.ones(36), requires_grad=False)

    def loss(self, x, generator):
        error = (self.net(x) * self.fixed - x.flatten(1)).square().sum() / len(x)
        return Loss(error, {"error": error.detach()})


def test_layers_with_a_state_or_draws_of_their_own(monkeypatch):
    model = initialise(Layers, 0)
    assert is_traced(model)
    traced, eager = both_ways(model, monkeypatch)
    assert_same(traced, eager)
    assert torch.equal(traced[0]["unused"], torch.ones(3))
    assert traced[0]["net.2.num_batches_tracked"] == 15


def test_a_model_says_so_or_is_left_alone(monkeypatch):
    monkeypatch.setattr(steps, "WORTHWHILE", 1)
    model = initialise(Layers, 0)
    model.traceable = False
    assert not is_traced(model)


class FakeGraph:
    """What a CUDA graph does, without a GPU: runs again what was recorded, from the same places to the same places."""

    def replay(self) -> None:
        again = self.run(*self.inputs)
        for held, result in zip(self.results, again, strict=True):
            held.copy_(result)


def recording(script, shapes, kept):
    """Lists of operations on inputs of these shapes, as graphs."""

    def recorded(operations):
        run, graph = script(operations), CudaGraph.__new__(CudaGraph)
        graph.kept, graph.inputs, graph.graph = kept, [torch.zeros(shape) for shape in shapes], FakeGraph()
        with torch.no_grad():
            graph.results = run(*graph.inputs)
        vars(graph.graph).update(run=run, inputs=graph.inputs, results=graph.results)
        return graph

    return recorded


def test_a_recorded_graph_gives_the_same_weights(monkeypatch):
    """Its inputs copied in, its results copied out before the next call overwrites them. The graph itself is a stand-in."""

    monkeypatch.setattr(steps, "_script", recording(steps._script, [(32, *SHAPE), (32, 3)], kept=4))
    model = build("vae")
    assert is_traced(model)
    assert_same(*both_ways(model, monkeypatch))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_on_a_gpu_a_step_is_a_graph_and_gives_the_same_weights(monkeypatch):
    model, found = build("vae").cuda().train(), []
    update = TrainStep(copy.deepcopy(model), seeded(0, "draws"), steps.WORTHWHILE)
    way = update.way(TRAIN[:32].cuda())
    assert isinstance(way, TracedStep)
    assert isinstance(way.listed.run, CudaGraph)
    for worthwhile in (1, 10**9):
        monkeypatch.setattr(steps, "WORTHWHILE", worthwhile)
        trained = copy.deepcopy(model)
        fit(trained, TRAIN.cuda(), VAL.cuda(), PLAN, 3)
        found.append(trained.state_dict())
    assert all(torch.equal(tensor, found[1][name]) for name, tensor in found[0].items())


# --- the layout of images ---

COLOURED = torch.rand((96, 3, 16, 16), generator=seeded(0, "coloured"))


@pytest.mark.parametrize("text", ["ae:net=conv", "vae:net=conv:depth=3"])
def test_channels_last_gives_the_weights_and_losses_of_a_plain_loop_within_rounding(text, monkeypatch):
    """Ten steps; rounding is amplified by training, and stays far below what a step changes."""
    run = make_run({"models": text, "latent_dim": 4})
    models = [initialise(lambda: catalog.build_model(text, run, COLOURED.shape[1:]), 0).train() for _ in range(2)]
    assert steps.layout(models[0]) == torch.channels_last
    ours = TrainStep(models[0], seeded(0, "draws"), steps.WORTHWHILE)
    plain = EagerStep(models[1], seeded(0, "draws"), Adam(models[1].parameters()))
    begun = [w.detach().clone() for w in models[1].parameters()]
    for k in range(10):
        found, expected = (float(step(COLOURED[8 * k : 8 * k + 8], 1e-3).total) for step in (ours, plain))
        assert found == pytest.approx(expected, rel=1e-4)
    for a, b, before in zip(*(m.parameters() for m in models), begun, strict=True):
        assert float((a - b).detach().norm()) < 0.02 * float((b - before).detach().norm())


def test_a_trained_network_of_convolutions_lies_in_memory_as_any_other():
    model = build("vae:net=conv")
    fit(model, TRAIN, VAL, PLAN, 0)
    assert all(weight.is_contiguous() for weight in model.parameters())


def test_what_is_no_network_of_this_package_keeps_its_layout():
    assert steps.layout(nn.Sequential(nn.Conv2d(1, 2, 3))) == torch.contiguous_format
    assert steps.layout(build("vae")) == torch.contiguous_format


# --- seeds in one stack ---


def stacked(text, planned, seeds=(0, 1, 2)):
    run = make_run({"models": text, "latent_dim": 3, "width": 16})
    models = [initialise(lambda: catalog.build_model(text, run, SHAPE), seed).train() for seed in seeds]
    return StackedStep(models, [seeded(seed, "draws") for seed in seeds], planned=planned)


BATCHES = torch.rand((6, 3, 32, *SHAPE), generator=seeded(0, "batches of three"))


def assert_stacks_agree(one, other):
    """Losses of every step, kept until the end as training keeps them, weights and buffers, to the last bit."""
    losses = [[stack(x, 1e-2) for x in BATCHES] for stack in (one, other)]
    for a, b in zip(*losses, strict=True):
        assert torch.equal(a.total, b.total)
        assert a.total.shape == (3,)
        assert all(torch.equal(a.terms[name], b.terms[name]) for name in b.terms)
    for of in ("weights", "buffers"):
        for name, tensor in getattr(other, of).items():
            assert torch.equal(getattr(one, of)[name], tensor), name


@pytest.mark.parametrize("text", ["ae", "vae", "vae:net=conv"])
def test_a_stacks_list_of_operations_is_its_ordinary_step_to_the_last_bit(text):
    traced, ordinary = stacked(text, steps.WORTHWHILE), stacked(text, steps.WORTHWHILE - 1)
    assert_stacks_agree(traced, ordinary)
    assert isinstance(traced._lists[BATCHES[0].shape], OperationList)
    assert not ordinary._lists


def test_a_stacks_graph_gives_the_same_weights_and_losses_that_outlast_the_next_call(monkeypatch):
    """The graph itself is a stand-in; the losses of three seeds are no scalars, and are copied out all the same."""
    shapes = [(3, 32, *SHAPE), (3, 32, 3)]
    monkeypatch.setattr(steps, "_script", recording(steps._script, shapes, kept=4))
    graphed, ordinary = stacked("vae", steps.WORTHWHILE), stacked("vae", 0)
    assert_stacks_agree(graphed, ordinary)
    assert isinstance(graphed._lists[BATCHES[0].shape].run, CudaGraph)


def test_seeds_that_leave_a_stack_take_their_list_with_them():
    traced, ordinary = stacked("vae", steps.WORTHWHILE), stacked("vae", 0)
    assert_stacks_agree(traced, ordinary)
    for stack in (traced, ordinary):
        stack.keep([2, 0])
    two = BATCHES[:, :2]
    for x in two:
        assert torch.equal(traced(x, 1e-2).total, ordinary(x, 1e-2).total)
    assert set(traced._lists) == {two[0].shape}


def test_a_stack_whose_list_differs_is_stepped_the_ordinary_way(monkeypatch):
    """A loss that reads its batch outside of torch: the list holds numbers of the batch that it was traced on."""

    class Reads(Autoencoder):
        scale = 1.0

        def loss(self, x, generator):
            found = super().loss(x, generator)
            Reads.scale += 1
            return Loss(found.total * Reads.scale, {})

    models = [initialise(lambda: Reads(SHAPE, 3, width=16), seed).train() for seed in (0, 1)]
    stack = StackedStep(models, [seeded(seed, "draws") for seed in (0, 1)], planned=steps.WORTHWHILE)
    stack(BATCHES[0, :2], 1e-2)
    assert stack._lists == {BATCHES[0, :2].shape: None}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_on_a_gpu_a_stack_is_one_graph_and_gives_the_same_weights():
    run = make_run({"models": "vae", "latent_dim": 3, "width": 16})
    models = [initialise(lambda: catalog.build_model("vae", run, SHAPE), seed).cuda().train() for seed in range(3)]
    draws = [[seeded(seed, "draws") for seed in range(3)] for _ in range(2)]
    graphed, ordinary = (StackedStep(models, d, planned=n) for d, n in zip(draws, (steps.WORTHWHILE, 0), strict=True))
    for x in BATCHES.cuda():
        assert torch.equal(graphed(x, 1e-2).total, ordinary(x, 1e-2).total)
    assert isinstance(graphed._lists[BATCHES[0].shape].run, CudaGraph)
