"""The evidence under a claim, in words: what `latentbench.stats.findings.evidence` decides, each part with its number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from latentbench.report.wording import words
from latentbench.report.wording.intervals import between, value
from latentbench.report.wording.language import marked, plural, say
from latentbench.report.wording.phrases import phrase
from latentbench.stats.cells import Cell
from latentbench.stats.findings import evidence
from latentbench.stats.findings.evidence import Evidence, Measured, Support

STANDINGS: tuple[Support, ...] = marked(("supported", "not supported", "undecided"))
COUNTED = marked({
    "supported": "{n} supported",
    "not supported": "{n} not supported",
    "undecided": "{n} undecided",
})  # fmt: skip

NOUNS = marked({
    "punctual_index": "sigma over the spread of the means",
    "kl.mean_part": "mean half of the KL",
    "kl.variance_part": "variance half of the KL",
    "midpoint.nonblend": "distance of the midpoint from the blend of the ends",
    "active_units": "dimensions in use",
    "variance_law": "variance of the codes, E sigma² + Var(mu)",
    "judge_frechet": "Fréchet distance to real images",
    "memorisation": "memorisation",
})  # fmt: skip
"""Measures of the claims that have no words of their own in a sentence."""


class Part(NamedTuple):
    """One number under a claim: what it is, in words; the number with its interval; and whether it holds (1), fails
    (-1) or is open (0). ``metric`` links to the definition. ``p`` is that of its test, 0 for what was counted. ``brief`` is
    the number without what it is the difference of, where it is one."""

    says: str
    number: str
    holds: int
    metric: str
    p: float = 1.0
    brief: str = ""


def verdict(parts: Sequence[Part]) -> Support:
    """What the parts together say."""
    return evidence.support([p.holds for p in parts])


def standing(verdicts: Sequence[Support]) -> str:
    """How many claims are supported, not supported, undecided, in words."""
    counted = {s: verdicts.count(s) for s in STANDINGS}
    return words.listed([say(COUNTED[s], n=n) for s, n in counted.items() if n])


def heading(verdicts: Sequence[Support]) -> str:
    """How a study's claims stand."""
    return plural("{n} claim: {told}", "{n} claims: {told}", len(verdicts), told=standing(verdicts))


def difference(m: Measured, metric: str, more: str, less: str, split: str = "test") -> Part:
    """``more`` scores higher in a measure than ``less``."""
    a, b = m.cell(more, metric, split), m.cell(less, metric, split)
    text = marked("{noun}, {more} minus {less}" if split == "test" else "{noun}, {more} minus {less}, {split} images")
    says = say(text, noun=noun(metric, m), more=more, less=less, split=say(split))
    return subtracted(says, metric, m, evidence.difference(a, b), (a, b), (more, less))


def multiple(m: Measured, metric: str, larger: str, factor: float, smaller: str) -> Part:
    """``larger`` scores at least ``factor`` times what ``smaller`` does: larger - factor * smaller, seed by seed."""
    a, b = m.cell(larger, metric), m.cell(smaller, metric)
    text = marked("{noun} of {larger}, at least {factor} times that of {smaller}")
    says = say(text, noun=noun(metric, m), larger=larger, factor=f"{factor:g}", smaller=smaller)
    support = evidence.multiple(a, factor, b)
    if support is None or a is None or b is None:
        return _missing(says, metric, m, (larger, smaller))
    return Part(
        says, say("{first} against {other}", first=value_of(a), other=value_of(b)), support.holds, metric, support.p
    )


def level(
    m: Measured, metric: str, model: str, low: float | None = None, high: float | None = None, split: str = "test"
) -> Part:
    """A model's value lies above ``low`` and below ``high``."""
    if low is not None and high is not None:
        text = marked("{noun} of {model}, between {low} and {high}")
    else:
        text = marked("{noun} of {model}, below {high}" if low is None else "{noun} of {model}, above {low}")
    says = say(text, noun=noun(metric, m), model=model, low=words.tidy(low), high=words.tidy(high))
    support = evidence.level(m.cell(model, metric, split), low, high)
    return (
        Part(says, value(support.interval), support.holds, metric, support.p)
        if support
        else _missing(says, metric, m, (model,))
    )


def gap(m: Measured, metric: str, model: str) -> Part:
    """A model scores higher on its training images than on held-out ones."""
    says = say("{noun} of {model}, on training minus on held-out images", noun=noun(metric, m), model=model)
    a, b = m.cell(model, metric, "train"), m.cell(model, metric)
    return subtracted(says, metric, m, evidence.difference(a, b), (a, b), (model,))


def subtracted(
    says: str, metric: str, m: Measured, support: Evidence | None, cells: Sequence[Cell | None], models: Sequence[str]
) -> Part:
    """A difference with the two means it lies between, or why there is none."""
    if support is None:
        return _missing(says, metric, m, models)
    text = marked("{difference} ({first} against {other})")
    first, other = (value_of(c) if c else "–" for c in cells)
    number = say(text, difference=between(support.interval), first=first, other=other)
    return Part(says, number, support.holds, metric, support.p, between(support.interval))


def noun(metric: str, m: Measured) -> str:
    """What a measure is called here, where the split is said beside it."""
    if metric == "r2":
        return "R²"
    found = phrase(metric, m.definitions).noun
    return say(NOUNS[metric]) if found == metric and metric in NOUNS else found


def value_of(cell: Cell) -> str:
    """The mean with half its interval."""
    return value(cell.interval) if cell.interval else "–"


def _missing(says: str, metric: str, m: Measured, models: Sequence[str]) -> Part:
    why = m.reason(metric, models)
    number = say("not measured: {why}", why=words.reason(why)) if why else say("not measured")
    return Part(says, number, 0, metric)
