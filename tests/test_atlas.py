"""Holes are found where they are, ranked by their mass, and the same every time."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from fakes import fake_encoding, latent_encoding, normal, value

from latentbench.core import Undefined
from latentbench.geometry.neighbours import nearest
from latentbench.measuring.hole_atlas import FINE, GRID, atlas, plane, regions, spectrum


def ring(n, purpose):
    """Codes on both sides of an empty middle: the first coordinate is at +-2."""
    side = torch.where(torch.arange(n) % 2 == 0, 2.0, -2.0).double()
    return torch.stack([side + 0.1 * normal((n,), purpose), normal((n,), purpose + " 2")], 1)


def empty_middle():
    e = latent_encoding(ring(3000, "train"), ring(1000, "test"))
    return replace(e, decode=lambda z: z.sum(1).view(-1, 1, 1, 1).expand(-1, 1, 2, 2))


def test_the_regions_lie_in_the_hole_and_hold_its_mass():
    e = empty_middle()
    arrays, detail = atlas(e, e.mu[:200])
    # Along the first axis codes keep to 2.58 of their deviations of .1 about +-2: the rest of a normal's mass is a hole.
    held = (math.erf(2.258 / math.sqrt(2)) - math.erf(1.742 / math.sqrt(2))) / 2
    assert detail["share"] == pytest.approx(1 - 2 * held, abs=0.02)
    assert detail["share"] == value("hole", e) > detail["null"]
    assert detail["part"] == "dimension"
    assert float(arrays["mass"].sum()) == pytest.approx(detail["share"], abs=1e-6)
    assert (arrays["mass"].diff() <= 0).all()
    # Wherever a region is drawn there is no code: its middle is farther from them than they are from each other.
    assert float(nearest(arrays["centre"], e.train.z).distance.min()) > 0.1
    assert (arrays["depth"] > 1).all()
    assert arrays["pictures"].shape[:2] == (len(arrays["mass"]), 6)
    # Each picture's first is the decoded medoid.
    assert torch.allclose(arrays["pictures"][:, 0, 0, 0, 0].double(), arrays["centre"].double().sum(1), atol=1e-5)
    assert arrays["beside"].shape == (len(arrays["mass"]), 5)
    again, _ = atlas(empty_middle(), e.mu[:200])
    assert all(torch.equal(arrays[k], again[k]) for k in arrays)


def test_no_hole_no_region():
    e = latent_encoding(normal((3000, 2), "train"), normal((1000, 2), "test"))
    e = replace(e, decode=lambda z: z.sum(1).view(-1, 1, 1, 1))
    arrays, detail = atlas(e, e.mu[:50])
    assert detail["share"] < 0.03
    assert regions(normal((100, 2), "few"), torch.zeros(100), 0) == []
    assert set(arrays) <= {"mass", "depth", "centre", "pictures", "beside"}


@pytest.mark.parametrize(("scale", "part"), [(0.3, "outside"), (4.0, "sparse")])
def test_the_atlas_shows_holes_of_the_kind_that_the_measure_reads(scale, part):
    """Codes far too wide once had no hole and now have one; what is mapped is what is measured."""
    e = latent_encoding(scale * normal((1078, 8), "train"), scale * normal((360, 8), "test"))
    e = replace(e, decode=lambda z: z.sum(1).view(-1, 1, 1, 1))
    arrays, detail = atlas(e, e.mu[:50])
    assert (detail["part"], detail["share"]) == (part, value("hole", e))
    assert float(arrays["mass"].sum()) == pytest.approx(detail["share"], abs=1e-6)
    assert (arrays["depth"] > 1).all()


def test_the_judge_rules_on_every_picture():
    e = fake_encoding(None)
    far = replace(e, train=replace(e.train, z=e.train.z + 9), z=e.z + 9)
    arrays, _ = atlas(far, far.mu)
    assert arrays["valid"].shape == arrays["label"].shape == arrays["pictures"].shape[:2]
    assert ((arrays["valid_share"] >= 0) & (arrays["valid_share"] <= 1)).all()


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
