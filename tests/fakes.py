"""Small stand-ins for tests: a judge that needs no training, encodings made by hand, the marks that tie a test to the
metric whose known answer it checks, and what a metric's test file says of its other proofs."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor

from latentbench.catalog import metrics
from latentbench.core import Encoding, Metric, Verdict
from latentbench.randomness import randn, seeded
from latentbench.testing.examples import CentroidJudge, Linear, blobs, encode, normal_log_prob
from latentbench.testing.examples import example_encoding as fake_encoding
from latentbench.testing.lines import lines_encoding, small_line
from latentbench.testing.metrics import PRECISION, example_for

__all__ = [
    "CentroidJudge",
    "Linear",
    "blobs",
    "encode",
    "fake_encoding",
    "lines_encoding",
    "normal_log_prob",
    "small_line",
]

F = TypeVar("F", bound=Callable[..., Any])


def known_answer(*metrics: str) -> Callable[[F], F]:
    """Says that the decorated test holds ``metrics`` to an answer known without this code. The meta-test reads these
    marks and fails while a metric of the package has none."""

    def mark(test: F) -> F:
        test.known_answer = (*getattr(test, "known_answer", ()), *metrics)  # type: ignore[attr-defined]
        return test

    return mark


def reference(*metrics: str) -> Callable[[F], F]:
    """Says that the decorated test compares ``metrics`` with another implementation: a package of the registry, or the
    formula written out in numpy where none has it."""

    def mark(test: F) -> F:
        test.reference = (*getattr(test, "reference", ()), *metrics)  # type: ignore[attr-defined]
        return test

    return mark


class Coordinates(NamedTuple):
    """What happens to a metric's number when the latent is turned, scaled evenly or stretched unevenly (the decoder
    undoing it), and when the images come in another order: ``exact``, the same number; ``draws``, other draws of the same
    distribution; ``no``, another number; and ``why``. ``shown``: whether the small examples show the other number."""

    rotation: str
    isotropic: str
    anisotropic: str
    order: str
    why: str
    shown: bool = True


class Proof(NamedTuple):
    """What some metrics are held to beside their marked tests; see `proofs_of`."""

    metrics: tuple[str, ...]
    package: str | None
    coordinates: Coordinates
    degrade: Callable[[Encoding], Encoding] | None
    follows: tuple[str, ...]
    free: str
    precision: float


def proofs_of(
    *metrics: str,
    package: str | None,
    coordinates: Coordinates,
    degrade: Callable[[Encoding], Encoding] | None = None,
    follows: tuple[str, ...] = (),
    free: str = "",
    precision: float = PRECISION,
) -> Proof:
    """The proofs of ``metrics``, for the tuple ``PROOFS`` of the metrics' test file, which the meta-tests gather.

    ``package``: whose numbers a test marked `reference` compares with (None: no package on the registry has it).
    ``coordinates``: what a metric may not notice. ``degrade``: an encoding made worse, on which a metric with a direction
    must score worse (`worse`). ``follows``: the series of ever worse images that a metric of a decoder with a direction
    must follow step by step (`test_order`), or ``free``: why none. ``precision``: how far float32 may move it,
    relative, where that is more than is usual.
    """
    return Proof(metrics, package, coordinates, degrade, follows, free, precision)


def value(name: str, e: Encoding, **changes: Any) -> float:
    """What the metric of this name reads on an encoding; ``changes`` replace its parameters."""
    metric = metrics()[name]
    result = metric.compute(e, **{**metric.params, **changes})
    return getattr(result, "value", result)


def example(metric: Metric, sigma: float | None = 0.3, dtype: torch.dtype = torch.float32) -> Encoding:
    """An encoding of the data that the metric is meant for."""
    return example_for(metric)(sigma, dtype)


def latent_encoding(codes: Tensor, held_out: Tensor, log_var: Tensor | None = None) -> Encoding:
    """An encoding known by its codes alone: ``codes`` (n, d) of the training split, ``held_out`` (m, d) of the test
    split, taken as draws and as means; images are blank."""
    train = Encoding("train", codes.new_zeros(len(codes), 1, 1, 1), codes, codes, None, log_var)
    return Encoding("test", held_out.new_zeros(len(held_out), 1, 1, 1), held_out, held_out, None, log_var, train=train)


def normal(shape: tuple[int, ...], purpose: str, like: Tensor | None = None) -> Tensor:
    """Seeded standard normal draws, float64 unless ``like`` says otherwise."""
    return randn(shape, seeded(0, purpose), torch.zeros((), dtype=torch.float64) if like is None else like)


def two_gaussians(tau: float, n: int, purpose: str) -> Tensor:
    """Codes (n, 1) of the aggregate posterior half N(-a, tau^2), half N(a, tau^2), a^2 = 1 - tau^2: mean 0, variance 1."""
    a = math.sqrt(1 - tau**2)
    side = torch.where(torch.arange(n) % 2 == 0, a, -a).double()
    return (side + tau * normal((n,), purpose))[:, None]


class Between:
    """Accepts one-pixel images of an interval; two classes, split at ``cut``."""

    classes = 2
    train_marginal = torch.tensor([0.5, 0.5])

    def __init__(self, low, high, cut=0.5):
        self.low, self.high, self.cut = low, high, cut

    def features(self, x):
        return x.flatten(1)

    def __call__(self, x):
        point = x.flatten()
        valid = (point > self.low) & (point < self.high)
        return Verdict(valid, (point > self.cut).long(), valid.double(), 1 - valid.double())
