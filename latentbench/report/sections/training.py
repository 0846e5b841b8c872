"""Training: the loss of every seed, epoch by epoch, where it was best and where it stopped, and what a model costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from markupsafe import Markup

from latentbench.report.cards import cards
from latentbench.report.columns import Column
from latentbench.report.drawing import figures
from latentbench.report.folder import Absent
from latentbench.report.page_view import PageView
from latentbench.report.section import Context, Section
from latentbench.report.wording import words
from latentbench.report.wording.language import marked, plural, say
from latentbench.stats.cells import summarise

OPEN = 3
"""Models up to which every figure stands open; of more, two do, and the others are folded."""

COSTS = 6
"""Models up to which what they cost stands here too; of more the scores tell it."""

ENDS = {
    "early": marked("stopped early"),
    "limit": marked("ran to the limit"),
    "some": marked("{some} of {n} stopped early"),
    "": marked("last epoch"),
}
"""How the seeds of a model ended."""


class Epochs(NamedTuple):
    """What is known of when each seed's training was best (``best``, epochs counted from 1) and when it ended (``last``),
    and how it ended: a key of `ENDS`, with how many stopped early."""

    best: Mapping[int | None, int]
    last: Mapping[int | None, int]
    end: str
    early: int


def epochs(column: Column, lengths: Mapping[int | None, int]) -> Epochs:
    """The best and last epochs of one model's seeds, those whose curves have these ``lengths``. A training ended early where
    it had fewer epochs than the run allowed; where that is not recorded nothing is said of it."""
    best = {seed: k for seed, k in column.run.best_epochs_of(column.model).items() if seed in lengths}
    allowed = (column.run.detail.get("config") or {}).get("epochs")
    early = sum(n < allowed for n in lengths.values()) if isinstance(allowed, int) else 0
    end = "" if not isinstance(allowed, int) else "limit" if not early else "early" if early == len(lengths) else "some"
    return Epochs(best, lengths, end, early)


def training(column: Column) -> tuple[Markup, str]:
    """Loss curves of one model over all seeds, and a line about them."""
    train, val = column.run.losses_of(column.model)
    if not (train or val):
        raise Absent(say("Not drawn: this run recorded no loss curves of {model}.", model=column.model))
    found = epochs(column, {seed: len(c) for seed, c in (train or val).items()})
    last = list(found.last.values())
    about = plural("{n} seed, {epochs} epochs", "{n} seeds, {epochs} epochs", len(last),
                   epochs=words.span(str(min(last)), str(max(last))))  # fmt: skip
    ends = []
    if found.best:
        ends.append((_mean(found.best), _at(say("best"), found.best)))
    ending = say(ENDS[found.end], some=found.early, n=len(last)) if found.end == "some" else say(ENDS[found.end])
    ends.append((_mean(found.last), _at(ending, found.last)))
    label = say("Loss of {model} over epochs, {about}; {ends}.", model=column.label, about=about,
                ends=words.commas(text for _, text in ends))  # fmt: skip
    return figures.training(train, val, found.best, ends, column.m, label), about


def _mean(values: Mapping[int | None, int]) -> float:
    return sum(values.values()) / len(values)


def _at(what: str, values: Mapping[int | None, int]) -> str:
    """``best: 114 to 150``."""
    return say("{what}: {epochs}", what=what, epochs=words.span(str(min(values.values())), str(max(values.values()))))


def costs(columns: Sequence[Column]) -> list[tuple[Column, Sequence[str]]]:
    """Parameters, FLOPs and training of each model, as recorded; of many, those of which the scores hold none."""
    out: list[tuple[Column, Sequence[str]]] = []
    for column in columns:
        means = {c.metric: c.interval.mean for c in column.run.cells_of.get(column.model, ()) if c.interval}
        if len(columns) > COSTS and "cost.parameters" in means:
            continue
        declared = (column.run.detail.get("models") or {}).get(column.model) or {}
        parameters = means.get("cost.parameters", declared.get("parameters"))
        row = [
            words.count(parameters),
            words.engineering(means.get("cost.flops.encode"), "FLOP"),
            words.engineering(means.get("cost.flops.decode"), "FLOP"),
            words.quantity(means.get("train.epochs"), "epochs"),
            f"{words.number(means['train.seconds'])}{words.THIN}s" if "train.seconds" in means else "—",
        ]
        if any(v != "—" for v in row):
            out.append((column, row))
    return out


def _context(view: PageView) -> Context:
    shown = {(c.run, c.model) for c in view.columns}
    cells = ((run, c) for run in view.runs for c in summarise(run.records) if c.metric == "train.seconds")
    disturbed = any(c.disturbed for run, c in cells if (run, c.model) in shown)
    made = cards(view.pictured, training)
    seen = len(made) if len(made) <= OPEN else 2
    return {"cards": made[:seen], "folded": made[seen:], "costs": costs(view.columns), "disturbed": disturbed}


SECTION = Section("training", marked("Training"), "training.html.jinja", _context, order=1200)
