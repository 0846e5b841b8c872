"""Scores, protocol, training and speed of the page: what stands open, what is folded, and what each may say."""

from __future__ import annotations

import html
import itertools
import re
from dataclasses import replace

import pytest
from synthetic_run import Synthetic, build
from test_report_browser import CHROMIUM, OUTSIDE, Visit, browser  # noqa: F401

from latentbench import __version__, records, report
from latentbench.records import Record
from latentbench.report.columns import columns
from latentbench.report.drawing import figures
from latentbench.report.folder import load
from latentbench.report.sections import definitions, protocol, scores, speed, training
from latentbench.run_folder import RunFiles

in_browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium found")
BARE = frozenset({"data", "map", "strips", "samples", "posterior", "atlas", "reconstructions"})
SKIPPED = "the images are not lines"


def rows(folder, change):
    """The folder with every record changed."""
    files = RunFiles(folder)
    files.write_records([change(r) for r in records.read(files.records)])
    return folder


def table(folder):
    (found,) = scores.tables(columns(load([folder])))
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    never = [
        Record(model=m, seed=s, split="test", metric=name, status="skipped", reason=SKIPPED, latent_dim=8)
        for m in ("ae", "vae")
        for s in range(6)
        for name in ("lines.distance", "lines.smoothness")
    ]
    return build(tmp_path_factory.mktemp("runs") / "demo", Synthetic(extra=never))


@pytest.fixture(scope="module")
def file(folder):
    return report.render([folder])


@pytest.fixture(scope="module")
def page(file):
    return file.read_text("utf-8")


def section(page, name):
    return page.split(f'<section id="{name}">', 1)[1].split("</section>", 1)[0]


def prose(text):
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]*>", " ", text)))


# --- scores ---


def test_headline_measures_say_what_the_tables_say(folder):
    found = table(folder)
    assert 5 < len(found.headlines) <= scores.ROWS
    of_tables = {(r.metric, r.split): r for g in found.groups for r in g.rows}
    for h in found.headlines:
        whole = of_tables[h.row.metric, h.row.split]
        assert [s._replace(ref="") for s in whole.scores] == list(h.row.scores)
        assert list(h.drawn) == [0, 1]
        assert h.more == 0
        assert h.plot == "" or 'role="img" aria-label="' in h.plot


def test_of_many_models_the_best_are_drawn_and_the_rest_counted(tmp_path):
    models = ("ae", *(f"vae:beta={b}" for b in range(1, 15)))
    found = table(build(tmp_path / "run", Synthetic(models, seeds=2, without=BARE)))
    (r2,) = (h for h in found.headlines if h.row.metric == "r2")
    assert len(r2.drawn) == scores.LINES
    assert r2.more == 15 - scores.LINES
    means = {k: float(s.order) for k, s in enumerate(r2.row.scores)}
    assert min(means[k] for k in r2.drawn) >= max(v for k, v in means.items() if k not in r2.drawn)


def test_what_no_model_has_is_named_once_with_its_reason_and_is_in_no_table(folder, page):
    found = table(folder)
    assert found.left == 2
    (left,) = found.left_out
    assert (list(left.names), left.status, left.reason) == (["lines.distance", "lines.smoothness"], "skipped", SKIPPED)
    assert not any(r.metric.startswith("lines.") for g in found.groups for r in g.rows)
    part = section(page, "scores")
    assert part.count("lines.distance") == 1
    assert "2 measures have a value for no model: why" in prose(part)
    assert 'id="def-lines.distance"' not in page


@pytest.mark.parametrize("cause", ["collapsed", "alone", "skipped"])
def test_nobody_is_best_without_a_rival(tmp_path, cause):
    """A gain of .003 +- .029 stood in bold type as the best, of a model that nobody could be compared with."""
    spec = Synthetic(models=("vae",) if cause == "alone" else ("ae", "vae"), without=BARE)

    def change(r):
        if r.metric == "path.validity_gain" and r.model == "vae":
            return replace(r, value=0.003 + 0.03 * (-1) ** r.seed)
        if cause == "collapsed" and r.model == "ae" and r.metric == "r2" and r.split == "test":
            return replace(r, value=0.0)
        if cause == "skipped" and r.model == "ae" and r.metric == "path.validity_gain":
            return replace(r, value=None, status="skipped", reason="no path")
        return r

    run = rows(build(tmp_path / "run", spec), change)
    (gain,) = (h for h in table(run).headlines if h.row.metric == "path.validity_gain")
    assert {s.standing for s in gain.row.scores} == {""}
    if cause != "skipped":
        part = section(report.render([run]).read_text("utf-8"), "scores")
        assert not re.search(
            r'is-ahead|class="standing (best|tied)">[^<]*</span> *</span>', part.split('class="heads"')[1]
        )


def test_a_mark_of_a_collapsed_model_is_never_made(tmp_path):
    run = rows(
        build(tmp_path / "run", Synthetic(without=BARE)),
        lambda r: replace(r, value=0.0) if (r.model, r.metric) == ("ae", "active_units") else r,
    )
    found = table(run)
    assert {s.standing for h in found.headlines for s in h.row.scores if s.label == "ae"} == {""}
    assert "collapsed, never ranked: no latent dimension is active" in prose(report.render([run]).read_text("utf-8"))


def test_an_axis_holds_what_stands_on_it_and_its_names_stand_apart():
    lines = [
        figures.ScoreLine(0, 0.4, 0.35, 0.45),
        figures.ScoreLine(1, None, None, None),
        figures.ScoreLine(2, 0.9, 0.2, 1.4),
    ]
    marks = [figures.AxisMark(r, n, v) for r, n, v in (
        ("floor", "noise", 0.0), ("floor", "shuffled pixels", 0.01), ("baseline", "PCA", 0.4), ("ceiling", "real images", 0.41),
    )]  # fmt: skip
    drawn = str(figures.score_lines(lines, (0.0, 1.0), marks, "Valid draws"))
    numbers = [float(x) for x in re.findall(r' (?:x|x1|x2)="(-?[\d.]+)"', drawn)]
    assert all(0 <= x <= figures.AXIS for x in numbers)
    assert drawn.count('class="dot') == 2
    texts = re.findall(r'<text x="([\d.]+)"[^>]*>([^<]*)</text>', drawn)
    assert ("shuffled pixels 0.01" in {t for _, t in texts}, "noise 0" in {t for _, t in texts}) == (True, False)
    spans = sorted((float(x) - 3.6 * len(t), float(x) + 3.6 * len(t)) for x, t in texts)
    assert all(a[1] < b[0] for a, b in itertools.pairwise(spans))


def test_a_value_beyond_the_bounds_that_are_usual_for_a_share_is_on_the_axis(tmp_path):
    run = rows(
        build(tmp_path / "run", Synthetic(without=BARE)),
        lambda r: replace(r, value=1.2) if (r.model, r.metric) == ("vae", "hole") else r,
    )
    (hole,) = (h for h in table(run).headlines if h.row.metric == "hole")
    assert f"to {1.2:g}" in hole.plot


# --- definitions ---


@pytest.mark.parametrize(
    ("text", "other", "shown"),
    [
        ("distance of a b c from draws of d, in features", "distance of a b c from draws of N, in features", "… d, …"),
        ("distance of a b c from draws of d", "distance of a b c from draws of N", "… d"),
        ("share of x", "share of y", "share of x"),
        ("one and the same text of words", "one and the same text of words", "one and the same text of words"),
        ("a", "a b c d e f g h", "a"),
    ],
)
def test_a_variant_is_told_by_what_differs(text, other, shown):
    assert definitions.differing(text, other) == shown


def test_every_measure_of_a_table_has_its_definition_and_its_source(folder, page):
    found = definitions.definitions(load([folder]))
    assert {r.metric for g in table(folder).groups for r in g.rows} <= {d.metric for d in found.measures}
    assert all(d.source <= len(found.sources) for d in found.measures)
    assert all(href in page for href in re.findall(r'href="#(def-[^"]+)"', page))


# --- protocol ---


def asked(command="latentbench run", version=__version__, **config):
    base = {"models": ["ae", "vae"], "dataset": "digits", "latent_dim": 8, "epochs": 300, "lr": 0.001, "seeds": [0, 1, 2, 3, 4, 5],
            "out": "elsewhere", "workers": 2}  # fmt: skip
    return {"command": command, "version": version, "config": {**base, **config}}


@pytest.mark.parametrize(
    ("detail", "names"),
    [
        (asked(), []),
        (asked("latentbench run --out=elsewhere"), []),
        (asked("latentbench run --lr 0.01", lr=0.01), ["lr"]),
        (asked("latentbench run --epochs 20", epochs=20, seeds=[0]), ["epochs", "seeds"]),
        (asked("latentbench run --latent-dim=2", latent_dim=2), ["latent_dim"]),
        (asked("latentbench run 'torn"), []),
        (asked("latentbench run --config mine.toml"), None),
        (asked("latentbench run --study why-mu-sigma"), None),
        (asked(""), None),
        (asked(version="0.0.1"), None),
        ({"command": "lb.evaluate(...)", "version": __version__, "config": {"models": ["a"], "dataset": "d"}}, None),
        ({}, None),
    ],
)
def test_what_is_not_at_its_default(detail, names):
    found = protocol.differing(detail)
    assert (found if found is None else sorted(k for k, _ in found)) == names


def test_the_protocol_speaks_of_a_judge_only_where_there_is_one(folder, tmp_path):
    said = "The judge was trained, calibrated and frozen"
    assert said in section(report.render([folder]).read_text("utf-8"), "protocol")
    bare = build(tmp_path / "bare", Synthetic(judge=False, seeds=2, without=BARE))
    assert said not in section(report.render([bare]).read_text("utf-8"), "protocol")


def test_every_fold_is_closed_as_the_page_opens(page):
    for name in ("scores", "training", "speed", "protocol"):
        assert not re.search(r"<details[^>]*\bopen\b", section(page, name)), name


# --- training ---


def curves(folder, lengths, kept=None, limit=150):
    """The run with validation curves of these lengths, and the epochs that were best."""

    def change(r):
        if r.kind == "run":
            config = {k: v for k, v in r.detail["config"].items() if k != "epochs"}
            return replace(r, detail={**r.detail, "config": {**config, **({"epochs": limit} if limit else {})}})
        if r.kind == "curve":
            return replace(r, samples=tuple(float(100 - k) for k in range(lengths[r.seed])))
        if r.metric == "train.epochs" and kept:
            return replace(r, detail={"kept": kept[r.seed]})
        return r

    return load([rows(folder, change)])


@pytest.mark.parametrize(
    ("lengths", "limit", "words"),
    [
        ((90, 120), 150, "stopped early: 90 to 120"),
        ((150, 150), 150, "ran to the limit: 150"),
        ((150, 120), 150, "1 of 2 stopped early: 120 to 150"),
        ((90, 120), None, "last epoch: 90 to 120"),
    ],
)
def test_how_a_training_ended_is_told_by_its_epochs(tmp_path, lengths, limit, words):
    runs = curves(build(tmp_path / "run", Synthetic(seeds=2, without=BARE)), lengths, (70, 80), limit)
    plot, about = training.training(columns(runs)[0])
    assert words in plot
    assert "best: 70 to 80" in plot
    assert about.endswith(
        f"{min(lengths)} to {max(lengths)} epochs" if len(set(lengths)) > 1 else f"{lengths[0]} epochs"
    )


def test_a_best_epoch_that_is_not_recorded_is_not_marked(tmp_path):
    runs = curves(build(tmp_path / "run", Synthetic(seeds=2, without=BARE)), (90, 120))
    plot, _ = training.training(columns(runs)[0])
    assert "best" not in plot
    assert 'class="open' not in plot


def test_from_four_models_on_two_curves_stand_open(tmp_path):
    run = build(tmp_path / "run", Synthetic(("ae", "vae", "vae:beta=2", "vae:beta=4"), seeds=2, without=BARE))
    part = section(report.render([run]).read_text("utf-8"), "training")
    assert part.split("<details>")[0].count("<figure>") == 2
    assert part.count("<figure>") == 4
    assert "Curves of 2 more models" in part


# --- speed ---


def timed(folder, change):
    return section(report.render([rows(folder, change)]).read_text("utf-8"), "speed")


@pytest.fixture
def bare(tmp_path):
    return build(tmp_path / "run", Synthetic(seeds=2, without=BARE))


def timing(r, rate=None, rankable=True):
    if not r.metric.startswith("throughput.") or not r.model:
        return r
    factor = (rate or {}).get(r.model, 1.0)
    return replace(
        r, value=1e5 * factor, samples=tuple(1e5 * factor * (1 + k / 1e4) for k in range(-9, 10)),
        detail={**r.detail, "rankable": rankable, "spread": 0.01 if rankable else 0.5},
    )  # fmt: skip


def test_timings_that_cannot_rank_are_one_sentence(bare):
    part = timed(bare, lambda r: timing(r, rankable=False))
    assert "24 timings were taken, and the blocks of each differ too much to rank models by it." in prose(part)
    assert "<table" not in part.split("<details")[0]


def test_who_is_fastest_stands_open_where_one_is(bare):
    part = timed(bare, lambda r: timing(r, {"vae": 3.0}))
    seen = part.split("<details")[0]
    assert seen.count('class="standing best"') == 4
    assert seen.count("300") == 4
    assert "one model is faster than all others" in seen


def test_alike_timings_put_nobody_ahead(bare):
    part = timed(bare, timing)
    assert "at the largest batch they put no model ahead of all others" in part
    assert 'class="standing best"' not in part


def test_one_model_is_not_the_fastest(tmp_path):
    run = build(tmp_path / "run", Synthetic(models=("vae",), seeds=2, without=BARE))
    part = timed(run, timing)
    assert "Of 12 timings 12 can rank models." in part
    assert speed.fastest_of(columns(load([run]))) == []


# --- in a browser ---


@pytest.fixture
def visit(browser, file):  # noqa: F811
    opened = Visit(browser, file)
    yield opened
    opened.close()


def values(visit, column):
    return visit.page.locator(f"#scores-1-completeness tbody tr td:nth-child({column})").evaluate_all(
        "cells => cells.map(c => c.dataset.value ? parseFloat(c.dataset.value) : null)"
    )


@in_browser
@pytest.mark.browser
def test_sections_keep_to_their_room(visit):
    most = {"scores": (1250, 2600), "protocol": (400, 2000), "training": (420, 130), "speed": (160, 350)}
    for name, (pixels, words) in most.items():
        found = visit.page.evaluate(
            "id => { const e = document.getElementById(id); return [e.offsetHeight, e.textContent.split(/\\s+/).length]; }",
            name,
        )
        assert found[0] <= pixels, name
        assert found[1] <= words, name


@in_browser
@pytest.mark.browser
def test_a_column_sorts_upwards_downwards_and_as_it_was(visit):
    visit.page.evaluate("() => { document.getElementById('scores-1-completeness').open = true; }")
    before = values(visit, 3)
    head = visit.page.locator("#scores-1-completeness thead th").nth(2)
    states = []
    for _ in range(3):
        head.locator("button").press("Enter")
        states.append((head.get_attribute("aria-sort"), values(visit, 3)))
    assert [s for s, _ in states] == ["ascending", "descending", "none"]
    assert states[0][1] == sorted(before)
    assert states[1][1] == sorted(before, reverse=True)
    assert states[2][1] == before
    visit.page.locator("#scores-1-completeness thead th button").first.click()
    names = visit.page.locator("#scores-1-completeness tbody th a").all_inner_texts()
    assert names == sorted(names)
    assert visit.page.locator('#scores-1-completeness th[aria-sort="ascending"]').count() == 1
    assert visit.complaints == []


@in_browser
@pytest.mark.browser
def test_a_word_finds_measures_by_name_and_by_definition(visit):
    page, find = visit.page, visit.page.get_by_label("Find a measure")
    whole = page.locator("table.scores tbody tr").count()
    count = page.locator(".finder output")
    assert count.inner_text() == f"{whole} measures"
    assert count.get_attribute("aria-live") == "polite"
    find.fill("validity mixture")
    assert count.inner_text() == f"1 of {whole} measures"
    assert page.locator("table.scores tbody tr >> visible=true").count() == 1
    assert page.locator("details.family[open]").count() == 1
    find.fill("nothing of the kind")
    assert count.inner_text() == f"0 of {whole} measures"
    assert page.locator("table.scores tbody tr >> visible=true").count() == 0
    find.fill("logistic linear classifier")
    assert count.inner_text().startswith("0 of")
    find.fill("linear classifier")
    assert page.locator("table.scores tbody th a >> visible=true").all_inner_texts() == ["probe.linear"]
    find.fill("")
    assert count.inner_text() == f"{whole} measures"
    assert page.locator("details.family[open]").count() == 0
    assert page.locator("details.family >> visible=true").count() == page.locator("details.family").count()
    assert visit.complaints == []


@in_browser
@pytest.mark.browser
def test_a_name_tells_its_definition_by_keyboard_and_leads_there(visit):
    page = visit.page
    link = page.locator(".heads a", has_text="validity.normal")
    link.focus()
    tip = page.get_by_role("tooltip")
    assert tip.inner_text() == "share of decoded draws of N(0, I) that the judge accepts"
    assert link.get_attribute("aria-describedby") == "definition-tip"
    page.keyboard.press("Escape")
    assert not tip.is_visible()
    page.keyboard.press("Enter")
    page.wait_for_function("() => document.getElementById('definitions').open")
    assert page.locator("[id='def-validity.normal']").is_visible()
    page.evaluate("() => { document.getElementById('definitions').open = false; }")
    link.click()
    assert page.locator("[id='def-validity.normal']").is_visible()


@in_browser
@pytest.mark.browser
def test_without_scripts_there_is_nothing_to_press_and_all_to_read(browser, file):  # noqa: F811
    opened = Visit(browser, file, java_script_enabled=False)
    assert opened.page.locator(".heads > li svg.plot >> visible=true").count() > 5
    assert opened.page.locator(".finder >> visible=true").count() == 0
    assert opened.page.locator("table.scores button").count() == 0
    opened.page.locator("details.family summary").first.click()
    assert opened.page.locator("table.scores >> visible=true").count() == 1
    opened.close()


@in_browser
@pytest.mark.browser
@pytest.mark.parametrize("size", [(1280, 800), (1024, 768), (390, 844)])
def test_nothing_is_cut_where_every_fold_is_open(browser, tmp_path, size):  # noqa: F811
    models = ("ae", "vae", *(f"vae:depth=0:beta={b}" for b in range(5)), "package.module:ALongModelName:width=64")
    one = build(tmp_path / "eight", Synthetic(models, seeds=2, without=BARE))
    two = build(tmp_path / "other", Synthetic(seeds=3, without=BARE, dataset="mnist"))
    opened = Visit(
        browser, report.render([one, two], tmp_path / "both.html"), viewport={"width": size[0], "height": size[1]}
    )
    opened.page.evaluate("() => { for (const fold of document.querySelectorAll('details')) fold.open = true; }")
    assert opened.page.evaluate("() => document.documentElement.scrollWidth") <= size[0]
    assert opened.page.evaluate(OUTSIDE) == []
    small = opened.page.evaluate(
        """() => [...document.querySelectorAll('#scores, #training, #speed, #protocol')].flatMap(s =>
        [...s.querySelectorAll('a, button, input, summary')]).filter(e => { const r = e.getBoundingClientRect();
        return r.width && (r.width < 24 || r.height < 24); }).map(e => e.textContent)"""
    )
    assert small == []
    assert opened.complaints == []
    opened.close()


def test_a_line_to_paste_stands_beneath_its_family(tmp_path):
    """Of whatever metric: that its record offers one is what counts; of the first seed that has one, and safe."""
    lines = {0: "scaling_factor=2.5, shift_factor=<b>", 1: "scaling_factor=9"}
    offered = [
        Record(
            model="ae", seed=s, split="test", metric="any.scale", value=2.5 + s, latent_dim=8, unit="u", better="none",
            detail={"paste": line},
        )
        for s, line in lines.items()
    ]  # fmt: skip
    folder = build(tmp_path / "run", Synthetic(extra=offered))
    assert [(g.key, g.pasted) for g in table(folder).groups if g.pasted] == [("other", [("ae", lines[0])])]
    text = report.render([folder]).read_text("utf-8")
    assert "To paste into a second stage, of the first seed:" in text
    assert "<code>scaling_factor=2.5, shift_factor=&lt;b&gt;</code>" in text
    assert "scaling_factor=9" not in section(text, "scores")
