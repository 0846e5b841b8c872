"""The languages of the report: every text is in every catalog, fits its template, and reaches the page."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import get_args

import messages
import pytest
from synthetic_run import Synthetic, build

import latentbench as lb
from latentbench import records, report
from latentbench.cli.app import main
from latentbench.config import Run, make_run
from latentbench.records import Record
from latentbench.report import page
from latentbench.report.exports import console, tables
from latentbench.report.wording import language
from latentbench.report.wording.language import plural, recognised, say, speaking

OTHERS = [code for code in language.codes() if code != "en"]
CJK = "[\u3400-\u9fff]"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return build(tmp_path_factory.mktemp("runs") / "demo", Synthetic(seeds=3))


# --- the mechanism ---


def test_english_is_its_own_catalog():
    assert say("{n} of {of} seeds", n=2, of=3) == "2 of 3 seeds"
    assert say("braces {stay} where nothing is filled in") == "braces {stay} where nothing is filled in"
    assert plural("{n} seed", "{n} seeds", 1) == "1 seed"
    assert plural("{n} seed, {x}", "{n} seeds, {x}", 2, x="y") == "2 seeds, y"


def test_another_language_holds_within_its_block_and_in_its_thread():
    heard = []
    with speaking("zh"):
        other = threading.Thread(target=lambda: heard.append(say("Scores")))
        other.start()
        other.join()
        with speaking("en"):
            assert say("Scores") == "Scores"
        assert say("Scores") == "得分"
        assert plural("reads {label} for {n} frame", "reads {label} for {n} frames", 1, label="3") == "连续 1 帧读作 3"
        assert say("what no catalog holds: {x}", x=1) == "what no catalog holds: 1"
    assert heard == ["Scores"]
    with pytest.raises(RuntimeError), speaking("zh"):
        raise RuntimeError
    assert say("Scores") == "Scores"


def test_a_reason_is_known_with_its_numbers():
    reason = (
        "the decoder maps the ends of 317 of 500 paths to the same image (chord below 1% of the distance between two "
        "images): there is no path to measure"
    )
    assert recognised(reason) is None
    with speaking("zh"):
        assert "500 条路径中有 317 条" in recognised(reason)
        assert recognised("a plug-in's own reason") is None


def test_a_language_that_is_not_there_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match=r"lang: 'zh-CN' is no language .*did you mean 'zh'\? \(allowed: en, zh\)"):
        language.language("zh-CN")
    with pytest.raises(ValueError, match=r"lang: 'zh-cn' is not allowed: .*'en' or 'zh'; did you mean 'zh'\?"):
        make_run({"lang": "zh-cn"})


def test_a_text_translated_twice_is_refused(tmp_path, monkeypatch):
    (tmp_path / "xx.toml").write_text('[language]\ntag="xx"\nname="x"\n[a]\n"Run"="1"\n[b]\n"Run"="2"\n', "utf-8")
    monkeypatch.setattr(language, "FOLDER", tmp_path)
    with pytest.raises(ValueError, match=r"xx\.toml: \[b\] translates 'Run' a second time"):
        language.language("xx")


def test_the_command_line_knows_the_languages_there_are():
    assert get_args(Run.model_fields["lang"].annotation) == language.codes()


# --- the catalogs ---


@pytest.mark.parametrize("code", OTHERS)
def test_a_catalog_holds_every_text_and_no_other(code):
    held = language.language(code).sentences.keys()
    needed = messages.needed()
    assert sorted(needed - held) == [], f"missing; `python -m tests.messages {code}` prints the lines to fill in"
    assert sorted(held - needed) == [], "no longer said"


@pytest.mark.parametrize("code", OTHERS)
def test_a_translation_has_the_places_and_tags_of_its_template(code):
    for english, text in language.language(code).sentences.items():
        assert messages.places(english) == messages.places(text), english
        tags = [sorted(re.findall(r"</?\w+>", t)) for t in (english, text)]
        assert tags[0] == tags[1], english
        assert '"' not in text, f"{english}: it may stand in an attribute of the page"


def test_chinese_has_chinese_punctuation():
    for english, text in language.language("zh").sentences.items():
        assert not re.search(rf"{CJK}[,;:?!]|[,;:?!]{CJK}", text), text
        if english.endswith(".") and text and re.search(CJK, text):
            assert text.endswith(("。", "？", "}", "。</b>")), text


def test_collected_texts_are_those_of_the_sources():
    code = 'say("a {b}", b=say(x)); y = marked({"k": ("c", P("d"))}); plural("e", "f", 2); say(g.get("h"))'
    assert set(messages.in_code(code)) == {"a {b}", "c", "d", "f"}
    assert list(messages.in_template('{{ say("a") }}{{ told(b) }}{{ plural("c", "d", 1) }}')) == ["a", "d"]
    with pytest.raises(ValueError, match=r"use told"):
        list(messages.in_template("{{ say(row.split) }}"))


def test_fixed_reasons_are_in_the_sources():
    source = "".join(p.read_text("utf-8") for p in messages.PACKAGE.rglob("*.py") if p.parent != messages.REPORT)
    for reason in messages.REASONS:
        head = re.split(r"\{\d\}", reason.removeprefix("no judge: "))[0]
        assert head in source, reason


def test_the_page_script_says_only_what_it_is_given():
    script = (messages.REPORT / "page.js").read_text("utf-8")
    used = set(re.findall(r'say\((?:done \? )?"(\w+)"', script)) | set(
        re.findall(r'say\(done \? "\w+" : "(\w+)"', script)
    )
    assert used == page.SCRIPT_TEXTS.keys()


# --- what a reader gets ---


class Bracketed(Mapping[str, str]):
    """A language in which every text stands in brackets: what stands outside was never said."""

    def __getitem__(self, text: str) -> str:
        return f"⟦{text}⟧"

    def __contains__(self, text: object) -> bool:
        return True

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


class Prose(HTMLParser):
    """The text nodes of a page and the attributes that are read out."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.silent, self.found = 0, []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.silent += tag in ("script", "style", "code")
        self.found += [v for k, v in attrs if k in ("aria-label", "title", "alt") and v]

    def handle_endtag(self, tag):
        self.silent -= tag in ("script", "style", "code")

    def handle_data(self, data):
        if not self.silent and data.strip():
            self.found.append(data)


UNSAID = re.compile(r"[A-Za-z]{2,}(?: [A-Za-z]{2,})+")
"""Two words in a row."""


def outside(text: str) -> str:
    """A text without what stands in brackets, from the innermost outwards."""
    while "⟦" in text:
        text, count = re.subn(r"⟦[^⟦⟧]*⟧", "", text)
        if not count:
            return text.replace("⟦", "").replace("⟧", "")
    return text


@pytest.fixture
def bracketed(monkeypatch):
    token = language._spoken.set(language.Language("xx", "xx", "brackets", Bracketed()))
    yield
    language._spoken.reset(token)


def told_of(run: Path, study: str = "") -> list[Record]:
    """The records of a synthetic run; with the name of a study, of that study."""
    rows = records.read(run / "records.jsonl")
    if study:
        rows = [replace(r, detail={**r.detail, "study": {"name": study}}) if r.kind == "run" else r for r in rows]
        records.write(run / "records.jsonl", rows)
    return rows


@pytest.mark.parametrize("spec", [
    Synthetic(seeds=3), Synthetic(seeds=1), Synthetic(judge=False, labels=False, classes=(), seeds=2),
    Synthetic(models=("ae", "vae", "vae:kl=mean"), seeds=2),
])  # fmt: skip
def test_nothing_on_the_page_is_said_past_the_catalog(tmp_path, bracketed, spec):
    from latentbench.report import folder as folders

    run = build(tmp_path / "run", spec)
    rows = told_of(run, "why-mu-sigma")
    (loaded,) = folders.load([run])
    # Sentences with tags are several text nodes: the brackets of the whole page are taken out before it is parsed.
    text = page.html([loaded])
    text = re.sub(r"<(style|script)\b.*?</\1>", "", text, flags=re.S)
    found = Prose(outside(text)).found
    # The questions of the summary are cut from headlines, brackets and all.
    found += [outside(s) for s in tables.summary_md(rows).splitlines() if not s.startswith("**⟦")]
    headers, body = console.console_table(rows)
    found += [outside(cell) for row in (headers, *body) for cell in row]
    command = next(r for r in rows if r.kind == "run").detail["command"]
    recorded = (command, "Example CPU", "params depth")
    unsaid = {t.strip() for t in found if UNSAID.search(t) and not t.strip().startswith(recorded)}
    assert unsaid == set()


def test_a_chinese_page_is_chinese(folder, tmp_path):
    text = report.render([folder], tmp_path / "zh.html", "zh").read_text("utf-8")
    assert '<html lang="zh-CN">' in text
    headings = re.findall(r"<h[124][^>]*>(.*?)</h[124]>", text, re.S)
    assert headings
    assert all(re.search(CJK, h) or h == "mu 与 sigma" for h in headings)
    shown = " ".join(Prose(text).found)
    for word in ("解码连续性", "先验完备性", "后验", "评判器", "隐空间", "配对差", "置信区间"):
        assert word in shown
    assert json.loads(re.search(r'data-texts="([^"]*)"', text)[1].replace("&#34;", '"'))["copied"] == "已复制"


def test_numbers_are_the_same_in_every_language(folder, tmp_path):
    pages = [report.render([folder], tmp_path / f"{code}.html", code).read_text("utf-8") for code in language.codes()]
    scores = [re.findall(r'<span class="number"><b>([^<]*)</b>', text) for text in pages]
    assert scores[0]
    assert all(s == scores[0] for s in scores)
    before = (folder / "records.jsonl").read_bytes()
    csv = []
    for code in language.codes():
        report.write_tables(folder, code)
        csv.append((folder / "results.csv").read_bytes())
    assert csv[0] == csv[1]
    assert re.search(CJK, (folder / "summary.md").read_text("utf-8"))
    assert (folder / "records.jsonl").read_bytes() == before


def test_english_is_what_is_said_without_a_language(folder, tmp_path):
    plain = report.render([folder], tmp_path / "plain.html").read_bytes()
    assert report.render([folder], tmp_path / "en.html", "en").read_bytes() == plain
    report.render([folder], tmp_path / "zh.html", "zh")
    assert report.render([folder], tmp_path / "again.html").read_bytes() == plain


def test_a_run_is_rendered_again_in_the_language_it_was_asked_in(tmp_path):
    run = build(tmp_path / "run", Synthetic(seeds=1))
    rows = [replace(r, detail={**r.detail, "config": {**r.detail["config"], "lang": "zh"}}) if r.kind == "run" else r
            for r in records.read(run / "records.jsonl")]  # fmt: skip
    records.write(run / "records.jsonl", rows)
    assert 'lang="zh-CN"' in report.render([run]).read_text("utf-8")
    assert main(["report", str(run), "--lang", "en"]) == 0
    assert '<html lang="en">' in (run / "report.html").read_text("utf-8")
    gone = [replace(r, detail={**r.detail, "config": {"lang": "tlh"}}) if r.kind == "run" else r for r in rows]
    records.write(run / "records.jsonl", gone)
    assert '<html lang="en">' in report.render([run]).read_text("utf-8")


def test_report_on_the_command_line(folder, tmp_path, capsys):
    out = tmp_path / "zh.html"
    assert main(["report", str(folder), "--lang", "zh", "--out", str(out)]) == 0
    assert "zh-CN" in out.read_text("utf-8")
    capsys.readouterr()
    assert main(["report", str(folder), "--lang", "zn", "--out", str(tmp_path / "no.html")]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "lang: 'zn'" in said
    assert not (tmp_path / "no.html").exists()


def test_a_run_tells_its_verdict_in_the_language_asked_for(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = "run --models ae --dataset digits --seeds 1 --epochs 1 --metrics r2 --workers 1 --out out".split()
    assert main([*words, "--lang", "zh"]) == 0
    said = capsys.readouterr().out
    assert "有多大把握？" in said
    lines = [line for line in said.splitlines() if line.startswith(("模型", "ae"))]
    assert len(lines) == 2
    assert 'lang="zh-CN"' in Path("out/report.html").read_text("utf-8")
    assert main(words) == 0
    assert "How sure?" in capsys.readouterr().out
    assert '<html lang="en">' in Path("out/report.html").read_text("utf-8")


def test_evaluate_in_a_language(tmp_path):
    import numpy as np

    x = np.random.default_rng(0).random((24, 6, 6))
    result = lb.evaluate(lambda v: v.flatten(1), lambda z: z.reshape(-1, 1, 6, 6), x, metrics="mse", out=tmp_path / "mine", lang="zh")  # fmt: skip
    assert 'lang="zh-CN"' in result.report.read_text("utf-8")
    with pytest.raises(ValueError, match=r"lang: 'xx' is not allowed"):
        lb.evaluate(lambda v: v, lambda z: z, x, lang="xx")
