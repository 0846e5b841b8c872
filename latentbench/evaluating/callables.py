"""A user's callables as a Model that can be measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from latentbench.core import Posterior
from latentbench.evaluating.contenders import Contender
from latentbench.evaluating.given import Given

PROBED = 4
"""Samples that a model is tried on before anything else."""


@dataclass(frozen=True)
class Calls:
    """How callables are to be called and understood: what ``encode`` returns (``posterior``, ``auto``: by its names), how
    many samples at a time (``batch_size``, None: found by a probe), whether labels go along (``conditional``)."""

    posterior: str = "auto"
    batch_size: int | None = None
    conditional: bool = False


class Callables:
    """A user's two callables as a Model that can be measured."""

    decoder_variance = None
    likelihood = ""

    def __init__(self, contender: Contender, given: Given, calls: Calls) -> None:
        self._encode, self._decode = either(contender.encode), either(contender.decode)
        self._handed, self._given, self._calls = given.handed, given, calls
        density = contender.log_likelihood
        self._log_likelihood = None if density is None else either(density)
        # Only a model that has a likelihood has this method: see `core.Model`.
        self.log_likelihood = None if density is None else self._likelihood_of

    def probe(self, device: torch.device) -> None:
        """Encode and decode `PROBED` samples. Raises ValueError, one line, for what cannot be measured."""
        x = self._given.dataset.test.x[:PROBED].to(device)
        self.decode(self.encode(x).mu)

    def encode(self, x: Tensor) -> Posterior:
        """The posterior, from ``z``, ``(mu, log_var)`` or an object with ``.mean`` / ``.log_var``."""
        out = self._encode(self._handed.to_user(x))
        if hasattr(out, "mean") and hasattr(out, "log_var"):
            out = (out.mean, out.log_var)
        parts = out if isinstance(out, tuple | list) else (out,)
        if not 1 <= len(parts) <= 2:
            raise ValueError(f"encode returned {len(parts)} things; expected z, (mu, log_var) or .mean and .log_var")
        tensors = [torch.as_tensor(p).to(x) for p in parts if p is not None]
        for tensor in tensors:
            if len(tensor) != len(x):
                raise ValueError(f"encode returned {len(tensor)} codes for {len(x)} images")
            if not bool(torch.isfinite(tensor).all()):
                raise ValueError("encode returned values that are not finite")
        codes = [t.flatten(1) for t in tensors]
        return Posterior(codes[0], codes[1] if len(codes) > 1 else None)

    def decode(self, z: Tensor) -> Tensor:
        """Samples (n, *shape) of latent points (n, d)."""
        out = torch.as_tensor(self._decode(z)).to(z)
        if len(out) != len(z):
            raise ValueError(f"decode returned {len(out)} samples for {len(z)} codes")
        return self._handed.from_user(out)

    def _likelihood_of(self, x: Tensor, z: Tensor) -> Tensor:
        assert self._log_likelihood is not None
        out = torch.as_tensor(self._log_likelihood(self._handed.to_user(x), z)).to(z)
        if out.shape != (len(z),):
            raise ValueError(f"log_likelihood returned shape {tuple(out.shape)} for {len(z)} images; expected (n,)")
        return out


def either(function: Callable[..., Any]) -> Callable[..., Any]:
    """A callable that is handed tensors or, from the first failure on, numpy arrays."""
    arrays = False

    def call(*given: Tensor) -> Any:
        nonlocal arrays
        if not arrays:
            try:
                # Copies: what a callable writes into its input is its own affair.
                return function(*(x.clone() for x in given))
            except (TypeError, AttributeError, RuntimeError) as error:
                first = error
            try:
                out = function(*(x.detach().cpu().numpy().copy() for x in given))
            except Exception:
                raise first from None
            arrays = True
            return out
        return function(*(x.detach().cpu().numpy().copy() for x in given))

    return call
