"""Flat tables of records: results.csv for people with a spreadsheet, summary.md for a pull request."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from typing import Any

from latentbench.files.plain_text import fields_for_markdown, in_spreadsheet, one_line
from latentbench.records import Kept, Record, Texts, run_record, values
from latentbench.report.exports import claims
from latentbench.report.sections import published
from latentbench.report.wording import words
from latentbench.report.wording.findings import Statement, statements
from latentbench.report.wording.findings import answers as of_models
from latentbench.report.wording.findings.next_step import following
from latentbench.report.wording.findings.tables import place
from latentbench.report.wording.intervals import value as spread
from latentbench.report.wording.language import marked, plural, say
from latentbench.stats.cells import Cell, summarise
from latentbench.stats.findings import Table
from latentbench.stats.findings import tables as measured

FIELDS = tuple(
    "dataset model params latent_dim seed split metric metric_params value unit better low high status reason role".split()
)
"""Columns of results.csv, in order. ``role`` is the last so that what reads the others by position still does."""

KEY = (
    ("r2", marked("R² ↑")),
    ("path.tortuosity", marked("tortuosity ↓")),
    ("path.validity_gain", marked("validity gain ↑")),
    ("validity.normal", marked("valid N(0, I) ↑")),
    ("validity.prior", marked("valid own prior ↑")),
    ("validity.gaussian", marked("valid Gaussian ↑")),
    ("validity.mixture", marked("valid mixture ↑")),
    ("hole", marked("hole ↓")),
    ("kl", marked("KL (nats)")),
    ("active_units", marked("active ↑")),
    ("punctual_index", marked("punctual index")),
)
ANCHORS = (
    ("ceiling", ("ceiling:real", "ceiling:cross-fade"), marked("_ceiling_")),
    ("floor", (), marked("_floor_")),
    ("null", ("null:prior",), marked("_codes from N(0, I)_")),
    ("pca", ("baseline:pca",), marked("_PCA, same d_")),
)
WITHOUT = {"failed": marked("Failed:"), "skipped": marked("Skipped:")}
NOTE = marked(
    "Mean over seeds ± half of the 95 % t-interval. **Bold**: best. `=`: shares the lead. `≈`: approximate, the values "
    "lie close to a bound of the measure. Ceilings are real images (tortuosity: a cross-fade), the floor is the most "
    "flattering junk. Intervals hold for one split of the data and one judge."
)


def flat_rows(records: Sequence[Record]) -> list[dict[str, Any]]:
    """The rows of results.csv: one a metric, seed and split (what failed or was skipped with its reason and no value),
    then one a metric and split with an empty seed, the mean with its 95 % interval in ``low`` and ``high``, both empty
    where a single seed allows none; an approximate interval says so under ``reason``. What was measured once and has no
    seed stands once. Parameters are compact JSON. ``role`` says what ``model`` names: a model of the run, or what it is
    measured with and read against."""
    return [dict(zip(FIELDS, row, strict=True)) for row in _rows(records)]


def _rows(records: Sequence[Record]) -> Iterator[tuple[Any, ...]]:
    text = Texts()
    for r in values(records):
        yield _row(r, r.seed, r.value, text)
    for c in summarise(records):
        if not c.measured_once and (c.values or not c.is_reference):
            yield _row(c, None, None if c.interval is None else c.interval.mean, text)


def _row(of: Record | Cell, seed: int | None, value: float | None, text: Texts) -> tuple[Any, ...]:
    interval = of.interval if isinstance(of, Cell) else None
    low, high = (interval.low, interval.high) if interval else (None, None)
    label = f"interval approximate: {interval.approximate}" if interval and interval.approximate else ""
    reason = "; ".join(part for part in (of.reason, label) if part)
    return (
        of.dataset, of.model, text(of.params), of.latent_dim, seed, of.split, of.metric,
        text(of.metric_params), value, of.unit, of.better, low, high, of.status, reason, of.role,
    )  # fmt: skip


def results_csv(records: Sequence[Record]) -> str:
    """results.csv as text; what is absent is an empty cell, and text that a spreadsheet would take for a formula begins
    with an apostrophe."""
    if isinstance(records, Kept):
        return records.once("results.csv", lambda: _csv(records))
    return _csv(records)


def _csv(records: Sequence[Record]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(FIELDS)
    shown: dict[str, str] = {}  # of a hundred thousand rows most cells say what others said

    def cell(value: Any) -> Any:
        if type(value) is not str:
            return in_spreadsheet(value)
        if value not in shown:
            shown[value] = in_spreadsheet(value)
        return shown[value]

    writer.writerows(map(cell, row) for row in _rows(records))
    return out.getvalue()


def markdown_table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; bars and line breaks in cells are escaped."""
    lines = [headers, ["---", *["---:"] * (len(headers) - 1)], *rows]
    return "\n".join("| " + " | ".join(_cell(c) for c in line) + " |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split("\n"))


def summary_md(records: Sequence[Record]) -> str:
    """The verdict in words, the score table, what failed or was skipped, and how to have it again; fit for a comment
    on a pull request."""
    command, claimed = _command(records), claims.for_markdown(records)
    records = [fields_for_markdown(r, "kind", "role", "status", "better") for r in records]
    parts = ["# latentbench", "", *claimed]
    answers = statements(records)
    parts += [*(f"- **{v.headline}**" for v in answers), ""] if answers else [say("No model was measured."), ""]
    rows = of_models.rows(records)
    if rows:
        parts += [
            markdown_table(of_models.headers(), [[r.name, *r.answers] for r in rows]),
            "",
            of_models.legend(records),
            "",
        ]
        parts += [f"**{say('Next step')}**: {advice.line}", ""] if (advice := following(records)) else []
    for table in measured(records):
        parts += [_scores(table), ""]
    parts += [say(NOTE), ""] if answers else []
    if bands := published.beside(records):
        parts += [
            say("Beside published figures:"),
            "",
            markdown_table(published.headers(), [published.row(b) for b in bands]),
            "",
        ]
    parts += _details(answers, [why for row in rows for why in row.why])
    parts += _without(records)
    return "\n".join([*parts, *_origin(records), *command])


def _scores(table: Table) -> str:
    """Model x key measures, what each is read against below."""
    shown = [(m, title) for m, title in KEY if any(table.get(model, m) for model in table.models)]
    rows = []
    for model in table.models:
        name = f"`{model}`" + (say(" (collapsed)") if model in table.collapse else "")
        rows.append([name, *(_score(table, model, m) for m, _ in shown)])
    for kind, names, label in ANCHORS:
        anchors = [_anchor(table, m, kind, names) for m, _ in shown]
        if any(v is not None for v in anchors):
            rows.append([say(label), *("" if v is None else words.tidy(v) for v in anchors)])
    return markdown_table([place(table), *(say(title) for _, title in shown)], rows)


def _score(table: Table, model: str, metric: str) -> str:
    interval = table.get(model, metric)
    if interval is None:
        cell = table.by.get((model, metric))
        return say(cell.status) if cell else "–"
    text, lead = spread(interval, table.by[model, metric].unit), table.leaders(metric)
    if interval.approximate:
        text += " ≈" if interval.half else " ± 0 ≈"
    if model not in lead:
        return text
    return f"**{text}**" if len(lead) == 1 else f"{text} ="


def _anchor(table: Table, metric: str, kind: str, names: Sequence[str]) -> float | None:
    if kind == "floor":
        return table.floor(metric)
    return next((v for n in names if (v := table.reference(metric, n)) is not None), None)


def _details(answers: Sequence[Statement], reasons: Sequence[str]) -> list[str]:
    """The ``reasons`` of the answers and the sentences behind the headlines, folded away."""
    if not any(v.sentences for v in answers):
        return []
    out = [f"<details><summary>{say('The numbers behind the verdict')}</summary>", ""]
    out += [*(f"- {why}" for why in reasons), ""] if reasons else []
    for v in answers:
        if v.sentences:
            out += [f"**{v.parts[0]}**", "", *(f"- {s}" for s in v.sentences), ""]
    return [*out, "</details>", ""]


def _without(records: Sequence[Record]) -> list[str]:
    """What has no value, gathered by model and reason."""
    by_status: dict[str, dict[tuple[str, str], dict[str, set[int | None]]]] = {"failed": {}, "skipped": {}}
    for r in values(records):
        if r.status in by_status and not r.is_reference:
            metrics = by_status[r.status].setdefault((r.model, r.reason), {})
            metrics.setdefault(r.metric, set()).add(r.seed)
    out = []
    for status, groups in by_status.items():
        if groups:
            out += [say(WITHOUT[status]), ""]
            out += [
                "- " + say("`{model}`: {why} ({which})", model=model, why=_cell(words.reason(why)), which=_which(m))
                for (model, why), m in groups.items()
            ]
            out.append("")
    return out


def _which(metrics: dict[str, set[int | None]]) -> str:
    """Measures and seeds in a few words."""
    names = list(metrics)
    listed = words.commas(names) if len(names) <= 6 else say("{n} measures", n=len(names))
    seeds = sorted({s for group in metrics.values() for s in group if s is not None})
    if not seeds:
        return listed
    numbers = words.commas(map(str, seeds))
    return plural("{metrics}; seed {seeds}", "{metrics}; seeds {seeds}", len(seeds), metrics=listed, seeds=numbers)


def _origin(records: Sequence[Record]) -> list[str]:
    """Data, versions and the exact command."""
    head = run_record(records)
    if head is None:
        return []
    data, machine = head.detail.get("dataset") or {}, head.detail.get("environment") or {}
    hash_ = data.get("sha256") or next((r.dataset_hash for r in records if r.dataset_hash), "")
    name = data.get("name") or next((r.dataset for r in records if r.dataset), say("unknown"))
    says = [say("Data: {name}, sha256 `{hash}`.", name=name, hash=hash_)]
    packages = {"latentbench": head.detail.get("version"), **machine}
    shown = ("latentbench", "python", "torch", "numpy", "scikit-learn", "umap-learn")
    versions = words.commas(f"{name} {packages[name]}" for name in shown if packages.get(name))
    says += [say("Versions: {versions}.", versions=versions)] if versions else []
    if head.detail.get("git"):
        says.append(say("Revision: `{revision}`.", revision=head.detail["git"]))
    return [say(" ").join(says), ""]


def _command(records: Sequence[Record]) -> list[str]:
    """The line that asked for the run, as a block of code."""
    head = run_record(records)
    command = head.detail.get("command") if head is not None else None
    return [f"    {one_line(str(command))}", ""] if command else []
