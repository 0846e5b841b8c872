"""The hole atlas and the latent plane: *where* the prior's mass meets no posterior, and what the decoder emits there.

What a *hole* is the measure ``hole`` says (`latentbench.metrics.prior_holes`): the atlas shows holes of its worst part on
this encoding, outside, sparse or dimension, and as much of them as it reads. It gathers the draws in holes into regions (k-means, for any latent size d),
ranks the regions by the prior mass they hold, and decodes each at its *medoid*, the draw nearest to its centre, and at
some of its other draws; the judge rules on every picture. Where d = 2 the whole plane can be drawn: decoded on a grid,
with the holes marked on a finer one.
"""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from latentbench.core import Encoding, Undefined
from latentbench.geometry.neighbours import nearest
from latentbench.metrics.decoding import decode, verdicts
from latentbench.metrics.prior_holes import Holes, hole, holes
from latentbench.metrics.samplers import prior_codes

REGIONS = 8
"""Regions in an atlas, at most."""
PICTURES = 6
"""Draws shown of each region, its medoid first."""
FEW = 20
"""Fewer draws than this in holes are gathered into no region."""
CLEAR = 2.0
"""Holes are gathered into regions where they hold more than so many times what codes from N(0, I) leave."""
GRID = 15
"""Decoded images along each side of the latent plane."""
FINE = 61
"""Points along each side on which the plane's holes are marked."""
REACH = 3.0
"""The least half side of the plane shown: three standard deviations of the prior."""
FAR = 60.0
"""The largest: codes farther out are cut off."""


class Region(NamedTuple):
    """One part of the holes: ``members`` (m,) indices of draws, the medoid first, then by closeness to it; ``mass`` the
    share of all draws; ``depth`` the median over members of how deep in a hole they lie (> 1)."""

    members: Tensor
    mass: float
    depth: float


def regions(points: Tensor, depth: Tensor, seed: int, most: int = REGIONS) -> list[Region]:
    """The regions of those ``points`` (m, d) whose ``depth`` (m,), their distance to the codes over the radius of the codes'
    support, exceeds 1, by falling mass; none where there are fewer than `FEW` such points. Deterministic for a seed."""
    from sklearn.cluster import KMeans

    empty = torch.nonzero(depth > 1).flatten()
    if len(empty) < FEW:
        return []
    inside = points[empty].double()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # fewer distinct points than clusters is still a clustering
        fitted = KMeans(min(most, len(empty) // (FEW // 2)), n_init=2, random_state=seed).fit(inside.cpu().numpy())
    label = torch.from_numpy(fitted.labels_).long()
    out = []
    for k in range(int(label.max()) + 1):
        cluster = torch.nonzero(label == k).flatten().to(inside.device)
        if not len(cluster):
            continue
        from_centre = (inside[cluster] - inside[cluster].mean(0)).norm(dim=1)
        medoid = inside[cluster[from_centre.argmin()]]
        order = (inside[cluster] - medoid).norm(dim=1).argsort(stable=True)
        members = empty[cluster[order]]
        out.append(Region(members, len(members) / len(points), float(depth[members].median())))
    return sorted(out, key=lambda r: (-r.mass, int(r.members[0])))


def atlas(e: Encoding, map_codes: Tensor) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The encoding's holes under N(0, I): per region ``mass``, ``depth``, ``centre`` (the medoid's coordinates, (k, d)),
    the decoded ``pictures`` (k, p, c, h, w) with the judge's ``valid``, ``label`` and ``confidence`` (k, p), the region's
    ``valid_share``, and ``beside`` (k, 5), which of the points on the map lie nearest; the masses add up to the measure.
    Details: the ``share`` that ``hole`` reads, what normal codes leave (``null``), and of which ``part`` the holes are.
    No region where the share is not above the null value, `CLEAR`. Raises Undefined without training codes or a decoder."""
    found, k = _found(e), hole.params["k"]
    points = e.once(prior_codes, sampler="normal", count=hole.params["draws"])
    share, null = found.shares.worst, found.null.worst
    detail: dict[str, Any] = {"share": share, "null": null, "part": found.worst, "draws": len(points)}
    gathered = regions(points, found.depth(points, k), e.seed) if share > CLEAR * null else []
    if not gathered:
        return {}, detail
    medoids = torch.stack([r.members[0] for r in gathered])
    shown = [r.members[torch.linspace(0, len(r.members) - 1, PICTURES).round().long()] for r in gathered]
    pictures = [decode(e, points[rows]) for rows in shown]
    mass = torch.tensor([r.mass for r in gathered], dtype=torch.float64)
    out = {
        "mass": mass * share / mass.sum(),  # `dimension` is an integral; its draws come near it
        "depth": torch.tensor([r.depth for r in gathered]),
        "centre": points[medoids],
        "pictures": torch.stack(pictures),
        "beside": nearest(points[medoids], map_codes, min(5, len(map_codes))).indices,
    }
    if e.judge is not None:
        judged = [verdicts(e, images) for images in pictures]
        out |= {name: torch.stack([getattr(v, name) for v in judged]) for name in ("valid", "label", "confidence")}
        whole = [verdicts(e, decode(e, points[r.members])).valid.double().mean() for r in gathered]
        out["valid_share"] = torch.stack(whole)
    return out, detail


def _found(e: Encoding) -> Holes:
    """The holes under N(0, I) as the measure ``hole`` found them."""
    return e.once(holes, **{k: v for k, v in hole.params.items() if k != "part"})


def plane(e: Encoding) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The latent plane of a model with d = 2: ``reach`` half its side, the decoded ``grid`` (GRID, GRID, c, h, w) with the
    judge's ``valid`` and ``label``, rows from the top, ``hole`` (FINE, FINE) bool (outside or sparse), and ``mu``, ``sigma`` of some held-out
    images with their ``label_of``. Raises Undefined for another latent size."""
    if e.mu.shape[1] != 2:
        raise Undefined("a plane needs 2 latent dimensions, there are {d}", "undefined.plane", d=e.mu.shape[1])
    found, k = _found(e), hole.params["k"]
    reach = min(FAR, max(REACH, float(e.mu.abs().quantile(0.98)) * 1.05))
    fine, coarse = _lattice(reach, FINE, e.mu), _lattice(reach * (1 - 1 / GRID), GRID, e.mu)
    images = decode(e, coarse)
    some = slice(0, 200)
    out = {
        "grid": images.view(GRID, GRID, *images.shape[1:]),
        "hole": (nearest(fine, found.codes, k).distance[:, -1] > min(found.outside, found.sparse)).view(FINE, FINE),
        "mu": e.mu[some],
    }
    if e.log_var is not None:
        out["sigma"] = (0.5 * e.log_var[some]).exp()
    if e.labels is not None and bool((e.labels[some] >= 0).all()):
        out["label_of"] = e.labels[some]
    if e.judge is not None:
        word = verdicts(e, images)
        out |= {"valid": word.valid.view(GRID, GRID), "label": word.label.view(GRID, GRID)}
    outside = float((e.mu.abs().amax(1) > reach).double().mean())
    return out, {"reach": reach, "outside": outside}


def _lattice(reach: float, side: int, like: Tensor) -> Tensor:
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
