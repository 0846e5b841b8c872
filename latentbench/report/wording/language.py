"""The languages of the report. A sentence is written once, in English, as a template with named places:

    say("{other} {does} than {first}: {numbers}.", other="vae", ...)

The English template is its own key: English needs no catalog, and any other language is one file beside this one, the
gettext catalog ``languages/<code>.po``, read as it stands. A translation has the same places, in whatever order its
grammar asks for, and as many plural forms as its language has, by the rule in the catalog's header. What the catalog
lacks (a plug-in's words) is said in English.

A reason in a record is translated by its code, which stands in the catalog as the context of the message: so the records
of a measure that is no longer installed, or whose English was put better since, are still said in every language.

The language in force travels in a context variable, as precision does in `decimal`: sentences are put together by some
hundred small functions, most of which would carry a language only to hand it on. Nothing but `speaking` sets it, for the
length of one ``with`` block, so nothing leaks from one page to the next or between threads.

Babel is imported only to read a catalog: what speaks English, and the command line, start without it.
"""

from __future__ import annotations

import difflib
import gettext
import io
import re
import string
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from latentbench.config import LANGUAGES, languages
from latentbench.records import Reason
from latentbench.report.wording import subject

if TYPE_CHECKING:
    from babel.messages import Catalog, Message

T = TypeVar("T")

SPOKEN_AS = re.compile(r'^"X-Language-Name: (.+?)\\n"$', re.MULTILINE)
"""The line of a catalog's header in which a language says its own name."""
UNSPACED = re.compile(r'^"X-Space-Between-Sentences: no\\n"$', re.MULTILINE)
"""The line of a catalog's header that says that sentences follow each other without a space: as a translation of " " a
catalog could not say so, where nothing means untranslated."""


class Language(NamedTuple):
    """``code`` as asked for (``zh``), ``tag`` for the page's lang attribute (``zh-CN``), its own ``name``, the
    ``space`` between two sentences, its ``sentences`` by their English templates, its ``reasons`` by their codes, ``known``: for each of these a pattern
    of the English sentence, and the translation with its places bare, as what fills them is then text; and the ``nouns`` of
    other spaces than images (see `subject`)."""

    code: str
    tag: str
    name: str
    space: str
    sentences: gettext.NullTranslations
    reasons: Mapping[str, str]
    known: tuple[tuple[re.Pattern[str], str], ...]
    nouns: Mapping[str, subject.Rules] = MappingProxyType({})


ENGLISH = Language(
    "en", "en", "English", " ", gettext.NullTranslations(), MappingProxyType({}), (), MappingProxyType(subject.ENGLISH)
)
_spoken: ContextVar[Language] = ContextVar("language", default=ENGLISH)


def codes() -> tuple[str, ...]:
    """The languages there are: English, and one for each file of the folder."""
    return languages()


@cache
def language(code: str) -> Language:
    """A language by its code. Raises ValueError in one line for one that is not there, with the nearest that is, and for
    a catalog that cannot be read."""
    if code == ENGLISH.code:
        return ENGLISH
    if code not in codes():
        near = difflib.get_close_matches(code.lower(), codes(), n=1, cutoff=0.5)
        hint = f"; did you mean '{near[0]}'?" if near else ""
        raise ValueError(f"lang: '{code}' is no language of the report{hint} (allowed: {', '.join(codes())})")
    return read(LANGUAGES / f"{code}.po")


def read(path: Path) -> Language:
    """The language of a catalog; what it leaves untranslated, or marks as fuzzy, is said in English. Raises ValueError,
    naming the file, where it is no catalog, or its header lacks the language, its name or its plural forms."""
    from babel.messages.mofile import write_mo

    text = path.read_text("utf-8")
    catalog = parse(path)
    name = SPOKEN_AS.search(text)
    if catalog.locale_identifier is None or name is None or '"Plural-Forms:' not in text:
        raise ValueError(f"languages/{path.name}: its header needs Language, X-Language-Name and Plural-Forms")
    reasons, known = {}, []
    for message in list(catalog):
        if message.id and not translated(message):
            catalog.delete(message.id, message.context)
        elif message.context:
            reasons[message.context] = str(message.string)
            known.append((_pattern(str(message.id)), _bare(str(message.string))))
    compiled = io.BytesIO()
    write_mo(compiled, catalog)
    compiled.seek(0)
    tag = catalog.locale_identifier.replace("_", "-")
    space = "" if UNSPACED.search(text) else " "
    try:
        nouns = subject.rules(text)
    except (ValueError, re.error) as error:
        raise ValueError(f"languages/{path.name}: {error}") from None
    # What is not translated is said in English, by its rules.
    nouns = {name: (*nouns.get(name, ()), *english) for name, english in subject.ENGLISH.items()}
    return Language(
        path.stem, tag, name[1], space, gettext.GNUTranslations(compiled), MappingProxyType(reasons), tuple(known),
        MappingProxyType(nouns),
    )  # fmt: skip


def translated(message: Message) -> bool:
    """Whether a message has a translation, in all of its plural forms, that is not marked as fuzzy."""
    forms = [message.string] if isinstance(message.string, str) else message.string or [""]
    return all(forms) and not message.fuzzy


def parse(path: Path) -> Catalog:
    """The messages of a catalog's file. Raises ValueError, naming the file, where it is none."""
    from babel.messages.pofile import PoFileError, read_po

    try:
        with path.open("rb") as file:
            catalog = read_po(file, abort_invalid=True)
    except (PoFileError, UnicodeDecodeError) as error:
        raise ValueError(f"languages/{path.name} is no gettext catalog: {error}") from None
    return catalog


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


def _of_subject(template: str) -> str:
    """A template of images in the language in force, told of what is spoken of."""
    rules = None if subject.subject() == subject.IMAGE else _spoken.get().nouns.get(subject.subject())
    return template if rules is None else subject.told(template, rules)


def say(text: str, /, **places: object) -> str:
    """A sentence in the language in force, its named places filled; without places it may hold any braces."""
    if not text.strip():  # gettext answers "" with the catalog's header
        return text and _spoken.get().space
    translation = _of_subject(_spoken.get().sentences.gettext(text))
    return translation.format(**places) if places else translation


def plural(one: str, many: str, count: int, /, **places: object) -> str:
    """A sentence in the form that the language in force has for ``count``, in English ``one`` where it is 1, else
    ``many``; ``{n}`` stands for the count."""
    return _of_subject(_spoken.get().sentences.ngettext(one, many, count)).format(n=count, **places)


def because(reason: Reason) -> str | None:
    """A reason with a code in the language in force, from its values. None where the catalog does not know it, or its
    translation asks for other values."""
    if reason.code not in _spoken.get().reasons:
        return None
    try:
        return _of_subject(_spoken.get().reasons[reason.code]).format(**reason.values)
    except (KeyError, IndexError, ValueError):
        return None


def recognised(text: str) -> str | None:
    """What a record made before there were codes says, in the language in force: its sentence as it stands, or fitted
    into the template of a reason, word by word. None where the catalog does not know it."""
    whole = say(text)
    if whole != text:
        return whole
    for pattern, translation in _spoken.get().known:
        if match := pattern.fullmatch(text):
            return _of_subject(translation).format(**match.groupdict())
    return None


def _pattern(template: str) -> re.Pattern[str]:
    """What finds in a sentence what fills the template's places: a word each."""
    out, seen = "", set[str]()
    for text, name, _, _ in string.Formatter().parse(template):
        out += re.escape(text)
        if name is not None:
            out += f"(?P={name})" if name in seen else rf"(?P<{name}>\S+)"
            seen.add(name)
    return re.compile(out)


def _bare(template: str) -> str:
    """The template without the form of its numbers: ``{share:.1%}`` as ``{share}``."""
    parts = string.Formatter().parse(template)
    return "".join(
        text.replace("{", "{{").replace("}", "}}") + ("" if n is None else f"{{{n}}}") for text, n, _, _ in parts
    )


def marked(texts: T) -> T:
    """The same texts, noted as ones that are said later (``say(name)``): a text, or any nest of tuples, calls and values
    of dicts, each text in which then belongs into every catalog."""
    return texts
