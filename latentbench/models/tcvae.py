"""The beta-TCVAE (Chen et al. 2018): of the KL only what the dimensions of the code say twice is weighed up.

Averaged over the N training images, with q(z) = (1/N) sum_n q(z|x_n) the aggregate posterior and q(z_j) that of one dimension,

    KL(q(z|x) || p(z)) = I(x; z)  +  KL(q(z) || prod_j q(z_j))  +  sum_j KL(q(z_j) || p(z_j))
                         mutual      total correlation            dimension-wise KL
                         information

Loss = -log p(x|z) + KL + (beta - 1) * total correlation, which is beta times the middle term and one of each other.

q(z) holds all N posteriors, a batch of M but some. Stratified sampling: that of the point's own image is one of the N and
weighs 1/N, the others stand for the rest and weigh (N - 1) / (N (M - 1)) each. That is unbiased for q(z); it is their
estimator (S6) averaged over which image of the batch comes last, and for M = N it is exact. Its logarithm
reads low, and the joint one lower than those of single dimensions: in many dimensions a batch sees little of q(z) beside the
own posterior. So the mutual information reads too high, up to ln N, and the total correlation too low, even below 0; that of
one model compares with another's only from batches of one size.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from latentbench.core import Loss, ModelEntry, Posterior
from latentbench.models import fields
from latentbench.models.nets import Shape
from latentbench.models.variational import Family, Variational, kl_parts
from latentbench.spaces.space import Net, Space

HELD = 4_000_000
"""Values of log q(z_j|x) held at once."""


class TotalCorrelationAutoencoder(Variational):
    """A VAE whose total correlation weighs beta; see the module's docstring. ValueError for a field outside its range.

    Loss: -log p(x|z) + KL(q(z|x) || p(z)) + (beta - 1) * KL(q(z) || prod_j q(z_j)), z ~ q(z|x)

    Args:
        beta: weight of the total correlation, 0 or more; 1: the VAE
    """

    def __init__(
        self,
        shape: Shape,
        latent_dim: int,
        *,
        depth: int = 2,
        width: int = 256,
        net: Net = "auto",
        beta: float = 6.0,
        likelihood: Family = "gaussian",
        sigma: float | None = None,
        space: Space | None = None,
    ) -> None:
        fields.from_zero("beta", beta)
        super().__init__(
            shape, latent_dim, depth=depth, width=width, net=net, likelihood=likelihood, sigma=sigma, space=space
        )
        self.beta, self.images = beta, 0

    def counted(self, images: int) -> None:
        """Learn how many training images there are; before that a batch is taken for all of them."""
        self.images = images

    def loss(self, x: Tensor, generator: torch.Generator) -> Loss:
        """Negative log-likelihood of one posterior draw, the KL, and more of its total correlation, in nats per image."""
        posterior = self.encode(x)
        z = posterior.sample(generator)
        nll, (mean_part, variance_part) = self.nll(z, x), kl_parts(posterior)
        parts = decomposed(z, posterior, max(self.images, len(x)))
        total = nll + mean_part + variance_part + (self.beta - 1) * parts["total_correlation"]
        terms = {"nll": nll, "kl.mean_part": mean_part, "kl.variance_part": variance_part, **parts}
        return Loss(total, {k: v.detach() for k, v in terms.items()})


def decomposed(z: Tensor, posterior: Posterior, images: int) -> dict[str, Tensor]:
    """The three parts of the KL to N(0, I) in nats, scalars that sum to its estimate mean_i log q(z_i|x_i) / p(z_i):
    ``mutual_information``, ``total_correlation``, ``dimension_wise_kl``, from a draw ``z`` (n, d) of each ``posterior`` of a
    batch of so many training ``images``."""
    own = _log_normal(z, posterior).sum(1)
    joint, each = log_aggregate(z, posterior, images)
    prior = -0.5 * (z.square() + math.log(2 * math.pi)).sum(1)
    return {
        "mutual_information": (own - joint).mean(),
        "total_correlation": (joint - each.sum(1)).mean(),
        "dimension_wise_kl": (each.sum(1) - prior).mean(),
    }


def log_aggregate(z: Tensor, posterior: Posterior, images: int) -> tuple[Tensor, Tensor]:
    """Estimates of log q(z_i), (n,), and of log q(z_ij) of each dimension, (n, d), in nats, at a draw ``z`` (n, d) of each
    ``posterior`` of a batch of so many training ``images``."""
    n, d = z.shape
    others = math.log((images - 1) / (images * (n - 1))) if n > 1 else 0.0
    weights = torch.full((n, n), others, dtype=z.dtype, device=z.device)
    weights = weights + torch.eye(n, dtype=z.dtype, device=z.device) * ((-math.log(images) if n > 1 else 0.0) - others)
    joint, each = [], []
    for rows in torch.arange(n, device=z.device).split(max(1, HELD // (n * d))):
        log_q = _log_normal(z[rows, None], posterior)
        joint.append(torch.logsumexp(log_q.sum(-1) + weights[rows], 1))
        each.append(torch.logsumexp(log_q + weights[rows, :, None], 1))
    return torch.cat(joint), torch.cat(each)


def _log_normal(z: Tensor, posterior: Posterior) -> Tensor:
    """Log q(z_j|x) of each dimension."""
    mu, log_var = posterior
    assert log_var is not None
    return -0.5 * ((z - mu).square() * (-log_var).exp() + log_var + math.log(2 * math.pi))


TCVAE = ModelEntry(
    "tcvae",
    TotalCorrelationAutoencoder,
    "beta-TCVAE: a VAE whose total correlation weighs beta",
    "Chen et al. 2018; Rybkin et al. 2021",
)
