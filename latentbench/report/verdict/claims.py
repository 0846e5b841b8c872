"""Claims: two models, one measure, one sentence.

A sentence says who does more of what, both means, the paired difference with its 95 % interval and the number of
seeds. It says *tied*, and how many more seeds would separate the two, where the interval contains 0; *undecided* where
one seed allows no interval. With three models and more, one sentence holds all against the first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from latentbench.report import words
from latentbench.stats import LEVEL, Cell, Interval, Paired, comparable, leaders, paired


@dataclass(frozen=True)
class Verdict:
    """One question's answer: ``headline`` in a sentence that opens with the question, ``sentences`` with the numbers,
    ``metrics`` it rests on."""

    question: str
    headline: str
    sentences: tuple[str, ...]
    metrics: tuple[str, ...]


class Phrase(NamedTuple):
    """How to speak of a measure: its ``noun``, and what a model does that scores ``higher`` or ``lower`` than another
    ("vae *leaves fewer holes under N(0, I)* than ae")."""

    noun: str
    higher: str
    lower: str


PHRASES = {
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
}  # fmt: skip


def phrase(metric: str) -> Phrase:
    """How to speak of a measure; one that is not known here is spoken of by its name."""
    return PHRASES.get(metric, Phrase(metric, f"scores higher in {metric}", f"scores lower in {metric}"))


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


def means(cells: Iterable[Cell]) -> str:
    """``0.82 for ae and 0.803 for vae``."""
    return words.listed([f"{words.tidy(c.interval.mean)} for {c.model}" for c in cells if c.interval])


def shares(cells: Iterable[Cell]) -> str:
    """``9.3 % for ae and 46 % for vae``."""
    return words.listed([f"{words.percent(c.interval.mean)} for {c.model}" for c in cells if c.interval])


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
        return "undecided with one seed"
    if len(lead) == 1:
        rest = [c.model for c in cells if c.model != lead[0]]
        return f"{lead[0]} is ahead of {rest[0]}" if len(rest) == 1 else f"{lead[0]} is ahead"
    told = f"{words.listed([c.model for c in cells if c.model in lead])} are tied"
    return told if len(lead) == len(cells) else f"{told} ahead of the others"


def more_seeds(p: Paired) -> str:
    """What a tie would take to be decided, as a clause; empty where there is none to give."""
    if not p.more_seeds:
        return ""
    seeds = "1 more seed" if p.more_seeds == 1 else f"{p.more_seeds} more seeds"
    return f"; about {seeds} would separate them"


def versus(first: Cell, other: Cell) -> str:
    """The claim of ``other`` against ``first`` on one measure, a whole sentence."""
    says = phrase(first.metric)
    a, b = first.interval, other.interval
    if a is None or b is None:
        raise ValueError(f"{first.metric}: a claim needs a value of both {first.model} and {other.model}")
    short = words.tidy(b.mean), words.tidy(a.mean)
    if not first.values.keys() & other.values.keys():
        return (
            f"{_title(says.noun)}: {other.model} {value(b)}, {first.model} {value(a)}; no seed in common, so undecided."
        )
    p = paired(other.values, first.values)
    d = p.difference
    if d.n < 2:
        return f"{_title(says.noun)}: {other.model} {short[0]}, {first.model} {short[1]}; one seed, so undecided."
    if p.tied:
        numbers = f"{short[0]} and {short[1]}, paired difference {between(d)} over {d.n} seeds{more_seeds(p)}"
        return f"{other.model} and {first.model} are tied in {says.noun}: {numbers}."
    does = says.higher if d.mean > 0 else says.lower
    numbers = f"{short[0]} against {short[1]}, paired difference {between(d)} over {d.n} seeds"
    return f"{other.model} {does} than {first.model}: {numbers}{_sign_flip(p)}."


def _sign_flip(p: Paired) -> str:
    """The companion test, where there are seeds enough for it to follow the interval, and a word where it does not."""
    error = 1 - LEVEL
    if 2 ** (1 - p.difference.n) > error:
        return ""
    return f" (sign-flip p = {p.sign_flip_p:.2g}{': borderline' if p.sign_flip_p > error else ''})"


def claims(cells: Sequence[Cell]) -> list[str]:
    """All claims on one measure, the other models against the first; nothing for no cell, the bare value for one."""
    if not cells:
        return []
    first, *others = cells
    if first.unproven:
        return [
            f"{_title(phrase(first.metric).noun)}: no claim, the measure failed its self-check here: {first.unproven}."
        ]
    if not others:
        i = first.interval
        over = f" over {i.n} seeds" if i and i.half is not None else ""
        return [f"{_title(phrase(first.metric).noun)}: {first.model} {value(i)}{over}."] if i else []
    if len(others) == 1:
        return [versus(first, others[0])]
    return [_all(first, others)]


def _all(first: Cell, others: Sequence[Cell]) -> str:
    """One sentence for many models: who scores higher than the first, who lower, who is tied with it."""
    groups: dict[str, list[str]] = {"higher": [], "lower": [], "tied": [], "undecided": []}
    for other in others:
        if not first.values.keys() & other.values.keys():
            groups["undecided"].append(f"{other.model} (no seed in common)")
            continue
        p = paired(other.values, first.values)
        if p.difference.n < 2:
            groups["undecided"].append(f"{other.model} {between(p.difference)}")
        else:
            key = "tied" if p.tied else "higher" if p.difference.mean > 0 else "lower"
            more = f" ({p.more_seeds} more seeds)" if p.more_seeds else ""
            groups[key].append(f"{other.model} {between(p.difference)}{more}")
    told = "; ".join(f"{key}: {', '.join(names)}" for key, names in groups.items() if names)
    own = value(first.interval) if first.interval else ""
    return f"{_title(phrase(first.metric).noun)}, differences from {first.model} ({own}), paired: {told}."


def _title(text: str) -> str:
    return text[:1].upper() + text[1:]
