"""What a run measured, looked up by model and metric: the ground that findings and tables stand on.

A model is *collapsed* at a seed where no latent dimension is active, all its codes are one, or R² on held-out images is about 0 or below:
whatever goes in, what comes out does not depend on it. One constant image is as smooth and, to a careless judge, as
valid as can be, so a collapsed model never leads a ranking and enters no claim about continuity or completeness. Nor does one that
*copies*: a table of training images is valid wherever it is asked, since what it gives back is real. *Nothing* that a
model draws is *valid* where the judge accepts less than `HARDLY` of what it accepts of real images: that its codes lie as
the prior does is then worth nothing, and it never leads in a measure of completeness that looks at codes alone. A model is
*undertrained* at a seed where the validation loss still fell when training ended, or when its rate began to fall (the epoch
kept was the last that was allowed, or the epochs after the best one fall), or where fewer than `STEPS` steps were made: its
numbers describe the training, not the model.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

from latentbench.records import Kept, Lasting, Record, run_record, values
from latentbench.stats.cells import Cell, Interval, Seed, summarise
from latentbench.stats.families import Family
from latentbench.stats.findings.claims import leaders

COPYING = 0.95
"""Memorisation above which a model's draws are its training images: they are valid because they are real."""

COLLAPSED_R2 = 0.05
"""Below this share of variance explained, a decoder draws the mean image (or worse) whatever it is given."""

STEPS = 1000
"""Optimiser steps below which numbers describe the training, not the model, even where a noisy validation loss stood still."""
HARDLY = 0.1
"""Below this share of what the judge accepts of real images, nothing is valid."""
VALIDITY, OWN_VALIDITY = "validity.normal", "validity.prior"
"""The valid share of draws from N(0, I), and of draws from the prior that a model was trained with."""
OF_CODES = ("hole", "prior.")
"""How the names of completeness measures of codes alone begin, for records that do not say what a measure needs."""

MEAN_IMAGE, NO_DIMENSION, ONE_CODE = "mean image", "no active dimension", "one code"
ONE = 1.001
"""A perplexity of the codes below this is that of one code."""
DISCRETE = "model.discrete"
"""The code of the reason that is recorded of a model with discrete codes, where a measure needs a continuum."""


@dataclass(frozen=True)
class Collapse:
    """How a model collapsed: the ``causes`` (`MEAN_IMAGE`: it reconstructs no better than the mean image;
    `NO_DIMENSION`: no latent dimension is active; `ONE_CODE`: all of its codes are one), at how many ``seeds`` of how many
    (``of``)."""

    causes: tuple[str, ...]
    seeds: int
    of: int


class Copies(NamedTuple):
    """How many test images were seen: ``in_train`` of them stand among the training images, ``in_val`` among those of
    validation, ``seen`` in either."""

    seen: int
    in_train: int
    in_val: int


class Table(Lasting):
    """The cells of one dataset and one latent size on held-out images, found by model and metric; ``models`` in order
    of appearance, the first is the one the others are compared with. Models of different latent sizes are never in one
    table: a claim holds at a stated size.

    ``run`` is the run's id, ``several`` whether the records hold other runs beside it, ``head`` the run's own record.
    ``discrete`` are the models whose codes are discrete. ``collapse`` holds the models that collapsed at one seed or more, ``copies`` the memorisation of those that copy,
    ``invalid`` the valid share of draws from their prior of those of which nothing is valid, ``undertrained`` the models that
    are known to be. ``own_priors``: those that were trained with another prior than N(0, I); where there are any, what every
    model's draws are worth is read under the prior that it was trained with (``validity``). ``every`` are the cells of all splits. Each cell says what bars it from being called better.
    """

    def __init__(
        self, cells: Iterable[Cell], dataset: str, run: str = "", several: bool = False, latent_dim: int | None = None,
        head: Record | None = None,
    ) -> None:  # fmt: skip
        here = (c for c in cells if c.dataset == dataset and c.run == (run or c.run))
        self.every = [
            c for c in here if latent_dim in (None, c.latent_dim) or c.latent_dim is None or c.role == "judge"
        ]
        self._look_up()
        self.dataset, self.run, self.several, self.head = dataset, run, several, head
        self.models = list(dict.fromkeys(c.model for c in self.cells if c.is_model))
        self._named = frozenset(self.models)
        self.own_priors = frozenset(c.model for c in self.cells if c.own_prior)
        sizes = (c.latent_dim for c in self.cells if self.has(c.model) and c.latent_dim)
        self.latent_dim = latent_dim or next(sizes, None)
        self.discrete = _discrete(self)
        self.collapse = _collapse(self)
        self.copies = _copies(self)
        self.invalid = _invalid(self)
        self.undertrained = _undertrained(self)
        self.every = [replace(c, barred=b) if (b := self._barred(c)) else c for c in self.every]
        self._look_up()

    def _look_up(self) -> None:
        self.cells = [c for c in self.every if c.split in ("test", "")]
        self.by = {(c.model, c.metric): c for c in reversed(self.cells)}
        self._anchors: dict[str, dict[str, Cell]] = {}
        for c in self.cells:
            if c.is_reference and c.interval and c.split == "test":
                self._anchors.setdefault(c.metric, {})[c.model] = c

    @property
    def validity(self) -> str:
        """The metric of what draws from a model's prior are worth: `VALIDITY`, or `OWN_VALIDITY` where a model has another
        prior."""
        return self.of_prior(VALIDITY)

    def of_prior(self, metric: str) -> str:
        """The metric itself, or the one that stands for `VALIDITY` here."""
        return OWN_VALIDITY if metric == VALIDITY and self.own_priors else metric

    def has(self, model: str) -> bool:
        """Whether it is one of the ``models``."""
        return model in self._named

    def _barred(self, cell: Cell) -> tuple[str, ...]:
        """What bars a cell from being called better than another."""
        which: dict[str, Mapping[str, Any]] = {"collapsed": self.collapse, "copies": self.copies}
        if self.of_codes(cell.metric):
            which["nothing valid"] = self.invalid
        return tuple(code for code, models in which.items() if cell.model in models)

    def of_codes(self, metric: str) -> bool:
        """Whether a metric measures completeness in codes alone, with neither a decoder nor a judge: as its run declares,
        else by its name."""
        declared = self.definitions.get(metric) or {}
        if "needs" in declared:
            return declared.get("family") == "completeness" and not {"decoder", "judge"} & set(declared["needs"])
        return metric.startswith(OF_CODES)

    @property
    def label(self) -> str:
        """The run's id where the records hold several runs, else empty."""
        return self.run if self.several else ""

    @property
    def seeds(self) -> int:
        """Most seeds that any model has a value for."""
        return max((len(c.values) for c in self.cells if self.has(c.model) and None not in c.values), default=0)

    @cached_property
    def excluded(self) -> dict[str, None]:
        """The models that enter no claim about continuity or completeness: the collapsed ones, then those that copy."""
        return dict.fromkeys([*self.collapse, *self.copies])

    @property
    def nothing_left(self) -> bool:
        """Whether every model that was measured is excluded."""
        return bool(self.models) and all(m in self.excluded for m in self.models)

    @property
    def duplicates(self) -> Copies | None:
        """Test images that also stand in training or validation; None where there are none, or none were counted."""
        cell = self.by.get(("", "data.duplicates"))
        if cell is None or cell.interval is None or cell.interval.mean < 1:
            return None
        counts = next(iter(cell.details.values()), {})
        return Copies(
            round(cell.interval.mean), *(int(counts.get(f"test_in_{where}", 0)) for where in ("train", "val"))
        )

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
        cell = self._anchors.get(metric, {}).get(name)
        return cell.interval.mean if cell and cell.interval else None

    def trained_on(self, model: str, metric: str) -> Cell | None:
        """The cell of a metric on the training images."""
        found = (c for c in self.every if (c.model, c.metric, c.split) == (model, metric, "train"))
        return next(found, None)

    def floor(self, metric: str) -> float | None:
        """The highest of a metric's floors: what the most flattering junk scores."""
        anchors = self._anchors.get(metric, {}).values()
        return max((c.interval.mean for c in anchors if c.role == "floor" and c.interval), default=None)

    def leaders(self, metric: str) -> tuple[str, ...]:
        """The leading group, all models where no smaller group leads (`latentbench.stats.findings.claims.leaders`)."""
        return self.once(
            ("leaders", metric), lambda: leaders([c for m in self.models if (c := self.by.get((m, metric)))])
        )

    @cached_property
    def params(self) -> Mapping[str, Mapping[str, Any]]:
        """The parameters of each model that has any, as its last cell names them."""
        return {m: c.params for (m, _), c in reversed(self.by.items()) if c.params}

    @cached_property
    def rates(self) -> Mapping[tuple[str, str], Mapping[float, Cell]]:
        """Throughputs that were measured: model and metric -> batch -> cell."""
        out: dict[tuple[str, str], dict[float, Cell]] = {}
        for c in self.cells:
            if c.metric.startswith("throughput.") and c.interval:
                out.setdefault((c.model, c.metric), {})[float(c.metric_params.get("batch") or 0)] = c
        return out

    @property
    def claims(self) -> tuple[int, int] | None:
        """How many claims are made together on the page, in headlines and in all; None where there are none."""
        family = next((c.family for c in self.cells if c.family), None)
        return family.size if family and family.size[1] else None

    def reasons(self, *metrics: str) -> tuple[str, ...]:
        """Why metrics have no value, as their records say; each reason once."""
        cells = (self.by.get((model, metric)) for metric in metrics for model in self.models)
        return tuple(dict.fromkeys(c.reason for c in cells if c is not None and c.interval is None and c.reason))


def _discrete(table: Table) -> frozenset[str]:
    """Models with discrete codes: those whose codes were counted, or of which a record says so in its reason."""
    told = {c.model for c in table.cells if table.has(c.model) and DISCRETE in getattr(c.reason, "code", "")}
    return frozenset(told | {m for m in table.models if table.get(m, "perplexity")})


def _copies(table: Table) -> dict[str, float]:
    """Models whose draws are their training images, each with its memorisation."""
    shares = {model: table.get(model, "memorisation") for model in table.models}
    return {model: share.mean for model, share in shares.items() if share and share.mean > COPYING}


def _invalid(table: Table) -> dict[str, float]:
    """Models of which hardly anything drawn from their prior is valid, each with that share; none where the judge failed its
    self-check, or no share of real images was recorded to read it against."""
    real = table.reference(table.validity, "ceiling:real")
    cells = {m: c for m in table.models if (c := table.by.get((m, table.validity))) and c.interval and not c.unproven}
    shares = {m: c.interval.mean for m, c in cells.items() if c.interval}
    return {m: share for m, share in shares.items() if real is not None and share < HARDLY * real}


def _collapse(table: Table) -> dict[str, Collapse]:
    """Collapsed models; where a seed has both causes, the latter counts."""
    out = {}
    for model in table.models:
        r2, units = (_seeds(table, model, metric) for metric in ("r2", "active_units"))
        seen = {seed: MEAN_IMAGE for seed, value in r2.items() if value < COLLAPSED_R2}
        seen |= {seed: NO_DIMENSION for seed, value in units.items() if value < 0.5}
        codes = _seeds(table, model, "perplexity")
        seen |= {seed: ONE_CODE for seed, value in codes.items() if value < ONE}
        if seen:
            out[model] = Collapse(tuple(sorted(set(seen.values()))), len(seen), len({*r2, *units, *codes}))
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


def tables(records: Sequence[Record], family: Family | None = None) -> list[Table]:
    """One table a run, dataset and latent size, in order of appearance; those without a model are left out. Their claims
    are made together; ``family``: with those of a page that shows more than these records (`claims_together`)."""
    family = family or claims_together([records])
    if isinstance(records, Kept):
        # The family is part of the name, and so lives as long as what hangs on it.
        return list(records.once(("tables", family), lambda: _tables(records, family)))
    return _tables(records, family)


def _tables(records: Sequence[Record], family: Family) -> list[Table]:
    groups: dict[tuple[str, str], list[Cell]] = {}
    for c in summarise(records):
        groups.setdefault((c.run, c.dataset), []).append(replace(c, family=family))
    several = len({run for run, _ in groups}) > 1
    heads: dict[str, Record] = {}
    for r in records:
        if r.kind == "run":
            heads.setdefault(r.run, r)
    out = []
    for (run, dataset), group in groups.items():
        sizes: dict[int | None, None] = dict.fromkeys(c.latent_dim for c in group if c.is_model)
        sizes.pop(None, None)
        head = heads.get(run) if several else run_record(records)
        out += [Table(group, dataset, run, several, d, head) for d in sizes or [None]]
    return [t for t in out if t.models]


def claims_together(runs: Iterable[Sequence[Record]]) -> Family:
    """The claims of a page that shows several runs, from the records of each."""
    every = list(runs)

    def work() -> tuple[Family, Sequence[Sequence[Record]]]:
        return Family(*map(summarise, every)), every

    if every and isinstance(first := every[0], Kept):
        # What is found holds the runs too, so no other comes to bear their numbers.
        return first.once(("family", *map(id, every)), work)[0]
    return work()[0]


def without_record(records: Sequence[Record], table: Table) -> list[str]:
    """Models that the run was asked for and that no value record names: nothing at all is known of them."""
    asked = (table.head.detail.get("config") or {}).get("models") or [] if table.head else []
    recorded = {r.model for r in values(records)}
    return [str(m) for m in asked if m not in recorded]
