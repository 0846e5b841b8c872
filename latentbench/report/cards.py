"""Cards: a section's content for every model, or why there is none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from latentbench.report.columns import Column
from latentbench.report.folder import Absent
from latentbench.report.wording.language import marked, say


class Card(NamedTuple):
    """One model's part of a section: what to draw, or the sentence why not."""

    column: Column
    content: Any
    missing: str


def cards(columns: Sequence[Column], make: Callable[[Column], Any]) -> list[Card]:
    """A section's content for every model, or why there is none."""
    made = []
    for column in columns:
        try:
            made.append(Card(column, make(column), ""))
        except Absent as reason:
            made.append(Card(column, None, str(reason)))
        except (IndexError, ValueError, TypeError) as error:
            text = marked("Not drawn: the arrays of {model} do not fit together ({error}).")
            made.append(Card(column, None, say(text, model=column.label, error=error)))
    return made
