"""How one part of an answer is graded: ``yes``, ``partly``, ``no`` or ``not told``.

A part that is a level has two limits, from which on it is had and from which on it is partly had. Over seeds:

    yes         the whole 95 % interval lies from the first limit on
    no          the mean does not reach the second: who is to be called complete must show it
    not told    the mean reaches the second limit, but the interval holds all three answers; or the measure has no value,
                failed its self-check, lacks its ceiling, or has one seed
    partly      otherwise

So chance may cost a model its yes, and never gives a cheat one. A part that is a gain (more valid than a cross-fade?) is a
*yes* where its interval lies above 0 and its mean is `LEAST` or more, a *no* where the interval ends below `LEAST`, and not
told otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from latentbench.stats.cells import Cell, Interval, Seed
from latentbench.stats.findings.finding import Word

LEAST = 0.02
"""The least share of frames that counts as a gain over a cross-fade."""


class Part(NamedTuple):
    """One part of an answer: its ``grade``, the code of the ``reason`` where that is no yes, and whether it is a ``flaw``:
    the mean itself misses the yes, and not the interval alone."""

    grade: Word
    reason: str
    flaw: bool = False


def graded(cell: Cell, values: Mapping[Seed, float], limits: tuple[float, float], reason: str) -> Part:
    """Where ``values`` of a cell's seeds, higher better, lie beside two limits, the first of them not the lower."""
    (yes, partly), i = limits, cell.over_seeds(values)
    return Part(_grade(i, yes, partly), reason, i.mean < yes)


def _grade(i: Interval, yes: float, partly: float) -> Word:
    if i.low is None or i.high is None:
        return "not told"
    if i.low >= yes:
        return "yes"
    if i.mean < partly:
        return "no"
    return "not told" if i.low < partly and i.high >= yes else "partly"


def lacking(cell: Cell | None, metric: str) -> Part | None:
    """Why a metric says nothing of a model; None where it says something."""
    if cell is None or cell.interval is None:
        return Part("not told", f"no {metric}")
    if cell.unproven:
        return Part("not told", "self-check failed")
    return Part("not told", "one seed") if cell.interval.n < 2 else None


def worst(parts: Iterable[Part]) -> list[Part]:
    """The parts an answer hangs on, of one grade: those that are a no, else those that are not told, else partly, else
    none."""
    every = list(parts)
    for grade in ("no", "not told", "partly"):
        if found := [p for p in every if p.grade == grade]:
            return found
    return []


def gained(i: Interval | None) -> Word:
    """Whether a gain is shown, shown to be none, or open."""
    if i is None or i.low is None or i.high is None:
        return "not told"
    if i.high < LEAST:
        return "no"
    return "yes" if i.low > 0 and i.mean >= LEAST else "not told"


def beyond(cell: Cell, number: float | None) -> Interval | None:
    """A model's values minus a fixed number, over seeds; None where there is no number or one seed."""
    if number is None or cell.interval is None or cell.interval.n < 2:
        return None
    return cell.over_seeds({s: v - number for s, v in cell.values.items()})
