"""Maps that people play with: what is known of every point is what was measured, the page holds it once, and in a browser
points are coloured, searched, brushed and walked through."""

from __future__ import annotations

import base64
import colorsys
import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from fakes import fake_encoding, latent_encoding, normal, value
from synthetic_run import Synthetic, build, hole_share
from test_report_browser import CHROMIUM, OUTSIDE, PLACE, Visit, browser  # noqa: F401 - a fixture

from latentbench import records, report
from latentbench.geometry.neighbours import distances
from latentbench.measuring import artifacts
from latentbench.measuring.map_points import points
from latentbench.metrics.samplers import prior_codes
from latentbench.report import folder, page, page_view
from latentbench.report.drawing import maps as drawing
from latentbench.report.sections import maps
from latentbench.report.wording import words

# What is measured


def known(e):
    return points(e, artifacts.map_index(len(e.mu)))


def test_means_over_the_points_are_the_scores():
    """All 60 held-out images are on the map, so the means of what is known of each are the run's own numbers."""
    e = fake_encoding()
    arrays, _ = known(e)
    assert float(arrays["error"].double().mean()) == pytest.approx(value("mse", e), rel=1e-5)
    assert float(arrays["kl"].double().mean()) == pytest.approx(value("kl", e), rel=1e-5)
    judged = e.judge(e.space.clip(e.x_hat))
    assert torch.equal(arrays["valid"], judged.valid)
    assert torch.allclose(arrays["confidence"], judged.confidence.float())


def test_every_draw_counts_at_its_nearest_code():
    e = fake_encoding()
    arrays, detail = known(e)
    draws = e.once(prior_codes, sampler="normal", count=4000)
    own = distances(draws, e.mu).argmin(1)
    assert arrays["draws"].tolist() == torch.bincount(own, minlength=60).tolist()
    assert int(arrays["draws"].sum()) == detail["draws"] == 4000
    assert bool((arrays["in_holes"] <= arrays["draws"]).all())
    assert detail["beyond"] == value("hole", e)
    assert "draws_at" not in arrays


def test_the_share_in_holes_is_counted_among_the_points():
    e = latent_encoding(0.3 * normal((1078, 8), "train"), 0.3 * normal((360, 8), "test"))
    arrays, detail = known(e)
    assert int(arrays["in_holes"].sum()) / 4000 == detail["beyond"] == value("hole", e) > 0.5


def test_draws_have_places_where_the_map_is_the_space():
    e = latent_encoding(normal((1000, 2), "train"), normal((300, 2), "test"))
    arrays, _ = known(e)
    draws = e.once(prior_codes, sampler="normal", count=4000)[:400]
    assert torch.equal(arrays["draws_at"], draws.float())
    assert arrays["draws_in_holes"].shape == (400,)
    line = latent_encoding(normal((1000, 1), "train"), normal((300, 1), "test"))
    assert known(line)[0]["draws_at"][:, 1].abs().max() == 0


def test_copies_are_told_and_honest_reconstructions_are_none():
    honest = fake_encoding()
    assert not known(honest)[0]["copied"].any()
    near = distances(honest.x, honest.train.x).argmin(1)
    table = replace(honest, x_hat=honest.train.x[near])
    assert known(table)[0]["copied"].double().mean() > 0.95
    # Given back exactly an image is its own, however near a seen one lies.
    assert not known(replace(honest, x_hat=honest.x))[0]["copied"].any()


def test_what_is_not_there_is_left_out():
    e = fake_encoding(None)
    assert "kl" not in known(e)[0]
    bare = replace(e, decode=None, x_hat=None, train=None, judge=None)
    arrays, detail = known(bare)
    assert (set(arrays), set(detail)) == ({"draws"}, {"draws"})
    assert {"valid", "confidence"} & set(known(replace(e, judge=None))[0]) == set()


# What the page holds


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    return build(tmp_path_factory.mktemp("maps") / "demo")


@pytest.fixture(scope="module")
def text(demo):
    return page.html(folder.load([demo]))


def section(text):
    return re.search(r'<section id="maps">.*?</section>', text, re.S)[0]


def held(text):
    return json.loads(re.search(r'class="map-data">(.*?)</script>', section(text), re.S)[1])


def prose(part):
    part = re.sub(r"<script.*?</script>|<svg.*?</svg>", "", part, flags=re.S)
    return " ".join(re.sub(r"<[^>]+>", " ", part).replace(words.THIN, " ").split())


def made(path, spec=None, change=None):
    run = folder.load([build(path, spec or Synthetic(seeds=1))])[0]
    for model in run.models:
        artifact = run.artifact("points", model)
        run._memo["points", model] = change(artifact) if change else artifact
    return page.html([run])


def test_the_page_holds_the_very_numbers(text, demo):
    data = held(text)
    run = folder.load([demo])[0]
    assert data["labels"] == list(run.models)
    for model, packed in zip(data["labels"], data["values"], strict=True):
        arrays = run.artifact("points", model).arrays
        assert set(packed) == set(arrays)
        for name, coded in packed.items():
            kind = "<f4" if name in ("error", "confidence", "kl") else "<u2"
            np.testing.assert_array_equal(np.frombuffer(base64.b64decode(coded), kind), arrays[name])
    assert "kl" in data["values"][1]
    assert "kl" not in data["values"][0]


def test_what_is_shared_stands_there_once(text):
    """Coordinates are packed and the points' pictures, names and marks are those of the one source of all maps."""
    data = held(text)
    whole = json.dumps(data["document"])
    assert whole.count('"__ndarray__"') + whole.count('"type": "ndarray"') >= 7
    sources = re.findall(r'"name": "points"', whole)
    assert len(sources) == 1
    # 359 points and two maps: some hundred bytes a point in all.
    assert len(json.dumps(data)) < 360 * 250


def test_what_can_be_told_is_offered(text):
    offered = re.findall(r'<option value="(\w+)">', section(text))
    assert offered == ["class", "error", "valid", "confidence", "kl", "copied"]


def test_a_judge_or_a_width_that_is_not_there_offers_nothing(tmp_path):
    offered = re.findall(
        r'<option value="(\w+)">', section(made(tmp_path / "a", Synthetic(models=("ae",), judge=False, seeds=1)))
    )
    assert offered == ["class", "error", "copied"]


@pytest.mark.parametrize(
    "change",
    [
        lambda a: replace(a, arrays={}),
        lambda a: replace(a, seed=7),
        lambda a: replace(a, arrays={k: v[:3] for k, v in a.arrays.items()}),
        lambda a: replace(a, arrays={k: v * np.nan for k, v in a.arrays.items()}),
        lambda a: replace(
            a, arrays={k: v.astype(str) for k, v in a.arrays.items()}, detail={"beyond": "x", "draws": []}
        ),
    ],
    ids=["nothing", "another seed", "too few", "not finite", "words"],
)
def test_what_is_not_known_of_these_points_is_not_offered(tmp_path, change):
    part = section(made(tmp_path / "run", None, change))
    assert 'class="colour"' not in part
    assert 'class="live-only overlays"' not in part
    assert "draws from N" not in part
    assert part.count('class="still"') == 2


def test_an_older_run_has_its_maps(tmp_path):
    built = build(tmp_path / "old", Synthetic(seeds=1, without=frozenset({"points"})))
    part = section(page.html(folder.load([built])))
    assert "Not drawn" not in part
    assert 'class="colour"' not in part


def test_the_line_on_the_priors_draws_is_counted(demo, text):
    run = folder.load([demo])[0]
    said = prose(section(text))
    for model in run.models:
        counts = run.artifact("points", model).arrays["draws"]
        share = words.percent(hole_share(Synthetic(), model)).replace(words.THIN, " ")
        assert (
            f"{model}: {int((counts > 0).sum())} of 360 codes are the nearest of any, {share} of the prior lies in holes"
            in said
        )
    assert "4 000 draws from N(0, I), each counted at the nearest code shown (UMAP has no inverse)" in said


def test_a_latent_space_that_is_its_own_map_is_no_umap(tmp_path):
    spec = Synthetic(seeds=1, latent_dim=2)
    run = folder.load([build(tmp_path / "plane", spec)])[0]
    for model in run.models:
        drawn = run.artifact("map", model)
        run._memo["map", model] = replace(drawn, detail={**drawn.detail, "neighbours": 0})
    part = section(page.html([run]))
    said = prose(part)
    assert "UMAP" not in part.split('class="map-data"')[0]
    assert "Not a projection but the latent space itself: ae, vae." in said
    assert "400 of 4 000 draws from N(0, I) stand where they fall" in said
    assert "rustworthiness" not in said
    lost = run.artifact("points", "ae").arrays["draws_in_holes"]
    document = json.dumps(held(page.html([run]))["document"])
    assert document.count('"name": "draws"') == document.count('"name": "lost"') == 2
    assert 0 < lost.sum() < 400


def test_the_seed_is_that_of_the_maps(tmp_path):
    run = folder.load([build(tmp_path / "run", Synthetic(seeds=1))])[0]
    assert "360 held-out images; codes of seed 0." in prose(section(page.html([run])))
    run._memo["map", "vae"] = replace(run.artifact("map", "vae"), seed=3)
    assert "codes of one seed each" in prose(section(page.html([run])))


def lightness(colour):
    """CIE L* of an sRGB colour."""
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
        for c in (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    ]
    y = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return 116 * y ** (1 / 3) - 16


def test_the_scale_rises_evenly_in_lightness():
    """What is more is lighter by an even step, which needs no colour to be seen."""
    steps = np.diff([lightness(c) for c in drawing.SCALE])
    assert (steps > 0).all()
    assert steps.max() < 1.4 * steps.min()
    assert colorsys.rgb_to_hls(*(int(drawing.SCALE[0][i : i + 2], 16) / 255 for i in (1, 3, 5)))[1] < 0.25


def test_many_models_and_equal_bytes(tmp_path):
    spec = Synthetic(models=("ae", *(f"vae:beta={b}" for b in range(1, 7))), seeds=1, points=120)
    built = build(tmp_path / "run", spec)
    first, again = (page.html(folder.load([built])) for _ in range(2))
    assert first == again
    assert section(first).count('class="map"') == page_view.PICTURED
    assert len(maps.run_maps(folder.load([built])[0], page_view.page_view(folder.load([built])).pictured, 0).maps) == 5


# In a browser


def in_browser(test):
    """Marks a test that opens the page in Chromium."""
    return pytest.mark.browser(pytest.mark.skipif(CHROMIUM is None, reason="no Chromium found")(test))


@pytest.fixture(scope="module")
def file(demo):
    return report.render([demo])


@pytest.fixture
def visit(browser, file):  # noqa: F811
    opened = Visit(browser, file)
    yield opened
    opened.close()


COLUMN = """(name) => { const d = Bokeh.documents[0].get_model_by_name('points').data;
  return Array.from(d.get ? d.get(name) : d[name]); }"""
SHOWN = "() => Bokeh.documents[0].get_model_by_name('shown').indices"
CHOSEN = "() => Bokeh.documents[0].get_model_by_name('points').selected.indices"


@in_browser
def test_points_are_coloured_by_what_is_known_of_them(visit, demo):
    page_ = visit.page
    run = folder.load([demo])[0]
    of = {m: run.artifact("points", m).arrays for m in run.models}
    plain = page_.evaluate(COLUMN, "colour0")
    page_.locator("select.colour").select_option("valid")
    colours = page_.evaluate(COLUMN, "colour1")
    valid = of["vae"]["valid"]
    assert {(c, bool(v)) for c, v in zip(colours, valid, strict=True)} == {
        (colours[valid.argmax()], True),
        (colours[valid.argmin()], False),
    }
    assert f"vae: {int(valid.sum())} of 360 valid" in page_.locator(".scale").inner_text()
    page_.locator("select.colour").select_option("error")
    colours = page_.evaluate(COLUMN, "colour0")
    error = of["ae"]["error"]
    order = np.argsort(error)
    # On light paper more is darker, up to the 98 % quantile from which on the scale does not rise.
    levels = [lightness(colours[k]) for k in order]
    assert np.diff(levels).max() < 0.5
    assert f"ae: mean {float(error.mean()):.3g}" in page_.locator(".scale").inner_text()
    page_.emulate_media(color_scheme="dark")
    page_.wait_for_function(f"before => ({COLUMN})('colour0')[0] !== before", arg=colours[0])
    dark = page_.evaluate(COLUMN, "colour0")
    assert lightness(dark[order[-1]]) > lightness(dark[order[0]])
    page_.emulate_media(color_scheme="light")
    page_.locator("select.colour").select_option("kl")
    assert "ae: not known" in page_.locator(".scale").inner_text()
    assert len(set(page_.evaluate(COLUMN, "colour0"))) == 1
    page_.locator("select.colour").select_option("class")
    assert page_.evaluate(COLUMN, "colour0") == plain
    assert not page_.locator(".scale").is_visible()
    assert visit.complaints == []


@in_browser
def test_a_class_alone_with_others_and_all_again(visit, demo):
    page_ = visit.page
    label = folder.load([demo])[0].artifact("data").arrays["label"]

    def click(k, **how):
        page_.locator(f'.legend button[data-class="{k}"]').click(**how)
        return page_.evaluate(SHOWN)

    def of(*classes):
        return np.flatnonzero(np.isin(label, classes)).tolist()

    assert page_.evaluate(SHOWN) is None
    assert click(3) == of(3)
    assert page_.locator('.legend button[aria-pressed="true"]').count() == 1
    assert click(5) == of(3, 5)
    assert click(3) == of(5)
    assert click(5) is None
    assert click(0, modifiers=["Shift"]) == of(*range(1, 10))
    assert page_.locator('.legend button[data-class="0"]').get_attribute("aria-pressed") == "false"
    assert visit.complaints == []


@in_browser
def test_search_marks_an_image_on_every_map_and_hands_it_on(visit):
    page_ = visit.page
    page_.evaluate("() => { window.asked = []; latentbench.explore = (...of) => window.asked.push(of); }")
    page_.locator("input.find").fill("77")
    page_.locator("input.find").press("Enter")
    assert page_.evaluate(CHOSEN) == [77]
    assert "test image 77, class" in page_.locator(".run-maps .told").inner_text()
    assert page_.locator(".pinned li").count() == 1
    assert page_.evaluate("() => window.asked") == [["ae", 77]]
    page_.locator("input.find").fill("100000")
    page_.locator("input.find").press("Enter")
    assert page_.locator(".run-maps .told").inner_text() == "Image 100000 is not on these maps."
    page_.locator(".pinned button").click()
    assert page_.evaluate(CHOSEN) == []
    # A point that is clicked names the model of its map.
    page_.locator(".live").nth(1).scroll_into_view_if_needed()
    page_.wait_for_timeout(300)
    x, y, _ = page_.evaluate(PLACE, [1, 5])
    page_.mouse.click(x, y)
    page_.wait_for_selector(".pinned li")
    assert page_.evaluate("() => window.asked.at(-1)[0]") == "vae"
    assert visit.complaints == []


@in_browser
def test_arrow_keys_walk_to_the_nearest_point_ahead(visit, demo):
    page_ = visit.page
    run = folder.load([demo])[0]
    x, y = run.artifact("map", "vae").arrays["xy"].T
    where = "() => { const d = Bokeh.documents[0].get_model_by_name('cursor').data; return Array.from((d.get ? d.get('x1') : d.x1)); }"
    live = page_.locator(".live").nth(1)
    page_.keyboard.press("Tab")
    live.focus()
    page_.keyboard.press("ArrowRight")
    here = 0
    assert page_.evaluate(where) == pytest.approx([x[0]])
    for key, (tx, ty) in {"ArrowRight": (1, 0), "ArrowUp": (0, 1), "ArrowLeft": (-1, 0), "ArrowDown": (0, -1)}.items():
        dx, dy = x - x[here], y - y[here]
        ahead, aside = dx * tx + dy * ty, np.abs(dx * ty) + np.abs(dy * tx)
        cost = np.where((ahead > 0) & (aside <= ahead), np.hypot(ahead, aside), np.inf)
        here = int(cost.argmin()) if np.isfinite(cost).any() else here
        page_.keyboard.press(key)
        assert page_.evaluate(where) == pytest.approx([x[here]]), key
        said = page_.locator(".run-maps .told").inner_text()
        assert said.startswith(f"test image {here}, class ")
        assert f"error {float(run.artifact('points', 'ae').arrays['error'][here]):.3g}".rstrip("0") in said
        assert "vae: " in said
        assert "KL " in said
    assert page_.evaluate(CHOSEN) == []
    page_.keyboard.press("Enter")
    assert page_.evaluate(CHOSEN) == [here]
    page_.keyboard.press("Escape")
    assert page_.evaluate(CHOSEN) == []
    assert page_.evaluate(where) == []
    assert live.evaluate("e => getComputedStyle(e).outlineStyle") == "solid"
    assert page_.locator(".run-maps .told").get_attribute("aria-live") == "polite"
    assert visit.complaints == []


@in_browser
def test_the_priors_draws_are_laid_over(visit):
    page_ = visit.page
    seen = "name => Bokeh.documents[0].roots().map(f => f.renderers.find(r => r.name === name).visible)"
    assert page_.evaluate(seen, "draws") == [False, False]
    page_.locator('.overlays input[value="draws"]').check()
    assert page_.evaluate(seen, "draws") == [True, True]
    assert page_.evaluate(seen, "lost") == [False, False]
    counts = page_.evaluate(COLUMN, "draws0")
    assert min(counts) == 0 < max(counts)
    page_.locator('.overlays input[value="lost"]').check()
    assert page_.evaluate(seen, "lost") == [True, True]
    assert visit.complaints == []


@in_browser
def test_draws_stand_at_their_own_places_where_the_map_is_the_space(browser, tmp_path):  # noqa: F811
    built = build(tmp_path / "plane", Synthetic(seeds=1, latent_dim=2))
    rows = records.read(built / "records.jsonl")
    own = [
        replace(r, detail={**r.detail, "neighbours": 0}) if (r.kind, r.metric) == ("artifact", "map") else r
        for r in rows
    ]
    records.write(built / "records.jsonl", own)
    opened = Visit(browser, report.render([built]))
    page_ = opened.page
    draws = folder.load([built])[0].artifact("points", "ae").arrays
    seen = """name => { const r = Bokeh.documents[0].roots()[0].renderers.find(r => r.name === name);
      const d = r.data_source.data; return [r.visible, Array.from(d.get ? d.get('x') : d.x), r.glyph.size.field || null]; }"""
    for name, some in (("draws", ~draws["draws_in_holes"]), ("lost", draws["draws_in_holes"])):
        page_.locator(f'.overlays input[value="{name}"]').check()
        visible, x, field = page_.evaluate(seen, name)
        assert visible
        assert x == pytest.approx(draws["draws_at"][some, 0].tolist())
        assert field is None
    page_.wait_for_timeout(200)
    assert opened.complaints == []
    opened.close()


@in_browser
def test_a_brush_reaches_every_run_of_the_same_data(browser, demo, tmp_path):  # noqa: F811
    other = build(tmp_path / "other", Synthetic(seeds=2, points=200))
    opened = Visit(browser, report.render([demo, other], tmp_path / "both.html"))
    page_ = opened.page
    page_.locator(".live").first.scroll_into_view_if_needed()
    box = page_.locator(".live").first.bounding_box()
    page_.mouse.move(box["x"] + 20, box["y"] + 20)
    page_.mouse.down()
    page_.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + box["height"] * 0.6, steps=5)
    page_.mouse.up()
    chosen = page_.evaluate(
        "() => Bokeh.documents.map(d => [...d.get_model_by_name('points').selected.indices].sort((a, b) => a - b))"
    )
    assert len(chosen[0]) > 5
    assert chosen[1] == [k for k in chosen[0] if k < 200]
    assert opened.complaints == []
    opened.close()


@in_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_short_nothing_cut_and_large_enough_to_touch(browser, file, scheme):  # noqa: F811
    opened = Visit(browser, file, color_scheme=scheme)
    part = opened.page.locator("#maps")
    assert part.bounding_box()["height"] <= 1000
    count = "e => { const c = e.cloneNode(true); c.querySelectorAll('.live').forEach(l => l.remove()); return c.textContent.split(/\\s+/).length; }"
    assert part.evaluate(count) <= 250
    small = """() => [...document.querySelectorAll('#maps button, #maps input, #maps select')].filter(e => e.offsetParent)
      .filter(e => { const b = e.getBoundingClientRect(); return b.width < 24 || b.height < 24; }).length"""
    for width in (1280, 390):
        opened.page.set_viewport_size({"width": width, "height": 844})
        opened.page.locator("select.colour").select_option("error")
        assert opened.page.evaluate(OUTSIDE) == []
        assert opened.page.evaluate(small) == 0
    assert opened.complaints == []
    opened.close()


@in_browser
def test_without_a_script_the_still_maps_stand_by_class(browser, file):  # noqa: F811
    opened = Visit(browser, file, java_script_enabled=False)
    assert opened.page.locator(".still svg >> visible=true").count() == 2
    assert opened.page.locator("#maps .legend >> visible=true").count() == 1
    for control in ("select.colour", "input.find", ".overlays", ".tools", ".pinned"):
        assert opened.page.locator(f"#maps {control} >> visible=true").count() == 0
    opened.close()
