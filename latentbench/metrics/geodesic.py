"""Geodesics: is the straight line in latent space the short way between two images?

A path of T latent points ``z_0 ... z_{T-1}`` has the decoded length ``L = sum_t |r_t|`` and the decoded energy
``E = sum_t |r_t|^2``, with ``r_t = g(z_{t+1}) - g(z_t)``. Ends fixed, the path of least energy is a geodesic of the
metric that the decoder pulls back from pixels, walked at even speed (Arvanitidis et al. 2018; Shao et al. 2018).
``geodesic.ratio = min(L, L_straight) / L_straight`` is 1 where nothing is shorter than the straight line.

Energy is a sum of squares, so Gauss-Newton suits it: with J_t the whitened Jacobian at z_t and steps ``R w_t``, solve
``min_w sum_t |r_t + J_{t+1} w_{t+1} - J_t w_t|^2 + damping |w|^2`` for all interior points of a path at once. In
whitened coordinates this turns with the latent: an affine reparametrisation changes nothing. Paths bend only within the
directions in which the codes of the data vary; where the latent has more than `MANY` dimensions, within the leading 32
of these and the straight line's own, so that the equations stay small. What is found is a local minimum: the ratio is an upper bound.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from latentbench.core import CONTINUUM, DECODER, Encoding, Metric, Undefined, Value
from latentbench.geometry.neighbours import flat
from latentbench.geometry.principal import LEADING
from latentbench.metrics.decoded_continuity import along, has_path, length, over_paths, path_pairs, step_lengths
from latentbench.metrics.decoding import CHUNK, decode
from latentbench.metrics.jacobian import code_axes, code_scale, directional, jacobians, method_of, spread_codes

if TYPE_CHECKING:
    from jaxtyping import Float, Float64

MANY = 64
"""Latent sizes above this have paths bend within a span of few directions."""
DAMPINGS = (1e-4, 1e-2, 1.0)
"""Tried at every step, in units of the mean diagonal of the normal equations; the one of least energy is taken."""

SETTLED = 1e-4
"""A path whose energy falls by less than this share in a step has arrived."""


def decoded(e: Encoding, points: Float[Tensor, "p T d"]) -> Float64[Tensor, "p T pixels"]:
    """Decoded paths (p, T, pixels), float64, of latent paths ``points`` (p, T, d)."""
    return flat(decode(e, points.flatten(0, 1))).view(*points.shape[:2], -1)


def energy(images: Float[Tensor, "p T pixels"]) -> Float[Tensor, " p"]:
    """``sum_t |p_{t+1} - p_t|^2`` (p,) of decoded paths (p, T, pixels)."""
    return step_lengths(images).steps.square().sum(1)


def normal_equations(
    jacobian: Float[Tensor, "p inner pixels d"], images: Float[Tensor, "p T pixels"]
) -> tuple[Float[Tensor, "p n n"], Float[Tensor, "p n"]]:
    """Gauss-Newton's matrix (p, n, n) and right-hand side (p, n), n = (T - 2) d, for the moves of the interior points:
    ``jacobian`` (p, T - 2, pixels, d) at them, ``images`` (p, T, pixels). Block tridiagonal: 2 J_t^T J_t on the
    diagonal, - J_t^T J_{t+1} beside it; the right-hand side is J_t^T (p_{t-1} - 2 p_t + p_{t+1})."""
    p, inner, _, d = jacobian.shape
    back = jacobian.transpose(2, 3)
    matrix = jacobian.new_zeros(p, inner, d, inner, d)
    at = torch.arange(inner, device=matrix.device)
    matrix[:, at, :, at] = 2 * (back @ jacobian).transpose(0, 1)
    beside = (back[:, :-1] @ jacobian[:, 1:]).transpose(0, 1)
    matrix[:, at[:-1], :, at[1:]] = -beside
    matrix[:, at[1:], :, at[:-1]] = -beside.transpose(2, 3)
    bend = images[:, :-2] - 2 * images[:, 1:-1] + images[:, 2:]
    return matrix.view(p, inner * d, inner * d), (back @ bend[..., None]).view(p, inner * d)


def bending(e: Encoding, points: Tensor) -> Tensor:
    """In which directions the interior points of latent paths (p, T, d) move, a standard deviation of the codes long:
    those of `code_scale` (d, d) for all paths; above `MANY` dimensions of each path (p, d, k) the `LEADING` principal axes
    and what of the line between its ends lies in none of them."""
    if points.shape[2] <= MANY:
        return e.once(code_scale)
    every, codes = e.once(code_axes), spread_codes(e)
    axes, sd = every.direction[:, :LEADING], every.sd[:LEADING]
    line = (points[:, -1] - points[:, 0]).double()
    rest = line - line @ axes @ axes.T
    size = length(rest)[:, None]
    rest = torch.where(size > 1e-6 * length(line)[:, None], rest / size, 0.0)
    spread = (flat(codes) @ rest.T).std(0, correction=0)[:, None]
    return torch.cat([(axes * sd).expand(len(points), -1, -1), (rest * spread)[..., None]], 2)


def shorten(e: Encoding, points: Float[Tensor, "p T d"], steps: int) -> Float[Tensor, "p T d"]:
    """Latent paths of less decoded energy with the same ends as ``points`` (p, T, d), by at most ``steps`` damped
    Gauss-Newton steps each; no step that raises the energy is taken."""
    points, every = points.clone(), bending(e, points)
    images = decoded(e, points)
    least = energy(images)
    busy = torch.arange(len(points), device=points.device)
    for _ in range(steps):
        inner = points[busy, 1:-1]
        factor = every if every.dim() == 2 else every[busy]
        each = factor if factor.dim() == 2 else factor.repeat_interleave(inner.shape[1], 0)
        jacobian = jacobians(e, inner.flatten(0, 1), each).view(*inner.shape[:2], -1, factor.shape[-1])
        matrix, bend = normal_equations(jacobian, images[busy])
        scale = matrix.diagonal(dim1=1, dim2=2).mean(1)
        before = least[busy]
        for damping in DAMPINGS:
            ridge = (damping * scale + torch.finfo(scale.dtype).tiny)[:, None, None] * torch.eye(
                matrix.shape[1], dtype=matrix.dtype, device=matrix.device
            )
            root = torch.linalg.cholesky_ex(matrix + ridge).L
            move = torch.cholesky_solve(bend[..., None], root).view(*inner.shape[:2], -1) @ factor.mT
            tried = points[busy].clone()
            tried[:, 1:-1] = inner + move
            there = decoded(e, tried)
            cost = energy(there)
            better = cost < least[busy]  # false where it is not a number
            points[busy[better]], images[busy[better]], least[busy[better]] = tried[better], there[better], cost[better]
        busy = busy[least[busy] < (1 - SETTLED) * before]
        if not len(busy):
            break
    return points


def foreseen(e: Encoding, straight: Float[Tensor, "p T d"]) -> Tensor:
    """Decoded length (p,) of the interior steps of latent paths (p, T, d), T > 2, as the decoder's derivative foresees
    it: ``sum_t |J(z_t) (z_{t+1} - z_t)|`` over interior t."""
    move = straight[:, 2:] - straight[:, 1:-1]
    ahead = directional(e, straight[:, 1:-1].flatten(0, 1), move.flatten(0, 1))
    return length(ahead).view(len(straight), -1).sum(1)


def geodesic_lengths(e: Encoding, frames: int, pairs: int, steps: int) -> tuple[Tensor, Tensor, Tensor]:
    """For each of ``pairs`` pairs, (p,) float64: decoded length of the straight line and of the shortest path found,
    no longer than it, and which have a path at all. Raises Undefined where the decoder has no paths, or where its
    derivative does not account for them (a decoder of steps or of noise)."""
    ends = path_pairs(e, pairs).to(e.mu.device)
    straight = along(e.mu[ends[:, 0]].double(), e.mu[ends[:, 1]].double(), torch.linspace(0, 1, frames))
    d = straight.shape[2]
    moves = d if d <= MANY else LEADING + 1
    blocks = torch.split(straight, max(1, CHUNK // ((frames - 2) * moves)))
    direct = [step_lengths(decoded(e, block)) for block in blocks]
    kept = has_path(e, torch.cat([block.chord for block in direct]))
    taken, expected = torch.cat([b.steps[:, 1:].sum(1) for b in direct]), torch.cat([foreseen(e, b) for b in blocks])
    share = float(expected[kept].sum() / taken[kept].sum())
    if not 0.1 < share < 10:
        raise Undefined(
            "the decoder's derivative foresees {share:.2g} of the length of its paths: it moves in jumps, and no "
            "shorter path can be sought along it",
            "undefined.decoder_jumps",
            share=share,
        )
    shortened = [step_lengths(decoded(e, shorten(e, block, steps))).steps.sum(1) for block in blocks]
    whole = torch.cat([block.steps.sum(1) for block in direct])
    return whole, torch.minimum(whole, torch.cat(shortened)), kept


def _ratio(e: Encoding, frames: int, pairs: int, steps: int) -> Value:
    whole, least, kept = geodesic_lengths(e, frames, pairs, steps)
    value = over_paths((least / whole).nan_to_num(1.0), kept)
    return value._replace(detail={**value.detail, "method": method_of(e)})


def _cross_fade(e: Encoding, **params: object) -> Mapping[str, float]:
    return {"ceiling:cross-fade": 1.0}


geodesic_ratio = Metric(
    name="geodesic.ratio",
    family="continuity",
    compute=_ratio,
    better="higher",
    bounds=(0.0, 1.0),
    unit="ratio",
    summary="length of the shortest decoded path found between two codes over that of the straight latent line, in "
    "pixels, 16 frames; 1 = the straight line is the shortest, as for any linear decoder",
    source="Arvanitidis et al. 2018; Shao et al. 2018",
    needs=frozenset({CONTINUUM, DECODER}),
    params={"frames": 16, "pairs": 24, "steps": 6},
    references=_cross_fade,
)
