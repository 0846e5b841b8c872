"""A decoder as plain numbers: a chain of linear layers with a function between any two, which a few lines of any language
compute. It is what travels in a page on which latent points are decoded.

    h_0 = z,   h_k = f_k(W_k h_{k-1} + b_k),   x = scale * g(h_K) + shift

W_k (out, in) in 16 bits, each row with a scale of its own (32,767 steps to the largest weight of the row: finer than half
precision), b_k in 32 bits; f_k is one of `artifact_schema.ACTIVATIONS`, g, scale and shift one of `OUTPUTS`.

Nothing is taken on trust: a chain found among a model's modules counts only where it gives what the model's own ``decode``
gives, on codes and on draws. Convolutions, layers that normalise and functions without modules are no such chain.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from latentbench.artifact_schema import DECODER_WEIGHTS

STEPS = 32_767
"""Steps from 0 to the largest weight of a row."""
NEAR = 1 / 510
"""How far a value may lie from the model's own, as a share of what the values range over: half of a step of 8 bits."""

Activation = tuple[str, float]
"""A name among `artifact_schema.ACTIVATIONS` and its parameter (0 where it has none)."""

FUNCTIONS: dict[str, Callable[[Tensor, float], Tensor]] = {
    "identity": lambda x, a: x,
    "relu": lambda x, a: x.clamp_min(0),
    "leaky_relu": F.leaky_relu,
    "elu": F.elu,
    "selu": lambda x, a: F.selu(x),
    "silu": lambda x, a: F.silu(x),
    "gelu": lambda x, a: F.gelu(x),
    "gelu_tanh": lambda x, a: F.gelu(x, approximate="tanh"),
    "tanh": lambda x, a: x.tanh(),
    "sigmoid": lambda x, a: x.sigmoid(),
    "softplus": lambda x, a: F.softplus(x, beta=a),
}
"""What the names of activations mean, of values and the parameter."""

OUTPUTS: tuple[tuple[str, float, float], ...] = (
    ("identity", 1.0, 0.0), ("sigmoid", 1.0, 0.0), ("identity", 0.5, 0.5), ("tanh", 0.5, 0.5),
)  # fmt: skip
"""What may stand behind the last layer: a function, a scale and a shift."""


class PlainDecoder(NamedTuple):
    """The chain: ``sizes`` (K + 1,) of its layers, the first the latent size; ``weight`` (sum of out * in,) int16, layer by
    layer and row by row, ``scale`` and ``bias`` (sum of out,) float32; the ``activations`` of its K layers and the
    ``output`` map."""

    sizes: tuple[int, ...]
    weight: NDArray[np.int16]
    scale: NDArray[np.float32]
    bias: NDArray[np.float32]
    activations: tuple[Activation, ...]
    output: tuple[str, float, float]

    def decode(self, z: Tensor) -> Tensor:
        """Values of samples (n, f) of latent points (n, d), from the numbers that are kept."""
        h, row, at = z.detach().cpu().double(), 0, 0
        for k, (i, o) in enumerate(zip(self.sizes, self.sizes[1:], strict=False)):
            steps = torch.from_numpy(self.weight[at : at + i * o].astype(np.float64)).view(o, i)
            scale, bias = (torch.from_numpy(v[row : row + o].astype(np.float64)) for v in (self.scale, self.bias))
            name, parameter = self.activations[k]
            h = FUNCTIONS[name](h @ (steps * scale[:, None]).T + bias, parameter)
            row, at = row + o, at + i * o
        name, factor, shift = self.output
        return factor * FUNCTIONS[name](h, 0.0) + shift


class Chain(NamedTuple):
    """Linear layers as a model holds them, with what stands behind each."""

    layers: Sequence[nn.Linear]
    activations: Sequence[Activation]

    @property
    def weights(self) -> int:
        """How many weights it has, without biases."""
        return sum(layer.weight.numel() for layer in self.layers)


def chains(modules: Iterable[nn.Module], d: int, values: int) -> list[Chain]:
    """The chains from ``d`` to ``values`` numbers among modules and their parts, in their order."""
    found = []
    for module in modules:
        for part in module.modules():
            chain = _chain(part) if isinstance(part, nn.Sequential | nn.Linear) else None
            if chain and chain.layers[0].in_features == d and chain.layers[-1].out_features == values:
                found.append(chain)
    return found


def plain(
    found: Sequence[Chain], decode: Callable[[Tensor], Tensor], points: Tensor, width: float
) -> PlainDecoder | None:
    """The first of some chains of at most `DECODER_WEIGHTS` weights that, with one of `OUTPUTS`, gives what ``decode`` gives
    at latent ``points`` (n, d), to `NEAR` of ``width``, the range of values; None where none does."""
    few = [chain for chain in found if chain.weights <= DECODER_WEIGHTS]
    if not few:
        return None
    own = decode(points).detach().flatten(1).cpu().double()
    for chain in few:
        for output in OUTPUTS:
            kept = _quantised(chain, output)
            difference = (kept.decode(points) - own).abs().max()
            if bool(difference <= NEAR * width):  # never where a value is not a number
                return kept
    return None


def _leaves(module: nn.Module) -> Iterator[nn.Module]:
    if isinstance(module, nn.Sequential):
        for part in module:
            yield from _leaves(part)
    else:
        yield module


def _chain(module: nn.Module) -> Chain | None:
    layers: list[nn.Linear] = []
    behind: list[Activation] = []
    for leaf in _leaves(module):
        if type(leaf) is nn.Linear:
            if layers and layers[-1].out_features != leaf.in_features:
                return None
            layers.append(leaf)
            behind.append(("identity", 0.0))
        elif isinstance(leaf, nn.Identity | nn.Dropout | nn.Flatten | nn.Unflatten):
            continue
        elif (activation := _activation(leaf)) is None or not layers or behind[-1][0] != "identity":
            return None
        else:
            behind[-1] = activation
    return Chain(layers, behind) if layers else None


def _activation(module: Any) -> Activation | None:
    """A module's name among the functions that are known, with its parameter; None for another one."""
    kind = type(module)
    if kind is nn.GELU:
        return ("gelu" if module.approximate == "none" else "gelu_tanh"), 0.0
    if kind is nn.LeakyReLU:
        return "leaky_relu", float(module.negative_slope)
    if kind is nn.ELU:
        return "elu", float(module.alpha)
    if kind is nn.Softplus:
        return ("softplus", float(module.beta)) if module.threshold == 20 else None
    plainly = {nn.ReLU: "relu", nn.SELU: "selu", nn.SiLU: "silu", nn.Tanh: "tanh", nn.Sigmoid: "sigmoid"}
    return (plainly[kind], 0.0) if kind in plainly else None


def _quantised(chain: Chain, output: tuple[str, float, float]) -> PlainDecoder:
    weights, scales, biases = [], [], []
    for layer in chain.layers:
        rows = layer.weight.detach().cpu().double()
        most = rows.abs().amax(1)
        scale = torch.where(most > 0, most / STEPS, torch.ones_like(most)).float()
        weights.append((rows / scale.double()[:, None]).round().clamp(-STEPS, STEPS).to(torch.int16).flatten())
        scales.append(scale)
        bias = dict(layer.named_parameters()).get("bias")
        biases.append(torch.zeros(len(rows)) if bias is None else bias.detach().cpu().float())
    sizes = (chain.layers[0].in_features, *(layer.out_features for layer in chain.layers))
    return PlainDecoder(
        sizes, torch.cat(weights).numpy(), torch.cat(scales).numpy(), torch.cat(biases).numpy(), tuple(chain.activations), output
    )  # fmt: skip
