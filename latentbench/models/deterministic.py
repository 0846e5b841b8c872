"""What the autoencoders have in common whose code is a point: z = f(x), x_hat = g(z), and squared error.

``squared error`` of a batch = mean over samples of ``|g(f(x)) - x|^2``, summed over the values of a sample. What a model
adds to it, and nothing else, is what tells it from the plain autoencoder.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from latentbench.core import Posterior
from latentbench.models.nets import Shape, Trunk
from latentbench.spaces.space import Net, Space


class Deterministic(nn.Module):
    """Abstract: an encoder f and a decoder g; a subclass has the loss. Its posterior is a Dirac at f(x), and it has no
    likelihood, only an error."""

    decoder_variance = None
    traceable = True

    def __init__(
        self, shape: Shape, latent_dim: int, *, depth: int, width: int, net: Net, space: Space | None = None
    ) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        self.trunk = Trunk(shape, latent_dim, latent_dim, depth=depth, width=width, net=net, space=space)

    def start(self, x: Tensor) -> None:
        """Begin where the training images ``x`` are: see `nets.Trunk.start`."""
        self.trunk.start(x)

    def encode(self, x: Tensor) -> Posterior:
        """The code f(x), (n, d), as a Dirac."""
        return Posterior(self.trunk.encode(x))

    def decode(self, z: Tensor) -> Tensor:
        """Samples g(z), (n, *shape)."""
        return self.trunk.decode(z)

    def squared_error(self, z: Tensor, x: Tensor) -> Tensor:
        """Of samples ``x`` (n, *shape) decoded from codes ``z`` (n, d): summed over the values, mean over samples."""
        return F.mse_loss(self.decode(z), x, reduction="sum") / len(x)
