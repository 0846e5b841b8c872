"""A space: what one sample of a data set is, and all that hangs on it.

An image, a row of a table and a time series differ in which junk a judge is taught with, by which networks they are
encoded, decoded and judged, in the range of their values and in how they are drawn. One `Space` carries these differences;
nothing else asks what kind of data it has.

*Measured* values are those that stand in a `Dataset` and that measures see. Where they were made from others (columns
standardised by the training split's mean and standard deviation), ``scale`` leads back to the *raw* ones.

Symbols: ``x`` samples (n, *shape) of measured values; ``n`` a number of samples.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from latentbench.spaces.junk import Kind

Net = Literal["auto", "mlp", "conv"]
Networks = tuple[nn.Module, nn.Module]
"""An encoder (n, *shape) -> (n, outputs) and a decoder (n, latent_dim) -> (n, values of a sample) or (n, *shape)."""


@dataclass(frozen=True)
class Scale:
    """Measured = (raw - ``shift``) / ``width``, by column (the last axis of a sample for vectors and series)."""

    shift: tuple[float, ...]
    width: tuple[float, ...]

    @classmethod
    def of(cls, raw: Tensor) -> Self:
        """The mean and the standard deviation (of n, not n - 1) of each column of training samples ``raw`` (n, ...,
        columns). A column that never changes keeps its width: 1."""
        rows = raw.double().reshape(-1, raw.shape[-1])
        mean, width = rows.mean(0), rows.std(0, correction=0)
        # A constant column's deviation is rounding: held against its size it says nothing.
        still = width <= 1e-12 * rows.abs().amax(0)
        # Twelve digits: the last ones hang on the order in which a processor adds, and hashes would with them.
        shift, scale = (
            tuple(float(f"{v:.12g}") for v in values.tolist()) for values in (mean, torch.where(still, 1.0, width))
        )
        return cls(shift, scale)

    def to_measured(self, raw: Tensor) -> Tensor:
        """Measured values of raw ones (n, ..., columns); in float64 where the raw ones are, else in float32."""
        return ((raw.double() - _column(self.shift, raw)) / _column(self.width, raw)).to(_real(raw))

    def to_raw(self, x: Tensor) -> Tensor:
        """Raw values of measured ones (n, ..., columns)."""
        return (x.double() * _column(self.width, x) + _column(self.shift, x)).to(_real(x))


def _column(values: Sequence[float], like: Tensor) -> Tensor:
    return torch.tensor(values, dtype=torch.float64, device=like.device)


def _real(x: Tensor) -> torch.dtype:
    return x.dtype if x.is_floating_point() else torch.float32


class Classifier(NamedTuple):
    """The ``body`` of a small classifier, (n, *shape) -> (n, outputs), and how it is trained to its end: so many ``steps``
    of Adam at a rate of at most ``rate``."""

    body: nn.Module
    steps: int = 1500
    rate: float = 3e-3


@dataclass(frozen=True)
class Space(ABC):
    """What one sample is: its ``shape``, names of its ``columns`` (where there are names), the lowest and highest possible
    measured value (``bounds``; None: real numbers), and how measured values come from raw ones (``scale``; None: they are
    the raw ones)."""

    name: ClassVar[str]
    one: ClassVar[str]
    """What a sample is called, and what several are (``many``)."""
    many: ClassVar[str]

    shape: tuple[int, ...]
    columns: tuple[str, ...] = ()
    bounds: tuple[float, float] | None = None
    scale: Scale | None = None

    @property
    @abstractmethod
    def junk(self) -> tuple[Kind, ...]:
        """The kinds of junk that a judge is taught with and tried on."""

    @abstractmethod
    def anchors(self, x: Tensor, mean: Tensor, generator: torch.Generator) -> Mapping[str, Tensor]:
        """Samples that no model has a part in, by the name of their anchor (``ceiling:real``: ``x`` itself; floors), made
        from real ones ``x`` (n, *shape); ``mean`` (1, *shape) is the mean of the training data."""

    @abstractmethod
    def classifier(self, outputs: int) -> Classifier:
        """A small classifier whose body has ``outputs`` features."""

    @abstractmethod
    def networks(self, outputs: int, latent_dim: int, depth: int, width: int, net: Net) -> Networks:
        """An encoder and its mirror. Raises ValueError where a sample is too small for them."""

    @abstractmethod
    def pictures(self, x: Tensor) -> NDArray[np.uint8]:
        """Samples (..., *shape) as pictures, (..., h, w) in grey or (..., h, w, 3)."""

    @property
    def squared(self) -> str:
        """The unit of a variance of measured values."""
        return f"{self.one} range^2" if self.bounds else "standardised value^2" if self.scale else "value^2"

    def faults(self) -> list[str]:
        """What does not fit together in this space, a sentence each: names and scales go by the last axis of a sample, and
        the lowest value lies below the highest."""
        out, last = [], self.shape[-1]
        if self.columns and len(self.columns) != last:
            out.append(f"{len(self.columns)} names for {last} columns")
        if self.scale is not None and {len(self.scale.shift), len(self.scale.width)} != {last}:
            out.append(
                f"a scale of {len(self.scale.shift)} shifts and {len(self.scale.width)} widths for {last} columns"
            )
        if self.scale is not None and not all(w > 0 for w in self.scale.width):
            out.append("a scale with a width that is not above 0")
        if self.bounds is not None and not self.bounds[0] < self.bounds[1]:
            out.append(f"bounds from {self.bounds[0]:g} to {self.bounds[1]:g}")
        return out

    def by_column(self, x: Tensor) -> Tensor | None:
        """The values of samples (n, *shape) by column, (m, columns), where each column is a quantity of its own; None
        where none is."""
        return None

    def clip(self, x: Tensor) -> Tensor:
        """Samples with values within the bounds: what a judge is shown of decoded ones."""
        return x if self.bounds is None else x.clamp(*self.bounds)

    def to_json(self) -> dict[str, Any]:
        """As a run's record holds it."""
        row: dict[str, Any] = {"space": self.name, "shape": list(self.shape)}
        if self.columns:
            row["columns"] = list(self.columns)
        if self.bounds is not None:
            row["bounds"] = list(self.bounds)
        if self.scale is not None:
            row["scale"] = {"shift": list(self.scale.shift), "width": list(self.scale.width)}
        return row

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`. Raises ValueError, TypeError or KeyError for what is none."""
        scale, bounds = row.get("scale"), row.get("bounds")
        return cls(
            shape=tuple(map(int, row["shape"])),
            columns=tuple(map(str, row.get("columns", ()))),
            bounds=None if bounds is None else (float(bounds[0]), float(bounds[1])),
            scale=None
            if scale is None
            else Scale(tuple(map(float, scale["shift"])), tuple(map(float, scale["width"]))),
        )
