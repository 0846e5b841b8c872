"""Every comparison of two models in the records of a run, as `Finding`s.

For each table (one run, dataset and latent size, held-out images) and each metric, every other model is compared with
the first that has a value and is neither collapsed nor copying. The rules, those of the sentences
(`latentbench.stats.findings.claims`):

    better, worse     p, adjusted for all claims of the page, is at most 5 %, and the difference exceeds the least one that
                      matters in the metric; which of the two, the metric's direction says. Of a metric with a target the
                      distances to it are compared. What was measured once (counts, throughput at the largest batch both
                      have) differs where the two numbers do by more than that, timings also by more than their spread
    equivalent        neither, and the paired 95 % interval lies within the least difference that matters
    not told apart    the interval reaches beyond it, or there is none because the two share one seed
    not comparable    one of the two has no value; they share no seed; the metric failed its self-check here, has no
                      direction (its difference, interval and p are given all the same), or holds nats of different
                      likelihoods; a timing is too unsteady; one of the two is collapsed or copies, except where the
                      question is the cost, which is where collapse shows; or the better of the two may not be called so:
                      it collapsed or copies, whatever the question, or hardly anything it draws is valid and the metric
                      measures completeness in codes alone

A metric is filed under the first question that its run declares (``headline``, one or several, else its ``family``), else
under the one whose answer rests on it; `other` where none does.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import Any

from latentbench.records import BY_SECOND, Record, once
from latentbench.stats.cells import Cell, comparable
from latentbench.stats.findings import complete, continuous, cost, posterior
from latentbench.stats.findings.claims import CellComparison, compare
from latentbench.stats.findings.finding import CAVEATS, OTHER, QUESTIONS, Finding, FindingVerdict
from latentbench.stats.findings.flaws import flaws
from latentbench.stats.findings.gaps import gap
from latentbench.stats.findings.sure import second_judge
from latentbench.stats.findings.table import OWN_VALIDITY, VALIDITY, Table, tables

RESTS_ON: Mapping[str, Sequence[str]] = {
    "continuous": continuous.METRICS,
    "complete": (*complete.METRICS, "valid_label_tv"),
    "posterior": posterior.METRICS,
    "cost": cost.METRICS,
    "how sure": (VALIDITY + BY_SECOND, OWN_VALIDITY + BY_SECOND),
}
OF_FAMILY = {
    "continuity": "continuous",
    "completeness": "complete",
    "posterior": "posterior",
    "reconstruction": "cost",
    "cost": "cost",
}
"""The question that a declared family of metrics belongs to."""


def findings(records: Sequence[Record]) -> list[Finding]:
    """Every finding of these records, table by table and metric by metric in order of appearance."""
    return [f for table in tables(records) for f in of_table(table)]


def of_table(table: Table) -> list[Finding]:
    """The findings of one table."""
    metrics = dict.fromkeys(c.metric for c in table.cells if table.has(c.model))
    return [f for metric in metrics for f in _of_metric(table, metric)]


def question(metric: str, definitions: Mapping[str, Mapping[str, Any]]) -> str:
    """The question a metric's findings are filed under."""
    declared = definitions.get(metric) or {}
    headline = declared.get("headline") or ()
    named = [headline] if isinstance(headline, str) else list(headline)
    named.append(OF_FAMILY.get(str(declared.get("family")), ""))
    resting = (q for q, names in RESTS_ON.items() if metric in names)
    return next((str(q) for q in named if q in QUESTIONS), next(resting, OTHER))


def _of_metric(table: Table, metric: str) -> list[Finding]:
    """The other models against the first; none where one model alone was asked."""
    cells = {m: c for m in table.models if (c := table.by.get((m, metric))) is not None}
    filed = question(metric, table.definitions)
    barred = {} if filed == "cost" else table.excluded
    order = sorted(cells, key=lambda m: 2 * (cells[m].interval is None) + (m in barred))
    return [_finding(table, filed, cells[order[0]], cells[m]) for m in cells if m != order[0]]


def _finding(table: Table, filed: str, rival: Cell, subject: Cell) -> Finding:
    if subject.metric.startswith("throughput.") and (
        pair := cost.at_largest_batch(table, subject.metric, rival.model, subject.model)
    ):
        _, rival, subject = pair
    both = compare(rival, subject) if rival.interval and subject.interval else None
    caveats = _caveats(table, rival, subject, both)
    # Nats of different likelihoods are not subtracted at all.
    found = None if both is None or "other likelihood" in caveats else both
    d = found.difference if found else None
    return Finding(
        filed,
        subject.model,
        rival.model,
        subject.metric,
        d.mean if d else None,
        d.low if d else None,
        d.high if d else None,
        found.p if found else None,
        _verdict(found, caveats, filed),
        tuple(c for c in CAVEATS if c in caveats),
        d.n if d else 0,
        table.dataset,
        table.latent_dim,
        table.run,
        adjusted=found.adjusted if found else None,
        threshold=found.threshold if found and d else None,
    )


def _verdict(both: CellComparison | None, caveats: set[str], filed: str) -> FindingVerdict:
    barring = {"no direction", "self-check failed", "unsteady timing"}
    if filed != "cost":
        barring |= {"collapsed", "copies"}
    if both is None or both.difference is None or both.outcome == "barred" or caveats & barring:
        return "not comparable"
    if both.better:
        return "better" if both.better > 0 else "worse"
    return "equivalent" if both.outcome == "equivalent" else "not told apart"


def _blurred(table: Table, rival: str, subject: str) -> bool:
    """Whether the straighter of the two is the worse at reconstructing."""
    return bool({(rival, subject), (subject, rival)} & _blurs(table))


@once
def _blurs(table: Table) -> frozenset[tuple[str, str]]:
    return frozenset((b.model, b.rival) for b in continuous.blurred(table))


def _caveats(table: Table, rival: Cell, subject: Cell, found: CellComparison | None) -> set[str]:
    """Codes of everything a reader of the difference should know."""
    both, metric = (rival, subject), subject.metric
    models = {c.model for c in both}
    d = found.difference if found else None
    out = {code for c in both if c.interval is None for code in gap(c)}
    known: dict[str, Container[str]] = {
        "collapsed": table.collapse, "copies": table.copies, "undertrained": table.undertrained,
    }  # fmt: skip
    out |= {code for code, which in known.items() if any(m in which for m in models)}
    valued = all(c.interval for c in both)
    once = all(c.measured_once for c in both)
    asked = {
        "self-check failed": any(c.unproven for c in both),
        "no direction": all(c.better == "none" or (c.better == "target" and c.target is None) for c in both),
        "other likelihood": valued and not comparable(both),
        "no seed in common": valued and not rival.values.keys() & subject.values.keys(),
        "one seed": d is not None and d.n < 2 and not once,
        "nothing valid": found is not None and found.outcome == "barred" and "nothing valid" in found.bars,
        "unsteady timing": not all(c.rankable for c in both),
        "approximate": any(c.interval is not None and c.interval.approximate for c in both),
        "borderline": found is not None and found.borderline,
        "blur": metric == "path.tortuosity" and _blurred(table, rival.model, subject.model),
        "duplicates": table.duplicates is not None,
        "second judge differs": metric == table.validity and second_judge(table).get(subject.model) is False,
    }
    # What flatters concerns a reader where it may be why the better of the two is better.
    flattered = [found.ahead.model] if found is not None and subject.better != "none" else models
    flawed = flaws(table, question(metric, table.definitions))
    out |= {code for model in flattered for code in flawed.get(model, ())}
    return out | {code for code, holds in asked.items() if holds}
