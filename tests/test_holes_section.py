"""The page on holes: one number says whose it is and is the score, and what is drawn is what was measured."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from synthetic_run import Synthetic, build, hole_share, older_atlas

from latentbench.report import folder, page, page_view
from latentbench.report.sections.holes import atlas, common_axis
from latentbench.report.wording import words


def said(column):
    return [sentence.replace(words.THIN, " ") for sentence in atlas(column).about]


def view(path, spec):
    return page_view.page_view(folder.load([build(path, spec)]))


def change(column, **changes):
    artifact = column.run.artifact("atlas", column.model)
    column.run._memo["atlas", column.model] = replace(artifact, **changes)


def older(column, spec):
    """The same model as an older run recorded it."""
    arrays, detail = older_atlas(spec, column.model, np.zeros(spec.points, int))
    change(column, arrays=arrays, detail=detail)


def test_a_single_seed_is_named_beside_the_mean_over_seeds(tmp_path):
    spec = Synthetic(seeds=3)
    for column in view(tmp_path / "three", spec).pictured:
        about = " ".join(said(column))
        values = [r.value for r in column.run.records if (r.model, r.metric) == (column.model, "hole")]
        assert len(values) == 3
        share = words.percent(hole_share(spec, column.model)).replace(words.THIN, " ")
        assert share == words.percent(values[0]).replace(words.THIN, " ")
        assert about.startswith(f"At seed 0, {share} of the prior lies in holes: farther from the training")
        assert f"Mean over 3 seeds: {words.percent(float(np.mean(values)))} ± ".replace(words.THIN, " ") in about
        assert "Codes drawn from N(0, I) themselves would leave 1.9 %." in about
        assert about.endswith("Of held-out codes 1.1 % lie beyond it too.")


def test_with_one_seed_there_is_one_number(tmp_path):
    for column in view(tmp_path / "one", Synthetic(seeds=1)).pictured:
        about = " ".join(said(column))
        assert "Mean" not in about
        assert "seed" not in about


def test_a_run_of_an_older_version_is_drawn_as_it_was_measured(tmp_path):
    spec = Synthetic(seeds=1)
    column = view(tmp_path / "old", spec).pictured[0]
    older(column, spec)
    change(column, detail={"share": 0.3, "radius": 1.0, "draws": 4000})
    found = atlas(column)
    score = words.percent(hole_share(spec, column.model)).replace(words.THIN, " ")
    assert said(column)[0] == (
        f"{score} of the prior lies in holes: farther from the training codes than 99 % of held-out codes are."
    )
    assert found.drawing is None
    assert not found.worst
    assert str(found.sheet).count("<image") == 3
    assert "judged" in str(found.sheet)


def test_an_older_run_without_holes_says_its_numbers_alone(tmp_path):
    spec = Synthetic(seeds=2, models=("ae", "vae", "vae:beta=4"))
    column = view(tmp_path / "many", spec).pictured[1]
    older(column, spec)
    found = atlas(column)
    assert found.sheet is None
    assert found.drawing is None
    assert "in a gap between the training codes along one direction" in found.about[0]
    text = page.html([column.run])
    assert 'class="farthest"' in text


@pytest.mark.parametrize("d", [2, 3, 8])
def test_no_hole_has_a_place_among_the_codes(tmp_path, d):
    """A hole is where no code is: a ring that stands for one may not sit on a cluster of codes."""
    text = page.html(folder.load([build(tmp_path / "run", Synthetic(seeds=2, latent_dim=d))]))
    assert "hole-ring" not in text
    still = re.findall(r'<div class="still">.*?</div>', text, re.S)
    assert still
    assert not any("<circle" in s for s in still)


def test_one_axis_for_all_models(tmp_path):
    seen = view(tmp_path / "two", Synthetic(seeds=2))
    over = common_axis(seen.pictured)
    places = {re.search(r'<line[^>]*class="radius"', str(atlas(c, over).drawing))[0] for c in seen.pictured}
    assert len(places) == 1
    assert common_axis([]) is None
