"""What a page of a run must keep to, in a real Chromium: its length on screen and on paper, its size, accessibility, nothing cut.

The page of the committed example is looked at, and the one that ``LATENTBENCH_PAGE`` names, a run's report.html: CI names
that of the default run it has just made."""

from __future__ import annotations

import os
import re
import statistics
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from synthetic_run import Synthetic, build
from test_report_browser import Visit, browser, pytestmark  # noqa: F401

from latentbench import records, report
from latentbench.run_folder import RunFiles
from latentbench.studies.presets import studies

HERE = Path(__file__).parent
EXAMPLE = HERE.parent / "reports" / "example" / "report.html"
VARIABLE = "LATENTBENCH_PAGE"

TALLEST, MOST_WORDS, MOST_SHEETS, MOST_BYTES, LEAST_TARGET = 9000, 9000, 18, 5_000_000, 24
"""Of a page: pixels at 1280 as it opens, words in the file, A4 sheets, bytes; and the pixels of what can be clicked."""

SIZES = ((1280, 800), (390, 844))


def pages() -> list[Path]:
    return [EXAMPLE, *([Path(named)] if (named := os.environ.get(VARIABLE)) else [])]


@pytest.fixture(scope="module", params=pages(), ids=lambda p: p.parent.name)
def page_file(request):
    return request.param


@pytest.fixture(scope="module")
def opened(browser, page_file):  # noqa: F811
    visit = Visit(browser, page_file, viewport={"width": 1280, "height": 800})
    yield visit
    visit.close()


def test_length_size_and_words(opened, page_file):
    height = opened.page.evaluate("() => document.documentElement.scrollHeight")
    words = opened.page.evaluate(
        """() => { const copy = document.body.cloneNode(true);
        copy.querySelectorAll('script, style').forEach(e => e.remove()); return copy.textContent.split(/\\s+/).length; }"""
    )
    assert height <= TALLEST
    assert words <= MOST_WORDS
    assert page_file.stat().st_size <= MOST_BYTES


class _Text(HTMLParser):
    """The text of a page without its styles and scripts."""

    def __init__(self):
        super().__init__()
        self.inside, self.text = "", []

    def handle_starttag(self, tag, attrs):
        self.inside = tag

    def handle_endtag(self, tag):
        self.inside = ""

    def handle_data(self, data):
        if self.inside not in ("style", "script", "title"):
            self.text.append(data)


MANY = (*studies()["zoo"].settings["models"], "vae:beta=2", "vae:beta=4", "rae:decoder=spectral")
"""All the zoo's models and three more."""


def text_of(page: Path) -> str:
    parser = _Text()
    parser.feed(page.read_text("utf-8"))
    return "".join(parser.text)


def test_the_page_of_many_models_keeps_to_its_words(tmp_path):
    """What each adds to the page is no sentence and no column of its own: of each measure stand its least and its most."""
    folder = build(tmp_path / "run", Synthetic(models=MANY, study="zoo"))
    page = report.render([folder])
    text = text_of(page)
    assert len(text.split()) <= MOST_WORDS
    assert page.stat().st_size <= MOST_BYTES
    assert f"least of {len(MANY)} models" in text
    means: dict[str, list[float]] = {}
    for r in RunFiles(folder).read_records("test"):
        if r.metric == "r2" and r.role == "model" and r.split == "test" and r.value is not None:
            means.setdefault(r.model, []).append(r.value)
    order = sorted(means, key=lambda m: statistics.mean(means[m]))
    row = re.search(
        r'<tr role="row"><th role="rowheader" scope="row"><a href="#def-r2">.*?</tr>', page.read_text("utf-8"), re.S
    )
    shown = re.findall(r'<span class="model"><span>([^<]+)<', re.sub("<svg.*?</svg>", "", row[0], flags=re.S))
    assert shown == [order[0], order[-1]]


def test_a_page_of_many_models_of_many_latent_sizes_says_them_in_its_story(tmp_path):
    """Four sizes: a table of scores and a set of answers for each would fill it; its files hold them."""
    folder = build(tmp_path / "run", Synthetic(models=MANY, study="zoo"))
    files, size = RunFiles(folder), {m: 2 ** (k % 4 + 1) for k, m in enumerate(MANY)}
    files.write_records([replace(r, latent_dim=size.get(r.model, r.latent_dim)) for r in files.read_records("test")])
    page = report.render([folder])
    text = text_of(page)
    assert f"{len(MANY)} models of 4 latent sizes are too many for tables" in text
    assert '<table class="scores"' not in page.read_text("utf-8")
    assert "Why these answers" not in text
    assert len(text.split()) <= MOST_WORDS


def test_sheets_of_paper(opened):
    printed = opened.page.pdf(format="A4")
    assert 1 < len(re.findall(rb"/Type\s*/Page\b", printed)) <= MOST_SHEETS


def test_one_request_and_no_complaint(opened, page_file):
    opened.page.evaluate("() => scrollTo(0, document.documentElement.scrollHeight)")
    opened.page.wait_for_timeout(300)
    assert [u for u in opened.requests if not u.startswith(("data:", "blob:"))] == [page_file.as_uri()]
    assert opened.complaints == []


AXE = """() => axe.run(document, {resultTypes: ['violations'], rules: {'target-size': {enabled: true}}}).then(found =>
  found.violations.map(v => [v.id, v.help, v.nodes.slice(0, 5).map(n => n.target.join(' ') + ' ' + n.failureSummary)]))"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES, ids=["desktop", "phone"])
def test_axe_finds_nothing(browser, page_file, size, scheme):  # noqa: F811
    visit = Visit(browser, page_file, viewport={"width": size[0], "height": size[1]}, color_scheme=scheme)
    # Everything that is folded is looked at too.
    visit.page.evaluate("() => document.querySelectorAll('details').forEach(d => { d.open = true; })")
    visit.page.wait_for_timeout(300)
    visit.page.evaluate((HERE / "axe-core" / "axe.min.js").read_text("utf-8"))
    found = visit.page.evaluate(AXE)
    visit.close()
    assert found == []


CUT = """() => {
  const wide = e => e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).overflowX !== 'visible';
  const hidden = e => getComputedStyle(e).clipPath !== 'none';
  const beyond = e => e.getBoundingClientRect().right > document.documentElement.clientWidth + 1;
  return [...document.querySelectorAll('body *')].filter(e => e.checkVisibility() && !hidden(e) && !e.closest('nav.contents, .skip, .unseen, .bk-Figure')
    && !(e instanceof SVGElement && e.tagName !== 'svg') && (beyond(e) || wide(e))).map(e => e.tagName + '.' + e.className + ' in ' + e.closest('section, header')?.id);
}"""


@pytest.mark.parametrize("size", SIZES, ids=["desktop", "phone"])
def test_nothing_is_cut_as_the_page_opens(browser, page_file, size):  # noqa: F811
    visit = Visit(browser, page_file, viewport={"width": size[0], "height": size[1]})
    assert visit.page.evaluate("() => document.documentElement.scrollWidth") <= size[0]
    cut = visit.page.evaluate(CUT)
    visit.close()
    assert cut == []


SMALL = """least => [...document.querySelectorAll('button, summary, input, select, [role=button], [role=tab], nav a, label:has(input)')]
  .filter(e => e.checkVisibility() && !(e.matches('input') && e.closest('label'))).map(e => [e, e.getBoundingClientRect()])
  .filter(([e, b]) => b.width && (b.width < least || b.height < least))
  .map(([e, b]) => e.tagName + '.' + e.className + ' ' + b.width.toFixed(0) + ' x ' + b.height.toFixed(0) + ' ' + e.textContent.trim().slice(0, 30))"""


def test_what_can_be_clicked_is_large_enough(opened):
    opened.page.evaluate("() => document.querySelectorAll('details').forEach(d => { d.open = true; })")
    assert opened.page.evaluate(SMALL, LEAST_TARGET) == []


def test_millions_of_samples_a_second_fit_a_phone(browser, tmp_path):  # noqa: F811
    """How many there are hangs on the machine: the table of who is fastest has room for any."""
    folder = build(tmp_path / "run")

    def fast(r):
        if not r.metric.startswith("throughput.") or not r.model:
            return r
        rate = 1.2e6 * (3 if r.model == "vae" else 1)
        samples = tuple(rate * (1 + k / 1e4) for k in range(-9, 10))
        return replace(r, value=rate, samples=samples, detail={**r.detail, "rankable": True, "spread": 0.01})

    records.write(folder / "records.jsonl", [fast(r) for r in records.read(folder / "records.jsonl")])
    visit = Visit(browser, report.render([folder], tmp_path / "page.html"), viewport={"width": 390, "height": 844})
    assert visit.page.locator("#speed .standing.best").count() == 4
    assert [cut for cut in visit.page.evaluate(CUT) if "speed" in cut] == []
    visit.close()
