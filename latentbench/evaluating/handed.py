"""The form in which samples were handed over, and the way from it to what is measured and back."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from latentbench.evaluating import values
from latentbench.evaluating.layout import Layout, plain
from latentbench.evaluating.values import Range
from latentbench.spaces.space import Scale, Space

EXTREME = 0.01
"""Share of values at either end that may lie anywhere before a decoder's range is doubted."""
LOOKED_AT = 1_000_000
"""Values by which that is told."""
FAR = 0.05
"""Share of a range that values may lie outside of it before it is said."""
NARROW = 1 / 50
"""Share of a range that decoded values fill where they are of another one."""


@dataclass(frozen=True)
class Handed:
    """The form in which samples were handed over: what callables are given, and what they give back.

    ``layout`` of the axes; ``range`` whose ends are measured as 0 and 1 (None: values are not mapped); ``scale`` from raw to
    measured values (None: they are the raw ones); ``dtype`` that callables get; whether values were ``whole`` numbers."""

    layout: Layout
    range: Range | None = None
    scale: Scale | None = None
    dtype: torch.dtype = torch.float32
    whole: bool = False

    def to_user(self, x: Tensor) -> Tensor:
        """Measured samples (n, *space.shape) as they were handed over: in their layout, range and type, as a copy of its
        own."""
        out = x if self.scale is None else self.scale.to_raw(x.double())
        if self.range not in (None, values.UNIT):
            out = values.out_of_unit(out.double(), self.range)
        out = out.round() if self.whole else out
        made = self.layout.to_user(out).to(self.dtype).contiguous()
        return made.clone() if made.data_ptr() == x.data_ptr() else made

    def from_user(self, out: Tensor) -> Tensor:
        """What a decoder gave for n latent points, as measured samples (n, *space.shape). Raises ValueError for another
        shape."""
        if out.ndim < 1 or not len(out):
            raise ValueError(f"decode returned shape {tuple(out.shape)}; expected {self.layout.said('n')}")
        try:
            raw = values.real(self.layout.to_measured(out))
        except ValueError as error:
            raise ValueError(f"decode returned {error}") from None
        if self.range is not None:
            return values.into_unit(raw, self.range)
        return raw if self.scale is None else self.scale.to_measured(raw)

    def outside(self, out: Tensor) -> float:
        """How far what a decoder gave (n, ...) lies outside of the range of what was handed over, as a share of its width,
        its `EXTREME` values at either end left out; in [0, inf), 0: within it, or all values are allowed."""
        if self.range is None or not out.numel():
            return 0.0
        (low, high), (least, most) = self.range, _reach(out)
        return max(low - least, most - high, 0.0) / (high - low)

    def doubt(self, out: Tensor) -> str:
        """What looks wrong in the values that a decoder gave (n, ...), beside those that were handed over, and what would
        mend it; empty for nothing."""
        if self.range is None or not out.numel():
            return ""
        (low, high), (least, most) = self.range, _reach(out)
        span = f"from {least:.4g} to {most:.4g}, and x_test ranges from {low:g} to {high:g}"
        if self.outside(out) > FAR:
            return f"decode returned values {span}: give back the range that was handed over, or say range=(lowest, highest)"
        if -FAR <= least < most <= 1 + FAR and (most - least) < NARROW * (high - low):
            return f"decode returned values {span}: a decoder of values in [0, 1] needs x_test in [0, 1] too (x / {high:g})"
        return ""


def as_measured(space: Space) -> Handed:
    """The form of samples that are handed over as they are measured, but for the space's own scale: callables see raw
    values."""
    # Of bounds [0, 1] the map is the identity, and what lies outside is known.
    unit = values.UNIT if space.bounds == values.UNIT and space.scale is None else None
    return Handed(plain(space), unit, space.scale)


def _reach(out: Tensor) -> Range:
    """The lowest and the highest of decoded values but for the `EXTREME` ones."""
    flat = out.detach().flatten()
    flat = flat[:: max(1, len(flat) // LOOKED_AT)].double().sort().values
    cut = int(EXTREME * len(flat))
    return float(flat[cut]), float(flat[len(flat) - 1 - cut])
