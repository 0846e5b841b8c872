"""Fewer operations in a list, for the same results to the last bit.

A list that was written down while autograd worked holds much that gives the same at every call, or nothing new: derivatives
of a sum are made from ones, a weight is turned for its product, a number becomes a tensor, each time anew. A small model's
operation costs as much by being called as by its arithmetic, so they are left out here:

    detach(x)                            x
    t(t(x))                              x
    what hangs on no input and no weight     its value, once
    a view of a weight                   the view, once: it is the same memory
    x * 0.5                              x times a tensor that holds .5
    the same of the same, a second time  the first

Whatever is written to in place, itself or through a view, is left as it is.
"""

from __future__ import annotations

import operator
from collections.abc import Hashable, Iterator
from typing import Any

import torch
from torch import Tensor, fx

from latentbench.training.operations import TENSOR, Operations, acts, erase_unused

aten = torch.ops.aten

SAME = {aten.detach.default, aten.alias.default, aten.lift_fresh.default}
"""Give what they are given, where there is no gradient."""

OF_A_SHAPE = {
    aten.ones_like.default,
    aten.zeros_like.default,
    aten.full_like.default,
    aten.new_ones.default,
    aten.new_zeros.default,
    aten.new_full.default,
}
"""Look at their argument's shape alone, which a list fixes."""

ARITHMETIC = {
    getattr(getattr(aten, name), kind) for name in ("add", "sub", "mul", "div") for kind in ("Tensor", "Scalar")
}
"""May be given a number as second operand, of which they make a tensor, and one more of the other's type, at each call."""

NUMBERS = (torch.float32, torch.float64)
"""Types that such a number is rounded to the same way beforehand: a smaller type's arithmetic keeps it longer."""


def simplified(listed: Operations) -> Operations:
    """The same list with fewer operations."""
    return _Simplifier(listed).simplified()


class _Simplifier:
    """One list on its way. ``lasting``: its nodes that stand for the same memory at every call; ``fixed``: those of them that hold
    the same values too."""

    def __init__(self, listed: Operations) -> None:
        self.graph, self.constants = listed.graph, dict(listed.constants)
        self.written = _written(listed)
        self.lasting: set[fx.Node] = set()
        self.fixed: set[fx.Node] = set()
        self._numbers: dict[Hashable, fx.Node] = {}
        self._seen: dict[Hashable, fx.Node] = {}

    def simplified(self) -> Operations:
        """The list, shortened in place."""
        nodes = list(self.graph.nodes)
        for node in nodes:
            if node.op == "get_attr":
                self.lasting.add(node)
                literal = all(user.target is aten.lift_fresh.default for user in node.users)
                if literal and node not in self.written:
                    self.fixed.add(node)  # numbers that the loss itself spells out
            elif isinstance(node.target, torch._ops.OpOverload):
                self._simplify(node)
        erase_unused(self.graph)
        for node in nodes:
            node.meta.pop(TENSOR, None)  # nodes know each other, and go when somebody looks for such circles
        used = {str(node.target) for node in self.graph.nodes if node.op == "get_attr"}
        return Operations(self.graph, {name: tensor for name, tensor in self.constants.items() if name in used})

    def _simplify(self, node: Any) -> None:
        first = node.args[0] if node.args else None
        if acts(node.target) or node.target.namespace != "aten":  # what others' operations keep, nobody knows
            return
        if node.target in SAME:
            self._replace(node, first)
        elif node.target is aten.t.default and isinstance(first, fx.Node) and first.target is aten.t.default:
            self._replace(node, first.args[0])
        elif not self._settle(node):
            self._number(node)
            self._once(node)

    def _replace(self, node: fx.Node, other: Any) -> None:
        node.replace_all_uses_with(other)
        self.graph.erase_node(node)

    def _settle(self, node: fx.Node) -> bool:
        """Put the tensor itself in place of an operation that gives the same values or the same memory at every call; False for
        another."""
        tensor, given = node.meta.get(TENSOR), set(node.all_input_nodes)
        fixed = node.target in OF_A_SHAPE or given <= self.fixed
        lasts = fixed or (given <= self.lasting and any(True for _ in _aliased(node)))
        if node in self.written or not isinstance(tensor, Tensor) or not lasts:
            return False
        self._replace(node, self._constant(node, tensor, fixed))
        return True

    def _constant(self, before: fx.Node, tensor: Tensor, fixed: bool) -> fx.Node:
        """A node for a tensor that stays."""
        name = f"settled_{len(self.constants)}"
        self.constants[name] = tensor.detach()
        with self.graph.inserting_before(before):
            made = self.graph.create_node("get_attr", name)
        made.meta[TENSOR] = tensor
        self.lasting.add(made)
        if fixed:
            self.fixed.add(made)
        return made

    def _number(self, node: fx.Node) -> None:
        """Have a number as operand made a tensor once."""
        if node.target not in ARITHMETIC or len(node.args) < 2 or not isinstance(node.args[0], fx.Node):
            return
        tensor, number = node.args[0].meta.get(TENSOR), node.args[1]
        if isinstance(number, bool) or not isinstance(number, int | float) or not isinstance(tensor, Tensor):
            return
        if tensor.dtype in NUMBERS and tensor.device.type == "cpu":
            key = repr(float(number)), tensor.dtype
            if key not in self._numbers:
                self._numbers[key] = self._constant(node, torch.tensor(number, dtype=tensor.dtype), fixed=True)
            node.update_arg(1, self._numbers[key])

    def _once(self, node: fx.Node) -> None:
        """Take the result of the same operation on the same, where there was one."""
        if node in self.written or any(given in self.written for given in node.all_input_nodes):
            return
        key = _key((node.target, node.args, node.kwargs))
        if (first := self._seen.setdefault(key, node)) is not node:
            self._replace(node, first)


def _key(thing: Any) -> Hashable:
    """What two calls have in common that are the same: a number's kind counts, since 2 and 2. give other types, and so does
    the sign of 0."""
    if isinstance(thing, list | tuple):
        return tuple(map(_key, thing))
    if isinstance(thing, dict):
        return tuple((name, _key(value)) for name, value in sorted(thing.items()))
    return type(thing), repr(thing) if isinstance(thing, float) else thing


def _aliased(node: fx.Node) -> Iterator[tuple[fx.Node, bool]]:
    """The arguments whose memory an operation's result lies in, or that it writes to, and whether it does that."""
    if node.target is operator.getitem:
        yield node.all_input_nodes[0], False
    elif isinstance(node.target, torch._ops.OpOverload):
        for place, argument in enumerate(node.target._schema.arguments):
            given = node.args[place] if place < len(node.args) else node.kwargs.get(argument.name)
            if argument.alias_info is not None:
                for one in given if isinstance(given, list | tuple) else [given]:
                    if isinstance(one, fx.Node):
                        yield one, argument.alias_info.is_write
    elif node.op == "call_function":
        yield from ((given, True) for given in node.all_input_nodes)  # nobody knows


def _written(listed: Operations) -> set[fx.Node]:
    """The nodes in whose memory something is written, by themselves or by another that lies in it."""
    family: dict[fx.Node, set[fx.Node]] = {}
    by_memory: dict[int, fx.Node] = {}
    wrote: list[fx.Node] = []

    def unite(one: fx.Node, other: fx.Node) -> None:
        if family[one] is not family[other]:
            family[one] |= family[other]
            for member in family[other]:
                family[member] = family[one]

    for node in listed.graph.nodes:
        family[node] = {node}
        if node.op == "get_attr":
            memory = listed.constants[str(node.target)].untyped_storage().data_ptr()
            unite(node, by_memory.setdefault(memory, node))
        for given, writes in _aliased(node):
            unite(node, given)
            if writes:
                wrote.append(given)
    return {member for node in wrote for member in family[node]}
