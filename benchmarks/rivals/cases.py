"""What is compared with whom: the same question put to latentbench and to a package from the registry.

Every case takes n and returns a call that answers with numbers, which must agree between the two sides. The data are
made before the clock starts and before memory is looked at. A rival that cannot hold a size is not asked: ``most``.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

Answer = tuple[float, ...]
Make = Callable[[int], Callable[[], Answer]]
D, K = 64, 5
"""Features, and neighbours asked for."""


@dataclass(frozen=True)
class Case:
    """One question. ``rivals`` name who else answers it and how; ``most`` is the largest n each of them can hold;
    ``sizes`` those it is asked at; ``tolerance`` the relative difference of answers allowed."""

    name: str
    words: str
    ours: Make
    rivals: dict[str, tuple[Make, int]]
    sizes: tuple[int, ...] = (2_000, 10_000, 50_000)
    tolerance: float = 1e-9


def points(n: int, seed: int, dtype: type = np.float64) -> NDArray[np.float64]:
    """Standard normal points (n, D), the second set a little narrower, as samples of a model are."""
    return (np.random.default_rng(seed).standard_normal((n, D)) * (1 - 0.1 * seed)).astype(dtype)


def _prdc(dtype: type) -> Make:
    def make(n: int) -> Callable[[], Answer]:
        from latentbench.metrics.prior_coverage import prdc

        real, fake = (torch.from_numpy(points(n, seed, dtype)) for seed in (0, 1))
        return lambda: tuple(prdc(real, fake, K))

    return make


def _their_prdc(dtype: type, jobs: int | None) -> Make:
    """The package asks scikit-learn for 8 jobs; ``jobs`` replaces that."""

    def make(n: int) -> Callable[[], Answer]:
        from prdc import prdc as package
        from sklearn.metrics import pairwise_distances

        if jobs is not None:
            package.compute_pairwise_distance = lambda x, y=None: pairwise_distances(x, y, n_jobs=jobs)
        real, fake = points(n, 0, dtype), points(n, 1, dtype)

        def call() -> Answer:
            with contextlib.redirect_stdout(io.StringIO()):
                found = package.compute_prdc(real, fake, nearest_k=K)
            return tuple(float(found[name]) for name in ("precision", "recall", "density", "coverage"))

        return call

    return make


def _nearest(n: int) -> Callable[[], Answer]:
    from latentbench.geometry.neighbours import nearest

    a, b = (torch.from_numpy(points(n, seed)) for seed in (1, 0))
    return lambda: (float(nearest(a, b, K).distance.mean()),)


def _their_nearest(n: int) -> Callable[[], Answer]:
    from sklearn.neighbors import NearestNeighbors

    a, b = points(n, 1), points(n, 0)

    def call() -> Answer:
        search = NearestNeighbors(n_neighbors=K, algorithm="brute").fit(b)
        return (float(search.kneighbors(a)[0].mean()),)

    return call


def _spaces(n: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Points and eight of their coordinates under noise: a space and a reduction of it."""
    x = points(n, 0)
    return x, x[:, :8] + 0.3 * np.random.default_rng(2).standard_normal((n, 8))


def _trustworthiness(n: int) -> Callable[[], Answer]:
    from latentbench.metrics.representation import trustworthiness

    x, reduced = (torch.from_numpy(a) for a in _spaces(n))
    return lambda: (trustworthiness(x, reduced, 10),)


def _their_trustworthiness(n: int) -> Callable[[], Answer]:
    from sklearn.manifold import trustworthiness

    x, reduced = _spaces(n)
    return lambda: (float(trustworthiness(x, reduced, n_neighbors=10)),)


def _hole(n: int) -> Callable[[], Answer]:
    from latentbench.metrics.prior_holes import hole_share

    codes, held_out, draws = (
        torch.from_numpy(points(m, seed)[:, :16].copy()) for seed, m in ((0, n), (2, 5000), (1, 4000))
    )
    return lambda: (hole_share(draws, codes, held_out, K, 0.99),)


def _overlap(n: int) -> Callable[[], Answer]:
    from latentbench.metrics.posterior import bhattacharyya_overlap

    mu, log_var = (torch.from_numpy(points(n, seed)[:, :16].copy()) for seed in (0, 1))
    return lambda: (bhattacharyya_overlap(mu, log_var - 2),)


def _frechet(n: int) -> Callable[[], Answer]:
    from latentbench.metrics.prior_distances import frechet, moments

    real, fake = (torch.from_numpy(points(n, seed)) for seed in (0, 1))
    return lambda: (frechet(moments(real), moments(fake)),)


def _kernel(n: int) -> Callable[[], Answer]:
    from latentbench.geometry.kernels import cubic, mmd2

    real, fake = (torch.from_numpy(points(n, seed)) for seed in (0, 1))
    return lambda: (mmd2(real, fake, cubic),)


class _Features(torch.nn.Module):
    """Features as they are, in the place where torchmetrics has its network."""

    num_features = D

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


def _torchmetrics(kind: str) -> Make:
    def make(n: int) -> Callable[[], Answer]:
        from latentbench.datasets.torchvision_guard import torchvision

        torchvision()
        real, fake = (torch.from_numpy(points(n, seed)) for seed in (0, 1))

        def call() -> Answer:
            if kind == "fid":
                from torchmetrics.image.fid import FrechetInceptionDistance

                metric = FrechetInceptionDistance(feature=_Features()).set_dtype(torch.float64)
            else:
                from torchmetrics.image.kid import KernelInceptionDistance

                metric = KernelInceptionDistance(feature=_Features(), subsets=1, subset_size=n).set_dtype(torch.float64)
            metric.update(real, real=True)
            metric.update(fake, real=False)
            found = metric.compute()
            return (float(found if kind == "fid" else found[0]),)

        return call

    return make


CASES = (
    Case(
        "prdc",
        f"precision, recall, density, coverage; N points each, d = {D}, k = {K}, float64",
        _prdc(np.float64),
        {"prdc": (_their_prdc(np.float64, None), 20_000), "prdc, 1 job": (_their_prdc(np.float64, 1), 20_000)},
        (2_000, 10_000, 50_000, 100_000),
    ),
    Case(
        "prdc float32",
        "the same, given float32",
        _prdc(np.float32),
        {"prdc": (_their_prdc(np.float32, None), 20_000)},
        (10_000,),
        1e-5,
    ),
    Case(
        "nearest",
        f"{K} nearest neighbours of N points among N others, d = {D}",
        _nearest,
        {"scikit-learn, brute": (_their_nearest, 100_000)},
        (2_000, 10_000, 50_000, 100_000),
    ),
    Case(
        "trustworthiness",
        f"N points, from d = {D} to 8, k = 10",
        _trustworthiness,
        {"scikit-learn": (_their_trustworthiness, 20_000)},
    ),
    Case(
        "hole",
        "hole share; N codes, 5,000 held out, 4,000 draws, d = 16",
        _hole,
        {},
        (2_000, 10_000, 50_000, 100_000),
    ),
    Case("overlap", "largest overlap of N posteriors, d = 16", _overlap, {}, (2_000, 10_000)),
    Case(
        "frechet",
        f"Frechet distance, N points each, d = {D}",
        _frechet,
        {"torchmetrics": (_torchmetrics("fid"), 10**9)},
    ),
    Case(
        "kernel",
        f"kernel distance over all pairs, N points each, d = {D}",
        _kernel,
        {"torchmetrics": (_torchmetrics("kid"), 15_000)},
    ),
)
