"""The number that each answer hangs on, and which model to sample from or to interpolate in.

*Hinge*: the one measure that a question's answer is first of all about, with what it is read beside. Where a run did not
measure it, the next best stands in its place.

*Choice*, of all models of a table: those with the best answer to the question (yes, partly, not told, no, not asked, in this order).
Where several share it, those of them that lead the hinge (`latentbench.stats.findings.claims`); where nobody leads, all of
them. Nobody is chosen whose answer is a no, was not told or not asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

from latentbench.records import once
from latentbench.stats.cells import Cell, Interval
from latentbench.stats.findings.answers import of_table
from latentbench.stats.findings.claims import standing
from latentbench.stats.findings.finding import Answer, Word
from latentbench.stats.findings.table import Table

HINGES: Mapping[str, tuple[tuple[str, str], ...]] = {
    "continuous": (("path.validity_gain", ""), ("path.tortuosity", "")),
    "complete": (("validity.normal", "ceiling:real"), ("hole", "")),
    "reconstructs": (("r2", "baseline:pca"), ("mse", "baseline:pca")),
    "posterior": (("punctual_index", ""), ("kl", "")),
}
"""By question: measures, the first that was measured counts, each with the reference that it is read beside."""

BEST_FIRST: tuple[Word, ...] = ("yes", "partly", "not told", "no", "not asked")
Basis = Literal["answer", "ahead", "equivalent", "not told apart", "one seed", "nobody"]


class Hinge(NamedTuple):
    """What an answer hangs on: the ``metric``, a model's ``interval`` in it, and the value ``beside``, None without one."""

    metric: str
    interval: Interval
    beside: float | None


class Choice(NamedTuple):
    """The ``models`` to take where the ``question`` is what matters, whose common answer is ``word``. ``basis``: why these:
    the only ones with this ``answer``, ``ahead`` of the others with it, or none of several ahead; ``nobody``: no model has
    a yes or a partly, ``word`` is the best there is and ``models`` are empty."""

    question: str
    models: tuple[str, ...]
    word: Word
    basis: Basis


def hinges(table: Table, question: str) -> tuple[tuple[str, str], ...]:
    """`HINGES` of a question, in a table of models of different priors with each model's own."""
    return tuple((table.of_prior(metric), name) for metric, name in HINGES[question])


def hinge(table: Table, model: str, question: str) -> Hinge | None:
    """The number that a model's answer hangs on; None where nothing was measured."""
    for metric, name in hinges(table, question):
        if (interval := table.get(model, metric)) is not None:
            return Hinge(metric, interval, table.reference(metric, name) if name else None)
    return None


def hinge_row(table: Table, question: str) -> list[Cell]:
    """The cells of all models in the first measure of a question that any of them has a value in."""
    return next((row for metric, _ in hinges(table, question) if (row := table.row(metric, collapsed=True))), [])


@once
def given_answers(table: Table) -> Mapping[tuple[str, str], Answer]:
    """The answers of a table by model and question."""
    return {(a.model, a.question): a for a in of_table(table)}


def choice(table: Table, question: str) -> Choice:
    """Which model to take where this question is what matters."""
    words = {m: given_answers(table)[m, question].answer for m in table.models}
    best = min(words.values(), key=BEST_FIRST.index)
    if best not in ("yes", "partly"):
        return Choice(question, (), best, "nobody")
    models = tuple(m for m in table.models if words[m] == best)
    if len(models) == 1:
        return Choice(question, models, best, "answer")
    found = standing([c for c in hinge_row(table, question) if c.model in models])
    if found is None or found.open:
        return Choice(question, models, best, "one seed" if found else "not told apart")
    if found.ahead:
        return Choice(question, found.ahead, best, "ahead")
    return Choice(question, models, best, "equivalent" if found.equivalent else "not told apart")
