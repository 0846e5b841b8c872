"""The score table: a row a measure, a column a model, grouped by family; every score between its floor and ceiling.

A row's scale is its own: from 0 to 1 for a share, otherwise over everything the row shows. Best and tied come from the
paired intervals of `latentbench.stats`; a model that collapsed is never best; runs are not ranked against one another.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from markupsafe import Markup

from latentbench.report import figures, svg, words
from latentbench.report.folder import RunFolder
from latentbench.report.verdict import Table
from latentbench.stats import Cell, leaders, summarise

ARROWS = {"higher": ("↑", "higher is better"), "lower": ("↓", "lower is better"), "none": ("", "describes, ranks nobody")}


class Column(NamedTuple):
    """One model of one run: ``m`` is its number on the page."""

    run: RunFolder
    model: str
    m: int
    label: str
    swatch: Markup


class Score(NamedTuple):
    """One cell. ``kind`` is value, skipped, failed or absent; ``reason`` says why there is no value; ``note`` adds
    what else to know (seeds that failed, a single seed)."""

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


class Group(NamedTuple):
    """A family of measures with its rows."""

    key: str
    title: str
    about: str
    rows: Sequence[Row]


class Scores(NamedTuple):
    """The table of one dataset."""

    dataset: str
    columns: Sequence[Column]
    groups: Sequence[Group]
    seeds: int


def columns(runs: Sequence[RunFolder]) -> list[Column]:
    """Every model of every run, numbered once for the whole page; the run's label stands before it where there are
    several runs."""
    out: list[Column] = []
    for run in runs:
        for model in run.models:
            m = len(out)
            label = f"{run.label} / {model}" if len(runs) > 1 else model
            mark = svg.swatch(figures.marker(m), f"dot {figures.model_class(m)}")
            out.append(Column(run, model, m, label, mark))
    return out


def tables(every: Sequence[Column]) -> list[Scores]:
    """A table for each dataset (by content, not by name): only models that saw the same data stand side by side."""
    out = []
    for key in dict.fromkeys((c.run.dataset, c.run.dataset_hash) for c in every):
        mine = [c for c in every if (c.run.dataset, c.run.dataset_hash) == key]
        out.append(_table(key[0], mine))
    return out


def _table(dataset: str, mine: Sequence[Column]) -> Scores:
    cells = {id(c.run): summarise(c.run.records) for c in mine}
    rows: dict[tuple[str, str, str], dict[int, Cell]] = {}
    seeds = 0
    for column in mine:
        for cell in cells[id(column.run)]:
            if cell.model != column.model or cell.metric.startswith("throughput."):
                continue
            key = (cell.metric, cell.split, words.plain(dict(cell.metric_params)))
            rows.setdefault(key, {})[column.m] = cell
            seeds = max(seeds, len(cell.values))
    collapsed = {id(c.run): _collapsed(cells[id(c.run)]) for c in mine}
    families: dict[str, list[Row]] = {}
    for key, found in rows.items():
        families.setdefault(words.family(key[0]).key, []).append(_row(key, found, mine, cells, collapsed, seeds))
    groups = [
        Group(f.key, f.title, f.about, sorted(families[f.key], key=lambda r: (r.split == "train")))
        for f in (*words.FAMILIES, words.OTHER)
        if f.key in families
    ]
    return Scores(dataset, mine, groups, seeds)


def _collapsed(cells: Sequence[Cell]) -> set[str]:
    return {m for d in dict.fromkeys(c.dataset for c in cells) for m in Table(cells, d).collapsed()}


def _row(
    key: tuple[str, str, str], found: Mapping[int, Cell], mine: Sequence[Column], cells: Mapping[int, Sequence[Cell]],
    collapsed: Mapping[int, set[str]], seeds: int,
) -> Row:  # fmt: skip
    metric, split, params = key
    one = next(iter(found.values()))
    beside = {c.model: c for run in cells.values() for c in reversed(run)
              if c.is_reference and c.interval and (c.metric, c.split) == (metric, split)}  # fmt: skip
    anchors = {name: c.interval.mean for name, c in beside.items() if c.interval}
    scale = _scale(one, list(found.values()), anchors)
    lead: set[int] = set()
    alone: set[int] = set()
    for run in dict.fromkeys(id(c.run) for c in mine):
        here = {c.model: c.m for c in mine if id(c.run) == run and c.m in found}
        best = [here[m] for m in leaders([found[i] for i in here.values()], collapsed[run]) if m in here]
        lead.update(best)
        alone.update(best if len(best) == 1 else [])
    definition = next((d for c in mine if (d := (c.run.detail.get("definitions") or {}).get(metric))), {})
    arrow, direction = ARROWS.get(one.better, ARROWS["none"])
    if one.better == "target" and one.target is not None:
        arrow, direction = f"→{words.THIN}{one.target:g}", f"{one.target:g} is best"
    return Row(
        metric,
        split,
        one.unit,
        arrow,
        direction,
        str(definition.get("summary", "") or words.own_definition(metric)),
        str(definition.get("source", "")),
        params,
        [_score(c, found.get(c.m), scale, anchors, lead, alone, seeds) for c in mine],
        _anchors(anchors),
        f"def-{metric}",
    )


def _anchors(found: Mapping[str, float]) -> list[Anchor]:
    """References grouped by kind, from the least to be beaten to the most."""
    out = []
    for kind in ("floor", "null", "baseline", "ceiling"):
        members = [(words.reference(n), words.tidy(v)) for n, v in found.items() if n.partition(":")[0] == kind]
        if members:
            name = "null value" if kind == "null" else kind
            out.append(Anchor(name if len(members) == 1 else f"{name}s", members))
    return out


def _scale(one: Cell, found: Sequence[Cell], anchors: Mapping[str, float]) -> tuple[float, float] | None:
    """The range of a row's bars; None where a row holds a single number, which has nothing to be compared with."""
    if tuple(one.bounds) == (0, 1):
        return 0.0, 1.0
    shown = [v for c in found if c.interval for v in (c.interval.mean, c.interval.low, c.interval.high) if v is not None]
    if len({*shown, *anchors.values()}) < 2 or (sum(c.interval is not None for c in found) < 2 and not anchors):
        return None
    low, high = svg.span([*shown, *anchors.values()], 0.08)
    bottom, top = one.bounds
    return max(low, bottom if bottom is not None else -math.inf), min(high, top if top is not None else math.inf)


def _score(
    column: Column, cell: Cell | None, scale: tuple[float, float] | None, anchors: Mapping[str, float], lead: set[int],
    alone: set[int], seeds: int,
) -> Score:  # fmt: skip
    if cell is None:
        return Score("absent", column.label, column.m, reason="not measured")
    if cell.interval is None:
        return Score(cell.status, column.label, column.m, reason=cell.reason or "no reason recorded")
    i = cell.interval
    mean, half = words.spread(i.mean, i.half) if i.half is not None else (words.number(i.mean), "")
    if i.half == 0:
        half = ""
    by_prefix = {p: [v for n, v in anchors.items() if n.startswith(p)] for p in ("floor:", "ceiling:", "null:", "baseline:")}
    bar = Markup("") if scale is None else figures.interval_bar(
        i.mean, i.low, i.high, scale, [*by_prefix["floor:"], *by_prefix["null:"]], by_prefix["ceiling:"],
        by_prefix["baseline:"], column.m,
    )  # fmt: skip
    standing = "best" if column.m in alone else "tied" if column.m in lead else ""
    interval = f", 95 % interval {words.number(i.low)} to {words.number(i.high)}" if i.low is not None else ""
    title = f"{column.label}: mean of {i.n} {'value' if i.n == 1 else 'seeds'} {words.number(i.mean)}{interval}"
    return Score("value", column.label, column.m, mean, half, standing, bar, note=_note(cell, i.n, seeds), title=title)


def _note(cell: Cell, n: int, seeds: int) -> str:
    """What else to know about a value: how many seeds have none, and why."""
    parts = [f"{k} of {n + cell.failed + cell.skipped} {what}" for k, what in ((cell.failed, "failed"), (cell.skipped, "skipped")) if k]
    if parts:
        return f"{' and '.join(parts)}: {cell.reason}"
    return f"{n} of {seeds} seeds" if 1 < n < seeds else ""
