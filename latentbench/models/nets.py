"""Shared encoder and decoder blocks, so that models compared differ in their loss and in nothing else.

``mlp``: flatten, ``depth`` hidden layers of ``width`` ReLU units, a linear head. ``conv``: convolutions, as the space of
the data has them (`latentbench.spaces`). ``depth`` 0 is linear in both.

Within `mixed_precision` the layers of both are computed in bfloat16 numbers (torch's autocast: weights are kept, and their
gradients come, in float32); what comes out is float32 again, so that losses and all else a model computes is not rounded.

The decoder ends in a sigmoid where the data's values lie in [0, 1]; only a linear one (``depth`` 0) does not, so that it
*is* linear and the closed forms (PCA, probabilistic PCA) hold for it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor, nn

from latentbench.spaces.known import space_of
from latentbench.spaces.space import Net, Space

Shape = tuple[int, ...]

DARK = 0.05
"""Images whose mean value is below this, or above 1 less this, are nearly empty: see `Trunk.start`."""
EDGE = 0.01
"""So near to 0 and 1 a sigmoid is let begin: nearer it would hardly move (`Trunk.start_at_mean`)."""

_MIXED: ContextVar[bool] = ContextVar("mixed", default=False)


@contextmanager
def mixed_precision() -> Iterator[None]:
    """Within it the layers of every `Trunk` are computed in bfloat16."""
    before = _MIXED.set(True)
    try:
        yield
    finally:
        _MIXED.reset(before)


def _through(layers: nn.Module, x: Tensor) -> Tensor:
    """What layers make of ``x``, in its own numbers."""
    if not _MIXED.get():
        out: Tensor = layers(x)
        return out
    with torch.autocast(x.device.type, torch.bfloat16):
        out = layers(x)
    return out.to(x.dtype)


class Trunk(nn.Module):
    """An encoder (n, *shape) -> (n, outputs) and its mirror, a decoder (n, d) -> (n, *shape), for samples of ``space``
    (None: the one that ``shape`` tells).

    Raises ValueError where a sample is too small to be halved ``depth`` times.

    Args:
        depth: hidden layers of encoder and decoder each; 0: linear
        width: units of each hidden layer, channels of the last convolution
        net: networks: of layers that see all values, of convolutions, or what suits the data
    """

    def __init__(
        self,
        shape: Shape,
        outputs: int,
        latent_dim: int,
        *,
        depth: int,
        width: int,
        net: Net,
        space: Space | None = None,
    ) -> None:
        super().__init__()
        space = space or space_of(shape)
        self.shape = tuple(shape)
        self.squashed = depth > 0 and space.bounds == (0.0, 1.0)
        self.encoder, self.decoder = space.networks(outputs, latent_dim, depth, width, net)

    def encode(self, x: Tensor) -> Tensor:
        """Head outputs (n, outputs) of samples."""
        return _through(self.encoder, x)

    def logits(self, z: Tensor) -> Tensor:
        """What stands before the sigmoid, (n, *shape), for latent points (n, d)."""
        return _through(self.decoder, z).view(-1, *self.shape)

    @torch.no_grad()
    def start_at_mean(self, x: Tensor) -> None:
        """Let the decoder begin at the mean of the training samples ``x``, value by value; of one whose last layer has a bias a
        channel only (transposed convolutions), channel by channel."""
        head = [layer for layer in self.decoder.children() if list(layer.parameters())][-1]
        mean = x.mean(0)
        if not isinstance(head, nn.Linear):
            # A channel is the first axis of an image and the last of a series.
            mean = mean.flatten(1).mean(1) if mean.dim() == 3 else mean.mean(0)
        if self.squashed:
            mean = mean.clamp(EDGE, 1 - EDGE).logit()
        bias: Tensor = head.get_parameter("bias")
        bias.copy_(mean.flatten())

    @torch.no_grad()
    def start(self, x: Tensor) -> None:
        """Let the decoder begin at the mean value of the training images ``x``, where these are nearly empty.

        A sigmoid begins at 1/2. On images that are all but black the way down from there overshoots: units die, the
        sigmoid saturates, and squared error stays at the black image for good (thin lines: R^2 -.05 after 3,000 steps,
        .997 from the mean). Other images need no such help and keep the plain start.
        """
        mean = float(x.mean())
        head = list(self.decoder.children())[-1]
        if not self.squashed or DARK <= mean <= 1 - DARK or not 0 < mean < 1:
            return
        if isinstance(head, nn.Linear | nn.ConvTranspose2d) and head.bias is not None:
            head.bias.fill_(math.log(mean / (1 - mean)))

    def decode(self, z: Tensor) -> Tensor:
        """Samples (n, *shape) of latent points (n, d)."""
        return self.logits(z).sigmoid() if self.squashed else self.logits(z)
