"""The languages of the report. A sentence is written once, in English, as a template with named places:

    say("{other} {does} than {first}: {numbers}.", other="vae", ...)

The English template is its own key: English needs no catalog, and any other language is one file beside this one,
``languages/<code>.toml``, that holds ``"English template" = "its translation"``. A translation has the same places, in
whatever order its grammar asks for. What the catalog lacks (a plug-in's words, a reason in a record) is said in English.

The language in force travels in a context variable, as precision does in `decimal`: sentences are put together by some
hundred small functions, most of which would carry a language only to hand it on. Nothing but `speaking` sets it, for the
length of one ``with`` block, so nothing leaks from one page to the next or between threads.

This module uses the standard library alone: the command line asks it what languages there are before anything is loaded.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple, TypeVar

T = TypeVar("T")

NUMBER = re.compile(r"(?<![\w.])(?:\d+(?:\.\d+)?(?:e[+-]?\d+)?|nan|inf)\b")
"""A number within a record's reason."""
FOLDER = Path(__file__).parent / "languages"


class Language(NamedTuple):
    """``code`` as asked for (``zh``), ``tag`` for the page's lang attribute (``zh-CN``), its own ``name``, and its
    ``sentences`` by their English templates."""

    code: str
    tag: str
    name: str
    sentences: Mapping[str, str]


ENGLISH = Language("en", "en", "English", MappingProxyType({}))
_spoken: ContextVar[Language] = ContextVar("language", default=ENGLISH)


def codes() -> tuple[str, ...]:
    """The languages there are: English, and one for each file of the folder."""
    return (ENGLISH.code, *sorted(path.stem for path in FOLDER.glob("*.toml")))


@cache
def language(code: str) -> Language:
    """A language by its code. Raises ValueError in one line for one that is not there, with the nearest that is."""
    if code == ENGLISH.code:
        return ENGLISH
    if code not in codes():
        near = difflib.get_close_matches(code.lower(), codes(), n=1, cutoff=0.5)
        hint = f"; did you mean '{near[0]}'?" if near else ""
        raise ValueError(f"lang: '{code}' is no language of the report{hint} (allowed: {', '.join(codes())})")
    held = tomllib.loads((FOLDER / f"{code}.toml").read_text("utf-8"))
    about, sentences = held.pop("language"), {}
    for topic, texts in held.items():
        for english, text in texts.items():
            if english in sentences:
                raise ValueError(f"languages/{code}.toml: [{topic}] translates {english!r} a second time")
            sentences[english] = text
    return Language(code, about["tag"], about["name"], MappingProxyType(sentences))


@contextmanager
def speaking(code: str) -> Iterator[Language]:
    """Within this block everything is said in a language. Raises ValueError for one that is not there."""
    token = _spoken.set(language(code))
    try:
        yield _spoken.get()
    finally:
        _spoken.reset(token)


def spoken() -> Language:
    """The language in force."""
    return _spoken.get()


def say(text: str, /, **places: object) -> str:
    """A sentence in the language in force, its named places filled; without places it may hold any braces."""
    told = _spoken.get().sentences.get(text, text)
    return told.format(**places) if places else told


def plural(one: str, many: str, count: int, /, **places: object) -> str:
    """``one`` where ``count`` is 1, else ``many``; ``{n}`` stands for the count. A catalog holds ``many`` alone: the
    languages in it have one form for every number."""
    held = _spoken.get().sentences
    text = one if count == 1 and many not in held else many
    return say(text, n=count, **places)


def recognised(text: str) -> str | None:
    """What a record says, in the language in force: looked up as it stands or, as most reasons name counts, with its
    numbers as places (``there are {0} of {1}``). None where the catalog does not know it."""
    held, numbers = _spoken.get().sentences, NUMBER.findall(text)
    if text in held:
        return held[text]
    count = iter(range(len(numbers)))
    template = NUMBER.sub(lambda _: f"{{{next(count)}}}", text)
    return held[template].format(*numbers) if template in held else None


def marked(texts: T) -> T:
    """The same texts, noted as ones that are said later (``say(name)``): a text, or any nest of tuples, calls and values
    of dicts, each text in which then belongs into every catalog."""
    return texts
