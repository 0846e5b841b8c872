"""The verdict: each model's answers in a picture, what to take for what and do next, then the page's questions one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from latentbench.artifact_schema import OWN_SAMPLER
from latentbench.report.columns import Column
from latentbench.report.drawing import images
from latentbench.report.drawing.images import Picture
from latentbench.report.folder import Absent, Array, RunFolder
from latentbench.report.page_view import SENTENCES, PageView
from latentbench.report.section import Context, Section
from latentbench.report.wording import words
from latentbench.report.wording.findings import answers as of_models
from latentbench.report.wording.findings import statements
from latentbench.report.wording.findings.choices import Brief, briefs
from latentbench.report.wording.findings.claim_tables import ClaimTable, by_measure, by_model, signs
from latentbench.report.wording.findings.claims import Definitions, Statement, sentences
from latentbench.report.wording.findings.next_step import Step, following
from latentbench.report.wording.language import marked, say
from latentbench.stats.findings.finding import ASKED
from latentbench.stats.findings.table import claims_together

QUESTIONS = marked({
    "continuous": ("Is it continuous?", "Two close latent points should decode to similar, meaningful images."),
    "complete": ("Is it complete?", "A point drawn from the prior should decode to something meaningful."),
    "cost": ("What did it cost?", "Regularising a latent space takes something from reconstruction and time."),
    "posterior": ("Why mu and sigma?", "What the cloud around each code does that a point cannot."),
    "how sure": ("How sure is this?", "What these answers rest on."),
})  # fmt: skip
OPEN = 12
"""Models of a run whose answers stand open where there are more of them; the rest is folded."""
BRIEFS = 2
"""Tables up to which what they come to stands open."""
THUMBS = 3
"""Pictures of each kind in a row of answers."""


class Thumb(NamedTuple):
    """One small picture: the judge's ``mark`` beneath it and the css class of its frame, both empty without a judge."""

    picture: Picture
    alt: str
    mark: str
    kind: str


class Thumbs(NamedTuple):
    """A model's pictures by question; ``missing``: why there are none of it, in two words."""

    of: Mapping[str, Sequence[Thumb]]
    missing: Mapping[str, str]


class RowView(NamedTuple):
    """A model's row of the grid: its ``cells`` and, where it is pictured, its pictures."""

    name: str
    column: Column | None
    cells: Sequence[of_models.AnswerCell]
    thumbs: Thumbs | None
    flags: Sequence[str]


class GridView(NamedTuple):
    """One run's grid: ``rows`` that stand open, the ``rest``, the reasons (``why``), the seeds of the pictures, whether a
    judge ruled on these (``judged``), and what all rows are flagged as."""

    run: str
    rows: Sequence[RowView]
    rest: Sequence[RowView]
    why: Sequence[str]
    seeds: frozenset[int]
    judged: bool
    flags: Sequence[str] = ()


class AnswerView(NamedTuple):
    """One question with its answer in a sentence, ``tables`` of the claims it rests on, and sentences that say the rest;
    of one model alone, of which nothing is claimed, these carry the numbers."""

    key: str
    question: str
    meaning: str
    headline: str
    sentences: Sequence[str]
    tables: Sequence[ClaimTable]
    run: str


class BriefView(NamedTuple):
    """What one run comes to: its tables in a few lines each, and what to do next."""

    run: str
    briefs: Sequence[Brief]
    next: Step | None


def stated(runs: Sequence[RunFolder]) -> list[tuple[RunFolder, list[Statement]]]:
    """Each run with its statements, whose claims are adjusted for all of the page."""
    family = claims_together(run.records for run in runs)
    return [(run, statements(run.records, family)) for run in runs]


def answers(said: Sequence[tuple[RunFolder, Sequence[Statement]]], tabled: bool = False) -> list[AnswerView]:
    """Every run's answers, of what is `stated`, in the order of `QUESTIONS`; ``tabled``: tables have a row a model."""
    out = []
    for run, made in said:
        definitions = run.detail.get("definitions") or {}
        for v in made:
            question, meaning = map(say, QUESTIONS.get(v.question, (v.question.capitalize(), "")))
            headline = _capital(v.parts[1], run.models)
            table = (by_model if tabled else by_measure)(v.claims, definitions)
            found = [t for t in (v.values if tabled else None, table) if t is not None]
            told = _without(v, definitions)
            told = [s for s in told if s not in v.instead] if tabled and v.values else told
            out.append(AnswerView(v.question, question, meaning, headline, told, found, run.label))
    order = list(QUESTIONS)
    out.sort(key=lambda a: order.index(a.key) if a.key in order else len(order))
    return _said_once(out)


def _said_once(given: Sequence[AnswerView]) -> list[AnswerView]:
    """The answers without what was said of the same run before, as of each of its latent sizes the same of its judge."""
    said: set[tuple[str, str]] = set()
    out = []
    for a in given:
        fresh = [s for s in a.sentences if (a.run, s) not in said]
        said |= {(a.run, s) for s in a.sentences}
        out.append(a._replace(sentences=fresh))
    return out


def _without(v: Statement, definitions: Definitions) -> list[str]:
    """The sentences that are no claim of several models, and that the lines above do not say in short."""
    told = {*sentences((c for c in v.claims if c.comparisons), definitions), *v.brief}
    return [s for s in v.sentences if s not in told]


def _capital(sentence: str, models: Sequence[str]) -> str:
    """A sentence with a capital, unless it opens with a model's name."""
    return sentence if sentence.startswith(tuple(models)) else sentence[:1].upper() + sentence[1:]


def grids(view: PageView) -> list[GridView]:
    """Every run's grid of answers; none of a run that measured no model."""
    out = []
    pictured = {(id(c.run), c.model): c for c in view.pictured}
    for run in view.runs:
        columns = {c.model: c for c in view.columns if c.run is run}
        rows, seeds = [], set[int]()
        answered = of_models.rows(run.records)
        for k, row in enumerate(answered):
            column = columns.get(row.model)
            shown = (id(run), row.model) in pictured and k < SENTENCES
            rows.append(RowView(row.name, column, row.cells, thumbs(column) if shown and column else None, row.flags))
            if shown and column:
                seeds |= {s for role in ("samples", "strips") if (s := _seed(column, role)) is not None}
        if rows:
            each = [sentence for row in answered for sentence in row.why]
            why = each if len(rows) <= SENTENCES else of_models.reasons(run.records)
            shared = [flag for flag in rows[0].flags if all(flag in row.flags for row in rows)] if len(rows) > 1 else []
            rows = [row._replace(flags=[flag for flag in row.flags if flag not in shared]) for row in rows]
            some = len(rows) if len(rows) <= OPEN + 2 else OPEN
            seen = [t for row in rows if row.thumbs for pictures in row.thumbs.of.values() for t in pictures]
            judged = any(t.mark for t in seen)
            out.append(
                GridView(
                    run.label, rows[:some], rows[some:], why, frozenset(seeds) if seen else frozenset(), judged, shared
                )
            )
    return out


def _seed(column: Column, role: str) -> int | None:
    try:
        return column.run.artifact(role, column.model).seed  # type: ignore[arg-type]
    except Absent:
        return None


def thumbs(column: Column) -> Thumbs:
    """Three frames of a model's first interpolation and its first three draws from its prior, none of them chosen."""
    of: dict[str, list[Thumb]] = {}
    missing: dict[str, str] = {}
    for question, make in (("continuous", _frames), ("complete", _draws)):
        try:
            of[question] = make(column)
        except (Absent, IndexError, ValueError, TypeError):
            if _has_pictures(column):
                missing[question] = say("not drawn")
    return Thumbs(of, missing)


def _has_pictures(column: Column) -> bool:
    """Whether a sample of the run's data is a picture."""
    return bool((column.run.detail.get("dataset") or {}).get("space", "image") == "image")


def _frames(column: Column) -> list[Thumb]:
    strips = column.run.artifact("strips", column.model)
    frames = strips.need("frames")[0]
    places = np.linspace(0, len(frames) - 1, THUMBS).round().astype(int)
    valid = strips.need("frame_valid")[0][places] if "frame_valid" in strips else None
    alt = say("{model}, between two codes, frame", model=column.label)
    return _thumbs(frames[places], valid, alt)


def _draws(column: Column) -> list[Thumb]:
    samples = column.run.artifact("samples", column.model)
    prior = OWN_SAMPLER if f"{OWN_SAMPLER}_images" in samples else "normal"
    drawn = samples.need(f"{prior}_images")[:THUMBS]
    valid = samples.need(f"{prior}_valid")[:THUMBS] if f"{prior}_valid" in samples else None
    return _thumbs(drawn, valid, say("{model}, draw", model=column.label))


def _thumbs(pictures: Array, valid: Array | None, alt: str) -> list[Thumb]:
    out = []
    for k, picture in enumerate(images.singles(pictures)):
        if valid is None:
            out.append(Thumb(picture, f"{alt} {k + 1}", "", ""))
        else:
            word = say("valid") if valid[k] else say("refused")
            out.append(Thumb(picture, f"{alt} {k + 1}: {word}", "✓" if valid[k] else "×", "ok" if valid[k] else "no"))
    return out


def _briefs(runs: Sequence[RunFolder]) -> list[BriefView]:
    out = []
    for run in runs:
        if lines := briefs(run.records):
            out.append(BriefView(run.label, lines, following(run.records)))
    return out


def _context(view: PageView) -> Context:
    made = grids(view)
    many = sum(len(grid.rows) + len(grid.rest) for grid in made) > SENTENCES
    if view.is_sweep:  # its files and its story have what would be said of each latent size
        made = [grid._replace(why=[]) for grid in made]
    lines, said = _briefs(view.runs), stated(view.runs)
    told = answers(said, tabled=many)
    if view.is_sweep:
        told = [a if a.key == "how sure" else a._replace(sentences=[], tables=[]) for a in told]
    own_prior = any(c.run.has_own_prior(c.model) for c in view.columns)
    return {
        "answers": told,
        "signs": signs([claim for _, made in said for v in made for claim in v.claims]),
        "grids": made,
        "headers": of_models.headers()[1:],
        "asked": ASKED,
        "many": many,
        "sweep": view.is_sweep,
        "seeds": words.commas(map(str, sorted(frozenset().union(*(grid.seeds for grid in made))))),
        "judged": any(grid.judged for grid in made),
        "legend": of_models.legend(*(run.records for run in view.runs)),
        "own_prior": own_prior,
        "briefs": lines,
        "folded": sum(len(b.briefs) for b in lines) > BRIEFS,
        "several": view.several,
    }


SECTION = Section("verdict", marked("Verdict"), "verdict.html.jinja", _context, order=200)
