"""Text of unknown origin where it is shown: on a terminal, in Markdown, in a spreadsheet.

Records come from anybody, and so do the names, units and reasons in them. On a page the templates escape them; here is
what the other places need. Standard library only.
"""

from __future__ import annotations

import re
from dataclasses import fields, replace
from typing import Any, TypeVar

CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""What steers a terminal or the direction of writing, and halves of characters."""
LONGEST = 300
"""Most characters of a refusal."""

T = TypeVar("T")


def visible(text: str, keep: str = "") -> str:
    """The text with control characters written out, as JSON writes them, but for those in ``keep``."""
    if text.isprintable():  # then it holds none of them
        return text
    return CONTROL.sub(lambda m: m[0] if m[0] in keep else f"\\u{ord(m[0]):04x}", text)


def one_line(text: str, most: int | None = None) -> str:
    """The text as one line without control characters, of ``most`` characters at most: of a longer one the middle is left
    out."""
    line = visible(" ".join(text.split()))
    if most is None or len(line) <= most:
        return line
    # What is wrong stands at the beginning, what to do at the end.
    tail = most // 3
    return f"{line[: most - tail - 5]} ... {line[-tail:]}"


MARKDOWN = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "[": "&#91;", "]": "&#93;", "`": "&#96;", "|": "&#124;"}
"""What begins a tag, a link, a picture, code or a cell of a table, and how it is written as text."""
_UNSAFE = re.compile(r"[&<>\[\]`|]|(?<!\w)@(?=\w)")


def in_markdown(text: str) -> str:
    """The text as Markdown shows it unchanged: no tags, links, pictures, code or cells in it, nobody mentioned."""
    line = visible(" ".join(text.split()) if CONTROL.search(text) else text)
    return _UNSAFE.sub(lambda m: MARKDOWN.get(m[0], "&#64;"), line)


def for_markdown(value: Any) -> Any:
    """A JSON value with every text in it as Markdown shows it; unchanged where nothing in it needs that."""
    if isinstance(value, str):
        return in_markdown(value) if _UNSAFE.search(value) or CONTROL.search(value) else value
    if isinstance(value, dict):
        return {for_markdown(k): for_markdown(v) for k, v in value.items()}
    return type(value)(map(for_markdown, value)) if type(value) in (list, tuple) else value


def fields_for_markdown(thing: T, *kept: str) -> T:
    """A dataclass with the text of its fields as Markdown shows it, but for the ``kept`` ones."""
    changed = {}
    for f in fields(thing):  # type: ignore[arg-type]
        if f.init and f.name not in kept:
            before = getattr(thing, f.name)
            after = for_markdown(before)
            if after is not before and after != before:
                changed[f.name] = after
    return replace(thing, **changed) if changed else thing  # type: ignore[type-var]


def in_spreadsheet(value: Any) -> Any:
    """A cell that a spreadsheet takes as text, not as a formula; numbers as they are."""
    if not isinstance(value, str):
        return value
    line = visible(value, keep="\n")
    return f"'{line}" if line[:1] in ("=", "+", "-", "@") or value[:1] in ("\t", "\r") else line
