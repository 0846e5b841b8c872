"""The site as it was built by `tox -e docs`: in the folder that LATENTBENCH_SITE names."""

from __future__ import annotations

import json
import os
import re
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from doc_blocks import HOME

pytestmark = pytest.mark.docs
SITE = Path(os.environ.get("LATENTBENCH_SITE", HOME / "build" / "docs" / "html"))


class Page(HTMLParser):
    """The anchors of a page, where its links lead, what it loads, its language."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.lang = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = {k: v or "" for k, v in attrs}
        self.anchors |= {named[k] for k in ("id", "name") if k in named}
        if tag == "html":
            self.lang = named.get("lang", "")
        elif tag == "a" and "href" in named:
            self.links.append(named["href"])
        elif tag == "link" and named.get("rel") not in ("index", "search", "next", "prev", "canonical"):
            self.loads.append(named.get("href", ""))
        elif tag in ("script", "img", "iframe", "source") and "src" in named:
            self.loads.append(named["src"])


@cache
def page(path: Path) -> Page:
    return Page(path.read_text("utf-8"))


def pages() -> list[Path]:
    found = [p for p in SITE.rglob("*.html") if "_static" not in p.parts and "_downloads" not in p.parts]
    assert len(found) > 100, f"no site in {SITE}: tox -e docs"
    return found


def test_every_link_within_the_site_leads_somewhere():
    broken = []
    for path in pages():
        for link in page(path).links + page(path).loads:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if (
                not target.exists()
                or not target.is_relative_to(SITE.resolve())
                or (parts.fragment and target.suffix == ".html" and unquote(parts.fragment) not in page(target).anchors)
            ):
                broken.append(f"{path.relative_to(SITE)}: {link}")
    assert sorted(set(broken)) == []


def test_nothing_is_fetched_from_elsewhere():
    """No script, style, font or picture of another host: the site is read without a network."""
    outside = {link for path in pages() for link in page(path).loads if urlsplit(link).netloc}
    assert outside == set()
    styles = [
        p for p in SITE.rglob("*.css") if re.search(r"(url\(|@import)\s*['\"]?(https?:)?//", p.read_text("utf-8"))
    ]
    assert styles == []


@cache
def index() -> dict:
    text = (SITE / "searchindex.js").read_text("utf-8")
    return json.loads(text[text.index("{") : text.rindex("}") + 1])


def test_the_search_finds_every_measure():
    """By its title: the first hit for its name is its own entry."""
    from latentbench import catalog

    titles = {title.lower() for title in index()["alltitles"]}
    assert [name for name in catalog.metrics() if name.lower() not in titles] == []


def test_the_search_finds_every_model_option_and_module():
    from latentbench import catalog
    from latentbench.config import Run, option_name

    titles = {title.lower() for title in index()["alltitles"]}
    assert [name for name in catalog.models() if name.lower() not in titles] == []
    objects = {f"{prefix}.{row[4]}".lstrip(".") for prefix, rows in index()["objects"].items() for row in rows}
    assert {"latentbench.api.run", "latentbench.core.Metric", "latentbench.records.Record"} <= objects
    words = (SITE / "generated" / "command-line.html").read_text("utf-8")
    assert [n for n in Run.model_fields if f"--{option_name(n).replace('_', '-')}" not in words] == []


def test_every_module_has_a_page():
    inner = [p for p in (HOME / "latentbench").rglob("*.py") if p.name != "__main__.py"]
    names = [".".join(p.relative_to(HOME).with_suffix("").parts).removesuffix(".__init__") for p in inner]
    assert [n for n in names if not (SITE / "api" / f"{n}.html").exists()] == []


def test_the_notebooks_were_executed_and_can_be_had():
    for source in (*(HOME / "docs" / "tutorials").glob("*.md"), *(HOME / "docs" / "zh").glob("*.md")):
        if "{code-cell}" not in (text := source.read_text("utf-8")):
            continue
        built = SITE / source.relative_to(HOME / "docs").with_suffix(".html")
        assert built.read_text("utf-8").count("cell_output") >= text.count("{code-cell}") // 2
        downloads = [link for link in page(built).links if link.endswith(f"{source.stem}.ipynb")]
        assert downloads, f"{source.name} offers no notebook"
        notebook = json.loads((built.parent / downloads[0]).read_text("utf-8"))
        assert sum(c["cell_type"] == "code" for c in notebook["cells"]) == text.count("```{code-cell}")


def test_the_chinese_pages_are_there():
    for name in ("generated/readme-zh", "zh/first-run"):
        assert re.search(r"[\u4e00-\u9fff]{8}", (SITE / f"{name}.html").read_text("utf-8"))


def test_every_page_says_its_language():
    said = {p.relative_to(SITE).with_suffix("").as_posix(): page(p).lang for p in pages()}
    chinese = {name for name, lang in said.items() if lang == "zh-CN"}
    assert chinese == {n for n in said if n.startswith("zh/")} | {"generated/readme-zh"}
    assert {said[name] for name in said.keys() - chinese} == {"en"}


# --- what makes the pages ----------------------------------------------------------------------------------------------


@pytest.fixture
def extensions(monkeypatch):
    monkeypatch.syspath_prepend(HOME / "docs" / "_ext")


def test_links_of_the_repository_lead_to_the_site(extensions):
    from repository_files import relinked

    text = "[a](docs/data.md#splits) [b](CONTRIBUTING.md) ![c](docs/report.png) [d](https://a.b/c.md) [e](LICENSE)"
    assert relinked(text, "README.zh-CN.md", "generated/readme-zh.md") == (
        "[a](../data.md#splits) [b](contributing.md) ![c](../report.png) [d](https://a.b/c.md) [e](../../LICENSE)"
    )
    assert relinked("[f](benchmarks) [g](benchmarks/none.md)", "README.md", "index.md") == "f g"
    assert relinked("[![p](docs/report.png)](README.md)", "README.zh-CN.md", "generated/readme-zh.md") == (
        "[![p](../report.png)](../index.md)"
    )
    assert (
        relinked("[s](../SECURITY.md) [t](ci.md)", "docs/data.md", "data.md") == "[s](generated/security.md) [t](ci.md)"
    )


def test_a_docstring_needs_no_escaping(extensions):
    """Bars, stars and underscores of a formula are text; marked words are markup; an indented block stands as typed."""
    from docutils.core import publish_doctree
    from house_docstrings import converted

    lines = [
        "E |mu_i - m|^2 * 2 of *all* ``x_*`` and f(*args, **kw).",
        "",
        "    a   |b|",
        "    c   *d*",
        "",
        "- one",
        "  more",
        "- two_",
    ]
    tree = publish_doctree("\n".join(converted(lines)), settings_overrides={"report_level": 1, "halt_level": 2})
    assert "E |mu_i - m|^2 * 2 of all x_* and f(*args, **kw)." in tree.astext()
    assert "a   |b|\nc   *d*" in tree.astext()
    kinds = [node.tagname for node in tree.findall()]
    assert kinds.count("emphasis") == kinds.count("literal") == kinds.count("literal_block") == 1
    assert kinds.count("list_item") == 2


def test_what_a_record_may_hold_is_said(extensions):
    from generated_pages import described

    from latentbench.files import record_types as t

    assert described(t.one_of("a", "b")) == "one of `a`, `b`"
    assert described(t.optional(t.several(t.flag))) == "a list, each of it true or false, or null"
    assert [name for name, check in (t.FIELDS | t.DETAIL | t.RUN).items() if not described(check)] == []


def test_what_a_cell_printed_stands_once_in_a_notebook(extensions):
    from downloaded_notebooks import joined

    def piece(text, name="stdout"):
        return {"output_type": "stream", "name": name, "text": text}

    picture = {"output_type": "display_data", "data": {}}
    assert joined([piece("a\n"), picture, piece("b\n"), piece("c", "stderr")]) == [
        piece("a\nb\n"),
        picture,
        piece("c", "stderr"),
    ]
    assert joined([piece("a\nb\nc\n"), piece("b\n"), piece("c\n")]) == [piece("a\nb\nc\n")]
    assert joined([piece("one")]) == [piece("one")]
