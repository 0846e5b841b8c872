"""`docs/models.md`: every model of the catalog, from its own docstrings:

    tox -e models

What a model is stands in the docstring of its module; its loss and the meaning of its fields in that of its builder, as

    Loss: FORMULA

    Args:
        field: meaning

where a builder says nothing of a field, what it inherits from and then `Trunk` are asked.
"""

from __future__ import annotations

import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from latentbench.catalog import model_fields, models
from latentbench.core import ModelEntry
from latentbench.models.nets import Trunk

PAGE = Path(__file__).parents[1] / "docs" / "models.md"
RENEW = "tox -e models"

HEAD = f"""# Models

Made by `{RENEW}` from the catalog and the docstrings of `latentbench/models/`; a test fails while a section is out of date.
What `--models` takes: `NAME`, or `NAME:FIELD=VALUE:...` (`vae:beta=4:net=conv`). Every model has the same encoder and decoder
networks, so that two of them differ in their loss and in nothing else; `latent_dim`, the latent size, is a field of each. All
losses are means over the images of a batch, errors sums over the values of an image.
"""


def arguments(doc: str) -> dict[str, str]:
    """Field -> meaning, of the ``Args`` of a docstring."""
    block = re.search(r"^Args:\n((?:[ ]{4,}\S.*\n?)+)", doc, re.MULTILINE)
    found: dict[str, str] = {}
    name = ""
    for line in textwrap.dedent(block[1]).splitlines() if block else []:
        if not line.startswith(" "):
            name, _, line = line.partition(": ")
        found[name] = f"{found.get(name, '')} {line.strip()}".strip()
    return found


def documented(build: Callable[..., Any]) -> list[str]:
    """The docstrings in which a builder's fields may be told, the nearest first."""
    own = [*inspect.getmro(build)] if inspect.isclass(build) else [build]
    return [inspect.cleandoc(d) for d in (*(o.__doc__ for o in own if o is not object), Trunk.__doc__) if d]


def meanings(entry: ModelEntry) -> Mapping[str, str]:
    """Field -> meaning, empty where nothing tells it."""
    told = [arguments(doc) for doc in documented(entry.build)]
    return {name: next((t[name] for t in told if name in t), "") for name in model_fields(entry.build)}


def loss(entry: ModelEntry) -> str:
    """The formula of the builder's docstring on one line, empty where there is none."""
    found = re.search(r"^Loss: ((?:.+\n?)+)", documented(entry.build)[0], re.MULTILINE)
    return " ".join(found[1].split()) if found else ""


def allowed(hint: Any) -> str:
    """The words that a field may be, where only some are allowed."""
    return ", ".join(f"`{word}`" for word in get_args(hint)) if get_origin(hint) is Literal else ""


def section(entry: ModelEntry) -> str:
    hints = get_type_hints(entry.build.__init__ if inspect.isclass(entry.build) else entry.build)
    module = sys.modules[entry.build.__module__]
    lines = [f"## {entry.name}", "", f"{entry.summary[:1].upper()}{entry.summary[1:]}. Source: {entry.source}.", ""]
    if formula := loss(entry):
        lines += ["    " + formula, ""]
    lines += ["| Field | Default | Meaning |", "| --- | --- | --- |"]
    for name, field in model_fields(entry.build).items():
        words = allowed(hints.get(name))
        meaning = "; ".join(part for part in (meanings(entry)[name], words) if part).replace("|", "\\|")
        default = "needed" if field.default is inspect.Parameter.empty else f"`{field.default}`"
        lines.append(f"| `{name}` | {default} | {meaning} |")
    return "\n".join([*lines, "", inspect.cleandoc(module.__doc__ or ""), ""])


def page() -> str:
    return "\n".join([HEAD, *(section(entry) for entry in models().values())])


def sections(text: str) -> dict[str, str]:
    """The sections of a page by the model's name."""
    parts = re.split(r"^(?=## )", text, flags=re.MULTILINE)[1:]
    return {part.split("\n")[0].removeprefix("## "): part.rstrip() for part in parts}


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE}")
