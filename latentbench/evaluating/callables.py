"""A user's callables as a Model that can be measured.

Between the measured side (float32, samples as their `Space` has them, flat latent points) and the user's stands this: the
samples as they were handed over, the latent points in the shape, dtype and place that ``encode`` gave them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from latentbench.core import Codebook, Posterior
from latentbench.evaluating import outputs
from latentbench.evaluating.calling import LARGEST_BATCH, Function, in_batches, shape_of
from latentbench.evaluating.contenders import Contender, required
from latentbench.evaluating.given import Given
from latentbench.evaluating.modules import Steady, modules_of, own_randomness
from latentbench.evaluating.outputs import Parts
from latentbench.records import Reason

CALLS = 8
"""Calls whose mean stands for the posterior mean of an encoder that draws and returns no distribution."""


@dataclass(frozen=True)
class Calls:
    """How callables are to be called and understood: what the parts of a tuple are that ``encode`` returns (``posterior``,
    see `outputs`), how many samples at a time (``batch_size``, None: found by a probe), whether ``decode`` takes labels
    beside latent points (``conditional``). Raises ValueError or TypeError for what is none of these."""

    posterior: str = outputs.AUTO
    batch_size: int | None = None
    conditional: bool = False

    def __post_init__(self) -> None:
        outputs.positions(self.posterior)
        size: Any = self.batch_size
        if size is not None and (not isinstance(size, int) or isinstance(size, bool) or size < 1):
            raise ValueError(f"batch_size: {size!r} is not allowed: a whole number from 1, or None to have one found")


class Callables:
    """A user's two callables as a Model that can be measured; to be tried by `probe.probe` first, which finds out how they
    are called. ``notes``: what was noticed of them."""

    decoder_variance = None
    likelihood = ""

    def __init__(self, contender: Contender, given: Given, calls: Calls) -> None:
        self.handed, self.given, self.seed = given.handed, given, contender.seed
        functions = (contender.encode, contender.decode)
        self.modules = modules_of(contender.model, *functions)
        behind = [modules_of(f) or self.modules for f in functions]
        self.encoder = Function("encode", functions[0], behind[0])
        self.decoder = Function("decode", functions[1], behind[1])
        self.words = outputs.positions(calls.posterior)
        self.fixed = calls.batch_size is not None
        self.batch = calls.batch_size or LARGEST_BATCH
        self.conditional = calls.conditional
        self.encodes_labels = calls.conditional and required(contender.encode) >= 2
        self.steady = Steady(self.modules)
        self.notes: dict[str, Reason] = {}
        self.latent_shape: tuple[int, ...] | None = None
        self.code_dtype = torch.float32
        self.code_device: torch.device | None = None
        self.draws, self.named = False, False
        """Whether what ``encode`` returns is a draw of its posterior; whether its parts have names."""
        self.mark: list[float] = []
        """Some numbers of its codes, by which two models of one name are told apart."""
        density = contender.log_likelihood
        self.density = None if density is None else Function("log_likelihood", density, modules_of(density))
        # Only a model that has a likelihood has this method: see `core.Model`; the same of what follows.
        self.log_likelihood = None if density is None else self._likelihood_of
        self._contender = contender
        self.prior = None if contender.prior is None else self._draws_of_prior
        self.log_prior = None if contender.log_prior is None else self._density_of_prior
        self.discrete_codes = None if contender.discrete_codes is None else self._codebook
        self.has_other_prior = contender.prior is None and getattr(contender.model, "prior", None) is not None

    @property
    def latent_channels(self) -> int:
        """Along which axis of a spatial code its channels are: last, where they are so in the images that were handed over."""
        return -1 if self.handed.layout.order == (2, 0, 1) else 0

    def note(self, reason: Reason) -> None:
        """Keep what was noticed, each kind once."""
        self.notes.setdefault(reason.code, reason)

    @contextmanager
    def held(self) -> Iterator[None]:
        """The time in which the model is called: its modules are in eval mode, its draws hang on its seed."""
        with self.steady.held(), own_randomness(self.seed):
            yield

    def encode(self, x: Tensor, y: Tensor | None = None) -> Posterior:
        """The posterior of samples (n, *shape), flat: (n, d); ``y`` (n,) their labels, where the model takes them."""
        given = (x,) if y is None or not self.encodes_labels else (x, y)
        found, self.batch = in_batches(self._encode, self.batch, not self.fixed, *given)
        mu = torch.cat([p.mu for p in found])
        return Posterior(mu, None if found[0].log_var is None else torch.cat([p.log_var for p in found]))

    def _encode(self, x: Tensor, *y: Tensor) -> Posterior:
        sent = self.sent(x, *y)
        first = self.understood(self.encoder(*sent), x)
        if not self.draws:
            return first
        total = first.mu.double()
        for _ in range(CALLS - 1):
            total += self.understood(self.encoder(*sent), x).mu
        return first._replace(mu=(total / CALLS).to(x.dtype))

    def sent(self, x: Tensor, *y: Tensor) -> tuple[Tensor, ...]:
        """Samples, and labels where there are any, as they were handed over."""
        return (self.handed.to_user(x), *map(self.labels, y))

    def labels(self, y: Tensor) -> Tensor:
        """Classes (n,) as they were handed over: numbers as they were, of other labels the numbers of their classes in the
        order of their names."""
        names = self.given.dataset.classes
        if not all(name.removeprefix("-").isdecimal() for name in names):
            return y
        return torch.tensor([int(name) for name in names], device=y.device)[y] if names else y

    def understood(self, out: Any, x: Tensor) -> Posterior:
        """What ``encode`` returned for samples ``x``. Raises ValueError for what cannot be the codes of these."""
        return self.flat(outputs.read_code(out, self.words, len(x)), x)

    def flat(self, parts: Parts, x: Tensor) -> Posterior:
        """Parts of what ``encode`` returned as flat latent points on the measured side."""
        mean = outputs.to_tensor("encode", parts.mean)
        self.code_device, self.named = mean.device, parts.named
        if mean.ndim < 1 or len(mean) != len(x):
            rows = f"{len(mean)} codes" if mean.ndim else "one number"
            raise ValueError(f"encode returned {rows} for {len(x)} samples (of shape {tuple(mean.shape)})")
        shape = tuple(mean.shape[1:])
        if self.latent_shape is None:
            if not mean[0].numel():
                raise ValueError(f"encode returned codes of no dimension: shape {tuple(mean.shape)}")
            self.latent_shape = shape
            self.code_dtype = mean.dtype if mean.is_floating_point() else torch.float32
        elif shape != self.latent_shape:
            raise ValueError(
                f"encode returned codes of shape {shape} for one batch and {self.latent_shape} for another; "
                "every sample has a code of the same shape"
            )
        return Posterior(self._finite(mean, x).reshape(len(x), -1), self._log_var(parts, mean, x))

    def _log_var(self, parts: Parts, mean: Tensor, x: Tensor) -> Tensor | None:
        if parts.spread is None:
            return None
        spread = _broadcast(outputs.to_tensor("encode", parts.spread), mean, parts)
        return outputs.log_variance(self._finite(spread, x), parts.unit).reshape(len(x), -1)

    def _finite(self, value: Tensor, x: Tensor) -> Tensor:
        own = value.to(device=x.device, dtype=torch.float32).clone()
        if not bool(torch.isfinite(own).all()):
            raise ValueError("encode returned values that are not finite")
        return own

    def decode(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Samples (n, *shape) of latent points (n, d); ``y`` (n,) their labels, where the model takes them."""
        if not len(z):
            return z.new_zeros((0, *self.given.dataset.shape))
        found, self.batch = in_batches(self._decode, self.batch, not self.fixed, *((z,) if y is None else (z, y)))
        return torch.cat(found)

    def _decode(self, z: Tensor, *y: Tensor) -> Tensor:
        return self.handed.from_user(self.raw(self.decoder(self.code(z), *map(self.labels, y)), z))

    def code(self, z: Tensor) -> Tensor:
        """Latent points (n, d) in the shape, dtype and place that ``encode`` gave codes."""
        assert self.latent_shape is not None
        return z.reshape(len(z), *self.latent_shape).to(device=self.code_device or z.device, dtype=self.code_dtype)

    def raw(self, out: Any, z: Tensor) -> Tensor:
        """What ``decode`` returned for latent points ``z``, as it was handed over. Raises ValueError for another number of
        samples."""
        samples = outputs.to_tensor("decode", outputs.read_sample(out, len(z)))
        if samples.ndim < 1 or len(samples) != len(z):
            rows = f"{len(samples)} samples" if samples.ndim else "one number"
            raise ValueError(f"decode returned {rows} for {len(z)} codes (given {shape_of(self.code(z))})")
        # A copy, not detached: a tangent that was pushed through stays (forward-mode derivatives).
        return samples.to(device=z.device, dtype=torch.float32).clone()

    def _likelihood_of(self, x: Tensor, z: Tensor) -> Tensor:
        found, self.batch = in_batches(self._density, self.batch, not self.fixed, x, z)
        return torch.cat(found)

    def _density(self, x: Tensor, z: Tensor) -> Tensor:
        assert self.density is not None
        return self.densities(self.density(*self.sent(x), self.code(z)), z)

    def densities(self, out: Any, z: Tensor) -> Tensor:
        """What ``log_likelihood`` returned, (n,). Raises ValueError for another shape."""
        found = outputs.to_tensor("log_likelihood", out).to(z)
        if found.shape != (len(z),):
            raise ValueError(f"log_likelihood returned shape {tuple(found.shape)} for {len(z)} images; expected (n,)")
        return found

    def _draws_of_prior(self, noise: Tensor, generator: torch.Generator) -> Tensor:
        """Latent points (m, d) of the model's own prior, from standard normal ``noise`` (m, d): all in one call, for a call
        may draw from the generator."""
        own = self._contender.prior
        assert own is not None
        drawn = Function("prior", lambda z: own(z, generator), modules_of(own))
        return self._flat_codes("prior", outputs.to_tensor("prior", drawn(self.code(noise))), noise)

    def _density_of_prior(self, z: Tensor) -> Tensor:
        own = self._contender.log_prior
        assert own is not None
        return outputs.to_tensor("log_prior", Function("log_prior", own, modules_of(own))(self.code(z))).to(z)

    def _codebook(self) -> Any:
        """What the model says of its codes, read from flat latent points. Raises ValueError for what is no Codebook."""
        assert self._contender.discrete_codes is not None
        found = self._contender.discrete_codes()
        if not isinstance(found, Codebook):
            raise ValueError(f"discrete_codes returned {type(found).__name__}, expected a latentbench.core.Codebook")
        return found._replace(
            codes=lambda z: found.codes(self.code(z)).to(z.device),
            points=lambda codes: self._flat_codes(
                "discrete_codes", found.points(codes.to(self.code_device or codes.device)), codes
            ),
        )

    def _flat_codes(self, name: str, out: Tensor, like: Tensor) -> Tensor:
        """Latent points (m, d) as the measured side has them, of points as ``encode`` gives them."""
        if len(out) != len(like):
            raise ValueError(f"{name} returned {len(out)} latent points for {len(like)}")
        return out.reshape(len(out), -1).to(device=like.device, dtype=torch.float32)


def _broadcast(spread: Tensor, mean: Tensor, parts: Parts) -> Tensor:
    """A posterior's width for every dimension of its mean: of one number a sample, ``(n, 1)`` or ``(n,)``, for all of them.
    Raises ValueError where the two do not fit."""
    if spread.ndim and spread.shape[0] == len(mean) and spread[0].numel() == 1:
        spread = spread.reshape(len(mean), *[1] * (mean.ndim - 1))
    fits = spread.ndim in (0, mean.ndim) and all(s in (1, m) for s, m in zip(spread.shape, mean.shape, strict=False))
    if not fits or (not parts.named and spread.ndim != mean.ndim):
        raise ValueError(
            f"encode returned a mean of shape {tuple(mean.shape)} and a {parts.unit} of shape {tuple(spread.shape)}: "
            "they do not fit; two levels of latents are not measured, flatten them into one z"
        )
    return spread.expand(mean.shape)
