"""What one call of a model costs, whatever the machine: floating-point operations and the peak of memory held."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

Call = Callable[[], object]


def flops(call: Call) -> int:
    """Floating-point operations of ``call``: 2 m n k for every matrix product and convolution, forward and backward;
    element-wise work is not counted. >= 0, lower is cheaper; exact, and the same on every machine."""
    with _Operations() as operations:
        call()
    return int(operations.done)


def peak_memory(call: Call, device: torch.device) -> int:
    """The most bytes that tensors made during ``call`` hold at one time. >= 0, lower is better.

    What existed before the call (weights, its input) does not count. On CUDA this is what the caching allocator hands
    out, kernels' scratch memory included; on a CPU it is the storage of every operator's result while it lives, and
    scratch memory inside an operator is not seen.
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        call()
        torch.cuda.synchronize(device)
        return max(0, int(torch.cuda.max_memory_allocated(device)) - int(before))
    with _LiveBytes() as live:
        call()
    return int(live.peak)


class _Watch(TorchDispatchMode):
    """Sees every operator of a call as it goes ``through``."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def through(self, func: Any, args: Any, kwargs: Any) -> Any:
        """Do what is asked; within it operators are not seen."""
        return func(*args, **kwargs)


def _dispatch(self: _Watch, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
    return self.through(func, args, kwargs or {})


# Not in the class's body: what stands there torch hides from its compiler, and loads the compiler for it, for a second.
setattr(_Watch, "__torch_dispatch__", _dispatch)  # noqa: B010


class _Operations(_Watch):
    """Operations ``done``, by torch's own formulas; an operator without one is taken apart into those that it is made of."""

    def __init__(self) -> None:
        super().__init__()
        self.done = 0

    def through(self, func: Any, args: Any, kwargs: Any) -> Any:
        formula = flop_registry.get(func.overloadpacket)
        if formula is None:
            with self:
                parts = func.decompose(*args, **kwargs)
            return func(*args, **kwargs) if parts is NotImplemented else parts
        out = func(*args, **kwargs)
        self.done += int(formula(*args, **kwargs, out_val=out))
        return out


class _LiveBytes(_Watch):
    """Bytes of the storages that operators returned, from first sight until they are freed; ``peak``: the most."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._made: set[int] = set()
        # Held, so that no new storage takes the address of an old one.
        self._before: dict[int, Any] = {}

    def through(self, func: Any, args: Any, kwargs: Any) -> Any:
        for storage in _storages((args, kwargs)):
            if storage._cdata not in self._made:
                self._before.setdefault(storage._cdata, storage)
        out = func(*args, **kwargs)
        for storage in _storages(out):
            if storage._cdata not in self._made and storage._cdata not in self._before:
                self._made.add(storage._cdata)
                self.now += storage.nbytes()
                weakref.finalize(storage, self._free, storage._cdata, storage.nbytes())
        self.peak = max(self.peak, self.now)
        return out

    def _free(self, key: int, size: int) -> None:
        self._made.discard(key)
        self.now -= size


def _storages(tree: Any) -> list[Any]:
    return [leaf.untyped_storage() for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]
