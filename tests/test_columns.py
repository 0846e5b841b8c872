"""Columns of vectors and series on the page, and sentences that speak of what was measured."""

from __future__ import annotations

import html
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from fakes import fake_encoding
from synthetic_run import Synthetic, build

from latentbench import report
from latentbench.core import Undefined
from latentbench.measuring import artifacts
from latentbench.measuring.columns import LEVELS, PAIRS, columns, distance, quantiles
from latentbench.records import Record
from latentbench.report.wording import subject, words
from latentbench.report.wording.language import plural, say, speaking
from latentbench.run_folder import ARTIFACTS, RunFiles
from latentbench.spaces.known import space_of
from latentbench.spaces.space import Scale
from latentbench.spaces.vector import Vector

NAMES = (*(f"column {k}" for k in range(15)), "<b>&")
SPACE = Vector((16,), columns=NAMES, scale=Scale((10.0,) * 16, (2.0,) * 16))


# what is measured


def test_quantiles_by_column():
    e = fake_encoding(space=SPACE)
    arrays, detail = columns(e)
    known = np.quantile(e.x.double().numpy(), LEVELS, axis=0).T
    np.testing.assert_allclose(arrays["real"].numpy(), known, rtol=1e-6)
    np.testing.assert_allclose(arrays["raw"].numpy(), known[:, [0, -1]] * 2 + 10, rtol=1e-6)
    np.testing.assert_allclose(
        arrays["reconstructions"].numpy(), np.quantile(e.x_hat.double().numpy(), LEVELS, axis=0).T, rtol=1e-6
    )
    assert detail == {"columns": list(NAMES), "of": 16, "levels": list(LEVELS)}
    assert {"normal", "gaussian", "mixture"} <= arrays.keys()
    apart = torch.cdist(arrays["draws"].double(), e.train.x.double())
    torch.testing.assert_close(apart.amin(1), arrays["distance"], atol=1e-5, rtol=1e-4)
    assert torch.equal(arrays["nearest"], e.train.x[apart.argmin(1)])
    assert len(arrays["draws"]) == PAIRS


def test_channels_are_the_columns_of_series_and_images_have_none():
    e = fake_encoding(space=space_of((8, 2)))
    arrays, detail = columns(e)
    assert arrays["real"].shape == (2, 5)
    torch.testing.assert_close(arrays["real"], quantiles(e.x.reshape(-1, 2)))
    assert detail["columns"] == ["1", "2"]
    with pytest.raises(Undefined, match="the samples have no columns"):
        columns(fake_encoding())


def test_of_many_columns_those_are_kept_that_come_back_worst(monkeypatch):
    monkeypatch.setattr("latentbench.measuring.columns.MOST", 3)
    e = fake_encoding(space=SPACE)
    worst = distance(quantiles(e.x), quantiles(e.x_hat)).argsort(descending=True)[:3].sort().values
    arrays, detail = columns(e)
    assert torch.equal(arrays["index"], worst)
    assert detail["columns"] == [NAMES[k] for k in worst]
    assert detail["of"] == 16


# what the page makes of it


def run_of_vectors(folder, change=lambda arrays: arrays, space="vector"):
    build(folder, Synthetic(seeds=2, without=frozenset({"map", "atlas"})))
    rows = [
        replace(r, detail={**r.detail, "dataset": {**r.detail["dataset"], "space": space}}) if r.kind == "run" else r
        for r in RunFiles(folder).read_records("test")
    ]
    arrays, detail = artifacts.columns(fake_encoding(space=SPACE))
    dataset = next(r.dataset for r in rows if r.dataset)
    row = Record(dataset=dataset, model="ae", seed=0, split="test", run=rows[0].run)
    written = artifacts.write(change(arrays), detail, folder / ARTIFACTS, ARTIFACTS, row, "columns", "columns-ae")
    RunFiles(folder).write_records([*rows, written])
    return folder


def page(folder, lang="en"):
    return report.render([folder], folder / f"{lang}.html", lang).read_text("utf-8")


def section(text, name):
    (found,) = re.findall(rf'<section id="{name}">.*?</section>', text, re.DOTALL)
    return found


def test_a_page_about_vectors_has_their_columns_and_never_calls_them_images(tmp_path):
    text = page(run_of_vectors(tmp_path / "run"))
    shown = section(text, "columns")
    assert shown.count('class="plot"') == 1
    assert shown.count("<img") == 2 * PAIRS
    assert "&lt;b&gt;&amp;" in shown
    assert "<b>&</b>" not in shown
    for name in NAMES[:15]:
        assert name in shown
    low, high = (words.tidy(float(v)) for v in artifacts.columns(fake_encoding(space=SPACE))[0]["raw"][0])
    assert f"{low} to {high}" in shown
    prose = html.unescape(re.sub(r"<(script|style).*?</\1>|<[^>]+>", " ", text, flags=re.DOTALL))
    told = re.findall(r".{30}\b(?:images?|pixels?)\b.{30}", prose)
    # Names of parameters are no prose.
    assert not [t for t in told if not re.search(r"images \d", t)]
    assert "vectors" in prose


def test_the_same_page_in_chinese(tmp_path):
    text = page(run_of_vectors(tmp_path / "run"), "zh")
    prose = html.unescape(re.sub(r"<(script|style).*?</\1>|<[^>]+>", " ", text, flags=re.DOTALL))
    assert "图像" not in prose
    assert "像素" not in prose
    assert "向量" in prose
    assert "幅" not in prose


def test_a_page_about_images_speaks_of_them_and_has_no_columns(tmp_path):
    build(tmp_path / "run", Synthetic(seeds=2, without=frozenset({"map", "atlas"})))
    text = page(tmp_path / "run")
    assert 'id="columns"' not in text
    assert "held-out images" in text


def test_arrays_that_do_not_fit_are_said(tmp_path):
    cut = lambda arrays: {**arrays, "normal": arrays["normal"][:3]}  # noqa: E731
    assert "do not fit their names" in section(page(run_of_vectors(tmp_path / "run", cut)), "columns")


# what is spoken of


def test_nouns_are_put_in_place_of_images_but_not_in_what_fills_a_sentence():
    with subject.about("vector"):
        assert say("An image of {model}: {n} images", model="my image", n=3) == "A vector of my image: 3 vectors"
        assert say("<b class='image'>Images</b> in pixels") == "<b class='image'>Vectors</b> in values"
        assert plural("{n} image", "{n} images", 2) == "2 vectors"
        assert words.junk("columns") == "vectors whose columns each come from another"
        assert words.junk("noise") == "uniform noise"
        assert words.reference("floor:shuffle") == "shuffled columns"
    assert say("{n} images", n=1) == "1 images"
    assert words.reference("floor:shuffle") == "shuffled pixels"
    with speaking("zh"), subject.about("series"):
        assert say("Walking between two images") == "在两个序列之间行走"


@pytest.mark.parametrize(
    ("spaces", "told"),
    [
        ((), "image"),
        ((None,), "image"),
        (("vector",), "vector"),
        (("vector", "vector"), "vector"),
        (("vector", None), "sample"),
    ],
)
def test_runs_of_several_spaces_speak_of_samples(spaces, told):
    details = [{"dataset": {"space": s} if s else {}} for s in spaces]
    assert subject.of_data(details) == told


def test_a_catalog_whose_nouns_cannot_be_read_is_refused():
    assert subject.rules('"X-Nouns-vector: a => b ; c => d\\n"\n')["vector"][1][1] == "d"
    with pytest.raises(ValueError, match="X-Nouns-vector: expected PATTERN => TEXT"):
        subject.rules('"X-Nouns-vector: nothing\\n"\n')
