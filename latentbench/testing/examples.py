"""Small encodings that need no training: a linear model of blurred dots, and a judge that compares with class means.

Everything is drawn and fitted in float64 and then rounded to the ``dtype`` asked for: encodings of two precisions show
the same images, codes and draws up to rounding, so a metric must read nearly the same on both.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from latentbench.core import Codebook, Encoding, Judge, Likelihood, Posterior, Prior, Verdict
from latentbench.metrics.code_prior import autoregressive_prior
from latentbench.randomness import seeded
from latentbench.spaces.space import Space


class CentroidJudge:
    """Implements `core.Judge` on pixels: the class is the nearest class mean; an image is valid where it lies nearer
    to that mean than ``reach``. Features are the pixels themselves."""

    def __init__(self, x: Tensor, y: Tensor, reach: float = 0.5) -> None:
        self.classes = int(y.max()) + 1
        self.centres = torch.stack([x[y == c].flatten(1).mean(0) for c in range(self.classes)])
        self.train_marginal = torch.bincount(y, minlength=self.classes) / len(y)
        self.reach = reach

    def features(self, x: Tensor) -> Tensor:
        """Pixels (n, f)."""
        return x.flatten(1)

    def __call__(self, x: Tensor) -> Verdict:
        """Verdicts on images (n, c, h, w)."""
        distance = torch.cdist(x.flatten(1), self.centres.to(x))
        nearest = distance.min(1)
        confidence = torch.softmax(-8 * distance, 1).amax(1)
        return Verdict(nearest.values < self.reach, nearest.indices, confidence, nearest.values)


def blobs(n: int, classes: int = 4, seed: int = 0, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """``n`` 4x4 images in [0, 1] of ``classes`` kinds, (n, 1, 4, 4), and labels (n,): random prototypes and noise."""
    prototypes = torch.rand(classes, 1, 4, 4, generator=seeded(7, "prototypes"), dtype=torch.float64)
    y = torch.arange(n) % classes
    noise = torch.randn(n, 1, 4, 4, generator=seeded(seed, "blobs"), dtype=torch.float64)
    return (prototypes[y] + 0.08 * noise).clamp(0, 1).to(dtype), y


class Linear:
    """An affine encoder and decoder of samples (n, *shape), such as 4x4 images: the first ``d`` principal directions of ``x``, scaled by
    ``scale``; a Gaussian posterior of width ``sigma`` (None: a Dirac)."""

    def __init__(self, x: Tensor, d: int = 3, sigma: float | None = None, scale: float = 3.0) -> None:
        flat = x.flatten(1).double()
        _, _, directions = torch.linalg.svd(flat - flat.mean(0), full_matrices=False)
        self.shape = x.shape[1:]
        self.centre, self.directions = flat.mean(0).to(x), directions[:d].to(x)
        self.sigma, self.scale = sigma, scale

    def encode(self, x: Tensor) -> Posterior:
        """The posterior of samples (n, *shape)."""
        mu = self.scale * (x.flatten(1) - self.centre) @ self.directions.T
        return Posterior(mu, None if self.sigma is None else torch.full_like(mu, self.sigma).square().log())

    def decode(self, z: Tensor) -> Tensor:
        """Samples (n, *shape) of codes (n, d)."""
        flat: Tensor = self.centre + z / self.scale @ self.directions
        return flat.view(-1, *self.shape)

    def log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        """Log density of samples x (n, *shape) under N(decode(z), .1^2 I), (n,)."""
        return normal_log_prob(x, self.decode(z), 0.1)


def normal_log_prob(x: Tensor, mean: Tensor, sigma: float) -> Tensor:
    """Log density log N(x; mean, sigma^2 I), summed over pixels, (n,)."""
    log_prob: Tensor = torch.distributions.Normal(mean, sigma).log_prob(x)
    return log_prob.flatten(1).sum(1)


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
    exact = Posterior(*(None if p is None else p.double() for p in posterior))  # type: ignore[arg-type]
    z = exact.sample(seeded(seed, f"posterior {split}")).to(posterior.mu)
    x_hat = None if decode is None else decode(posterior.mu)
    return Encoding(split, x, posterior.mu, z, x_hat, posterior.log_var, y, decode, train, judge=judge, seed=seed)


def example_encoding(
    sigma: float | None = 0.3,
    n: int = 240,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
    space: Space | None = None,
    d: int = 3,
    **changes: Any,
) -> Encoding:
    """A small, complete held-out encoding (60 images) of a linear model with its training encoding (``n``) and a
    judge; ``sigma`` is the posterior's width (None: a Dirac); ``d`` the latent size; ``space``: what the 16 values of a sample are taken for (None:
    images (1, 4, 4)); ``changes`` replace its fields."""
    x, y = blobs(n, seed=1, dtype=dtype)
    x_test, y_test = blobs(60, seed=2, dtype=dtype)
    if space is not None:
        x, x_test = x.reshape(-1, *space.shape), x_test.reshape(-1, *space.shape)
    model, judge = Linear(x, d, sigma), CentroidJudge(x, y)
    train = encode("train", x, model.encode(x), model.decode, y, None, judge, seed)
    train = replace(train, train=train, given_space=space)
    test = encode("test", x_test, model.encode(x_test), model.decode, y_test, train, judge, seed)
    test = replace(test, given_space=space, likelihood=Likelihood("gaussian", model.log_likelihood))
    return replace(test, **changes)


def spatial_encoding(
    sigma: float | None = 0.3, n: int = 240, seed: int = 0, dtype: torch.dtype = torch.float32, **changes: Any
) -> Encoding:
    """`example_encoding` of a model whose codes are maps: two channels of 2 x 2 positions."""
    e = example_encoding(sigma, n, seed, dtype, d=8, latent_shape=(2, 2, 2))
    return replace(e, train=e.train and replace(e.train, latent_shape=(2, 2, 2)), **changes)


LEVELS = 16
"""Codes of each latent value of a `discretised` encoding."""


def discretised(e: Encoding) -> Encoding:
    """The encoding, and its training encoding, of a model whose latent is discrete: every latent value is rounded to halves,
    one of `LEVELS` codes, and images come back from the rounded points; no variance and no likelihood is left."""

    def codes(z: Tensor) -> Tensor:
        return ((2 * z).round() + LEVELS // 2).clamp(0, LEVELS - 1).long()

    def side(one: Encoding, train: Encoding | None) -> Encoding:
        found = codes(one.mu)
        points = ((found - LEVELS // 2) / 2).to(one.mu)
        codebook = Codebook(LEVELS, one.mu.shape[1], codes, lambda c: ((c - LEVELS // 2) / 2).to(one.mu))
        x_hat = None if one.decode is None else one.decode(points)
        new = replace(one, prior=None, mu=points, z=points, x_hat=x_hat, log_var=None, likelihood=None, train=train)
        new = replace(new, codes=found, codebook=codebook)
        return replace(new, prior=autoregressive_prior(new))

    train = None if e.train is None else side(e.train, None)
    return side(e, None if train is None else replace(train, train=train))


def discrete_encoding(sigma: float | None = None, **changes: Any) -> Encoding:
    """`example_encoding` of a model whose latent is discrete; a discrete posterior has no width ``sigma``."""
    return discretised(example_encoding(None, **changes))


HILLS = ((-1.5, 0.7), (1.5, 0.7))
"""Middle along the first axis and standard deviation of each half of `two_hills`."""


def two_hills() -> Prior:
    """A prior that is no Gaussian: half N(-1.5 e_1, .7^2 I), half N(1.5 e_1, .7^2 I), with its density."""

    def middles(z: Tensor) -> Tensor:
        out = z.new_zeros(len(HILLS), z.shape[1])
        out[:, 0] = torch.tensor([m for m, _ in HILLS])
        return out

    def draw(noise: Tensor, generator: torch.Generator) -> Tensor:
        which = torch.randint(len(HILLS), (len(noise),), generator=generator).to(noise.device)
        width = torch.tensor([s for _, s in HILLS]).to(noise)
        return middles(noise)[which] + width[which, None] * noise

    def log_prob(z: Tensor) -> Tensor:
        each = [
            torch.distributions.Normal(middle, width).log_prob(z).sum(1)
            for middle, (_, width) in zip(middles(z), HILLS, strict=True)
        ]
        return torch.stack(each).logsumexp(0) - math.log(len(HILLS))

    return Prior(draw, log_prob)


def own_prior_encoding(sigma: float | None = 0.3, dtype: torch.dtype = torch.float32) -> Encoding:
    """`example_encoding` of a model that was trained with the prior `two_hills`."""
    e = example_encoding(sigma, dtype=dtype)
    assert e.train is not None
    prior = two_hills()
    return replace(e, prior=prior, train=replace(e.train, prior=prior))
