"""Claims: two models, one measure, one sentence.

A sentence says who does more of what, both means, the paired difference with its 95 % interval and the number of
seeds. It says *tied*, and how many more seeds would separate the two, where the interval contains 0; *undecided* where
one seed allows no interval. With three models and more, one sentence holds all against the first.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from latentbench.report.wording import words
from latentbench.report.wording.language import marked, plural, say
from latentbench.stats.cells import LEVEL, Cell, Interval, Paired, comparable, leaders, paired


@dataclass(frozen=True)
class Verdict:
    """One question's answer: ``headline`` in a sentence that opens with the question, ``sentences`` with the numbers,
    ``metrics`` it rests on."""

    question: str
    headline: str
    sentences: tuple[str, ...]
    metrics: tuple[str, ...]

    @property
    def parts(self) -> tuple[str, str]:
        """The headline taken apart: the question it opens with, and the answer. A headline that opens with none is all
        answer."""
        found = re.match(r"([^?？]*(?:\?(?= )|？)) ?", self.headline)
        return (found[1], self.headline[found.end() :]) if found else ("", self.headline)


class Phrase(NamedTuple):
    """How to speak of a measure: its ``noun``, and what a model does that scores ``higher`` or ``lower`` than another
    ("vae *leaves fewer holes under N(0, I)* than ae")."""

    noun: str
    higher: str
    lower: str


PHRASES = marked({
    "path.validity_gain": Phrase(
        "valid frames beyond those of the cross-fade",
        "gains more valid frames over a cross-fade",
        "gains fewer valid frames over a cross-fade",
    ),
    "midpoint.validity_gain": Phrase(
        "valid midpoints beyond those of the cross-fade",
        "gains more valid midpoints over a cross-fade",
        "gains fewer valid midpoints over a cross-fade",
    ),
    "path.tortuosity": Phrase(
        "length of the decoded path over its chord (1 = straight)",
        "takes a longer way between two images",
        "takes a straighter way between two images",
    ),
    "path.jump": Phrase(
        "largest step beyond an even share (0 = even)", "moves less evenly along its paths", "moves more evenly"
    ),
    "validity.normal": Phrase(
        "valid draws from N(0, I)", "decodes more valid draws from N(0, I)", "decodes fewer valid draws from N(0, I)"
    ),
    "validity.gaussian": Phrase(
        "valid draws from a Gaussian fitted to the codes",
        "decodes more valid draws from a Gaussian fitted to its codes",
        "decodes fewer valid draws from a Gaussian fitted to its codes",
    ),
    "validity.mixture": Phrase(
        "valid draws from a mixture fitted to the codes",
        "decodes more valid draws from a mixture fitted to its codes",
        "decodes fewer valid draws from a mixture fitted to its codes",
    ),
    "hole": Phrase("holes under N(0, I)", "leaves more holes under N(0, I)", "leaves fewer holes under N(0, I)"),
    "hole.gaussian": Phrase(
        "holes under a Gaussian fitted to the codes",
        "leaves more holes under a Gaussian fitted to its codes",
        "leaves fewer holes under a Gaussian fitted to its codes",
    ),
    "r2": Phrase("R² on held-out images", "reconstructs held-out images better", "reconstructs held-out images worse"),
    "mse": Phrase("mean squared error", "makes a larger squared error", "makes a smaller squared error"),
    "overlap": Phrase(
        "overlap of the posteriors", "lets its posteriors overlap more", "lets its posteriors overlap less"
    ),
    "probe.linear": Phrase(
        "accuracy of a linear probe", "tells classes apart better", "tells classes apart less well"
    ),
})  # fmt: skip


GROUPS = marked({
    "higher": "higher: {names}",
    "lower": "lower: {names}",
    "tied": "tied: {names}",
    "undecided": "undecided: {names}",
})  # fmt: skip


def phrase(metric: str) -> Phrase:
    """How to speak of a measure; one that is not known here is spoken of by its name."""
    if metric in PHRASES:
        return Phrase(*map(say, PHRASES[metric]))
    return Phrase(
        metric, say("scores higher in {metric}", metric=metric), say("scores lower in {metric}", metric=metric)
    )


def value(i: Interval) -> str:
    """``0.446 ± 0.031``; the bare number where there is no interval or no width."""
    return " ± ".join(words.spread(i.mean, i.half)) if i.half else words.number(i.mean)


def between(i: Interval) -> str:
    """``−0.590 [−0.630, −0.550]``; the bare number where there is no interval."""
    if i.low is None or i.high is None or not i.half:
        return words.number(i.mean)
    mean, half = words.spread(i.mean, i.half)
    places = max(len(part.partition(".")[2]) for part in (mean, half))
    fixed = i.half >= 1e-5 and abs(i.mean) < 1e7
    low, high = (words.number(v, places if fixed else None) for v in (i.low, i.high))
    return f"{mean} [{low}, {high}]"


def of(number: str, model: str) -> str:
    """``0.82 for ae``."""
    return say("{number} for {model}", number=number, model=model)


def means(cells: Iterable[Cell]) -> str:
    """``0.82 for ae and 0.803 for vae``."""
    return words.listed([of(words.tidy(c.interval.mean), c.model) for c in cells if c.interval])


def shares(cells: Iterable[Cell]) -> str:
    """``9.3 % for ae and 46 % for vae``."""
    return words.listed([of(words.percent(c.interval.mean), c.model) for c in cells if c.interval])


def difference(first: Cell, other: Cell) -> Paired | None:
    """``other - first``, paired by seed; None where they share no seed, where the measure failed its self-check, or
    where the two values do not compare."""
    if first.unproven or other.unproven or not comparable((first, other)):
        return None
    if not first.values.keys() & other.values.keys():
        return None
    return paired(other.values, first.values)


def decided(first: Cell, other: Cell) -> int:
    """1 where ``other`` is shown to score higher than ``first``, -1 lower, 0 where that is open."""
    p = difference(first, other)
    return p.difference.side if p else 0


def standing(cells: Sequence[Cell]) -> str:
    """Who is ahead in one measure, in words: "vae is ahead of ae", "vae is ahead", "ae and vae are tied", "undecided
    with one seed"; empty where there is nothing to rank."""
    lead = leaders(cells)
    if not lead:
        return ""
    if len(lead) > 1 and max(c.interval.n for c in cells if c.interval) < 2:
        return say("undecided with one seed")
    if len(lead) == 1:
        rest = [c.model for c in cells if c.model != lead[0]]
        if len(rest) == 1:
            return say("{first} is ahead of {other}", first=lead[0], other=rest[0])
        return say("{first} is ahead", first=lead[0])
    names = words.listed([c.model for c in cells if c.model in lead])
    if len(lead) == len(cells):
        return say("{names} are tied", names=names)
    return say("{names} are tied ahead of the others", names=names)


def more_seeds(p: Paired) -> str:
    """What a tie would take to be decided, as a clause; empty where there is none to give."""
    if not p.more_seeds:
        return ""
    return plural(
        "; about {n} more seed would separate them", "; about {n} more seeds would separate them", p.more_seeds
    )


def versus(first: Cell, other: Cell) -> str:
    """The claim of ``other`` against ``first`` on one measure, a whole sentence."""
    says = phrase(first.metric)
    a, b = first.interval, other.interval
    if a is None or b is None:
        raise ValueError(f"{first.metric}: a claim needs a value of both {first.model} and {other.model}")
    names, noun = {"other": other.model, "first": first.model}, _title(says.noun)
    if not first.values.keys() & other.values.keys():
        text = marked("{noun}: {other} {its}, {first} {own}; no seed in common, so undecided.")
        return say(text, noun=noun, its=value(b), own=value(a), **names)
    p = paired(other.values, first.values)
    d = p.difference
    short = {"its": words.tidy(b.mean), "own": words.tidy(a.mean)}
    if d.n < 2:
        return say("{noun}: {other} {its}, {first} {own}; one seed, so undecided.", noun=noun, **short, **names)
    told = {**names, **short, "difference": between(d), "n": d.n}
    if p.tied:
        return say(
            "{other} and {first} are tied in {noun}: {its} and {own}, paired difference {difference} over {n} seeds{more}.",
            noun=says.noun,
            more=more_seeds(p),
            **told,
        )
    return say(
        "{other} {does} than {first}: {its} against {own}, paired difference {difference} over {n} seeds{test}.",
        does=says.higher if d.mean > 0 else says.lower,
        test=_sign_flip(p),
        **told,
    )


def _sign_flip(p: Paired) -> str:
    """The companion test, where there are seeds enough for it to follow the interval, and a word where it does not."""
    error = 1 - LEVEL
    if 2 ** (1 - p.difference.n) > error:
        return ""
    text = marked(" (sign-flip p = {p}: borderline)" if p.sign_flip_p > error else " (sign-flip p = {p})")
    return say(text, p=f"{p.sign_flip_p:.2g}")


def claims(cells: Sequence[Cell]) -> list[str]:
    """All claims on one measure, the other models against the first; nothing for no cell, the bare value for one."""
    if not cells:
        return []
    first, *others = cells
    noun = _title(phrase(first.metric).noun)
    if first.unproven:
        why = words.reason(first.unproven)
        return [say("{noun}: no claim, the measure failed its self-check here: {why}.", noun=noun, why=why)]
    if not others:
        i = first.interval
        if i is None:
            return []
        text = marked("{noun}: {model} {value} over {n} seeds." if i.half is not None else "{noun}: {model} {value}.")
        return [say(text, noun=noun, model=first.model, value=value(i), n=i.n)]
    if len(others) == 1:
        return [versus(first, others[0])]
    return [_all(first, others)]


def _all(first: Cell, others: Sequence[Cell]) -> str:
    """One sentence for many models: who scores higher than the first, who lower, who is tied with it."""
    groups: dict[str, list[str]] = {"higher": [], "lower": [], "tied": [], "undecided": []}
    for other in others:
        if not first.values.keys() & other.values.keys():
            groups["undecided"].append(say("{model} (no seed in common)", model=other.model))
            continue
        p = paired(other.values, first.values)
        if p.difference.n < 2:
            groups["undecided"].append(f"{other.model} {between(p.difference)}")
        else:
            key = "tied" if p.tied else "higher" if p.difference.mean > 0 else "lower"
            more = say(" ({n} more seeds)", n=p.more_seeds) if p.more_seeds else ""
            groups[key].append(f"{other.model} {between(p.difference)}{more}")
    told = words.clauses(say(GROUPS[key], names=words.commas(names)) for key, names in groups.items() if names)
    return say(
        "{noun}, differences from {first} ({own}), paired: {told}.",
        noun=_title(phrase(first.metric).noun),
        first=first.model,
        own=value(first.interval) if first.interval else "",
        told=told,
    )


def _title(text: str) -> str:
    return text[:1].upper() + text[1:]
