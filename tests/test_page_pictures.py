"""Pictures and their captions: what is drawn is what is said, at whichever model, latent size and seed it is said to be."""

from __future__ import annotations

import html
import itertools
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from fakes import fake_encoding, latent_encoding, normal
from synthetic_run import Synthetic, build
from test_report import prose, section
from test_report_browser import CHROMIUM, Visit, browser  # noqa: F401

from latentbench import records, report
from latentbench.core import Undefined
from latentbench.measuring import artifacts
from latentbench.measuring.latent_cuts import FINE, GRID, corners, cut, depth_of_draws
from latentbench.report import columns as columns_of
from latentbench.report import folder as folders
from latentbench.report import page_view, story
from latentbench.report.drawing import posteriors
from latentbench.report.drawing.posteriors import Posterior
from latentbench.report.exports import claims as exported
from latentbench.report.exports.tables import summary_md
from latentbench.report.sections import paths, posterior, reconstructions, samples
from latentbench.report.story import mu_sigma, mu_sigma_claims
from latentbench.report.story.evidence import Part
from latentbench.report.wording import words
from latentbench.run_folder import RunFiles


def view(path):
    return page_view.page_view(folders.load([path]))


def changed(path, role, model, change):
    """The run with the arrays of one artifact changed."""
    rows = []
    for r in records.read(path / "records.jsonl"):
        if r.kind == "artifact" and (r.metric, r.model) == (role, model):
            with np.load(path / r.path) as file:
                arrays = change(dict(file))
            np.savez_compressed(path / r.path, **arrays)
            r = replace(r, sha256=records.file_digest(path / r.path))
        rows.append(r)
    RunFiles(path).write_records(rows)
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return build(tmp_path_factory.mktemp("runs") / "demo")


@pytest.fixture(scope="module")
def file(run):
    return report.render([run])


# samples


def test_shares_and_counts_of_samples_are_those_of_the_records_and_the_arrays(run):
    seen = view(run)
    for column in seen.pictured:
        held = column.run.artifact("samples", column.model)
        cells = {c.metric: c.interval for c in column.run.cells_of[column.model]}
        for d in samples.draws(column):
            valid = held.arrays[f"{d.key}_valid"]
            assert d.counted == f"{int(valid[:8].sum())} of these 8 valid"
            assert d.every == f"{int(valid.sum())} of these {len(valid)} valid"
            assert [s.ruling.valid for s in (*d.shown, *d.rest)] == valid.tolist()
            i = cells[f"validity.{d.key}"]
            assert d.share == f"{words.percent(i.mean)} ± {words.percent(i.half)} valid over {i.n} seeds"


def test_without_a_judge_nothing_is_said_of_one(tmp_path):
    text = report.render([build(tmp_path / "run", Synthetic(seeds=2, judge=False))]).read_text("utf-8")
    told = prose(section(text, "samples"))
    assert "not judged" in told
    assert not re.search("to the judge|refused|real images|Shares:", told)
    assert not re.search("the judge|valid", prose(section(text, "paths")))


def test_what_is_folded_is_counted(file):
    part = section(file.read_text("utf-8"), "samples")
    folded = part.partition("<details")[2]
    assert f"{folded.count('<img')} more draws" in folded


# paths


def test_the_rulings_on_a_film_are_told_run_by_run(run):
    column = view(run).pictured[0]
    held = column.run.artifact("strips", column.model)
    for p, path in enumerate(paths.paths(column)):
        told = path.film.told.partition(": ")[2].split("; ")
        every = []
        for clause in told:
            span, word, label = re.fullmatch(r"([\d to]+) (valid|refused), reads (\d)", clause).groups()
            first, _, last = span.partition(" to ")
            every += [(word == "valid", int(label))] * (int(last or first) - int(first) + 1)
        assert every == list(
            zip(held.arrays["frame_valid"][p].tolist(), held.arrays["frame_label"][p].tolist(), strict=True)
        )


def test_two_pairs_stand_open_and_one_of_many_models(tmp_path, file):
    part = section(file.read_text("utf-8"), "paths")
    assert part.partition("<details")[0].count('class="pair"') == 2
    assert part.count('class="pair"') == 4
    many = build(tmp_path / "many", Synthetic(models=("ae", "vae", "vae:beta=2", "vae:beta=4"), seeds=2))
    assert (
        section(report.render([many]).read_text("utf-8"), "paths").partition("<details")[0].count('class="pair"') == 1
    )


# posteriors


def made(scale, sigma=0.1, d=4, seed=0):
    mu = scale * np.random.default_rng(seed).normal(size=(60, d))
    wide = None if sigma is None else np.full(d, sigma)
    widths = None if sigma is None else np.full((60, d), sigma)
    return Posterior(mu, widths, mu.std(0), wide, None if sigma is None else np.ones(d), np.ones(d, bool))


def test_models_share_their_axes_but_for_one_too_far_out():
    near, wide, far = made(1.0), made(4.0, None), made(400.0)
    a, b = posteriors.axes([near, wide])
    assert a == b
    a, b, c = posteriors.axes([near, wide, far])
    assert (a.clouds, a.mu) == (b.clouds, b.mu)
    assert c.clouds > 10 * a.clouds
    assert (a.low, a.high, a.sigma, a.kl) == (c.low, c.high, c.sigma, c.kl)


def test_a_model_with_axes_of_its_own_says_so(tmp_path):
    path = build(tmp_path / "run", Synthetic(seeds=2))
    text = prose(section(report.render([path]).read_text("utf-8"), "posterior"))
    assert "Axes of its own" not in text
    changed(path, "posterior", "ae", lambda a: {**a, "mu": 100 * a["mu"]})
    cards = posterior.pictures(view(path).pictured)
    assert ["Axes of its own" in c.content.caption for c in cards] == [True, False]


def test_the_caption_of_a_posterior_is_what_the_table_holds(run):
    for card in posterior.pictures(view(run).pictured):
        spread = [float(row[2]) for row in card.content.rows]
        low, high = re.search(r"sd\(mu\) (\d[\d.]*\d|\d) to (\d+\.\d+|\d+)", card.content.caption).groups()
        assert float(low) == pytest.approx(min(spread), rel=0.05)
        assert float(high) == pytest.approx(max(spread), rel=0.05)


def test_remedies_are_named_only_for_flaws_that_are_there(tmp_path, file):
    assert "Punctual:" not in prose(section(file.read_text("utf-8"), "posterior"))
    path = changed(build(tmp_path / "run", Synthetic(seeds=2)), "posterior", "vae",
                   lambda a: {**a, "sigma_mean": 1e-4 * a["sigma_mean"]})  # fmt: skip
    assert "Punctual:" in prose(section(report.render([path]).read_text("utf-8"), "posterior"))


# reconstructions


def test_best_median_and_worst_are_by_the_mean_error_over_the_models():
    a, b = np.arange(11.0), np.zeros(11)
    assert reconstructions.chosen([a, b]) == [[0, 1, 2], [4, 5, 6], [8, 9, 10]]
    assert reconstructions.chosen([a, 2 * a[::-1]]) == [[10, 9, 8], [6, 5, 4], [2, 1, 0]]
    assert reconstructions.chosen([a[:8]]) == []
    assert reconstructions.chosen([np.full(11, np.nan)]) == []


def test_the_error_under_an_image_is_that_image_s(run):
    (group,), _ = reconstructions.reconstructions(view(run).pictured)
    errors = view(run).runs[0].artifact("reconstructions", "vae").need("error")
    assert [title for title, _ in group.ranks] == ["best", "median", "worst"]
    assert group.rows[2].errors == [words.number(float(v)) for v in np.sort(errors)[[0, 1, 2, 4, 5, 6, 9, 10, 11]]]


def test_a_run_without_errors_shows_the_first_images(tmp_path):
    path = build(tmp_path / "run", Synthetic(seeds=2))
    changed(path, "reconstructions", "ae", lambda a: {k: v for k, v in a.items() if k != "error"})
    (group,), _ = reconstructions.reconstructions(view(path).pictured)
    assert (group.ranks, len(group.rows[0].pictures), group.rows[1].errors) == ([], 12, [])


def test_the_errors_of_an_encoding_are_the_squared_ones_of_each_image():
    e = fake_encoding()
    arrays, _ = artifacts.reconstructions(e)
    expected = (e.x.double() - e.x_hat.double()).square().flatten(1).mean(1)[: len(arrays["x"])]
    assert np.allclose(arrays["error"], expected.numpy())
    assert 16 <= len(arrays["x"]) <= artifacts.MOST_RECONSTRUCTIONS


# planes through codes


def cloud(d=5, log_var=None):
    e = latent_encoding(normal((600, d), "train"), normal((200, d), "test"), log_var)
    return replace(e, decode=lambda z: z.square().sum(1).sqrt().view(-1, 1, 1, 1))


def test_a_cut_goes_through_the_three_codes():
    e = cloud()
    arrays, detail = cut(e)
    codes = e.mu[:3].double()
    for i, j in ((0, 1), (0, 2), (1, 2)):
        assert float((arrays["mu"][i] - arrays["mu"][j]).norm()) == pytest.approx(float((codes[i] - codes[j]).norm()))
    # What is decoded on the grid has the distance from 0 that a place of the plane has from the foot of 0, and the foot from 0.
    assert arrays["grid"].shape[:2] == (GRID, GRID)
    step = 2 * detail["reach"] / GRID
    x = -detail["reach"] + step * (torch.arange(GRID, dtype=torch.float64) + 0.5)
    expected = (
        (x[None, :] - detail["origin"][0]) ** 2 + (-x[:, None] - detail["origin"][1]) ** 2 + detail["away"] ** 2
    ).sqrt()
    assert torch.allclose(arrays["grid"].view(GRID, GRID).double(), expected, atol=1e-5)
    assert arrays["hole"].shape == (FINE, FINE)
    # Far from all codes is a hole, and a code is none.
    place = ((arrays["mu"] + detail["reach"]) / (2 * detail["reach"]) * FINE).long()
    assert not any(bool(arrays["hole"][FINE - 1 - int(b), int(a)]) for a, b in place)


def test_a_cut_shows_the_width_of_a_posterior_along_its_axes():
    same = torch.full((200, 5), 2 * float(np.log(0.3)), dtype=torch.float64)
    e = cloud()
    arrays, _ = cut(replace(e, log_var=same))
    assert torch.allclose(arrays["sigma"], torch.full((3, 2), 0.3, dtype=torch.float64))
    assert "sigma" not in cut(e)[0]


def test_there_is_no_cut_where_codes_span_no_plane():
    with pytest.raises(Undefined, match="three or more latent dimensions"):
        cut(cloud(2))
    e = cloud()
    with pytest.raises(Undefined, match="on a line"):
        cut(replace(e, mu=torch.arange(200.0, dtype=torch.float64)[:, None] * torch.ones(5, dtype=torch.float64)))


def test_the_three_images_are_of_three_classes_where_there_are_three():
    assert corners(torch.tensor([4, 4, 1, 1, 4, 7]), 6) == [0, 2, 5]
    assert corners(torch.tensor([1, 1, 0, 0]), 4) == [0, 1, 2]
    assert corners(None, 9) == [0, 1, 2]
    assert corners(torch.tensor([-1, 3, 2, -1, 1]), 5) == [1, 2, 4]


def test_draws_are_ranked_by_their_distance_to_the_codes():
    e = cloud()
    depth = depth_of_draws(e, "normal", 100, 20)
    again = depth_of_draws(e, "normal", 100, 40)
    assert torch.equal(depth, again[:20])
    far = latent_encoding(normal((600, 5), "train") + 50, normal((200, 5), "test") + 50)
    assert float(depth_of_draws(far, "normal", 100, 20).min()) > 5 > 1.5 > float(depth.median())


# the study

BETAS = ("vae:beta=0.1", "vae:beta=3", "vae:beta=10")
MODELS = (
    "ae",
    "vae:beta=0",
    "vae:kl=mean",
    "vae:kl=variance",
    "vae",
    *BETAS,
    "ae:latent_dim=1",
    "ae:latent_dim=1:depth=4",
)


def study(path, models=MODELS, hole=0.4, seeds=2):
    """A made-up run of the study, with planes of which a share ``hole`` is holes."""
    files = RunFiles(build(path, Synthetic(models=models, seeds=seeds)))
    rng, rows = np.random.default_rng(0), []
    for r in files.read_records("test"):
        if r.kind == "run":
            r = replace(r, detail={**r.detail, "study": {"name": "why-mu-sigma"}})
        if "latent_dim=1" in r.model:
            r = replace(r, latent_dim=1)
        elif r.kind == "artifact" and r.model:
            r = replace(r, latent_dim=8)
        rows.append(r)
        if r.kind == "curve" and r.metric == "loss.train.kl":
            for part in ("mean_part", "variance_part"):
                rows.append(replace(r, metric=f"loss.train.kl.{part}"))
        if r.kind == "artifact" and r.metric == "strips" and r.latent_dim == 8:
            arrays = {
                "grid": rng.integers(0, 255, (9, 9, 8, 8)).astype(np.uint8), "valid": rng.uniform(size=(9, 9)) < 0.5,
                "hole": np.arange(45 * 45).reshape(45, 45) < hole * 45 * 45, "mu": np.array([[-1.0, 0], [1, 0], [0, 1.5]]),
                "label_of": np.array([3, 1, 4]),
            }  # fmt: skip
            if r.model != "ae":
                arrays["sigma"] = np.full((3, 2), 0.2)
            place = files.path / "artifacts" / f"plane-{records.digest(r.model, 6)}.npz"
            np.savez_compressed(place, **arrays)
            detail = {"schema": 1, "cut": True, "reach": 2.0, "origin": [0.0, 0.5], "away": 1.0}
            rows.append(replace(r, metric="plane", detail=detail, path=str(place.relative_to(files.path)),
                                sha256=records.file_digest(place)))  # fmt: skip
    files.write_records(rows)
    return path


def told(path):
    runs = folders.load([path])
    return story.tell(runs, columns_of.columns(runs))[0]


@pytest.fixture(scope="module")
def studied(tmp_path_factory):
    return study(tmp_path_factory.mktemp("study") / "study")


@pytest.fixture(scope="module")
def study_page(studied):
    return report.render([studied])


def test_every_picture_of_a_claim_is_of_models_that_the_claim_is_about(studied):
    made = told(studied)
    assert [c.key for c in made.claims] == list("abcdefgh")
    size = {"ae:latent_dim=1": 1, "ae:latent_dim=1:depth=4": 1}
    for c in made.claims:
        assert c.pictures, c.key
        for figure in (*c.pictures, *([c.thumb] if c.thumb else [])):
            assert figure.models
            assert set(figure.models) <= set(c.models), (c.key, figure.see)
        for figure in c.pictures:
            named = set(re.findall(r"d = (\d+)", figure.see))
            assert named == {str(size.get(m, 8)) for m in figure.models}, figure.see
            assert re.search(r"seeds?\b", figure.see), figure.see
            for model in figure.models:
                beta = dict(mu_sigma_claims.SWEEP).get(model)
                assert model in figure.see or f"at beta = {words.tidy(beta)}" in figure.see, figure.see


def test_the_parts_of_a_claim_are_about_its_models(studied):
    for c in told(studied).claims:
        for part in c.parts:
            named = [m for m in MODELS if re.search(rf"(?<![\w:]){re.escape(m)}(?![\w:=.])", part.says)]
            assert named, part.says
            assert set(named) <= set(c.models), (c.key, part.says)


def test_captions_count_what_is_drawn(studied):
    run = folders.load([studied])[0]
    by = {c.key: c for c in told(studied).claims}
    plane = next(f for f in by["b"].pictures if f.is_plane).see
    held = run.artifact("plane", "ae")
    assert f"The judge accepts {int(held.need('valid').sum())} of the 81 images." in plane
    assert "Hatched: 40\N{NARROW NO-BREAK SPACE}% of it is holes." in plane
    assert "(3, 1, 4)" in plane
    assert "Codes are points: sigma is 0." in plane
    assert "Sigma (ellipses): 11\N{NARROW NO-BREAK SPACE}% of" in next(f for f in by["e"].pictures if f.is_plane).see
    mixture = run.artifact("samples", "ae").need("mixture_valid")[:20]
    assert f"{int(mixture.sum())} of {len(mixture)} valid." in by["b"].pictures[1].see
    frames, fade = (run.artifact("strips", "vae").need(f"{k}_valid")[:2] for k in ("frame", "fade"))
    every = np.linspace(0, 15, 9).round().astype(int)
    some, other = int(frames[:, every].sum()), int(fade[:, every].sum())
    assert f"Valid: {some} of 18 frames walked, {other} of 18 cross-faded." in by["f"].pictures[0].see


def test_a_plane_without_holes_is_not_said_to_have_any(tmp_path):
    made = told(study(tmp_path / "run", ("ae", "vae"), hole=0.0))
    planes = [f.see for c in made.claims for f in c.pictures if f.is_plane]
    assert planes
    assert all("None of it is a hole." in see and "Hatched" not in see for see in planes)


def test_draws_stand_in_the_order_of_their_distance_and_say_how_many_are_in_holes(tmp_path):
    path = study(tmp_path / "run", ("ae", "vae"))
    depth = np.linspace(2.2, 0.3, 24)
    changed(path, "samples", "ae", lambda a: {**a, "normal_depth": depth})
    figure = next(c for c in told(path).claims if c.key == "b").pictures[0]
    shown = np.sort(depth[:20])
    assert f"{int((shown > 1).sum())} of 20 lie in one." in figure.see
    assert re.findall(r">([\d.]+)</text>", str(figure.drawing)) == [f"{v:.1f}" for v in shown]
    assert "in the order drawn" in next(c for c in told(path).claims if c.key == "e").pictures[1].see


def stand(verdicts):
    """The claims of the study with these verdicts."""
    return [
        story.StoryClaim(k, f"Claim {k}.", f"short {k}", [], [Part("p", "1", 1, "r2")], (), v)
        for k, v in zip("abcdefgh", verdicts, strict=True)
    ]


@pytest.mark.parametrize("three", list(itertools.product(("supported", "not supported", "undecided"), repeat=3)))
def test_the_answer_follows_from_the_verdicts(three):
    answer, lists = mu_sigma._closing(
        stand(["supported", "undecided", *three, "supported", "not supported", "undecided"]), "d"
    )
    assert ("Without a KL sigma shrinks to nothing (c)" in answer) == (
        three[:2] == ("supported",) * 2 and three[2] != "not supported"
    )
    assert ("both halves together give a space" in answer) == (three == ("supported",) * 3)
    assert ("speaks against" in answer) == ("not supported" in three)
    for k, v in zip("cde", three, strict=True):
        assert f"short {k} ({k})" in lists.partition({"supported": "Supported: ", "not supported": "Not supported: ",
                                                      "undecided": "Undecided: "}[v])[2].partition(".")[0]  # fmt: skip


def test_the_part_that_a_verdict_hangs_on():
    def claim(*parts):
        return stand(["undecided"] * 8)[0]._replace(
            parts=[Part(str(i), "", h, "r2", p) for i, (h, p) in enumerate(parts)]
        )

    assert claim((1, 0.001), (1, 0.03), (1, 0.01)).deciding.says == "1"
    assert claim((1, 0.04), (0, 0.3), (0, 0.2)).deciding.says == "1"
    assert claim((-1, 0.04), (0, 0.9), (-1, 0.01)).deciding.says == "2"
    assert claim().deciding is None
    assert claim((1, 0.1), (-1, 0.1)).holding == 1


def test_a_study_s_page_opens_at_its_question_and_claims_and_folds_the_rest(study_page):
    text = study_page.read_text("utf-8")
    assert "<title>Why does a VAE need mu and sigma? – latentbench</title>" in text
    assert re.search(r"<h1>\s*Why does a VAE need mu and sigma\?", text)
    part = re.search(r'<section class="story".*?</section>', text, re.S)[0]
    assert part.index('class="claims-at-once"') < part.index("diagram") < part.index('class="claim"')
    rows = re.findall(r'<div role="row">(.*?)\n</div>', part, re.S)
    assert len(rows) == 8
    for row in rows:
        verdict = re.search(r'class="stands [\w-]+"><span aria-hidden="true">(.)</span> ([a-z ]+)<', row)
        assert verdict.groups() in {("✓", "supported"), ("×", "not supported"), ("?", "undecided")}
        assert "<b>" in row.partition("decides")[2]
        assert "<svg" in row.partition("thumb")[2]
    after = text.partition("</section>")[2]
    assert len(re.findall('<details class="after-story">', after)) >= 8
    for name in ("samples", "scores", "paths", "posterior"):
        assert re.search(rf'<details class="after-story"><summary>[^<]+</summary>\s*<section id="{name}"', after), name


def test_a_run_of_no_study_has_no_story(file):
    text = file.read_text("utf-8")
    assert 'class="story"' not in text
    assert '<details class="after-story"' not in text


def test_terminal_and_summary_print_the_claims_of_the_page(studied, study_page):
    rows = RunFiles(studied).read_records("test")
    page = html.unescape(re.sub(r"<[^>]*>", "", study_page.read_text("utf-8").partition('class="claims-at-once"')[2]))
    lines, listed = exported.for_terminal(rows), summary_md(rows)
    assert lines[0].startswith("Why does a VAE need mu and sigma? 8 claims: ")
    for c in told(studied).claims:
        at = next(i for i, line in enumerate(lines) if line.startswith(f"{c.key} "))
        assert lines[at].endswith(f"{c.verdict}: {c.title}")
        number = c.deciding.brief or c.deciding.number
        assert lines[at + 1] == f"    {c.deciding.says}: {number}"
        assert number in page
        assert re.search(rf"(?m)^- {c.key} . \*\*{c.verdict}\*\*: {re.escape(c.title)} \(", listed)
    assert exported.for_terminal([r for r in rows if r.kind != "run"]) == []


# in the browser


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium found (looked for chromium and Chrome, and at $CHROMIUM)")
class TestBrowser:
    def test_the_slider_walks_through_the_frames(self, browser, file):  # noqa: F811
        opened = Visit(browser, file)
        page = opened.page
        pair = page.locator("#paths .pair").first
        pair.scroll_into_view_if_needed()
        slider = pair.locator("input")
        assert pair.locator("output").inner_text() == "frame 8 of 16"
        slider.focus()
        for _ in range(3):
            slider.press("ArrowRight")
        assert pair.locator("output").inner_text() == "frame 11 of 16"
        for k in range(pair.locator(".path").count()):
            path = pair.locator(".path").nth(k)
            ruling = path.locator(".film.walk .ticks span").nth(10)
            assert path.locator(".large canvas").first.get_attribute("aria-label") == ruling.get_attribute("title")
            assert path.locator(".large span").first.inner_text() == ruling.get_attribute("data-word")
            same = path.evaluate(
                """path => { const strip = path.querySelector('.film.walk img'), seen = path.querySelector('.large canvas');
                const own = document.createElement('canvas'); own.width = strip.naturalWidth; own.height = strip.naturalHeight;
                const to = own.getContext('2d'); to.drawImage(strip, 0, 0); const w = strip.naturalWidth / 16;
                const a = to.getImageData(10 * w, 0, w, own.height).data;
                const b = seen.getContext('2d').getImageData(0, 0, w, own.height).data;
                return a.length === b.length && a.every((v, i) => v === b[i]); }"""
            )
            assert same
        assert opened.complaints == []
        opened.close()

    def test_without_a_script_the_strips_stand_alone(self, browser, file):  # noqa: F811
        opened = Visit(browser, file, java_script_enabled=False)
        assert opened.page.locator("#paths input >> visible=true").count() == 0
        assert opened.page.locator("#paths canvas >> visible=true").count() == 0
        assert opened.page.locator("#paths .film img >> visible=true").count() == 2 * 2 * 2
        opened.close()

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_a_study_s_page_fits(self, browser, study_page, scheme):  # noqa: F811
        context = browser.new_context(color_scheme=scheme, viewport={"width": 1280, "height": 800})
        page, complaints = context.new_page(), []
        page.on("pageerror", lambda e: complaints.append(str(e)))
        page.goto(study_page.as_uri())
        heights = []
        for width in (1280, 390):
            page.set_viewport_size({"width": width, "height": 800})
            page.wait_for_timeout(100)
            assert page.evaluate("() => document.documentElement.scrollWidth") <= width
            heights.append(page.evaluate("() => document.querySelector('.story').getBoundingClientRect().height"))
        assert heights[0] < 9_000
        small = page.evaluate(
            """() => [...document.querySelectorAll('.story a, .story summary')].filter(e => e.checkVisibility() &&
            e.getBoundingClientRect().height < 24).map(e => e.outerHTML.slice(0, 80))"""
        )
        assert small == []
        assert complaints == []
        context.close()
