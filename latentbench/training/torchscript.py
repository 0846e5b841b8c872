"""A list of operations as a function of TorchScript, which runs it without Python.

The function is written as text and read by TorchScript's own parser: ``torch.jit.script`` reads the Python that `torch.fx`
writes instead, which takes three times as long (0.1 s of a training that lasts one). Weights, and what the
text has no word for (kinds of numbers, layouts, devices), are its last arguments.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
from torch import Tensor, fx

NAME = "listed"
NAMELESS = {torch.dtype: "int", torch.layout: "int", torch.memory_format: "int", torch.device: "Device"}
"""Things that an operation may be given and the text has no word for, with what TorchScript takes them for."""


def scripted(graph: fx.Graph, constants: Mapping[str, Tensor]) -> Callable[..., list[Tensor]]:
    """What the list does, with ``constants`` by their names in it: inputs (Tensors) to results. An operation is known by its name;
    TorchScript chooses the overload by its arguments, as Python does. Raises ValueError for what cannot be written, and what
    TorchScript raises for what it cannot read."""
    writer = _Writer(constants)
    function = getattr(torch.jit.CompilationUnit(writer.function(graph)), NAME)
    bound = list(writer.bound.values())

    def run(*inputs: Tensor) -> list[Tensor]:
        return cast("list[Tensor]", function(*inputs, *bound))

    return run


class _Writer:
    """Writes the text of a function; ``bound``: the arguments after the inputs, by name."""

    def __init__(self, constants: Mapping[str, Tensor]) -> None:
        self.constants = constants
        self.bound: dict[str, Any] = {}
        self._types: dict[str, str] = {}

    def function(self, graph: fx.Graph) -> str:
        """The whole text."""
        inputs, lines = [], []
        for node in graph.nodes:
            if node.op == "placeholder":
                inputs.append(f"{node.name}: Tensor")
            elif node.op == "get_attr":
                self._bind(node.name, self.constants[str(node.target)], "Tensor")
            elif node.op == "output":
                lines.append(f"return {self._word(node.args[0])}")
            else:
                lines.append(f"{node.name} = {self._call(node)}")
        arguments = ", ".join([*inputs, *(f"{name}: {kind}" for name, kind in self._types.items())])
        return f"def {NAME}({arguments}) -> List[Tensor]:\n" + "".join(f"  {line}\n" for line in lines)

    def _bind(self, name: str, value: Any, kind: str) -> str:
        self.bound[name], self._types[name] = value, kind
        return name

    def _call(self, node: fx.Node) -> str:
        if node.target is operator.getitem:
            several, place = node.args
            return f"{self._word(several)}[{self._word(place)}]"
        # Without its overload: aten.add.Tensor is aten.add to the parser.
        operation: Any = node.target
        words = [*map(self._word, node.args), *(f"{k}={self._word(v)}" for k, v in node.kwargs.items())]
        return f"torch.ops.{operation.overloadpacket}({', '.join(words)})"

    def _word(self, thing: Any) -> str:
        """A node or a value, as it is written."""
        if isinstance(thing, fx.Node):
            return thing.name
        if isinstance(thing, list | tuple):
            return f"[{', '.join(map(self._word, thing))}]" if thing else "torch.jit.annotate(List[int], [])"
        if thing is None or isinstance(thing, bool | int | str):
            return repr(thing)
        if isinstance(thing, float):
            return repr(thing) if math.isfinite(thing) else f'float("{thing}")'
        for kind, type_ in NAMELESS.items():
            if isinstance(thing, kind):
                known = [name for name, value in self.bound.items() if value is thing]
                return known[0] if known else self._bind(f"given_{len(self.bound)}", thing, type_)
        raise ValueError(f"{thing!r}: no value that TorchScript knows")
