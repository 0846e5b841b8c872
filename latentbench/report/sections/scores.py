"""The score table: a row a measure, a column a model, grouped by family; every score between its floor and ceiling.

A row's scale is its own: from 0 to 1 for a share, otherwise over everything the row shows. Best and tied come from the
claims of `latentbench.stats.findings`; a model that collapsed is never best; runs are not ranked against one another.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from markupsafe import Markup

from latentbench.records import Role
from latentbench.report.columns import Column
from latentbench.report.drawing import figures, svg
from latentbench.report.folder import RunFolder
from latentbench.report.page_view import PageView
from latentbench.report.section import Context, Section
from latentbench.report.wording import words
from latentbench.report.wording.language import marked, plural, say
from latentbench.run_info import split_hashes
from latentbench.stats.cells import Cell, Interval
from latentbench.stats.families import Family
from latentbench.stats.findings.claims import leaders
from latentbench.stats.findings.table import claims_together
from latentbench.stats.findings.table import tables as measured

ARROWS = {
    "higher": ("↑", marked("higher is better")),
    "lower": ("↓", marked("lower is better")),
    "none": ("", marked("describes, ranks nobody")),
}
ANCHORS: dict[Role, tuple[str, str]] = {
    "floor": (marked("floor"), marked("floors")),
    "null": (marked("null value"), marked("null values")),
    "baseline": (marked("baseline"), marked("baselines")),
    "ceiling": (marked("ceiling"), marked("ceilings")),
}
STATUSES = {
    "failed": marked("{n} of {of} failed"),
    "skipped": marked("{n} of {of} skipped"),
}


BARS = 8
"""Columns up to which every score has its bar: beside more of them there is no room for one."""

APPROXIMATE = marked(
    (
        "the values lie close to a bound of the measure, where they are skewed",
        "every seed gave the measure's bound itself, which leaves their spread unknown",
    )
)
"""Why an interval is approximate, in the words of `latentbench.stats.intervals`."""


class Score(NamedTuple):
    """One cell. ``kind`` is value, skipped, failed or absent; ``reason`` says why there is no value; ``note`` adds
    what else to know (seeds that failed, a single seed); ``again``: the model's row above gave the same reason."""

    kind: str
    label: str
    m: int
    mean: str = ""
    half: str = ""
    standing: str = ""
    bar: Markup = Markup("")
    reason: str = ""
    note: str = ""
    title: str = ""
    again: bool = False


class Anchor(NamedTuple):
    """What a row is read against: floors, ceilings, baselines or null values with their names."""

    kind: str
    members: Sequence[tuple[str, str]]


class Row(NamedTuple):
    """One measure on one split."""

    metric: str
    split: str
    unit: str
    arrow: str
    direction: str
    summary: str
    source: str
    params: str
    scores: Sequence[Score]
    anchors: Sequence[Anchor]
    anchor_id: str
    unproven: str = ""


class Group(NamedTuple):
    """A family of measures with its rows."""

    key: str
    title: str
    about: str
    rows: Sequence[Row]


class Scores(NamedTuple):
    """The table of one dataset and latent size; ``size`` is that size where the page has tables of several, else 0."""

    dataset: str
    size: int
    columns: Sequence[Column]
    groups: Sequence[Group]
    seeds: int


def tables(every: Sequence[Column]) -> list[Scores]:
    """A table for each dataset (by content, not by name) and latent size: only models that saw the same data through
    as many dimensions stand side by side."""
    out = []
    runs = list(dict.fromkeys(c.run for c in every))
    family = claims_together(run.records for run in runs)
    cells = {id(run): _cells(run, family) for run in runs}
    sizes: dict[tuple[str, str], set[int | None]] = {}
    for c in every:
        sizes.setdefault((c.run.dataset, c.run.dataset_hash), set()).add(c.latent_dim)
    for key in dict.fromkeys((c.run.dataset, c.run.dataset_hash, c.latent_dim) for c in every):
        columns = [c for c in every if (c.run.dataset, c.run.dataset_hash, c.latent_dim) == key]
        out.append(_table(key[0], (key[2] or 0) if len(sizes[key[:2]]) > 1 else 0, columns, cells))
    return out


class CellsView(NamedTuple):
    """One run's cells in its tables: those of each model, and the references with a value by metric and split."""

    of_model: Mapping[str, Sequence[Cell]]
    references: Mapping[tuple[str, str], Sequence[Cell]]


def _cells(run: RunFolder, family: Family) -> CellsView:
    models: dict[str, list[Cell]] = {}
    references: dict[tuple[str, str], list[Cell]] = {}
    for c in (c for t in measured(run.records, family) for c in t.every):
        models.setdefault(c.model, []).append(c)
        if c.is_reference and c.interval:
            references.setdefault((c.metric, c.split), []).append(c)
    return CellsView(models, references)


def _table(
    dataset: str, size: int, columns: Sequence[Column], cells: Mapping[int, CellsView]
) -> Scores:  # fmt: skip
    rows: dict[tuple[str, str, str], dict[int, Cell]] = {}
    seeds: dict[int, int] = {}
    for column in columns:
        for cell in cells[id(column.run)].of_model.get(column.model, ()):
            if cell.metric.startswith("throughput."):
                continue
            key = (cell.metric, cell.split, words.plain(dict(cell.metric_params)))
            rows.setdefault(key, {})[column.m] = cell
            seeds[id(column.run)] = max(seeds.get(id(column.run), 0), len(cell.values))
    families: dict[str, list[Row]] = {}
    for key, by_column in rows.items():
        family = words.family(key[0], _defined(columns, key[0]))
        families.setdefault(family.key, []).append(_row(key, by_column, columns, cells, seeds))
    groups = [
        Group(f.key, say(f.title), say(f.about), _unrepeated(sorted(families[f.key], key=lambda r: r.split == "train")))
        for f in (*words.FAMILIES, words.OTHER)
        if f.key in families
    ]
    return Scores(dataset, size, columns, groups, max(seeds.values(), default=0))


def _defined(columns: Sequence[Column], metric: str) -> Mapping[str, Any]:
    """What the first run that defines a metric says of it; empty where none does."""
    return next((d for c in columns if (d := (c.run.detail.get("definitions") or {}).get(metric))), {})


def _unrepeated(rows: Sequence[Row]) -> list[Row]:
    """Rows in which a reason that the model's row above already gave is marked as such."""
    out: list[Row] = []
    for row in rows:
        last = out[-1].scores if out else [None] * len(row.scores)
        alike = [a is not None and bool(s.reason) and (a.kind, a.reason) == (s.kind, s.reason)
                 for a, s in zip(last, row.scores, strict=True)]  # fmt: skip
        out.append(row._replace(scores=[s._replace(again=x) for s, x in zip(row.scores, alike, strict=True)]))
    return out


def _beside(
    columns: Sequence[Column], cells: Mapping[int, CellsView], metric: str, split: str
) -> dict[tuple[Role, str], dict[str, float]]:
    """References of a row: role and name -> run label -> value."""
    out: dict[tuple[Role, str], dict[str, float]] = {}
    for run, size in dict.fromkeys((c.run, c.latent_dim) for c in columns):
        for c in cells[id(run)].references.get((metric, split), ()):
            if c.interval and c.latent_dim in (None, size):
                out.setdefault((c.role, c.model), {}).setdefault(run.label, c.interval.mean)
    return out


def _row(
    key: tuple[str, str, str],
    by_column: Mapping[int, Cell],
    columns: Sequence[Column],
    cells: Mapping[int, CellsView],
    seeds: Mapping[int, int],
) -> Row:
    metric, split, params = key
    one = next(iter(by_column.values()))
    beside = _beside(columns, cells, metric, split)
    intervals = [c.interval for c in by_column.values() if c.interval]
    best, tied = _leading(by_column, columns)
    context = RowContext(
        _scale(one, intervals, [v for by_run in beside.values() for v in by_run.values()]),
        words.decimals_for(i.half for i in intervals if i.half),
        beside,
        best,
        tied,
        seeds,
        len(columns) > BARS,
    )
    definition = _defined(columns, metric)
    arrow, direction = ARROWS.get(one.better, ARROWS["none"])
    if one.better == "target" and one.target is not None:
        arrow, direction = f"→{words.THIN}{one.target:g}", say("{target} is best", target=f"{one.target:g}")
    return Row(
        metric,
        split,
        say(one.unit),
        arrow,
        say(direction),
        say(str(definition.get("summary", ""))) or words.own_definition(metric),
        str(definition.get("source", "")),
        params,
        [_score(c, by_column.get(c.m), context) for c in columns],
        _anchors(beside),
        f"def-{metric}",
        next((words.reason(c.unproven) for c in by_column.values() if c.unproven), ""),
    )


def _leading(by_column: Mapping[int, Cell], columns: Sequence[Column]) -> tuple[frozenset[int], frozenset[int]]:
    """Numbers of the models that are best in their run, and of those that share that place; what bars a model from being
    called better bars it from both."""
    best: set[int] = set()
    tied: set[int] = set()
    for run in dict.fromkeys(c.run for c in columns):
        here = [c for c in columns if c.run is run and c.m in by_column]
        names = leaders([by_column[c.m] for c in here])
        (best if len(names) == 1 else tied).update(c.m for c in here if c.model in names)
    return frozenset(best), frozenset(tied)


def _anchors(references: Mapping[tuple[Role, str], Mapping[str, float]]) -> list[Anchor]:
    """References grouped by kind, from the least to be beaten to the most; with the run where runs differ."""
    out = []
    for kind, titles in ANCHORS.items():
        members = []
        for (role, name), by_run in references.items():
            alike = len(set(by_run.values())) == 1
            if role == kind:
                members += [(words.reference(name) + ("" if alike else f" ({run})"), words.tidy(v))
                            for run, v in list(by_run.items())[: 1 if alike else None]]  # fmt: skip
        if members:
            out.append(Anchor(say(titles[len(members) > 1]), members))
    return out


def _scale(one: Cell, intervals: Sequence[Interval], anchors: Sequence[float]) -> tuple[float, float] | None:
    """The range of a row's bars; None where a row holds a single number, which has nothing to be compared with."""
    if tuple(one.bounds) == (0, 1):
        return 0.0, 1.0
    shown = [v for i in intervals for v in (i.mean, i.low, i.high) if v is not None]
    if len({*shown, *anchors}) < 2 or (len(intervals) < 2 and not anchors):
        return None
    low, high = svg.span([*shown, *anchors], 0.08)
    bottom, top = one.bounds
    return max(low, bottom if bottom is not None else -math.inf), min(high, top if top is not None else math.inf)


class RowContext(NamedTuple):
    """What the cells of a row share: the bars' range, decimals, references by run, who leads, the most seeds of each run,
    and whether there are too many models for bars."""

    scale: tuple[float, float] | None
    decimals: int | None
    beside: Mapping[tuple[Role, str], Mapping[str, float]]
    best: frozenset[int]
    tied: frozenset[int]
    seeds: Mapping[int, int]
    crowded: bool


def _score(column: Column, cell: Cell | None, context: RowContext) -> Score:
    if cell is None:
        return Score("absent", column.label, column.m, reason=say("not measured"))
    if cell.interval is None:
        return Score(cell.status, column.label, column.m, reason=words.reason(cell.reason))
    i = cell.interval
    mean, half = words.spread(i.mean, i.half, context.decimals) if i.half else (words.quantity(i.mean, cell.unit), "")
    half = f"{half or 0} ≈" if i.approximate else half
    standing = "best" if column.m in context.best else "tied" if column.m in context.tied else ""
    return Score(
        "value",
        column.label,
        column.m,
        mean,
        half,
        standing,
        _bar(column, i, context),
        note=_note(cell, i.n, context.seeds[id(column.run)]),
        title=_title(column, cell, i),
    )


def _title(column: Column, cell: Cell, i: Interval) -> str:
    """A score in full, for whoever points at it."""
    text = plural("{model}: mean of {n} value {mean}", "{model}: mean of {n} seeds {mean}", i.n,
                  model=column.label, mean=words.quantity(i.mean, cell.unit))  # fmt: skip
    if i.low is None:
        return text
    text += say(", 95 % interval {low} to {high}", low=words.number(i.low), high=words.number(i.high))
    return text + (say(", approximate: {why}", why=say(i.approximate)) if i.approximate else "")


def _bar(column: Column, i: Interval, context: RowContext) -> Markup:
    if context.scale is None or context.crowded:
        return Markup("")
    label = column.run.label
    here = [(role, by_run[label]) for (role, _), by_run in context.beside.items() if label in by_run]
    floors, ceilings, baselines = (
        [v for role, v in here if role in roles] for roles in (("floor", "null"), ("ceiling",), ("baseline",))
    )
    return figures.interval_bar(i.mean, i.low, i.high, context.scale, floors, ceilings, baselines, column.m)


def _note(cell: Cell, n: int, seeds: int) -> str:
    """What else to know about a value: that it ranks nobody, how many seeds have none, and why."""
    lost = {"failed": cell.failed, "skipped": cell.skipped}
    losses = [say(STATUSES[status], n=k, of=n + cell.failed + cell.skipped) for status, k in lost.items() if k]
    if losses:
        return say("{seeds}: {why}", seeds=words.listed(losses), why=words.reason(cell.reason))
    if cell.disturbed:
        return say("timed beside other work: ranks nobody")
    return say("{n} of {of} seeds", n=n, of=seeds) if 1 < n < seeds else ""


def _context(view: PageView) -> Context:
    dealt = [len(split_hashes(c.run.detail)) for c in view.columns]
    return {"tables": tables(view.columns), "several": view.several, "splits": min(dealt, default=0)}


SECTION = Section("scores", marked("Scores"), "scores.html.jinja", _context, order=300)
