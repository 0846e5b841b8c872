"""lines: pictures of one line at a known angle, made here: no download.

The line runs from the centre (16, 16) of a 32x32 image at an angle drawn from U(0, 2 pi), 15 pixels long and 2 wide,
light (1) on dark (0), each pixel by the share of its area that is covered: the setting of Berthelot et al. 2018, who
write -1 and +1 for 0 and 1. One factor explains every image and its value is known, so a path through a latent space
can be held against the true path: a line that turns evenly (metrics ``lines.*``).

The classes are the ten equal sectors of the circle that the angle may lie in, as in the paper's code: a judge trained
on them tells lines from what is none, and its word along a path says in which direction the line points. They have no
gaps between them, so a line near a border belongs to both nearly alike: an accuracy a little below 1 is in the data.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from latentbench.core import Dataset, DatasetEntry, Split, Truth
from latentbench.datasets.polygons import coverage
from latentbench.randomness import numpy_rng

SIZE, LENGTH, WIDTH = 32, 15.0, 2.0
SECTORS = 10
IMAGES = {"train": 3200, "validation": 800, "test": 1000}


def render(angle: Tensor, snap: bool = False) -> Tensor:
    """Images (m, 1, 32, 32), float64 in [0, 1], of lines at ``angle`` (m, 1), in radians: 0 points right, pi/2 up.
    ``snap`` as in `coverage`."""
    angle = angle.double().reshape(-1)
    along = torch.stack([angle.cos(), -angle.sin()], 1)  # rows are counted downwards
    across = torch.stack([angle.sin(), angle.cos()], 1) * (WIDTH / 2)
    centre = torch.full_like(along, SIZE / 2)
    tip = centre + LENGTH * along
    corners = torch.stack([centre - across, tip - across, tip + across, centre + across], 1)
    return coverage(corners, SIZE, snap)[:, None]


def load(argument: str, data_root: str, seed: int) -> Dataset:
    """3,200 / 800 / 1,000 lines, drawn from the split seed."""
    train, val, test = (_draw(name, count, seed) for name, count in IMAGES.items())
    sectors = tuple(f"{360 * k // SECTORS}-{360 * (k + 1) // SECTORS}°" for k in range(SECTORS))
    return Dataset("lines", train, val, test, sectors, Truth(("angle",), render))


def _draw(split: str, count: int, seed: int) -> Split:
    angle = torch.from_numpy(numpy_rng(seed, f"lines {split}").uniform(0, 2 * math.pi, (count, 1)))
    sector = (angle[:, 0] * SECTORS / (2 * math.pi)).long().clamp(max=SECTORS - 1)
    return Split(render(angle, snap=True).float(), sector, angle)


LINES = DatasetEntry(
    name="lines",
    load=load,
    summary="5,000 lines at known angles, 32x32, made here: no download",
    source="after Berthelot et al. 2018",
    # 50 batches an epoch: 3,000 steps in all.
    defaults={"latent_dim": 16, "width": 256, "epochs": 60, "batch_size": 64},
)
