"""Every text that the report says, and what a language's catalog lacks of them.

    python -m tests.messages zh      # prints what is missing, ready to be pasted into languages/zh.toml; and what is stale

Texts are the literals in ``say(...)``, ``plural(...)`` and ``marked(...)`` of the report's modules, in ``say(...)`` and
``plural(...)`` of its templates, and what records of the built-in measures hold: summaries, units, phrases and fixed
reasons.
"""

from __future__ import annotations

import ast
import json
import string
import sys
from collections.abc import Iterator
from pathlib import Path

import jinja2
from jinja2 import nodes

import latentbench
from latentbench import api
from latentbench.report.wording import language

PACKAGE = Path(latentbench.__file__).parent
REPORT = PACKAGE / "report"
SAID = {"say": (0,), "plural": (0, 1), "marked": (0,)}
"""Functions and which of their arguments are texts."""


REASONS = (
    "the posterior is a point: it has no variance",
    "the dataset has no labels",
    "no judge: the dataset has no labels",
    api.NO_TRAIN,
    f"no judge: {api.NO_TRAIN}",
    api.NO_LABELS,
    f"no judge: {api.NO_LABELS}",
    *(
        f"the judge's self-check failed: it passes {{0}}% of {junk} (at most {{1}}%)"
        for junk in ("noise", "gaussian_noise", "shuffle", "mean")
    ),
)
"""What records say beside the measures' own reasons; a test holds each to the source it is from."""


def in_code(source: str) -> Iterator[str]:
    """Texts of one module."""
    for call in (n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Call)):
        name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        if name == "plural":
            if isinstance(call.args[1], ast.Constant):
                yield call.args[1].value
        elif name == "marked" or (name == "say" and isinstance(call.args[0], ast.Constant | ast.IfExp)):
            yield from literals(call.args[0])


def literals(node: ast.AST) -> Iterator[str]:
    """The strings in an expression: all of a nest of tuples, calls and conditions, of dicts the values."""
    if isinstance(node, ast.Constant):
        if isinstance(node.value, str):
            yield node.value
    elif isinstance(node, ast.Dict):
        for value in node.values:
            yield from literals(value)
    elif isinstance(node, ast.IfExp):
        yield from (*literals(node.body), *literals(node.orelse))
    elif isinstance(node, ast.Call):
        for argument in node.args:
            yield from literals(argument)
    elif isinstance(node, ast.Tuple | ast.List):
        for element in node.elts:
            yield from literals(element)


def in_template(source: str) -> Iterator[str]:
    """Texts of one template. Raises ValueError for one that is no literal: its answer would not be escaped."""
    for call in jinja2.Environment().parse(source).find_all(nodes.Call):
        name = getattr(call.node, "name", "")
        if name in ("say", "plural"):
            texts = call.args[: len(SAID[name])]
            if not all(isinstance(t, nodes.Const) for t in texts):
                raise ValueError(f"line {call.lineno}: {name}(...) of something that is no literal; use told(...)")
            yield texts[-1].value


def in_records() -> Iterator[str]:
    """What records of the built-in measures say in fixed words."""
    from latentbench import catalog

    for metric in catalog.metrics().values():
        yield from (metric.summary, metric.unit, *(need.reason for need in metric.needs))
        if metric.phrase:
            yield from (metric.phrase.noun, metric.phrase.higher, metric.phrase.lower)
    yield from REASONS
    for path in PACKAGE.rglob("*.py"):
        for call in (n for n in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(n, ast.Call)):
            if getattr(call.func, "id", "") in ("Undefined", "Diverged") and call.args:
                first = call.args[0]
                yield from reasons(first)


def reasons(node: ast.AST) -> Iterator[str]:
    """A reason as a catalog holds it: what an f-string fills in, and numbers beside it, as places {0}, {1}, ..."""
    if not isinstance(node, ast.JoinedStr):
        yield from literals(node)
        return
    text, count = "", iter(range(99))
    for part in node.values:
        if isinstance(part, ast.Constant):
            text += language.NUMBER.sub(lambda _: f"{{{next(count)}}}", part.value)
        else:
            percent = part.format_spec is not None and "%" in ast.unparse(part.format_spec)
            text += f"{{{next(count)}}}" + "%" * percent
    yield text


def needed() -> set[str]:
    """Every text that a catalog holds."""
    found: set[str] = set(in_records())
    for path in REPORT.rglob("*.py"):
        found.update(in_code(path.read_text("utf-8")))
    for path in REPORT.rglob("*.jinja"):
        found.update(in_template(path.read_text("utf-8")))
    return found - {""}


def places(text: str) -> set[str]:
    """Names of a template's places."""
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


def main(code: str) -> int:
    held = language.language(code).sentences
    missing, stale = sorted(needed() - held.keys()), sorted(held.keys() - needed())
    for text in missing:
        print(f'{json.dumps(text, ensure_ascii=False)} = ""')
    for text in stale:
        print(f"# no longer said: {text!r}")
    return 1 if missing or stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
