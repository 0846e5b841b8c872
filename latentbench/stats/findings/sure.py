"""How sure is that? Seeds, split and judge that the answers are conditional on, and what failed on the way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from latentbench.records import BY_SECOND, JUDGE, JUNK_LIMIT, LEAST_REAL, Record, once
from latentbench.run_info import split_hashes
from latentbench.stats.cells import LEVEL, Cell, Interval, sign_flip
from latentbench.stats.findings.claims import difference, side
from latentbench.stats.findings.gaps import UNJUDGED, gap
from latentbench.stats.findings.table import Table, without_record

CLAIM = 1 - LEVEL
"""Error a claim allows itself: one minus the confidence of its interval."""
FLOORS = ("noise", "gaussian_noise", "shuffle", "mean")
"""The floors among the kinds of junk, where the records do not say which are."""
Failing = Literal["", "chance", "real", "floor"]
"""Why a judge failed its self-check: it tells no classes apart, it refuses real images, it accepts a floor; empty where it
passed."""


class Accepted(NamedTuple):
    """What a judge accepts of ``kinds`` kinds of junk, how many they are: most of the ``worst``, this ``share``."""

    kinds: int
    worst: str
    share: float


class JudgeCheck(NamedTuple):
    """The judge's self-check: why it was ``failing``, what it accepts of the ``floors``, of the kinds of junk that were
    ``shown`` to its training and of those that were not (``unseen``; None: not recorded), of real held-out images, how
    often it is right about their class, and the ``largest`` class's share."""

    failing: Failing
    floors: Accepted
    shown: Accepted | None
    unseen: Accepted | None
    real: Interval | None
    accuracy: Interval | None
    largest: float | None


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
    made together on the page, in headlines and in all; None where there are none. ``splits``: to how many splits of the
    data the seeds were dealt; 0 where it is one."""

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
    splits: int = 0


def sure(table: Table, records: Sequence[Record]) -> Certainty:
    """What the claims of a table are conditional on."""
    valid, judge, n = table.row(table.validity), _judge(table), table.seeds
    splits = len(split_hashes(table.head.detail)) if table.head else 0
    independent = splits or n
    least = sign_flip([1.0] * independent) if independent >= 2 else 0.0
    return Certainty(
        table,
        n,
        any(table.row(m, collapsed=True) for m in (table.validity, "path.validity_gain")),
        judge,
        () if judge else _unjudged(table),
        valid[0].model if valid else "",
        second_judge(table),
        tuple(_failures(table)),
        tuple(without_record(records, table)),
        least if least > CLAIM else None,
        table.claims,
        splits,
    )


def _judge(table: Table) -> JudgeCheck | None:
    """Whether the judge may be believed; None where no self-check was recorded."""
    start = "judge.pass."
    cells = {
        metric.removeprefix(start): cell
        for (model, metric), cell in table.by.items()
        if model == JUDGE and metric.startswith(start) and cell.interval
    }
    real, accuracy = (table.get(JUDGE, f"judge.{k}") for k in ("pass.real", "accuracy"))
    floors = _accepted({k: c for k, c in cells.items() if _said(c, "floor", k in FLOORS)})
    if floors is None:
        return None
    shown, unseen = (_accepted({k: c for k, c in cells.items() if _said(c, "shown") is w}) for w in (True, False))
    known = table.by.get((JUDGE, "judge.accuracy"))
    lower, largest = (_said(known, k) if known else None for k in ("lower", "largest class"))
    failing: Failing = ""
    if lower is not None and lower <= largest:
        failing = "chance"
    elif real is not None and real.mean < LEAST_REAL:
        failing = "real"
    elif floors.share > JUNK_LIMIT:
        failing = "floor"
    return JudgeCheck(failing, floors, shown, unseen, real, accuracy, largest)


def _said(cell: Cell, name: str, otherwise: Any = None) -> Any:
    """A named extra of a cell's records."""
    return next((d[name] for d in cell.details.values() if name in d), otherwise)


def _accepted(junk: Mapping[str, Cell]) -> Accepted | None:
    """The most accepted of some kinds of junk; None where there are none."""
    shares = {kind: cell.interval.mean for kind, cell in junk.items() if cell.interval}
    worst = max(shares, key=lambda k: shares[k], default="")
    return Accepted(len(shares), worst, shares[worst]) if worst else None


def _unjudged(table: Table) -> tuple[str, ...]:
    """Why there was no judge, where a record tells."""
    cells = [] if table.row(table.validity, collapsed=True) else table.cells
    asked = (c for c in cells if c.metric == table.validity and table.has(c.model))
    return table.reasons(table.validity) if any(UNJUDGED & set(gap(c)) for c in asked) else ()


@once
def second_judge(table: Table) -> Mapping[str, bool]:
    """Whether a second judge, trained apart, tells each other model apart from the first in the same way; empty where
    there was none. What the first tells apart the second confirms by its own 95 % interval, one look at one claim that was
    made; where the first tells nothing, the second must not either, by the rule of all claims."""
    own = table.row(table.validity)
    second = {c.model: c for c in table.row(table.validity + BY_SECOND)}
    if not own or own[0].model not in second:
        return {}
    first = own[0]
    return {
        c.model: _agrees(side(first, c), second[first.model], second[c.model]) for c in own[1:] if c.model in second
    }


def _agrees(told: int, first: Cell, other: Cell) -> bool:
    """Whether the second judge's cells say what the first one told."""
    seen = difference(first, other)
    return side(first, other) == 0 if not told else seen is not None and seen.difference.side == told


def _failures(table: Table) -> list[Failure]:
    """What failed, one a model and reason."""
    groups: dict[tuple[str, str], list[Cell]] = {}
    for cell in table.cells:
        if cell.failed and table.has(cell.model):
            groups.setdefault((cell.model, cell.reason), []).append(cell)
    out = []
    for (model, reason), cells in groups.items():
        worst = max(cells, key=lambda c: c.failed)
        metrics = tuple(dict.fromkeys(c.metric for c in cells))
        total = worst.failed + worst.skipped + len(worst.values)
        out.append(Failure(model, reason, metrics, worst.failed, total))
    return out
