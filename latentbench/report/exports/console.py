"""The score table of a terminal: a row a model, a column a measure, what they are read against below."""

from __future__ import annotations

import math
from collections.abc import Sequence

from latentbench.records import Record
from latentbench.report.wording import words
from latentbench.report.wording.language import marked, say
from latentbench.stats.findings.table import Table, tables

LEGEND = marked(
    "Mean over seeds ± half of the 95 % t-interval. * best, = shares the lead, ≈ approximate (close to a bound). "
    "Intervals hold for one split of the data and one judge."
)
COLUMNS = (
    ("r2", marked("R²")),
    ("path.tortuosity", marked("tortuosity")),
    ("validity.normal", marked("valid N(0,I)")),
    ("validity.prior", marked("valid own prior")),
    ("validity.gaussian", marked("Gaussian")),
    ("validity.mixture", marked("mixture")),
    ("hole", marked("hole")),
    ("active_units", marked("active")),
)
ANCHORS = (
    ("ceiling:real", marked("real images")),
    ("floor", marked("junk, at most")),
    ("baseline:pca", marked("PCA, same d")),
)


def console_table(records: Sequence[Record]) -> tuple[list[str], list[list[str]]]:
    """Headers and rows of the score table for a terminal; ``*`` best, ``=`` shares the lead, ``≈`` approximate, ``–`` no
    value."""
    every = tables(records)
    shown = [(m, title) for m, title in COLUMNS if any(t.get(model, m) for t in every for model in t.models)]
    rows = []
    for table in every:
        prefix = f"{table.label} {table.dataset}{_size(every, table)} ".lstrip() if len(every) > 1 else ""
        lead = {metric: table.leaders(metric) for metric, _ in shown}
        for model in table.models:
            label = f"{prefix}{model}" + (say(" (collapsed)") if model in table.collapse else "")
            rows.append([label, *(_short(table, model, metric, lead[metric]) for metric, _ in shown)])
        for name, label in ANCHORS:
            numbers = [table.floor(m) if name == "floor" else table.reference(m, name) for m, _ in shown]
            if any(v is not None for v in numbers):
                rows.append([prefix + say(label), *("–" if v is None else words.tidy(v) for v in numbers)])
    return [say("model"), *(say(title) for _, title in shown)], rows


def _size(every: Sequence[Table], table: Table) -> str:
    """The latent size, where the same data have tables of several."""
    alike = {t.latent_dim for t in every if (t.run, t.dataset) == (table.run, table.dataset)}
    return f" d={table.latent_dim}" if len(alike) > 1 else ""


def _short(table: Table, model: str, metric: str, lead: Sequence[str]) -> str:
    """A mean to the first digit of its half-width, two decimals at least where it is small, with its mark."""
    i = table.get(model, metric)
    if i is None:
        return "–"
    mark = ("≈" if i.approximate else "") + (("*" if len(lead) == 1 else "=") if model in lead else "")
    if not i.half:
        cell = table.by[model, metric]
        return (words.quantity(i.mean, cell.unit) if cell.unit in words.COUNTS else words.tidy(i.mean)) + mark
    places = min(4, max(2 if abs(i.mean) < 2 else 0, -math.floor(math.log10(i.half))))
    return f"{words.number(i.mean, places)}±{words.number(i.half, places)}{mark}"
