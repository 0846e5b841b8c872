"""Claims: two models, one metric, one sentence.

A sentence says who does more of what, both means, the paired difference with its 95 % interval and the number of
seeds. It says *tied*, and how many more seeds would separate the two, where the interval contains 0; *undecided* where
one seed allows no interval. With three models and more, one sentence holds all against the first.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from latentbench.report.wording import words
from latentbench.report.wording.intervals import between, value
from latentbench.report.wording.language import marked, plural, say
from latentbench.report.wording.phrases import phrase
from latentbench.stats.findings.claims import CellComparison, Claim, Standing

Definitions = Mapping[str, Mapping[str, Any]]
"""What a run declares of its metrics, by name."""

GROUPS = marked({
    "higher": "higher: {names}",
    "lower": "lower: {names}",
    "tied": "tied: {names}",
    "undecided": "undecided: {names}",
})  # fmt: skip


@dataclass(frozen=True)
class Statement:
    """One question's answer in words: ``headline`` in a sentence that opens with the question, ``sentences`` with the
    numbers, ``metrics`` it rests on."""

    question: str
    headline: str
    sentences: tuple[str, ...]
    metrics: tuple[str, ...]

    @property
    def parts(self) -> tuple[str, str]:
        """The headline taken apart: the question it opens with, and the answer. A headline that opens with none is all
        answer."""
        match = re.match(r"([^?？]*(?:\?(?= )|？)) ?", self.headline)
        return (match[1], self.headline[match.end() :]) if match else ("", self.headline)


def standing(ranking: Standing | None) -> str:
    """Who is ahead in one metric, in words: "vae is ahead of ae", "vae is ahead", "ae and vae are tied", "undecided
    with one seed"; empty where there is nothing to rank."""
    if ranking is None:
        return ""
    if ranking.open:
        return say("undecided with one seed")
    if len(ranking.ahead) == 1:
        if len(ranking.rest) == 1:
            return say("{first} is ahead of {other}", first=ranking.ahead[0], other=ranking.rest[0])
        return say("{first} is ahead", first=ranking.ahead[0])
    names = words.listed(list(ranking.ahead))
    if not ranking.rest:
        return say("{names} are tied", names=names)
    return say("{names} are tied ahead of the others", names=names)


def sentences(claims: Iterable[Claim], definitions: Definitions) -> list[str]:
    """A sentence for each claim."""
    return [sentence for one in claims for sentence in of_claim(one, definitions)]


def of_claim(claim: Claim, definitions: Definitions) -> list[str]:
    """The other models against the first in one sentence; the bare value of one model alone, where it has any."""
    first, noun = claim.first, _title(phrase(claim.metric, definitions).noun)
    if first.unproven:
        why = words.reason(first.unproven)
        return [say("{noun}: no claim, the measure failed its self-check here: {why}.", noun=noun, why=why)]
    if not claim.comparisons:
        i = first.interval
        if i is None:
            return []
        text = marked("{noun}: {model} {value} over {n} seeds." if i.half is not None else "{noun}: {model} {value}.")
        return [say(text, noun=noun, model=first.model, value=value(i), n=i.n)]
    if len(claim.comparisons) == 1:
        return [versus(claim.comparisons[0], definitions)]
    return [_all(claim, definitions)]


def versus(comparison: CellComparison, definitions: Definitions) -> str:
    """One model against another on one metric, a whole sentence."""
    first, other, p = comparison.first, comparison.other, comparison.paired
    a, b = first.interval, other.interval
    assert a is not None
    assert b is not None
    says = phrase(first.metric, definitions)
    names, noun = {"other": other.model, "first": first.model}, _title(says.noun)
    if p is None:
        text = marked("{noun}: {other} {its}, {first} {own}; no seed in common, so undecided.")
        return say(text, noun=noun, its=value(b), own=value(a), **names)
    short = {"its": words.tidy(b.mean), "own": words.tidy(a.mean)}
    if comparison.outcome == "one seed":
        return say("{noun}: {other} {its}, {first} {own}; one seed, so undecided.", noun=noun, **short, **names)
    numbers = {**names, **short, "difference": between(p.difference), "n": p.difference.n}
    if comparison.outcome == "tied":
        return say(
            "{other} and {first} are tied in {noun}: {its} and {own}, paired difference {difference} over {n} seeds{more}.",
            noun=says.noun,
            more=_more_seeds(p.more_seeds),
            **numbers,
        )
    return say(
        "{other} {does} than {first}: {its} against {own}, paired difference {difference} over {n} seeds{test}.",
        does=says.higher if comparison.outcome == "higher" else says.lower,
        test=_sign_flip(comparison),
        **numbers,
    )


def _more_seeds(count: int | None) -> str:
    """What a tie would take to be decided, as a clause; empty where there is none to give."""
    if not count:
        return ""
    return plural("; about {n} more seed would separate them", "; about {n} more seeds would separate them", count)


def _sign_flip(comparison: CellComparison) -> str:
    """The companion test, where there are seeds enough for it, and a word where it does not follow the interval."""
    if comparison.sign_flip_p is None:
        return ""
    text = marked(" (sign-flip p = {p}: borderline)" if comparison.borderline else " (sign-flip p = {p})")
    return say(text, p=f"{comparison.sign_flip_p:.2g}")


def _all(claim: Claim, definitions: Definitions) -> str:
    """One sentence for many models: who scores higher than the first, who lower, who is tied with it."""
    groups: dict[str, list[str]] = {key: [] for key in GROUPS}
    for c in claim.comparisons:
        p = c.paired
        if p is None:
            groups["undecided"].append(say("{model} (no seed in common)", model=c.other.model))
        elif c.outcome == "one seed":
            groups["undecided"].append(f"{c.other.model} {between(p.difference)}")
        else:
            more = say(" ({n} more seeds)", n=p.more_seeds) if p.more_seeds else ""
            groups[c.outcome].append(f"{c.other.model} {between(p.difference)}{more}")
    listed = words.clauses(say(GROUPS[key], names=words.commas(names)) for key, names in groups.items() if names)
    first = claim.first
    return say(
        "{noun}, differences from {first} ({own}), paired: {told}.",
        noun=_title(phrase(claim.metric, definitions).noun),
        first=first.model,
        own=value(first.interval) if first.interval else "",
        told=listed,
    )


def _title(text: str) -> str:
    return text[:1].upper() + text[1:]
