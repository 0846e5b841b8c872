"""Docstrings as reStructuredText: a house style that needs no escaping, and references that must lead somewhere.

In a docstring ``text`` is literal, `name` names something of the code, *word* is stressed; everything else is plain
text, with formulas such as E |mu|^2 in it. A block that is indented deeper than its paragraph stands as it is typed.
Lines that begin with "- " are a list. That is all there is: no author of a metric has to know reStructuredText.

A `name` is looked up where it stands: as a name of its module (also an imported one), of the class, of the package; what
is found becomes a link. What is not found is shown as code: it may name a field, an option, a parameter.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import types
from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref, pending_xref_condition
from sphinx.application import Sphinx

INLINE = re.compile(r"(``.+?``|(?<!`)`[^`\n]+`(?!`)|(?<![\w*])\*\*?(?=\w)[^*\n]+(?<=[\w)])\*\*?(?![\w*]))", re.DOTALL)
"""What is marked: literal text, a name, a stressed word."""
MARKUP = re.compile(r"([\\*`|_])")
ITEM = re.compile(r"(?:[-*]|\d+\.) ")


def escaped(text: str) -> str:
    """Running text in which only what `INLINE` finds is markup."""
    out = []
    for i, part in enumerate(INLINE.split(text)):
        if i % 2 == 0:
            out.append(MARKUP.sub(r"\\\1", part))
        elif out and out[-1] and not out[-1][-1].isspace():
            out.append("\\ " + part)  # markup begins at a word of its own only
        else:
            out.append(part)
        if i % 2 == 1:
            out.append("\\ ")
    return "".join(out).replace("\\ \n", "\n")


def _blocks(lines: list[str]) -> list[tuple[str, list[str]]]:
    """The lines in blocks: ``text``, ``item`` or ``typed`` (indented), each without the blank lines around it."""
    blocks: list[tuple[str, list[str]]] = []
    blank = True
    for line in lines:
        if not line.strip():
            if blocks and blocks[-1][0] == "typed":
                blocks[-1][1].append("")
            blank = True
            continue
        last = blocks[-1][0] if blocks else ""
        if ITEM.match(line):
            blocks.append(("item", [line]))
        elif line.startswith("  ") and last == "item" and not blank:
            blocks[-1][1].append(line.strip())
        elif line.startswith("  "):
            if last == "typed":
                blocks[-1][1].append(line)
            else:
                blocks.append(("typed", [line]))
        elif last in ("text", "item") and not blank:
            blocks[-1][1].append(line)
        else:
            blocks.append(("text", [line]))
        blank = False
    return blocks


def converted(lines: list[str]) -> list[str]:
    """The lines of a docstring as reStructuredText."""
    out: list[str] = []
    for kind, block in _blocks(lines):
        if kind == "typed":
            out += ["::", "", *(f"  {line}" for line in "\n".join(block).rstrip().split("\n")), ""]
        elif kind == "item":
            marker = ITEM.match(block[0])[0]  # type: ignore[index]
            text = escaped("\n".join([block[0][len(marker) :], *block[1:]])).split("\n")
            out += ["", marker + text[0], *(" " * len(marker) + line for line in text[1:]), ""]
        else:
            out += ["", *escaped("\n".join(block)).split("\n"), ""]
    return out


def _convert(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    if name.startswith("latentbench"):
        lines[:] = converted(lines)
    else:
        lines.clear()  # what is inherited from another library is told there


OBJECT = re.compile(r"\s*=\s*<[^<>]* object at 0x[0-9a-f]+>|<function ([\w.<>]+) at 0x[0-9a-f]+>")


def _readable(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, signature: str | None, returned: str | None
) -> tuple[str | None, str | None]:
    """A signature without defaults that are objects of no written form, such as the options of a command."""
    return (
        OBJECT.sub(lambda m: m[1].rpartition(".")[2] if m[1] else "", signature) if signature else signature
    ), returned


def _found(name: str, module: str, owner: str) -> str:
    """The full name of what ``name`` means in ``module``, in the class ``owner``; empty where it means nothing there."""
    home = importlib.import_module(module)
    starts: list[Any] = [home, importlib.import_module("latentbench")]
    if owner and hasattr(home, owner.split(".")[0]):
        starts.insert(0, getattr(home, owner.split(".")[0]))
    for start in starts:
        value, at = start, start.__name__ if isinstance(start, types.ModuleType) else f"{module}.{owner}"
        for part in name.split("."):
            if not hasattr(value, part):
                break
            value = getattr(value, part)
            at = f"{at}.{part}"
        else:
            if isinstance(value, types.ModuleType):
                return value.__name__
            if hasattr(value, "__qualname__") and str(getattr(value, "__module__", "")).startswith("latentbench"):
                return f"{value.__module__}.{value.__qualname__}"
            return at
    return ""


def _name(app: Sphinx, document: nodes.document) -> None:
    """Names as they are meant where they stand, in full: Sphinx would look for any of that name in the whole package."""
    for node in list(document.findall(pending_xref)):
        module, target = node.get("py:module"), node["reftarget"]
        if node.get("refdomain") != "py" or not module or target.startswith("latentbench."):
            continue
        if found := _found(target, module, node.get("py:class") or ""):
            node["reftarget"] = found
        elif node.get("reftype") == "obj" and not any(node.findall(pending_xref_condition)):
            node.replace_self(node.children)  # a field, an option, a parameter
            continue
        node["refspecific"] = False


def _missing(app: Sphinx, env: Any, node: pending_xref, content: nodes.Element) -> nodes.Element | None:
    """A name of this package that has no entry of its own is code, as long as it is there; one that is not is an error."""
    target = node["reftarget"]
    if node.get("refdomain") != "py" or not target.startswith("latentbench."):
        return None
    module, rest = "latentbench", target.split(".")[1:]
    while rest and importlib.util.find_spec(f"{module}.{rest[0]}"):
        module = f"{module}.{rest.pop(0)}"
        if not hasattr(importlib.import_module(module), "__path__"):
            break
    value: Any = importlib.import_module(module)
    for part in rest:
        if not hasattr(value, part):
            fields = getattr(value, "__annotations__", {}), getattr(value, "__pydantic_fields__", {})
            return content if any(part in some for some in fields) else None
        value = getattr(value, part)
    return content


def setup(app: Sphinx) -> dict[str, bool]:
    """Sphinx calls it."""
    app.connect("autodoc-process-docstring", _convert)
    app.connect("autodoc-process-signature", _readable)
    app.connect("doctree-read", _name)
    app.connect("missing-reference", _missing)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
