"""The least difference that matters, of each metric.

Below it two models are the same for every purpose one compares them for, however surely they differ: a run that never ends
would tell any two apart. A metric declares its own (`latentbench.core.Metric`), absolute in its unit or as a share of its
values, and the run record holds it; where a record holds none, what follows from the bounds and the unit does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from latentbench.stats.intervals import Bounds  # it loads scipy.special: a third of a second before a run begins

OF_A_SHARE, OF_ANYTHING = 0.02, 0.05
"""The default, absolute for shares and probabilities, else relative."""


@dataclass(frozen=True)
class LeastEffect:
    """``absolute``, in the unit of the metric, or ``relative``, a share of the larger of the two values; where both are
    declared the larger counts, so that a share of nearly nothing is not taken for a difference."""

    absolute: float | None = None
    relative: float | None = OF_ANYTHING

    def between(self, a: float, b: float) -> float:
        """The least difference of two values that matters, in their unit; never below 0."""
        return max(self.absolute or 0.0, (self.relative or 0.0) * max(abs(a), abs(b)))

    def to_json(self) -> dict[str, float]:
        """As the run record's definitions hold it: ``{"absolute": .02}``, ``{"relative": .05}`` or both."""
        return {k: v for k, v in (("absolute", self.absolute), ("relative", self.relative)) if v is not None}


def least_effect(absolute: float | None, relative: float | None, bounds: Bounds, unit: str) -> LeastEffect:
    """What a metric declares; where it declares neither, `OF_A_SHARE` for what lies within [-1, 1] or is a share of at
    most 1, and `OF_ANYTHING` of the value for all else."""
    if absolute is not None or relative is not None:
        return LeastEffect(absolute, relative)
    low, high = bounds
    within = low is not None and high is not None and low >= -1 and high <= 1
    if within or (high == 1 and unit.startswith("share")):
        return LeastEffect(OF_A_SHARE, None)
    return LeastEffect()


def recorded(definition: Mapping[str, Any], bounds: Bounds, unit: str) -> LeastEffect:
    """The least effect that a run's definition of a metric holds; the default where it holds none."""
    held = definition.get("least") or {}
    return least_effect(held.get("absolute"), held.get("relative"), bounds, unit)
