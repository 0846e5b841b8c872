"""The blocks of code in what is read: readmes, the guide, docs/, docstrings. Which language, and what is said above each.

A comment in the lines above a block says what it needs; docs/about/documentation.md has the list. A block without any is
executed as it stands.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

HOME = Path(__file__).parents[1]
EXECUTED = ("python", "sh", "bash", "console")
"""Languages of blocks that are executed."""
NOTEBOOK = "{code-cell}"
DATA = ("toml", "json", "yaml", "po", "jinja", "text", "html", "css", "bibtex", "diff")
"""Languages of blocks that hold no command."""
MARKS = ("given", "dry run", "dear", "run by", "not run", "but not")
FENCE = re.compile(
    r"(?P<above>(?:^<!--[^\n]*-->\n)*)^(?P<fence>`{3,}|:{3,})(?P<info>[^`\n]*)\n(?P<code>.*?)^(?P=fence)[ ]*$",
    re.MULTILINE | re.DOTALL,
)
MARK = re.compile(r"<!-- (?P<word>[a-z ]+?)(?:: (?P<what>.+?))? -->")
INDENTED = re.compile(r"^(?: {4}|\t)\s*(?:latentbench|tox|pip|python3?|ray) ", re.MULTILINE)
"""A command in a block without a fence, which nothing would find."""


@dataclass(frozen=True)
class Block:
    """A block of a page: where it stands, its ``language`` and ``title``, its ``code``, and the ``marks`` above it."""

    path: str
    line: int
    language: str
    title: str
    code: str
    marks: Mapping[str, str] = field(default_factory=dict)

    @property
    def place(self) -> str:
        """For messages."""
        return f"{self.path}, line {self.line}"

    @property
    def runs(self) -> bool:
        """Whether it is to be executed here."""
        return self.language in EXECUTED and not self.title and not {"not run", "run by"} & self.marks.keys()


def pages() -> list[Path]:
    """Every page that somebody wrote: not those that are made at a build."""
    docs = [
        p for p in (HOME / "docs").rglob("*.md") if p.relative_to(HOME / "docs").parts[0] not in ("api", "generated")
    ]
    names = ("README.md", "README.zh-CN.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")
    return [HOME / n for n in names if (HOME / n).exists()] + sorted(docs)


def blocks(path: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    text = path.read_text("utf-8")
    name = path.relative_to(HOME).as_posix() if path.is_relative_to(HOME) else path.name
    found = []
    for m in FENCE.finditer(text):
        words = m["info"].split(maxsplit=1)
        title = re.search(r'title="([^"]+)"', m["info"])
        marks = {mark["word"]: mark["what"] or "" for mark in MARK.finditer(m["above"]) if mark["word"] in MARKS}
        line = text.count("\n", 0, m.start("fence")) + 1
        found.append(Block(name, line, words[0] if words else "", title[1] if title else "", m["code"], marks))
    return found


def unfenced(path: Path) -> list[str]:
    """Commands of a page that stand indented instead of in a fence."""
    return [m[0].strip() for m in INDENTED.finditer(FENCE.sub("", path.read_text("utf-8")))]


def docstrings() -> Iterator[tuple[str, str]]:
    """Every docstring of the package and its place."""
    for path in sorted((HOME / "latentbench").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and (text := ast.get_docstring(node)):
                yield f"{path.relative_to(HOME).as_posix()}: {getattr(node, 'name', 'module')}", text


def typed(text: str) -> list[str]:
    """The blocks of a docstring that stand indented, without the indent."""
    found, rows = [], list[str]()
    for line in [*text.split("\n"), "."]:
        if line.startswith("    ") or (rows and not line.strip()):
            rows.append(line[4:])
        elif rows:
            found.append("\n".join(rows).strip("\n"))
            rows = []
    return found
