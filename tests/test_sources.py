"""The hash of the code behind a number: changed by what it is computed with, and by nothing else."""

from __future__ import annotations

import functools
import importlib
import sys

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
