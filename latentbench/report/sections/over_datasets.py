"""The table over datasets: where a page holds runs on several, each model's interquartile mean on every measure that
has a floor and a ceiling, from `latentbench.stats.over_datasets`. Nothing is ranked here: the intervals are approximate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from latentbench.report.columns import Column
from latentbench.report.folder import RunFolder
from latentbench.report.page_view import PageView
from latentbench.report.section import Context, Section
from latentbench.report.wording import words
from latentbench.report.wording.language import say
from latentbench.stats.cells import summarise
from latentbench.stats.over_datasets import OverDatasets, across_datasets


class Line(NamedTuple):
    """One model on one measure: its IQM and interval in words, the datasets behind it with their seeds, and what else
    to know."""

    metric: str
    params: str
    model: str
    iqm: str
    low: str
    high: str
    data: str
    notes: Sequence[str]


def lines(runs: Sequence[RunFolder], columns: Sequence[Column]) -> list[Line]:
    """The table's lines, a measure's models together; none for fewer than two datasets or no measure with anchors."""
    if len({run.dataset for run in runs}) < 2:
        return []
    collapsed: dict[str, list[str]] = {}
    for column in columns:
        if column.collapse:
            collapsed.setdefault(column.model, []).append(column.run.dataset)
    means = across_datasets([cell for run in runs for cell in summarise(run.records)])
    out: list[Line] = []
    for measure in dict.fromkeys(map(_measure, means)):
        out += [_line(a, measure[1], collapsed) for a in means if _measure(a) == measure]
    return out


def _measure(a: OverDatasets) -> tuple[str, str]:
    """A measure's name and its parameters in words, empty where it has none."""
    return a.metric, words.plain(dict(a.metric_params)) if a.metric_params else ""


def _line(a: OverDatasets, params: str, collapsed: Mapping[str, Sequence[str]]) -> Line:
    mean, half = words.spread(a.iqm.mean, a.iqm.half) if a.iqm.half else (words.number(a.iqm.mean), "")
    places = len(half.partition(".")[2]) if half else None
    low, high = ("" if v is None else words.number(v, places) for v in (a.iqm.low, a.iqm.high))
    notes = [say("collapsed on {data}", data=d) for d in dict.fromkeys(collapsed.get(a.model, ())) if d in a.seeds]
    notes += [say("{data}: the first run's values", data=d) for d in a.twice]
    data = ", ".join(f"{d} ({n})" for d, n in a.seeds.items())
    return Line(a.metric, params, a.model, mean, low, high, data, notes)


def _context(view: PageView) -> Context | None:
    rows = lines(view.runs, view.columns)
    return {"lines": rows} if rows else None


SECTION = Section("across", "", "over_datasets.html.jinja", _context, order=400, within="scores")
