"""The languages of the report: every text is in every catalog, fits its template, and reaches the page."""

from __future__ import annotations

import ast
import gettext
import json
import os
import re
import string
import threading
from dataclasses import replace
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from types import MappingProxyType
from typing import get_args

import extraction
import jinja2
import pytest
from babel.messages import Catalog
from jinja2 import nodes
from synthetic_run import Synthetic, build

import latentbench as lb
from latentbench import config, records, report
from latentbench.cli.app import main
from latentbench.config import Run, make_run
from latentbench.records import Reason, Record
from latentbench.report import page
from latentbench.report.exports import console, tables
from latentbench.report.templates import beside
from latentbench.report.wording import language, words
from latentbench.report.wording.language import plural, recognised, say, speaking
from latentbench.stats.cells import summarise

OTHERS = [code for code in language.codes() if code != "en"]
CJK = "[\u3400-\u9fff]"
REPORT = Path(report.__file__).parent
complete = pytest.mark.skipif("LATENTBENCH_LANGUAGES" not in os.environ, reason="checked by `tox -e languages`")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return build(tmp_path_factory.mktemp("runs") / "demo", Synthetic(seeds=3))


# --- the mechanism ---


def test_english_is_its_own_catalog():
    assert say("{n} of {of} seeds", n=2, of=3) == "2 of 3 seeds"
    assert say("braces {stay} where nothing is filled in") == "braces {stay} where nothing is filled in"
    assert plural("{n} seed", "{n} seeds", 1) == "1 seed"
    assert plural("{n} seed, {x}", "{n} seeds, {x}", 2, x="y") == "2 seeds, y"
    assert (say(""), say(" ")) == ("", " ")


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
        assert (say(""), say(" ")) == ("", "")
    assert heard == ["Scores"]
    with pytest.raises(RuntimeError), speaking("zh"):
        raise RuntimeError
    assert say("Scores") == "Scores"


POLISH = r"""
msgid ""
msgstr ""
"Language: pl\n"
"X-Language-Name: polski\n"
"Content-Type: text/plain; charset=utf-8\n"
"Plural-Forms: nplurals=3; plural=(n==1 ? 0 : n%10>=2 && n%10<=4 && (n%100<10 || n%100>=20) ? 1 : 2);\n"

msgid "{n} seed"
msgid_plural "{n} seeds"
msgstr[0] "{n} ziarno"
msgstr[1] "{n} ziarna"
msgstr[2] "{n} ziaren"

msgid "{n} hole"
msgid_plural "{n} holes"
msgstr[0] "{n} dziura"
msgstr[1] ""
msgstr[2] ""

#, fuzzy
msgid "Scores"
msgstr "Wyniki?"

msgctxt "undefined.no_path"
msgid "no path: {n} of {of} ends are one ({share:.0%})"
msgstr "{share:.1%}, {n} z {of}"
"""


@pytest.fixture
def polish(tmp_path, monkeypatch):
    """A folder in which a language has one file."""
    (tmp_path / "pl.po").write_text(POLISH, "utf-8")
    for module in (config, language):
        monkeypatch.setattr(module, "LANGUAGES", tmp_path)
    language.language.cache_clear()
    yield tmp_path / "pl.po"
    language.language.cache_clear()


def test_a_language_is_one_file(polish):
    assert language.codes() == ("en", "pl")
    found = language.language("pl")
    assert (found.code, found.tag, found.name) == ("pl", "pl", "polski")
    with speaking("pl"):
        assert [plural("{n} seed", "{n} seeds", n) for n in (1, 2, 5, 12, 22)] == [
            "1 ziarno", "2 ziarna", "5 ziaren", "12 ziaren", "22 ziarna",
        ]  # fmt: skip


def test_what_is_half_translated_is_said_in_english(polish):
    with speaking("pl"):
        assert [plural("{n} hole", "{n} holes", n) for n in (1, 2)] == ["1 hole", "2 holes"]
        assert say("Scores") == "Scores"
        assert say("a  b") == "a  b"


def test_a_reason_is_said_from_its_code_and_values(polish):
    reason = Reason.of("undefined.no_path", "put better since: {n} of {of} ({share})", n=3, of=4, share=0.754)
    other = Reason.of("plug_in.own", "a plug-in's own reason, {n}", n=1)
    assert words.reason(reason) == "put better since: 3 of 4 (0.754)"
    with speaking("pl"):
        assert words.reason(reason) == "75.4%, 3 z 4"
        assert words.reason(Reason.joined([reason, other])) == "75.4%, 3 z 4; a plug-in's own reason, 1"
        assert words.reason(Reason("3 of 4", "undefined.no_path", {"n": 3})) == "3 of 4"
        assert words.reason("") == "no reason recorded"


def test_a_reason_of_a_record_made_before_there_were_codes_is_recognised(polish):
    old = "no path: 3 of 4 ends are one (75%)"
    assert recognised(old) is None
    with speaking("pl"):
        assert recognised(old) == "75%, 3 z 4"
        assert words.reason(f"needs labels; {old}") == "needs labels; 75%, 3 z 4"
        assert recognised("no path: 3 of all ends (75%)") is None


def test_a_cell_says_why_each_of_its_seeds_has_no_value(polish):
    template = "no path: {n} of {of} ends are one ({share:.0%})"
    rows = [
        Record(model="m", metric="x", seed=n, status="skipped",
               reason=Reason.of("undefined.no_path", template, n=n, of=4, share=n / 4))
        for n in (1, 2)
    ]  # fmt: skip
    (cell,) = summarise(rows)
    assert cell.reason == "no path: 1 of 4 ends are one (25%); no path: 2 of 4 ends are one (50%)"
    with speaking("pl"):
        assert words.reason(cell.reason) == "25.0%, 1 z 4; 50.0%, 2 z 4"


def test_chinese_knows_the_reasons_of_old_records():
    reason = (
        "the decoder maps the ends of 317 of 500 paths to the same image (chord below 1% of the distance between two "
        "images): there is no path to measure"
    )
    with speaking("zh"):
        assert (
            recognised(reason)
            == "500 条路径中有 317 条的两端被解码成同一幅图像（弦长低于两幅图像距离的 1%）：没有路径可测"
        )
        junk = "the judge's self-check failed: it passes 6.2% of gaussian_noise (at most 5%)"
        assert recognised(junk) == "评判器未通过自检：它接受 6.2% 的高斯噪声（至多允许 5%）"
        assert words.reason("needs judge; the dataset has no labels") == "需要评判器；数据集没有标签"


def test_a_language_that_is_not_there_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match=r"lang: 'zh-CN' is no language .*did you mean 'zh'\? \(allowed: en, zh\)"):
        language.language("zh-CN")
    with pytest.raises(ValueError, match=r"lang: 'zh-cn' is not allowed: .*'en' or 'zh'; did you mean 'zh'\?"):
        make_run({"lang": "zh-cn"})


def test_a_broken_catalog_is_refused(polish):
    polish.write_text(POLISH.replace('"X-Language-Name: polski\\n"\n', ""), "utf-8")
    with pytest.raises(ValueError, match=r"languages/pl\.po: its header needs"):
        language.language("pl")
    polish.write_text(POLISH + "\nwhat is this\n", "utf-8")
    with pytest.raises(ValueError, match=r"languages/pl\.po is no gettext catalog"):
        language.language("pl")


def test_the_command_line_knows_the_languages_there_are():
    assert get_args(Run.model_fields["lang"].annotation) == language.codes()


# --- the catalogs ---


@pytest.fixture(scope="module", params=OTHERS)
def catalog(request) -> Catalog:
    return language.parse(language.LANGUAGES / f"{request.param}.po")


def forms(message) -> list[tuple[str, str]]:
    """Each translation of a message with the English that it is of."""
    if isinstance(message.id, str):
        return [(message.id, message.string)]
    return [(message.id[1], text) for text in message.string]


def places(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


def translations(catalog: Catalog) -> list[tuple[str, str]]:
    return [pair for m in catalog if m.id and language.translated(m) for pair in forms(m)]


def test_a_translation_has_the_places_and_tags_of_its_template(catalog):
    pairs = translations(catalog)
    assert pairs
    for english, text in pairs:
        assert places(english) == places(text), english
        tags = [sorted(re.findall(r"</?\w+>", t)) for t in (english, text)]
        assert tags[0] == tags[1], english
        assert '"' not in text, f"{english}: it may stand in an attribute of the page"


def test_a_catalog_has_every_plural_form_and_no_text_twice(catalog):
    (path,) = (p for p in language.LANGUAGES.glob("*.po") if p.stem == str(catalog.locale.language))
    assert len(re.findall(r"^msgid ", path.read_text("utf-8"), re.MULTILINE)) == len(catalog) + 1
    for message in catalog:
        if message.pluralizable:
            assert len(message.string) == catalog.num_plurals, message.id


def test_chinese_has_chinese_punctuation():
    for english, text in translations(language.parse(language.LANGUAGES / "zh.po")):
        assert not re.search(rf"{CJK}[,;:?!]|[,;:?!]{CJK}", text), text
        if english.endswith(".") and re.search(CJK, text):
            assert text.endswith(("。", "？", "}", "。</b>")), text


@complete
@pytest.mark.parametrize("code", extraction.COMPLETE)
def test_a_complete_catalog_holds_every_text_and_no_other(code):
    missing, stale = extraction.lacking(language.parse(language.LANGUAGES / f"{code}.po"), extraction.needed())
    assert [m.id for m in missing if m.id] == [], "missing; `python tests/extraction.py` prints the entries to fill in"
    assert stale == [], "no longer said"


@complete
def test_what_metrics_leave_undefined_has_a_code():
    for path in (extraction.ROOT / "latentbench").rglob("*.py"):
        for call in (n for n in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(n, ast.Call)):
            if getattr(call.func, "id", "") == "Undefined" and isinstance(call.args[0], ast.Constant | ast.JoinedStr):
                assert len(call.args) == 2, f"{path.name}, line {call.lineno}: Undefined(text, code, **values)"


def test_extracted_texts_are_those_of_the_sources():
    code = b"""
say("a {b}", b=say(x)); y = marked({"k": ("c", P("d"))}); w.plural("e", "f", 2); say(g.get("h")); say("i" if j else "k")
raise Undefined("l {m}", "undefined.l", m=1); raise Undefined(e.lack("train")); Reason.of("n.o", "p"); Diverged("q", "r {s}", s=2)
"""
    found = [(name, texts) for _, name, texts, _ in extraction.in_code(BytesIO(code), (), (), {})]
    assert sorted(found, key=str) == sorted([
        ("say", "a {b}"), ("say", "c"), ("say", "d"), ("plural", ("e", "f")), ("say", "i"), ("say", "k"),
        ("reason", ("undefined.l", "l {m}")), ("reason", ("n.o", "p")), ("reason", ("q", "r {s}")),
    ], key=str)  # fmt: skip


def test_babel_finds_texts_of_every_kind():
    found = extraction.texts(extraction.needed())
    assert {(None, "Scores"), (None, "In four sentences"), (None, "mean squared error of the decoded posterior mean, per pixel"),
            (None, ("reads {label} for {n} frame", "reads {label} for {n} frames")), ("needs.labels", "needs labels")} <= found.keys()  # fmt: skip
    codes = [context for context, _ in found if context]
    assert sorted(codes) == sorted(set(codes)), "a code stands for one reason"


def test_what_a_catalog_lacks_is_what_it_does_not_translate():
    asked, held = Catalog(), Catalog()
    for text in ("both", "empty", ("one", "many")):
        asked.add(text, None)
    asked.add("same code", None, context="x.y")
    held.add("both", "beide")
    held.add("empty", "")
    held.add(("one", "many"), ("eins", ""))
    held.add("gone", "fort")
    missing, stale = extraction.lacking(held, asked)
    assert set(extraction.texts(missing)) == {(None, "empty"), (None, ("one", "many")), ("x.y", "same code")}
    assert stale == ["gone"]


def test_templates_say_only_what_stands_in_them():
    """The answer to any other text would not be escaped: that one is given to ``translation``."""
    for path in REPORT.rglob("*.jinja"):
        for call in jinja2.Environment().parse(path.read_text("utf-8")).find_all(nodes.Call):
            texts = call.args[: {"say": 1, "plural": 2}.get(getattr(call.node, "name", ""), 0)]
            assert all(isinstance(t, nodes.Const) for t in texts), f"{path.name}, line {call.lineno}"


def test_scripts_say_only_what_their_sections_give_them():
    every = [name for section in page.SECTIONS for name in section.texts]
    assert len(every) == len(set(every))
    for section in page.SECTIONS:
        script = "".join(beside(section.template, "js"))
        assert set(re.findall(r'say\((?:\w+ \? )?"(\w+)"', script)) <= section.texts.keys(), section.id
        assert [name for name in section.texts if f'"{name}"' not in script] == [], section.id
    assert not re.search(r"\bsay\(", (REPORT / "page.js").read_text("utf-8"))


# --- what a reader gets ---


class Bracketed(gettext.NullTranslations):
    """A language in which every text stands in brackets: what stands outside was never said."""

    def gettext(self, message: str) -> str:
        return f"⟦{message}⟧"

    def ngettext(self, msgid1: str, msgid2: str, n: int) -> str:
        return f"⟦{msgid2}⟧"


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
    token = language._spoken.set(language.Language("xx", "xx", "brackets", " ", Bracketed(), MappingProxyType({}), ()))
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
    shown = " ".join(Prose(text).found)
    for word in ("解码连续性", "先验完备性", "后验", "评判器", "隐空间", "按种子配对", "置信区间"):
        assert word in shown
    assert json.loads(re.search(r'data-texts="([^"]*)"', text)[1].replace("&#34;", '"'))["copied"] == "已复制"


@complete
def test_every_heading_of_a_chinese_page_is_chinese(folder, tmp_path):
    text = report.render([folder], tmp_path / "zh.html", "zh").read_text("utf-8")
    headings = re.findall(r"<h[124][^>]*>(.*?)</h[124]>", text, re.S)
    assert headings
    assert all(re.search(CJK, h) or h == "mu 与 sigma" for h in headings)


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
    assert len(lines) == 4  # a row of answers and a row of scores, each under its header
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
