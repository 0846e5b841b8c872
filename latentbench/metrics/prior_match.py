"""Do the codes as a whole look like the prior? The aggregate posterior q(z) = E_x q(z|x) against p(z), the prior that the
model was trained with: N(0, I), or its own.

q(z) is known by one draw z_i of q(z|x) per held-out image (a plain autoencoder's means), shape (n, d); N(0, I) in closed
form, so no measure below but the classifier's draws from it. Another prior is known by draws, which add their own scatter. None looks at the decoder, and none forgives scale: for a
plain autoencoder, which nothing told of N(0, I), a large value is no surprise.

A posterior collapsed onto the prior would match it perfectly and say nothing of any image: where no latent dimension
is active, these measures are not defined.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from latentbench.artifact_schema import OWN_SAMPLER
from latentbench.core import CONTINUUM, Encoding, Metric, Undefined, Value
from latentbench.geometry.kernels import gaussian, mmd2, within
from latentbench.geometry.neighbours import flat
from latentbench.geometry.principal import WIDE
from latentbench.metrics.decoding import subsample
from latentbench.metrics.posterior import active
from latentbench.metrics.samplers import SAMPLE_COUNT, drawn, null_repeats
from latentbench.randomness import randn

if TYPE_CHECKING:
    from jaxtyping import Float, Float64


def mmd2_to_normal(z: Float[Tensor, "n d"], h2: float) -> float:
    """Unbiased MMD^2 between q(z), known by ``z`` (n, d), and N(0, I), kernel ``exp(-|x - y|^2 / (2 h^2))``:

        mean_{i != j} k(z_i, z_j) - 2 mean_i k_p(z_i) + k_pp
        k_p(z) = E_{y ~ p} k(z, y) = (h^2 / (h^2 + 1))^(d/2) exp(-|z|^2 / (2 (h^2 + 1))),   k_pp = (h^2 / (h^2 + 2))^(d/2)

    What concerns the prior is exact, so its only scatter is that of ``z``. At most 2; 0 on average where q = p (then
    as often below 0 as above). Gretton et al. 2012. Raises Undefined for n < 2.
    """
    if len(z) < 2:
        raise Undefined("pairs need two codes, there is {n}", "undefined.pair_codes", n=len(z))
    z = flat(z)
    d = z.shape[1]
    cross = (h2 / (h2 + 1)) ** (d / 2) * (z.square().sum(1) / (-2 * (h2 + 1))).exp().mean()
    own = float((h2 / (h2 + 2)) ** (d / 2))
    return within(z, gaussian(h2)) - 2 * float(cross) + own


def sliced_w2_between(z: Float[Tensor, "n d"], y: Float[Tensor, "n d"], along: Float[Tensor, "d l"]) -> float:
    """`sliced_w2` between q(z), known by ``z`` (n, d), and p(z), known by as many draws ``y`` (n, d): the mean squared
    difference of their sorted projections on ``along`` (d, l). Squared latent units, >= 0. Raises Undefined without
    codes."""
    if min(len(z), len(y)) == 0:
        raise Undefined("there are no codes", "undefined.no_codes")
    a, b = (flat(points) @ along.to(points.device) for points in (z, y))
    return float((a.sort(0).values - b.sort(0).values).square().mean())


def normal_quantile_means(n: int) -> Float64[Tensor, " n"]:
    """Integrals (n,) of the standard normal quantile function over ((i - 1) / n, i / n), float64: n times each is the
    mean of a normal within that bin."""
    cut = torch.special.ndtri(torch.linspace(0, 1, n + 1, dtype=torch.float64))
    density = (cut.square() / -2).exp() / math.sqrt(2 * math.pi)
    mass: Tensor = density[:-1] - density[1:]
    return mass


def w2_to_normal(x: Float[Tensor, "n l"]) -> Float64[Tensor, " l"]:
    """Squared 2-Wasserstein distance of each column of ``x`` (n, l) to N(0, 1), (l,) float64, >= 0.

    ``int_0^1 (F^-1(u) - Phi^-1(u))^2 du`` with the empirical quantile function, a step a point, and the normal one
    exactly: ``mean x^2 - 2 sum_i x_(i) c_i + 1``, c_i the integral of Phi^-1 over the i-th of n bins. About
    ``ln(ln n) / n`` and more for n draws of N(0, 1) itself.
    """
    x = flat(x).sort(0).values
    mass = normal_quantile_means(len(x)).to(x.device)
    return (x.square().mean(0) - 2 * mass @ x + 1).clamp(min=0)


def directions(d: int, most: int, generator: torch.Generator) -> Float[Tensor, "d l"]:
    """Random unit vectors (d, l) in whole orthonormal bases, l the first multiple of ``d`` not below ``most``. Every
    direction is uniform on the sphere, and a basis shares out means and variances without error. Of a wide latent ``most``
    vectors of one basis."""
    side = d if d <= WIDE else min(d, most)
    bases = [torch.randn(d, side, generator=generator, dtype=torch.float64) for _ in range(-(-most // side))]
    return torch.cat([torch.linalg.qr(b).Q for b in bases], 1)


def sliced_w2(z: Float[Tensor, "n d"], along: Float[Tensor, "d l"]) -> float:
    """Squared sliced 2-Wasserstein distance of q(z), known by ``z`` (n, d), to N(0, I): the mean of `w2_to_normal` over
    the projections on ``along`` (d, l). Squared latent units, >= 0, 0 = the same. ``|m|^2 / d + (1 - s)^2`` for
    N(m, s^2 I). Bonneel et al. 2015. Raises Undefined without codes."""
    if len(z) == 0:
        raise Undefined("there are no codes", "undefined.no_codes")
    return float(w2_to_normal(flat(z) @ along.to(z.device)).mean())


# --- what the metrics share ---


def codes(e: Encoding, most: int) -> Float[Tensor, "n d"]:
    """At most ``most`` draws z_i (n, d). Raises Undefined for a collapsed posterior."""
    if not active(e.mu, e.log_var).any():
        raise Undefined(
            "no latent dimension is active: a collapsed posterior matches the prior and says nothing",
            "undefined.collapsed_prior",
        )
    return subsample(e.z, most, e.generator("aggregate posterior"))


def own_draws(e: Encoding, count: int) -> Float64[Tensor, "count d"]:
    """``count`` draws (count, d), float64, of the model's own prior."""
    return drawn(e, OWN_SAMPLER, [count], "prior beside codes", "prior beside codes, component")[0].double()


def normal_null(e: Encoding, most: int, measure: Callable[[Tensor, torch.Generator], float], purpose: str) -> float:
    """What ``measure(z, generator)`` reads where q(z) is N(0, I): the mean over some samples of this run's size."""
    generator = e.generator(f"{purpose} null")
    n = min(len(e.z), most)
    repeats = null_repeats(n)
    return sum(measure(randn((n, e.mu.shape[1]), generator, e.mu), generator) for _ in range(repeats)) / repeats


def _mmd(e: Encoding, width: float, codes: int) -> Value:
    z = _codes(e, codes)
    if e.prior is None:
        return Value(mmd2_to_normal(z, width * z.shape[1]), detail={"codes": len(z), "h2": width * z.shape[1]})
    y = own_draws(e, max(SAMPLE_COUNT, len(z)))
    h2 = width * float(y.var(0, correction=0).sum())  # of N(0, I): d
    if h2 == 0:
        raise Undefined("all draws of the prior are one point: it has no scale", "undefined.prior_is_a_point")
    return Value(mmd2(z, y, gaussian(h2)), detail={"codes": len(z), "h2": h2})


def _mmd_null(e: Encoding, width: float, codes: int) -> Mapping[str, float]:
    h2 = width * e.mu.shape[1]
    return {"null:prior": normal_null(e, codes, lambda z, _: mmd2_to_normal(z, h2), "MMD")}


def _sliced(e: Encoding, projections: int, codes: int) -> Value:
    z = _codes(e, codes)
    along = directions(z.shape[1], projections, e.generator("projections"))
    apart = sliced_w2(z, along) if e.prior is None else sliced_w2_between(z, own_draws(e, len(z)), along)
    return Value(apart, detail={"codes": len(z), "projections": along.shape[1]})


def _sliced_null(e: Encoding, projections: int, codes: int) -> Mapping[str, float]:
    along = directions(e.mu.shape[1], projections, e.generator("projections"))
    return {"null:prior": normal_null(e, codes, lambda z, _: sliced_w2(z, along), "sliced")}


def _codes(e: Encoding, most: int) -> Tensor:
    return e.once(codes, most=most)


prior_mmd = Metric(
    name="prior.mmd",
    family="completeness",
    compute=_mmd,
    better="lower",
    bounds=(None, 2.0),
    unit="MMD^2",
    least=0.005,
    summary="kernel distance of the codes of test images to N(0, I), squared and unbiased; 0 = the same distribution",
    source="Gretton et al. 2012; Tolstikhin et al. 2018",
    needs=frozenset({CONTINUUM}),
    params={"width": 1.0, "codes": 4000},
    references=_mmd_null,
    under_prior=True,
    expects={"null:prior": (-0.02, 0.02)},
)

prior_sliced_w2 = Metric(
    name="prior.sliced_w2",
    family="completeness",
    compute=_sliced,
    better="lower",
    bounds=(0.0, None),
    unit="squared latent units",
    least=0.01,
    least_relative=0.05,
    summary="squared Wasserstein distance of the codes of test images to N(0, I), over projections; 0 = the same",
    source="Bonneel et al. 2015",
    needs=frozenset({CONTINUUM}),
    params={"projections": 128, "codes": 10000},
    references=_sliced_null,
    under_prior=True,
    expects={"null:prior": (0.0, 0.25)},
)
