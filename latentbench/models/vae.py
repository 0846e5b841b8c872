"""The variational autoencoder: q(z|x) = N(mu(x), diag sigma(x)^2), prior p(z) = N(0, I).

Loss per image = -log p(x|z) + beta * KL(q(z|x) || p(z)), z ~ q(z|x), in nats (Kingma & Welling 2014; beta: Higgins et
al. 2017). The KL of a diagonal Gaussian is the sum over dimensions of two halves, each with a job of its own:

    mean part      mu^2 / 2                           keeps the means from flying apart
    variance part  (sigma^2 - 1 - ln sigma^2) / 2     keeps the posteriors from shrinking to points

``kl`` chooses which of them is in the loss: ``full``, ``mean`` or ``variance``. ``warmup`` lets beta rise in a straight
line from 0 over the first so many training steps (Bowman et al. 2016), so that a decoder that knows nothing yet does
not collapse the posterior; the validation loss weighs the KL with the whole beta throughout.

``info`` makes it the InfoVAE of Zhao et al. 2019. Of the KL, averaged over images, a part is the mutual information of image
and code, the rest the KL of the aggregate posterior q(z) = E_x q(z|x) to the prior. To weigh the first down takes nothing
from the prior if the second is asked for by itself: the KL counts 1 - info of its weight, and ``weight`` times the MMD^2 of
q(z) and p(z) joins the loss (`latentbench.models.discrepancy`). In their symbols info = alpha, weight = alpha + lambda - 1;
``info=1`` is the MMD-VAE, which has no KL at all.

``prior=flow`` learns the prior with the model: p(z) is then the density of a small coupling flow
(`latentbench.models.coupling`), and the KL is estimated by the draw that is decoded,

    KL(q(z|x) || p(z)) = - H(q(z|x)) - E log p(z),      H the entropy of the Gaussian, exactly.

The aggregate posterior no longer has to look like N(0, I): the prior moves to where it is. There are no halves of this KL and
no MMD to N(0, I) beside it: ``kl``, ``info`` and ``weight`` are refused.

The likelihoods are those of `latentbench.models.variational`.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from latentbench.core import GaussianElbo, Loss, ModelEntry, Posterior
from latentbench.models import fields
from latentbench.models.coupling import CouplingFlow
from latentbench.models.discrepancy import mmd2_to_prior
from latentbench.models.nets import Shape
from latentbench.models.variational import Family, Variational, kl_parts
from latentbench.spaces.space import Net, Space

WEIGHT = 10.0
"""Weight of the MMD where information is asked for and no weight is."""


class VariationalAutoencoder(Variational):
    """A Gaussian VAE with one field for each choice; see the module's docstring. ValueError for a field outside its range.

    Loss: -log p(x|z) + (1 - info) * beta * KL(q(z|x) || p(z)) + weight * MMD^2(q(z), p(z)), z ~ q(z|x)

    Args:
        beta: weight of the KL, 0 or more
        kl: which half of the KL is in the loss: that of the means, that of the variances, or both
        warmup: training steps over which beta rises from 0
        info: the InfoVAE's alpha, from 0 to 1: the share of the KL that is left out; 1: the MMD-VAE
        weight: weight of the MMD of codes and prior, 0 or more; None: 0 without ``info``, else 10
        prior: N(0, I), or a flow that is learned with the model
    """

    def __init__(
        self,
        shape: Shape,
        latent_dim: int,
        *,
        depth: int = 2,
        width: int = 256,
        net: Net = "auto",
        beta: float = 1.0,
        likelihood: Family = "gaussian",
        sigma: float | None = None,
        kl: Literal["full", "mean", "variance"] = "full",
        warmup: int = 0,
        info: float = 0.0,
        weight: float | None = None,
        prior: Literal["normal", "flow"] = "normal",
        space: Space | None = None,
    ) -> None:
        fields.from_zero("beta", beta)
        fields.count("warmup", warmup, 0, "training steps")
        fields.share("info", info)
        if weight is not None:
            fields.from_zero("weight", weight)
        if prior == "flow":
            _alone("kl", kl, kl == "full")
            _alone("info", info, not info)
            _alone("weight", weight, not weight)
        super().__init__(
            shape, latent_dim, depth=depth, width=width, net=net, likelihood=likelihood, sigma=sigma, space=space
        )
        self.beta, self.kl = (1 - info) * beta, kl
        self.weight = weight if weight is not None else WEIGHT if info else 0.0
        self.warmup, self._step = warmup, 0
        self.flow = CouplingFlow(latent_dim) if prior == "flow" else None
        if self.flow is not None:  # only a model that has a prior of its own has these methods: see `core.Model`
            self.prior, self.log_prior = self.flow.draw, self.flow.log_prob

    @property
    def decoder_variance(self) -> float | None:
        """The implied variance of a pixel, beta * s^2, of beta what ``info`` leaves of it: a Gaussian loss with weight beta
        on the KL has the optimum of one with weight 1 and this variance. None for what is not Gaussian, and for a loss that
        holds an MMD, which no such variance stands for."""
        variance = super().decoder_variance
        return None if variance is None or self.weight else variance * self.beta

    @property
    def gaussian_elbo(self) -> GaussianElbo | None:
        """The loss by which dimensions collapse, for the forecast before training; None where the likelihood is not Gaussian,
        the KL or half of it is left out, an MMD joins it, or the prior is learned."""
        if self.flow is not None or self.likelihood != "gaussian" or self.kl != "full" or not self.beta or self.weight:
            return None
        return GaussianElbo(self.beta, None if self.sigma is None else self.sigma**2)

    @property
    def traceable(self) -> bool:
        """Every step does the same, but for a warm-up, which weighs each anew."""
        return not self.warmup

    def loss(self, x: Tensor, generator: torch.Generator) -> Loss:
        """Negative log-likelihood of one posterior draw plus beta KL, plus the weighted MMD, in nats per image."""
        posterior = self.encode(x)
        z = posterior.sample(generator)
        nll = self.nll(z, x)
        if self.flow is not None:
            estimate = -_entropy(posterior) - self.flow.log_prob(z).mean()
            total = torch.add(nll, estimate, alpha=self._beta())
            return Loss(total, {"nll": nll.detach(), "kl": estimate.detach()})
        mean_part, variance_part = kl_parts(posterior)
        kl = {"mean": mean_part, "variance": variance_part}.get(self.kl)
        total = torch.add(nll, mean_part + variance_part if kl is None else kl, alpha=self._beta())
        terms = {"nll": nll, "kl.mean_part": mean_part, "kl.variance_part": variance_part}
        if self.weight:
            terms["mmd"] = mmd2_to_prior(z, generator)
            total = total + self.weight * terms["mmd"]
        return Loss(total, {k: v.detach() for k, v in terms.items()})

    def _beta(self) -> float:
        """beta, or the part of it that the warm-up has reached; each training loss is a step."""
        if not (self.training and self._step < self.warmup):
            return self.beta
        self._step += 1
        return self.beta * (self._step - 1) / self.warmup


def _alone(name: str, value: object, fits: bool) -> None:
    if not fits:
        raise ValueError(f"{name}: {value} is not allowed with prior=flow, whose KL has no halves and no MMD beside it")


def _entropy(posterior: Posterior) -> Tensor:
    """The entropy of Gaussian posteriors in nats, mean over samples: ``sum_j (1 + ln 2 pi + log_var_j) / 2``."""
    assert posterior.log_var is not None
    return 0.5 * (1 + math.log(2 * math.pi) + posterior.log_var).sum() / len(posterior.mu)


VAE = ModelEntry(
    "vae",
    VariationalAutoencoder,
    "variational autoencoder, Gaussian with a learned shared variance; info > 0: InfoVAE, MMD-VAE; prior=flow: a learned prior",
    "Kingma & Welling 2014; Rybkin et al. 2021; Zhao et al. 2019",
)
