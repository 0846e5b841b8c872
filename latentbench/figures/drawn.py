"""What a figure is drawn from, and what is made of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from latentbench.report.classes import short_names
from latentbench.report.folder import RunFolder
from latentbench.report.wording.words import count, listed
from latentbench.stats.cells import Cell
from latentbench.stats.findings.table import Table, tables

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from latentbench.figures.look import Look

NAME, SHORTER, SHORTEST = 26, 18, 14
"""Letters of a model's name: those that a figure has room for, one of a column that shows many models, a narrow one."""


def letters(models: int, ems: float) -> int:
    """How many letters of a name there is room for beside so many ``models`` in a width of so many ``ems``."""
    return SHORTEST if ems < 30 else SHORTER if ems < 45 and models > 3 else NAME


class Row(NamedTuple):
    """A model at one latent size on one data set: its ``number`` (colour and mark), and its name in the figure."""

    table: Table
    model: str
    number: int
    label: str


@dataclass(frozen=True, eq=False)
class Subject:
    """A run as the figures read it; ``letters``: of a model's name, at most."""

    run: RunFolder
    letters: int = NAME

    @cached_property
    def tables(self) -> list[Table]:
        """Its numbers, a table a data set and latent size."""
        return tables(self.run.records)

    @cached_property
    def names(self) -> dict[str, str]:
        """The models, each with its name as a figure has room for it."""
        return dict(zip(self.run.models, short_names(self.run.models, self.letters), strict=True))

    @cached_property
    def several(self) -> frozenset[str]:
        """The models that have numbers at several latent sizes."""
        sizes: dict[str, set[int | None]] = {}
        for table in self.tables:
            for model in table.models:
                sizes.setdefault(model, set()).add(table.latent_dim)
        return frozenset(model for model, found in sizes.items() if len(found) > 1)

    def panel(self, least: float) -> float:
        """Ems that a panel takes with a model's name above it, ``least`` at least."""
        return max(least, max(map(len, self.names.values()), default=0) * 0.56 + 1.5)

    def number(self, model: str) -> int:
        """Which of the run's models it is, as on the page."""
        return self.run.models.index(model)

    @cached_property
    def rows(self) -> list[Row]:
        """Every model in every table."""
        datasets = {t.dataset for t in self.tables}
        out = []
        for table in self.tables:
            for model in table.models:
                where = [table.dataset] * (len(datasets) > 1)
                where += [f"d = {table.latent_dim}"] * (model in self.several)
                label = ", ".join([self.names.get(model, model), *where])
                out.append(Row(table, model, self.number(model), label))
        return out

    @property
    def protocol(self) -> str:
        """The data, the latent size and the seeds, in a sentence."""
        data = self.run.detail.get("dataset") or {}
        sizes = data.get("sizes") or {}
        words = {"train": "training", "val": "validation", "test": "test"}
        parts = [f"{count(float(sizes[k]))} {word}" for k, word in words.items() if isinstance(sizes.get(k), int)]
        noun = {"image": "images", "series": "series"}.get(str(data.get("space")), "samples")
        name = str(data.get("name") or self.run.dataset or "unknown data")
        text = f"{name}" + (f" ({listed(parts)} {noun})" if parts else "")
        dims = sorted({t.latent_dim for t in self.tables if t.latent_dim})
        text += f", d = {listed([str(d) for d in dims])}" if dims else ""
        seeds = len(self.run.seeds)
        return f"{text}; {seeds} seed{'' if seeds == 1 else 's'}."


@dataclass(frozen=True)
class Drawn:
    """A ``figure``, the ``caption`` beneath it, and the numbers that it is drawn from: ``rows`` of ``fields``."""

    figure: Figure
    caption: str
    fields: Sequence[str]
    rows: Sequence[Sequence[Any]]


class PaperFigure(NamedTuple):
    """One kind of figure. ``draw`` raises `latentbench.report.folder.Absent`, a sentence, where the run does not have what it
    takes."""

    name: str
    draw: Callable[[Subject, Look], Drawn]


CELL_FIELDS = ("dataset", "model", "d", "metric", "mean", "low", "high", "n", "interval")
"""Columns of the numbers of a figure of scores."""


def cell_row(cell: Cell, table: Table) -> list[Any]:
    """A score as a row of numbers."""
    i = cell.interval
    assert i is not None
    kind = "" if i.low is None else "approximate 95 % t-interval" if i.approximate else "95 % t-interval"
    return [table.dataset, cell.model, table.latent_dim, cell.metric, i.mean, i.low, i.high, i.n, kind]


def intervals(cells: Iterable[Cell], mean: str = "Marks") -> str:
    """What marks and bars are, in a sentence: of how many seeds, what kind of interval, what it holds for."""
    every = [c for c in cells if c.interval]
    counts = sorted({c.interval.n for c in every if c.interval and c.interval.low is not None})
    if not counts:
        return f"{mean}: one seed each, so there is no interval."
    n = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    dealt = any(c.splits for c in every)
    text = f"{mean}: means over {n} seeds; bars: 95 % t-intervals"
    text += ", over random splits of the data too." if dealt else ", for one split of the data and one judge."
    if any(c.interval and c.interval.approximate for c in every):
        text += " Open: the interval is approximate, the values lie close to a bound of the measure."
    return text


def caveats(subject: Subject, only: Iterable[str] | None = None) -> str:
    """What else to know of the models, as the page says it: which collapsed, copy, or were trained too short."""
    shown = None if only is None else set(only)
    said: dict[str, None] = {}
    for table in subject.tables:
        place = f" at d = {table.latent_dim}" if len(subject.tables) > 1 and table.latent_dim else ""

        def of(models: Iterable[str], shown: set[str] | None = shown) -> list[str]:
            return [m for m in models if shown is None or m in shown]

        for model in of(table.collapse):
            how = table.collapse[model]
            said[f"{model} collapsed{place} ({how.seeds} of {how.of} seeds)."] = None
        if copies := of(table.copies):
            said[f"{listed(copies)} give{'s' if len(copies) == 1 else ''} back training samples{place}."] = None
        if short := of(m for m in table.models if m in table.undertrained):
            said[f"Trained too briefly{place} (the loss still fell, or under 2,000 steps): {listed(short)}."] = None
    return " ".join(said)


def sentences(*parts: str) -> str:
    """A caption of these sentences; empty ones are left out."""
    return " ".join(part for part in parts if part)
