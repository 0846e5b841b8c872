"""The scores: ten headline measures with all models on one axis each, then every measure in dense tables, a family each.

A row's axis is its own: from 0 to 1 for a share, otherwise over everything the row shows. Best and shared come from the
claims of `latentbench.stats.findings`; a model that collapsed is never best; runs are not ranked against one another.
What no model has a value for is not in the tables: it is named in one list, by reason.
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
from latentbench.report.page_view import CROWD, OPEN_TABLES, PageView
from latentbench.report.section import Context, Section
from latentbench.report.wording import phrases, words
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

APPROXIMATE = marked(
    (
        "the values lie close to a bound of the measure, where they are skewed",
        "every seed gave the measure's bound itself, which leaves their spread unknown",
    )
)
"""Why an interval is approximate, in the words of `latentbench.stats.intervals`."""

HEADLINES = (
    ("r2", "mse"),
    ("path.validity_gain", "midpoint.validity_gain"),
    ("path.tortuosity",),
    ("validity.prior", "validity.normal", "uniqueness"),
    ("validity.mixture", "validity.gaussian"),
    ("hole", "prior.mmd"),
    ("active_units",),
    ("kl", "elbo"),
    ("memorisation", "data_copying"),
    ("train.seconds", "cost.parameters"),
)
"""What the findings of the page rest on, a row each: the first of these names that was measured."""
ROWS = 10
"""Measures that stand open, each with an axis."""
LINES = 8
"""Models drawn on one axis; of more, those whose means are best, and where all share the first place none is marked."""

TITLES = marked({
    "kl": "KL of the posterior from N(0, I)",
    "elbo": "lower bound on log p(x)",
    "active_units": "active latent dimensions",
    "memorisation": "memorisation (.5 = none, 1 = copies)",
    "prior.mmd": "kernel distance of the codes from N(0, I)",
    "train.seconds": "time of one training",
    "cost.parameters": "trained weights",
})  # fmt: skip
"""Headline measures whose definitions declare no noun."""


class Score(NamedTuple):
    """One cell. ``kind`` is value, skipped, failed or absent; ``reason`` says why there is no value; ``note`` adds
    what else to know (seeds that failed, a single seed); ``ref``: the letter under which the table's notes say either,
    empty where there is nothing to say. ``order``: the value as the page's script sorts by it."""

    kind: str
    label: str
    mean: str = ""
    half: str = ""
    standing: str = ""
    reason: str = ""
    note: str = ""
    title: str = ""
    order: str = ""
    ref: str = ""


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
    scores: Sequence[Score]
    anchors: Sequence[Anchor]
    anchor_id: str
    unproven: str = ""
    ref: str = ""
    ends: Sequence[int] = ()
    """Places of the scores that are least and most."""


class Group(NamedTuple):
    """A family of measures with its rows, and what these have to note, each said once; ``pasted``: lines that a record offers to
    be pasted, by model, of the first seed that has one."""

    key: str
    title: str
    about: str
    rows: Sequence[Row]
    notes: Sequence[str]
    pasted: Sequence[tuple[str, str]] = ()


class Headline(NamedTuple):
    """A headline measure: its row, its name in words, all models on one axis (empty where there is nothing to compare),
    the places of those models that are drawn, how many are not, and what to note."""

    row: Row
    title: str
    plot: Markup
    drawn: Sequence[int]
    more: int
    notes: Sequence[str]


class LeftOut(NamedTuple):
    """Measures that no model has a value for, all for one ``reason``: skipped, or ``status`` failed."""

    names: Sequence[str]
    status: str
    reason: str


class Scores(NamedTuple):
    """The table of one dataset and latent size; ``size`` is that size where the page has tables of several, else 0.
    ``left`` measures have a value for no model: they are ``left_out``."""

    dataset: str
    size: int
    columns: Sequence[Column]
    headlines: Sequence[Headline]
    groups: Sequence[Group]
    seeds: int
    left_out: Sequence[LeftOut]

    @property
    def left(self) -> int:
        """How many measures are left out."""
        return sum(len(reason.names) for reason in self.left_out)


class Measure(NamedTuple):
    """A row before it is written out: its cells by the place of their model, and its references by role and name."""

    metric: str
    split: str
    by_column: Mapping[int, Cell]
    beside: Mapping[tuple[Role, str], Mapping[str, float]]
    row: Row


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
        out.append(_table(key[0], (key[2] or 0) if len(sizes[key[:2]]) > 1 else 0, columns, cells, len(every) > CROWD))
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


def _table(dataset: str, size: int, columns: Sequence[Column], cells: Mapping[int, CellsView], crowd: bool) -> Scores:
    by_key: dict[tuple[str, str, str], dict[int, Cell]] = {}
    seeds: dict[int, int] = {}
    for place, column in enumerate(columns):
        for cell in cells[id(column.run)].of_model.get(column.model, ()):
            if cell.metric.startswith("throughput."):
                continue
            key = (cell.metric, cell.split, words.plain(dict(cell.metric_params)))
            by_key.setdefault(key, {})[place] = cell
            seeds[id(column.run)] = max(seeds.get(id(column.run), 0), len(cell.values))
    valued = {k: row for k, row in by_key.items() if any(c.interval for c in row.values())}
    measures = [_measure(key[0], key[1], row, columns, cells, seeds) for key, row in valued.items()]
    families: dict[str, list[Row]] = {}
    for m in measures:
        families.setdefault(words.family(m.metric, _defined(columns, m.metric)).key, []).append(m.row)
    groups = [
        _group(f, sorted(families[f.key], key=lambda r: r.split == "train"), crowd)._replace(
            pasted=_pasted(f.key, measures, columns)
        )
        for f in (*words.FAMILIES, words.OTHER)
        if f.key in families
    ]
    left = _left_out({k: row for k, row in by_key.items() if k not in valued})
    most = max(seeds.values(), default=0)
    return Scores(dataset, size, columns, _headlines(measures, columns), groups, most, left)


def _defined(columns: Sequence[Column], metric: str) -> Mapping[str, Any]:
    """What the first run that defines a metric says of it; empty where none does."""
    return next((d for c in columns if (d := (c.run.detail.get("definitions") or {}).get(metric))), {})


def _pasted(family: str, measures: Sequence[Measure], columns: Sequence[Column]) -> list[tuple[str, str]]:
    """The lines to paste (``detail["paste"]``) of a family's measures, with the label of their column."""
    out = []
    for m in (m for m in measures if words.family(m.metric, _defined(columns, m.metric)).key == family):
        for place, cell in sorted(m.by_column.items()):
            line = next((str(d["paste"]) for d in cell.details.values() if d.get("paste")), "")
            out += [(columns[place].label, line)] if line else []
    return out


def _group(family: words.FamilyText, rows: Sequence[Row], crowd: bool) -> Group:
    """A family whose rows refer to its notes by letter, in a crowd only by what is said of the whole row: a number above a
    number would be an exponent."""
    notes: dict[str, str] = {}

    def letter(text: str) -> str:
        return notes.setdefault(text, _letter(len(notes))) if text else ""

    out = []
    for row in rows:
        ref = letter(row.unproven and say("self-check failed, ranks nobody: {why}", why=row.unproven))
        if not crowd:
            scores = [s._replace(ref=letter(s.note or (s.reason if s.kind != "absent" else ""))) for s in row.scores]
            row = row._replace(scores=scores)
        out.append(row._replace(ref=ref))
    return Group(family.key, say(family.title), say(family.about), out, list(notes))


def _letter(k: int) -> str:
    """a, b, ..., z, aa, ab, ...: as a list numbered by letters counts."""
    return (_letter(k // 26 - 1) if k >= 26 else "") + chr(ord("a") + k % 26)


def _left_out(by_key: Mapping[tuple[str, str, str], Mapping[int, Cell]]) -> list[LeftOut]:
    """The measures without any value, those of one reason together."""
    out: dict[tuple[str, str], dict[str, None]] = {}
    for (metric, split, _), row in by_key.items():
        for status, reason in dict.fromkeys((c.status, words.reason(c.reason)) for c in row.values()):
            name = metric if split in ("", "test") else f"{metric} ({say(split)})"
            out.setdefault((status, reason), {})[name] = None
    return [LeftOut(list(names), status, reason) for (status, reason), names in out.items()]


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


def _measure(
    metric: str,
    split: str,
    by_column: Mapping[int, Cell],
    columns: Sequence[Column],
    cells: Mapping[int, CellsView],
    seeds: Mapping[int, int],
) -> Measure:
    one = next(iter(by_column.values()))
    beside = _beside(columns, cells, metric, split)
    decimals = words.decimals_for(c.interval.half for c in by_column.values() if c.interval and c.interval.half)
    best, tied = _leading(by_column, columns)
    if len(columns) > LINES and tied == {place for place, c in by_column.items() if c.interval}:
        tied = frozenset()
    arrow, direction = ARROWS.get(one.better, ARROWS["none"])
    if one.better == "target" and one.target is not None:
        arrow, direction = f"→{words.THIN}{one.target:g}", say("{target} is best", target=f"{one.target:g}")
    scores = [
        _score(
            column,
            by_column.get(place),
            "best" if place in best else "tied" if place in tied else "",
            decimals,
            seeds.get(id(column.run), 0),
        )
        for place, column in enumerate(columns)
    ]
    unproven = next((words.reason(c.unproven) for c in by_column.values() if c.unproven), "")
    order = sorted((c.interval.mean, place) for place, c in by_column.items() if c.interval)
    ends = [order[0][1], order[-1][1]] if order else []
    row = Row(
        metric, split, say(one.unit), arrow, say(direction), scores, _anchors(beside), f"def-{metric}", unproven, ends=ends
    )  # fmt: skip
    return Measure(metric, split, by_column, beside, row)


def _leading(by_column: Mapping[int, Cell], columns: Sequence[Column]) -> tuple[frozenset[int], frozenset[int]]:
    """Places of the models that are best in their run, and of those that share that place; what bars a model from being
    called better bars it from both, and nobody is best without a rival."""
    best: set[int] = set()
    tied: set[int] = set()
    for run in dict.fromkeys(c.run for c in columns):
        here = {place: by_column[place] for place, c in enumerate(columns) if c.run is run and place in by_column}
        names = leaders(list(here.values()))
        (best if len(names) == 1 else tied).update(place for place, c in here.items() if c.model in names)
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


def _score(column: Column, cell: Cell | None, standing: str, decimals: int | None, seeds: int) -> Score:
    """One model's score; ``decimals`` are those of its row, ``seeds`` the most that its run has for any measure."""
    if cell is None:
        return Score("absent", column.label, reason=say("not measured"))
    if cell.interval is None:
        return Score(cell.status, column.label, reason=words.reason(cell.reason))
    i = cell.interval
    mean, half = words.spread(i.mean, i.half, decimals) if i.half else (words.quantity(i.mean, cell.unit), "")
    half = f"{half or 0} ≈" if i.approximate else half
    note, title = _note(cell, i.n, seeds), _title(column, cell, i)
    return Score("value", column.label, mean, half, standing, note=note, title=title, order=f"{i.mean:.8e}")


def _title(column: Column, cell: Cell, i: Interval) -> str:
    """A score in full, for whoever points at it."""
    text = plural("{model}: mean of {n} value {mean}", "{model}: mean of {n} seeds {mean}", i.n,
                  model=column.label, mean=words.quantity(i.mean, cell.unit))  # fmt: skip
    if i.low is None:
        return text
    text += say(", 95 % interval {low} to {high}", low=words.number(i.low), high=words.number(i.high))
    return text + (say(", approximate: {why}", why=say(i.approximate)) if i.approximate else "")


def _note(cell: Cell, n: int, seeds: int) -> str:
    """What else to know about a value: that it ranks nobody, how many seeds have none, and why."""
    lost = {"failed": cell.failed, "skipped": cell.skipped}
    losses = [say(STATUSES[status], n=k, of=n + cell.failed + cell.skipped) for status, k in lost.items() if k]
    if losses:
        return say("{seeds}: {why}", seeds=words.listed(losses), why=words.reason(cell.reason))
    if cell.disturbed:
        return say("timed beside other work: ranks nobody")
    return say("{n} of {of} seeds", n=n, of=seeds) if 1 < n < seeds else ""


def _headlines(measures: Sequence[Measure], columns: Sequence[Column]) -> list[Headline]:
    """The headline measures of those that were measured on held-out images; where these are few, the others that the
    run's definitions count among the headlines, and where none is, the first there are."""
    first: dict[str, Measure] = {}
    for m in measures:
        if m.split in ("test", ""):
            first.setdefault(m.metric, m)
    asked = (next((first[n] for n in names if n in first), None) for names in HEADLINES)
    chosen = [m for m in asked if m is not None]
    declared = [m for m in first.values() if _defined(columns, m.metric).get("headline") and m not in chosen]
    chosen = [*chosen, *declared][:ROWS] or list(first.values())[:ROWS] or list(measures)[:ROWS]
    return [_headline(m, columns) for m in chosen]


def _headline(m: Measure, columns: Sequence[Column]) -> Headline:
    drawn = list(range(len(columns)))
    if len(columns) > LINES:
        valued = sorted((c.badness(c.interval.mean), k) for k, c in m.by_column.items() if c.interval)
        drawn = sorted(k for _, k in valued[:LINES])
    notes = [say("self-check failed, ranks nobody: {why}", why=m.row.unproven)] if m.row.unproven else []
    without: dict[str, list[str]] = {}
    for score in (m.row.scores[place] for place in drawn):
        if score.kind in ("skipped", "failed"):
            without.setdefault(score.reason, []).append(score.label)
        elif score.note:
            notes.append(score.note)
    notes += [say("{model}: {why}", model=words.commas(models), why=why) for why, models in without.items()]
    definition = _defined(columns, m.metric)
    noun = say(TITLES[m.metric]) if m.metric in TITLES else phrases.phrase(m.metric, {m.metric: definition}).noun
    if noun == m.metric:
        noun = (say(str(definition.get("summary", ""))) or words.own_definition(m.metric)).partition(";")[0]
    plot = _axis_of(m, drawn, columns, noun or m.metric)
    return Headline(
        m.row, noun[:1].upper() + noun[1:], plot, drawn, len(columns) - len(drawn), list(dict.fromkeys(notes))
    )


def _axis_of(m: Measure, drawn: Sequence[int], columns: Sequence[Column], name: str) -> Markup:
    """All drawn models on the axis of their measure; empty where there is a single number, with nothing to compare."""
    marks = []
    for (role, reference), by_run in m.beside.items():
        for value in dict.fromkeys(by_run.values()):
            marks.append(figures.AxisMark(role, words.reference(reference), value))
    cells = [(k, m.by_column.get(k)) for k in drawn]
    intervals = [c.interval for _, c in cells if c and c.interval]
    scale = _scale(next(iter(m.by_column.values())), intervals, [mark.value for mark in marks])
    if scale is None:
        return Markup("")
    lines = [
        figures.ScoreLine(columns[k].m, c.interval.mean, c.interval.low, c.interval.high)
        if c and c.interval
        else figures.ScoreLine(columns[k].m, None, None, None)
        for k, c in cells
    ]
    beside = words.commas(say("{name} {value}", name=x.name, value=words.tidy(x.value)) for x in marks)
    label = say(
        "{measure} on an axis from {low} to {high}", measure=name, low=words.tidy(scale[0]), high=words.tidy(scale[1])
    )
    return figures.score_lines(lines, scale, marks, label + (say("; marked: {marks}", marks=beside) if beside else ""))


def _scale(one: Cell, intervals: Sequence[Interval], anchors: Sequence[float]) -> tuple[float, float] | None:
    """The range of a row's axis; None where a row holds a single number, which has nothing to be compared with."""
    shown = [v for i in intervals for v in (i.mean, i.low, i.high) if v is not None]
    if tuple(one.bounds) == (0, 1):
        return min(0.0, *shown, *anchors), max(1.0, *shown, *anchors)
    if len({*shown, *anchors}) < 2 or (len(intervals) < 2 and not anchors):
        return None
    low, high = svg.span([*shown, *anchors], 0.08)
    bottom, top = one.bounds
    return max(low, bottom if bottom is not None else -math.inf), min(high, top if top is not None else math.inf)


def _context(view: PageView) -> Context:
    dealt = [len(split_hashes(c.run.detail)) for c in view.columns]
    every = tables(view.columns)
    return {
        "tables": every,
        "crowd": view.is_crowd,
        "sweep": view.is_sweep,
        "models": len(view.columns),
        "several": view.several,
        "lines": LINES,
        "splits": min(dealt, default=0),
        "judged": any(r.role == "judge" for run in view.runs for r in run.records),
        "open_tables": OPEN_TABLES if len(every) <= OPEN_TABLES else 1,
    }


TEXTS = marked({"measures_shown": "{n} of {all} measures", "measures_all": "{all} measures"})
SECTION = Section("scores", marked("Scores"), "scores.html.jinja", _context, order=300, texts=TEXTS)
