"""How sure is that? Seeds, split and judge that the answers are conditional on, and what failed on the way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from latentbench.records import JUNK_LIMIT, Record
from latentbench.stats.cells import LEVEL, Cell, Interval, sign_flip
from latentbench.stats.findings.claims import difference, side
from latentbench.stats.findings.gaps import UNJUDGED, gap
from latentbench.stats.findings.table import Table, without_record

CLAIM = 1 - LEVEL
"""Error a claim allows itself: one minus the confidence of its interval."""
KINDS = ("noise", "shuffle", "mean")
"""Kinds of junk that the judge's self-check names here."""


class JudgeCheck(NamedTuple):
    """The judge's self-check: the kind of junk it accepts most of (``worst``) and that share, whether it ``passed``,
    what it accepts of real held-out images, and how often it is right about their class (None: not recorded)."""

    worst: str
    share: float
    passed: bool
    real: Interval | None
    accuracy: Interval | None


class Failure(NamedTuple):
    """One reason for which one model failed: in which ``metrics``, at how many ``seeds`` of how many (``of``)."""

    model: str
    reason: str
    metrics: tuple[str, ...]
    seeds: int
    of: int


@dataclass(frozen=True)
class Certainty:
    """What stands behind the other answers. ``judged``: whether any validity was measured; ``unjudged``: why there was
    no judge, in the words of records. ``second``: the models that a second judge was asked about, each with whether it
    says the same of them against the ``first``. ``lost``: models that nothing is known of. ``least_p``: what the
    sign-flip test cannot fall below with this many seeds, where that is above a claim's error. ``claims``: how many are
    made together on the page, in headlines and in all; None where there are none."""

    table: Table
    seeds: int
    judged: bool
    judge: JudgeCheck | None
    unjudged: tuple[str, ...]
    first: str
    second: Mapping[str, bool]
    failures: tuple[Failure, ...]
    lost: tuple[str, ...]
    least_p: float | None
    claims: tuple[int, int] | None = None


def sure(table: Table, records: Sequence[Record]) -> Certainty:
    """What the claims of a table are conditional on."""
    valid, judge, n = table.row("validity.normal"), _judge(table), table.seeds
    least = sign_flip([1.0] * n) if n >= 2 else 0.0
    return Certainty(
        table,
        n,
        any(table.row(m, collapsed=True) for m in ("validity.normal", "path.validity_gain")),
        judge,
        () if judge else _unjudged(table),
        valid[0].model if valid else "",
        second_judge(table),
        tuple(_failures(table)),
        tuple(without_record(records, table)),
        least if least > CLAIM else None,
        table.claims,
    )


def _judge(table: Table) -> JudgeCheck | None:
    """Whether the judge may be believed; None where no self-check was recorded."""
    junk = {k: i.mean for k in KINDS if (i := table.get("judge", f"judge.pass.{k}"))}
    if not junk:
        return None
    worst = max(junk, key=lambda k: junk[k])
    real, accuracy = (table.get("judge", f"judge.{k}") for k in ("pass.real", "accuracy"))
    return JudgeCheck(worst, junk[worst], junk[worst] <= JUNK_LIMIT, real, accuracy)


def _unjudged(table: Table) -> tuple[str, ...]:
    """Why there was no judge, where a record tells."""
    cells = [] if table.row("validity.normal", collapsed=True) else table.cells
    asked = (c for c in cells if c.metric == "validity.normal" and c.model in table.models)
    return table.reasons("validity.normal") if any(UNJUDGED & set(gap(c)) for c in asked) else ()


def second_judge(table: Table) -> dict[str, bool]:
    """Whether a second judge, trained apart, tells each other model apart from the first in the same way; empty where
    there was none. What the first tells apart the second confirms by its own 95 % interval, one look at one claim that was
    made; where the first tells nothing, the second must not either, by the rule of all claims."""
    own = table.row("validity.normal")
    second = {c.model: c for c in table.row("validity.normal.second_judge")}
    if not own or own[0].model not in second:
        return {}
    first = own[0]
    return {c.model: _agrees(side(first, c), second[first.model], second[c.model]) for c in own[1:] if c.model in second}


def _agrees(told: int, first: Cell, other: Cell) -> bool:
    """Whether the second judge's cells say what the first one told."""
    seen = difference(first, other)
    return side(first, other) == 0 if not told else seen is not None and seen.difference.side == told


def _failures(table: Table) -> list[Failure]:
    """What failed, one a model and reason."""
    groups: dict[tuple[str, str], list[Cell]] = {}
    for cell in table.cells:
        if cell.failed and cell.model in table.models:
            groups.setdefault((cell.model, cell.reason), []).append(cell)
    out = []
    for (model, reason), cells in groups.items():
        worst = max(cells, key=lambda c: c.failed)
        metrics = tuple(dict.fromkeys(c.metric for c in cells))
        total = worst.failed + worst.skipped + len(worst.values)
        out.append(Failure(model, reason, metrics, worst.failed, total))
    return out
