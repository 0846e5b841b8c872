"""shapes: grey pictures of one shape each, made from known factors: no download.

Five factors, drawn independently and uniformly, explain an image up to the kind of its shape, which is its label:
where its centroid lies (``x``, ``y``), its ``size`` (the square root of its area), its ``rotation`` and its
``intensity``. In the spirit of dSprites (Matthey et al. 2017), but continuous, without aliasing, and light enough for a
laptop. A pixel's value is the shape's intensity times the share of the pixel that it covers, on black.

All kinds are longer than wide and have one long axis, which ``rotation`` in [0, pi) gives: half a turn brings the
ellipse, the bar and the cross back to themselves, so a larger range would show the same picture under two names. Area,
centroid and the axis of the second moments are known in closed form: what is drawn can be checked, and is.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from latentbench.core import Dataset, DatasetEntry, Split, Truth
from latentbench.datasets.polygons import coverage
from latentbench.randomness import numpy_rng

SIZE = 32
KINDS = ("ellipse", "bar", "triangle", "cross")
FACTORS = {
    "x": (11.0, 21.0),
    "y": (11.0, 21.0),
    "size": (6.0, 9.0),
    "rotation": (0.0, math.pi),
    "intensity": (0.4, 1.0),
}
"""Name and range of each continuous factor: pixels, pixels, pixels, radians, grey value. No shape leaves the image."""
IMAGES = {"train": 2400, "validation": 800, "test": 800}
ELLIPSE = 32
"""Corners of the polygon that stands for an ellipse; its area is made that of the ellipse."""


def outline(kind: str) -> Tensor:
    """Corners (k, 2) of a shape of area 1 with its centroid at 0 and its long axis along the first coordinate."""
    if kind == "ellipse":  # 2 : 1
        t = torch.arange(ELLIPSE, dtype=torch.float64) * (2 * math.pi / ELLIPSE)
        corners = torch.stack([2 * t.cos(), t.sin()], 1)
    elif kind == "bar":  # 4 : 1
        corners = _corners([(-4, -1), (4, -1), (4, 1), (-4, 1)])
    elif kind == "triangle":  # isosceles, 1.5 times as high as wide
        corners = _corners([(-2, -2), (4, 0), (-2, 2)])
    else:  # two bars of width 2, one of length 8 and one of length 4, crossing in their middles
        quarter = [(4, 1), (1, 1), (1, 2), (-1, 2), (-1, 1), (-4, 1)]
        corners = _corners([*quarter, *((-x, -y) for x, y in quarter)])
    return corners / area(corners).sqrt()


def _corners(points: list[tuple[float, float]]) -> Tensor:
    return torch.tensor(points, dtype=torch.float64)


def area(corners: Tensor) -> Tensor:
    """Area of a simple polygon with ``corners`` (k, 2): the shoelace formula."""
    x, y = corners.unbind(1)
    return ((x * y.roll(-1) - y * x.roll(-1)).sum() / 2).abs()


def render(factors: Tensor, snap: bool = False) -> Tensor:
    """Images (m, 1, 32, 32), float64 in [0, 1], of ``factors`` (m, 6): the kind's number in `KINDS`, then those of
    `FACTORS` in their order. Columns run to the right and rows downwards; a rotation turns anticlockwise. ``snap`` as in
    `coverage`."""
    images = torch.zeros((len(factors), SIZE, SIZE), dtype=torch.float64)
    kinds, values = factors[:, 0].long(), factors[:, 1:].double()
    for number, kind in enumerate(KINDS):
        x, y, size, rotation, intensity = values[kinds == number].unbind(1)
        along, across = (outline(kind)[None] * size[:, None, None]).unbind(2)
        c, s = rotation.cos()[:, None], rotation.sin()[:, None]
        corners = torch.stack([x[:, None] + c * along - s * across, y[:, None] - s * along - c * across], 2)
        images[kinds == number] = intensity[:, None, None] * coverage(corners, SIZE, snap)
    return images[:, None]


def load(argument: str, data_root: str, seed: int) -> Dataset:
    """2,400 / 800 / 800 shapes, as many of each kind, drawn from the split seed."""
    train, val, test = (_draw(name, count, seed) for name, count in IMAGES.items())
    return Dataset("shapes", train, val, test, KINDS, Truth(("kind", *FACTORS), render))


def _draw(split: str, count: int, seed: int) -> Split:
    low, high = torch.tensor(list(FACTORS.values()), dtype=torch.float64).T
    # A product and a sum, each rounded: some compilers make one operation of those inside a library's own range.
    share = torch.from_numpy(numpy_rng(seed, f"shapes {split}").random((count, len(FACTORS))))
    values = low + (high - low) * share
    kind = torch.arange(count) % len(KINDS)
    factors = torch.cat([kind[:, None].double(), values], 1)
    return Split(render(factors, snap=True).float(), kind, factors)


SHAPES = DatasetEntry(
    name="shapes",
    load=load,
    summary="4,000 shapes with known place, size, rotation and intensity, 32x32, made here: no download",
    source="latentbench; in the spirit of dSprites (Matthey et al. 2017)",
    defaults={"latent_dim": 8, "width": 256, "epochs": 100, "batch_size": 64},
)
