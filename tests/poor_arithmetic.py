"""Another processor, emulated: products and sums whose last digits come out differently, sines too.

Makes of processor and their libraries differ in the order in which they add, in fused multiplications and in the last
bits of sines. `PoorArithmetic` does to every torch operation within it what the worst of them was seen to do, and
somewhat more, so that a search that hangs on such digits goes wrong here, whatever processor the test runs on.
"""

from __future__ import annotations

import torch
from torch.utils._python_dispatch import TorchDispatchMode

ERROR = 5e-6
"""What is added to a product of float32 unit vectors that point the same way; seen on real processors: 2.6e-6 (vectors of 1,024 entries)."""

aten = torch.ops.aten
PRODUCTS = {aten.mm: 0, aten.bmm: 0, aten.addmm: 1, aten.baddbmm: 1, aten.mv: 0, aten.dot: 0}
"""Each with the place of its left factor; the right one follows."""
SUMS = (aten.sum, aten.mean)
WAVES = (aten.sin, aten.cos, aten.exp, aten.log, aten.atan2, aten.tanh)


class PoorArithmetic(TorchDispatchMode):
    """Within it products are made with their inner axis turned round and err by up to `ERROR` of the sum of its
    terms' magnitudes (in float64 as much less as its digits are finer, and never more than a sum of so many terms can err in any order:
    a screen may rely on that bound); sums run backwards; transcendental functions are off by two units in the last
    place."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self.draws = torch.Generator().manual_seed(seed)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        packet = func.overloadpacket
        if packet in PRODUCTS:
            place = PRODUCTS[packet]
            left, right = args[place : place + 2]
            inner = 0 if right.dim() == 1 else -2
            args = (*args[:place], left.flip(-1), right.flip(inner), *args[place + 2 :])
            product = func(*args, **kwargs)
            magnitude = packet(*(a.abs() for a in args))
            eps = torch.finfo(product.dtype).eps
            share = min(ERROR * eps / torch.finfo(torch.float32).eps, left.shape[-1] * eps / 2)
            return product.add_(self._noise(product) * magnitude * share)
        if packet in SUMS and args[0].is_floating_point():
            turned = args[0].flip(list(range(args[0].dim())))
            axes = args[1] if len(args) > 1 and args[1] else None
            if axes is None:
                return func(turned, *args[1:], **kwargs)
            kept = [a for a in range(args[0].dim()) if a not in {x % args[0].dim() for x in axes}]
            return func(turned.flip(kept), *args[1:], **kwargs)
        out = func(*args, **kwargs)
        if packet in WAVES and isinstance(out, torch.Tensor) and out.is_floating_point():
            return out * (1 + 2 * torch.finfo(out.dtype).eps * self._noise(out))
        return out

    def _noise(self, like):
        """Uniform in [-1, 1]."""
        return 2 * torch.rand(like.shape, generator=self.draws, dtype=like.dtype) - 1
