"""Holes are shown where the measure finds them, ranked by distance, and the same every time."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from fakes import fake_encoding, latent_encoding, normal, value

from latentbench.core import Undefined
from latentbench.geometry.neighbours import nearest
from latentbench.measuring.hole_atlas import FINE, GRID, WORST, atlas, plane, spectrum
from latentbench.metrics.samplers import prior_codes


def ring(n, purpose):
    """Codes on both sides of an empty middle: the first coordinate is at +-2."""
    side = torch.where(torch.arange(n) % 2 == 0, 2.0, -2.0).double()
    return torch.stack([side + 0.1 * normal((n,), purpose), normal((n,), purpose + " 2")], 1)


def empty_middle():
    e = latent_encoding(ring(3000, "train"), ring(1000, "test"))
    return replace(e, decode=lambda z: z.sum(1).view(-1, 1, 1, 1).expand(-1, 1, 2, 2))


def test_depths_are_those_that_the_measure_reads():
    e = empty_middle()
    arrays, detail = atlas(e)
    # Along the first axis codes keep to 2.58 of their deviations of .1 about +-2: the rest of a normal's mass is a hole.
    held = (math.erf(2.258 / math.sqrt(2)) - math.erf(1.742 / math.sqrt(2))) / 2
    assert detail["share"] == pytest.approx(1 - 2 * held, abs=0.02)
    assert detail["share"] == value("hole", e) > detail["null"]
    assert detail["part"] == "dimension"
    # A share along one direction is an integral; the draws come near it.
    assert float((arrays["draw_depth"] > 1).double().mean()) == pytest.approx(detail["share"], abs=0.03)
    assert len(arrays["draw_depth"]) == detail["draws"] == 4000
    assert len(arrays["code_depth"]) == detail["codes"] == 1000
    assert float((arrays["code_depth"] > 1).double().mean()) == pytest.approx(0.01, abs=0.01)


def test_the_farthest_draws_are_decoded_from_the_farthest_on():
    e = empty_middle()
    arrays, _ = atlas(e)
    assert arrays["worst"].shape == (WORST, 1, 2, 2)
    assert (arrays["worst_depth"].diff() <= 0).all()
    assert float(arrays["worst_depth"][0]) == float(arrays["draw_depth"].max()) > 1
    draws = e.once(prior_codes, sampler="normal", count=4000)
    first = draws[arrays["draw_depth"].argmax()]
    # In the middle between the two sides, at most a little off the place that is as far from both.
    assert abs(float(first[0])) < 0.3
    assert torch.allclose(arrays["worst"][0].double(), first.sum().double().expand(1, 2, 2), atol=1e-5)
    assert float(arrays["worst_norm"][0]) == pytest.approx(float(first.norm()), rel=1e-5)
    again, _ = atlas(empty_middle())
    assert all(torch.equal(arrays[k], again[k]) for k in arrays)


def test_no_hole_no_share():
    e = latent_encoding(normal((3000, 2), "train"), normal((1000, 2), "test"))
    arrays, detail = atlas(e)
    assert detail["share"] < 0.03
    assert set(arrays) == {"draw_depth", "code_depth"}, "without a decoder there is no picture"


@pytest.mark.parametrize(("scale", "part"), [(0.3, "outside"), (4.0, "sparse")])
def test_the_atlas_shows_holes_of_the_kind_that_the_measure_reads(scale, part):
    """Codes far too wide once had no hole and now have one; what is shown is what is measured."""
    e = latent_encoding(scale * normal((1078, 8), "train"), scale * normal((360, 8), "test"))
    arrays, detail = atlas(e)
    assert (detail["part"], detail["share"]) == (part, value("hole", e))
    assert float((arrays["draw_depth"] > 1).double().mean()) == detail["share"]
    # Depth is distance over the radius that stands beside it.
    nearby = nearest(e.once(prior_codes, sampler="normal", count=4000)[:50], e.train.z, 5).distance[:, -1]
    assert torch.allclose(arrays["draw_depth"][:50].double() * detail["radius"], nearby, rtol=1e-5)


def test_codes_on_one_place_have_finite_depths():
    e = latent_encoding(torch.zeros(500, 2).double(), torch.zeros(200, 2).double())
    arrays, _ = atlas(e)
    assert all(bool(a.isfinite().all()) for a in arrays.values())


def test_the_judge_rules_on_every_picture():
    e = fake_encoding(None)
    far = replace(e, train=replace(e.train, z=e.train.z + 9), z=e.z + 9)
    arrays, _ = atlas(far)
    assert arrays["worst_valid"].shape == arrays["worst_label"].shape == arrays["worst_confidence"].shape == (WORST,)
    judged = far.judge(far.space.clip(arrays["worst"]))
    assert torch.equal(arrays["worst_valid"], judged.valid)


def test_the_plane_is_decoded_from_the_top_left_and_its_holes_are_marked():
    e = empty_middle()
    arrays, detail = plane(e)
    assert arrays["grid"].shape[:2] == (GRID, GRID)
    reach = detail["reach"] * (1 - 1 / GRID)
    corners = arrays["grid"][[0, 0, -1, -1], [0, -1, 0, -1], 0, 0, 0].tolist()
    assert corners == pytest.approx([0, 2 * reach, -2 * reach, 0], abs=1e-5)
    middle = arrays["hole"][FINE // 2]
    assert bool(middle[FINE // 2])
    assert not bool(middle[round((2 / detail["reach"] + 1) / 2 * (FINE - 1))])
    with pytest.raises(Undefined, match="2 latent dimensions, there are 3"):
        plane(fake_encoding())


def test_the_spectrum_is_numpys():
    x = torch.rand(60, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    known = np.sort(np.linalg.eigvalsh(np.cov(x.flatten(1).double().numpy().T, bias=True)))[::-1]
    np.testing.assert_allclose(spectrum(x), known, rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(
        spectrum(x[:10]),
        np.sort(np.linalg.eigvalsh(np.cov(x[:10].flatten(1).double().numpy().T, bias=True)))[::-1][:10],
        atol=1e-10,
    )
