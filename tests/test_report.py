from __future__ import annotations

import base64
import gzip
import html
import json
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser

import jinja2
import numpy as np
import pytest
from synthetic_run import Synthetic, build

from latentbench import records, report
from latentbench.records import Record
from latentbench.report.drawing import images, svg
from latentbench.report.templates import script_data
from latentbench.report.wording import words
from latentbench.report.wording.findings import statements
from latentbench.report.wording.findings.claims import of_claim
from latentbench.report.wording.intervals import between

VOID = {"meta", "link", "img", "br", "col", "input", "hr"}
HOSTILE = "<script>alert(1)</script>"


class Outline(HTMLParser):
    """What a page is made of; raises where elements do not nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.ids: list[str] = []
        self.feed(text)
        self.close()
        assert self.stack == []

    def handle_starttag(self, tag, attrs):
        held = dict(attrs)
        self.tags.append((tag, held))
        if held.get("id"):
            self.ids.append(str(held["id"]))
        if tag not in VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.stack, tag
        assert self.stack.pop() == tag, (tag, self.getpos())


def prose(text: str) -> str:
    """The page's words, without scripts and styles."""
    bare = re.sub(r"<(script|style)\b.*?</\1>", " ", text, flags=re.S)
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]*>", " ", bare)))


def section(text: str, name: str) -> str:
    """One section's markup."""
    return text.split(f'<section id="{name}">', 1)[1].split("</section>", 1)[0]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return build(tmp_path_factory.mktemp("runs") / "demo")


@pytest.fixture(scope="module")
def page(folder):
    return report.render([folder]).read_text("utf-8")


def test_page_nests_and_has_every_section_in_order(page):
    outline = Outline(page)
    order = [
        "verdict",
        "samples",
        "scores",
        "maps",
        "paths",
        "posterior",
        "reconstructions",
        "training",
        "speed",
        "protocol",
    ]
    assert [i for i in outline.ids if i in order] == order
    linked = [a["href"] for t, a in outline.tags if t == "a" and str(a.get("href", "")).startswith("#")]
    assert all(href[1:] in outline.ids for href in linked)
    assert len(set(outline.ids)) == len(outline.ids)


def test_page_is_self_contained(page):
    assert (
        "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; font-src data:"
        in html.unescape(page)
    )
    for tag, held in Outline(page).tags:
        for name in ("src", "href", "action", "poster", "data", "srcset"):
            value = held.get(name)
            assert value is None or value.startswith(("#", "data:")), (tag, name, value)
    style = "".join(re.findall(r"<style>(.*?)</style>", page, flags=re.S))
    assert "@import" not in style
    assert all(u.startswith("data:") for u in re.findall(r"url\(([^)]*)\)", style))


def test_page_size(page):
    assert len(page.encode()) < 3_000_000


def test_large_colour_images_stay_under_the_limit(tmp_path):
    spec = Synthetic(models=("ae", "vae", "vae:beta=4"), shape=(3, 64, 64), points=1000, seeds=2)
    assert report.render([build(tmp_path / "big", spec)]).stat().st_size < 5_000_000


def test_equal_records_give_an_equal_page(folder, page, tmp_path):
    again = report.render([folder], tmp_path / "again.html").read_text("utf-8")
    assert again == page


def test_templates_are_compiled_once_a_process(folder, page, tmp_path, monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("compiled again")

    monkeypatch.setattr(jinja2.Environment, "compile", refuse)
    assert report.render([folder], tmp_path / "again.html").read_bytes() == page.encode()


def test_equal_page_from_another_process(folder, page, tmp_path):
    code = "import sys; from pathlib import Path; from latentbench import report; report.render([Path(sys.argv[1])], Path(sys.argv[2]))"
    out = tmp_path / "other.html"
    subprocess.run([sys.executable, "-c", code, str(folder), str(out)], check=True)
    assert out.read_text("utf-8") == page


def test_report_loads_neither_torch_nor_drawing_libraries_before_they_are_needed(folder, tmp_path):
    code = f"""
import sys
import latentbench.report as report
early = [m for m in ("torch", "bokeh", "matplotlib", "seaborn", "pandas", "jinja2", "numpy") if m in sys.modules]
from pathlib import Path
report.render([Path({str(folder)!r})], Path({str(tmp_path / "x.html")!r}))
late = [m for m in ("torch", "torchvision", "matplotlib", "seaborn", "sklearn", "umap", "latentbench.core") if m in sys.modules]
print(early, late)
"""
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip()
    assert out == "[] []"


def test_verdict_comes_first_and_in_words(folder, page):
    words_ = prose(page)
    for question in ("Is it continuous?", "Is it complete?", "What did it cost?", "Why mu and sigma?"):
        assert question in words_
        assert words_.index(question) < words_.index("Measure")
    for v in statements(records.read(folder / "records.jsonl")):
        answer = re.sub(r"\s+", " ", v.headline.partition("? ")[2] or v.headline)
        assert answer[1:] in words_
        claimed = {s for c in v.claims if c.comparisons for s in of_claim(c, {})}
        assert all(re.sub(r"\s+", " ", s) in words_ for s in v.sentences if s not in claimed and s not in v.brief)
        for c in (c for c in v.claims if c.comparisons):  # the page has a table of them
            assert re.sub(r"\s+", " ", between(c.comparisons[0].difference)) in words_


def row(page: str, metric: str) -> str:
    """The markup of one measure's row in the score table."""
    found = re.search(
        rf'<tr role="row">\s*<th role="rowheader" scope="row"><a href="#def-{re.escape(metric)}">.*?</tr>', page, re.S
    )
    assert found, metric
    return found.group(0)


def test_scores_show_mean_interval_direction_definition_and_anchors(page):
    text = prose(row(page, "validity.normal"))
    assert re.search(r"share 0\.\d{3} ± 0\.\d{3}", text)
    assert 'aria-label="higher is better"' in row(page, "validity.normal")
    definition = page.split('id="def-validity.normal"', 1)[1].split("</div>", 1)[0]
    assert "share of decoded draws of N(0, I) that the judge accepts" in prose(definition)
    assert "ceiling real images 0.903" in text
    assert "noise 0.004" in text
    assert "best" in text


def test_ties_are_shown_as_ties(page):
    text = prose(row(page, "validity.mixture"))
    assert text.count("shared") == 2
    assert "best" not in text


def test_skipped_and_failed_never_look_like_a_number(page):
    skipped = row(page, "kl")
    assert "skipped" in prose(skipped)
    assert "needs a posterior with a variance" in skipped
    cell = re.search(r'<td role="cell" class="is-skipped".*?</td>', skipped, re.S)
    assert cell
    assert not re.search(r"\d", prose(cell.group(0)))
    assert "1 of 6 failed: diverged: loss was NaN in epoch 3" in row(page, "probe.linear")


def test_a_reason_is_given_once_a_family(page):
    family = page.split('id="scores-1-posterior"', 1)[1].split("</details>", 1)[0]
    assert family.count("<li>needs a posterior with a variance") == 1
    for metric in ("kl", "kl.mean_part"):
        assert re.search(r'<sup class="ref" title="needs a posterior with a variance[^"]*">a</sup>', row(page, metric))


def test_a_collapsed_model_is_named_and_never_ranked(tmp_path):
    folder = build(tmp_path / "run", Synthetic(seeds=3))
    rows = [
        replace(r, value=0.0) if (r.model, r.metric) == ("vae", "active_units") and r.value is not None else r
        for r in records.read(folder / "records.jsonl")
    ]
    records.write(folder / "records.jsonl", rows)
    text = report.render([folder]).read_text("utf-8")
    assert "collapsed, never ranked: no latent dimension is active" in prose(section(text, "scores"))
    found = prose(row(text, "validity.normal"))
    assert re.search(r"0\.4\d+ ± 0\.\d+", found)
    assert not re.search(r"best|shared", found)


def test_a_metric_this_version_does_not_know_is_shown_from_its_record(tmp_path):
    extra = [
        Record(
            model=m,
            seed=s,
            split="test",
            metric="zeta.future",
            value=v + s / 50,
            unit="parsec",
            better="lower",
            bounds=(0, None),
        )
        for m, v in (("ae", 1.0), ("vae", 3.0))
        for s in range(3)
    ]
    text = report.render([build(tmp_path / "future", Synthetic(seeds=3, extra=extra))]).read_text("utf-8")
    found = prose(row(text, "zeta.future"))
    assert "parsec" in found
    assert "lower is better" in row(text, "zeta.future")
    assert "1.02" in found
    assert "Other measures" in prose(text)


def test_map_shows_trustworthiness_and_a_still_drawing(page):
    part = section(page, "maps")
    assert "trustworthiness 0.962" in prose(part)
    assert "No score on this page is computed on a map." in prose(part)
    assert len(re.findall(r'<svg class="plot square"', part)) == 2
    data = json.loads(re.search(r'class="map-data">(.*?)</script>', part, re.S).group(1))
    assert len(data["roots"]) == 2
    assert "CustomJS" not in json.dumps(data["document"])


def test_every_frame_and_sample_carries_the_verdict_without_colour(page):
    paths = section(page, "paths")
    frames = re.findall(r'<span class="(ok|no)" title="frame \d+: (valid|refused), reads [^"]*" data-word="(.) ', paths)
    assert len(frames) == 2 * 4 * 16 * 2
    assert set(frames) == {("ok", "valid", "✓"), ("no", "refused", "×")}
    assert paths.count('aria-label="The judge on each frame: 1') == 2 * 4 * 2
    samples = section(page, "samples")
    said = re.findall(r'<li class="(ok|no)" title="[^"]*: (valid|refused), reads \d, confidence \d\.\d\d">', samples)
    assert len(said) == 2 * 3 * 24
    assert all((c == "ok") == (w == "valid") for c, w in said)


def test_posterior_contrasts_a_point_with_a_cloud(page):
    part = section(page, "posterior")
    assert "Every image is encoded to a point: sigma is 0" in prose(part)
    assert "KL is not defined." in prose(part)
    assert part.count("<ellipse") == 80
    assert "collapsed (unused)" in prose(part)
    assert "far apart" in prose(part)


def test_speed_says_where_it_cannot_rank(page):
    text = prose(section(page, "speed"))
    assert "Spread too wide to rank (open marks): ae, train step, batch 1; vae, train step, batch 1." in text
    assert "21 timed blocks each" in text


def test_raw_data_can_be_taken_from_the_page(folder, page):
    links = re.findall(r'<a download="([^"]+)" href="data:([^;]+)[^,]*;base64,([^"]+)"', page)
    held = {name: base64.b64decode(code) for name, _, code in links}
    assert gzip.decompress(held["demo-records.jsonl.gz"]) == (folder / "records.jsonl").read_bytes()
    header, *rows = held["demo-results.csv"].decode().splitlines()
    assert header.startswith("dataset,model,params,latent_dim,seed,split,metric")
    assert len(rows) > 200


def test_protocol_names_command_versions_hashes_and_sources(page):
    text = prose(section(page, "protocol"))
    for wanted in (
        "latentbench run --models ae,vae --dataset digits",
        "2.13.0+cpu",
        "d1" * 32,
        "0123abc",
        "seeds=0, 1, 2, 3, 4, 5",
    ):
        assert wanted in text
    assert "uniform noise 0.4 0.4 floor shown" in text


@pytest.mark.parametrize("where", ["classes", "model", "reason", "metric", "dataset"])
def test_hostile_text_stays_text(tmp_path, where):
    extra, spec = [], Synthetic(seeds=2)
    if where == "classes":
        spec = replace(spec, classes=(HOSTILE, "</script><b>", '"><img src=x onerror=alert(1)>'))
    elif where == "model":
        spec = replace(spec, models=("ae", f"vae:{HOSTILE}"))
    elif where == "dataset":
        spec = replace(spec, dataset=HOSTILE)
    else:
        name = HOSTILE if where == "metric" else "zeta.broken"
        extra = [Record(model="ae", seed=0, split="test", metric=name, status="failed", reason=f"{HOSTILE} & co")]
    folder = build(tmp_path / "run", replace(spec, extra=extra))
    text = report.render([folder]).read_text("utf-8")
    outline = Outline(text)
    assert "alert(1)</script>" not in text
    peaceful = Outline(report.render([build(tmp_path / "peaceful", Synthetic(seeds=2))]).read_text("utf-8"))
    assert [t for t, _ in outline.tags].count("script") == [t for t, _ in peaceful.tags].count("script") > 1
    assert not any("onerror" in held or held.get("src") == "x" for _, held in outline.tags)
    assert HOSTILE in prose(text)


def test_script_data_cannot_end_its_element():
    value = {"a": "</script><!--", "b": "\u2028&"}
    text = str(script_data(value))
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == value


@pytest.mark.parametrize("role", ["data", "map", "strips", "samples", "posterior", "reconstructions"])
def test_a_missing_artifact_is_a_sentence(tmp_path, role):
    folder = build(tmp_path / "run", Synthetic(seeds=2, without=frozenset([role])))
    text = report.render([folder]).read_text("utf-8")
    where = {"data": "maps", "map": "maps", "strips": "paths"}.get(role, role)
    what = role if role == "data" else f"{role} of ae"
    assert f"Not drawn: this run recorded no {what}." in prose(section(text, where))


def test_lost_changed_and_broken_artifacts_are_sentences(tmp_path):
    folder = build(tmp_path / "run", Synthetic(seeds=2))
    rows = records.read(folder / "records.jsonl")
    paths = {r.metric: folder / r.path for r in rows if r.kind == "artifact" and r.model in ("vae", "")}
    paths["map"].unlink()
    paths["strips"].write_bytes(b"not an archive")
    broken = folder / "artifacts" / "broken.npz"
    broken.write_bytes(b"PK\x03\x04 torn")
    outside = tmp_path / "outside.npz"
    np.savez(outside, x=np.zeros(3))
    new = []
    for r in rows:
        if r.kind == "artifact" and r.model == "vae" and r.metric == "samples":
            r = replace(r, path="artifacts/broken.npz", sha256=records.file_digest(broken))
        elif r.kind == "artifact" and r.model == "vae" and r.metric == "reconstructions":
            r = replace(r, path="../outside.npz", sha256=None)
        elif r.kind == "artifact" and r.model == "vae" and r.metric == "posterior":
            r = replace(r, path=None, sha256=None, status="failed", reason="out of memory")
        new.append(r)
    records.write(folder / "records.jsonl", new)
    text = report.render([folder]).read_text("utf-8")
    assert "the map of vae, is not in the run folder any more" in prose(section(text, "maps"))
    assert "its hash differs" in prose(section(text, "paths"))
    assert "cannot be read" in prose(section(text, "samples"))
    assert "lies outside the run folder" in prose(section(text, "reconstructions"))
    assert "posterior of vae failed: out of memory" in prose(section(text, "posterior"))


def test_arrays_that_do_not_fit_are_sentences(tmp_path):
    folder = build(tmp_path / "run", Synthetic(seeds=2))
    rows = []
    for r in records.read(folder / "records.jsonl"):
        if r.kind == "artifact" and r.model == "vae":
            with np.load(folder / r.path) as file:
                arrays = {
                    k: v[:1] if v.ndim and k not in ("frames", "normal_images", "mu") else v for k, v in file.items()
                }
            np.savez(folder / r.path, **arrays)
            r = replace(r, sha256=records.file_digest(folder / r.path))
        rows.append(r)
    records.write(folder / "records.jsonl", rows)
    text = report.render([folder]).read_text("utf-8")
    for name in ("maps", "paths", "samples", "posterior"):
        assert "Not drawn" in prose(section(text, name)), name


def test_without_judge_labels_or_seeds_it_still_stands(tmp_path):
    folder = build(tmp_path / "bare", Synthetic(judge=False, labels=False, seeds=1, models=("mine",), classes=()))
    text = report.render([folder]).read_text("utf-8")
    Outline(text)
    assert re.search(r"validity.normal.* – skipped : .*self-check failed", prose(section(text, "scores")))
    assert "±" not in prose(row(text, "r2"))
    assert "not judged" in prose(section(text, "samples"))
    assert "without labels" in prose(section(text, "maps"))


def test_values_without_any_artifact_or_run_record(tmp_path):
    folder = tmp_path / "old"
    folder.mkdir()
    records.write(
        folder / "records.jsonl",
        [Record(dataset="d", model="ae", seed=0, split="test", metric="mse", value=0.5, better="lower")],
    )
    text = report.render([folder]).read_text("utf-8")
    Outline(text)
    assert "0.500" in prose(row(text, "mse"))
    assert "no speed was measured" in prose(text)


def test_several_runs_side_by_side(tmp_path, folder):
    other = build(tmp_path / "later", Synthetic(seeds=2, shift=2.0))
    out = report.render([folder, other], tmp_path / "both.html")
    text = out.read_text("utf-8")
    Outline(text)
    for label in ("demo / ae", "later / ae", "demo / vae", "later / vae"):
        assert f'data-who="{label}"' in row(section(out.read_text("utf-8"), "scores"), "mse")
    assert text.count('class="map-data"') == 2
    assert len(re.findall(r"BEGIN bokeh.min.js", text)) <= 1
    assert {"demo-results.csv", "later-results.csv"} <= set(re.findall(r'download="([^"]+)"', text))


def test_runs_with_the_same_name_are_told_apart(tmp_path):
    first = build(tmp_path / "a" / "run", Synthetic(seeds=2))
    second = build(tmp_path / "b" / "run", Synthetic(seeds=2))
    text = report.render([first, second], tmp_path / "both.html").read_text("utf-8")
    assert "run (1) / ae" in prose(text)
    assert "run (2) / ae" in prose(text)


def test_runs_on_different_data_get_tables_of_their_own(tmp_path, folder):
    other = build(tmp_path / "m", Synthetic(seeds=2, dataset="mnist"))
    text = report.render([folder, other], tmp_path / "both.html").read_text("utf-8")
    assert len(re.findall(r'href="#def-mse"', text)) == 2
    assert "m / ae" not in row(text, "mse")


def test_wrong_folders_are_refused_in_one_line(tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    hollow, broken = tmp_path / "hollow", tmp_path / "broken"
    hollow.mkdir()
    broken.mkdir()
    (hollow / "records.jsonl").write_text("\n")
    (broken / "records.jsonl").write_text('{"kind":"value","schema":1}\n{"kind": oops\n')
    file = tmp_path / "file"
    file.write_text("")
    for path, words_ in (
        (tmp_path / "nowhere", "does not exist"),
        (file, "is not a folder"),
        (empty, "holds no records.jsonl"),
        (hollow, "holds no record"),
        (broken, "line 2"),
    ):
        with pytest.raises(ValueError) as refused:
            report.render([path], tmp_path / "out.html")
        assert words_ in str(refused.value)
        assert str(path) in str(refused.value)
        assert "\n" not in str(refused.value)
    assert not (tmp_path / "out.html").exists()
    with pytest.raises(ValueError, match="no run folder given"):
        report.render([])
    with pytest.raises(ValueError, match="is not a folder"):
        report.render([build(tmp_path / "fine", Synthetic(seeds=1))], tmp_path / "no" / "out.html")


def test_tables_are_written_beside_the_records(tmp_path):
    folder = build(tmp_path / "run", Synthetic(seeds=2))
    report.write_tables(folder)
    assert (folder / "results.csv").read_text().startswith("dataset,model")
    assert "validity" in (folder / "summary.md").read_text()
    with pytest.raises(ValueError, match="does not exist"):
        report.write_tables(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.4462, "0.446"), (0, "0"), (None, "—"), (float("nan"), "—"), (-0.5, "−0.500"), (1234.5, "1\u202f234"), (12.345, "12.3"),
     (3e-7, "3.0\u202f×\u202f10⁻⁷"), (2.5e9, "2.50\u202fG")],
)  # fmt: skip
def test_numbers(value, text):
    assert words.number(value) == text


def test_mean_and_half_width_share_their_decimals():
    assert words.spread(0.44621, 0.0312) == ("0.446", "0.031")
    assert words.spread(13.861, 0.302) == ("13.86", "0.30")
    assert words.decimals_for([0.00099, 0.0039]) == 4
    assert words.decimals_for([0.0007, 0.1024]) == 3
    assert words.decimals_for([]) is None
    assert words.spread(0.0025, 0.002, 2) == ("0.0025", "0.0020")
    assert words.spread(168_992.0, 12.0) == ("168\u202f992", "12")


@pytest.mark.parametrize("shape", [(1, 64), (64, 1), (2, 90), (41, 1, 3), (300, 300)])
def test_a_sprite_of_narrow_images_is_averaged_down_as_far_as_they_go(shape):
    thumbs = np.full((7, *shape), 200, np.uint8)
    sheet = images.sprite(thumbs)
    assert max(sheet.tile_width, sheet.tile_height) <= images.THUMB
    assert min(sheet.tile_width, sheet.tile_height) >= 1


def test_sprite_tiles_stand_where_their_positions_say():
    rng = np.random.default_rng(0)
    thumbs = rng.integers(0, 256, (7, 5, 4), dtype=np.uint8)
    sheet = images.sprite(thumbs)
    pixels = decode(sheet.picture.uri)[..., 0]
    for k, thumb in enumerate(thumbs):
        across, down = sheet.shares(k)
        left = round(across / 100 * (sheet.columns - 1) * sheet.tile_width)
        top = round(down / 100 * (sheet.rows - 1) * sheet.tile_height)
        assert np.array_equal(pixels[top : top + 5, left : left + 4], thumb)


def test_small_images_are_stored_without_loss():
    image = np.random.default_rng(1).integers(0, 256, (8, 8), dtype=np.uint8)
    assert np.array_equal(decode(images.singles(image[None])[0].uri)[..., 0], image)


def decode(uri: str) -> np.ndarray:
    import io

    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))


def test_svg_escapes_and_axes_place():
    assert str(svg.tag("text", HOSTILE, title='"<')) == f'<text title="&#34;&lt;">{html.escape(HOSTILE)}</text>'
    axis = svg.Axis(1, 100, 0, 10, log=True)
    assert axis(10) == pytest.approx(5)
    assert axis.many(np.array([1, 10, 100])) == pytest.approx([0, 5, 10])
    assert svg.Axis(1, 10, 0, 10, log=True).ticks() == pytest.approx([1, 2, 5, 10])
    assert svg.Axis(0, 1, 0, 1).ticks(5) == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1])
