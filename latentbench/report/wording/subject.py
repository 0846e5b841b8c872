"""What a page speaks of: images, vectors, series, or samples where its runs differ.

The report's sentences are written of images. Of other data they hold as they stand, but for the noun: so nothing is written
twice. Within `about` every template has its nouns put in place of "image" and "pixel" before it is filled; what fills it (a
model's name, a number) is left alone, and so are tags. The nouns of another language stand in the header of its catalog,
``X-Nouns-vector: 图像 => 向量 ; ...``, regular expressions in the order in which they are applied.

Standard library only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any

from latentbench.records import Record, run_record

IMAGE, MIXED = "image", "sample"
"""The space that sentences are written of, and what stands for several spaces on one page."""

Rules = tuple[tuple[re.Pattern[str], str], ...]
"""Patterns and what stands in their place, applied in this order."""

HEADER = re.compile(r'^"X-Nouns-(\w+): (.+?)\\n"$', re.MULTILINE)
APART = re.compile(r"(\{[^{}]*\}|<[^<>]*>)")
"""What is no prose in a template: places and tags."""


def _english(one: str, many: str, part: str) -> Rules:
    """Rules that speak of ``one`` and ``many`` instead of an image, and of a ``part`` of it instead of a pixel."""
    pairs = (
        ("an image", f"a {one}"), ("An image", f"A {one}"), ("images", many), ("image", one),
        ("pixels", f"{part}s"), ("pixel", part), ("intensity", part),
    )  # fmt: skip
    capitals = [(a.capitalize(), b.capitalize()) for a, b in pairs[2:]]
    return tuple((re.compile(rf"\b{a}\b"), b) for a, b in (*pairs, *capitals))


ENGLISH: Mapping[str, Rules] = {
    "vector": _english("vector", "vectors", "value"),
    "series": _english("series", "series", "value"),
    MIXED: _english("sample", "samples", "value"),
}
_subject: ContextVar[str] = ContextVar("subject", default=IMAGE)


def subject() -> str:
    """The name of the space that is spoken of."""
    return _subject.get()


@contextmanager
def about(name: str) -> Iterator[None]:
    """Within this block sentences speak of samples of this space; of one that has no nouns, of images."""
    token = _subject.set(name)
    try:
        yield
    finally:
        _subject.reset(token)


def of_data(details: Sequence[Mapping[str, Any]]) -> str:
    """The space that runs with these details speak of: their data's, `MIXED` where they differ, images where none says."""
    spaces = {str((detail.get("dataset") or {}).get("space", IMAGE)) for detail in details}
    return spaces.pop() if len(spaces) == 1 else MIXED if spaces else IMAGE


def of_records(rows: Sequence[Record]) -> str:
    """The space that the records of one run speak of."""
    run = run_record(rows)
    return of_data([run.detail] if run else [])


def rules(header: str) -> dict[str, Rules]:
    """The rules in the header of a catalog. Raises ValueError for one without an arrow or that is no pattern."""
    out = {}
    for name, text in HEADER.findall(header):
        pairs = [rule.partition(" => ") for rule in text.split(" ; ")]
        if not all(arrow for _, arrow, _ in pairs):
            raise ValueError(f"X-Nouns-{name}: expected PATTERN => TEXT ; ..., got '{text}'")
        out[name] = tuple((re.compile(pattern), new) for pattern, _, new in pairs)
    return out


@cache
def told(template: str, of: Rules) -> str:
    """A template by these rules."""
    parts = APART.split(template)
    for i in range(0, len(parts), 2):
        for pattern, new in of:
            parts[i] = pattern.sub(new, parts[i])
    return "".join(parts)
