"""What a story is made of: a ladder of models, claims with their parts and verdicts, pictures with what to see in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

from latentbench.report.columns import Column
from latentbench.report.story.evidence import Part
from latentbench.stats.findings.evidence import Support, together


class Figure(NamedTuple):
    """One picture, the sentences that say what it is of and what is to be seen, computed from what is drawn, and the
    ``models`` it shows; ``is_plane``: it is as high as wide, and stands beside others."""

    drawing: Markup
    see: str
    models: Sequence[str] = ()
    is_plane: bool = False


class StoryClaim(NamedTuple):
    """One step of the story: the claim in a sentence, in few words (``short``), what it means in words that are explained,
    the parts its verdict rests on, the ``models`` these are about, and its pictures (with the sentence where one could not be
    drawn), in ``columns``: halves or thirds; ``thumb`` is the small one of the table."""

    key: str
    title: str
    short: str
    meaning: Sequence[str]
    parts: Sequence[Part]
    models: Sequence[str]
    verdict: Support
    pictures: Sequence[Figure] = ()
    missing: Sequence[str] = ()
    columns: str = "thirds"
    thumb: Figure | None = None

    @property
    def deciding(self) -> Part | None:
        """The part that the verdict hangs on: of those that fail the surest, else of those that are open or hold the
        least sure."""
        failing = [p for p in self.parts if p.holds < 0]
        if failing:
            return min(failing, key=lambda p: p.p)
        left = [p for p in self.parts if p.holds == 0] or list(self.parts)
        return max(left, key=lambda p: p.p, default=None)

    @property
    def holding(self) -> int:
        """How many of its parts hold."""
        return sum(p.holds > 0 for p in self.parts)


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
    """The whole page's story: the question, how the claims stand (``heading``), the claims with their verdicts, the ladder, the ``diagram`` of what is trained,
    the ``closing`` answer, a ``chart`` of all models, and an ``appendix`` of pictures that no verdict rests on, with its title."""

    title: str
    heading: str
    lead: Sequence[str]
    headers: Sequence[str]
    ladder: Sequence[Rung]
    claims: Sequence[StoryClaim]
    diagram: Markup = Markup("")
    closing: Sequence[str] = ()
    appendix: Sequence[Figure] = ()
    appendix_title: str = ""
    chart: Figure | None = None
