"""The decoder's derivative: how much does an image move when its code moves, and does every direction count?

With J(z) the Jacobian of the decoder g at z, pixels by d, and S the covariance of the posterior means over the data,
the *whitened* Jacobian is ``J S^{1/2}``: pixels moved per standard deviation of the codes. Its singular values are
the square roots of the eigenvalues of ``J S J^T``, so a rescaled, rotated or sheared latent space with a decoder that
undoes it has the same ones; those of J alone could be anything. Any factor R with ``R R^T = S`` serves as S^{1/2}.

Neither measure has a good direction. The smallest Lipschitz constant is that of the blurriest decoder, and one that
uses a single dimension is perfectly conditioned: they describe, beside R^2 and validity.

Of a wide latent (above 256 dimensions) R holds the leading 256 principal axes, which the measures are about as long
as these hold `ENOUGH` of the codes' variance; beyond that they are not defined.

Columns of J R are directional derivatives of one ordinary batch of codes, each row with its own direction: the derivative
of J^T u by u, for J^T u is linear in u (two backward passes; forward mode would load PyTorch's compiler, which takes longer
than the measure). Where a decoder cannot be differentiated so (its gradients are off, or have no derivatives), forward mode
is tried; one that PyTorch cannot look into at all (NumPy, detached or inference-mode output) is differentiated by central
differences, and the record says so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, NamedTuple

import torch
import torch.autograd.forward_ad as forward
from torch import Tensor

from latentbench.core import CONTINUUM, DECODER, Encoding, Metric, Undefined, Value
from latentbench.geometry.neighbours import flat
from latentbench.geometry.principal import WIDE, Axes, leading
from latentbench.metrics.decoded_continuity import NO_PATH, image_distance
from latentbench.metrics.decoding import CHUNK, decoder_of, subsample

if TYPE_CHECKING:
    from jaxtyping import Float, Float64

Method = Literal["autograd", "central differences"]
Decoder = Callable[[Tensor], Tensor]
Derivative = Callable[[Decoder, Tensor, Tensor], Tensor]
"""Of a decoder at codes (m, d) along directions (m, d)."""

STEP = 5e-3
"""Half-width of central differences in whitened units (standard deviations of the codes): the cube root of float32's
rounding error, where the error of rounding, ~ 1e-7 / h, meets that of truncation, ~ h^2."""

ZERO = 1e-4
"""Singular values up to this share of the largest count as zero: float32 rounding alone, over the pixels of an image
or through central differences, leaves that much in a direction that the decoder ignores."""

CODES = 5000
"""Codes whose principal axes are sought, at most."""
ENOUGH = 0.9
"""Share of the codes' variance that the leading axes of a wide latent are to hold."""


class Spectrum(NamedTuple):
    """Singular values ``sigma`` (n, k) of J S^{1/2} at n held-out codes, float64, descending, in pixels per standard
    deviation, and the ``method`` of differentiation."""

    sigma: Tensor
    method: Method


def whitening(mu: Float[Tensor, "n d"]) -> Float64[Tensor, "d d"]:
    """A factor R (d, d), float64, of the covariance S of points (n, d): ``R R^T = S``, its columns the principal axes
    with the length of one standard deviation; directions without variance are columns of zeros."""
    points = flat(mu)
    value, vector = torch.linalg.eigh(torch.cov(points.T, correction=0).view(points.shape[1], -1))
    value = torch.where(value > 1e-12 * value[-1], value, 0.0)
    factor: Tensor = vector * value.clamp(min=0).sqrt()
    return factor


def code_scale(e: Encoding) -> Tensor:
    """`whitening` (d, d) of the training split's posterior means; of the encoding's own where there is no training split.
    Of a wide latent the columns of the leading axes alone, (d, k)."""
    if e.mu.shape[1] <= WIDE:
        return whitening((e.train or e).mu)
    axes = e.once(code_axes)
    return axes.direction * axes.sd if len(axes.sd) else axes.direction.new_zeros(e.mu.shape[1], 1)


def code_axes(e: Encoding) -> Axes:
    """The leading `WIDE` principal axes of the `spread_codes`."""
    return leading(spread_codes(e), WIDE)


def spread_codes(e: Encoding) -> Tensor:
    """The posterior means that say in which directions codes vary, at most `CODES`: evenly, for they may stand in order of
    their classes."""
    mu = (e.train or e).mu
    return mu[:: -(-len(mu) // CODES)]


def derivative_of(e: Encoding) -> Derivative | None:
    """How this encoding's decoder can be differentiated, found out on its first code; None: by differences alone."""
    codes = e.mu[:1]
    for way in (_backward_twice, _forward):
        try:
            way(decoder_of(e), codes, torch.ones_like(codes))
        except Exception:  # a decoder may refuse in any way
            continue
        return way
    return None


def method_of(e: Encoding) -> Method:
    """The name of how this encoding's decoder is differentiated."""
    return "central differences" if e.once(derivative_of) is None else "autograd"


# In both, codes are cloned: what was made in inference mode carries neither a gradient nor a tangent.


def _backward_twice(decode: Decoder, codes: Tensor, directions: Tensor) -> Tensor:
    with torch.inference_mode(False), torch.enable_grad():
        z = codes.clone().requires_grad_()
        images = decode(z)
        u = torch.zeros_like(images).requires_grad_()
        # Of sums: with gradients handed in, autograd loads a package for symbolic shapes.
        (pulled,) = torch.autograd.grad((images * u).sum(), z, create_graph=True)
        (tangent,) = torch.autograd.grad((pulled * directions.clone()).sum(), u)
    return tangent


def _forward(decode: Decoder, codes: Tensor, directions: Tensor) -> Tensor:
    with torch.inference_mode(False), torch.no_grad(), forward.dual_level():
        tangent: Tensor | None = forward.unpack_dual(
            decode(forward.make_dual(codes.clone(), directions.clone()))
        ).tangent
    if tangent is None:
        raise RuntimeError("the decoder passed no derivative on")
    return tangent


@torch.no_grad()
def directional(e: Encoding, codes: Tensor, directions: Tensor) -> Tensor:
    """Directional derivatives ``J(z) v`` of the decoder at ``codes`` (m, d) along ``directions`` (m, d), a row each:
    (m, pixels) float64. Central differences step `STEP` times v, so v is to have the size of a standard deviation."""
    decode = decoder_of(e)
    codes, directions = codes.to(e.mu), directions.to(e.mu)
    if (derivative := e.once(derivative_of)) is not None:
        return flat(derivative(decode, codes, directions))
    ahead, behind = decode(codes + STEP * directions), decode(codes - STEP * directions)
    return (flat(ahead) - flat(behind)) / (2 * STEP)


def jacobians(e: Encoding, codes: Tensor, factor: Tensor) -> Tensor:
    """Whitened Jacobians ``J(z) R`` at ``codes`` (m, d) for ``factor`` R (d, k), or for one each (m, d, k): (m, pixels,
    k) float64."""
    m, k = len(codes), factor.shape[-1]
    along = factor.T.repeat(m, 1) if factor.dim() == 2 else factor.mT.flatten(0, 1)
    columns = directional(e, codes.repeat_interleave(k, 0), along)
    return columns.view(m, k, -1).transpose(1, 2)


def singular_values(matrices: Float[Tensor, "m pixels k"]) -> Float[Tensor, "m r"]:
    """Singular values (m, r), descending, r = min(pixels, k), of ``matrices`` (m, pixels, k), through the QR factors: pixels are
    mostly many, columns few."""
    sigma: Tensor = torch.linalg.svdvals(torch.linalg.qr(matrices, mode="r").R)
    return sigma


def spectrum(e: Encoding, codes: int) -> Spectrum:
    """Singular values of J S^{1/2} at up to ``codes`` held-out posterior means, the same images for every model. Raises
    Undefined where a wide latent's codes vary in more directions than are looked along."""
    points = subsample(e.mu, codes, e.generator("Jacobians"))
    factor = e.once(code_scale)
    if e.mu.shape[1] > WIDE and 0 < (share := e.once(code_axes).share) < ENOUGH:
        raise Undefined(
            "the codes vary in too many of {d} dimensions: the {k} principal axes along which the decoder is "
            "differentiated hold {share:.0%} of their variance (at least {least:.0%})",
            "undefined.many_directions",
            d=e.mu.shape[1],
            k=factor.shape[1],
            share=share,
            least=ENOUGH,
        )
    parts = torch.split(points, max(1, CHUNK // factor.shape[1]))
    return Spectrum(torch.cat([singular_values(jacobians(e, part, factor)) for part in parts]), method_of(e))


def condition(sigma: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
    """``sigma_max / sigma_min`` (n,) of descending singular values (n, d), those up to `ZERO` times the largest left
    out: in [1, 1 / `ZERO`]; 1 = every direction in use moves the image equally far."""
    used = sigma > ZERO * sigma[:, :1]
    smallest = torch.where(used, sigma, torch.inf).amin(1)
    return sigma[:, 0] / smallest


def moving(e: Encoding, largest: Tensor) -> Tensor:
    """At which codes the decoder moves at all: (n,) bool, sigma_max (n,) at least `NO_PATH` of the root mean squared
    distance between two images. Raises Undefined where fewer than half do."""
    kept = (largest > 0) & (largest >= NO_PATH * e.once(image_distance))
    if 2 * int(kept.sum()) < len(kept):
        raise Undefined(
            "the decoder's derivative is zero at {n} of {of} codes (one standard deviation of the codes moves the image "
            "by less than {least:.0%} of the distance between two images)",
            "undefined.derivative_zero",
            n=len(kept) - int(kept.sum()),
            of=len(kept),
            least=NO_PATH,
        )
    return kept


def _lipschitz(e: Encoding, codes: int) -> Value:
    sigma, method = e.once(spectrum, codes=codes)
    moving(e, sigma[:, 0])
    largest = sigma[:, 0]
    detail = {"q95": float(largest.quantile(0.95)), "mean": float(largest.mean()), "codes": len(sigma)}
    return Value(float(largest.quantile(0.5)), detail={**detail, "method": method})


def _condition(e: Encoding, codes: int) -> Value:
    sigma, method = e.once(spectrum, codes=codes)
    sigma = sigma[moving(e, sigma[:, 0])]
    each = condition(sigma)
    rank = (sigma > ZERO * sigma[:, :1]).double().sum(1).mean()
    detail = {"q95": float(each.quantile(0.95)), "nonzero": float(rank), "codes": len(sigma)}
    return Value(float(each.quantile(0.5)), detail={**detail, "method": method})


jacobian_lipschitz = Metric(
    name="jacobian.lipschitz",
    family="continuity",
    compute=_lipschitz,
    better="none",
    bounds=(0.0, None),
    unit="pixels per sd",
    summary="how far an image moves for one standard deviation of the codes, in the direction where it moves most: "
    "median over test codes; the blurriest decoder has the smallest",
    source="largest singular value of J S^{1/2}, S the covariance of the codes: latentbench",
    needs=frozenset({CONTINUUM, DECODER}),
    params={"codes": 100},
)

jacobian_condition = Metric(
    name="jacobian.condition",
    family="continuity",
    compute=_condition,
    better="none",
    bounds=(1.0, 1 / ZERO),
    unit="ratio",
    summary="how unequally the directions of the latent space move the image: largest over smallest singular value of "
    "J S^{1/2}, median over test codes; values below 1/10,000 of the largest are left out",
    source="condition number of J S^{1/2}, S the covariance of the codes: latentbench",
    needs=frozenset({CONTINUUM, DECODER}),
    params={"codes": 100},
)
