"""What a model keeps to: shapes, a loss that descends, draws from the generator alone, weights that can be saved."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from latentbench.catalog import SPACE
from latentbench.core import Codebook, Model
from latentbench.randomness import seeded
from latentbench.spaces.known import space_of
from latentbench.spaces.space import Space
from latentbench.testing.broken import demand

SAMPLES = 7


def check_model(
    build: Callable[..., Any], shape: tuple[int, ...] = (1, 8, 8), latent_dim: int = 3, space: Space | None = None
) -> None:
    """Build ``build(shape, latent_dim)`` twice and check the laws of `core.Model` on random samples: of ``space``, which a
    builder with such a parameter is handed, by default of the one that ``shape`` tells. They are uniform between its bounds or,
    where it has none, standard normal. Raises ContractBroken, naming what was broken."""
    space = space_of(shape) if space is None else space
    shape = space.shape
    if SPACE in inspect.signature(build).parameters:
        build = partial(build, space=space)
    model, again = _built(build, shape, latent_dim, 0), _built(build, shape, latent_dim, 1)
    name = type(model).__name__
    demand(isinstance(model, torch.nn.Module), name, "is not a torch.nn.Module")
    demand(isinstance(model, Model), name, "lacks one of encode, decode, loss, latent_dim")
    demand(model.latent_dim == latent_dim, name, f"latent_dim is {model.latent_dim}, {latent_dim} was asked for")
    variance = model.decoder_variance if hasattr(model, "decoder_variance") else None
    demand(variance is None or variance > 0, name, f"decoder_variance is {variance}; above 0, or None")
    x = _samples(space)
    _check_shapes(name, model, x, latent_dim)
    _check_prior(name, model, latent_dim)
    _check_loss(name, model, x)
    if callable(getattr(model, "discrete_codes", None)):
        _check_codes(name, model, x)
    again.load_state_dict(model.state_dict())
    same = torch.equal(again.eval().encode(x).mu, model.eval().encode(x).mu)
    demand(same, name, "a model with the same state_dict encodes otherwise: something is not in it")


def _samples(space: Space) -> torch.Tensor:
    g, size = seeded(0, "images"), (SAMPLES, *space.shape)
    if space.bounds is None:
        return torch.randn(size, generator=g)
    low, high = space.bounds
    return low + (high - low) * torch.rand(size, generator=g)


def _built(build: Callable[..., Any], shape: tuple[int, ...], latent_dim: int, seed: int) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build(shape, latent_dim)


@torch.no_grad()
def _check_shapes(name: str, model: Any, x: torch.Tensor, d: int) -> None:
    model.eval()
    posterior = model.encode(x)
    mu, log_var = posterior.mu, posterior.log_var
    demand(mu.shape == (SAMPLES, d), name, f"encode gives means of shape {tuple(mu.shape)} for {SAMPLES} samples")
    demand(log_var is None or log_var.shape == mu.shape, name, "log_var has not the shape of mu")
    demand(bool(torch.isfinite(mu).all()), name, "encode gives means that are not finite")
    drawn, same = (posterior.sample(seeded(0, "posterior")) for _ in range(2))
    demand(
        drawn.shape == mu.shape,
        name,
        f"a draw of the posterior has shape {tuple(drawn.shape)}, expected {(SAMPLES, d)}",
    )
    demand(bool(torch.isfinite(drawn).all()), name, "draws of the posterior are not finite")
    demand(torch.equal(drawn, same), name, "the same generator gives another draw of the posterior")
    back = model.decode(mu)
    demand(back.shape == x.shape, name, f"decode gives shape {tuple(back.shape)}, expected {tuple(x.shape)}")
    alone = model.encode(x[:2]).mu
    demand(torch.allclose(alone, mu[:2], atol=1e-5), name, "in eval mode a sample's code depends on its batch")
    model.train()


@torch.no_grad()
def _check_codes(name: str, model: Any, x: torch.Tensor) -> None:
    """A model that says its latent is discrete encodes to points that its codes stand for, and to nothing else."""
    codebook = model.eval().discrete_codes()
    demand(isinstance(codebook, Codebook), name, f"discrete_codes gives {type(codebook).__name__}, not a core.Codebook")
    demand(codebook.size >= 1 and codebook.parts >= 1, name, "discrete_codes says there are no codes or no positions")
    mu, log_var = model.encode(x)
    demand(log_var is None, name, "its latent is discrete and its posterior has a variance")
    codes = codebook.codes(mu)
    wanted = (SAMPLES, codebook.parts)
    demand(codes.shape == wanted, name, f"codes have shape {tuple(codes.shape)}, expected {wanted}")
    demand(codes.dtype == torch.int64, name, f"codes are {codes.dtype}, not whole numbers (int64)")
    within = bool((codes >= 0).all()) and bool((codes < codebook.size).all())
    demand(within, name, f"codes lie outside 0 to {codebook.size - 1}")
    same = torch.allclose(codebook.points(codes), mu, atol=1e-6)
    demand(same, name, "it encodes to points that are not those of their codes")
    some = torch.randint(codebook.size, (50, codebook.parts), generator=seeded(0, "codes"))
    points = codebook.points(some)
    demand(points.shape == (50, model.latent_dim), name, f"points of 50 codes have shape {tuple(points.shape)}")
    back = torch.allclose(codebook.points(codebook.codes(points)), points, atol=1e-6)
    demand(back, name, "the points of some codes are read as other codes'")
    model.train()


DRAWS = 20_000
"""Draws that a prior is checked on."""
SPARE = 0.05
"""How far from 1 the mass of a prior may be estimated beyond five standard errors."""


@torch.no_grad()
def _check_prior(name: str, model: Any, d: int) -> None:
    """A prior of the model's own: draws of its shape, finite, the same from the same noise and generator and others from
    others; a density that is finite at them and integrates to 1."""
    if not hasattr(model, "prior"):
        demand(
            not hasattr(model, "log_prior"), name, "has log_prior, the density of a prior, and no prior() to draw from"
        )
        return
    model.eval()
    noise = torch.randn(DRAWS, d, generator=seeded(0, "prior"))
    drawn, again = (model.prior(noise, seeded(0, "choices")) for _ in range(2))
    demand(drawn.shape == noise.shape, name, f"prior gives shape {tuple(drawn.shape)}, expected {tuple(noise.shape)}")
    demand(bool(torch.isfinite(drawn).all()), name, "prior gives latent points that are not finite")
    demand(torch.equal(drawn, again), name, "prior gives other points for the same noise and generator")
    other = model.prior(torch.randn(DRAWS, d, generator=seeded(1, "prior")), seeded(1, "choices"))
    demand(not torch.equal(drawn, other), name, "prior hangs neither on its noise nor on its generator")
    if not hasattr(model, "log_prior"):
        return
    log_prob = model.log_prior(drawn)
    demand(log_prob.shape == (DRAWS,), name, f"log_prior gives shape {tuple(log_prob.shape)}, expected {(DRAWS,)}")
    demand(bool(torch.isfinite(log_prob).all()), name, "log_prior is not finite at draws of the prior")
    for what, (mean, error) in _masses(model, drawn).items():
        told = f"{what} is {mean:.3g}, give or take {error:.2g}"
        demand(abs(mean - 1) <= SPARE + 5 * error, name, f"log_prior is not the density of prior: {told}, expected 1")


def _masses(model: Any, drawn: torch.Tensor) -> dict[str, tuple[float, float]]:
    """What is 1 for the density p = exp(log_prior) of draws (m, d), each with its standard error: its ``mass``, the mean of
    p / r over points of a reference density r; and the ``mean of r / p`` over the draws. r is made of some of the draws,
    blurred (k), and for the mass, which is to miss nothing, half of a Gaussian twice as wide as they are."""
    g, centres, n = seeded(0, "mass"), drawn[:500].double(), 4000
    width = 0.5 * centres.std(0, correction=0).clamp_min(1e-6)
    wide = torch.distributions.Normal(centres.mean(0), 4 * width)

    def log_k(points: torch.Tensor) -> torch.Tensor:
        each = [torch.distributions.Normal(p, width).log_prob(centres).sum(1).logsumexp(0) for p in points]
        return torch.stack(each) - math.log(len(centres))

    def log_p(points: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = model.log_prior(points.to(drawn)).double()
        return out

    noise = width * torch.randn(n, drawn.shape[1], generator=g, dtype=torch.float64)
    near = centres[torch.randint(len(centres), (n // 2,), generator=g)] + noise[: n // 2]
    points = torch.cat([near, centres.mean(0) + 4 * noise[n // 2 :]])
    log_r = torch.logaddexp(log_k(points), wide.log_prob(points).sum(1)) - math.log(2)
    others = drawn[len(centres) : len(centres) + n].double()
    ratios = {"its mass": log_p(points) - log_r, "the mean of another density over it": log_k(others) - log_p(others)}
    return {k: (float(r.exp().mean()), float(r.exp().std() / math.sqrt(len(r)))) for k, r in ratios.items()}


def _check_loss(name: str, model: Any, x: torch.Tensor) -> None:
    before = torch.get_rng_state()
    model.eval()  # a schedule that counts training steps stands still
    first, second = (model.loss(x, seeded(0, "draws")) for _ in range(2))
    demand(torch.equal(before, torch.get_rng_state()), name, "the loss draws from the global generator")
    demand(first.total.ndim == 0, name, f"loss.total has shape {tuple(first.total.shape)}, expected a scalar")
    demand(bool(torch.isfinite(first.total)), name, "the loss of random samples is not finite")
    demand(bool(first.total == second.total), name, "the same generator gives another loss")
    attached = [n for n, t in first.terms.items() if t.requires_grad]
    demand(not attached, name, f"terms are logged, not descended: detach {', '.join(attached)}")
    model.train().zero_grad()
    model.loss(x, seeded(0, "draws")).total.backward()
    idle = [n for n, p in model.named_parameters() if p.grad is None or not bool(torch.isfinite(p.grad).all())]
    demand(not idle, name, f"no finite gradient reaches {', '.join(idle)}")
