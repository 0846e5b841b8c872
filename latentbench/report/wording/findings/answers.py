"""The answers about each model in words: a table of them, and why each is what it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from latentbench.records import Record
from latentbench.report.wording import words
from latentbench.report.wording.findings.reasons import because
from latentbench.report.wording.findings.tables import place
from latentbench.report.wording.language import marked, say
from latentbench.stats.findings.answers import of_table
from latentbench.stats.findings.finding import ASKED, Answer, Word
from latentbench.stats.findings.table import Table, tables

QUESTIONS = marked({
    "continuous": "continuous?",
    "complete": "complete?",
    "reconstructs": "reconstructs?",
    "posterior": "regular posterior?",
})  # fmt: skip
WORDS = marked({"yes": "yes", "partly": "partly", "no": "no", "not told": "not told"})
MARKS: dict[Word, str] = {"yes": "●", "partly": "◐", "no": "○", "not told": "–"}
"""A shape for each answer, for whoever sees no colour."""


class Row(NamedTuple):
    """A model's ``name``, its answers in the order of `ASKED` with a mark each, and a sentence ``why`` for each that is
    not a bare yes."""

    name: str
    answers: tuple[str, ...]
    why: tuple[str, ...]


def headers() -> list[str]:
    """Of the table of answers."""
    return [say("model"), *(say(QUESTIONS[question]) for question in ASKED)]


def rows(records: Sequence[Record]) -> list[Row]:
    """One for each model, table by table; where there are several tables, a name tells which."""
    every = tables(records)
    return [row for table in every for row in _of_table(table, several=len(every) > 1)]


def _of_table(table: Table, several: bool) -> list[Row]:
    """The rows of one table."""
    found: dict[str, list[Answer]] = {}
    for answer in of_table(table):
        found.setdefault(answer.model, []).append(answer)
    out = []
    for model, given in found.items():
        name = say("{model}, {place}", model=model, place=place(table)) if several else model
        why = tuple(_why(table, name, a) for a in given if a.reasons)
        out.append(Row(name, tuple(f"{MARKS[a.answer]} {say(WORDS[a.answer])}" for a in given), why))
    return out


def _why(table: Table, name: str, answer: Answer) -> str:
    """One answer with its reasons."""
    return say(
        "{model}, {question} {answer}: {why}.",
        model=name,
        question=say(QUESTIONS[answer.question]),
        answer=say(WORDS[answer.answer]),
        why=words.clauses(because(table, answer.model, code) for code in answer.reasons),
    )
