"""The hash of the code behind a number: changed by what it is computed with, and by nothing else."""

from __future__ import annotations

import ast
import functools
import importlib
import json
import sys
import sysconfig
from pathlib import Path

import pytest

from latentbench.catalog import metrics, models
from latentbench.running import sources
from latentbench.running.sources import code, module_of, own_code


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A module of the user's, with a helper beside it and one that it does not import."""
    for name, text in {
        "mine_a.py": "from mine_b import helper\nimport json\n",
        "mine_b.py": "def helper(): return 1\n",
        "mine_c.py": "x = 1\n",
    }.items():
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.import_module("mine_a")
    yield tmp_path
    for name in ("mine_a", "mine_b"):
        sys.modules.pop(name, None)
    forget()


def forget() -> None:
    for function in (code, sources._text, sources._imports):
        function.cache_clear()


@pytest.mark.parametrize(("file", "same"), [("mine_a.py", False), ("mine_b.py", False), ("mine_c.py", True)])
def test_what_a_module_imports_counts_and_nothing_else(package, file, same):
    forget()
    before = code("mine_a")
    (package / file).write_text((package / file).read_text() + "y = 2\n")
    forget()
    assert (code("mine_a") == before) == same


@pytest.mark.parametrize("declared", [True, False], ids=["package", "namespace"])
def test_relative_imports_and_packages(tmp_path, monkeypatch, declared):
    home = tmp_path / "mine_pkg" / "below"
    home.mkdir(parents=True)
    (tmp_path / "mine_pkg" / "other.py").write_text("x = 1\n")
    if declared:
        (tmp_path / "mine_pkg" / "__init__.py").write_text("")
        (home / "__init__.py").write_text("")
    (home / "model.py").write_text("from ..other import x\nfrom . import parts\n")
    (home / "parts.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.import_module("mine_pkg.below.model")
    for path in (tmp_path / "mine_pkg" / "other.py", home / "parts.py"):
        forget()
        before = code("mine_pkg.below.model")
        path.write_text("x = 2\n")
        forget()
        assert code("mine_pkg.below.model") != before
    for name in [n for n in sys.modules if n.startswith("mine_pkg")]:
        del sys.modules[name]
    forget()


def parsed(body, package: str = "a.b.c") -> set[str]:
    """The names that statements of a ``package`` import, by Python's own grammar, but for those that only a type checker
    reads."""
    found = set()
    for node in body:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")
            above = parents[: len(parents) + 1 - node.level] if node.level else []
            home = ".".join([*above, *([node.module] if node.module else [])])
            found |= {home, *(f"{home}.{alias.name}" for alias in node.names if alias.name != "*")}
        for part in ("body", "orelse", "finalbody", "handlers", "cases"):
            if part != "body" or not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)):
                found |= parsed(getattr(node, part, ()), package)
    return found - {sources.PACKAGE}


def read(path: Path) -> set[str]:
    """The names that are found in a file that is taken for a module a.b.c.d."""
    return set(sources._imports(path, "a.b.c.d")) - {sources.PACKAGE}


STANDARD = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")) + sorted(Path(json.__file__).parent.glob("*.py"))
OWN = sorted((sources.HOME / sources.PACKAGE).rglob("*.py"))


@pytest.mark.parametrize("files", [STANDARD, OWN], ids=["the standard library", "latentbench"])
def test_no_import_is_overlooked(files):
    """And of this package a few are read too many, that stand in texts."""
    assert len(files) > 100
    more = set()
    for path in files:
        try:
            package = "a.b.c.d" if path.stem == "__init__" else "a.b.c"
            known = parsed(ast.parse(path.read_text("utf-8", "replace")).body, package)
        except (SyntaxError, ValueError):
            continue
        assert read(path) >= known, path
        more |= {path} if read(path) != known else set()
    assert files is STANDARD or len(more) < 5


@pytest.mark.parametrize(
    "text",
    [
        "import a.b as c, d\nfrom e import f as g, h",
        "from .import a\nfrom.b import(c)\nfrom ...d.e import (f, # (one)\n  g,\n  # and one\n  h as i,\n)\nfrom .. import *",
        "from \\\n  a \\\n import b, \\\n c\nimport \\\n d",
        "try: import a\nexcept ImportError: import b; import c;from d import e",
        "if x:\n\timport a\nelif y:\n  from b import c\nelse: import d",
        "def f():\n    import a\n    class B:\n        from b import c # d, e",
        "match x:\n    case 1: import a\n    case 2:\n        from b import c",
        "if TYPE_CHECKING:\n    import a\n\n    from b import c\nelse:\n    import d\nimport e",
        "if typing.TYPE_CHECKING: import a\nimport b",
        "def f():\n    if TYPE_CHECKING:\n        import a\n    import b",
        "x = 'import a'\ny = {1: from_a, 2: important}\nimported = fromage = 3\nyield_from = [z for z in ()]",
        "import a # b, c\nfrom d import e # , f",
        "with x: import a\nfor i in y: import b\nwhile z: import c",
        "",
    ],
)
def test_an_import_is_read_however_it_is_written(text, tmp_path):
    (tmp_path / "module.py").write_text(text)
    assert read(tmp_path / "module.py") == parsed(ast.parse(text).body)


def closure(module: str, monkeypatch) -> set[str]:
    """The names of the modules whose source goes into the hash."""
    read: set[str] = set()
    text = sources._text
    forget()
    monkeypatch.setattr(sources, "_text", lambda path: read.add(str(path)) or text(path))
    code(module)
    monkeypatch.undo()
    forget()
    return {name.rpartition("/latentbench/")[2].replace("\\", "/") for name in read}


def test_the_page_changes_no_number(monkeypatch):
    for module in (
        "latentbench.training.stacking",
        "latentbench.measuring.judge",
        "latentbench.measuring.artifacts",
        "latentbench.measuring.scoring",
        *{module_of(m.compute) for m in metrics().values()},
        *{module_of(m.build) for m in models().values()},
    ):
        found = closure(module, monkeypatch)
        assert module.partition(".")[2].replace(".", "/") + ".py" in found
        assert not {f for f in found if f.startswith(("report/", "stats/", "cli/", "comparing/", "gate/", "api"))}
        assert "core/__init__.py" in found


def test_where_a_callable_was_written():
    assert module_of(functools.partial(functools.partial(code), "x")) == "latentbench.running.sources"
    assert module_of(test_where_a_callable_was_written) == __name__


def test_what_has_no_source_has_the_version(monkeypatch):
    from latentbench import __version__

    assert own_code("latentbench.no_such_module") == __version__
    assert code("no_such_module") == __version__
