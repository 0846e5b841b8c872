"""The histogram of distances, drawn from what was measured: the radius, the share beyond it, the farthest draws; and the
section in a browser."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from synthetic_run import Synthetic, build, hole_share
from test_report_browser import CHROMIUM, OUTSIDE, Visit, browser  # noqa: F401 - a fixture

from latentbench import report
from latentbench.report import folder, page, page_view
from latentbench.report.drawing import distances
from latentbench.report.sections.holes import atlas
from latentbench.report.wording import words
from latentbench.stats.cells import summarise


def in_browser(test):
    """Marks a test that opens the page in Chromium."""
    return pytest.mark.browser(pytest.mark.skipif(CHROMIUM is None, reason="no Chromium found")(test))


def view(path, spec):
    return page_view.page_view(folder.load([build(path, spec)]))


def bars(drawing):
    return [
        (float(x), float(height), style)
        for x, height, style in re.findall(
            r'<rect x="([\d.]+)"[^>]* height="([\d.]+)" class="(band|fill) m\d"', str(drawing)
        )
    ]


def test_bins_end_at_the_radius():
    depth = np.array([0.25, 0.5, 0.999, 1.0, 1.0 + 1e-9, 1.5, 3.0, 1e6, 0.0])
    over = distances.span([depth[:7]])
    edges = over.edges
    assert np.isclose(edges, 0).sum() == 1
    shares = over.shares(depth)
    assert shares.sum() == pytest.approx(1)
    beyond = shares[np.isclose(edges, 0).argmax() :].sum()
    assert beyond == pytest.approx(np.mean(depth > 1)), "1 is not beyond 1; what lies off the axis is in its last bin"


@pytest.mark.parametrize(
    "depths",
    [[np.full(9, 1e6)], [np.full(9, 1e-30)], [np.ones(9)], [np.zeros(5)], [np.array([])], [np.linspace(0.9, 1.1, 50)]],
)
def test_any_distances_have_an_axis_with_the_radius_on_it(depths):
    over = distances.span(depths)
    assert over.low < 0 < over.high
    assert 2 <= len(over.edges) <= 60
    drawn = distances.histogram(depths[0], depths[0], over, 0, "x", "x")
    assert "nan" not in str(drawn)


def test_the_full_bars_hold_the_share_that_is_said(tmp_path):
    """The ink beyond the radius over all the ink is the number on the picture, and that number is the score."""
    spec = Synthetic(seeds=3)
    for column in view(tmp_path / "run", spec).pictured:
        found = atlas(column)
        drawn = bars(found.drawing)
        full = sum(height for _, height, style in drawn if style == "fill")
        assert full / sum(height for _, height, _ in drawn) == pytest.approx(hole_share(spec, column.model), abs=0.01)
        assert min(x for x, _, style in drawn if style == "fill") > max(x for x, _, style in drawn if style == "band")
        score = words.percent(hole_share(spec, column.model))
        assert f">{score} in holes</text>" in str(found.drawing)


def test_numbers_agree_with_the_scores(tmp_path):
    """The seed's number and the mean with its interval are those that the table of scores is made of."""
    run = view(tmp_path / "run", Synthetic(seeds=6)).runs[0]
    for column in page_view.page_view([run]).pictured:
        (cell,) = [c for c in summarise(run.records) if (c.model, c.metric, c.role) == (column.model, "hole", "model")]
        about = " ".join(atlas(column).about)
        assert f"At seed 0, {words.percent(cell.values[0])} of the prior" in about
        interval = f"{words.percent(cell.interval.mean)} ± {words.percent(cell.interval.half)}"
        assert f"Mean over 6 seeds: {interval}." in about


def test_the_score_is_said_where_the_pictures_were_made_of_other_numbers(tmp_path):
    column = view(tmp_path / "run", Synthetic(seeds=2)).pictured[0]
    artifact = column.run.artifact("atlas", column.model)
    column.run._memo["atlas", column.model] = replace(artifact, detail={**artifact.detail, "share": 0.123})
    found = atlas(column)
    assert "12 %" not in " ".join(found.about).replace(words.THIN, " ")
    assert "12 %" not in str(found.drawing).replace(words.THIN, " ")


def test_the_farthest_stand_in_order_with_the_judges_word(tmp_path):
    seen = view(tmp_path / "run", Synthetic(seeds=2))
    for column in seen.pictured:
        found = atlas(column)
        held = column.run.artifact("atlas", column.model)
        assert [w.distance for w in found.worst] == [words.number(float(v)) for v in held.arrays["worst_depth"]]
        assert [w.ruling.valid for w in found.worst] == held.arrays["worst_valid"].tolist()
        assert found.judged == f"{int(held.arrays['worst_valid'].sum())} of these 6 valid"
    unjudged = atlas(view(tmp_path / "plain", Synthetic(seeds=1, judge=False)).pictured[0])
    assert unjudged.judged == "not judged"
    assert all(w.ruling is None for w in unjudged.worst)


def test_what_does_not_fit_is_a_sentence(tmp_path):
    run = view(tmp_path / "run", Synthetic(seeds=1)).runs[0]
    artifact = run.artifact("atlas", "ae")
    for wrong in (
        {"draw_depth": np.full(9, np.nan)},
        {"worst_depth": np.ones(2)},
        {"draw_depth": np.ones((3, 3))},
        {"code_depth": np.array(["x"])},
    ):
        run._memo["atlas", "ae"] = replace(artifact, arrays={**artifact.arrays, **wrong})
        text = page.html([run])
        part = re.search(r'<section id="holes">.*?</section>', text, re.S)[0]
        assert part.count("Not drawn") == 1, wrong


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return report.render([build(tmp_path_factory.mktemp("holes") / "demo")])


@in_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_short_and_nothing_cut(browser, file, scheme):  # noqa: F811
    opened = Visit(browser, file, color_scheme=scheme)
    part = opened.page.locator("#holes")
    assert part.bounding_box()["height"] <= 560
    assert len(part.inner_text().split()) <= 400
    assert part.locator("svg.distances >> visible=true").count() == 2
    assert part.locator(".farthest li").count() == 12
    opened.page.set_viewport_size({"width": 390, "height": 844})
    assert opened.page.evaluate(OUTSIDE) == []
    assert opened.complaints == []
    opened.close()


@in_browser
def test_without_scripts_it_is_the_same(browser, file):  # noqa: F811
    opened = Visit(browser, file, java_script_enabled=False)
    assert opened.page.locator("#holes svg.distances >> visible=true").count() == 2
    assert opened.page.locator("#holes .farthest img >> visible=true").count() == 12
    opened.close()
