"""The page in a real Chromium: what it asks for, what it complains about, what a reader sees."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from synthetic_run import Synthetic, build

from latentbench import report

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
NAMES = ("/usr/bin/chromium", "chromium", "chromium-browser", "google-chrome", "chrome")
CHROMIUM = os.environ.get("CHROMIUM") or next((p for n in NAMES if (p := shutil.which(n))), None)

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        CHROMIUM is None and not os.environ.get("CI"),
        reason="no Chromium found (looked for chromium and Chrome, and at $CHROMIUM)",
    ),
]


@pytest.fixture(scope="module")
def browser():
    assert CHROMIUM, "in CI the page is looked at in a real browser: install Chromium, or name one with $CHROMIUM"
    with playwright.sync_playwright() as p:
        found = p.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        )
        yield found
        found.close()


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return report.render([build(tmp_path_factory.mktemp("runs") / "demo")])


@pytest.fixture(scope="module")
def chinese(file):
    return report.render([file.parent], file.parent / "zh.html", "zh")


LONG = 120_000
"""Milliseconds that a page may take on a machine whose cores are all taken: what is shown is asked here, not how fast."""


class Visit:
    """One page opened from disk: every request it made and everything it complained about."""

    def __init__(self, browser, file: Path, **context) -> None:
        self.context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **context})
        self.page = self.context.new_page()
        self.page.set_default_timeout(LONG)
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda r: self.requests.append(r.url))
        self.page.on("pageerror", lambda e: self.complaints.append(str(e)))
        self.page.on("console", lambda m: self.complaints.append(m.text) if m.type in ("error", "warning") else None)
        self.page.add_init_script(
            "document.addEventListener('securitypolicyviolation', e => console.error('CSP ' + e.violatedDirective));"
        )
        self.page.goto(file.as_uri())
        if context.get("java_script_enabled", True):
            # Of a study's page the maps are folded, and drawn when they are opened.
            ready = (
                ".run-maps[data-ready=true] .bk-Figure",
                "details:not([open]) .run-maps",
                "main:not(:has(script.map-data))",
            )
            self.page.wait_for_selector(", ".join(ready), state="attached")

    def close(self) -> None:
        self.context.close()


@pytest.fixture
def visit(browser, file):
    opened = Visit(browser, file)
    yield opened
    opened.close()


OUTSIDE = """() => [...document.querySelectorAll('body *')].filter(e => e.getBoundingClientRect().right > innerWidth + 1
  && !e.closest('.scroll, nav, .skip, .bk-Figure')).map(e => e.tagName + '.' + e.className)"""


def test_asks_for_nothing_and_complains_about_nothing(visit, file):
    for part in ("scores", "maps", "paths", "samples", "protocol"):
        visit.page.locator(f"#{part}").scroll_into_view_if_needed()
    assert [u for u in visit.requests if not u.startswith(("data:", "blob:")) and u != file.as_uri()] == []
    assert visit.complaints == []


def test_policy_is_enforced_by_the_browser(visit):
    before = len(visit.requests)
    visit.page.evaluate("() => fetch('https://example.invalid/x').catch(() => 0)")
    visit.page.evaluate(
        "() => { const i = new Image(); i.src = 'https://example.invalid/x.png'; document.body.append(i); }"
    )
    visit.page.evaluate("() => { setTimeout('window.evil = 1', 0); }")
    visit.page.wait_for_timeout(200)
    said = " ".join(visit.complaints)
    assert "CSP connect-src" in said
    assert "CSP img-src" in said
    assert visit.page.evaluate("() => window.evil") is None
    assert [u for u in visit.requests[before:] if not u.startswith("https://example.invalid/")] == []


@pytest.mark.parametrize(("which", "scheme"), [("file", "light"), ("file", "dark"), ("chinese", "light")])
def test_no_sideways_scrolling(browser, request, which, scheme):
    opened = Visit(browser, request.getfixturevalue(which), color_scheme=scheme)
    for width in (1280, 768, 390, 320):
        opened.page.set_viewport_size({"width": width, "height": 800})
        opened.page.wait_for_timeout(200)
        assert opened.page.evaluate("() => document.documentElement.scrollWidth") <= width
        assert opened.page.evaluate(OUTSIDE) == [], width
    opened.close()


def test_many_models_and_several_runs_fit_a_phone(browser, tmp_path):
    many = build(
        tmp_path / "many",
        Synthetic(models=("ae", "vae", "vae:beta=4", "package.module:ALongModelName:width=64"), seeds=2),
    )
    colour = build(
        tmp_path / "colour",
        Synthetic(shape=(3, 32, 32), dataset="c", classes=("airplane", "ankle boot", "T-shirt/top"), seeds=2),
    )
    opened = Visit(
        browser, report.render([many, colour], tmp_path / "both.html"), viewport={"width": 360, "height": 800}
    )
    assert opened.page.evaluate("() => document.documentElement.scrollWidth") <= 360
    assert opened.page.evaluate(OUTSIDE) == []
    assert opened.page.locator(".run-maps[data-ready=true]").count() == 2
    assert opened.complaints == []
    opened.close()


def test_all_images_decode(visit):
    broken = visit.page.evaluate(
        """async () => { const all = [...document.images]; await Promise.all(all.map(i => i.decode().catch(() => 0)));
        return [all.length, all.filter(i => !i.complete || i.naturalWidth === 0).length]; }"""
    )
    assert broken[0] > 150
    assert broken[1] == 0


PLACE = """([map, k]) => {
  const view = Object.values(Bokeh.index).flatMap(v => v.roots || [v])[map];
  const figure = view.model, points = figure.document.get_model_by_name('points');
  const column = n => points.data.get ? points.data.get(n) : points.data[n];
  const box = document.querySelectorAll('.live')[map].querySelector('.bk-Figure').getBoundingClientRect();
  const frame = view.frame.bbox;
  return [box.left + frame.left + view.frame.x_scale.compute(column('x' + map)[k]) - frame.left,
          box.top + view.frame.y_scale.compute(column('y' + map)[k]), column('name')[k]];
}"""


def test_hover_shows_the_image_and_click_pins_it_on_every_map(visit):
    page = visit.page
    page.locator(".live").first.scroll_into_view_if_needed()
    page.wait_for_timeout(300)
    x, y, name = page.evaluate(PLACE, [0, 5])
    page.mouse.move(x, y)
    tip = page.locator(".lb-tip >> visible=true").first
    tip.wait_for(timeout=5000)
    picture = tip.locator("div").first
    assert "data:image/webp" in picture.evaluate("e => getComputedStyle(e).backgroundImage")
    assert picture.bounding_box()["width"] >= 48
    assert picture.evaluate("e => getComputedStyle(e).backgroundPosition").count("%") == 2
    page.mouse.click(x, y)
    page.wait_for_selector(".pinned li")
    assert page.locator(".pinned li").first.inner_text().startswith(name)
    assert "data:image/webp" in page.locator(".pinned li span").first.evaluate(
        "e => getComputedStyle(e).backgroundImage"
    )
    page.locator(".pinned button").click()
    assert page.locator(".pinned li").count() == 0
    assert visit.complaints == []


def test_copy_button_copies_the_command(browser, file):
    opened = Visit(browser, file, permissions=["clipboard-read", "clipboard-write"])
    opened.page.locator("button.copy").click()
    opened.page.wait_for_function("() => document.querySelector('button.copy').textContent === 'Copied'")
    opened.close()


def test_the_page_in_chinese(browser, chinese):
    opened = Visit(browser, chinese, permissions=["clipboard-read", "clipboard-write"])
    page = opened.page
    assert page.evaluate("() => document.documentElement.lang") == "zh-CN"
    assert "Noto Sans CJK SC" in page.locator("h1").evaluate("e => getComputedStyle(e).fontFamily")
    assert page.locator("[data-tool=zoom]").inner_text() == "滚轮缩放"
    page.locator("button.copy").click()
    page.wait_for_function("() => document.querySelector('button.copy').textContent === '已复制'")
    page.locator(".live").first.scroll_into_view_if_needed()
    page.wait_for_timeout(300)
    x, y, _ = page.evaluate(PLACE, [0, 5])
    page.mouse.move(x, y)
    tip = page.locator(".lb-tip >> visible=true").first
    tip.wait_for(timeout=5000)
    assert "测试图像" in tip.inner_text()
    page.mouse.click(x, y)
    page.wait_for_selector(".pinned li")
    assert page.locator(".pinned li span").first.get_attribute("aria-label").startswith("测试图像")
    assert opened.complaints == []
    assert [u for u in opened.requests if not u.startswith(("data:", "blob:")) and u != chinese.as_uri()] == []
    opened.close()


def test_download_gives_the_csv(visit):
    with visit.page.expect_download() as waiting:
        visit.page.locator('a[download="demo-results.csv"]').click()
    assert Path(waiting.value.path()).read_text("utf-8").startswith("dataset,model")


def test_without_scripts_the_still_maps_stand(browser, file):
    opened = Visit(browser, file, java_script_enabled=False)
    assert opened.page.locator(".still svg >> visible=true").count() == 2
    assert opened.page.locator(".live >> visible=true").count() == 0
    assert opened.page.locator("button.copy >> visible=true").count() == 0
    opened.close()


def test_print_shows_still_maps_and_no_controls(visit):
    visit.page.emulate_media(media="print")
    assert visit.page.locator(".still svg >> visible=true").count() == 2
    for hidden in ("nav.contents", "button.copy", ".live"):
        assert visit.page.locator(f"{hidden} >> visible=true").count() == 0


def test_figures_have_names(visit):
    unnamed = visit.page.evaluate(
        """() => [...document.querySelectorAll('svg[role=img], img, [role=img]')].filter(e =>
        !(e.getAttribute('aria-label') || e.getAttribute('alt') || '').trim()).length"""
    )
    assert unnamed == 0


def test_hostile_names_run_nothing(browser, tmp_path):
    bad = ("<img src=x onerror=window.hacked=1>", "$$\\frac{1}{2}$$", "</script><script>window.hacked=1</script>")
    spec = Synthetic(classes=bad, models=("ae", "<svg onload=window.hacked=1>vae"), seeds=2, dataset="<b>d</b>")
    opened = Visit(browser, report.render([build(tmp_path / "bad", spec)]))
    opened.page.locator(".live").first.scroll_into_view_if_needed()
    x, y, _ = opened.page.evaluate(PLACE, [0, 3])
    opened.page.mouse.move(x, y)
    opened.page.locator(".lb-tip >> visible=true").first.wait_for(timeout=5000)
    opened.page.mouse.click(x, y)
    opened.page.wait_for_selector(".pinned li")
    assert opened.page.evaluate("() => window.hacked") is None
    assert opened.complaints == []
    assert [u for u in opened.requests if u.startswith("http")] == []
    opened.close()
