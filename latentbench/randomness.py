"""Randomness is an explicit generator, seeded by a number and a purpose: nothing is drawn from a global state."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def seeded(seed: int, purpose: str) -> torch.Generator:
    """A CPU generator whose stream depends on ``seed`` and the words of ``purpose`` only: streams of different
    purposes are independent, and adding one moves no other."""
    key = hashlib.sha256(f"{seed}/{purpose}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(key[:8], "little") >> 1)


class Replay(torch.Generator):
    """Stands in for a generator where none may draw, inside `torch.func.vmap`: `randn` hands out ``draws`` in their order,
    made beforehand. Without draws it gives zeros; ``asked`` holds the shapes that it was asked for."""

    def __new__(cls, draws: Sequence[Tensor] | None = None) -> Replay:  # noqa: D102 - a generator takes no draws
        return super().__new__(cls)

    def __init__(self, draws: Sequence[Tensor] | None = None) -> None:
        self.draws, self.asked = draws, list[tuple[int, ...]]()

    def hand_out(self, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """The next of the draws."""
        self.asked.append(shape)
        return like.new_zeros(shape) if self.draws is None else self.draws[len(self.asked) - 1]


def randn(shape: torch.Size | tuple[int, ...], generator: torch.Generator, like: Tensor) -> Tensor:
    """Standard normal draws with the dtype and device of ``like``. They are drawn where the generator lives, so the
    same seed gives the same numbers on every device."""
    if isinstance(generator, Replay):
        return generator.hand_out(tuple(shape), like)
    return torch.randn(shape, generator=generator, device=generator.device, dtype=like.dtype).to(like.device)


def numpy_rng(seed: int, purpose: str) -> np.random.Generator:
    """The numpy twin of `seeded`."""
    key = hashlib.sha256(f"{seed}/{purpose}".encode()).digest()
    return np.random.default_rng(int.from_bytes(key[:8], "little"))
