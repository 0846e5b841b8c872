"""One function of the user's and how it is called.

Each call gets its own copies, so that nothing a function writes into its input reaches anybody, and what it returns is
copied, so that a buffer it uses again is not changed under those who hold it. What it raises is shown as it was raised.
"""

from __future__ import annotations

import sysconfig
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from latentbench.evaluating.modules import numbers_of

LARGEST_BATCH = 512
"""Samples of one call where the user says no other number."""


class CallFailed(ValueError):
    """A user's function raised: the message says which, what it raised and where, and what it had been given. The error
    itself is the cause."""


class Function:
    """A user's function, by the name it goes by in messages. It gets tensors or, from `settle` on, numpy arrays; floating
    ones in the dtype and on the device of the ``modules`` behind it, where there are any."""

    def __init__(self, name: str, function: Callable[..., Any], modules: list[nn.Module]) -> None:
        self.name, self._function = name, function
        self._arrays = False
        self.dtype, self.device = numbers_of(modules)

    @property
    def form(self) -> str:
        """What the function is given: ``tensors`` or ``arrays``."""
        return "arrays" if self._arrays else "tensors"

    def settle(self, *given: Tensor) -> Any:
        """The first call: with tensors or, where that fails, with numpy arrays; later calls are like the one that worked.
        Raises `CallFailed`, with what the first one raised, where neither does."""
        try:
            return self(*given)
        except CallFailed as error:
            first = error
        if out_of_memory(first) or isinstance(getattr(self._function, "__self__", self._function), nn.Module):
            raise first
        self._arrays = True
        try:
            return self(*given)
        except CallFailed as second:
            self._arrays = False
            one, other = _said(first.__cause__), _said(second.__cause__)
            if one == other:
                raise first from first.__cause__
            raise CallFailed(f"{first}; given numpy arrays: {other}") from first.__cause__

    def __call__(self, *given: Tensor) -> Any:
        """What the function returns. Raises `CallFailed`."""
        sent = [self._sent(x) for x in given]
        try:
            # Gradients only where somebody differentiates by what is given.
            with torch.inference_mode(False), torch.set_grad_enabled(any(x.requires_grad for x in given)):
                return self._function(*sent)
        except Exception as error:
            shown = " and ".join(shape_of(x) for x in given)
            raise CallFailed(f"{self.name} raised {_said(error)}{_place(error)} (it was given {shown})") from error

    def _sent(self, x: Tensor) -> Any:
        with torch.inference_mode(False):
            if self.dtype is not None and x.is_floating_point():
                x = x.to(self.dtype)
            if self._arrays:
                x = x.detach().cpu()
                return (x.float() if x.dtype == torch.bfloat16 else x).clone().numpy()
            return x.to(self.device).clone() if self.device is not None else x.clone()


def shape_of(x: Tensor) -> str:
    """What was sent or came back, for a message: ``float32 (4, 1, 8, 8)``."""
    return f"{str(x.dtype).removeprefix('torch.')} {tuple(x.shape)}"


def out_of_memory(error: BaseException) -> bool:
    """Whether an error, or what caused it, says that there was not enough memory."""
    cause = error.__cause__ if isinstance(error, CallFailed) else error
    text = str(cause).lower()
    return (
        isinstance(cause, MemoryError | torch.OutOfMemoryError) or "out of memory" in text or "allocate memory" in text
    )


def in_batches(call: Callable[..., Any], size: int, shrink: bool, *given: Tensor) -> tuple[list[Any], int]:
    """What ``call`` gives for ``size`` rows at a time and, where it runs out of memory and may ``shrink``, for half as many;
    with the size that it came down to."""
    out, start = [], 0
    while start < len(given[0]):
        try:
            out.append(call(*(g[start : start + size] for g in given)))
        except CallFailed as error:
            if not shrink or size == 1 or not out_of_memory(error):
                raise
            size //= 2
            continue
        start += size
    return out, size


def _said(error: BaseException | None) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:300]}" if text else type(error).__name__


OURS = Path(__file__).parents[1]
LIBRARIES = tuple({sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")})


def _place(error: BaseException) -> str:
    """Where the user's code raised: the innermost line that is no library's, else the innermost there is outside of here."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not Path(f.filename).is_relative_to(OURS)]
    own = [f for f in frames if not f.filename.startswith(LIBRARIES)] or frames
    return f" at {own[-1].filename}:{own[-1].lineno}" if own else ""
