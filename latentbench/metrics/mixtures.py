"""Mixtures of Gaussians: the standard normal, what is fitted to codes, and draws.

EM has many optima, so a mixture is run from several starts and the best of them goes on (Biernacki, Celeux & Govaert 2003).
scikit-learn's `GaussianMixture` does both, but takes its components one by one: 2 ms a step on 1,000 codes of 8 dimensions,
nearly all of it Python, of which the starts take ten times twenty. Here the starts' steps are those of
all components at once (`_started`), to the same numbers; the run on to the end is scikit-learn's.
"""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from latentbench.core import Undefined
from latentbench.geometry.neighbours import flat
from latentbench.geometry.principal import WIDE
from latentbench.machine import uncollected

if TYPE_CHECKING:
    from jaxtyping import Float, Float64
    from numpy.typing import NDArray

STARTS, FIRST_STEPS, FIRST_CODES = 10, 20, 2000
"""Starts of a mixture, the steps of EM after which the best of them is chosen, and the codes that these see at most."""
RIDGE, CONVERGED = 1e-6, 1e-3
"""What is added to each variance, and the gain in mean log-likelihood below which EM ends: scikit-learn's."""
HELD = 2**22
"""Numbers of an array over components, codes and dimensions that are held at once."""


class Mixture(NamedTuple):
    """A mixture of c Gaussians: ``weight`` (c,), ``mean`` (c, d), and ``root`` (c, d, r) with root root^T = covariance, or
    (c, d), the standard deviations of diagonal covariances; float64 on the CPU."""

    weight: Tensor
    mean: Tensor
    root: Tensor

    @property
    def sources(self) -> int:
        """How many standard normal numbers are behind a draw: r, or d where the covariances are diagonal."""
        return self.root.shape[-1]


def standard_normal(d: int) -> Mixture:
    """N(0, I_d), as a mixture of one."""
    one = torch.ones(1, dtype=torch.float64)
    return Mixture(one, torch.zeros(1, d, dtype=torch.float64), torch.ones(1, d, dtype=torch.float64))


def fit_gaussian(codes: Float[Tensor, "n ..."]) -> Mixture:
    """The Gaussian with the mean and the full covariance of ``codes`` (n, d), as a mixture of one. Directions without
    variance stay without. Of a wide latent the codes are their own root, ``(codes - mean)^T / sqrt(n)`` (d, n): exact, and
    no decomposition, of any rank."""
    codes = flat(codes).cpu()
    mean = codes.mean(0)
    if codes.shape[1] > WIDE:
        own = (codes - mean).T / len(codes) ** 0.5
        return Mixture(torch.ones(1, dtype=torch.float64), mean[None], own[None])
    covariance = (codes - mean).T @ (codes - mean) / len(codes)
    value, vector = torch.linalg.eigh(covariance)
    root = vector * value.clamp(min=0).sqrt() @ vector.T  # symmetric, so the draw pairs across models
    return Mixture(torch.ones(1, dtype=torch.float64), mean[None], root[None])


def fit_mixture(codes: Float[Tensor, "n d"], components: int, generator: torch.Generator) -> Mixture:
    """A mixture of ``components`` full-covariance Gaussians fitted to ``codes`` (n, d) by EM, on standardised coordinates so
    that the `RIDGE` is relative: `STARTS` short runs from k-means starts, of which that with the best likelihood is run on.
    The components stand in the order of their first coordinates, so that one optimum, found from another start, is one
    mixture. ``generator`` seeds the starts: let it depend on data and seed, never on the model. Of a wide latent the
    covariances are diagonal.

    With fewer than two codes a component there are as many components as that allows; raises Undefined for n < 2.
    """
    with uncollected():
        from sklearn.cluster import KMeans
        from sklearn.mixture import GaussianMixture

    codes = flat(codes).cpu()
    if len(codes) < 2:
        raise Undefined("a mixture needs two training codes, there is {n}", "undefined.mixture_codes", n=len(codes))
    mean, sd = codes.mean(0), codes.std(0, correction=0)
    sd = torch.where(sd > 0, sd, 1.0)
    points = (codes - mean) / sd
    some = points[:: -(-len(points) // FIRST_CODES)]  # evenly: codes may stand in order of their classes
    most, diagonal = max(1, min(components, len(some) // 2)), points.shape[1] > WIDE
    starts = np.random.RandomState(int(torch.randint(2**31 - 1, (1,), generator=generator)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # unconverged EM, or fewer distinct codes than components, is still a mixture
        clusters = (KMeans(most, n_init=1, random_state=starts).fit(some.numpy()).labels_ for _ in range(STARTS))
        begun = max((_started(some, labels, most, diagonal) for labels in clusters), key=lambda found: found[0])[1]
        model = GaussianMixture(
            most,
            covariance_type="diag" if diagonal else "full",
            weights_init=begun.weight.numpy(),
            means_init=begun.mean.numpy(),
            precisions_init=(begun.root**-2 if diagonal else torch.cholesky_inverse(begun.root)).numpy(),
            random_state=0,
        ).fit(points.numpy())
    order = np.lexsort(model.means_.T[::-1])
    covariance = torch.from_numpy(np.asarray(model.covariances_)[order])
    root = sd * covariance.sqrt() if diagonal else sd[:, None] * torch.linalg.cholesky(covariance)
    means = torch.from_numpy(np.asarray(model.means_)[order])
    return Mixture(torch.from_numpy(np.asarray(model.weights_)[order]), mean + sd * means, root)


def _started(points: Tensor, labels: NDArray[np.int32], components: int, diagonal: bool) -> tuple[float, Mixture]:
    """At most `FIRST_STEPS` steps of EM on ``points`` (n, d) from clusters, ``labels`` (n,): the mean log-likelihood before the
    last of them, in nats, and the mixture after it, its roots lower triangles or standard deviations."""
    share = torch.nn.functional.one_hot(torch.from_numpy(labels).long(), components).to(points)
    mixture, before, now = _maximised(points, share, diagonal), -math.inf, -math.inf
    for _ in range(FIRST_STEPS):
        density = _log_density(points, mixture)
        total = density.logsumexp(1, keepdim=True)
        mixture = _maximised(points, (density - total).exp(), diagonal)
        before, now = now, float(total.mean())
        if abs(now - before) < CONVERGED:
            break
    return now, mixture


def _maximised(points: Tensor, share: Tensor, diagonal: bool) -> Mixture:
    """The mixture that explains ``points`` (n, d) best, given each component's ``share`` (n, c) in each of them."""
    weight = share.sum(0) + 10 * torch.finfo(share.dtype).eps
    mean = share.T @ points / weight[:, None]
    if diagonal:
        variance = share.T @ points.square() / weight[:, None] - mean.square() + RIDGE
        return Mixture(weight / weight.sum(), mean, variance.sqrt())
    covariance = []
    for part in torch.arange(len(mean)).split(max(1, HELD // points.numel())):
        away = points - mean[part, None]
        covariance.append((away * share.T[part, :, None]).mT @ away / weight[part, None, None])
    root = torch.cat(covariance)
    root.diagonal(dim1=1, dim2=2).add_(RIDGE)
    return Mixture(weight / weight.sum(), mean, torch.linalg.cholesky(root))


def _log_density(points: Tensor, mixture: Mixture) -> Tensor:
    """Ln w_c N(x; m_c, C_c) of ``points`` (n, d) for each component, (n, c), the roots lower triangles or standard deviations."""
    weight, mean, root = mixture
    if root.ndim == 2:
        precision = root**-2
        apart = points.square() @ precision.T - 2 * points @ (mean * precision).T + (mean.square() * precision).sum(1)
        return weight.log() - root.log().sum(1) - (apart + root.shape[1] * math.log(2 * math.pi)) / 2
    one = torch.eye(root.shape[-1], dtype=root.dtype)
    out = []
    for part in torch.arange(len(mean)).split(max(1, HELD // points.numel())):
        inverse = torch.linalg.solve_triangular(root[part], one, upper=False)
        out.append(((points - mean[part, None]) @ inverse.mT).square().sum(2))
    apart = torch.cat(out).T
    size = root.diagonal(dim1=1, dim2=2).log().sum(1)
    return weight.log() - size - (apart + root.shape[-1] * math.log(2 * math.pi)) / 2


def draw(mixture: Mixture, noise: Float64[Tensor, "m sources"], generator: torch.Generator) -> Float64[Tensor, "m d"]:
    """Samples (m, d) of a mixture from standard normal ``noise`` (m, `Mixture.sources`) float64; ``generator`` picks
    components."""
    diagonal = mixture.root.dim() == 2
    if len(mixture.weight) == 1:
        return mixture.mean + (noise * mixture.root if diagonal else noise @ mixture.root[0].T)
    chosen = torch.multinomial(mixture.weight, len(noise), replacement=True, generator=generator)
    if diagonal:
        return mixture.mean[chosen] + mixture.root[chosen] * noise
    return mixture.mean[chosen] + torch.einsum("mij,mj->mi", mixture.root[chosen], noise)
