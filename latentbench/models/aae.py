"""The adversarial autoencoder (Makhzani et al. 2016): a discriminator learns to tell codes from draws of the prior, and the
encoder learns to be mistaken for the prior.

    D's loss        -log D(y) - log(1 - D(f(x))),   y ~ N(0, I); 2 ln 2 where it can tell nothing
    encoder's loss  |g(f(x)) - x|^2 - weight * log D(f(x))

(the encoder's is the non-saturating one of Goodfellow et al. 2014). The paper takes turns with an optimiser for each. Here
one loss has both halves, and neither reaches the other's weights: D's half sees codes without their gradient, the encoder's
half a D whose weights are constants. So every weight has the gradient of its own player's loss; only that both step at once,
from the same place, and at one rate, is different. Gradient reversal would do as well for a zero-sum game, which this is not.

The sum of two players' losses says not who is better: D's falls when it wins. So evaluation, by which training stops, reads
the value of the game instead,

    |g(f(x)) - x|^2 + weight * (2 ln 2 - D's loss)

whose second part is 0 where D can tell nothing, and else a lower bound on twice the Jensen-Shannon divergence of codes and
prior.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from latentbench.core import Loss, ModelEntry
from latentbench.models import fields
from latentbench.models.deterministic import Deterministic
from latentbench.models.nets import Shape
from latentbench.randomness import randn
from latentbench.spaces.networks import layers
from latentbench.spaces.space import Net, Space

BLIND = 2 * math.log(2)
"""The loss of a discriminator that can tell nothing, in nats."""


class AdversarialAutoencoder(Deterministic):
    """A deterministic autoencoder and a discriminator of its codes; see the module's docstring. ValueError for a field outside
    its range.

    Loss: |g(z) - x|^2 - weight * log D(z), z = f(x), for encoder and decoder; -log D(y) - log(1 - D(z)), y ~ p(z), for D

    Args:
        weight: weight of the encoder's half of the game, 0 or more
    """

    def __init__(
        self,
        shape: Shape,
        latent_dim: int,
        *,
        depth: int = 2,
        width: int = 256,
        net: Net = "auto",
        weight: float = 0.1,
        space: Space | None = None,
    ) -> None:
        fields.from_zero("weight", weight)
        super().__init__(shape, latent_dim, depth=depth, width=width, net=net, space=space)
        self.weight = weight
        self.discriminator = nn.Sequential(*layers([latent_dim, width, width, 1]))

    def loss(self, x: Tensor, generator: torch.Generator) -> Loss:
        """In training the sum of both players' losses, else the value of the game; means over images."""
        z = self.encode(x).mu
        error, y = self.squared_error(z, x), randn(z.shape, generator, z)
        telling = discriminating(self.discriminator(y), self.discriminator(z.detach()))
        fixed = {name: weight.detach() for name, weight in self.discriminator.named_parameters()}
        fooling = F.softplus(-functional_call(self.discriminator, fixed, z)).mean()
        game = self.weight * fooling + telling if self.training else self.weight * (BLIND - telling)
        terms = {"squared_error": error, "discriminator": telling, "adversarial": fooling}
        return Loss(error + game, {name: term.detach() for name, term in terms.items()})


def discriminating(of_prior: Tensor, of_codes: Tensor) -> Tensor:
    """The discriminator's loss -log D(y) - log(1 - D(z)) in nats, from its logits for draws of the prior and for codes, means
    over each; 2 ln 2 for logits of 0, its least value on equal distributions."""
    return F.softplus(-of_prior).mean() + F.softplus(of_codes).mean()


AAE = ModelEntry(
    "aae", AdversarialAutoencoder, "adversarial autoencoder", "Makhzani et al. 2016; Goodfellow et al. 2014"
)
