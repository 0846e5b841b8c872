"""Data drawn here: what is drawn is what the factors say, pinned, the same on every machine."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from test_datasets import check, load

from latentbench.catalog import datasets
from latentbench.config import Run
from latentbench.core import Dataset, Split, Truth
from latentbench.datasets import lines, shapes
from latentbench.datasets.polygons import coverage
from latentbench.randomness import seeded

MADE = ("lines", "shapes")
PIXELS = torch.arange(32, dtype=torch.float64) + 0.5


def moments(images):
    """Sum (m,), centroid (m, 2) as (column, row), and angle (m,) in [0, pi) of the long axis of the second moments of
    images (m, h, w), anticlockwise."""
    mass = images.sum((1, 2))
    centre = torch.stack([(images.sum(1) * PIXELS).sum(1), (images.sum(2) * PIXELS).sum(1)], 1) / mass[:, None]
    dx = PIXELS - centre[:, :1]
    dy = centre[:, 1:] - PIXELS
    xx, yy = (images.sum(1) * dx**2).sum(1), (images.sum(2) * dy**2).sum(1)
    xy = torch.einsum("mij,mi,mj->m", images, dy, dx)
    return mass, centre, torch.remainder(torch.atan2(2 * xy, xx - yy) / 2, math.pi)


# coverage


def test_a_rectangle_on_the_grid_fills_its_pixels():
    corners = torch.tensor([[[1.0, 2], [4, 2], [4, 3], [1, 3]]], dtype=torch.float64)
    expected = torch.zeros(1, 5, 5, dtype=torch.float64)
    expected[0, 2, 1:4] = 1
    for one in (corners, corners.flip(1)):  # in either direction
        assert torch.allclose(coverage(one, 5), expected, atol=1e-12)


def test_shares_of_pixels_by_hand():
    half = torch.tensor([[[0.0, 0], [2, 2], [0, 2]]])  # the lower left half of the first four pixels
    assert torch.allclose(coverage(half, 2)[0], torch.tensor([[0.5, 0.0], [1.0, 0.5]], dtype=torch.float64), atol=1e-12)
    quarter = torch.tensor([[[0.5, 0.25], [1.0, 0.25], [1.0, 0.75], [0.5, 0.75]]])
    assert torch.allclose(coverage(quarter, 2)[0, 0], torch.tensor([0.25, 0.0], dtype=torch.float64), atol=1e-12)


def test_what_lies_outside_is_cut_off_and_repeated_corners_change_nothing():
    corners = torch.tensor([[[-3.0, 1], [2, 1], [2, 9], [-3, 9]]])
    inside = torch.tensor([[[0.0, 1], [2, 1], [2, 4], [0, 4]]])
    assert torch.allclose(coverage(corners, 4), coverage(inside, 4), atol=1e-12)
    again = torch.cat([inside, inside[:, -1:]], 1)
    assert torch.allclose(coverage(again, 4), coverage(inside, 4), atol=1e-12)


def test_coverage_is_the_share_of_a_fine_grid():
    corners = torch.tensor([[[1.3, 0.4], [6.9, 2.2], [4.1, 6.7], [3.3, 3.0]]], dtype=torch.float64)  # not convex
    fine = (torch.arange(8 * 200, dtype=torch.float64) + 0.5) / 200
    x, y = torch.meshgrid(fine, fine, indexing="xy")
    odd = torch.zeros_like(x, dtype=torch.bool)
    for (x0, y0), (x1, y1) in zip(corners[0].tolist(), corners[0].roll(-1, 0).tolist(), strict=True):
        odd ^= ((y0 > y) != (y1 > y)) & (x < x0 + (y - y0) * (x1 - x0) / (y1 - y0))
    expected = odd.double().view(8, 200, 8, 200).mean((1, 3))
    assert float((coverage(corners, 8)[0] - expected).abs().max()) < 2e-3


# both


@pytest.mark.parametrize("name", MADE)
def test_made_data_are_what_every_dataset_is_and_need_no_file(name, tmp_path, no_network):
    data = load(name, tmp_path / "nowhere")
    check(data)
    assert (data.name, data.shape) == (name, (1, 32, 32))
    assert list(tmp_path.iterdir()) == []
    assert name in Run.model_fields["dataset"].description


PINNED = (
    ("lines", "9161600afd71cbcdb3487733190411b808b633a412243c349bf09b31b0d4bfd6"),
    ("shapes", "341ae595c51df76507d5623b71ab67e78fe7550fcc6eb0209291cec4cf01d113"),
)


@pytest.mark.parametrize(("name", "sha256"), PINNED)
def test_made_data_are_pinned_and_depend_on_the_split_seed_alone(name, sha256):
    torch.manual_seed(1)
    first = load(name)
    torch.manual_seed(2)
    assert first.sha256 == load(name).sha256 != load(name, seed=1).sha256
    assert first.sha256 == sha256


@pytest.mark.parametrize("name", MADE)
def test_the_factors_draw_the_images_again(name):
    data = load(name)
    for split in (data.train, data.val, data.test):
        some = slice(0, len(split.x), 50)
        assert float((data.truth.render(split.factors[some]) - split.x[some]).abs().max()) < 2**-16


@pytest.mark.parametrize("name", MADE)
def test_no_image_stands_in_two_splits(name):
    data = load(name)
    rows = [x.numpy().tobytes() for s in (data.train, data.val, data.test) for x in s.x]
    assert len(set(rows)) == len(rows)


def test_the_hash_covers_factors_and_is_what_it_was_without():
    x, y = torch.rand(4, 1, 2, 2, generator=seeded(0, "x")), torch.tensor([0, 1, 0, 1])
    plain = Dataset("a", *[Split(x, y)] * 3)
    known = replace(plain, test=Split(x, y, torch.zeros(4, 1, dtype=torch.float64)))
    assert plain.sha256 != known.sha256
    assert plain.sha256 == replace(plain, truth=Truth(("a",), lambda f: x)).sha256
    assert Split(x, y) == (x, y, None)


# lines


def test_a_line_has_its_area_its_middle_and_its_direction():
    angle = 2 * math.pi * torch.rand(200, 1, dtype=torch.float64, generator=seeded(0, "lines"))
    area, centre, axis = moments(lines.render(angle)[:, 0])
    assert torch.allclose(area, torch.full_like(area, 30), atol=1e-9)
    middle = 16 + 7.5 * torch.cat([angle.cos(), -angle.sin()], 1)
    assert float((centre - middle).abs().max()) < 0.02
    turn = torch.remainder(axis - angle[:, 0] + math.pi / 2, math.pi) - math.pi / 2
    assert float(turn.abs().max()) < 0.01


def test_a_level_line_pixel_by_pixel():
    image = lines.render(torch.zeros(1, 1))[0, 0]
    expected = torch.zeros(32, 32, dtype=torch.float64)
    expected[15:17, 16:31] = 1
    assert torch.allclose(image, expected, atol=1e-12)


def test_quarter_turns_turn_the_picture():
    angle = torch.linspace(0, 1.5, 7, dtype=torch.float64)[:, None]
    for k in range(1, 4):
        turned = lines.render(angle + k * math.pi / 2)
        assert torch.allclose(turned, lines.render(angle).rot90(k, (2, 3)), atol=1e-9)


def test_lines_are_drawn_all_around_and_sectors_are_their_labels():
    data = load("lines")
    assert [len(s.x) for s in (data.train, data.val, data.test)] == [3200, 800, 1000]
    assert data.truth.factors == ("angle",)
    assert len(data.classes) == 10
    angle = data.train.factors[:, 0]
    assert 0 <= float(angle.min()) < 0.01 < 6.27 < float(angle.max()) < 2 * math.pi
    assert abs(float(angle.mean()) - math.pi) < 0.1
    assert torch.equal(data.train.y, (angle.rad2deg() // 36).long())
    assert data.classes[3] == "108-144°"
    run_steps = datasets()["lines"].defaults["epochs"] * (3200 // datasets()["lines"].defaults["batch_size"])
    assert run_steps == 3000


# shapes


def test_shapes_have_the_area_place_turn_and_light_of_their_factors():
    data = load("shapes")
    f = data.train.factors
    mass, centre, axis = moments(data.train.x[:, 0].double())
    kind, x, y, size, rotation, intensity = f.unbind(1)
    assert float(((mass / intensity).sqrt() - size).abs().max()) < 2e-4
    assert float((centre - torch.stack([x, y], 1)).abs().max()) < 0.03
    turn = torch.remainder(axis - rotation + math.pi / 2, math.pi) - math.pi / 2
    assert float(turn.abs().max()) < 0.02
    covered = data.train.x.flatten(1).amax(1)
    assert float((covered - intensity).abs().max()) < 2e-3
    assert torch.equal(kind.long(), data.train.y)


def test_factors_of_shapes_are_even_over_their_ranges_and_independent():
    data = load("shapes")
    assert [len(s.x) for s in (data.train, data.val, data.test)] == [2400, 800, 800]
    assert data.truth.factors == ("kind", *shapes.FACTORS)
    assert data.classes == shapes.KINDS
    low, high = torch.tensor(list(shapes.FACTORS.values()), dtype=torch.float64).T
    values = (data.train.factors[:, 1:] - low) / (high - low)
    assert bool(((values >= 0) & (values <= 1)).all())
    assert torch.allclose(values.mean(0), torch.full((5,), 0.5, dtype=torch.float64), atol=0.03)
    assert float((torch.corrcoef(data.train.factors.T) - torch.eye(6)).abs().max()) < 0.08
    assert torch.bincount(data.train.y).tolist() == [600] * 4


@pytest.mark.parametrize("kind", shapes.KINDS)
def test_an_outline_has_area_1_and_the_largest_shape_stays_in_the_image(kind):
    corners = shapes.outline(kind)
    assert float(shapes.area(corners)) == pytest.approx(1)
    reach = float(corners.norm(dim=1).max()) * shapes.FACTORS["size"][1]
    assert reach < shapes.FACTORS["x"][0]
    assert reach < 32 - shapes.FACTORS["x"][1]
    assert shapes.FACTORS["x"] == shapes.FACTORS["y"]


def test_kinds_look_different_at_the_same_factors():
    factors = torch.tensor([[k, 16.0, 16, 8, 0.3, 1] for k in range(4)], dtype=torch.float64)
    images = shapes.render(factors).flatten(1)
    apart = torch.cdist(images, images) + 100 * torch.eye(4)
    assert float(apart.min()) > 2
