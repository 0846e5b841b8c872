"""What a run measured, looked up by model and metric: the ground that findings and tables stand on.

A model is *collapsed* at a seed where no latent dimension is active or R² on held-out images is about 0 or below:
whatever goes in, what comes out does not depend on it. One constant image is as smooth and, to a careless judge, as
valid as can be, so a collapsed model never leads a ranking and enters no claim about continuity or completeness. Nor does one that
*copies*: a table of training images is valid wherever it is asked, since what it gives back is real. A model is
*undertrained* at a seed where the validation loss still fell when training ended (the epoch kept was the last that was
allowed, or the epochs after it fall), or where fewer than `STEPS` steps were made: its numbers describe the training, not
the model.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from latentbench.records import Record, run_record, values
from latentbench.stats.cells import Cell, Interval, Seed, leaders, references, summarise

COPYING = 0.95
"""Memorisation above which a model's draws are its training images: they are valid because they are real."""

COLLAPSED_R2 = 0.05
"""Below this share of variance explained, a decoder draws the mean image (or worse) whatever it is given."""

STEPS = 2000
"""Optimiser steps below which numbers describe the training, not the model."""

MEAN_IMAGE, NO_DIMENSION = "mean image", "no active dimension"


@dataclass(frozen=True)
class Collapse:
    """How a model collapsed: the ``causes`` (`MEAN_IMAGE`: it reconstructs no better than the mean image;
    `NO_DIMENSION`: no latent dimension is active), at how many ``seeds`` of how many (``of``)."""

    causes: tuple[str, ...]
    seeds: int
    of: int


class Table:
    """The cells of one dataset and one latent size on held-out images, found by model and metric; ``models`` in order
    of appearance, the first is the one the others are compared with. Models of different latent sizes are never in one
    table: a claim holds at a stated size.

    ``run`` is the run's id, ``several`` whether the records hold other runs beside it, ``head`` the run's own record.
    ``collapse`` holds the models that collapsed at one seed or more, ``copies`` the memorisation of those that copy,
    ``undertrained`` the models that are known to be.
    """

    def __init__(
        self, cells: Iterable[Cell], dataset: str, run: str = "", several: bool = False, latent_dim: int | None = None,
        head: Record | None = None,
    ) -> None:  # fmt: skip
        here = (c for c in cells if c.dataset == dataset and c.split in ("test", "") and c.run == (run or c.run))
        self.cells = [
            c for c in here if latent_dim in (None, c.latent_dim) or c.latent_dim is None or c.role == "judge"
        ]
        self.dataset, self.run, self.several, self.head = dataset, run, several, head
        self.models = list(dict.fromkeys(c.model for c in self.cells if c.is_model))
        self.by = {(c.model, c.metric): c for c in reversed(self.cells)}
        sizes = (c.latent_dim for c in self.cells if c.model in self.models and c.latent_dim)
        self.latent_dim = latent_dim or next(sizes, None)
        self.collapse = _collapse(self)
        self.copies = _copies(self)
        self.undertrained = _undertrained(self)

    @property
    def label(self) -> str:
        """The run's id where the records hold several runs, else empty."""
        return self.run if self.several else ""

    @property
    def seeds(self) -> int:
        """Most seeds that any model has a value for."""
        return max((len(c.values) for c in self.cells if c.model in self.models and None not in c.values), default=0)

    @property
    def excluded(self) -> dict[str, None]:
        """The models that enter no claim about continuity or completeness: the collapsed ones, then those that copy."""
        return dict.fromkeys([*self.collapse, *self.copies])

    @property
    def nothing_left(self) -> bool:
        """Whether every model that was measured is excluded."""
        return bool(self.models) and all(m in self.excluded for m in self.models)

    @property
    def duplicates(self) -> int:
        """How many test images also stand in training or validation, where that was counted; else 0."""
        counted = self.get("", "data.duplicates")
        return round(counted.mean) if counted else 0

    @property
    def definitions(self) -> Mapping[str, Mapping[str, Any]]:
        """What the run's own record says of its metrics, by name; empty where there is none."""
        return (self.head.detail.get("definitions") or {}) if self.head else {}

    def get(self, model: str, metric: str) -> Interval | None:
        """The interval of a metric, None where it has no value."""
        cell = self.by.get((model, metric))
        return cell.interval if cell else None

    def row(self, metric: str, collapsed: bool = False) -> list[Cell]:
        """The models' cells of one metric that have a value; those of collapsed and copying models only where asked
        for."""
        kept = (m for m in self.models if collapsed or m not in self.excluded)
        cells = (self.by.get((m, metric)) for m in kept)
        return [c for c in cells if c is not None and c.interval is not None]

    def reference(self, metric: str, name: str) -> float | None:
        """A baseline, floor or ceiling."""
        cell = references(self.cells, self.dataset, metric).get(name)
        return cell.interval.mean if cell and cell.interval else None

    def floor(self, metric: str) -> float | None:
        """The highest of a metric's floors: what the most flattering junk scores."""
        anchors = references(self.cells, self.dataset, metric)
        return max((c.interval.mean for c in anchors.values() if c.role == "floor" and c.interval), default=None)

    def leaders(self, metric: str) -> tuple[str, ...]:
        """Best or tied for best, collapsed and copying models aside."""
        return leaders([c for c in self.cells if c.metric == metric and c.model in self.models], self.excluded)

    def reasons(self, *metrics: str) -> tuple[str, ...]:
        """Why metrics have no value, as their records say; each reason once."""
        cells = (self.by.get((model, metric)) for metric in metrics for model in self.models)
        return tuple(dict.fromkeys(c.reason for c in cells if c is not None and c.interval is None and c.reason))


def _copies(table: Table) -> dict[str, float]:
    """Models whose draws are their training images, each with its memorisation."""
    shares = {model: table.get(model, "memorisation") for model in table.models}
    return {model: share.mean for model, share in shares.items() if share and share.mean > COPYING}


def _collapse(table: Table) -> dict[str, Collapse]:
    """Collapsed models; where a seed has both causes, the latter counts."""
    out = {}
    for model in table.models:
        r2, units = (_seeds(table, model, metric) for metric in ("r2", "active_units"))
        seen = {seed: MEAN_IMAGE for seed, value in r2.items() if value < COLLAPSED_R2}
        seen |= {seed: NO_DIMENSION for seed, value in units.items() if value < 0.5}
        if seen:
            out[model] = Collapse(tuple(sorted(set(seen.values()))), len(seen), len({*r2, *units}))
    return out


def _undertrained(table: Table) -> frozenset[str]:
    """Models whose training ended too early, at one seed or more."""
    config = (table.head.detail.get("config") or {}) if table.head else {}
    allowed = config.get("epochs")
    out = set()
    for model in table.models:
        cell = table.by.get((model, "train.epochs"))
        for training in cell.details.values() if cell else ():
            still_falling = training.get("falling") or (allowed is not None and training.get("kept") == allowed)
            if still_falling or training.get("steps", STEPS) < STEPS:
                out.add(model)
    return frozenset(out)


def _seeds(table: Table, model: str, metric: str) -> Mapping[Seed, float]:
    cell = table.by.get((model, metric))
    return cell.values if cell else {}


def tables(records: Sequence[Record]) -> list[Table]:
    """One table a run, dataset and latent size, in order of appearance; those without a model are left out."""
    cells = summarise(records)
    keys = dict.fromkeys((c.run, c.dataset) for c in cells)
    several = len({run for run, _ in keys}) > 1
    out = []
    for run, dataset in keys:
        sizes: dict[int | None, None] = dict.fromkeys(
            c.latent_dim for c in cells if (c.run, c.dataset) == (run, dataset) and c.is_model
        )
        sizes.pop(None, None)
        head = run_record(r for r in records if not several or r.run == run)
        out += [Table(cells, dataset, run, several, d, head) for d in sizes or [None]]
    return [t for t in out if t.models]


def without_record(records: Sequence[Record], table: Table) -> list[str]:
    """Models that the run was asked for and that no value record names: nothing at all is known of them."""
    asked = (table.head.detail.get("config") or {}).get("models") or [] if table.head else []
    recorded = {r.model for r in values(records)}
    return [str(m) for m in asked if m not in recorded]
