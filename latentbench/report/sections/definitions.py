"""Definitions: every measure as this page's runs defined it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from latentbench.records import Record, is_reference
from latentbench.report.folder import RunFolder
from latentbench.report.page_view import PageView
from latentbench.report.section import Context, Section
from latentbench.report.wording import words
from latentbench.report.wording.language import marked, say

ARROWS = {
    "higher": ("↑", marked("higher is better")),
    "lower": ("↓", marked("lower is better")),
}
NO_DEFINITION = marked("no definition recorded")
OWN = ("", "latentbench", "definition")
"""Sources that name nobody else's work."""
SHARED = 5
"""Words that the definition of a variant (``judge_frechet.gaussian``) shares with the one before the point at least, to be
told by what differs."""


class Definition(NamedTuple):
    """A measure as this page's runs defined it. ``summary`` is the whole definition, ``shown`` what stands in the list: of a
    variant what differs from the measure it is one of. ``source``: the number of its source, 0 where it is of this project."""

    metric: str
    summary: str
    shown: str
    source: int
    unit: str
    arrow: str
    direction: str
    params: Sequence[str]


class Definitions(NamedTuple):
    """Every measure with a value on the page, and the sources that they refer to by number."""

    measures: Sequence[Definition]
    sources: Sequence[str]


def definitions(runs: Sequence[RunFolder]) -> Definitions:
    """Every measure that a model has a value for: those that the runs declared first, then those that only records name."""
    valued = {r.metric for run in runs for r in run.records if r.kind == "value" and r.status == "ok" and _of_model(r)}
    by_metric: dict[str, Definition] = {}
    sources: dict[str, int] = {}
    for run in runs:
        for metric, d in (run.detail.get("definitions") or {}).items():
            if metric in valued and metric not in by_metric:
                by_metric[metric] = _definition(metric, d, by_metric, sources)
        for r in run.records:
            if r.kind == "value" and r.metric in valued and r.metric not in by_metric:
                declared = {"unit": r.unit, "better": r.better, "target": r.target, "params": r.metric_params}
                own = {**declared, "summary": words.own_definition(r.metric)}
                by_metric[r.metric] = _definition(r.metric, own, by_metric, sources)
    return Definitions(list(by_metric.values()), list(sources))


def _of_model(r: Record) -> bool:
    return not r.metric.startswith(("throughput.", "judge.")) and not is_reference(r.role)


def _definition(
    metric: str, d: Mapping[str, Any], before: Mapping[str, Definition], sources: dict[str, int]
) -> Definition:
    better, target = str(d.get("better", "none")), d.get("target")
    arrow, direction = ARROWS.get(better, ("", ""))
    direction = say(direction) if direction else ""
    if better == "target" and isinstance(target, int | float):
        arrow, direction = f"→{words.THIN}{target:g}", say("{target} is best", target=f"{target:g}")
    source, summary = str(d.get("source") or ""), say(str(d.get("summary") or NO_DEFINITION))
    stem = before.get(metric.rpartition(".")[0])
    return Definition(
        metric,
        summary,
        differing(summary, stem.summary) if stem else summary,
        0 if source in OWN else sources.setdefault(source, len(sources) + 1),
        say(str(d.get("unit") or "")),
        arrow,
        direction,
        [f"{k}={words.plain(v)}" for k, v in dict(d.get("params") or {}).items()],
    )


def differing(text: str, other: str) -> str:
    """What a text says otherwise than another, between marks of omission, where both share `SHARED` words or more at their
    beginning and end together; else the text."""
    a, b = text.split(" "), other.split(" ")
    most = min(len(a), len(b)) - 1
    start = next((k for k in range(most) if a[k] != b[k]), most)
    end = next((k for k in range(most - start) if a[-1 - k] != b[-1 - k]), most - start)
    if start + end < SHARED or text == other:
        return text
    middle = " ".join(a[start : len(a) - end])
    return ("… " if start else "") + middle + (" …" if end else "")


def _context(view: PageView) -> Context:
    return {"definitions": definitions(view.runs)}


SECTION = Section("definitions", "", "definitions.html.jinja", _context, order=1500, within="protocol")
