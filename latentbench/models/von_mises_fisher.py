"""The von Mises-Fisher distribution on the sphere S^(d-1): q(z) ~ exp(kappa mu.z), |z| = |mu| = 1, kappa >= 0.

With v = d/2 - 1 and I_v the modified Bessel function, its normaliser is C(kappa) = kappa^v / ((2 pi)^(d/2) I_v(kappa)); the mean
of mu.z is A(kappa) = I_(v+1)(kappa) / I_v(kappa), and the divergence from the uniform distribution on the sphere

    KL(kappa) = kappa A(kappa) + ln C(kappa) + ln |S^(d-1)|,      KL(0) = 0,      dKL/dkappa = kappa A'(kappa)

*Bessel functions.* At an order V = v + `UP`, high enough for it, the uniform expansion of ln I_V in 1/V is used (Olver 1954;
DLMF 10.41.3). Below it the ratios rho_j = I_(j+1)(kappa) / (kappa I_j(kappa)) follow downwards by rho_(j-1) = 1 / (2 j +
kappa^2 rho_j), which damps any error, and ln I_v = ln I_V - sum_j ln(kappa rho_j). Powers of kappa are taken out before: what is
left is smooth at kappa = 0, neither overflows nor cancels for any kappa and d, and is differentiated as it stands.

*Draws* (Ulrich 1984; Wood 1994). w = mu.z is proposed as w = (1 - (1 + b) e) / (1 - (1 - b) e), e ~ Beta((d-1)/2, (d-1)/2), and
accepted or not; at least two of three proposals are. e is (1 + y_1) / 2 of a uniform point y of the sphere, and a fixed number of
proposals (`TRIES`) is made at once, of which the first accepted one counts: nothing but standard normal numbers is drawn, and no
loop hangs on the data. z = w mu + sqrt(1 - w^2) t, t a uniform direction orthogonal to mu.

*Gradients.* Which proposal is accepted hangs on kappa, so that the gradient through the accepted one alone is biased. Instead w
moves along its own distribution function F (implicit reparameterisation; Figurnov, Mohamed & Mnih 2018):

    dw/dkappa = - (dF/dkappa) / p(w) = - int_-1^w (t - A) p(t) dt / p(w),

by Gauss-Legendre quadrature in the angle, t = -cos(theta), in which the integrand is smooth also for d = 2.
"""

from __future__ import annotations

import math
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from latentbench.randomness import randn

UP = 24
"""How far above the order that is asked for the expansion is used: its error there is about 1e-9."""
TRIES = 24
"""Proposals for a draw: at least .66 of them are accepted, so that none is once in 1e11 draws."""
NEAR = 1e-14
"""Below this 1 - w^2 is nothing."""
NODES = 48
"""Of the quadrature."""
REACH = 12.0
"""Standard deviations of w to the left of it over which the quadrature runs: beyond it there is nothing."""


class VonMisesFisher(NamedTuple):
    """The posterior q(z|x): mean directions ``mu`` (n, d) of length 1 and concentrations ``kappa`` (n,) >= 0. It has no
    variance in single dimensions, and so no ``log_var``."""

    mu: Tensor
    kappa: Tensor

    @property
    def family(self) -> str:
        """The distribution's name."""
        return "von Mises-Fisher"

    @property
    def log_var(self) -> None:
        """There is none: see `latentbench.core.Posterior`."""

    def sample(self, generator: torch.Generator) -> Tensor:
        """One draw per image, shape (n, d), of length 1, differentiable in ``mu`` and ``kappa``."""
        d = self.mu.shape[1]
        w = _along(self.kappa, d, generator)[:, None]
        aside = (1 - w.square()).clamp_min(NEAR).sqrt()  # at 0 a root has no derivative
        noise = randn(self.mu.shape, generator, self.mu)
        across = F.normalize(noise - (noise * self.mu).sum(1, keepdim=True) * self.mu, dim=1)
        return w.to(self.mu) * self.mu + aside.to(self.mu) * across


def kl_to_uniform(kappa: Tensor, d: int) -> Tensor:
    """KL of the von Mises-Fisher distribution of concentrations ``kappa`` (n,) in d >= 2 dimensions from the uniform one, in
    nats, (n,), >= 0, rising with kappa; 0 at kappa = 0, where also its derivative is."""
    square = kappa.double().square()
    ratio, log_bessel = _bessel(square, d / 2 - 1)
    _, at_zero = _bessel(torch.zeros_like(square[:1]), d / 2 - 1)
    return (square * ratio - (log_bessel - at_zero)).to(kappa)


def mean_cosine(kappa: Tensor, d: int) -> Tensor:
    """A(kappa) = E mu.z of concentrations ``kappa`` (n,) in d >= 2 dimensions: from 0 (uniform) to 1 (a point)."""
    exact = kappa.double()
    return (exact * _bessel(exact.square(), d / 2 - 1)[0]).to(kappa)


def _bessel(square: Tensor, v: float) -> tuple[Tensor, Tensor]:
    """I_(v+1)(kappa) / (kappa I_v(kappa)) and ln I_v(kappa) - v ln kappa for kappa^2 = ``square``, float64."""
    top = v + UP
    log_top = _expansion(square, top)
    ratio = (_expansion(square, top + 1) - log_top).exp()
    log = log_top
    for step in range(UP):
        ratio = 1 / (2 * (top - step) + square * ratio)  # from that of order j to that of order j - 1
        log = log - ratio.log()
    return ratio, log


def _expansion(square: Tensor, v: float) -> Tensor:
    """Ln I_v(kappa) - v ln kappa, to four terms of the uniform expansion in 1/v."""
    root = (1 + square / v**2).sqrt()
    t = 1 / root
    s = t.square()
    series = (
        1
        + t * (3 - 5 * s) / (24 * v)
        + s * (81 - 462 * s + 385 * s**2) / (1152 * v**2)
        + t * s * (30375 - 369603 * s + 765765 * s**2 - 425425 * s**3) / (414720 * v**3)
    )
    exponent = v * (root - math.log(v) - (1 + root).log())
    return exponent - 0.5 * math.log(2 * math.pi * v) - 0.5 * root.log() + series.log()


def _along(kappa: Tensor, d: int, generator: torch.Generator) -> Tensor:
    """Draws w = mu.z (n,), float64, for concentrations ``kappa`` (n,), differentiable in them."""
    n, like = len(kappa), kappa.double()
    y = randn((TRIES, n, d), generator, kappa).double()
    chance = torch.special.ndtr(randn((TRIES, n), generator, kappa).double())
    with torch.no_grad():
        w = _accepted(like, d, (1 + F.normalize(y, dim=2)[..., 0]) / 2, chance)
        slope = _slope(w, like, d)
    moved: Tensor = w + slope * (like - like.detach())
    return moved


def _accepted(kappa: Tensor, d: int, e: Tensor, chance: Tensor) -> Tensor:
    """The first of the proposals ``e`` (tries, n), Beta((d-1)/2, (d-1)/2), that ``chance`` (tries, n), uniform, accepts, as w."""
    wide = (4 * kappa.square() + (d - 1) ** 2).sqrt()
    b = (d - 1) / (2 * kappa + wide)
    a = (d - 1 + 2 * kappa + wide) / 4
    below = 1 - (1 - b) * e
    w, t = (1 - (1 + b) * e) / below, 2 * a * b / below
    level = (d - 1) * t.log() - t + 4 * a * b / (1 + b) - (d - 1) * math.log(d - 1)
    first = (level >= chance.log()).to(torch.uint8).argmax(0)
    return w.gather(0, first[None])[0].clamp(-1, 1)


def _slope(w: Tensor, kappa: Tensor, d: int) -> Tensor:
    """dw/dkappa (n,) of draws ``w`` (n,): see the module's docstring."""
    mean = mean_cosine(kappa, d)
    # About the standard deviation of w, 1 / sqrt(d) at kappa = 0 and sqrt((d-1) / 2) / kappa in the end: 1 - A^2 - (d-1) A / kappa
    # is its square, and cancels.
    sd = (d + 2 * kappa.square() / (d - 1)).rsqrt()
    start = torch.maximum(torch.minimum(w, mean) - REACH * sd, torch.full_like(w, -1.0))
    low, high = (-start).clamp(-1, 1).acos(), (-w).clamp(-1, 1).acos()
    node, weight = (torch.as_tensor(part, dtype=w.dtype, device=w.device) for part in _nodes())
    half = (high - low) / 2
    theta = (low + high)[:, None] / 2 + half[:, None] * node
    t = -theta.cos()
    log_p = kappa[:, None] * (t - w[:, None]) + (d - 2) * theta.sin().clamp_min(1e-300).log()
    log_p = log_p - (d - 3) * high.sin().clamp_min(1e-12).log()[:, None]
    return -half * (((t - mean[:, None]) * log_p.exp()) @ weight)


@cache
def _nodes() -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Nodes and weights of the quadrature on [-1, 1]."""
    node, weight = np.polynomial.legendre.leggauss(NODES)
    return tuple(node.tolist()), tuple(weight.tolist())
