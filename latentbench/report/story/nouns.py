"""What a story is made of: a ladder of models, claims with their parts and verdicts, pictures with what to see in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

from latentbench.report.columns import Column
from latentbench.report.story.evidence import Part
from latentbench.stats.findings.evidence import Support, together


class Figure(NamedTuple):
    """One picture and the sentence that says what to see."""

    drawing: Markup
    see: str


class StoryClaim(NamedTuple):
    """One step of the story: the claim in a sentence, what it means in words that are explained, the parts its verdict
    rests on, and its pictures (with the sentence where one could not be drawn), in ``columns``: halves or thirds."""

    key: str
    title: str
    meaning: Sequence[str]
    parts: Sequence[Part]
    verdict: Support
    pictures: Sequence[Figure]
    missing: Sequence[str]
    columns: str = "halves"


def made_together(claims: Sequence[StoryClaim]) -> list[StoryClaim]:
    """The same claims with the verdicts they have as those of one study."""
    verdicts = together([[(part.holds, part.p) for part in c.parts] for c in claims])
    return [c._replace(verdict=v) for c, v in zip(claims, verdicts, strict=True)]


class Rung(NamedTuple):
    """One model of the ladder: what it adds, and what the study found, in numbers."""

    column: Column
    adds: str
    cells: Sequence[str]


class Story(NamedTuple):
    """The whole page's story: the question, the ladder, the claims, and how many of them are supported."""

    title: str
    lead: Sequence[str]
    headers: Sequence[str]
    ladder: Sequence[Rung]
    claims: Sequence[StoryClaim]
