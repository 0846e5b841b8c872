"""Small stand-ins for tests: a judge that needs no training, encodings made by hand, and the mark that ties a test to
the metric whose known answer it checks."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from latentbench.catalog import metrics
from latentbench.core import Encoding, Judge, Metric, Posterior, Truth, Verdict, randn, seeded
from latentbench.datasets.polygons import coverage

F = TypeVar("F", bound=Callable[..., Any])


def known_answer(*metrics: str) -> Callable[[F], F]:
    """Says that the decorated test holds ``metrics`` to an answer known without this code. The meta-test reads these
    marks and fails while a metric of the package has none."""

    def mark(test: F) -> F:
        test.known_answer = (*getattr(test, "known_answer", ()), *metrics)  # type: ignore[attr-defined]
        return test

    return mark


def reference(*metrics: str) -> Callable[[F], F]:
    """Says that the decorated test holds ``metrics`` to another package's implementation."""

    def mark(test: F) -> F:
        test.reference = (*getattr(test, "reference", ()), *metrics)  # type: ignore[attr-defined]
        return test

    return mark


def value(name: str, e: Encoding, **changes: Any) -> float:
    """What the metric of this name reads on an encoding; ``changes`` replace its parameters."""
    metric = metrics()[name]
    result = metric.compute(e, **{**metric.params, **changes})
    return getattr(result, "value", result)


class CentroidJudge:
    """Implements `core.Judge` on pixels: the class is the nearest class mean; an image is valid where it lies nearer
    to that mean than ``reach``. Features are the pixels themselves."""

    def __init__(self, x: Tensor, y: Tensor, reach: float = 0.5) -> None:
        self.classes = int(y.max()) + 1
        self.centres = torch.stack([x[y == c].flatten(1).mean(0) for c in range(self.classes)])
        self.train_marginal = torch.bincount(y, minlength=self.classes) / len(y)
        self.reach = reach

    def features(self, x: Tensor) -> Tensor:
        return x.flatten(1)

    def __call__(self, x: Tensor) -> Verdict:
        distance = torch.cdist(x.flatten(1), self.centres.to(x))
        nearest = distance.min(1)
        confidence = torch.softmax(-8 * distance, 1).amax(1)
        return Verdict(nearest.values < self.reach, nearest.indices, confidence, nearest.values)


def blobs(n: int, classes: int = 4, seed: int = 0, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """``n`` 4x4 images in [0, 1] of ``classes`` kinds, (n, 1, 4, 4), and labels (n,): random prototypes and noise."""
    prototypes = torch.rand(classes, 1, 4, 4, generator=seeded(7, "prototypes"), dtype=dtype)
    generator = seeded(seed, "blobs")
    y = torch.arange(n) % classes
    noise = torch.randn(n, 1, 4, 4, generator=generator, dtype=dtype)
    return (prototypes[y] + 0.08 * noise).clamp(0, 1), y


class Linear:
    """An affine encoder and decoder of 4x4 images: the first ``d`` principal directions of ``x``, scaled by
    ``scale``; a Gaussian posterior of width ``sigma`` (None: a Dirac)."""

    def __init__(self, x: Tensor, d: int = 3, sigma: float | None = None, scale: float = 3.0) -> None:
        self.centre = x.flatten(1).mean(0)
        _, _, directions = torch.linalg.svd(x.flatten(1) - self.centre, full_matrices=False)
        self.directions, self.sigma, self.scale = directions[:d], sigma, scale

    def encode(self, x: Tensor) -> Posterior:
        mu = self.scale * (x.flatten(1) - self.centre) @ self.directions.T
        return Posterior(mu, None if self.sigma is None else torch.full_like(mu, self.sigma).square().log())

    def decode(self, z: Tensor) -> Tensor:
        return (self.centre + z / self.scale @ self.directions).view(-1, 1, 4, 4)


def encode(
    split: str,
    x: Tensor,
    posterior: Posterior,
    decode: Callable[[Tensor], Tensor] | None = None,
    y: Tensor | None = None,
    train: Encoding | None = None,
    judge: Judge | None = None,
    seed: int = 0,
) -> Encoding:
    """An Encoding from its parts, the rest filled in as `measure` would."""
    z = posterior.sample(seeded(seed, f"posterior {split}"))
    x_hat = None if decode is None else decode(posterior.mu)
    return Encoding(split, x, posterior.mu, z, x_hat, posterior.log_var, y, decode, train, judge, seed)


def fake_encoding(
    sigma: float | None = 0.3, n: int = 240, seed: int = 0, dtype: torch.dtype = torch.float32, **changes: Any
) -> Encoding:
    """A small, complete held-out encoding (60 images) of a linear model with its training encoding (``n``) and a
    judge; ``changes`` replace its fields."""
    x, y = blobs(n, seed=1, dtype=dtype)
    x_test, y_test = blobs(60, seed=2, dtype=dtype)
    model, judge = Linear(x, sigma=sigma), CentroidJudge(x, y)
    train = encode("train", x, model.encode(x), model.decode, y, None, judge, seed)
    train = replace(train, train=train)
    test = encode("test", x_test, model.encode(x_test), model.decode, y_test, train, judge, seed)
    return replace(test, **changes)


def small_line(angle: Tensor) -> Tensor:
    """Lines of length 3.5 and width 1 from the centre of 8x8 images, (m, 1, 8, 8), at angles (m, 1)."""
    angle = angle.double().reshape(-1)
    along = torch.stack([angle.cos(), -angle.sin()], 1)
    across = torch.stack([angle.sin(), angle.cos()], 1) / 2
    tip = 4 + 3.5 * along
    return coverage(torch.stack([4 - across, tip - across, tip + across, 4 + across], 1), 8)[:, None]


def lines_encoding(
    sigma: float | None = 0.3, n: int = 240, seed: int = 0, dtype: torch.dtype = torch.float32, **changes: Any
) -> Encoding:
    """`fake_encoding` for data that are lines: a model whose latent is a plane about which its lines turn (a third
    dimension means nothing), so that all it decodes are true lines."""

    def decode(z: Tensor) -> Tensor:
        return small_line(torch.atan2(z[:, 1], z[:, 0])).to(z)

    def side(split: str, count: int, train: Encoding | None, judge: Judge | None) -> Encoding:
        angle = torch.rand(count, 1, generator=seeded(5, split), dtype=torch.float64) * (2 * torch.pi)
        third = torch.randn(count, 1, generator=seeded(6, split), dtype=torch.float64)
        mu = (2 * torch.cat([angle.cos(), angle.sin(), third], 1)).to(dtype)
        x, y = small_line(angle).to(dtype), (angle[:, 0] / (torch.pi / 2)).long()
        judge = judge or CentroidJudge(x, y, reach=2.0)
        posterior = Posterior(mu, None if sigma is None else torch.full_like(mu, sigma).square().log())
        e = encode(split, x, posterior, decode, y, train, judge, seed)
        return replace(e, factors=angle, truth=Truth(("angle",), small_line))

    train = side("train", n, None, None)
    train = replace(train, train=train)
    return replace(side("test", 60, train, train.judge), **changes)


def example(metric: Metric, sigma: float | None = 0.3, **changes: Any) -> Encoding:
    """An encoding of the data that the metric is meant for."""
    return (lines_encoding if "lines" in metric.needs else fake_encoding)(sigma, **changes)


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
