"""Every text that the report says, extracted by Babel (babel.cfg), and what a language's catalog lacks of them.

    python tests/extraction.py      # for every catalog what it lacks, to be pasted there and filled in; what it no
                                    # longer needs. Fails where a catalog that is to be complete lacks something

Texts are the literals in ``say(...)``, ``plural(...)`` and ``marked(...)``, in the ``say(...)`` and ``plural(...)`` of
templates, the reasons in records (by code: ``Reason.of(code, text)``, ``Undefined(text, code)``, ``Diverged(code, text)``),
and what metrics declare: summary and unit.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

from babel.messages import Catalog, Message
from babel.messages.extract import extract_from_dir
from babel.messages.frontend import parse_mapping_cfg
from babel.messages.pofile import write_po

from latentbench.report.wording import language

ROOT = Path(__file__).parents[1]
COMPLETE = ("zh",)
"""The catalogs that hold every text. In another one what is missing is said in English."""
KEYWORDS = {"say": None, "plural": (1, 2), "marked": None, "reason": ((1, "c"), 2)}
"""Functions and which of their arguments are texts (``c``: the context)."""
Found = tuple[int, str, Any, list[str]]


def in_code(file: Any, keywords: Any, comment_tags: Any, options: Any) -> Iterator[Found]:
    """Babel's extractor for a module: texts that stand there as they are said."""
    for call in (n for n in ast.walk(ast.parse(file.read())) if isinstance(n, ast.Call)):
        name = ast.unparse(call.func).rpartition(".")[2]
        texts = [a.value if isinstance(a, ast.Constant) and isinstance(a.value, str) else None for a in call.args]
        if name == "plural":
            yield call.lineno, "plural", tuple(texts[:2]), []
        elif name == "marked" or (name == "say" and call.args and isinstance(call.args[0], ast.Constant | ast.IfExp)):
            yield from ((call.lineno, "say", text, []) for text in literals(call.args[0]))
        elif ast.unparse(call.func) in ("Reason.of", "Diverged") and all(texts[:2]):
            yield call.lineno, "reason", tuple(texts[:2]), []
        elif name == "Undefined" and len(texts) == 2 and all(texts):
            yield call.lineno, "reason", tuple(texts[::-1]), []


def literals(node: ast.AST) -> Iterator[str]:
    """The strings in an expression: all of a nest of tuples, calls and conditions, of dicts the values."""
    if isinstance(node, ast.Constant):
        if isinstance(node.value, str) and node.value:
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


def in_catalog(file: Any, keywords: Any, comment_tags: Any, options: Any) -> Iterator[Found]:
    """Babel's extractor for the catalog of metrics: what records hold in the words of their declarations."""
    from latentbench import catalog

    for metric in catalog.metrics().values():
        phrase = () if metric.phrase is None else (metric.phrase.noun, metric.phrase.higher, metric.phrase.lower)
        yield from ((1, "say", text, []) for text in (metric.summary, metric.unit, *phrase) if text)


def needed() -> Catalog:
    """Every text that a complete catalog holds."""
    out = Catalog()
    with (ROOT / "babel.cfg").open(encoding="utf-8") as file:
        methods, options = parse_mapping_cfg(file)
    found = extract_from_dir(ROOT, methods, options, KEYWORDS, directory_filter=lambda path: True)
    for path, line, text, comments, context in found:
        if text != " ":  # what stands between sentences is said in a catalog's header
            out.add(text, None, [(path, line)], auto_comments=comments, context=context)
    return out


def texts(catalog: Catalog) -> dict[tuple[str | None, Any], Message]:
    """The messages of a catalog by context and text."""
    return {(m.context, m.id): m for m in catalog if m.id}


def lacking(held: Catalog, asked: Catalog) -> tuple[Catalog, list[str]]:
    """What is asked for and not translated, as a catalog to fill in; what is held and no longer asked for."""
    wanted, there = texts(asked), texts(held)
    done = {key for key, message in there.items() if language.translated(message)}
    missing = Catalog()
    for key in wanted.keys() - done:
        missing.add(key[1], None, wanted[key].locations, context=key[0])
    return missing, sorted(str(key[1]) for key in there.keys() - wanted.keys())


def main() -> int:
    asked, failed = needed(), False
    for code in language.codes()[1:]:
        missing, stale = lacking(language.parse(language.LANGUAGES / f"{code}.po"), asked)
        text = BytesIO()
        write_po(text, missing, width=0, omit_header=True, sort_by_file=True)
        print(f"{code}.po lacks {len(missing)} texts and holds {len(stale)} that are no longer said")
        print(text.getvalue().decode(), end="")
        print("".join(f"# no longer said: {line!r}\n" for line in stale), end="")
        failed |= code in COMPLETE and len(missing) > 0
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
