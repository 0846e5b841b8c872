"""The squared Frobenius norm of the Jacobian of an encoder or decoder, as a term of a loss: how steep it is.

    |J(x)|_F^2 = sum_j |J(x)^T e_j|^2                   exactly, a backward pass for each output
               = E |J(x)^T u|^2,  u ~ N(0, I)           estimated from some random u (Hutchinson 1990)

By rows (`steepness_by_outputs`) where outputs are few, as an encoder's are; by columns, |J e_j|^2, forward
(`steepness_by_inputs`) where inputs are few, as a decoder's are. A network that looks at each sample by itself is taken for
granted: no batch statistics.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from latentbench.randomness import randn

Map = Callable[[Tensor], Tensor]


def steepness_by_outputs(f: Map, x: Tensor, directions: Tensor) -> Tensor:
    """Mean over samples of ``sum_j |J(x)^T u_j|^2`` for ``f`` from (n, *shape) to (n, m) and ``directions`` (k, n, m)."""
    pull: Callable[..., tuple[Tensor]] = torch.func.vjp(f, x)[1]
    (rows,) = torch.func.vmap(pull)(directions)
    out: Tensor = rows.square().sum() / len(x)
    return out


def steepness_by_inputs(g: Map, z: Tensor, directions: Tensor) -> Tensor:
    """Mean over points of ``sum_j |J(z) u_j|^2`` for ``g`` from (n, m) to (n, *shape) and ``directions`` (k, n, m)."""

    def push(u: Tensor) -> Tensor:
        tangent: Tensor = torch.func.jvp(g, (z,), (u,))[1]
        return tangent

    columns = torch.func.vmap(push)(directions)
    out: Tensor = columns.square().sum() / len(z)
    return out


def along_axes(like: Tensor) -> Tensor:
    """The unit vectors e_1 ... e_m as directions (m, n, m) for points ``like`` (n, m): the norm is then exact."""
    n, m = like.shape
    return torch.eye(m, dtype=like.dtype, device=like.device)[:, None].expand(m, n, m)


def at_random(like: Tensor, probes: int, generator: torch.Generator) -> Tensor:
    """Random directions (probes, n, m) for points ``like`` (n, m), so scaled that the norm is estimated without bias."""
    return randn((probes, *like.shape), generator, like) / math.sqrt(probes)
