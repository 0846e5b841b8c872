"""Cuts through a latent space of three or more dimensions: the plane that the codes of three held-out images span, decoded on
a grid, with its holes marked; and how deep in holes the prior's draws lie.

A plane through codes is where one may hope to find images; what the decoder emits between them, and whether codes lie there
at all, is seen at the model's own latent size, where two dimensions drawn alone would show another model.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from latentbench.core import Encoding, Undefined
from latentbench.geometry.neighbours import nearest
from latentbench.measuring.hole_atlas import decoded_grid, found_holes, lattice
from latentbench.metrics.prior_holes import hole
from latentbench.metrics.samplers import prior_codes

GRID = 9
"""Decoded images along each side."""
FINE = 45
"""Points along each side at which holes are marked, `GRID` a whole number of times."""
MARGIN = 1.6
"""Half the side, in distances of the farthest of the three codes from their middle."""


def depth_of_draws(e: Encoding, sampler: str, count: int, shown: int) -> Tensor:
    """How far the first ``shown`` of ``count`` draws of ``sampler`` lie from the codes: the distance to the k-th nearest training
    code over the radius within which 99 % of the held-out codes have theirs; above 1 no code is near. Raises Undefined without
    training codes."""
    found, k = found_holes(e), hole.params["k"]
    points = e.once(prior_codes, sampler=sampler, count=count)[:shown]
    return nearest(points, found.codes, k).distance[:, -1] / max(found.outside, 1e-300)


def corners(labels: Tensor | None, count: int) -> list[int]:
    """Three of ``count`` images: the first, then the first of another class each, where there are three classes."""
    first = list(range(min(3, count)))
    if labels is None:
        return first
    seen: dict[int, int] = {}
    for i, label in enumerate(labels.tolist()):
        if label >= 0:
            seen.setdefault(label, i)
    return sorted(seen.values())[:3] if len(seen) >= 3 else first


def cut(e: Encoding) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The plane through the codes of three held-out images, at any d > 2: the decoded ``grid`` (GRID, GRID, c, h, w) with
    the judge's ``valid`` and ``label``, rows from the top; ``hole`` (FINE, FINE) bool, farther from the codes than held-out
    codes are; of the three images the places ``mu`` (3, 2) on the plane, the widths ``sigma`` of their posteriors along its
    axes, and the classes ``label_of``. Details: half the side ``reach``, the place ``origin`` of the plane's point nearest
    to 0 and its distance ``away`` from 0. Raises Undefined where the codes span no plane."""
    rows = corners(e.labels, len(e.mu))
    if len(rows) < 3 or e.mu.shape[1] < 3:
        raise Undefined("three codes in three or more latent dimensions span a plane; there are none", "undefined.cut")
    codes = e.mu[rows].double()
    middle = codes.mean(0)
    first = codes[1] - codes[0]
    first = first / first.norm().clamp_min(1e-300)
    second = codes[2] - codes[0]
    second = second - (second @ first) * first
    size = float((codes - middle).norm(dim=1).max())
    if not math.isfinite(size) or float(second.norm()) <= 1e-6 * max(size, 1e-300):
        raise Undefined("the three codes lie on a line: they span no plane", "undefined.cut_line")
    axes = torch.stack([first, second / second.norm()])
    reach = MARGIN * size

    def points(side: int) -> Tensor:
        """The middles of ``side``^2 cells, row by row from the top left, as latent points."""
        return (middle + lattice(reach * (1 - 1 / side), side, axes) @ axes).to(e.mu.dtype)

    found, k = found_holes(e), hole.params["k"]
    out = {
        **decoded_grid(e, points(GRID), GRID),
        "hole": (nearest(points(FINE), found.codes, k).distance[:, -1] > found.outside).view(FINE, FINE),
        "mu": (codes - middle) @ axes.T,
    }
    if e.log_var is not None:
        sigma = (0.5 * e.log_var[rows].double()).exp()
        out["sigma"] = (sigma.square() @ axes.square().T).sqrt()
    if e.labels is not None and bool((e.labels[rows] >= 0).all()):
        out["label_of"] = e.labels[rows]
    origin = -(axes @ middle)
    away = float((middle + origin @ axes).norm())
    return out, {"cut": True, "reach": reach, "origin": origin.tolist(), "away": away, "images": rows}
