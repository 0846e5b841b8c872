"""Screen one of the page in a real browser: the readers' questions are answered in it, on a desk, a phone, and in print."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from synthetic_run import Synthetic, build
from test_report_browser import CHROMIUM, Visit, browser

from latentbench import report

__all__ = ["browser"]

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium found (looked for chromium and Chrome, and at $CHROMIUM)"),
]
DESK, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}

SEEN = """() => { const out = []; const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) { const range = document.createRange(); range.selectNodeContents(walk.currentNode);
    const boxes = [...range.getClientRects()].filter(b => b.width > 1 && b.height > 1);
    if (boxes.length && boxes.every(b => b.top >= 0 && b.bottom <= innerHeight && b.left >= 0 && b.right <= innerWidth))
      out.push(walk.currentNode.textContent); }
  return out.join(' ').replace(/\\s+/g, ' '); }"""
"""The text that lies within the viewport as the page opens, whole."""
OUTSIDE = """() => [...document.querySelectorAll('header.top *, section.verdicts *, #differences *')].filter(e => {
  const b = e.getBoundingClientRect(); return b.width && b.right > innerWidth + 1 && !e.closest('.scroll, pre'); })
  .map(e => e.tagName + '.' + e.className)"""
SMALL = """() => [...document.querySelectorAll('section.verdicts summary, nav.contents a, #differences a')].map(e =>
  e.getBoundingClientRect()).filter(b => b.width && (b.height < 24 || b.width < 24)).length"""
CONTRAST = """() => { const light = c => { const v = c.match(/[\\d.]+/g).slice(0, 3).map(x => { x /= 255;
    return x <= .03928 ? x / 12.92 : ((x + .055) / 1.055) ** 2.4; }); return .2126 * v[0] + .7152 * v[1] + .0722 * v[2]; };
  const ground = e => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor;
    if (!/, 0\\)$|transparent/.test(c) && !/color\\(/.test(c)) return c; } return 'rgb(255, 255, 255)'; };
  return [...document.querySelectorAll('header.top *, section.verdicts *, #differences *')].filter(e =>
    [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim()) && e.getClientRects().length).map(e => {
      const [a, b] = [light(getComputedStyle(e).color), light(ground(e))].sort((x, y) => y - x);
      return [(a + .05) / (b + .05), e.tagName + '.' + e.className]; }).filter(x => x[0] < 4.5); }"""


@pytest.fixture(scope="module")
def places(tmp_path_factory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("first")
    one = build(root / "demo", Synthetic())
    models = ("ae", "vae", "vae:beta=4", "vae:beta=0.1", "ae:noise=0.2", "vae:beta=10", "vae:depth=3", "ae:depth=1")
    other = build(root / "other", Synthetic(shift=5.0, seeds=4))
    return {
        "demo": report.render([one]),
        "chinese": report.render([one], root / "zh.html", "zh"),
        "eight": report.render([build(root / "eight", Synthetic(models, seeds=3))]),
        "two": report.render([one, other], root / "two.html"),
    }


def opened(browser, file, viewport=DESK, **more):
    return Visit(browser, file, viewport=viewport, **more)


def test_five_questions_are_answered_within_the_first_screen(browser, places):
    """Which model to sample from, which to interpolate in, how sure, what it cost, what to do next."""
    visit = opened(browser, places["demo"])
    text = visit.page.evaluate(SEEN).replace("\u202f", " ")
    for pattern in (
        r"Sample from .*N\(0, I\)",
        r"Interpolate in (?:ae|vae|none|not told)",
        r"How sure 6 seeds, 1 split of the data, one judge",
        r"Cost R² 0\.\d+ for ae and 0\.\d+ for vae \(PCA 0\.659\)",
        r"parameters [\d ]+.*one training [\d.]+",
        r"Next step .{20,}",
        r"ae and vae on digits",
        r"(?:yes|partly|no|not told) 0\.\d+ ± 0\.\d+",
    ):
        assert re.search(pattern, text), pattern
    visit.close()


def test_every_model_has_six_pictures_with_the_judges_mark_within_the_first_screen(browser, places):
    visit = opened(browser, places["demo"])
    boxes = visit.page.evaluate(
        "() => [...document.querySelectorAll('.grid-of-answers img')].map(i => [i.getBoundingClientRect().bottom, i.alt, i.naturalWidth])"
    )
    assert len(boxes) == 12
    assert all(bottom <= DESK["height"] and width for bottom, _, width in boxes)
    assert sum("draw" in alt and alt.endswith((": valid", ": refused")) for _, alt, _ in boxes) == 6
    visit.close()


def test_eight_models_fit_too(browser, places):
    visit = opened(browser, places["eight"])
    text = visit.page.evaluate(SEEN)
    rows = visit.page.evaluate(
        "() => [...document.querySelectorAll('.grid-of-answers tbody tr')].map(r => r.getBoundingClientRect().bottom)"
    )
    assert len(rows) == 8
    assert max(rows) <= DESK["height"]
    for term in ("Sample from", "Interpolate in", "How sure", "Cost", "Next step"):
        assert term in text
    assert visit.page.locator(".answer table").count() >= 3  # tables instead of sentences
    assert visit.page.locator(".answer li", has_text="differences from ae").count() == 0
    visit.close()


@pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("which", ["demo", "eight", "two", "chinese"])
def test_nothing_is_cut_small_or_pale(browser, places, which, scheme, viewport):
    visit = opened(browser, places[which], viewport, color_scheme=scheme)
    visit.page.evaluate("() => document.querySelectorAll('section.verdicts details').forEach(d => { d.open = true; })")
    assert visit.page.evaluate(OUTSIDE) == []
    assert visit.page.evaluate(SMALL) == 0
    assert visit.page.evaluate(CONTRAST) == []
    assert visit.complaints == []
    visit.close()


def test_the_answers_stand_without_a_script(browser, places):
    visit = opened(browser, places["demo"], java_script_enabled=False)
    assert visit.page.locator(".grid-of-answers img").count() == 12
    assert visit.page.locator(".brief .next").is_visible()
    visit.page.locator(".folds summary").first.click()
    assert visit.page.locator(".folds li").first.is_visible()
    visit.close()


def test_folded_parts_print_as_one_line_that_says_so(browser, places):
    for which, says in (("demo", "(folded)"), ("chinese", "（已折叠）")):
        visit = opened(browser, places[which])
        visit.page.emulate_media(media="print")
        content, height = visit.page.evaluate(
            "() => { const d = document.querySelector('.folds details'); return [getComputedStyle(d.querySelector('summary'), '::after').content, d.getBoundingClientRect().height]; }"
        )
        assert says in content
        assert 0 < height < 40
        assert not visit.page.locator("nav.contents").is_visible()
        visit.close()


def test_the_navigation_stays_in_sight(browser, places):
    visit = opened(browser, places["demo"])
    visit.page.evaluate("() => scrollTo(0, 2000)")
    visit.page.wait_for_timeout(800)
    top = visit.page.evaluate("() => document.querySelector('nav.contents').getBoundingClientRect().top")
    assert abs(top) < 2
    visit.close()


def test_a_table_keeps_its_roles_where_it_is_laid_out_as_cards(browser, places):
    visit = opened(browser, places["demo"], PHONE)
    tree = visit.page.locator(".grid-of-answers").aria_snapshot()
    assert "table" in tree
    assert "rowheader" in tree
    assert "cell" in tree
    visit.close()
