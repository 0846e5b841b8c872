"""The same model in other coordinates: ``z -> (z Q) * s``, Q orthogonal and s > 0, with a decoder that undoes it.

What is said of images is then the same; what is said of codes may not be. Posteriors stay diagonal where their variance
is the same in all dimensions (or Q is the identity), as in the examples. And the same images in another order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from latentbench.core import Codebook, Encoding, Likelihood, Prior
from latentbench.randomness import seeded

Coordinates = Callable[[int], tuple[Tensor, Tensor]]
"""From a latent size d: Q (d, d) and s (d,), float64."""


def turn(d: int, seed: int = 0) -> Tensor:
    """A random rotation or reflection Q (d, d), float64, of Haar measure but for signs."""
    q: Tensor = torch.linalg.qr(torch.randn(d, d, generator=seeded(seed, "turn"), dtype=torch.float64))[0]
    return q


def stretch(d: int, seed: int = 0) -> Tensor:
    """Factors s (d,), float64, between 1/10 and 10."""
    return 10 ** (2 * torch.rand(d, generator=seeded(seed, "stretch"), dtype=torch.float64) - 1)


def _ones(d: int) -> Tensor:
    return torch.ones(d, dtype=torch.float64)


def _eye(d: int) -> Tensor:
    return torch.eye(d, dtype=torch.float64)


REPARAMETRISATIONS: Mapping[str, Coordinates] = {
    "rotation": lambda d: (turn(d), _ones(d)),
    "isotropic scale": lambda d: (_eye(d), 7 * _ones(d)),
    "anisotropic scale": lambda d: (_eye(d), stretch(d)),
}


def reparametrised(e: Encoding, coordinates: Coordinates) -> Encoding:
    """The encoding, and its training encoding, with the latent moved and the decoder undoing it."""
    q, s = coordinates(e.mu.shape[1])

    def there(z: Tensor) -> Tensor:
        return (z.double() @ q.to(z.device) * s.to(z.device)).to(z)

    def back(z: Tensor) -> Tensor:
        return (z.double() / s.to(z.device) @ q.T.to(z.device)).to(z)

    def carried(p: Likelihood) -> Likelihood:
        return p._replace(log_prob=lambda x, z: p.log_prob(x, back(z)))

    def renamed(c: Codebook) -> Codebook:
        return c._replace(codes=lambda z: c.codes(back(z)), points=lambda codes: there(c.points(codes)))

    def moved_prior(p: Prior) -> Prior:
        def log_prob(z: Tensor) -> Tensor:
            assert p.log_prob is not None
            return p.log_prob(back(z)) - float(s.log().sum())

        draw = p.draw
        return Prior(lambda noise, generator: there(draw(noise, generator)), log_prob if p.log_prob else None)

    def side(one: Encoding) -> Encoding:
        decode, likelihood, codebook = one.decode, one.likelihood, one.codebook
        log_var = None if one.log_var is None else (one.log_var.double() + 2 * s.log()).to(one.log_var)
        return replace(
            one,
            mu=there(one.mu),
            z=there(one.z),
            log_var=log_var,
            decode=None if decode is None else lambda z: decode(back(z)),
            likelihood=None if likelihood is None else carried(likelihood),
            codebook=None if codebook is None else renamed(codebook),
            prior=None if one.prior is None else moved_prior(one.prior),
        )

    moved = side(e)
    return moved if e.train is None else replace(moved, train=side(e.train))


def permuted(e: Encoding, seed: int = 0) -> Encoding:
    """The encoding's images, with all that belongs to each, in another order; the training encoding as it was."""
    order = torch.randperm(len(e.mu), generator=seeded(seed, "order")).to(e.mu.device)
    return replace(
        e,
        x=e.x[order],
        mu=e.mu[order],
        z=e.z[order],
        x_hat=None if e.x_hat is None else e.x_hat[order],
        log_var=None if e.log_var is None else e.log_var[order],
        labels=None if e.labels is None else e.labels[order],
        codes=None if e.codes is None else e.codes[order],
        factors=None if e.factors is None else e.factors[order],
    )
