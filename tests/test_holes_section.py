"""The page on holes: one number says whose it is, and no hole is drawn where there is none."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from synthetic_run import Synthetic, build

from latentbench.report import folder, page, page_view
from latentbench.report.sections.holes import atlas
from latentbench.report.wording import words


def said(column):
    return [sentence.replace(words.THIN, " ") for sentence in atlas(column).about]


def view(path, spec):
    return page_view.page_view(folder.load([build(path, spec)]))


def test_a_single_seed_is_named_beside_the_mean_over_seeds(tmp_path):
    seen = view(tmp_path / "three", Synthetic(seeds=3))
    for column in seen.pictured:
        about = " ".join(said(column))
        values = [r.value for r in column.run.records if (r.model, r.metric) == (column.model, "hole")]
        assert len(values) == 3
        assert about.startswith(
            "At seed 0, which is shown here, 46 % of N(0, I) lies in holes: farther from the training"
        )
        assert f"The mean over 3 seeds is {words.percent(float(np.mean(values)))}.".replace(words.THIN, " ") in about
        assert "Codes drawn from N(0, I) themselves would leave 1.9 %." in about


def test_with_one_seed_there_is_one_number(tmp_path):
    for column in view(tmp_path / "one", Synthetic(seeds=1)).pictured:
        about = " ".join(said(column))
        assert "mean" not in about
        assert about.startswith("46 % of N(0, I) lies in holes")


def test_what_is_mapped_of_a_model_without_holes(tmp_path):
    seen = view(tmp_path / "many", Synthetic(seeds=2, models=("ae", "vae", "vae:beta=4")))
    found = atlas(seen.pictured[1])
    assert not found.regions
    assert found.drawing is None
    assert "in a gap between the training codes along one direction" in found.about[0]
    assert found.about[-1] == "Nothing stands out that could be mapped."


def test_a_run_of_an_older_version_is_drawn_as_it_was_measured(tmp_path):
    column = view(tmp_path / "old", Synthetic(seeds=1)).pictured[0]
    artifact = column.run.artifact("atlas", column.model)
    column.run._memo["atlas", column.model] = replace(artifact, detail={"share": 0.3, "radius": 1.0, "draws": 4000})
    assert said(column)[0] == (
        "30 % of N(0, I) lies in holes: farther from the training codes than 99 % of held-out codes are."
    )


@pytest.mark.parametrize("d", [3, 8])
def test_no_ring_stands_on_a_map_of_codes_alone(tmp_path, d):
    made = build(tmp_path / "run", Synthetic(seeds=2, latent_dim=d))
    text = page.html(folder.load([made]))
    assert 'class="hole-ring"' not in text
    assert "On no map: maps of more than two latent dimensions are made of codes alone" in text


def test_in_two_dimensions_a_ring_stands_where_the_hole_is(tmp_path):
    seen = view(tmp_path / "plane", Synthetic(seeds=2, latent_dim=2))
    column = seen.pictured[0]
    artifact, xy = (column.run.artifact(role, column.model) for role in ("atlas", "map"))
    far = 3 * np.abs(xy.need("xy")).max()
    centre = np.array([[far, 0], [0, far], [-far, -far]])  # farther out than any code
    column.run._memo["atlas", column.model] = replace(artifact, arrays={**artifact.arrays, "centre": centre})
    drawing = str(atlas(column).drawing)
    rings = [
        dict(re.findall(r'(c[xy])="([^"]+)"', ring))
        for ring in re.findall(r'<circle[^>]*class="hole-ring"[^>]*>', drawing)
    ]
    assert len(rings) == 3
    places = np.array([[float(r["cx"]), float(r["cy"])] for r in rings])
    # One scale from latent to picture for all of them, the second axis upwards.
    scale = (places[0, 0] - places[2, 0]) / (2 * far)
    np.testing.assert_allclose(places - places[0], (centre - centre[0]) * [scale, -scale], atol=0.5)
    assert ((places > 0) & (places < 460)).all()


def test_no_ring_is_drawn_on_the_map_of_another_seed(tmp_path):
    column = view(tmp_path / "plane", Synthetic(seeds=2, latent_dim=2)).pictured[0]
    drawn = column.run.artifact("map", column.model)
    column.run._memo["map", column.model] = replace(drawn, seed=1)
    assert atlas(column).drawing is None
