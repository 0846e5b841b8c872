"""Means of a kernel over pairs of points, and the maximum mean discrepancy built from them, in blocks of bounded memory.

    MMD^2(P, Q) = E k(x, x') - 2 E k(x, y) + E k(y, y'),    x, x' ~ P,  y, y' ~ Q

is 0 where P = Q and, for a characteristic kernel (the Gaussian one), nowhere else. The *U-statistic* leaves out the
pairs of a point with itself and so is unbiased: it scatters around 0 where the distributions are the same, below it as
often as above. A *kernel* here maps points (n, d) and (m, d), float64, to its values (n, m).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from latentbench.geometry.neighbours import blocks, flat

if TYPE_CHECKING:
    from jaxtyping import Float, Shaped

Kernel = Callable[[Tensor, Tensor], Tensor]
SMALLER = 4
"""How much smaller than a block of distances one of kernel values is: a kernel holds some of its size at once."""


def gaussian(h2: float) -> Kernel:
    """``k(x, y) = exp(-|x - y|^2 / (2 h^2))`` for ``h2 = h^2 > 0``. Values in (0, 1]."""

    def kernel(x: Tensor, y: Tensor) -> Tensor:
        half = torch.addmm(y.square().sum(1) / -2, x, y.T).sub_(x.square().sum(1, keepdim=True) / 2)
        return half.clamp_(max=0).div_(h2).exp_()

    return kernel


SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Multiples of the expected squared distance of two draws of a prior at which its codes are looked at."""


def inverse_multiquadratic(h2: float) -> Kernel:
    """``k(x, y) = sum_s s h^2 / (s h^2 + |x - y|^2)`` over `SCALES`, for ``h2 = h^2 > 0``: its tails fall slowly, so points
    that lie far off are still pulled. Values in (0, 7]. Differentiable, in any float type (Tolstikhin et al. 2018, with
    h^2 = 2 d for N(0, I) in d dimensions)."""

    def kernel(x: Tensor, y: Tensor) -> Tensor:
        squared = (x.square().sum(1, keepdim=True) + y.square().sum(1) - 2 * x @ y.T).clamp(min=0)
        wide = (squared.new_tensor(SCALES) * h2)[:, None, None]
        return (wide / (wide + squared)).sum(0)

    return kernel


def cubic(x: Float[Tensor, "n d"], y: Float[Tensor, "m d"]) -> Float[Tensor, "n m"]:
    """``k(x, y) = (x.y / d + 1)^3`` of points (n, d) and (m, d) (Binkowski et al. 2018)."""
    inner = (x / x.shape[1] @ y.T).add_(1)
    return inner.square().mul_(inner)


def between(x: Shaped[Tensor, "n ..."], y: Shaped[Tensor, "m ..."], kernel: Kernel) -> float:
    """Mean of ``k(x_i, y_j)`` over all pairs of ``x`` (n, ...) and ``y`` (m, ...)."""
    x, y = flat(x), flat(y)
    total = sum((kernel(x[rows], y).sum() for rows in blocks(len(x), SMALLER * len(y))), x.new_zeros(()))
    return float(total) / (len(x) * len(y))


def within(x: Shaped[Tensor, "n ..."], kernel: Kernel) -> float:
    """Mean of ``k(x_i, x_j)`` over all pairs i != j of ``x`` (n, ...), n >= 2. Symmetry halves the work."""
    x = flat(x)
    total = x.new_zeros(())
    for rows in blocks(len(x), SMALLER * len(x)):
        own = kernel(x[rows], x[rows])
        total += own.sum() - own.diagonal().sum()
        if rows.stop < len(x):
            total += 2 * kernel(x[rows], x[rows.stop :]).sum()
    return float(total) / (len(x) * (len(x) - 1))


def mmd2(x: Shaped[Tensor, "n ..."], y: Shaped[Tensor, "m ..."], kernel: Kernel) -> float:
    """The unbiased MMD^2 between samples ``x`` (n, ...) and ``y`` (m, ...), from all their pairs (Gretton et al. 2012,
    lemma 6). May be negative. Raises ValueError where a sample has fewer than two points."""
    if min(len(x), len(y)) < 2:
        raise ValueError(f"MMD needs two points of each sample, there are {len(x)} and {len(y)}")
    return within(x, kernel) - 2 * between(x, y, kernel) + within(y, kernel)
