"""What is wrong with a model where a part of it is bad in a way that flatters what it is compared by.

A flaw goes with every finding of its question as a caveat, whoever leads, and is said where a ranking is.
"""

from __future__ import annotations

from collections.abc import Mapping

from latentbench.records import once
from latentbench.stats.findings import parts
from latentbench.stats.findings.diagnosis import diagnosis
from latentbench.stats.findings.finding import OTHER, QUESTIONS
from latentbench.stats.findings.table import Table

FLAWS: Mapping[str, tuple[parts.Rule, tuple[str, ...]]] = {
    "repeats": (parts.unique, ("complete",)),
    "classes missing": (parts.of_all_classes, ("complete",)),
    "copies in part": (parts.copied, ("continuous", "complete")),
    "suspicious validity": (parts.suspicious, ("complete",)),
    "far in pixels": (parts.far_in_pixels, ("complete",)),
    "crowded": (parts.crowded, ("complete",)),
    "few codes": (parts.codes_in_use, ("complete",)),
    "jumps": (parts.smooth, ("continuous",)),
    "uneven": (parts.even, ("continuous",)),
}
"""Codes of what flatters, the part that tells, and the questions whose findings carry it."""
OF_POSTERIOR = ("mostly collapsed", "uninformative", "invented sigma")
"""Diagnoses that flatter what is measured of codes alone."""


def flaws(table: Table, question: str) -> Mapping[str, tuple[str, ...]]:
    """What is wrong with each model, as codes of `latentbench.stats.findings.finding.CAVEATS`, where the ``question`` is
    the one that is asked; of a metric that is filed under no question, all. Models without a flaw are left out, and those
    that are excluded anyway have none here."""
    return _flaws(table).get(question, {})


def flattering(table: Table, question: str) -> Mapping[str, tuple[str, ...]]:
    """The same of those whom it flatters: of completeness not where next to nothing that a model draws is valid."""
    if question != "complete":
        return flaws(table, question)
    return {m: codes for m, codes in flaws(table, question).items() if parts.valid(table, m).grade != "no"}


@once
def _flaws(table: Table) -> Mapping[str, Mapping[str, tuple[str, ...]]]:
    """The flaws by question and model, worked out once a table."""
    out: dict[str, dict[str, tuple[str, ...]]] = {q: {} for q in (*QUESTIONS, OTHER)}
    for model in (m for m in table.models if m not in table.excluded):
        found = {code: rule(table, model) for code, (rule, _) in FLAWS.items()}
        bad = [code for code, part in found.items() if part.flaw and part.grade in ("no", "partly")]
        diagnosed = [kind for kind in OF_POSTERIOR if diagnosis(table, model) == kind]
        below = ["worse than PCA"] if parts.worse_than_pca(table, model) else []
        for question, row in out.items():
            here = [code for code in bad if question in (*FLAWS[code][1], OTHER)]
            codes = here + below + (diagnosed if question in ("posterior", "complete", OTHER) else [])
            if codes:
                row[model] = tuple(codes)
    return out
