"""Why a cell has no value, as caveats: by the codes of its reasons.

Records made before reasons had codes hold an English sentence alone, as those of a plug-in may. There, and only there,
the words decide.
"""

from __future__ import annotations

from latentbench.records import Reason
from latentbench.stats.cells import Cell

BY_CODE = {
    "judge.passes_": "judge refused",
    "judge.at_chance": "judge refused",
    "judge.refuses_real": "judge refused",
    "judge.": "no judge",
    "needs.judge": "no judge",
    "needs.labels": "no labels",
    "needs.train_labels": "no labels",
    "dataset.no_labels": "no labels",
    "given.no_labels": "no labels",
}
"""How codes of reasons begin, and what they say; the first that fits counts."""
BY_WORDS = {
    "judge's self-check failed": "judge refused",
    "no judge": "no judge",
    "needs judge": "no judge",
    "no labels": "no labels",
    "needs labels": "no labels",
    "needs train_labels": "no labels",
}
"""Words of a sentence without a code, likewise."""
UNJUDGED = frozenset(BY_CODE.values())
"""What leaves no judge to ask: a judge is trained on labels."""


def gap(cell: Cell) -> tuple[str, ...]:
    """The caveats of a cell without a value: its status, and what was missing where that is known."""
    reason = cell.reason if isinstance(cell.reason, Reason) else Reason(cell.reason)
    about = (_about(part) for part in reason.parts or (reason,))
    return tuple(dict.fromkeys([cell.status, *(caveat for caveat in about if caveat)]))


def _about(reason: Reason) -> str:
    """What one reason says is missing; empty where it says something else."""
    if reason.code:
        return next((caveat for start, caveat in BY_CODE.items() if reason.code.startswith(start)), "")
    return next((caveat for word, caveat in BY_WORDS.items() if word in reason), "")
