"""The claims of one question as a table, where there are too many models for sentences: a row a model, a column a measure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from latentbench.report.wording.findings.claims import Definitions
from latentbench.report.wording.intervals import value
from latentbench.report.wording.language import marked, say
from latentbench.report.wording.phrases import phrase
from latentbench.stats.findings.claims import Claim, ComparisonOutcome

SIGNS: dict[ComparisonOutcome, str] = {
    "higher": "▲", "lower": "▼", "equivalent": "=", "not told apart": "~", "barred": "!", "one seed": "?",
}  # fmt: skip
OUTCOMES = marked({
    "higher": "higher than {first}",
    "lower": "lower than {first}",
    "equivalent": "equivalent",
    "not told apart": "not told apart",
    "barred": "different, and no claim, since the better one is flagged",
    "one seed": "undecided, one seed",
})  # fmt: skip


class ClaimTable(NamedTuple):
    """``headers``: the models' and each measure's; ``rows``: a model's name and its cells; ``legend``: what the signs say
    that stand in it."""

    headers: Sequence[str]
    rows: Sequence[tuple[str, Sequence[str]]]
    legend: str


def claim_table(claims: Sequence[Claim], definitions: Definitions) -> ClaimTable | None:
    """The claims as a table, every other model against the first one; None where there is none of several models."""
    made = [c for c in claims if c.comparisons]
    if not made:
        return None
    cells: dict[str, dict[str, str]] = {}
    seen: dict[str, None] = {}
    for c in made:
        own = cells.setdefault(c.first.model, {})
        own[c.metric] = value(c.first.interval) if c.first.interval else ""
        for one in c.comparisons:
            sign = SIGNS.get(one.outcome, "?")
            seen[one.outcome if one.outcome in SIGNS else "one seed"] = None
            number = value(one.other.interval) if one.other.interval else ""
            cells.setdefault(one.other.model, {})[c.metric] = f"{number} {sign}"
    metrics = [c.metric for c in made]
    nouns = [phrase(metric, definitions).noun for metric in metrics]
    rows = [(model, [row.get(metric, "–") for metric in metrics]) for model, row in cells.items()]
    return ClaimTable([say("model"), *nouns], rows, _legend(seen, made[0].first.model))


def _legend(seen: dict[str, None], first: str) -> str:
    signs = "; ".join(f"{sign} {say(OUTCOMES[key], first=first)}" for key, sign in SIGNS.items() if key in seen)
    return say("Paired differences from {first}: {signs}.", first=first, signs=signs)
