"""Which model to take for what, what that costs, how sure it is and what to do next: each in a line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from latentbench.records import Record
from latentbench.report.wording import words
from latentbench.report.wording.findings.answers import WORDS
from latentbench.report.wording.findings.claims import standing
from latentbench.report.wording.findings.cost import training_times
from latentbench.report.wording.findings.sure import second_opinion
from latentbench.report.wording.findings.tables import place
from latentbench.report.wording.intervals import NAMED, means, of, of_models
from latentbench.report.wording.language import marked, plural, say
from latentbench.stats.cells import Cell
from latentbench.stats.findings.choices import Choice, choice, hinge
from latentbench.stats.findings.complete import complete
from latentbench.stats.findings.cost import cost
from latentbench.stats.findings.sure import sure
from latentbench.stats.findings.table import Table, tables

BASES = marked({
    "answer": "",
    "ahead": ", ahead of the others",
    "equivalent": ", equivalent",
    "not told apart": ", cannot be told apart",
    "one seed": ", undecided with one seed",
    "nobody": "",
})  # fmt: skip
NOBODY = {
    "complete": {
        "no": marked("none of them by N(0, I)"),
        "not told": marked("not told which: none is shown to fill N(0, I)"),
    },
    "continuous": {
        "no": marked("none of them"),
        "not asked": marked("not asked: codes are discrete"),
        "not told": marked("not told which: none is shown to be better between two codes than a cross-fade"),
    },
}  # fmt: skip


OF_OWN_PRIORS = {
    "no": marked("none of them by its prior"),
    "not told": marked("not told which: none is shown to fill its prior"),
}
"""The same of ``complete`` where a model has a prior of its own."""


class Brief(NamedTuple):
    """What a table says, in a few lines: each a term and what is said of it. ``place``: of which data and latent size."""

    place: str
    lines: Sequence[tuple[str, str]]


def briefs(records: Sequence[Record]) -> list[Brief]:
    """One for each table of a run."""
    return [Brief(place(table), _lines(table, records)) for table in tables(records)]


def _lines(table: Table, records: Sequence[Record]) -> list[tuple[str, str]]:
    lines = [
        (say("Sample from"), _sample(table)),
        (say("Interpolate in"), _chosen(table, choice(table, "continuous"))),
        (say("Cost"), _cost(table)),
        (say("How sure"), _sure(table, records)),
    ]
    return [(term, text) for term, text in lines if text]


def _chosen(table: Table, found: Choice) -> str:
    """The chosen models with their common answer."""
    if not found.models:
        texts = OF_OWN_PRIORS if found.question == "complete" and table.own_priors else NOBODY[found.question]
        return say(texts.get(found.word, texts["not told"]))
    models = words.listed(list(found.models))
    text = say("{models} ({answer})", models=models, answer=say(WORDS[found.word]))
    if found.basis == "not told apart" and len(found.models) > 2:
        return text + say(", none of them ahead")
    return text + (say(BASES[found.basis]) if BASES[found.basis] else "")


def _sample(table: Table) -> str:
    """Which model to sample from by its prior, what its draws are worth, and what a fitted mixture is worth."""
    found = choice(table, "complete")
    out = [_chosen(table, found)]
    for model in found.models[:1] if len(found.models) == 1 else ():
        number = hinge(table, model, "complete")
        if number is not None and number.beside is not None:
            text = marked(
                "{share} of its draws from the prior it was trained with are valid, of real images {real}"
                if table.own_priors
                else "{share} of its draws from N(0, I) are valid, of real images {real}"
            )
            real = words.percent(number.beside)
            out.append(say(text, share=words.percent(number.interval.mean), real=real))
    gains = [c for m, _ in complete(table).gains if (c := table.by.get((m, "validity.mixture")))]
    if gains:
        text = marked("by a mixture fitted to its codes {shares}")
        out.append(say(text, shares=_shares(gains)))
    return words.clauses(out)


def _shares(cells: Sequence[Cell]) -> str:
    return of_models(cells, lambda i: words.percent(i.mean))


def _cost(table: Table) -> str:
    """R², weights and training time."""
    found = cost(table)
    out = []
    if found.r2:
        beside = say(" (PCA {value})", value=words.tidy(found.pca)) if found.pca is not None else ""
        ahead = standing(found.standing)
        out.append(say("R² {means}", means=means(found.r2)) + beside + (say(", {ahead}", ahead=ahead) if ahead else ""))
    if found.parameters:
        out.append(say("parameters {counts}", counts=_listed(found.parameters, words.count)))
    if found.seconds:
        out.append(training_times(found))
    return words.clauses(out)


def _listed(cells: Sequence[Cell], told: Callable[[float], str]) -> str:
    """A number for each model; where all have the same, once; of many the least and the most."""
    values = [c.interval.mean for c in cells if c.interval]
    if len(set(values)) == 1:
        return told(values[0])
    if len(values) > NAMED:
        return words.span(told(min(values)), told(max(values)))
    return words.listed([of(told(c.interval.mean), c.model) for c in cells if c.interval])


def _sure(table: Table, records: Sequence[Record]) -> str:
    """Seeds, splits, judge."""
    found = sure(table, records)
    splits = plural("{n} split of the data", "{n} splits of the data", max(1, found.splits))
    seeds = plural("{n} seed", "{n} seeds", found.seeds) if found.seeds > 1 else say("one seed, so nothing is a claim")
    if found.judge is not None and found.judge.failing:
        judge = say("the judge failed its self-check")
    else:
        judge = say("one judge") if found.judged else say("no judge")
    return words.commas([seeds, splits, judge, *second_opinion(found)])
