"""What became better, worse or stayed the same: one rule for quality and for speed.

A `Change` is one metric of one subject (a model, a benchmark) before and after. Symbols: ``h`` its *harm*, the change
counted so that above 0 is worse, whatever the metric's direction; ``t`` the threshold, the least harm worth a verdict,
in the unit of h; ``p`` the two-sided p-value of "h is 0"; ``q`` that value adjusted for all changes looked at together
(Holm 1979).

    worse     q <= alpha  and  h > t
    better    q <= alpha  and  h < -t
    same      the interval of h lies within [-t, t]
    unknown   none of these: too few values or too much noise to say, or nothing to compare; the reason says which

`finding` is the same in the words of a run's page, a `Finding` whose subject is head's side and whose rival is base's:

    better, worse     as they are
    equivalent        same
    not told apart    unknown, with an interval that allows more than one of the above
    not comparable    unknown, with nothing that could be subtracted, no better direction, or a machine that treated the
                      two sides differently

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
from latentbench.stats.findings.finding import CAVEATS, Finding, FindingVerdict
from latentbench.stats.intervals import Interval, holm

ChangeVerdict = Literal["better", "worse", "same", "unknown"]
VERDICTS: tuple[ChangeVerdict, ...] = ("worse", "better", "unknown", "same")
"""In the order of what a reader must see first."""

FAMILYWISE = 0.0025
"""Chance of any false "worse" in one comparison: one in 400."""
BARRING = frozenset({"no direction", "reference moved"})
"""Caveats of an interval that nevertheless compares nothing."""


@dataclass(frozen=True)
class Change:
    """One metric of one subject, before and after.

    ``base`` and ``head`` are its values in ``unit``; ``harm`` is the change with its interval, above 0 where it is
    worse: in ``unit``, or as a share of the base where ``relative``. None where there is nothing to compare; then
    ``reason`` says why, and ``reason_codes`` the same as codes of `CAVEATS`. ``threshold`` is in the unit of ``harm``.
    ``note`` is what a reader should know beside it. ``dataset`` and ``latent_dim`` are those of a model.
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
    reason_codes: tuple[str, ...] = ()
    dataset: str = ""
    latent_dim: int | None = None

    @property
    def name(self) -> str:
        """Metric and subject: what a reader looks it up by."""
        return f"{self.metric} of {self.subject}" if self.subject else self.metric

    @property
    def difference(self) -> Interval | None:
        """The change of the value itself, head minus base, in the unit of ``harm``; of a metric with a target that of the
        distance to it. None where there is nothing to compare."""
        return _times(self.harm, -1.0 if self.better == "higher" else 1.0) if self.harm else None

    def barred(self, reason: str, *codes: str) -> Change:
        """The same with nothing to compare, and why: in English, and as codes of `CAVEATS`."""
        return replace(self, harm=None, reason=reason, reason_codes=codes)


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
    code, why = _why(c, sure)
    return replace(
        c, adjusted=adjusted, verdict="unknown", reason=c.reason or why, reason_codes=c.reason_codes or (code,)
    )


def _why(c: Change, sure: bool) -> tuple[str, str]:
    """Why a change with an interval has no verdict: code and sentence."""
    h = c.harm
    if h is None or h.low is None or h.high is None:
        return "one value", "one value has no interval"
    if c.better == "none":
        return "no direction", "it moved, and has no better direction"
    if sure:
        return "at the threshold", "it changed, and the interval does not tell whether by more than the threshold"
    return "wide", "the interval reaches beyond the threshold and leaves no change possible"


def finding(change: Change, base: str, head: str, question: str = "other") -> Finding:
    """A decided change as a finding: ``head``'s side, compared with ``base``'s, both by name. ``question`` is what it is
    filed under.

    The subject is the model and its side (``vae at reports/head``), or the side alone where a change has no subject.
    Numbers are in the unit of the metric, also those of a relative change, whose shares are taken of the base's value.
    """
    one, other = (f"{change.subject} at {side}" if change.subject else side for side in (head, base))
    unit = abs(change.base) if change.relative and change.base is not None else 1.0
    d = _times(change.difference, unit) if change.difference else None
    tested = d is not None and d.low is not None
    known = {"no direction": change.better == "none", "approximate": d is not None and bool(d.approximate)}
    codes = {*change.reason_codes, *(code for code, holds in known.items() if holds)}
    return Finding(
        question,
        one,
        other,
        change.metric,
        d.mean if d else None,
        d.low if d else None,
        d.high if d else None,
        change.p if tested else None,
        _found(change, codes),
        tuple(c for c in CAVEATS if c in codes),
        d.n if d else 0,
        change.dataset,
        change.latent_dim,
        adjusted=change.adjusted if tested else None,
        threshold=unit * change.threshold if d else None,
        reason=change.reason,
    )


def _times(i: Interval, factor: float) -> Interval:
    """An interval in another unit, or with the other sign; a zero has none."""
    low, high = (None if end is None else factor * end + 0.0 for end in (i.low, i.high))
    if factor < 0:
        low, high = high, low
    sd = None if i.sd is None else abs(factor) * i.sd
    return replace(i, mean=factor * i.mean + 0.0, low=low, high=high, sd=sd)


def _found(change: Change, codes: set[str]) -> FindingVerdict:
    """A change's verdict in the words of findings."""
    if change.verdict == "worse" or change.verdict == "better":
        return change.verdict
    if change.verdict == "same":
        return "equivalent"
    return "not comparable" if change.harm is None or codes & BARRING else "not told apart"


def of_verdict(changes: Iterable[Change], verdict: ChangeVerdict) -> list[Change]:
    """Those with this verdict, the largest harm (for ``better`` the largest gain) first."""
    return sorted((c for c in changes if c.verdict == verdict), key=lambda c: -abs(c.harm.mean) if c.harm else math.inf)


def overall(changes: Sequence[Change]) -> ChangeVerdict:
    """What all changes together come to: ``worse`` where any is; ``unknown`` where none is known, or there is none;
    ``better`` where any is; else ``same``."""
    given = {c.verdict for c in changes}
    if "worse" in given:
        return "worse"
    if given <= {"unknown"}:
        return "unknown"
    return "better" if "better" in given else "same"


def incomparable(changes: Iterable[Change]) -> dict[str, list[Change]]:
    """The unknown changes that have no interval, by their reason, in order of appearance."""
    out: dict[str, list[Change]] = {}
    for c in changes:
        if c.verdict == "unknown" and c.harm is None:
            out.setdefault(c.reason, []).append(c)
    return out


def fails(changes: Iterable[Change], fatal: Iterable[ChangeVerdict]) -> bool:
    """Whether any change has one of the ``fatal`` verdicts."""
    return not {c.verdict for c in changes}.isdisjoint(fatal)


def headline(changes: Sequence[Change]) -> str:
    """One sentence that says it all: ``worse: 2 of 40; better: 1; same: 30; unknown: 7``."""
    counts = {v: sum(c.verdict == v for c in changes) for v in VERDICTS}
    return f"worse: {counts['worse']} of {len(changes)}; " + "; ".join(f"{v}: {counts[v]}" for v in VERDICTS[1:])


def named(text: str) -> tuple[ChangeVerdict, ...]:
    """The verdicts of a list such as ``worse,unknown``. Raises ValueError for another word, and for an empty one."""
    out = []
    for word in (w.strip() for w in text.split(",")):
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
