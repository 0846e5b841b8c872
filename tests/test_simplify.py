"""A list of operations made shorter: what is left out, what is not, and results to the last bit at every call."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from latentbench.training.operations import TENSOR, Operations, operations
from latentbench.training.simplify import simplified
from latentbench.training.torchscript import scripted

aten = torch.ops.aten
X = torch.linspace(-2, 2, 24).view(4, 6)
ODD = torch.tensor([[0.0, -0.0, 1e-40, -torch.inf, torch.nan, 7.0]]).expand(4, 6).contiguous()


def targets(listed):
    return [node.target for node in listed.graph.nodes if node.op == "call_function"]


def short(compute, *inputs):
    return simplified(operations(compute, list(inputs or [X])))


def gradient(loss, weight):
    """A computation that gives a loss of ``weight`` and its gradient."""

    def compute(x):
        value = loss(x, weight)
        return [value.detach(), *torch.autograd.grad(value, [weight])]

    return compute


# --- what is left out ---


def test_what_only_takes_part_in_gradients_is_gone():
    assert targets(short(lambda x: [x.exp().detach().detach().sin()])) == [aten.exp.default, aten.sin.default]


def test_a_matrix_turned_twice_is_not_turned():
    assert targets(short(lambda x: [(x + x).t().t().exp()])) == [aten.add.Tensor, aten.exp.default]
    assert targets(short(lambda x: [(x + x).t().t().t().exp()])) == [aten.add.Tensor, aten.t.default, aten.exp.default]


def test_a_weight_is_turned_once_and_stays_the_same_memory():
    weight = torch.ones(3, 6)
    listed = short(lambda x: [x @ weight.t()])
    assert targets(listed) == [aten.mm.default]
    run = scripted(*listed)
    for value in (1.0, 5.0):
        weight.fill_(value)
        assert torch.equal(run(X)[0], X @ weight.t())


def test_what_hangs_on_nothing_is_computed_once():
    def compute(x):
        ones = torch.ones_like(x) * 3
        return [x * (ones.expand(4, 6).neg() / 2), torch.scalar_tensor(2.0) + x, torch.full_like(x, 7.0)]

    listed = short(compute)
    assert targets(listed) == [aten.mul.Tensor, aten.add.Tensor]
    assert all(torch.equal(a, b) for a, b in zip(scripted(*listed)(X + 1), compute(X + 1), strict=True))


def test_numbers_that_a_loss_spells_out_are_computed_with_once():
    listed = short(lambda x: [x + (x.new_tensor([1.0, 2.0, 3.0, 4.0]) * 2).view(4, 1)])
    assert targets(listed) == [aten.add.Tensor]
    assert torch.equal(scripted(*listed)(X)[0], X + torch.tensor([[2.0], [4.0], [6.0], [8.0]]))


def test_the_same_of_the_same_is_computed_once():
    assert targets(short(lambda x: [x.square() + 1, x.square() + 1])) == [aten.pow.Tensor_Scalar, aten.add.Tensor]


def test_numbers_are_tensors_of_the_other_operands_type():
    def compute(x):
        return [x * 0.1, x - 3, x / 7, x.double() + 0.1]

    listed = short(compute)
    numbers = {tensor.dtype: float(tensor) for tensor in listed.constants.values()}
    assert sorted(float(t) for t in listed.constants.values() if t.dtype == torch.float32) == pytest.approx([0.1, 3, 7])
    assert numbers[torch.float64] == 0.1
    for x in (X, ODD):
        for a, b in zip(scripted(*listed)(x), compute(x), strict=True):
            assert torch.equal(a.nan_to_num(5), b.nan_to_num(5))


def test_no_tensor_of_a_trial_is_kept():
    listed = short(lambda x: [x.exp().neg() * 2])
    assert not any(TENSOR in node.meta for node in listed.graph.nodes if node.op == "call_function")


# --- what is not ---


def test_small_numbers_kinds_are_left_to_the_operation():
    """A bfloat16 result of a number is rounded once, from float32; of a bfloat16 tensor of it twice."""
    listed = short(lambda x: [x.to(torch.bfloat16) * 0.1, x.long() * 2])
    assert not listed.constants


def test_minus_zero_is_not_zero_and_two_is_not_2_point():
    def compute(x):
        whole = x.long()
        return [x + 0.0, x + -0.0, whole * 2, whole * 2.0]

    found = scripted(*short(compute))(ODD.nan_to_num(0, 0, 0))
    for a, b in zip(found, compute(ODD.nan_to_num(0, 0, 0)), strict=True):
        assert a.dtype == b.dtype
        assert torch.equal(torch.signbit(a), torch.signbit(b))


def test_true_is_not_1():
    assert len(targets(short(lambda x: [(x > 0) * 1, (x > 0) * True, (x > 0) * 1]))) == 3


def test_nan_is_the_same_as_nan():
    assert len(targets(short(lambda x: [x.clamp(max=torch.nan) + 1, x.clamp(max=torch.nan) + 1]))) == 2


def test_draws_are_drawn_each_time():
    def compute(x):
        return [torch.rand_like(x), torch.rand_like(x), F.dropout(x, 0.5), F.dropout(x, 0.5)]

    run = scripted(*short(compute))
    torch.manual_seed(3)
    found = run(X)
    torch.manual_seed(3)
    assert all(torch.equal(a, b) for a, b in zip(found, compute(X), strict=True))
    assert not torch.equal(found[0], found[1])
    assert not torch.equal(run(X)[0], found[0])


@torch.library.custom_op("latentbench_tests::counted", mutates_args=())
def counted(x: torch.Tensor) -> torch.Tensor:
    """An operation of somebody's own, with a state that its schema says nothing of."""
    calls.append(1)
    return x + len(calls)


calls: list[int] = []


def test_operations_of_others_are_carried_out_each_time():
    run = scripted(*short(lambda x: [counted(x), counted(x), counted(torch.zeros(2)) + 1]))
    calls.clear()
    assert [float(result.flatten()[0]) for result in run(X)] == [-1, 0, 4]
    assert float(run(X)[2][0]) == 7


def written_through_a_view(x):
    ones = torch.ones_like(x)
    ones.view(-1)[3:].mul_(5)
    return [ones + x, torch.ones_like(x) + x]


def filled(x):
    room = torch.empty(4, 6)
    room.copy_(x)
    return [room, torch.zeros(4, 6).add_(x), torch.zeros(4, 6) + x]


def before_and_after(x):
    once = x.exp()
    first = once * 2
    once.neg_()
    return [first, once * 2]


def grown(x):
    literal = x.new_tensor([1.0, 2.0]) * 1
    early = literal + 1
    literal.add_(x.sum())
    return [early, literal * 2]


def parts_that_change(x):
    left, right = (x + 0).split(3, 1)
    early = left.sum()
    left.zero_()
    return [early, left.sum(), right.sum(), (x + 0).sum()]


@pytest.mark.parametrize("compute", [written_through_a_view, filled, before_and_after, grown, parts_that_change])
def test_what_is_written_to_is_as_it_was_each_time(compute):
    run = scripted(*short(compute))
    for x in (X, X.flip(0), X):
        assert all(torch.equal(a, b) for a, b in zip(run(x.clone()), compute(x.clone()), strict=True))


def test_an_average_that_the_loss_keeps_is_read_anew():
    """Two names of the same memory, one of them written to between two readings of the other."""
    kept = [(mean, mean.view(2, 3)) for mean in (torch.zeros(6), torch.zeros(6))]

    def compute(x, mean, view):
        here = mean.view(3, 2)
        before = [view.sum() * 1, here.sum() * 1]
        mean.lerp_(x.mean(0), 0.5)
        return [*before, view.sum() * 1, here.sum() * 1, mean * 2]

    run = scripted(*short(lambda x: compute(x, *kept[0])))
    kept[0][0].zero_()
    for x in (X, X + 1, X * 3):
        assert all(torch.equal(a, b) for a, b in zip(run(x), compute(x, *kept[1]), strict=True))


# --- gradients ---


@pytest.mark.parametrize("name", ["mean", "clamp", "normalised", "logarithm"])
def test_losses_and_gradients_are_the_same_to_the_last_bit(name):
    loss = {
        "mean": lambda x, w: F.mse_loss(x @ w.t(), x[:, :3]),
        "clamp": lambda x, w: (x @ w.t()).clamp(-1, 1).square().sum() / 3,
        "normalised": lambda x, w: F.layer_norm(x @ w.t(), (3,)).exp().mean() * 0.3,
        "logarithm": lambda x, w: (1 + (x @ w.t()).square()).log().sum() - w.square().sum() * 2,
    }[name]
    weight = nn.Parameter(torch.linspace(-1, 1, 18).view(3, 6))
    compute = gradient(loss, weight)
    whole, listed = operations(compute, [X]), short(compute)
    assert isinstance(listed, Operations)
    assert len(targets(listed)) < len(targets(whole))
    run = scripted(*listed)
    for x in (X, X / 3, X.flip(1)):
        assert all(torch.equal(a, b) for a, b in zip(run(x), compute(x), strict=True))
        with torch.no_grad():
            weight.mul_(0.7)
