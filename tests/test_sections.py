"""The page is its sections: found in their package, put in order, each printed by its own template piece."""

from __future__ import annotations

import html
import importlib
import re
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from markupsafe import Markup
from synthetic_run import Synthetic, build

from latentbench.report import folder as folders
from latentbench.report import page, page_view, sections, templates
from latentbench.report.columns import columns
from latentbench.report.section import Section, discover
from latentbench.report.sections import scores
from latentbench.stats.findings.table import claims_together
from latentbench.stats.findings.table import tables as measured

PIECES = frozenset(path.name for path in Path(sections.__file__).parent.glob("*.jinja"))
BARE = frozenset(["data", "map", "strips", "samples", "posterior", "reconstructions", "atlas"])
ECHO = """
from latentbench.report.section import Section


def context(view):
    return {"labels": [column.label for column in view.columns], "hostile": "<script>alert(1)</script>"}


SECTION = Section("echo", "Echo & co", "echo.html.jinja", context, order=350)
"""
ECHO_PIECE = """<section id="echo"><h2>{{ say("Echo") }}</h2>{{ labels|join(";") }} {{ hostile }}</section>"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return folders.load([build(tmp_path_factory.mktemp("runs") / "demo", Synthetic(seeds=2, without=BARE))])


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """A second folder of the package of sections."""
    monkeypatch.setattr(sections, "__path__", [*sections.__path__, str(tmp_path)])
    yield tmp_path
    for file in tmp_path.glob("*.py"):
        sys.modules.pop(f"{sections.__name__}.{file.stem}", None)
        vars(sections).pop(file.stem, None)


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of modules that are written from the given sources."""

    def made(**sources: str) -> ModuleType:
        (tmp_path / "some_sections").mkdir()
        (tmp_path / "some_sections" / "__init__.py").touch()
        for name, source in sources.items():
            (tmp_path / "some_sections" / f"{name}.py").write_text(source)
        monkeypatch.syspath_prepend(tmp_path)
        return importlib.import_module("some_sections")

    yield made
    for name in [name for name in sys.modules if name.partition(".")[0] == "some_sections"]:
        del sys.modules[name]


def declared(id_: str, order: int = 1, within: str = "") -> str:
    head = "from latentbench.report.section import Section\n"
    return f'{head}S = Section("{id_}", "", "x", lambda view: None, order={order}, within="{within}")\n'


def links(text: str) -> list[str]:
    """The targets of the navigation."""
    nav = text.split('<nav class="contents"', 1)[1].split("</nav>", 1)[0]
    return re.findall(r'<a href="#([\w-]+)">', nav)


def test_every_section_has_a_piece_of_its_own_and_every_piece_a_section():
    assert sorted(s.template for s in page.SECTIONS) == sorted(PIECES)


def test_a_piece_stands_beside_the_module_of_the_same_name():
    modules = {f"{Path(p).stem}.html.jinja" for p in Path(sections.__file__).parent.glob("*.py")}
    assert modules - {"__init__.html.jinja"} == PIECES


def test_the_order_of_the_page():
    orders = [s.order for s in page.SECTIONS]
    assert orders == sorted(orders)
    assert len(set(orders)) == len(orders)
    assert [s.id for s in page.SECTIONS][:4] == ["story", "verdict", "differences", "samples"]


def test_the_navigation_is_made_of_the_sections_that_are_shown(runs):
    text = page.html(runs)
    assert links(text) == [s.id for s in page.SECTIONS if s.title and s.id not in ("story", "columns", "differences")]
    ids = re.findall(r' id="([^"]+)"', text)
    assert [i for i in ids if i in links(text)] == links(text)


def test_a_section_is_added_by_two_files(runs, elsewhere, monkeypatch):
    before = page.html(runs)
    (elsewhere / "echo.py").write_text(ECHO)
    (elsewhere / "echo.html.jinja").write_text(ECHO_PIECE)
    monkeypatch.setattr(page, "SECTIONS", discover(sections))
    text = page.html(runs)
    piece = text[text.index('<section id="echo">') :].partition("</section>")[0]
    assert "ae;vae" in piece
    assert "<script>" not in piece
    assert "alert(1)" in piece
    assert '<li><a href="#echo">Echo &amp; co</a></li>' in text
    assert text.index('id="scores"') < text.index('id="echo"') < text.index('id="maps"')
    assert links(text) == [*(shown := links(before))[:3], "echo", *shown[3:]]
    # All else is as before.
    rest = text.replace('<li><a href="#echo">Echo &amp; co</a></li>', "").replace(piece + "</section>", "")
    assert re.sub(r"\s+", " ", rest) == re.sub(r"\s+", " ", before)


def test_what_has_nothing_to_show_is_neither_printed_nor_linked(runs, elsewhere, monkeypatch):
    (elsewhere / "part.html.jinja").write_text("<p>{{ label }}</p>{% for piece in inner %}{{ piece }}{% endfor %}")
    parts = (
        Section("none", "None", "part.html.jinja", lambda view: None, 1),
        Section("lost", "", "part.html.jinja", lambda view: {"label": "lost"}, 2, within="none"),
        Section("outer", "Outer", "part.html.jinja", lambda view: {"label": "outer"}, 3),
        Section("second", "Second", "part.html.jinja", lambda view: {"label": "second"}, 5, within="outer"),
        Section("first", "", "part.html.jinja", lambda view: {"label": "first"}, 4, within="outer"),
    )
    monkeypatch.setattr(page, "SECTIONS", tuple(sorted(parts, key=lambda s: s.order)))
    text = page.html(runs)
    assert "<p>outer</p><p>first</p><p>second</p>" in text
    assert "lost" not in text
    assert links(text) == ["outer", "second"]


def test_styles_and_scripts_of_a_section_stand_in_head_and_foot(runs, elsewhere, monkeypatch):
    (elsewhere / "part.html.jinja").write_text('<p id="part">{{ label }}</p>')
    part = Section(
        "part", "", "part.html.jinja", lambda view: {"label": "x"}, 1,
        styles=lambda context: [Markup(f"#{context['label']}{{}}")],
        scripts=lambda context: [Markup(f"'{context['label']}'")],
    )  # fmt: skip
    monkeypatch.setattr(page, "SECTIONS", (part,))
    text = page.html(runs)
    assert "<style>#x{}</style>" in text.partition("</head>")[0]
    assert "<script>'x'</script>" in text.partition("</footer>")[2]


def test_whose_scripts_a_page_holds_stands_in_its_foot(runs, elsewhere, monkeypatch):
    """And on no page that holds none of them, as where there is nothing that they could bring to life."""
    (elsewhere / "part.html.jinja").write_text("<p></p>")

    def foot(scripts: list[Markup]) -> str:
        part = Section(
            "part",
            "",
            "part.html.jinja",
            lambda view: {},
            1,
            scripts=lambda context: scripts,
            credit="By <others> & co.",
        )
        monkeypatch.setattr(page, "SECTIONS", (part,))
        return page.html(runs).partition("<footer>")[2].partition("</footer>")[0]

    assert "<p>By &lt;others&gt; &amp; co.</p>" in foot([Markup("1")])
    assert "By" not in foot([])
    maps = next(s for s in discover(sections) if s.id == "maps")
    assert "BokehJS" in maps.credit
    assert "Anaconda" in "".join(maps.scripts({"maps": [SimpleNamespace(maps=[1], data="", style="")]}))


def test_sections_are_found_and_sorted(package):
    found = discover(package(b=declared("b", 2), a=declared("a", 2), c=declared("c", 1, "a")))
    assert [s.id for s in found] == ["c", "a", "b"]


def test_an_imported_section_is_no_second_one(package):
    found = discover(package(a=declared("a"), b="from some_sections.a import S\n"))
    assert [s.id for s in found] == ["a"]


@pytest.mark.parametrize(("sources", "message"), [
    ({"a": declared("a"), "b": declared("a")}, r"^section 'a' is declared twice, once in some_sections\.b$"),
    ({"a": declared("a", within="z")}, "^section 'a' stands within 'z', which"),
    ({"a": declared("a"), "b": declared("b", within="a"), "c": declared("c", within="b")}, "'c' stands within 'b', which"),
])  # fmt: skip
def test_sections_that_make_no_page_are_refused(package, sources, message):
    with pytest.raises(ValueError, match=message):
        discover(package(**sources))


def test_a_piece_of_a_name_that_is_not_given_is_an_error(elsewhere):
    import jinja2

    (elsewhere / "part.html.jinja").write_text("{{ nobody }}")
    with pytest.raises(jinja2.UndefinedError, match="nobody"):
        templates.environment().get_template("part.html.jinja").render()


def test_sections_read_runs_columns_and_the_first_models_in_pictures(tmp_path):
    models = tuple(f"vae:beta={b}" for b in range(1, page_view.PICTURED + 3))
    everything = frozenset(["data", "map", "strips", "samples", "posterior", "reconstructions", "atlas"])
    made = [
        build(tmp_path / name, Synthetic(seeds=1, models=m, without=everything))
        for name, m in (("many", models), ("few", ("ae",)))
    ]
    many, few = folders.load(made)
    view = page_view.page_view([many, few])
    assert view.several
    assert [c.model for c in view.columns] == [*models, "ae"]
    assert [c.model for c in view.pictured] == [*models[: page_view.PICTURED], "ae"]
    assert [c.model for c in view.unpictured] == list(models[page_view.PICTURED :])
    assert [c.model for c in view.pictured_of(few)] == ["ae"]
    assert not page_view.page_view([few]).several
    text = page.html([many])
    assert html.escape("vae:beta=7") in text.split('id="maps"', 1)[1].split('id="paths"', 1)[0]


def test_a_run_of_fewer_seeds_is_whole_beside_a_longer_one(tmp_path):
    """A run's own seeds count: "3 of 6 seeds" stood in red beside each number of a run that had asked for three."""
    runs = folders.load(
        [build(tmp_path / name, Synthetic(seeds=n, without=BARE)) for name, n in (("three", 3), ("six", 6))]
    )
    scores_of = [s for t in scores.tables(columns(runs)) for g in t.groups for r in g.rows for s in r.scores]
    assert {s.label.partition(" / ")[0] for s in scores_of} == {"three", "six"}
    assert not [
        s.note for s in scores_of if "of 6 seeds" in s.note and "failed" not in s.note and s.label.startswith("three")
    ]


def test_one_rule_says_who_leads_on_the_page_and_in_the_tables(tmp_path):
    """Marks of the score table, of the summary and of the terminal; of two runs on a page, the claims of both."""
    one, two = (
        build(tmp_path / name, Synthetic(models=("ae", "vae", "vae:beta=4"), without=BARE)) for name in ("one", "two")
    )
    for runs in (folders.load([one]), folders.load([one, two])):
        family = claims_together(run.records for run in runs)
        marked = {}
        for table in scores.tables(columns(runs)):
            for row in (r for g in table.groups for r in g.rows if r.split in ("test", "")):
                for s in (s for s in row.scores if s.standing):
                    marked.setdefault((s.label.partition(" / ")[0] if len(runs) > 1 else "", row.metric), []).append(s)
        for run in runs:
            (table,) = measured(run.records, family)
            assert table.claims == family.size
            for metric in {c.metric for c in table.cells if not c.metric.startswith("throughput.")}:
                lead = table.leaders(metric)
                found = marked.get((run.label if len(runs) > 1 else "", metric), [])
                assert {s.label.rpartition(" / ")[2] for s in found} == set(lead), metric
                assert {s.standing for s in found} <= ({"best"} if len(lead) == 1 else {"tied"}), metric
    assert any(len(group) < 3 for group in marked.values())
