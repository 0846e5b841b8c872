"""The explorer in a real Chromium: what JavaScript decodes against what torch decodes, and what a reader can do."""

from __future__ import annotations

import base64
from dataclasses import replace

import numpy as np
import pytest
import torch
from synthetic_run import Synthetic, build
from test_explorer import MODULES, changed, encoding, normal, spread_out
from test_report_browser import CHROMIUM, LONG, OUTSIDE, Visit, browser  # noqa: F401
from torch import nn

from latentbench import records, report
from latentbench.measuring import artifacts
from latentbench.models.ae import Autoencoder
from latentbench.models.vae import VariationalAutoencoder
from latentbench.report.sections import explorer as shown
from latentbench.run_folder import ARTIFACTS
from latentbench.spaces.vector import Vector

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium found (looked for chromium and Chrome, and at $CHROMIUM)"),
]
STEP = 1 / 255


def explored(folder, models, x, **fields):
    """A made-up run whose explorers are those of these models, by name, on samples ``x``."""
    spec = Synthetic(
        seeds=2, models=tuple(models), without=frozenset(["explorer"]), points=len(x), shape=fields.pop("shape", tuple(x.shape[1:]))
    )  # fmt: skip
    build(folder, spec)
    rows = records.read(folder / "records.jsonl")
    for k, (name, model) in enumerate(models.items()):
        modules = [model] if isinstance(model, nn.Module) else []
        arrays, detail = artifacts.explorer(encoding(model, x, train=False, **fields), modules)
        base = replace(next(r for r in rows if r.metric == "samples" and r.model == name), detail={})
        rows.append(artifacts.write(arrays, detail, folder / ARTIFACTS, ARTIFACTS, base, "explorer", f"explorer-{k}"))
    records.write(folder / "records.jsonl", rows)
    return folder


class Every(nn.Module):
    """A decoder that goes through every activation there is."""

    def __init__(self) -> None:
        super().__init__()
        parts = [part for module in MODULES.values() for part in (nn.Linear(24, 24), module)]
        self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(64, 24))
        self.decoder = nn.Sequential(*parts, nn.Linear(24, 64), nn.Sigmoid(), nn.Unflatten(1, (1, 8, 8)))

    def encode(self, x):
        from latentbench.core import Posterior

        return Posterior(self.encoder(x))

    def decode(self, z):
        return self.decoder(z)


@pytest.fixture(scope="module")
def small():
    """An autoencoder and a VAE of digits' size, and one of every activation."""
    models = {"ae": Autoencoder((1, 8, 8), 8), "vae": VariationalAutoencoder((1, 8, 8), 8), "every": Every()}
    return {name: spread_out(model, 8) for name, model in models.items()}


@pytest.fixture(scope="module")
def large():
    """An autoencoder and a VAE of MNIST's size, and one that is too large."""
    shape = (1, 28, 28)
    models = {
        "ae": Autoencoder(shape, 16),
        "vae": VariationalAutoencoder(shape, 16),
        "wide": Autoencoder(shape, 16, width=700),
    }
    return {name: spread_out(model, 16) for name, model in models.items()}


@pytest.fixture(scope="module")
def file(tmp_path_factory, small):
    folder = explored(tmp_path_factory.mktemp("runs") / "small", small, normal(120, 1, 8, 8).sigmoid())
    one = {name: np.zeros((1, 8)) if name == "mean" else np.eye(8)[None] for name in ("mean", "root")}
    for name in ("ae", "vae"):
        changed(
            folder, name, lambda a: a | {"mixture_weight": np.array([0.3, 0.7]), "mixture_mean": np.array([[5.0] * 8, [-5.0] * 8]),
            "mixture_root": np.stack([0.01 * np.eye(8)] * 2), **{f"gaussian_{k}": v for k, v in one.items()}, "gaussian_weight": np.ones(1)},
        )  # fmt: skip
    return report.render([folder])


@pytest.fixture(scope="module")
def file_of_mnist_size(tmp_path_factory, large):
    return report.render([explored(tmp_path_factory.mktemp("runs") / "large", large, normal(100, 1, 28, 28).sigmoid())])


def opened(browser, file, **context):  # noqa: F811
    visit = Visit(browser, file, **context)
    if context.get("java_script_enabled", True):
        visit.page.wait_for_selector("#explorer[data-ready]", timeout=LONG)
    return visit


@pytest.fixture
def visit(browser, file):  # noqa: F811
    found = opened(browser, file)
    yield found
    found.close()


DECODED = """([model, codes]) => {
  const out = new Float32Array(codes.flatMap(z => latentbench.decode(model, z)));
  const bytes = new Uint8Array(out.buffer);
  let text = '';
  for (let k = 0; k < bytes.length; k += 8192) text += String.fromCharCode(...bytes.subarray(k, k + 8192));
  return btoa(text);
}"""


def apart(page, name, model, points) -> float:
    """The largest difference of a value, JavaScript against torch."""
    found = []
    for part in points.split(250):
        text = page.evaluate(DECODED, [name, part.tolist()])
        found.append(torch.from_numpy(np.frombuffer(base64.b64decode(text), "<f4").reshape(len(part), -1).copy()))
    with torch.no_grad():
        own = model.decode(points).flatten(1)
    assert own.std() > 0.02
    return float((torch.cat(found) - own).abs().max())


@pytest.mark.parametrize("name", ["ae", "vae"])
def test_a_thousand_codes_of_digits_size_decode_as_torch_decodes_them(visit, small, name):
    assert apart(visit.page, name, small[name], 2 * normal(1000, 8, word=name)) <= STEP
    assert visit.complaints == []


@pytest.mark.parametrize("name", ["ae", "vae"])
def test_a_thousand_codes_of_mnist_size_decode_as_torch_decodes_them(browser, file_of_mnist_size, large, name):  # noqa: F811
    found = opened(browser, file_of_mnist_size)
    assert apart(found.page, name, large[name], 2 * normal(1000, 16, word=name)) <= STEP
    found.close()


def test_every_activation_is_computed_as_torch_computes_it(visit, small):
    assert apart(visit.page, "every", small["every"], 2 * normal(1000, 24)) <= STEP


def test_a_page_of_mnist_size_stays_under_the_limit(file_of_mnist_size):
    assert file_of_mnist_size.stat().st_size < 5_000_000


PIXELS = """css => { const c = document.querySelector(css), copy = new OffscreenCanvas(c.width, c.height);
  const context = copy.getContext('2d', {willReadFrequently: true});
  context.drawImage(c, 0, 0);
  let text = '';  // a list of a million numbers takes half a minute on its way
  for (const value of context.getImageData(0, 0, c.width, c.height).data) { text += String.fromCharCode(value); }
  return btoa(text); }"""
LARGE = ".walk-large"


def pixels(page, css: str) -> bytes:
    """The red, green, blue and opacity of every pixel of a canvas."""
    return base64.b64decode(page.evaluate(PIXELS, css))


def image(page, css: str, *sizes: int) -> np.ndarray:
    """The same as an array of these sizes, of four numbers each."""
    return np.frombuffer(pixels(page, css), np.uint8).astype(int).reshape(*sizes, 4)


def settle(page) -> None:
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


def test_a_slider_moves_the_code_by_keyboard(visit):
    page = visit.page
    slider = page.locator(".walk-sliders input").first
    before, told = pixels(page, LARGE), slider.get_attribute("aria-valuetext")
    slider.focus()
    for _ in range(12):
        page.keyboard.press("ArrowRight")
    settle(page)
    assert pixels(page, LARGE) != before
    assert slider.get_attribute("aria-valuetext") != told
    assert page.locator(".walk-what").inner_text() == "Decoded: a code moved by hand"
    page.locator("[data-mean]").press("Enter")
    assert page.locator(".walk-what").inner_text() == "Decoded: the mean code"
    assert {o.inner_text() for o in page.locator(".walk-sliders output").all()} == {"0.00"}
    assert page.locator(".walk-heard").inner_text() == "Decoded: the mean code"


def test_sliders_stand_in_the_order_of_kl(visit):
    page = visit.page
    page.locator("[name=explorer-model]").nth(1).check()
    words = [s.inner_text() for s in page.locator(".walk-sliders small").all()]
    kl = [float(w.removeprefix("KL ")) for w in words]
    assert kl == sorted(kl, reverse=True)
    assert len(kl) > 1


def test_more_dimensions_than_eight_are_folded(visit):
    page = visit.page
    page.locator("[name=explorer-model]").nth(2).check()
    first, rest = page.locator(".walk-sliders").nth(0), page.locator(".walk-sliders").nth(1)
    assert first.locator("input").count() == 8
    assert page.locator(".walk-hand summary").inner_text() == f"{rest.locator('input').count()} more active dimensions"
    assert rest.locator("input").first.is_visible() is False
    page.locator(".walk-hand summary").press("Enter")
    assert rest.locator("input").first.is_visible()


def test_draws_of_each_sampler(visit):
    page = visit.page
    seen = set()
    for sampler, name in (("normal", "N(0, I)"), ("gaussian", "Fitted Gaussian"), ("mixture", "Fitted mixture")):
        page.locator(f"[data-draw={sampler}]").click()
        assert page.locator(".walk-what").inner_text() == f"Decoded: draw {len(seen) + 1} from {name}"
        seen.add(pixels(page, LARGE))
    assert len(seen) == 3
    # The mixture of the made-up run lies at +5 and -5 in every dimension, three parts to seven.
    ups = 0
    for _ in range(60):
        page.locator("[data-draw=mixture]").click()
        ups += page.locator(".walk-near").inner_text() != "" and page.evaluate(
            "() => [...document.querySelectorAll('.walk-sliders output')].some(o => o.textContent.startsWith('+'))"
        )
    assert 5 <= ups <= 35
    what = page.locator(".walk-what").inner_text()
    page.locator("[name=explorer-model]").nth(1).check()
    assert page.locator(".walk-what").inner_text() == what


def test_draws_of_the_prior_are_normal(visit):
    """Of 400 draws, told by the sliders: in each dimension their mean is near 0 and their width near 1."""
    found = visit.page.evaluate(
        """() => { const out = []; const m = JSON.parse(document.querySelector('.explorer-data').textContent).models[0];
        const b = document.querySelector('[data-draw=normal]');
        for (let k = 0; k < 400; k++) { b.click(); const row = [];
          document.querySelectorAll('.walk-sliders label').forEach((l, i) => { const d = m.order[i];
            row.push(m.mean[d] + m.spread[d] * Number(l.querySelector('output').textContent.replace('−', '-'))); });
          out.push(row); } return out; }"""
    )
    draws = np.array(found)
    assert np.abs(draws.mean(0)).max() < 0.25
    assert np.abs(draws.std(0) - 1).max() < 0.2
    assert np.abs(np.corrcoef(draws.T) - np.eye(draws.shape[1])).max() < 0.25


def test_the_way_from_one_image_to_another(visit):
    page = visit.page
    box = page.locator(".walk-end[data-end=b]")
    box.locator("input").fill("17")
    box.locator("input").press("Enter")
    assert "test image 17" in box.locator(".walk-which").inner_text()
    assert page.locator(".walk-t").input_value() == "1"
    assert pixels(page, LARGE) == pixels(page, ".walk-end[data-end=b] .walk-back")
    box.locator("[data-turn='1']").click()
    assert box.locator("input").input_value() == "18"
    assert page.locator(".walk-heard").inner_text().startswith("B: test image 18")
    page.locator(".walk-t").focus()
    page.keyboard.press("Home")
    settle(page)
    assert pixels(page, LARGE) == pixels(page, ".walk-end[data-end=a] .walk-back")
    for _ in range(50):
        page.keyboard.press("ArrowRight")
    settle(page)
    assert page.locator(".walk-what").inner_text() == "Decoded: 50 % of the way from A to B"

    # The frame in the middle of the strip is what stands there; the cross-fade's is the mean of the ends.
    def in_the_middle(css):
        return image(page, css, 8, 11, 8)[:, 5]

    ends = [image(page, f".walk-end[data-end={e}] .walk-back", 8, 8) for e in "ab"]
    assert (in_the_middle(".walk-strip") == image(page, LARGE, 8, 8)).all()
    assert np.abs(in_the_middle(".walk-stretch ~ .walk-strip") - sum(ends) / 2).max() <= 1.5
    bars = [float(b.get_attribute("height")) for b in page.locator(".walk-stretch rect").all()]
    assert len(bars) == 40
    ratio = float(page.locator(".walk-pace").inner_text().split(" is ")[1].split(" times")[0])
    assert ratio == pytest.approx(max(bars) / (sum(bars) / 40), abs=0.01)


def test_an_image_and_itself_have_no_way_between_them(visit):
    page = visit.page
    field = page.locator(".walk-end[data-end=b] input")
    field.fill(page.locator(".walk-end[data-end=a] input").input_value())
    field.press("Enter")
    assert page.locator(".walk-pace").inner_text() == "Nothing changes along this line."


def test_a_map_s_click_begins_at_its_image(visit):
    page = visit.page
    assert page.evaluate("() => latentbench.explore('vae', 33)") is True
    assert page.locator("[name=explorer-model]").nth(1).is_checked()
    assert page.locator(".walk-end[data-end=a] input").input_value() == "33"
    assert page.locator(".walk-what").inner_text().startswith("Decoded: test image 33")
    assert "0.00 radii away" in page.locator(".walk-near").inner_text()
    assert page.evaluate("() => latentbench.explore('vae', 10000)") is False
    assert page.evaluate("() => latentbench.explore('nobody', 3)") is False
    page.locator("[name=explorer-model]").nth(0).check()
    assert page.locator(".walk-end[data-end=a] input").input_value() == "33"


def test_a_decoder_that_is_too_large_is_a_grid(browser, file_of_mnist_size):  # noqa: F811
    found = opened(browser, file_of_mnist_size)
    page = found.page
    assert page.locator(".walk-why:visible").count() == 0
    page.locator("[name=explorer-model]").nth(2).check()
    assert "more than a page carries" in page.locator(".walk-why:visible").inner_text()
    assert page.locator(".walk-line").is_visible() is False
    assert page.locator("[data-draw]:visible").count() == 0
    assert page.locator(".walk-sliders input").count() == 2
    page.wait_for_function("() => document.querySelector('.walk-large').width === 28")
    before = pixels(page, LARGE)
    page.locator(".walk-sliders input").first.press("ArrowRight")
    settle(page)
    assert pixels(page, LARGE) != before
    assert page.locator(".walk-sliders output").first.inner_text() == "+0.40"
    assert page.evaluate("() => latentbench.decode('wide', [0])") is None
    assert page.evaluate("() => latentbench.explore('wide', 3)") is False
    page.locator("[name=explorer-model]").nth(0).check()
    assert page.locator(".walk-line").is_visible()
    assert found.complaints == []
    found.close()


def test_a_model_without_an_active_dimension_is_still_drawn_from(browser, tmp_path):  # noqa: F811
    folder = build(tmp_path / "run", Synthetic(seeds=2))
    fallen = {"order": np.zeros(0, int), "grid": np.zeros((1, 1, 8, 8), np.uint8)}
    changed(folder, "vae", lambda a: a | fallen, lambda d: d | {"dims": []})
    found = opened(browser, report.render([folder]))
    page = found.page
    page.locator("[name=explorer-model]").nth(1).check()
    assert page.locator(".walk-none").inner_text() == "No dimension is active, so none has a slider."
    page.locator("[data-draw=normal]").click()
    assert page.locator(".walk-what").inner_text() == "Decoded: draw 1 from N(0, I)"
    assert found.complaints == []
    found.close()


def test_vectors_are_bars(browser, tmp_path):  # noqa: F811
    model = VariationalAutoencoder((5,), 3).eval()
    names = tuple(f"column {k}" for k in range(5))
    folder = explored(tmp_path / "run", {"vae": model}, normal(40, 5), shape=(1, 8, 8), given_space=Vector((5,), names))
    found = opened(browser, report.render([folder]), color_scheme="dark")
    assert apart(found.page, "vae", model, normal(50, 3)) < 1e-3
    size = "() => { const c = document.querySelector('.walk-large'); return [c.width, c.height]; }"
    assert found.page.evaluate(size) == [640, 472]
    before = pixels(found.page, LARGE)
    found.page.emulate_media(color_scheme="light")
    settle(found.page)
    assert pixels(found.page, LARGE) != before
    assert found.complaints == []
    found.close()


def test_one_image_is_decoded_within_a_frame(browser, file_of_mnist_size):  # noqa: F811
    """Thirty pictures a second: frames in which a slider moves come no more than twice as far apart as empty ones."""
    found = opened(browser, file_of_mnist_size)
    found.page.locator("#explorer").scroll_into_view_if_needed()
    empty, moving = found.page.evaluate(
        """async () => {
        const slider = document.querySelector('.walk-sliders input');
        const run = async (move) => { const times = [];
          for (let k = 0; k < 60; k++) { if (move) { slider.value = -3 + k / 10; slider.dispatchEvent(new Event('input')); }
            times.push(await new Promise(requestAnimationFrame)); }
          const gaps = times.slice(1).map((t, k) => t - times[k]).sort((a, b) => a - b);
          return gaps[gaps.length >> 1]; };
        await run(true);
        const [empty, first, second] = [await run(false), await run(true), await run(true)];
        return [empty, Math.min(first, second)]; }"""
    )
    print(f"frames: {1000 / empty:.0f} a second empty, {1000 / moving:.0f} with a decoded image of 784 values")
    assert moving <= 2 * max(empty, 1000 / 60)
    found.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits(browser, file, scheme):  # noqa: F811
    found = opened(browser, file, color_scheme=scheme)
    for width in (1280, 768, 390, 320):
        found.page.set_viewport_size({"width": width, "height": 844})
        assert found.page.evaluate("() => document.documentElement.scrollWidth") <= width
        assert found.page.evaluate(OUTSIDE) == []
        if width == 1280:
            high, said = found.page.evaluate(
                "() => { const e = document.getElementById('explorer'); return [e.offsetHeight, e.textContent.split(/\\s+/).length]; }"
            )
            assert high <= 850
            assert said <= 350
    small_ones = found.page.evaluate(
        """() => [...document.querySelectorAll('#explorer button, #explorer input, #explorer summary')].filter(e => e.checkVisibility())
        .map(e => (e.type === 'radio' ? e.closest('label') : e).getBoundingClientRect()).filter(b => b.width < 24 || b.height < 24).length"""
    )
    assert small_ones == 0
    found.close()


def test_everything_has_a_name_and_nothing_is_asked_for(visit, file):
    unnamed = visit.page.evaluate(
        """() => [...document.querySelectorAll('#explorer input, #explorer canvas, #explorer svg[role=img], #explorer button')].filter(e =>
        !(e.getAttribute('aria-label') || e.textContent || e.closest('label')?.textContent || '').trim()).length"""
    )
    assert unnamed == 0
    assert [u for u in visit.requests if not u.startswith(("data:", "blob:")) and u != file.as_uri()] == []
    assert visit.complaints == []


def test_without_scripts_and_on_paper_still_pictures_stand(browser, file):  # noqa: F811
    found = opened(browser, file, java_script_enabled=False)
    assert found.page.locator("#explorer img:visible").count() == 3
    assert found.page.locator("#explorer .explorer").is_visible() is False
    found.close()
    found = opened(browser, file)
    assert found.page.locator("#explorer img:visible").count() == 0
    found.page.emulate_media(media="print")
    assert found.page.locator("#explorer img:visible").count() == 3
    assert found.page.locator("#explorer .explorer").is_visible() is False
    found.close()


def test_in_chinese(browser, file):  # noqa: F811
    found = opened(browser, report.render([file.parent], file.parent / "zh.html", "zh"))
    found.page.locator("[data-mean]").click()
    assert found.page.locator(".walk-what").inner_text() == "解码：平均编码"
    assert found.complaints == []
    found.close()


def test_the_script_knows_what_may_be_declared():
    from pathlib import Path

    from latentbench.artifact_schema import ACTIVATIONS

    text = (Path(shown.__file__).parent / "explorer.js").read_text("utf-8")
    table = text.split("const FUNCTIONS = {", 1)[1].split("};", 1)[0]
    known = [line.split(":")[0].strip() for line in table.splitlines() if ":" in line]
    assert tuple(known) == ACTIVATIONS
