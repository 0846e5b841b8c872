"""What a run measured, looked up by model and measure: the ground that verdicts and tables stand on.

A model is *collapsed* at a seed where no latent dimension is active or R² on held-out images is about 0 or below:
whatever goes in, what comes out does not depend on it. One constant image is as smooth and, to a careless judge, as
valid as can be, so a collapsed model never leads a ranking and enters no claim about continuity or completeness. Nor does one that
*copies*: a table of training images is valid wherever it is asked, since what it gives back is real.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from latentbench.records import Record, run_record, values
from latentbench.report.wording import words
from latentbench.report.wording.language import marked, say
from latentbench.stats.cells import Cell, Interval, Seed, leaders, references, summarise

COPYING = 0.95
"""Memorisation above which a model's draws are its training images: they are valid because they are real."""

COLLAPSED_R2 = 0.05
"""Below this share of variance explained, a decoder draws the mean image (or worse) whatever it is given."""


class Table:
    """The cells of one dataset and one latent size on held-out images, found by model and metric; ``models`` in order
    of appearance, the first is the one the others are compared with. Models of different latent sizes are never in one
    table: a claim holds at a stated size."""

    def __init__(
        self, cells: Iterable[Cell], dataset: str, run: str = "", several: bool = False, latent_dim: int | None = None
    ) -> None:
        mine = (c for c in cells if c.dataset == dataset and c.split in ("test", "") and c.run == (run or c.run))
        self.cells = [
            c for c in mine if latent_dim in (None, c.latent_dim) or c.latent_dim is None or c.role == "judge"
        ]
        self.dataset, self.run = dataset, run if several else ""
        self.models = list(dict.fromkeys(c.model for c in self.cells if c.is_model))
        self.by = {(c.model, c.metric): c for c in reversed(self.cells)}
        sizes = (c.latent_dim for c in self.cells if c.model in self.models and c.latent_dim)
        self.latent_dim = latent_dim or next(sizes, None)
        self.collapse = _collapse(self)
        self.copies = _copies(self)

    @property
    def where(self) -> str:
        """The data and the latent size a claim holds for, fit for a sentence."""
        return say("on {place}", place=self.place)

    @property
    def place(self) -> str:
        """The data and the latent size: ``digits at d = 8``."""
        data, run = self.dataset or say("this data"), f" ({self.run})" if self.run else ""
        if not self.latent_dim:
            return data + run
        return say("{data} at d = {d}", data=data, d=self.latent_dim) + run

    @property
    def seeds(self) -> int:
        """Most seeds that any model has a value for."""
        return max((len(c.values) for c in self.cells if c.model in self.models and None not in c.values), default=0)

    def get(self, model: str, metric: str) -> Interval | None:
        """The interval of a metric, None where it has no value."""
        cell = self.by.get((model, metric))
        return cell.interval if cell else None

    def row(self, metric: str, collapsed: bool = False) -> list[Cell]:
        """The models' cells of one metric that have a value; those of collapsed and copying models only where asked
        for."""
        kept = (m for m in self.models if collapsed or m not in {**self.collapse, **self.copies})
        found = (self.by.get((m, metric)) for m in kept)
        return [c for c in found if c is not None and c.interval is not None]

    def reference(self, metric: str, name: str) -> float | None:
        """A baseline, floor or ceiling."""
        cell = references(self.cells, self.dataset, metric).get(name)
        return cell.interval.mean if cell and cell.interval else None

    def floor(self, metric: str) -> float | None:
        """The highest of a metric's floors: what the most flattering junk scores."""
        found = references(self.cells, self.dataset, metric)
        return max((c.interval.mean for c in found.values() if c.role == "floor" and c.interval), default=None)

    def flags(self, collapsed: str) -> list[str]:
        """A sentence for each model that is left out of every claim, saying why; ``collapsed`` is that of a collapsed one,
        with places for ``model`` and ``why``."""
        out = [say(collapsed, model=model, why=why) for model, why in self.collapse.items()]
        text = marked("Flagged: {model} gives its training images back ({why}), so it is left out here.")
        return out + [say(text, model=model, why=why) for model, why in self.copies.items()]

    def nothing_left(self) -> str:
        """Why no model is left to make a claim about, in a sentence's end; empty where one is, or none was measured."""
        excluded = {**self.collapse, **self.copies}
        return words.listed(list(excluded)) if self.models and all(m in excluded for m in self.models) else ""

    def collapsed(self) -> list[str]:
        """The models that collapsed at one seed or more; `collapse` says how."""
        return list(self.collapse)

    def leaders(self, metric: str) -> tuple[str, ...]:
        """Best or tied for best, collapsed and copying models aside."""
        excluded = [*self.collapse, *self.copies]
        return leaders([c for c in self.cells if c.metric == metric and c.model in self.models], excluded)

    def why(self, *metrics: str) -> str:
        """Why measures have no value, in the words of their records."""
        cells = (self.by.get((model, metric)) for metric in metrics for model in self.models)
        reasons = dict.fromkeys(c.reason for c in cells if c is not None and c.interval is None and c.reason)
        return words.clauses(words.reason(r) for r in reasons) or say("it was not measured")


def _copies(table: Table) -> dict[str, str]:
    """Models whose draws are their training images, each with the reason in words."""
    out = {}
    for model in table.models:
        share = table.get(model, "memorisation")
        if share and share.mean > COPYING:
            out[model] = say("memorisation {share}, where copies read 1", share=words.tidy(share.mean))
    return out


def _collapse(table: Table) -> dict[str, str]:
    """Collapsed models, each with the reason in words."""
    out = {}
    for model in table.models:
        seen: dict[Seed, str] = {}
        r2, units = table.by.get((model, "r2")), table.by.get((model, "active_units"))
        for seed, value in (r2.values if r2 else {}).items():
            if value < COLLAPSED_R2:
                seen[seed] = say("it reconstructs no better than the mean image")
        for seed, value in (units.values if units else {}).items():
            if value < 0.5:
                seen[seed] = say("no latent dimension is active")
        total = len({**(r2.values if r2 else {}), **(units.values if units else {})})
        if seen:
            why = say(" or ").join(sorted(set(seen.values())))
            if len(seen) < total:
                why = say("{why} at {some} of {n} seeds", why=why, some=len(seen), n=total)
            out[model] = why
    return out


def tables(records: Sequence[Record]) -> list[Table]:
    """One table a run, dataset and latent size, in order of appearance; those without a model are left out."""
    cells = summarise(records)
    keys = dict.fromkeys((c.run, c.dataset) for c in cells)
    several = len({run for run, _ in keys}) > 1
    out = []
    for run, dataset in keys:
        own = (c.latent_dim for c in cells if (c.run, c.dataset) == (run, dataset) and c.is_model)
        sizes: list[int | None] = [d for d in dict.fromkeys(own) if d is not None]
        out += [Table(cells, dataset, run, several, d) for d in sizes or [None]]
    return [t for t in out if t.models]


def untold(records: Sequence[Record], table: Table) -> list[str]:
    """Models that the run was asked for and that no value record names: nothing at all is known of them."""
    head = run_record(r for r in records if not table.run or r.run == table.run)
    asked = (head.detail.get("config") or {}).get("models") or [] if head else []
    told = {r.model for r in values(records)}
    return [str(m) for m in asked if m not in told]
