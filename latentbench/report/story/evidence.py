"""Evidence: the numbers under a claim, and the verdict they carry.

A claim rests on *parts*. A part is one number over seeds with its 95 % t-interval, read against a limit:

    difference   other - first, paired by seed, against 0
    multiple     first - factor * other, paired by seed, against 0 ("at least 10 times")
    level        one model's value against a fixed number, or between two

A part *holds* (1) where the whole interval lies on the claimed side, *fails* (-1) where it lies wholly on the other,
and is *open* (0) in between, with one seed, or where nothing was measured. The claim is *supported* where every part
holds, *not supported* where one fails, and *undecided* otherwise: a verdict is never forced.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from latentbench.records import Record
from latentbench.report.verdict.claims import between, phrase, value
from latentbench.report.wording import words
from latentbench.report.wording.language import marked, say
from latentbench.stats.cells import Cell, Interval, paired, summarise, t_interval

Standing = Literal["supported", "not supported", "undecided"]
STANDINGS: tuple[Standing, ...] = marked(("supported", "not supported", "undecided"))
COUNTED = marked({
    "supported": "{n} supported",
    "not supported": "{n} not supported",
    "undecided": "{n} undecided",
})  # fmt: skip


class Part(NamedTuple):
    """One number under a claim: what it is, in words; the number with its interval; and whether it holds (1), fails
    (-1) or is open (0). ``metric`` links to the definition."""

    says: str
    number: str
    holds: int
    metric: str


@dataclass(frozen=True)
class Measured:
    """Every cell of one run, found by model, measure and split; latent sizes come with the models."""

    cells: Mapping[tuple[str, str, str], Cell]
    references: Mapping[tuple[str, int | None, str], float]

    def cell(self, model: str, metric: str, split: str = "test") -> Cell | None:
        """The cell, None where it has no value or the measure failed its self-check."""
        found = self.cells.get((model, metric, split))
        return found if found and found.interval and not found.unproven else None

    def mean(self, model: str, metric: str, split: str = "test") -> float | None:
        """The mean over seeds, None where there is none."""
        found = self.cell(model, metric, split)
        return found.interval.mean if found and found.interval else None

    def reference(self, name: str, metric: str, latent_dim: int | None) -> float | None:
        """A ceiling, floor, null value or baseline of one measure at one latent size."""
        return self.references.get((name, latent_dim, metric))


def measured(records: Sequence[Record]) -> Measured:
    """The cells of a run's records."""
    cells: dict[tuple[str, str, str], Cell] = {}
    references: dict[tuple[str, int | None, str], float] = {}
    for c in summarise(records):
        if c.is_reference and c.interval and c.split in ("test", ""):
            references.setdefault((c.model, c.latent_dim, c.metric), c.interval.mean)
        elif not c.is_reference:
            cells.setdefault((c.model, c.metric, c.split or "test"), c)
    return Measured(cells, references)


def verdict(parts: Sequence[Part]) -> Standing:
    """What the parts together say; see the module's docstring."""
    if any(p.holds < 0 for p in parts):
        return "not supported"
    return "supported" if parts and all(p.holds > 0 for p in parts) else "undecided"


def difference(m: Measured, metric: str, more: str, less: str, split: str = "test") -> Part:
    """``more`` scores higher in a measure than ``less``."""
    a, b = m.cell(more, metric, split), m.cell(less, metric, split)
    text = marked("{noun}, {more} minus {less}" if split == "test" else "{noun}, {more} minus {less}, {split} images")
    says = say(text, noun=noun(metric), more=more, less=less, split=say(split))
    if a is None or b is None or not a.values.keys() & b.values.keys():
        return _missing(says, metric, m, (more, less))
    d = paired(a.values, b.values).difference
    return Part(says, both(between(d), a, b), d.side, metric)


def multiple(m: Measured, metric: str, larger: str, factor: float, smaller: str) -> Part:
    """``larger`` scores at least ``factor`` times what ``smaller`` does: larger - factor * smaller, seed by seed."""
    a, b = m.cell(larger, metric), m.cell(smaller, metric)
    text = marked("{noun} of {larger}, at least {factor} times that of {smaller}")
    says = say(text, noun=noun(metric), larger=larger, factor=f"{factor:g}", smaller=smaller)
    if a is None or b is None or not a.values.keys() & b.values.keys():
        return _missing(says, metric, m, (larger, smaller))
    d = paired(a.values, {s: factor * v for s, v in b.values.items()}).difference
    return Part(says, say("{first} against {other}", first=value_of(a), other=value_of(b)), d.side, metric)


def level(
    m: Measured, metric: str, model: str, low: float | None = None, high: float | None = None, split: str = "test"
) -> Part:
    """A model's value lies above ``low`` and below ``high``."""
    if low is not None and high is not None:
        text = marked("{noun} of {model}, between {low} and {high}")
    else:
        text = marked("{noun} of {model}, below {high}" if low is None else "{noun} of {model}, above {low}")
    says = say(text, noun=noun(metric), model=model, low=words.tidy(low), high=words.tidy(high))
    cell = m.cell(model, metric, split)
    if cell is None or cell.interval is None:
        return _missing(says, metric, m, (model,))
    return Part(says, value_of(cell), _within(cell.interval, low, high), metric)


def gap(m: Measured, metric: str, model: str) -> Part:
    """A model scores higher on its training images than on held-out ones."""
    says = say("{noun} of {model}, on training minus on held-out images", noun=noun(metric), model=model)
    a, b = m.cell(model, metric, "train"), m.cell(model, metric)
    if a is None or b is None:
        return _missing(says, metric, m, (model,))
    d = t_interval([a.values[s] - b.values[s] for s in a.values if s in b.values])
    return Part(says, both(between(d), a, b), d.side, metric)


def both(difference: str, first: Cell, other: Cell) -> str:
    """A difference with the two means it lies between."""
    text = marked("{difference} ({first} against {other})")
    return say(text, difference=difference, first=value_of(first), other=value_of(other))


def noun(metric: str) -> str:
    """What a measure is called here, where the split is said beside it."""
    return "R²" if metric == "r2" else phrase(metric).noun


def value_of(cell: Cell) -> str:
    """The mean with half its interval."""
    return value(cell.interval) if cell.interval else "–"


def _within(i: Interval, low: float | None, high: float | None) -> int:
    least, most = (i.mean, i.mean) if i.low is None or i.high is None else (i.low, i.high)
    sure = i.low is not None
    if (low is not None and most < low) or (high is not None and least > high):
        return -1 if sure else 0
    inside = (low is None or least > low) and (high is None or most < high)
    return 1 if inside and sure else 0


def _missing(says: str, metric: str, m: Measured, models: Sequence[str]) -> Part:
    why = next(
        (
            c.reason or c.unproven
            for x in models
            if (c := m.cells.get((x, metric, "test"))) and (c.reason or c.unproven)
        ),
        "",
    )
    number = say("not measured: {why}", why=words.reason(why)) if why else say("not measured")
    return Part(says, number, 0, metric)
