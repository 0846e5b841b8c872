"""The answers about each model in words: a table of them, each with the number it hangs on, and why each is what it is."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import NamedTuple

from latentbench.records import Record
from latentbench.report.wording import words
from latentbench.report.wording.findings.reasons import because, shared
from latentbench.report.wording.findings.tables import place
from latentbench.report.wording.intervals import value
from latentbench.report.wording.language import marked, say
from latentbench.stats.findings.answers import of_table
from latentbench.stats.findings.choices import HINGES, hinge, hinges
from latentbench.stats.findings.finding import ASKED, Answer, Word
from latentbench.stats.findings.table import OWN_VALIDITY, Table, tables

QUESTIONS = marked({
    "continuous": "interpolate?",
    "complete": "sample?",
    "reconstructs": "reconstruct?",
    "posterior": "regular posterior?",
})  # fmt: skip
WORDS = marked({"yes": "yes", "partly": "partly", "no": "no", "not told": "not told", "not asked": "not asked"})
MARKS: dict[Word, str] = {"yes": "●", "partly": "◐", "no": "○", "not told": "–", "not asked": "·"}
"""A shape for each answer, for whoever sees no colour."""
WHAT = marked({
    "path.validity_gain": "valid frames beyond a cross-fade's",
    "path.validity_gain.real": "valid frames beyond a real cross-fade's",
    "midpoint.validity_gain": "valid midpoints beyond a cross-fade's",
    "path.tortuosity": "path over chord",
    "path.jump": "largest step beyond an even share",
    "path.refinement": "largest step with twice the frames (1/2 = continuous)",
    "validity.normal": "valid draws from N(0, I)",
    "validity.autoregressive": "valid draws from an autoregressive prior",
    "validity.prior": "valid draws from the prior it was trained with",
    "validity.gaussian": "valid draws from a fitted Gaussian",
    "validity.mixture": "valid draws from a fitted mixture",
    "hole": "share of N(0, I) far from every code",
    "hole of its own": "share of its prior far from every code",
    "hole.gaussian": "share of a fitted Gaussian far from every code",
    "r2": "R²",
    "mse": "mean squared error",
    "punctual_index": "sigma over the spread of mu",
    "kl": "KL in nats",
})  # fmt: skip
"""What the number of an answer is, in a few words."""
BESIDE = marked({"ceiling:real": "real images {value}", "baseline:pca": "PCA {value}"})
LEGENDS = marked((
    "Interpolate: valid frames beyond a cross-fade's. Sample: valid draws from N(0, I). Reconstruct: R². Posterior: sigma "
    "over the spread of mu. Mean over seeds ± half of the 95 % t-interval.",
    "Interpolate: valid frames beyond a cross-fade's. Sample: valid draws from the prior that each was trained with. Reconstruct: "
    "R². Posterior: sigma over the spread of mu. Mean over seeds ± half of the 95 % t-interval.",
))  # fmt: skip
"""What the numbers of the table are, without and with models that have a prior of their own; where a measure was not made
another one stands in its place under its own name."""


NAMED = 6
"""Models up to which a reason names those it holds for; the table shows which they are."""
DISCRETE = marked("its codes are discrete")
FLAGS = marked({"collapsed": "collapsed", "copies": "copies", "undertrained": "undertrained"})
"""What stands beneath a model's name where its numbers are not what they seem."""


class AnswerCell(NamedTuple):
    """One answer: its ``question``, ``mark``, ``word`` and code (``answer``), the ``number`` it hangs on, ``what`` that is,
    and what is read ``beside`` it; the last three empty where nothing was measured. ``usual``: the number is the one that
    the table's legend names."""

    question: str
    mark: str
    word: str
    answer: Word
    number: str
    what: str
    beside: str
    usual: bool

    @property
    def about(self) -> str:
        """What the number is and what is read beside it."""
        return words.clauses(part for part in (self.what, self.beside) if part)

    @property
    def brief(self) -> str:
        """The answer with its number in a line: ``● yes 0.316 ± 0.020``; one that was not asked with why."""
        if self.answer == "not asked":
            return say("{answer}: {why}", answer=f"{self.mark} {self.word}", why=self.what)
        number = self.number if self.usual or not self.number else f"{self.number} ({self.what})"
        return f"{self.mark} {self.word} {number}".rstrip()


class Row(NamedTuple):
    """A model's ``name`` in the table, its spec (``model``), its ``cells`` in the order of `ASKED`, a sentence ``why`` for
    each answer that is not a bare yes, and what it is flagged as (``flags``)."""

    name: str
    model: str
    cells: tuple[AnswerCell, ...]
    why: tuple[str, ...]
    flags: tuple[str, ...] = ()

    @property
    def answers(self) -> tuple[str, ...]:
        """Each answer with its number in a line."""
        return tuple(cell.brief for cell in self.cells)


def legend(*runs: Sequence[Record]) -> str:
    """What the numbers of these runs' tables are, where a cell does not name another."""
    return say(LEGENDS[any(table.own_priors for records in runs for table in tables(records))])


def headers() -> list[str]:
    """Of the table of answers."""
    return [say("model"), *(say(QUESTIONS[question]) for question in ASKED)]


def rows(records: Sequence[Record]) -> list[Row]:
    """One for each model, table by table; where there are several tables, a name tells which."""
    every = tables(records)
    return [row for table in every for row in _of_table(table, several=len(every) > 1)]


def reasons(records: Sequence[Record]) -> list[str]:
    """Why the answers that are not a bare yes are what they are; what several models have in common is said once."""
    every = tables(records)
    return [sentence for table in every for sentence in _reasons(table, several=len(every) > 1)]


def _reasons(table: Table, several: bool) -> list[str]:
    """The reasons of one table, question by question."""
    given = sorted(of_table(table), key=lambda a: ASKED.index(a.question))
    everyone = {a.model for a in given}
    found: dict[tuple[str, Word], dict[str, list[str]]] = {}
    for answer in given:
        for code in answer.reasons:
            found.setdefault((answer.question, answer.answer), {}).setdefault(code, []).append(answer.model)
    out = []
    for (question, word), codes in found.items():
        clauses: dict[tuple[str, ...], list[str]] = {}
        for code, having in codes.items():
            for some, why in shared(table, having, code):
                clauses.setdefault(tuple(some), []).append(why)
        for models, whys in clauses.items():
            one, every = len(models) == 1, len(models) > 1 and set(models) == everyone
            crowd = say("{n} models", n=len(models)) if len(models) > NAMED else words.listed(list(models))
            who = say("all {n} models", n=len(models)) if every else crowd
            text = marked(
                "{model}, {question} {answer}: {why}." if one else "{question} {answer}, of {model} each: {why}."
            )
            out.append(
                say(
                    text,
                    model=say("{model}, {place}", model=who, place=place(table)) if several else who,
                    question=say(QUESTIONS[question]),
                    answer=say(WORDS[word]),
                    why=words.clauses(whys),
                )
            )
    return out


def _of_table(table: Table, several: bool) -> list[Row]:
    """The rows of one table."""
    found: dict[str, list[Answer]] = {}
    for answer in of_table(table):
        found.setdefault(answer.model, []).append(answer)
    out = []
    for model, given in found.items():
        name = say("{model}, {place}", model=model, place=place(table)) if several else model
        why = tuple(_why(table, name, a) for a in given if a.reasons)
        out.append(Row(name, model, tuple(_cell(table, a) for a in given), why, _flags(table, model)))
    return out


def _flags(table: Table, model: str) -> tuple[str, ...]:
    known: dict[str, Container[str]] = {
        "collapsed": table.collapse, "copies": table.copies, "undertrained": table.undertrained,
    }  # fmt: skip
    return tuple(say(FLAGS[code]) for code, which in known.items() if model in which)


def _cell(table: Table, answer: Answer) -> AnswerCell:
    """One answer with its number."""
    word, found = say(WORDS[answer.answer]), hinge(table, answer.model, answer.question)
    head = (answer.question, MARKS[answer.answer], word, answer.answer)
    if answer.answer == "not asked":
        return AnswerCell(*head, "", say(DISCRETE), "", True)
    if found is None:
        return AnswerCell(*head, "", "", "", True)
    beside = _beside(table, answer.question, found.metric, found.beside)
    coded = found.metric == OWN_VALIDITY and answer.model in table.discrete
    usual = not coded and found.metric == table.of_prior(HINGES[answer.question][0][0])
    what = (
        "validity.autoregressive"
        if coded
        else "hole of its own"
        if found.metric == "hole" and answer.model in table.own_priors
        else found.metric
    )
    if answer.question == "posterior" and found.metric != "kl":
        beside = kl_in_halves(table, answer.model)
    return AnswerCell(*head, value(found.interval), say(WHAT[what]), beside, usual)


def _beside(table: Table, question: str, metric: str, number: float | None) -> str:
    name = next((reference for m, reference in hinges(table, question) if m == metric), "")
    return say(BESIDE[name], value=words.tidy(number)) if name and number is not None else ""


def kl_in_halves(table: Table, model: str) -> str:
    """``KL 16.2 = 4.3 (means) + 11.9 (variances)``, to the first decimal at which the sum is right; empty where the model
    has no KL, the KL alone where its halves were not measured or do not make it up."""
    kl, means, rest = (table.get(model, f"kl{part}") for part in ("", ".mean_part", ".variance_part"))
    if kl is None:
        return ""
    if means is not None and rest is not None:
        for decimals in (1, 2, 3):
            units = [round(i.mean * 10**decimals) for i in (kl, means, rest)]
            if units[0] == units[1] + units[2] and min(units) > 0:
                whole, of_means, of_variances = (words.number(n / 10**decimals, decimals) for n in units)
                text = marked("KL {kl} = {means} (means) + {rest} (variances)")
                return say(text, kl=whole, means=of_means, rest=of_variances)
    return say("KL {kl} nats", kl=words.tidy(kl.mean))


def _why(table: Table, name: str, answer: Answer) -> str:
    """One answer with its reasons."""
    return say(
        "{model}, {question} {answer}: {why}.",
        model=name,
        question=say(QUESTIONS[answer.question]),
        answer=say(WORDS[answer.answer]),
        why=words.clauses(because(table, answer.model, code) for code in answer.reasons),
    )
