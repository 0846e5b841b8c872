"""How far the codes of a batch lie from the prior, as a term of a loss: the maximum mean discrepancy

    MMD^2(q, p) = E k(z, z') - 2 E k(z, y) + E k(y, y'),    z, z' ~ q(z),  y, y' ~ p(z) = N(0, I)

with the multi-scale inverse multiquadratic kernel (Tolstikhin et al. 2018), whose tails fall slowly: a Gaussian kernel pulls
at nothing that lies far off. Unbiased, all pairs of a batch (Gretton et al. 2012, lemma 6): its mean does not hang on the
size of the batch, and it may be negative.
"""

from __future__ import annotations

import torch
from torch import Tensor

from latentbench.geometry.kernels import Kernel, inverse_multiquadratic
from latentbench.randomness import randn


def mmd2(z: Tensor, y: Tensor, kernel: Kernel) -> Tensor:
    """Unbiased MMD^2 of points ``z`` (n, d) and ``y`` (m, d), a scalar with a gradient; `geometry.kernels.mmd2` measures the
    same without one. A sample of one point has no pairs: its share is then 0."""
    return _own(kernel(z, z)) - 2 * kernel(z, y).mean() + _own(kernel(y, y))


def mmd2_to_prior(z: Tensor, generator: torch.Generator) -> Tensor:
    """Unbiased MMD^2 of codes ``z`` (n, d) and as many draws of N(0, I)."""
    return mmd2(z, randn(z.shape, generator, z), inverse_multiquadratic(2.0 * z.shape[1]))


def _own(values: Tensor) -> Tensor:
    """Mean of kernel values (n, n) over the pairs of two different points."""
    n = len(values)
    return (values.sum() - values.diagonal().sum()) / max(n * (n - 1), 1)
