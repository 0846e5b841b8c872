"""The claims of one question as a table: a row a measure where there are few models, a row a model where there are many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from latentbench.report.wording import words
from latentbench.report.wording.findings.answers import WHAT
from latentbench.report.wording.findings.claims import Definitions
from latentbench.report.wording.intervals import between, value
from latentbench.report.wording.language import marked, say
from latentbench.report.wording.phrases import phrase
from latentbench.stats.findings.claims import CellComparison, Claim, ComparisonOutcome

SIGNS: dict[ComparisonOutcome, str] = {
    "higher": "▲", "lower": "▼", "equivalent": "=", "not told apart": "~", "barred": "!", "one seed": "?",
}  # fmt: skip
OUTCOMES = marked({
    "higher": "higher",
    "lower": "lower",
    "equivalent": "equivalent",
    "not told apart": "not told apart",
    "barred": "different, and no claim, since the better one is flagged",
    "one seed": "undecided, one seed",
})  # fmt: skip


class ClaimTable(NamedTuple):
    """``headers`` of its columns; ``rows``: a model's or a measure's name (``models`` says which) and its cells."""

    headers: Sequence[str]
    rows: Sequence[tuple[str, Sequence[str]]]
    models: bool


def by_model(claims: Sequence[Claim], definitions: Definitions) -> ClaimTable | None:
    """A row a model, a column a measure, every other model against the first one; None where there is none of several
    models."""
    made = [c for c in claims if c.comparisons]
    if not made:
        return None
    cells: dict[str, dict[str, str]] = {}
    for c in made:
        cells.setdefault(c.first.model, {})[c.metric] = value(c.first.interval) if c.first.interval else ""
        for one in c.comparisons:
            number = value(one.other.interval) if one.other.interval else ""
            cells.setdefault(one.other.model, {})[c.metric] = f"{number} {_sign(one)}"
    metrics = [c.metric for c in made]
    nouns = [_noun(c, definitions) for c in made]
    rows = [(model, [row.get(metric, "–") for metric in metrics]) for model, row in cells.items()]
    return ClaimTable([say("model"), *nouns], rows, True)


def by_measure(claims: Sequence[Claim], definitions: Definitions) -> ClaimTable | None:
    """A row a measure, a column a model and one for each difference from the first; None where there is no claim of several
    models."""
    made = [c for c in claims if c.comparisons]
    if not made:
        return None
    models = list(dict.fromkeys(cell.model for c in made for cell in (c.first, *(one.other for one in c.comparisons))))
    rows = []
    for c in made:
        cells = {cell.model: cell for cell in (c.first, *(one.other for one in c.comparisons))}
        differences = {one.other.model: one for one in c.comparisons}
        values = [value(i) if m in cells and (i := cells[m].interval) else "–" for m in models]
        told = [_difference(differences[m]) if m in differences else "–" for m in models[1:]]
        rows.append((_noun(c, definitions), [*values, *told]))
    heads = [say("{model} minus {first}", model=m, first=models[0]) for m in models[1:]]
    return ClaimTable([say("measure"), *models, *heads], rows, False)


def _noun(claim: Claim, definitions: Definitions) -> str:
    """What a measure is, in few words where there are such."""
    frames = claim.first.metric_params.get("frames")
    if claim.metric == "path.jump" and isinstance(frames, int) and frames > 2:
        text = marked("largest step beyond an even share (1 abrupt jump = {most})")
        return say(text, most=words.number(1 - 1 / (frames - 1), 2))
    return say(WHAT[claim.metric]) if claim.metric in WHAT else phrase(claim.metric, definitions).noun


def _difference(comparison: CellComparison) -> str:
    d = comparison.difference
    return f"{between(d)} {_sign(comparison)}" if d else _sign(comparison)


def _sign(comparison: CellComparison) -> str:
    return SIGNS.get(comparison.outcome, "?")


def signs(claims: Sequence[Claim]) -> str:
    """What the signs say that stand in the tables of these claims; empty where there are none."""
    seen = {one.outcome if one.outcome in SIGNS else "one seed" for c in claims for one in c.comparisons}
    told = [f"{sign} {say(OUTCOMES[key])}" for key, sign in SIGNS.items() if key in seen]
    if not told:
        return ""
    return say("In the tables, paired by seed, beside the first model: {signs}.", signs=words.clauses(told))
