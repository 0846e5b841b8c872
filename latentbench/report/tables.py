"""Flat tables of records: results.csv for people with a spreadsheet, summary.md for a pull request."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

from latentbench.records import Record, canonical, run_record, values
from latentbench.report import verdict
from latentbench.stats import Cell, summarise

FIELDS = tuple(
    "dataset model params latent_dim seed split metric metric_params value unit better low high status reason".split()
)


def flat_rows(records: Sequence[Record]) -> list[dict[str, Any]]:
    """One row a metric, seed and split, then one a metric and split with an empty seed: the mean with its 95 % interval
    in ``low`` and ``high``. Parameters are compact JSON."""
    rows = [_row(r, r.seed, r.value, None, None, r.status, r.reason) for r in values(records)]
    for c in summarise(records):
        if c.interval and c.interval.n > 1:
            rows.append(_row(c, None, c.interval.mean, c.interval.low, c.interval.high, c.status, c.reason))
    return rows


def _row(
    r: Record | Cell,
    seed: int | None,
    value: float | None,
    low: float | None,
    high: float | None,
    status: str,
    why: str,
) -> dict[str, Any]:
    cells = (
        r.dataset, r.model, canonical(r.params), r.latent_dim, seed, r.split, r.metric, canonical(r.metric_params),
        value, r.unit, r.better, low, high, status, why,
    )  # fmt: skip
    return dict(zip(FIELDS, cells, strict=True))


def results_csv(records: Sequence[Record]) -> str:
    """results.csv as text; what is absent is an empty cell."""
    out = io.StringIO()
    writer = csv.DictWriter(out, FIELDS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat_rows(records))
    return out.getvalue()


def markdown_table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; bars in cells are escaped."""
    lines = [headers, ["---", *["---:"] * (len(headers) - 1)], *rows]
    return "\n".join("| " + " | ".join(str(c).replace("|", "\\|") for c in line) + " |" for line in lines)


def summary_md(records: Sequence[Record]) -> str:
    """The verdict in words, the score table, what failed, and how to have it again."""
    head = run_record(records)
    detail = head.detail if head else {}
    parts = ["# latentbench", ""]
    for word in verdict.verdicts(records):
        parts += [f"**{word.headline}**", "", *(f"- {s}" for s in word.sentences), ""]
    headers, rows = verdict.console_table(records)
    parts += [markdown_table(headers, rows), "", verdict.LEGEND, ""]
    if bad := [r for r in values(records) if r.status == "failed"]:
        reasons = dict.fromkeys(f"{r.model} seed {r.seed}: {r.reason}" for r in bad)
        parts += ["Failed:", "", *(f"- {reason}" for reason in reasons), ""]
    skipped: dict[str, list[str]] = {}
    for c in summarise(records):
        if c.status == "skipped" and not c.is_reference:
            skipped.setdefault(f"{c.model}: {c.reason}", []).append(c.metric)
    if skipped:
        parts += ["Skipped:", "", *(f"- {why} ({', '.join(dict.fromkeys(m))})" for why, m in skipped.items()), ""]
    if detail:
        data, environment = detail.get("dataset", {}), detail.get("environment", {})
        parts += [
            f"Data: {data.get('name')}, sha256 {str(data.get('sha256'))[:12]}. latentbench {detail.get('version')}, "
            f"torch {environment.get('torch')}, Python {environment.get('python')}.",
            "",
            f"    {detail.get('command')}",
            "",
        ]
    return "\n".join(parts)
