"""An interval in words: a mean with its spread, a difference with its ends."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from latentbench.report.wording import words
from latentbench.report.wording.language import say
from latentbench.stats.cells import Cell, Interval

NAMED = 3
"""Models up to which each is named with its number in a sentence; of more, tables tell each."""


def value(i: Interval, unit: str = "") -> str:
    """``0.446 ± 0.031``; the bare number where there is no interval or no width, in full where its ``unit`` is a count's."""
    return " ± ".join(words.spread(i.mean, i.half)) if i.half else words.quantity(i.mean, unit)


def between(i: Interval) -> str:
    """``−0.590 [−0.630, −0.550]``; the bare number where there is no interval."""
    if i.low is None or i.high is None or not i.half:
        return words.number(i.mean)
    mean, half = words.spread(i.mean, i.half)
    places = max(len(part.partition(".")[2]) for part in (mean, half))
    fixed = i.half >= 1e-5 and abs(i.mean) < 1e7
    low, high = (words.number(v, places if fixed else None) for v in (i.low, i.high))
    return f"{mean} [{low}, {high}]"


def of(number: str, model: str) -> str:
    """``0.82 for ae``."""
    return say("{number} for {model}", number=number, model=model)


def means(cells: Iterable[Cell]) -> str:
    """``0.82 for ae and 0.803 for vae``; of more than `NAMED` models the least and the most."""
    return of_models(cells, lambda i: words.tidy(i.mean))


def shares(cells: Iterable[Cell]) -> str:
    """``9.3 % for ae and 46 % for vae``; of more than `NAMED` models the least and the most."""
    return of_models(cells, lambda i: words.percent(i.mean))


def of_models(cells: Iterable[Cell], told: Callable[[Interval], str]) -> str:
    """What is ``told`` of each model, see `told_of`."""
    return told_of([(c.interval, c.model) for c in cells if c.interval], told)


def told_of(found: Sequence[tuple[Interval, str]], told: Callable[[Interval], str]) -> str:
    """What is ``told`` of the interval of each model; of more than `NAMED` models of the least and of the most."""
    if len(found) <= NAMED:
        return words.listed([of(told(i), model) for i, model in found])
    low, high = (end(found, key=lambda one: one[0].mean) for end in (min, max))
    return _ends((told(low[0]), low[1]), (told(high[0]), high[1]))


def ends(found: Sequence[tuple[float, str]], told: Callable[[float], str]) -> str:
    """The least and the most of these numbers with their models: ``2.0 % (ae) to 64 % (vae)``."""
    low, high = min(found), max(found)
    return _ends((told(low[0]), low[1]), (told(high[0]), high[1]))


def _ends(*two: tuple[str, str]) -> str:
    low, high = (say("{number} ({model})", number=number, model=model) for number, model in two)
    return say("{low} to {high}", low=low, high=high)
