"""The hole atlas and the latent plane: *how far* the prior's mass lies from the codes, and what the decoder emits there.

What a *hole* is the measure ``hole`` says (`latentbench.metrics.prior_holes`): the atlas shows its worst part on this
encoding, outside, sparse or dimension, at the very draws that the measure reads. The *depth* of a point is its distance to
the codes over the radius of that part: above 1 it lies in a hole. Held-out codes stand beside the draws, and the draws that
lie deepest are decoded; the judge rules on every picture. Where d = 2 the whole plane can be drawn: decoded on a grid, with
the holes marked on a finer one.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from latentbench.core import Encoding, Undefined
from latentbench.geometry.neighbours import nearest
from latentbench.metrics.decoding import decode, subsample, verdicts
from latentbench.metrics.prior_holes import Holes, hole, holes
from latentbench.metrics.samplers import prior_codes, trained_with

WORST = 6
"""Draws shown decoded: those that lie deepest in holes."""
DEEPEST = 1e6
"""Depths are cut off here: codes heaped on one place have hardly a radius."""
GRID = 15
"""Decoded images along each side of the latent plane."""
FINE = 61
"""Points along each side on which the plane's holes are marked."""
REACH = 3.0
"""The least half side of the plane shown: three standard deviations of the prior."""
FAR = 60.0
"""The largest: codes farther out are cut off."""


class Depths(NamedTuple):
    """How deep in holes points lie, distance over radius, above 1 in one: the prior's ``draws`` (m, d) with theirs,
    ``of_draws`` (m,), and those of held-out codes, ``of_codes`` (h,); float64."""

    draws: Tensor
    of_draws: Tensor
    of_codes: Tensor


def depths(e: Encoding) -> Depths:
    """The depths of the draws of the model's prior and of the held-out codes that the measure ``hole`` reads. Raises
    Undefined without training codes."""
    found, p = found_holes(e), hole.params
    draws = e.once(prior_codes, sampler=trained_with(e), count=p["draws"])
    held_out = subsample(e.z, p["held_out"], e.generator("held-out codes"))
    deep = (found.depth(points, p["k"]).clamp(max=DEEPEST) for points in (draws, held_out))
    return Depths(draws, *deep)


def atlas(e: Encoding) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The encoding's holes under its prior: ``draw_depth`` and ``code_depth``, see `Depths`, and, where there is a decoder,
    the `WORST` draws from the deepest on, decoded (``worst``), each with its depth, its distance from the origin
    (``worst_norm``) and the judge's word. Details: the ``share`` that ``hole`` reads, what normal codes leave (``null``), of
    which ``part`` the holes are and its ``radius`` in latent units. Raises Undefined without training codes."""
    found, (draws, of_draws, of_codes) = found_holes(e), e.once(depths)
    detail: dict[str, Any] = {
        "share": found.shares.worst, "null": found.null.worst, "part": found.worst, "radius": found.radius,
        "k": hole.params["k"], "draws": len(draws), "codes": len(of_codes),
    }  # fmt: skip
    out = {"draw_depth": of_draws.float(), "code_depth": of_codes.float()}
    if e.decode is None:
        return out, detail
    deepest = of_draws.argsort(descending=True, stable=True)[:WORST]
    images = decode(e, draws[deepest])
    out |= {"worst": images, "worst_depth": of_draws[deepest].float(), "worst_norm": draws[deepest].norm(dim=1).float()}
    if e.judge is not None:
        word = verdicts(e, images)
        out |= {f"worst_{name}": getattr(word, name) for name in ("valid", "label", "confidence")}
    return out, detail


def found_holes(e: Encoding) -> Holes:
    """The holes under the prior that the model was trained with, as the measure ``hole`` found them."""
    return e.once(holes, **{k: v for k, v in hole.params.items() if k != "part"})


def plane(e: Encoding) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The latent plane of a model with d = 2: ``reach`` half its side, the decoded ``grid`` (GRID, GRID, c, h, w) with the
    judge's ``valid`` and ``label``, rows from the top, ``hole`` (FINE, FINE) bool (outside or sparse), and ``mu``, ``sigma`` of some held-out
    images with their ``label_of``. Raises Undefined for another latent size."""
    if e.mu.shape[1] != 2:
        raise Undefined("a plane needs 2 latent dimensions, there are {d}", "undefined.plane", d=e.mu.shape[1])
    found, k = found_holes(e), hole.params["k"]
    reach = min(FAR, max(REACH, float(e.mu.abs().quantile(0.98)) * 1.05))
    fine, coarse = lattice(reach, FINE, e.mu), lattice(reach * (1 - 1 / GRID), GRID, e.mu)
    some = slice(0, 200)
    out = {
        **decoded_grid(e, coarse, GRID),
        "hole": (nearest(fine, found.codes, k).distance[:, -1] > min(found.outside, found.sparse)).view(FINE, FINE),
        "mu": e.mu[some],
    }
    if e.log_var is not None:
        out["sigma"] = (0.5 * e.log_var[some]).exp()
    if e.labels is not None and bool((e.labels[some] >= 0).all()):
        out["label_of"] = e.labels[some]
    outside = float((e.mu.abs().amax(1) > reach).double().mean())
    return out, {"reach": reach, "outside": outside}


def decoded_grid(e: Encoding, points: Tensor, side: int) -> dict[str, Tensor]:
    """What ``side``^2 latent points decode to, as they lie on a square: the ``grid`` (side, side, *shape), and where there
    is a judge what it says of each, ``valid`` and ``label`` (side, side)."""
    images = decode(e, points)
    out = {"grid": images.view(side, side, *images.shape[1:])}
    if e.judge is not None:
        word = verdicts(e, images)
        out |= {"valid": word.valid.view(side, side), "label": word.label.view(side, side)}
    return out


def lattice(reach: float, side: int, like: Tensor) -> Tensor:
    """``side``^2 points of the square [-reach, reach]^2, row by row from the top left, (side^2, 2)."""
    axis = torch.linspace(-reach, reach, side, dtype=like.dtype, device=like.device)
    y, x = torch.meshgrid(-axis, axis, indexing="ij")
    return torch.stack([x, y], -1).view(-1, 2)


def spectrum(x: Tensor, most: int = 256) -> NDArray[np.float64]:
    """The largest ``most`` eigenvalues of the covariance of images (n, c, h, w), falling: the ground of the closed forms
    of linear models (Tipping & Bishop 1999), and ``total`` variance is their sum where all are kept."""
    flat = x.flatten(1).double()
    centred = flat - flat.mean(0)
    gram = centred.T @ centred if flat.shape[1] <= len(flat) else centred @ centred.T
    eigenvalues: NDArray[np.float64] = torch.linalg.eigvalsh(gram / len(flat)).flip(0).clamp(min=0)[:most].cpu().numpy()
    return eigenvalues
