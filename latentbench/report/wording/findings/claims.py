"""Claims: two models, one metric, one sentence.

A sentence says who does more of what, both means, the paired difference with its 95 % interval and the number of
seeds. Where no difference is told it says that the two are *equivalent*, or that none is shown and how many seeds it
takes to see the least difference that matters (at 80 % power, at the level that all claims of the page leave for the
least p-value); *undecided* where one seed allows no interval. With three models and more, one sentence holds all against
the first.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from latentbench.report.wording import words
from latentbench.report.wording.intervals import NAMED, between, value
from latentbench.report.wording.language import marked, say
from latentbench.report.wording.phrases import phrase
from latentbench.stats.findings.claims import CellComparison, Claim, Standing

if TYPE_CHECKING:
    from latentbench.report.wording.findings.claim_tables import ClaimTable

Definitions = Mapping[str, Mapping[str, Any]]
"""What a run declares of its metrics, by name."""

GROUPS = marked({
    "higher": "higher: {names}",
    "lower": "lower: {names}",
    "equivalent": "equivalent: {names}",
    "not told apart": "no difference that matters shown: {names}",
    "barred": "no claim: {names}",
    "undecided": "undecided: {names}",
})  # fmt: skip
BARS = marked({
    "collapsed": "{model} collapsed",
    "copies": "{model} gives its training images back",
    "nothing valid": "hardly a draw of {model} is valid",
})  # fmt: skip
"""What bars a model from being called better."""


@dataclass(frozen=True)
class Statement:
    """One question's answer in words: ``headline`` in a sentence that opens with the question, ``sentences`` with the
    numbers, ``metrics`` it rests on; ``claims`` are those that have a sentence each among these, and ``brief`` the sentences
    that the headlines, `latentbench.report.wording.findings.choices` or a section of the page say already. ``values`` may
    stand for the sentences ``instead`` where there are many models."""

    question: str
    headline: str
    sentences: tuple[str, ...]
    metrics: tuple[str, ...]
    claims: tuple[Claim, ...] = ()
    brief: tuple[str, ...] = ()
    values: ClaimTable | None = None
    instead: tuple[str, ...] = ()

    @property
    def parts(self) -> tuple[str, str]:
        """The headline taken apart: the question it opens with, and the answer. A headline that opens with none is all
        answer."""
        match = re.match(r"([^?？]*(?:\?(?= )|？)) ?", self.headline)
        return (match[1], self.headline[match.end() :]) if match else ("", self.headline)


def standing(ranking: Standing | None) -> str:
    """Who leads one metric, in words: "vae is better than ae", "ae and vae cannot be told apart", "ae and vae are
    equivalent", "undecided with one seed"; empty where there is nothing to rank."""
    if ranking is None:
        return ""
    if ranking.open:
        return say("undecided with one seed")
    names, rest = _some(ranking.ahead), _some(ranking.rest, others=bool(ranking.ahead))
    if not ranking.ahead:
        if ranking.equivalent:
            return say("{names} are equivalent", names=rest)
        # Of three and more nobody leads, although the first may well be told from the last.
        return say("{names} cannot be told apart" if len(ranking.rest) == 2 else "none of {names} leads", names=rest)
    if len(ranking.ahead) == 1:
        return say("{first} is better than {other}", first=names, other=rest)
    return say("{names} are better than {other}, and not all told apart from one another", names=names, other=rest)


def _some(models: Sequence[str], others: bool = False) -> str:
    """Models by name; more than `NAMED` by their number."""
    if len(models) <= NAMED:
        return words.listed(list(models))
    return say("the other {n}" if others else "{n} models", n=len(models))


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
    first, other, d = comparison.first, comparison.other, comparison.difference
    a, b = first.interval, other.interval
    assert a is not None
    assert b is not None
    says = phrase(first.metric, definitions)
    names, noun = {"other": other.model, "first": first.model}, _title(says.noun)
    if d is None:
        text = marked("{noun}: {other} {its}, {first} {own}; no seed in common, so undecided.")
        return say(text, noun=noun, its=value(b), own=value(a), **names)
    short = {"its": words.tidy(b.mean), "own": words.tidy(a.mean)}
    if comparison.outcome == "one seed":
        return say("{noun}: {other} {its}, {first} {own}; one seed, so undecided.", noun=noun, **short, **names)
    numbers = {**names, **short, "difference": between(d), "n": d.n}
    if comparison.outcome == "equivalent":
        return say(
            "{other} and {first} are equivalent in {noun}: {its} and {own}, paired difference {difference} over {n} seeds, "
            "within ± {least}.",
            noun=says.noun,
            least=words.tidy(comparison.threshold),
            **numbers,
        )
    if comparison.outcome == "not told apart" and d.side == 0:
        return say(
            "{other} and {first} cannot be told apart in {noun}: {its} and {own}, paired difference {difference} over {n} "
            "seeds{more}.",
            noun=says.noun,
            more=_seeds_needed([comparison], marked("; {more}")),
            **numbers,
        )
    if comparison.outcome == "not told apart":
        return say(
            "No difference that matters is shown in {noun} between {other} and {first}: {its} and {own}, paired difference "
            "{difference} over {n} seeds{more}.",
            noun=says.noun,
            more=_seeds_needed([comparison], marked("; {more}")),
            **numbers,
        )
    if comparison.outcome == "barred":
        return say(
            "{noun}: {other} {its}, {first} {own}, paired difference {difference} over {n} seeds; no claim, since {why}.",
            noun=noun,
            why=_bars(comparison),
            **numbers,
        )
    return say(
        "{other} {does} than {first}: {its} against {own}, paired difference {difference} over {n} seeds{test}.",
        does=says.higher if comparison.outcome == "higher" else says.lower,
        test=_sign_flip(comparison),
        **numbers,
    )


def _seeds_needed(comparisons: Sequence[CellComparison], around: str) -> str:
    """What it takes to see the least difference that matters, for the pair that takes most; empty where no number can be
    given. ``around``: where it is put, with a place for ``more``."""
    needed = {c.seeds_needed: c for c in comparisons if c.seeds_needed}
    if not needed:
        return ""
    n = max(k for k in needed if k)
    text = marked("to see a difference of {least} takes about {n} seeds")
    return say(around, more=say(text, least=words.tidy(needed[n].threshold), n=n))


def _bars(comparison: CellComparison) -> str:
    """Why the better of two may not be called so."""
    return words.listed([say(BARS[code], model=comparison.ahead.model) for code in comparison.bars])


def _sign_flip(comparison: CellComparison) -> str:
    """The companion test, where there are seeds enough for it, and a word where it does not follow the interval."""
    if comparison.sign_flip_p is None:
        return ""
    text = marked(" (sign-flip p = {p}: borderline)" if comparison.borderline else " (sign-flip p = {p})")
    return say(text, p=f"{comparison.sign_flip_p:.2g}")


def _all(claim: Claim, definitions: Definitions) -> str:
    """One sentence for many models: who scores higher than the first, who lower, who is not told apart from it."""
    groups: dict[str, list[str]] = {key: [] for key in GROUPS}
    for c in claim.comparisons:
        if c.difference is None:
            groups["undecided"].append(say("{model} (no seed in common)", model=c.other.model))
            continue
        text = f"{c.other.model} {between(c.difference)}"
        if c.outcome == "barred":
            text = say("{model} ({why})", model=text, why=_bars(c))
        groups["undecided" if c.outcome == "one seed" else c.outcome].append(text)
    more = _seeds_needed(claim.comparisons, marked(" ({more})"))
    listed = words.clauses(
        say(GROUPS[key], names=words.commas(names)) + (more if key == "not told apart" else "")
        for key, names in groups.items()
        if names
    )
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
