"""Kinds of junk: each is what its name says, none is a real image, and about half are kept from the judge's training."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from latentbench.randomness import randn, seeded
from latentbench.spaces import image, junk

KINDS = {k.name: k for k in image.IMAGES}
X = torch.rand((60, 3, 6, 7), generator=seeded(0, "real images"))


def made(name, x=X, count=40):
    return KINDS[name].maker(x, count, seeded(0, name))


def test_about_half_are_held_out_and_black_white_and_grey_are_floors():
    shown = [k for k in image.IMAGES if k.shown]
    assert len(KINDS) == len(image.IMAGES)
    assert abs(len(shown) / len(image.IMAGES) - 0.5) <= 0.1
    floors = {k.name for k in image.IMAGES if k.floor}
    assert {"black", "white", "constant", "noise", "gaussian_noise", "shuffle", "mean"} == floors
    for name in KINDS:
        assert f"{name}" in image.__doc__


@pytest.mark.parametrize("name", KINDS)
def test_images_of_every_kind_are_images(name):
    images = made(name).samples
    assert images.shape[1:] == X.shape[1:]
    assert 0 < len(images) <= 40
    assert 0 <= float(images.min()) <= float(images.max()) <= 1
    assert torch.equal(made(name).samples, images)
    assert images.dtype == X.dtype


def test_edits_of_one_image():
    for name in ("shuffle", "rows", "roll", "inverted", "blur", "blur_more"):
        images, (whole,) = made(name)
        assert not torch.equal(images, whole)
        if name in ("shuffle", "rows", "roll"):  # the same pixels, elsewhere
            assert torch.equal(images.flatten(2).sort().values, whole.flatten(2).sort().values)
    images, (whole,) = made("rows")
    rows = lambda x: x.transpose(1, 2).flatten(2).sum(2).sort().values  # noqa: E731
    torch.testing.assert_close(rows(images), rows(whole))
    assert torch.equal(made("roll").samples, made("roll").sources[0].roll((3, 3), (2, 3)))
    assert torch.equal(made("inverted").samples, 1 - made("inverted").sources[0])
    images, (whole,) = made("blur")
    torch.testing.assert_close(images[..., 1:-1, 1:-1], F.avg_pool2d(whole, 3, 1))
    flat = torch.full((4, 1, 5, 5), 0.3)
    torch.testing.assert_close(made("blur_more", flat).samples, flat[:1].expand(40, -1, -1, -1))


def test_pairs():
    images, (a, b) = made("halves")
    assert torch.equal(images, torch.cat([a[:, :, :3], b[:, :, 3:]], 2))
    images, (a, b) = made("sides")
    assert torch.equal(images, torch.cat([a[..., :3], b[..., 3:]], 3))
    images, (a, b) = made("maximum")
    assert torch.equal(images, torch.maximum(a, b))
    images, (a, b) = made("average")
    torch.testing.assert_close(images, (a + b) / 2)
    two = torch.stack([torch.zeros(1, 4, 4), torch.ones(1, 4, 4)])
    _, (a, b) = made("halves", two, 400)
    # The second is the least like the first of four: alike only where all four are.
    assert float((a == b).all(3).all(2).double().mean()) == pytest.approx(1 / 16, abs=0.04)


def test_means_lie_between_the_images_that_they_are_made_of():
    images, sources = made("blend")
    assert sources.shape == (8, *images.shape)
    assert (images >= sources.amin(0)).all()
    assert (images <= sources.amax(0)).all()
    spread = [float(made(k, count=200).samples.var(0).mean()) for k in ("average", "blend", "subset_mean")]
    assert spread == sorted(spread, reverse=True)
    torch.testing.assert_close(made("mean").samples[0], X.mean(0))
    assert len(made("mean", count=1000).samples) == 1 + junk.HALVES


def test_what_is_made_and_is_real_after_all_is_left_out():
    """Lines up or down: half of one on half of another is one of the two where they point the same way."""
    up, down = torch.zeros(2, 1, 8, 8)
    up[:, :4, 3], down[:, 4:, 3] = 1, 1
    x = torch.stack([up, down]).repeat(50, 1, 1, 1)
    halves = KINDS["halves"]
    raw = halves.maker(x, 200, seeded(0, "lines")).samples
    as_real = [(raw == line).flatten(1).all(1) for line in (up, down)]
    assert 0 < int((as_real[0] | as_real[1]).sum()) < 200
    left = halves.make(x, 200, seeded(0, "lines"), junk.apart(x))
    assert len(left) == 200 - int((as_real[0] | as_real[1]).sum())
    assert not any((left == line).flatten(1).all(1).any() for line in (up, down))


def test_a_kind_of_which_nothing_is_unreal_is_not_tried():
    blank = torch.cat([torch.zeros(50, 1, 8, 8), X[:50, :1, :, :6].repeat(1, 1, 2, 2)[:, :, :8, :8]])
    g = seeded(0, "black")
    assert len(KINDS["black"].tried(blank, 1000, g, junk.apart(blank), blank)) == 0
    assert len(KINDS["white"].tried(blank, 1000, g, junk.apart(blank), blank)) == 1
    sky = 0.5 + 1e-4 * torch.rand((60, 1, 8, 8), generator=g)
    assert len(KINDS["rows"].tried(sky, 60, g, junk.apart(X), sky)) == 0


def test_the_reach_of_an_image_is_a_hundredth_of_the_variance():
    x = 3 * randn((20_000, 1, 4, 5), seeded(0, "normal"), X)
    assert junk.apart(x) == pytest.approx(math.sqrt(0.01 * 9 * 20), rel=0.01)


def test_a_batch_holds_kinds_by_their_weights():
    counted = []

    def count(name):
        def maker(x, n, g):
            counted.append((name, n))
            return junk.Made(x[:1].expand(n, -1, -1, -1))

        return maker

    kinds = [replace(k, maker=count(k.name)) for k in image.IMAGES if k.shown]
    batch = junk.batch(kinds, X, 64, seeded(0, "batch"), 0.0)
    assert len(batch) == 64
    taken = dict(counted)
    assert taken["noise"] == taken["blur"] == 8
    assert (taken["black"], taken["white"], taken["constant"]) == (2, 2, 4)


def test_shuffle_keeps_the_histogram():
    mixed = image.shuffle_pixels(X, seeded(0, "s"))
    assert not torch.equal(mixed, X)
    assert torch.equal(mixed.flatten(2).sort().values, X.flatten(2).sort().values)
