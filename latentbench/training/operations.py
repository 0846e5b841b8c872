"""The list of operations that a function carries out, written down while it does.

A dispatch mode sees every operation below autograd, those of a gradient too, with the very tensors they work on. What
comes out is a `torch.fx` graph: its inputs, constants (weights and buffers, the same memory) and operations in their order.
`torch.fx.experimental.proxy_tensor.make_fx` gives the same list and loads torch's compiler for it, 1.4 to 1.9 s of a
process that compiles nothing.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

TENSOR = "tensor"
"""Under which name a node's ``meta`` holds the tensor that it stood for while the list was written."""


class _Recorder(TorchDispatchMode):
    """Writes operations into ``graph`` while it is on; ``constants``: the tensors that were there before and are no inputs."""

    def __init__(self, inputs: Sequence[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.graph = fx.Graph()
        self.constants: dict[str, Tensor] = {}
        # Tensors are known by what they are, not by their values; their nodes keep them, so that none takes over another's identity.
        self._nodes: dict[int, fx.Node] = {}
        for k, tensor in enumerate(inputs):
            self._name(tensor, self.graph.placeholder(f"input_{k}"))

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Whether torch is to load its compiler, to keep it away from this mode: nothing is compiled here."""
        return False

    def _name(self, tensor: Tensor, node: fx.Node) -> None:
        node.meta[TENSOR] = tensor
        self._nodes[id(tensor)] = node

    def node_of(self, thing: Any) -> Any:
        """What stands for a tensor in the graph; anything else as it is."""
        if not isinstance(thing, Tensor):
            return thing
        if id(thing) not in self._nodes:
            name = f"constant_{len(self.constants)}"
            self.constants[name] = thing
            self._name(thing, self.graph.create_node("get_attr", name))
        return self._nodes[id(thing)]

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Carry out an operation and write it down. Raises TypeError for one that gives no tensors: what follows from a
        number that was read hangs on this batch."""
        kwargs = dict(kwargs or {})
        node = self.graph.call_function(func, *tree_map(self.node_of, (tuple(args), kwargs)))
        out = func(*args, **kwargs)
        if isinstance(out, Tensor):
            self._name(out, node)
        elif isinstance(out, tuple | list):
            for k, part in enumerate(out):
                if isinstance(part, Tensor):
                    self._name(part, self.graph.call_function(operator.getitem, (node, k)))
        else:
            raise TypeError(f"{func} gives a {type(out).__name__}, no tensor")
        return out


class Operations(NamedTuple):
    """A list of operations: a ``graph`` from inputs to a list of results, and its ``constants`` by their names there."""

    graph: fx.Graph
    constants: Mapping[str, Tensor]


def operations(compute: Callable[..., Sequence[Tensor]], inputs: Sequence[Tensor]) -> Operations:
    """What ``compute(*inputs)`` does, as a list that maps like ``inputs`` to its results. Whatever is read in Python on the
    way (shapes, numbers, branches) is fixed as it was. Raises TypeError where a number is read from a tensor."""
    recorder = _Recorder(inputs)
    with recorder:
        results = compute(*inputs)
    recorder.graph.output([recorder.node_of(result) for result in results])
    erase_unused(recorder.graph)
    return Operations(recorder.graph, recorder.constants)


def erase_unused(graph: fx.Graph) -> None:
    """Leave out of a list what nothing asks for."""
    for node in reversed(graph.nodes):
        if node.op in ("call_function", "get_attr") and not node.users and not acts(node.target):
            graph.erase_node(node)


def acts(target: Any) -> bool:
    """Whether an operation does something besides giving its result: it writes to its arguments, or draws numbers."""
    if not isinstance(target, torch._ops.OpOverload):
        return False
    return target._schema.is_mutable or torch.Tag.nondeterministic_seeded in target.tags
