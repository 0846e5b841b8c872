"""The ``torch.nn.Module`` behind a user's callables: measured in eval mode, and left as it was.

A module that is measured in training mode has dropout, and its batch normalisation learns from what it is shown: other
numbers than it will ever be used with, and another model afterwards.
"""

from __future__ import annotations

import functools
import inspect
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


def modules_of(*things: Any) -> list[nn.Module]:
    """The modules that callables or models are, or that they hold: a module or its bound method; an object with a module
    among its attributes; a function that closes over one or names it. Each once, none that is part of another."""
    found: dict[int, nn.Module] = {}
    for thing in things:
        for module in _modules(thing):
            found.setdefault(id(module), module)
    inner = {id(m) for module in found.values() for m in module.modules() if m is not module}
    return [m for key, m in found.items() if key not in inner]


def _modules(thing: Any) -> Iterator[nn.Module]:
    if isinstance(thing, nn.Module):
        yield thing
    elif isinstance(thing, tuple):
        for part in thing:
            yield from _modules(part)
    elif isinstance(thing, functools.partial):
        for part in (thing.func, *thing.args, *thing.keywords.values()):
            yield from _modules(part)
    elif inspect.ismethod(thing):
        yield from _modules(thing.__self__)
    elif inspect.isfunction(thing):
        for value in _seen(thing):
            owner = getattr(value, "__self__", value)
            yield from (_modules(owner) if isinstance(owner, nn.Module) else _attributes(owner))
    else:
        yield from _attributes(thing)


def _seen(function: Callable[..., Any]) -> Iterator[Any]:
    """What a function finds by name in what surrounds it."""
    code = function.__code__
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # a name that is not bound yet
            continue
    for name in code.co_names:
        if name in function.__globals__:
            yield function.__globals__[name]


def _attributes(owner: Any) -> Iterator[nn.Module]:
    if not isinstance(owner, type) and not inspect.ismodule(owner):
        yield from (v for v in getattr(owner, "__dict__", {}).values() if isinstance(v, nn.Module))


def numbers_of(modules: Sequence[nn.Module]) -> tuple[torch.dtype | None, torch.device | None]:
    """The dtype and the device that modules compute in: those of the first floating-point weight or buffer, None where
    there is none."""
    for module in modules:
        for tensor in (*module.parameters(), *module.buffers()):
            if tensor.is_floating_point() and tensor.device.type != "meta":
                return tensor.dtype, tensor.device
    return None, None


def parameters_of(modules: Sequence[nn.Module]) -> int:
    """How many weights these modules have, shared ones once."""
    return sum(p.numel() for p in {id(p): p for m in modules for p in m.parameters()}.values())


class Steady:
    """Modules in eval mode for as long as they are measured; afterwards in the modes that they were in, with the weights
    and buffers that they had. ``trained``: whether one was in training mode; ``changed``: the names of what a module
    changed of itself."""

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        self.modules = modules
        self.trained = any(m.training for module in modules for m in module.modules())
        self.changed: tuple[str, ...] = ()

    @contextmanager
    def held(self) -> Iterator[None]:
        """The time in which they are measured."""
        modes = [(m, m.training) for module in self.modules for m in module.modules()]
        kept = [(name, t, t.detach().clone()) for name, t in self._tensors()]
        # A compiled module cannot hang another buffer in its place, only write into it.
        places = [(m, dict(m._buffers)) for m, _ in modes if not isinstance(m, torch.jit.ScriptModule)]
        for module in self.modules:
            module.eval()
        try:
            yield
        finally:
            now = dict(self._tensors())
            changed = [n for n, _, was in kept if n not in now or not _same(now[n], was)]
            self.changed = tuple(dict.fromkeys((*self.changed, *changed)))
            with torch.no_grad():
                for m, buffers in places:
                    m._buffers.update(buffers)
                for _, tensor, was in kept:
                    if not _same(tensor, was):
                        tensor.copy_(was)
            for m, mode in modes:
                m.training = mode

    def _tensors(self) -> Iterator[tuple[str, Tensor]]:
        for module in self.modules:
            yield from module.named_parameters()
            yield from module.named_buffers()


def _same(a: Tensor, b: Tensor) -> bool:
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    return bool(torch.equal(torch.nan_to_num(a), torch.nan_to_num(b))) if a.is_floating_point() else torch.equal(a, b)


@contextmanager
def own_randomness(seed: int) -> Iterator[None]:
    """Callables that draw from the global generators of Python, NumPy and PyTorch draw the same for the same ``seed``, and
    the generators are afterwards as they were."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 - theirs
    devices = (
        list(range(torch.cuda.device_count())) if torch.cuda.is_available() and torch.cuda.is_initialized() else []
    )
    with torch.random.fork_rng(devices=devices):
        random.seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002
        torch.manual_seed(seed)
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)  # noqa: NPY002
