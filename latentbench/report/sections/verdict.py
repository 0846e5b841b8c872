"""The verdict: the page's questions, each with its answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from latentbench.report.folder import RunFolder
from latentbench.report.page_view import PageView
from latentbench.report.section import Context, Section
from latentbench.report.wording.findings import answers as of_models
from latentbench.report.wording.findings import statements
from latentbench.report.wording.language import marked, say
from latentbench.stats.findings.table import claims_together

QUESTIONS = marked({
    "continuous": ("Is it continuous?", "Two close latent points should decode to similar, meaningful images."),
    "complete": ("Is it complete?", "A point drawn from the prior should decode to something meaningful."),
    "cost": ("What did it cost?", "Regularising a latent space takes something from reconstruction and time."),
    "posterior": ("Why mu and sigma?", "What the cloud around each code does that a point cannot."),
    "how sure": ("How sure is this?", "What these answers rest on."),
})  # fmt: skip


class ModelsView(NamedTuple):
    """One run's table of answers: a row a model, a column a question, with the reasons beneath."""

    headers: Sequence[str]
    rows: Sequence[of_models.Row]
    run: str


class AnswerView(NamedTuple):
    """One question with its answer in a sentence and the sentences that carry the numbers."""

    key: str
    question: str
    meaning: str
    headline: str
    sentences: Sequence[str]
    run: str


def answers(runs: Sequence[RunFolder]) -> list[AnswerView]:
    """Every run's answers, in the order of `QUESTIONS`."""
    out, family = [], claims_together(run.records for run in runs)
    for run in runs:
        for v in statements(run.records, family):
            question, meaning = map(say, QUESTIONS.get(v.question, (v.question.capitalize(), "")))
            headline = _capital(v.parts[1], run.models)
            out.append(AnswerView(v.question, question, meaning, headline, v.sentences, run.label))
    order = list(QUESTIONS)
    return sorted(out, key=lambda a: order.index(a.key) if a.key in order else len(order))


def _capital(sentence: str, models: Sequence[str]) -> str:
    """A sentence with a capital, unless it opens with a model's name."""
    return sentence if sentence.startswith(tuple(models)) else sentence[:1].upper() + sentence[1:]


def models(runs: Sequence[RunFolder]) -> list[ModelsView]:
    """Every run's table of answers; none of a run that measured no model."""
    tables = (ModelsView(of_models.headers(), of_models.rows(run.records), run.label) for run in runs)
    return [table for table in tables if table.rows]


def _context(view: PageView) -> Context:
    return {"answers": answers(view.runs), "models": models(view.runs), "several": view.several}


SECTION = Section("verdict", marked("Verdict"), "verdict.html.jinja", _context, order=200)
