"""Lists of operations as TorchScript's text: what is written is what Python did, to the last bit."""

import math

import pytest
import torch
from torch import fx
from torch.nn import functional as F

from latentbench.training.operations import operations
from latentbench.training.torchscript import scripted

X = torch.linspace(-2, 2, 24).view(4, 6)
WEIGHT = torch.linspace(0, 1, 18).view(3, 6)


def parts(x):
    first, second = x.chunk(2, 1)
    return [second - first, x.unbind(0)[3]]


DONE = {
    "weights that are no input": lambda x: [F.linear(x, WEIGHT), WEIGHT * 2],
    "several results of one operation": parts,
    "no sizes at all": lambda x: [x.sum() * torch.zeros([], dtype=x.dtype)],
    "kinds of numbers, layouts and devices": lambda x: [
        torch.full((2, 3), 0.1, dtype=torch.float64, device="cpu"),
        x.to(torch.bfloat16).float(),
        torch.empty_like(x, memory_format=torch.contiguous_format).zero_(),
    ],
    "numbers without an end": lambda x: [
        x.masked_fill(x > 0, -math.inf),
        x.clamp(max=math.inf),
        x.masked_fill(x < 0, math.nan),
    ],
    "words": lambda x: [F.gelu(x, approximate="tanh")],
    "small and large numbers": lambda x: [x * 1e-30, x + 1e30, x * 0.1, x.to(torch.float64) / 3],
    "nothing in an argument's place": lambda x: [torch.clamp(x, None, 0.5), x[:, 1:5:2], x[..., None]],
    "in place": lambda x: [x.clone().mul_(3).relu_()],
    "truth": lambda x: [x.sum(1, keepdim=True), torch.where(x > 0.5, x, -x)],
}


@pytest.mark.parametrize("name", DONE)
def test_it_does_what_python_does(name):
    for given in (X, X.flip(0) * 3):
        run = scripted(*operations(DONE[name], [X]))
        found, expected = run(given), DONE[name](given)
        assert len(found) == len(expected)
        for a, b in zip(found, expected, strict=True):
            assert a.dtype == b.dtype
            assert torch.equal(a.nan_to_num(7), b.nan_to_num(7))


def test_constants_are_the_same_memory():
    weight = torch.ones(3)
    run = scripted(*operations(lambda x: [x * weight], [torch.ones(3)]))
    weight.fill_(5)
    assert run(torch.ones(3))[0].tolist() == [5, 5, 5]


def test_what_has_no_word_is_refused():
    graph = fx.Graph()
    graph.output([graph.call_function(torch.ops.aten.add.Tensor, (graph.placeholder("x"), 1 + 2j))])
    with pytest.raises(ValueError, match=r"\(1\+2j\): no value that TorchScript knows"):
        scripted(graph, {})


def test_what_cannot_be_read_is_refused():
    graph = fx.Graph()
    graph.output([graph.call_function(torch.ops.aten.add.Tensor, (graph.placeholder("x"), "one"))])
    with pytest.raises(RuntimeError):
        scripted(graph, {})
