"""Principal axes of points in many dimensions: the leading few, without a decomposition of d x d.

A latent of thousands of dimensions holds codes that vary in few of them, and there are mostly fewer codes than
dimensions. What asks for the directions in which codes vary then takes the leading ones, and says of how much of the
variance they account. Cost: O(n d k) time, O(n d) memory for k axes; exact through the smaller of the two Gram matrices
while that is small, by randomised subspace iteration (Halko, Martinsson & Tropp 2011) beyond.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from latentbench.geometry.neighbours import flat

if TYPE_CHECKING:
    from jaxtyping import Shaped

WIDE = 256
"""Latent sizes above this are *wide*: nothing of d x d is decomposed for them."""
LEADING = 32
"""Directions that stand for all in which codes of a wide latent vary, where one searches among them."""
SMALL = 2048
"""A Gram matrix of up to so many rows is decomposed as it is."""
NONE = 1e-12
"""Variances up to this share of the largest are none, and deviations up to this share of the largest value."""


class Axes(NamedTuple):
    """``direction`` (d, k), orthonormal columns by falling variance; ``sd`` (k,) > 0, the standard deviation along each;
    ``share`` in [0, 1] of all variance that they hold. float64; k = 0 where the points are one."""

    direction: Tensor
    sd: Tensor
    share: float


def deviation(values: Shaped[Tensor, "*rows n"]) -> Shaped[Tensor, "*rows"]:
    """Standard deviation of ``values`` over the last axis, over n; 0 where it is rounding, at most `NONE` of the largest
    size among them."""
    sd, size = values.std(-1, correction=0), values.abs().amax(-1)
    return torch.where(sd <= NONE * size, 0.0, sd)


def leading(points: Shaped[Tensor, "n ..."], most: int) -> Axes:
    """The at most ``most`` principal axes of largest variance of ``points`` (n, ...), variances over n; fewer where the
    points vary in fewer directions. Signs and the order of equal variances are the decomposition's."""
    x = flat(points)
    x = x - x.mean(0)
    n, d = x.shape
    whole = float(x.square().sum()) / n
    if min(n, d) <= max(SMALL, 2 * most):
        gram = x.T @ x if d <= n else x @ x.T
        value, vector = torch.linalg.eigh(gram / n)
        value, vector = value.flip(0)[:most], vector.flip(1)[:, :most]
        kept = value > NONE * value[:1].clamp(min=0)
        sd, vector = value[kept].sqrt(), vector[:, kept]
        direction = vector if d <= n else x.T @ vector / (sd * n**0.5)
    else:
        from sklearn.utils.extmath import randomized_svd

        _, singular, right = randomized_svd(x.cpu().numpy(), most, n_iter=4, random_state=0)
        sd = torch.from_numpy(singular.copy()).to(x) / n**0.5
        kept = sd.square() > NONE * sd[:1].square()
        sd, direction = sd[kept], torch.from_numpy(right.copy()).to(x).T[:, kept]
    share = float(sd.square().sum()) / whole if len(sd) else 0.0
    return Axes(direction, sd, min(share, 1.0))
