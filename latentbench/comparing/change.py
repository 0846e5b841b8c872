"""What became better, worse or stayed the same: one rule for quality and for speed.

A `Change` is one metric of one subject (a model, a benchmark) before and after. Symbols: ``h`` its *harm*, the change
counted so that above 0 is worse, whatever the metric's direction; ``t`` the threshold, the least harm worth a verdict,
in the unit of h; ``p`` the two-sided p-value of "h is 0"; ``q`` that value adjusted for all changes looked at together
(Holm 1979).

    worse     q <= alpha  and  h > t
    better    q <= alpha  and  h < -t
    same      the interval of h lies within [-t, t]
    unknown   none of these: too few values or too much noise to say, or nothing to compare; the reason says which

alpha is familywise: the chance that *any* verdict "worse" is given where nothing changed is at most alpha, however many
metrics there are and however they depend on one another. A gate that looks at a hundred metrics with 5 % each would
raise an alarm every day.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from latentbench.records import Better
from latentbench.refusals import unknown
from latentbench.stats.intervals import Interval, holm

ChangeVerdict = Literal["better", "worse", "same", "unknown"]
VERDICTS: tuple[ChangeVerdict, ...] = ("worse", "better", "unknown", "same")
"""In the order of what a reader must see first."""

FAMILYWISE = 0.0025
"""Chance of any false "worse" in one comparison: one in 400."""


@dataclass(frozen=True)
class Change:
    """One metric of one subject, before and after.

    ``base`` and ``head`` are its values in ``unit``; ``harm`` is the change with its interval, above 0 where it is
    worse: in ``unit``, or as a share of the base where ``relative``. None where there is nothing to compare; then
    ``reason`` says why. ``threshold`` is in the unit of ``harm``. ``note`` is what a reader should know beside it.
    """

    subject: str
    metric: str
    unit: str
    better: Better
    base: float | None = None
    head: float | None = None
    harm: Interval | None = None
    relative: bool = False
    threshold: float = 0.0
    p: float = 1.0
    adjusted: float = 1.0
    verdict: ChangeVerdict = "unknown"
    reason: str = ""
    note: str = ""

    @property
    def name(self) -> str:
        """Metric and subject: what a reader looks it up by."""
        return f"{self.metric} of {self.subject}" if self.subject else self.metric


def decide(changes: Iterable[Change], alpha: float = FAMILYWISE) -> list[Change]:
    """The same changes with adjusted p-values and verdicts, in their order. Those without harm stay unknown and do not
    count among the claims; a metric without a direction is never better or worse.

    Raises ValueError where ``alpha`` is not between 0 and 1.
    """
    if not 0 < alpha < 1:
        raise ValueError(f"alpha {alpha} is not between 0 and 1")
    rows = list(changes)
    claims = [k for k, c in enumerate(rows) if c.harm is not None and c.better != "none"]
    adjusted = dict(zip(claims, holm([rows[k].p for k in claims]), strict=True))
    return [_decided(c, adjusted.get(k, 1.0), alpha) for k, c in enumerate(rows)]


def _decided(c: Change, adjusted: float, alpha: float) -> Change:
    if c.harm is None:
        return replace(c, verdict="unknown", reason=c.reason or "there is nothing to compare")
    h, sure = c.harm, adjusted <= alpha and c.better != "none"
    if sure and abs(h.mean) > c.threshold:
        return replace(c, adjusted=adjusted, verdict="worse" if h.mean > 0 else "better", reason="")
    if h.low is not None and h.high is not None and -c.threshold <= h.low and h.high <= c.threshold:
        return replace(c, adjusted=adjusted, verdict="same", reason="")
    return replace(c, adjusted=adjusted, verdict="unknown", reason=c.reason or _why(c, sure))


def _why(c: Change, sure: bool) -> str:
    """Why a change with an interval has no verdict."""
    h = c.harm
    if h is None or h.low is None or h.high is None:
        return "one value has no interval"
    if c.better == "none":
        return "it moved, and has no better direction"
    if sure:
        return "it changed, and the interval does not tell whether by more than the threshold"
    return "the interval reaches beyond the threshold and leaves no change possible"


def of_verdict(changes: Iterable[Change], verdict: ChangeVerdict) -> list[Change]:
    """Those with this verdict, the largest harm (for ``better`` the largest gain) first."""
    return sorted((c for c in changes if c.verdict == verdict), key=lambda c: -abs(c.harm.mean) if c.harm else math.inf)


def headline(changes: Sequence[Change]) -> str:
    """One sentence that says it all: ``worse: 2 of 40; better: 1; same: 30; unknown: 7``."""
    counts = {v: sum(c.verdict == v for c in changes) for v in VERDICTS}
    return f"worse: {counts['worse']} of {len(changes)}; " + "; ".join(f"{v}: {counts[v]}" for v in VERDICTS[1:])


def named(text: str) -> tuple[ChangeVerdict, ...]:
    """The verdicts of a list such as ``worse,unknown``; none for an empty one. Raises ValueError for another word."""
    out = []
    for word in filter(None, (w.strip() for w in text.split(","))):
        verdict = next((v for v in VERDICTS if v == word), None)
        if verdict is None:
            raise unknown("fail-on", word, VERDICTS)
        out.append(verdict)
    return tuple(out)


def amount(text: str, whole: str) -> tuple[float, bool]:
    """A threshold: ``5%`` is (.05, True), a share of the base; ``.02`` is (.02, False), in the metric's unit. ``whole``
    is the option as given, for the refusal. Raises ValueError for what is no number of 0 or more."""
    number, percent = (text[:-1], True) if text.endswith("%") else (text, False)
    try:
        value = float(number) / (100 if percent else 1)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise ValueError(
            f"threshold: {whole!r} is no amount of change; give a share such as 5% or a number such as .02"
        )
    return value, percent
