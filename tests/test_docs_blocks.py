"""Every block of code in readmes, docs and docstrings is executed, or says why not (docs/about/documentation.md).

What takes more than a few seconds is marked ``dear`` and runs in `tox -e docs`; notebooks are executed by its build.
"""

from __future__ import annotations

import ast
import doctest
import glob
import importlib
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import doc_blocks
import numpy as np
import pytest
from doc_blocks import DATA, EXECUTED, HOME, NOTEBOOK, Block
from synthetic_run import Synthetic, build

from latentbench.cli.app import main

PAGES = {p.relative_to(HOME).as_posix(): p for p in doc_blocks.pages()}
BLOCKS = {name: doc_blocks.blocks(path) for name, path in PAGES.items()}


# --- what is given -----------------------------------------------------------------------------------------------------


def _run(path: Path) -> None:
    build(path, Synthetic(seeds=3))


def _arrays(path: Path) -> None:
    rng = np.random.default_rng(0)
    np.savez(path, images=rng.integers(0, 256, (150, 8, 8)).astype("uint8"), labels=np.arange(150) % 3)


def _table(path: Path) -> None:
    rows = [f"{i % 7},{(i * i) % 11},{'ab'[i % 2]}" for i in range(150)]
    path.write_text("\n".join(["length,width,kind", *rows]))


def _pictures(path: Path) -> None:
    from PIL import Image

    rng = np.random.default_rng(0)
    for label in ("cats", "dogs"):
        (path / label).mkdir(parents=True)
        for i in range(70):
            Image.fromarray(rng.integers(0, 256, (16, 16, 3)).astype("uint8")).save(path / label / f"{i}.png")


def _module(path: Path) -> None:
    path.mkdir()
    (path / "__init__.py").write_text("")
    (path / "models.py").write_text("from latentbench.models.vae import VariationalAutoencoder as MyVAE\n")


def _timings(path: Path) -> None:
    rounds = [0.1 + 0.001 * i for i in range(6)]
    row = {"fullname": "test_speed.py::test_epoch", "name": "test_epoch", "stats": {"data": rounds, "rounds": 6}}
    machine = {"node": "here", "cpu": {"brand_raw": "one"}}
    path.write_text(json.dumps({"machine_info": machine, "benchmarks": [row], "commit_info": {"id": "0" * 40}}))


GIVEN: dict[str, Callable[[Path], None]] = {
    "reports/one": _run, "reports/other": _run, "reports/base": _run, "reports/head": _run,
    "images.npz": _arrays, "table.csv": _table, "photos": _pictures, "img_align_celeba": _pictures,
    "mypackage": _module, "base.json": _timings, "head.json": _timings,
}  # fmt: skip
"""What a block may ask for in its comment -> what makes it."""


def give(block: Block, folder: Path) -> None:
    for name in filter(None, (n.strip() for n in block.marks.get("given", "").split(","))):
        assert name in GIVEN, f"{block.place}: nothing makes '{name}'; there is {', '.join(GIVEN)}"
        if not (folder / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            GIVEN[name](folder / name)


# --- execution ---------------------------------------------------------------------------------------------------------


def commands(block: Block) -> list[str]:
    """The command lines of a block, without comments; of a console those after the prompt."""
    text = block.code.replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    if block.language == "console":
        lines = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    return lines


def left_out(block: Block, line: str) -> bool:
    """Whether a mark says that this line is not to be executed: ``but not: "WORDS", "WORDS": why``."""
    names, _, _ = block.marks.get("but not", "").rpartition(": ")
    return any(name in line for name in re.findall(r'"([^"]+)"', names))


def execute(block: Block, names: dict[str, object], capsys: pytest.CaptureFixture[str]) -> None:
    if block.language == "python":
        exec(compile(block.code, block.place, "exec"), names)
        return
    for line in commands(block):
        if left_out(block, line):
            continue
        words = shlex.split(line, comments=True)
        assert not {"&&", "||", "|", ";"} & set(words), f"{block.place}: a line is one command"
        words = [w for word in words for w in (sorted(glob.glob(word)) or [word] if "*" in word else [word])]
        if words[0] != "latentbench":
            done = subprocess.run(words, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{block.place}: {line}\n{done.stderr}"
            continue
        dry = "dry run" in block.marks and words[1] in ("run", "measure", "evaluate") and "--dry-run" not in words
        code = main([*words[1:], *(["--dry-run"] if dry else [])])
        assert code == 0, f"{block.place}: {line}\n{capsys.readouterr().err}"


def walk(page: str, dear: bool, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The blocks of a page in one folder, in order; with ``dear`` all of them, else those that are not."""
    names: dict[str, object] = {"__name__": "block"}
    for block in BLOCKS[page]:
        if block.runs and (dear or "dear" not in block.marks):
            give(block, folder)
            execute(block, names, capsys)


TRANSLATED = ("README.zh-CN.md",)
"""Pages with the commands of another one, which a test compares."""
QUICK = [
    name
    for name, blocks in BLOCKS.items()
    if name not in TRANSLATED and any(b.runs and "dear" not in b.marks for b in blocks)
]
DEAR = [name for name, blocks in BLOCKS.items() if any(b.runs and "dear" in b.marks for b in blocks)]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder that one stands in, whose modules can be imported."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(HOME), os.environ.get("PYTHONPATH", "")]))
    yield tmp_path
    sys.modules.pop("mypackage", None)
    sys.modules.pop("mypackage.models", None)


@pytest.mark.parametrize("page", QUICK)
def test_the_blocks_of_a_page_run(page, here, capsys):
    walk(page, False, here, capsys)


@pytest.mark.docs
@pytest.mark.parametrize("page", DEAR)
def test_the_dear_blocks_of_a_page_run(page, here, capsys):
    walk(page, True, here, capsys)


# --- nothing escapes ---------------------------------------------------------------------------------------------------


def _wrong(block: Block) -> str:
    """What is wrong with how a block is marked, or nothing."""
    if block.language.startswith("{") or block.language in DATA:
        return "" if not block.marks else "is not executed, and has a mark"
    if block.language not in EXECUTED:
        return f"'{block.language}' is no language; one of {', '.join((*EXECUTED, *DATA))}"
    for word in ("not run", "run by"):
        if word in block.marks and len(block.marks[word]) < 8:
            return f"'{word}' without a reason"
    if path := block.marks.get("run by"):
        file = HOME / path
        if not file.exists() or Path(block.path).name not in file.read_text("utf-8"):
            return f"{path} does not read this page"
    if block.title and block.path != "CONTRIBUTING.md":
        return "a whole file that tests/test_contributing.py does not put in place"
    if (skipped := block.marks.get("but not")) is not None:
        parts = re.findall(r'"([^"]+)"', skipped)
        if not parts or any(part not in block.code for part in parts) or ": " not in skipped:
            return f"'but not: {skipped}' names nothing that stands there, or has no reason"
    return ""


@pytest.mark.parametrize("page", PAGES)
def test_every_block_is_executed_or_says_why_not(page):
    assert [f"{b.place}: {wrong}" for b in BLOCKS[page] if (wrong := _wrong(b))] == []
    assert doc_blocks.unfenced(PAGES[page]) == [], "commands in an indented block, which nothing executes"


def test_the_pages_have_blocks():
    """So that a change of the pattern does not pass as a page without code."""
    assert sum(b.runs for b in BLOCKS["README.md"]) >= 3
    assert sum(b.language == NOTEBOOK for b in BLOCKS["docs/tutorials/first-run.md"]) >= 5
    assert len(QUICK) >= 6


@pytest.mark.parametrize("page", PAGES)
def test_blocks_of_data_can_be_read(page):
    for block in BLOCKS[page]:
        if block.language == "toml":
            tomllib.loads(block.code)
        if block.language == "json":
            json.loads(block.code)


def test_the_two_readmes_show_the_same_commands():
    """Comments are translated, commands are not, but for the language of the page."""
    english, chinese = (
        [" ".join(shlex.split(line, comments=True)) for b in BLOCKS[name] if b.language == "sh" for line in commands(b)]
        for name in ("README.md", "README.zh-CN.md")
    )
    assert len(english) >= 10
    assert english == [line.replace(" --lang zh", "") for line in chinese]


# --- docstrings --------------------------------------------------------------------------------------------------------


def test_the_examples_in_docstrings_hold():
    """What stands there as a session of Python is run; what imports from the package must find it."""
    parser, runner = doctest.DocTestParser(), doctest.DocTestRunner(verbose=False)
    for place, text in doc_blocks.docstrings():
        if ">>>" in text:
            runner.run(parser.get_doctest(text, {}, place, None, 0))
        for code in doc_blocks.typed(text):
            if not re.match(r"(from|import) \w", code):
                continue
            for node in ast.walk(ast.parse(code)):
                if isinstance(node, ast.ImportFrom) and node.module:
                    module = importlib.import_module(node.module)
                    assert [a.name for a in node.names if not hasattr(module, a.name)] == [], place
    assert runner.failures == 0


def test_the_commands_in_docstrings_are_known():
    """A line that begins with ``latentbench`` names a command of the program and options that it has."""
    from typer.main import get_command

    from latentbench.cli.app import app

    program = get_command(app)
    for place, text in doc_blocks.docstrings():
        for code in doc_blocks.typed(text):
            for line in code.splitlines():
                if not line.startswith("latentbench "):
                    continue
                words = line.split("  ")[0].split()
                assert words[1] in program.commands, place
                known = {o for p in program.commands[words[1]].params for o in (*p.opts, *p.secondary_opts)}
                assert {w.partition("=")[0] for w in words if w.startswith("--")} <= known, place
