"""A study's published figures beside what this run measured.

A *band* is a figure published elsewhere for one model and measure, with a tolerance: ``8%`` of the figure or an absolute
``.06``. The measured mean is *inside* where it lies within the tolerance; figures without a tolerance are there for
orientation and judge nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from latentbench.records import Record, run_record
from latentbench.report.page_view import PageView
from latentbench.report.section import Context, Section
from latentbench.report.wording import words
from latentbench.report.wording.intervals import value
from latentbench.report.wording.language import marked, say
from latentbench.stats.cells import Cell, Interval, summarise

HEADERS = marked(("model", "measure", "published", "measured"))
VERDICTS = {True: marked("inside"), False: marked("outside"), None: marked("for orientation")}


class Band(NamedTuple):
    """One figure: ``published`` with the ``tolerance`` in the measure's own unit (None: for orientation), what was
    ``measured`` (None: nothing), and ``inside`` (None where nothing is judged)."""

    model: str
    metric: str
    split: str
    published: float
    tolerance: float | None
    measured: Interval | None
    inside: bool | None


def beside(records: Sequence[Record]) -> list[Band]:
    """Every published figure of the run's study for a model that was run; none where the run is of no such study."""
    head = run_record(records)
    note: Mapping[str, Any] = (head.detail.get("study") or {}) if head else {}
    published: Mapping[str, Mapping[str, float]] = note.get("bands") or {}
    cells: dict[tuple[str, str, str], Cell] = {}
    for c in summarise(records):
        if not head or c.run == head.run:
            cells.setdefault((c.model, c.metric, c.split), c)
    asked = {c.model for c in cells.values()}
    out = []
    for model, figures in published.items():
        for key, figure in figures.items():
            metric, _, split = key.partition("@")
            width = _width(key, float(figure), note.get("tolerance") or {})
            cell = cells.get((model, metric, split or "test"))
            measured = cell.interval if cell else None
            inside = None if measured is None or width is None else abs(measured.mean - figure) <= width + 1e-12
            if model in asked:
                out.append(Band(model, metric, split or "test", float(figure), width, measured, inside))
    return out


def headers() -> list[str]:
    """What stands over `row`."""
    return [*map(say, HEADERS), ""]


def row(band: Band) -> list[str]:
    """One band in words: model, measure, the figure with its tolerance, the measured mean with its half-width, and the
    verdict."""
    allowed = f" ± {words.tidy(band.tolerance)}" if band.tolerance else say(" exactly") if band.tolerance == 0 else ""
    measured = say("not measured") if band.measured is None else value(band.measured)
    verdict = say(VERDICTS[band.inside])
    split = "" if band.split == "test" else f" ({band.split})"
    return [band.model, band.metric + split, words.tidy(band.published) + allowed, measured, verdict]


def _width(key: str, value: float, tolerance: Mapping[str, str]) -> float | None:
    """The tolerance of a measure in its own unit: its own, its family's, or None."""
    metric = key.partition("@")[0]
    word = tolerance.get(key, tolerance.get(metric, tolerance.get(f"{metric.partition('.')[0]}.*")))
    if word is None:
        return None
    return abs(value) * float(word[:-1]) / 100 if word.endswith("%") else float(word)


def _context(view: PageView) -> Context | None:
    published = [(run, [row(b) for b in bands]) for run in view.runs if (bands := beside(run.records))]
    return {"published": published, "headers": headers(), "several": view.several} if published else None


SECTION = Section("published", "", "published.html.jinja", _context, order=500)
