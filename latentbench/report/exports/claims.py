"""A study's claims with their verdicts and numbers, for a terminal and for summary.md."""

from __future__ import annotations

from collections.abc import Sequence

from latentbench.files.plain_text import in_markdown
from latentbench.records import Record
from latentbench.report import story
from latentbench.report.story.evidence import heading
from latentbench.report.story.nouns import StoryClaim
from latentbench.report.wording.language import say

MARKS = {"supported": "✓", "not supported": "×"}
"""Signs of verdicts; another one is a question mark."""


def for_terminal(records: Sequence[Record]) -> list[str]:
    """The question of the study that these records are of, and of each claim two lines: its verdict, and the number that
    this hangs on. Empty where they are of no study that makes claims."""
    question, claims = story.claimed(records)
    if not claims:
        return []
    lines = [f"{question} {heading([c.verdict for c in claims])}"]
    for c in claims:
        lines.append(f"{c.key} {MARKS.get(c.verdict, '?')} {say(c.verdict)}: {c.title}")
        if number := _number(c):
            lines.append(f"    {number}")
    return lines


def for_markdown(records: Sequence[Record]) -> list[str]:
    """The same as a list in Markdown."""
    question, claims = story.claimed(records)
    if not claims:
        return []
    lines = [f"**{in_markdown(question)}** {in_markdown(heading([c.verdict for c in claims]))}", ""]
    for c in claims:
        verdict = f"{MARKS.get(c.verdict, '?')} **{say(c.verdict)}**"
        number = f" ({in_markdown(number)})" if (number := _number(c)) else ""
        lines.append(f"- {c.key} {verdict}: {in_markdown(c.title)}{number}")
    return [*lines, ""]


def _number(c: StoryClaim) -> str:
    """What the verdict hangs on, and its number."""
    part = c.deciding
    return say("{what}: {number}", what=part.says, number=part.brief or part.number) if part else ""
