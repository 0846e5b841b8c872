"""Definitions: every measure as this page's runs defined it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from latentbench.report.folder import RunFolder
from latentbench.report.page_view import PageView
from latentbench.report.section import Context, Section
from latentbench.report.wording import words
from latentbench.report.wording.language import marked, say

DIRECTIONS = {
    "higher": marked("direction: higher"),
    "lower": marked("direction: lower"),
    "target": marked("direction: closest to {target}"),
    "none": marked("direction: describes"),
}


NO_DEFINITION = marked("no definition recorded")


class Definition(NamedTuple):
    """A measure as this page's runs defined it."""

    metric: str
    summary: str
    source: str
    unit: str
    direction: str
    params: str


def definitions(runs: Sequence[RunFolder]) -> list[Definition]:
    """Every measure the runs declared, then those that only records name."""
    by_metric: dict[str, Definition] = {}
    for run in runs:
        for metric, d in (run.detail.get("definitions") or {}).items():
            by_metric.setdefault(metric, _definition(metric, d))
        for r in run.records:
            if r.kind == "value" and not r.metric.startswith(("throughput.", "judge.")) and r.metric not in by_metric:
                declared = {"unit": r.unit, "better": r.better, "target": r.target, "params": r.metric_params}
                own = words.own_definition(r.metric)
                by_metric[r.metric] = _definition(r.metric, {**declared, "summary": own})
    return list(by_metric.values())


def _definition(metric: str, d: Mapping[str, Any]) -> Definition:
    better, target = str(d.get("better", "none")), d.get("target")
    aim = f"{target:g}" if isinstance(target, int | float) else ""
    direction = say(DIRECTIONS["none" if better == "target" and not aim else better], target=aim)
    params = dict(d.get("params") or {})
    return Definition(
        metric, say(str(d.get("summary") or NO_DEFINITION)), str(d.get("source") or ""), say(str(d.get("unit") or "")),
        direction, words.plain(params) if params else "",
    )  # fmt: skip


def _context(view: PageView) -> Context:
    return {"definitions": definitions(view.runs)}


SECTION = Section("definitions", "", "definitions.html.jinja", _context, order=1500, within="protocol")
