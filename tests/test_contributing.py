"""The worked examples of CONTRIBUTING.md: each is put into a copy of the package, touches as many files as is said, and
works there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

HOME = Path(__file__).parents[1]
BLOCK = re.compile(r'^```\w+ title="(?P<path>[^"]+)"\n(?P<text>.*?)^```$', re.MULTILINE | re.DOTALL)
"""A block of code that is a whole file."""


class Example(NamedTuple):
    """What the guide shows under ``heading``: how many ``files`` it adds, a ``command`` whose output then holds
    ``shown``, and what to run where that is more than its own tests: ``tests``, files, and ``named``, what the names hold;
    ``least`` is the number of tests that must then pass."""

    heading: str
    files: int
    command: tuple[str, ...]
    shown: str
    tests: tuple[str, ...] = ()
    named: str = ""
    least: int = 1


SECTIONS = "from latentbench.report.page import SECTIONS; print(*(s.id for s in SECTIONS))"
SPOKEN = """
from latentbench.report.wording.language import plural, say, speaking
with speaking("eo"):
    print(say("Scores"), plural("{n} seed", "{n} seeds", 2), say("Training"), sep=", ")
"""
LIST = ("-m", "latentbench", "list")
EXAMPLES = (
    Example(
        "A metric", 2, (*LIST, "metrics"), "latent.spread",
        ("test_metrics_spread", "test_metrics_contract", "test_metrics_invariance", "test_proofs", "test_order"),
        "test_metrics_spread or latent.spread or every_metric or every_direction or marks or up_to_date or page_lists",
        80,
    ),
    Example("A model", 2, (*LIST, "models"), "sparse"),
    Example("A data set", 2, (*LIST, "datasets"), "stripes"),
    Example("A section of the page", 3, ("-c", SECTIONS), "failures"),
    Example("An executor", 2, ("-c", "import serial_executor as s; print(s.Serial)"), "Serial"),
    Example("A language", 1, ("-c", SPOKEN), "Rezultoj, 2 semoj, Training"),
)  # fmt: skip


def blocks(heading: str) -> dict[str, str]:
    """The files of an example: path -> content."""
    guide = (HOME / "CONTRIBUTING.md").read_text(encoding="utf-8")
    part = guide.partition(f"\n### {heading}\n")[2]
    found = [(b["path"], b["text"]) for b in BLOCK.finditer(re.split(r"\n##+ ", part)[0])]
    assert len(found) == len(dict(found)), "a file stands twice"
    return dict(found)


def put(files: dict[str, str], tree: Path) -> None:
    """Write an example's files into the copy, which may hold none of them."""
    for path, text in files.items():
        assert not (tree / path).exists(), f"{path}: an addition changes no file that is there"
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_text(text, encoding="utf-8")


def run(tree: Path, *arguments: str) -> str:
    """The output of a Python in the copy."""
    done = subprocess.run(
        [sys.executable, *arguments], cwd=tree, capture_output=True, text=True, timeout=500,
        env={**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


@pytest.fixture
def tree(tmp_path):
    """A copy of the package, its tests and what these read."""
    for folder in ("latentbench", "tests", "docs"):
        shutil.copytree(HOME / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__", "*.json*"))
    shutil.copy(HOME / "pyproject.toml", tmp_path)
    return tmp_path


def test_every_example_of_the_guide_is_tried():
    guide = (HOME / "CONTRIBUTING.md").read_text(encoding="utf-8")
    part = re.split(r"\n## ", guide.partition("\n## Add one thing\n")[2])[0]
    assert re.findall(r"^### (.+)$", part, re.MULTILINE) == [e.heading for e in EXAMPLES]


@pytest.mark.parametrize("example", EXAMPLES, ids=[e.heading for e in EXAMPLES])
def test_an_example_touches_few_files_and_works(example, tree):
    files = blocks(example.heading)
    assert len(files) == example.files
    put(files, tree)
    assert example.shown in run(tree, *example.command)
    own = [f"tests/{name}.py" for name in example.tests] or [p for p in files if Path(p).name.startswith("test_")]
    if not own:
        return
    only = ["-k", example.named] if example.named else []
    told = run(tree, "-m", "pytest", "-q", "-p", "no:cacheprovider", *own, *only)
    passed = re.search(r"^(\d+) passed", told.splitlines()[-1])
    assert passed is not None, told
    assert int(passed[1]) >= example.least, told


def test_the_examples_keep_to_the_style_of_the_package(tree):
    ruff = shutil.which("ruff") or str(Path(sys.executable).parent / "ruff")
    if not Path(ruff).exists():
        pytest.skip("no ruff here")
    files = {p: text for e in EXAMPLES for p, text in blocks(e.heading).items() if p.endswith(".py")}
    put(files, tree)
    for command in (["check", "--no-cache"], ["format", "--no-cache", "--check"]):
        done = subprocess.run([ruff, *command, *files], cwd=tree, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
