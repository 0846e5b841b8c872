"""What records say, as the commands print it that measure: in words, and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from latentbench.cli.console import print_table, say_line, show

if TYPE_CHECKING:
    from latentbench.records import Record


def show_verdict(records: Sequence[Record], lang: str) -> None:
    """A study's claims; the answers with the numbers they hang on, the next step, the headlines, the score table and, beside
    published figures, what was measured."""
    from latentbench.report.exports import claims, console
    from latentbench.report.sections import published
    from latentbench.report.wording import language, subject
    from latentbench.report.wording.findings import answers, statements
    from latentbench.report.wording.findings.next_step import following
    from latentbench.report.wording.language import say

    with language.speaking(lang), subject.about(subject.of_records(records)):
        for line in claims.for_terminal(records):
            show(line)
        if rows := answers.rows(records):
            print_table(answers.headers(), [[row.name, *row.answers] for row in rows])
            show(answers.legend(records))
        if advice := following(records):
            show(f"\n{say('Next step')}: {advice.line}")
        show("")
        for statement in statements(records):
            show(statement.headline)
        show("")
        print_table(*console.console_table(records))
        show(say(console.LEGEND))
        if bands := published.beside(records):
            show(f"\n{say('Beside published figures')}")
            print_table(published.headers(), [published.row(b) for b in bands])


def say_failures(records: Sequence[Record]) -> None:
    """A line on standard error for each model and seed of which something failed, with the reason."""
    failed = [r for r in records if r.status == "failed"]
    for model, seed, reason in dict.fromkeys((r.model or r.metric, r.seed, r.reason) for r in failed):
        say_line(f"failed: {model}{'' if seed is None else f' seed {seed}'}: {reason}")


def as_json(records: Sequence[Record], lang: str) -> dict[str, Any]:
    """For machines: how each cell went, the verdicts in words, the findings and answers they rest on, one row a model and
    metric."""
    from latentbench.report.wording import language, subject
    from latentbench.report.wording.findings import statements
    from latentbench.stats import findings
    from latentbench.stats.cells import summarise

    with language.speaking(lang), subject.about(subject.of_records(records)):
        verdicts = statements(records)
    rows = [r for r in records if r.kind == "value" and r.seed is not None and not r.is_reference]
    failed = {(r.model, r.seed) for r in rows if r.status == "failed"}
    cells = dict.fromkeys((r.model, r.seed) for r in rows)
    fields = "dataset model latent_dim metric metric_params split unit better status reason".split()
    interval = "mean low high n approximate".split()
    return {
        "cells": [{"model": m, "seed": s, "status": "failed" if (m, s) in failed else "ok"} for m, s in cells],
        "verdicts": [
            {"question": v.question, "headline": v.headline, "sentences": list(v.sentences)} for v in verdicts
        ],
        "findings": [asdict(f) for f in findings.findings(records)],
        "answers": [asdict(a) for a in findings.answers(records)],
        "aggregates": [
            {name: getattr(c, name) for name in fields}
            | ({k: getattr(c.interval, k) for k in interval} if c.interval else {})
            for c in summarise(records)
        ],
    }
