"""Where the templates of a page come from and what they may call. The frames of the pages and the macros that pieces
share lie beside this module, the piece of a section beside the section."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import CodeType
from typing import Any

import jinja2
from jinja2.bccache import Bucket
from markupsafe import Markup, escape

from latentbench.report import sections
from latentbench.report.drawing import images
from latentbench.report.wording.language import plural, say

HERE = Path(__file__).parent


class _Compiled(jinja2.BytecodeCache):
    """Templates compiled once a process: for each page anew it takes a fifth of the time that the page is made in."""

    def __init__(self) -> None:
        self._codes: dict[tuple[str, str], CodeType | None] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        bucket.code = self._codes.get((bucket.key, bucket.checksum))

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._codes[bucket.key, bucket.checksum] = bucket.code


_compiled = _Compiled()


def environment() -> jinja2.Environment:
    """Where the templates of one page come from and what they may call; text is escaped, and a name that is not there is an
    error."""
    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader([HERE, *sections.__path__]), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, bytecode_cache=_compiled,
    )  # fmt: skip
    templates.globals.update(
        shown_size=images.shown_size, say=_say, plural=_plural, translation=say, unlike=_unlike(Counter())
    )
    return templates


def source(name: str) -> Markup:
    """A style sheet or script of the page, as it stands inside the page."""
    return Markup((HERE / name).read_text("utf-8"))


def beside(template: str, kind: str) -> list[Markup]:
    """The style sheet (``css``) or script (``js``) that lies beside a section's piece; none where there is none."""
    name = f"{template.removesuffix('.html.jinja')}.{kind}"
    return [Markup(file.read_text("utf-8")) for place in sections.__path__ if (file := Path(place) / name).is_file()]


def _unlike(said: Counter[str]) -> Callable[[str], Markup]:
    """What numbers a name that a page has said before: regions of one page are told apart by theirs."""

    def unlike(name: str) -> Markup:
        said[name] += 1
        return escape(name if said[name] == 1 else f"{name} {said[name]}")

    return unlike


def _say(text: str, /, **places: object) -> Markup:
    """`say` for the sentences of the template: they may hold tags, what fills their places is escaped. A text that does
    not stand in the template itself is never given to this but to ``translation``, whose answer is escaped."""
    sentence = Markup(say(text))
    return sentence.format(**places) if places else sentence


def _plural(one: str, many: str, count: int, /, **places: object) -> Markup:
    """`plural` for the template."""
    return Markup(plural(one, many, count, **{name: escape(value) for name, value in places.items()}))


def script_data(value: Any) -> Markup:
    """JSON fit to stand inside a script element: no ``<``, ``>`` or ``&`` that could end it or start another."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)
