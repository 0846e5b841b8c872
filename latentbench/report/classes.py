"""Classes and their pictures: names, also short ones, the image nearest each class's centre, the legend."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from markupsafe import Markup

from latentbench.report.drawing import figures, svg
from latentbench.report.folder import Absent, Array, RunFolder

CUT = "…"
"""Stands where letters of a name were left out."""

LEGEND, NARROW = 28, 12
"""Letters of a class's name in a legend, and beneath a picture."""


def names_of(run: RunFolder) -> list[str]:
    """Names of the classes, from the run's data."""
    data = run.detail.get("dataset") or {}
    try:
        listed = run.artifact("data").detail.get("classes")
    except Absent:
        listed = None
    return [str(c) for c in (listed or data.get("classes") or [])]


def class_name(names: Sequence[str], k: int) -> str:
    """The name of class k, its number where it has none."""
    return names[k] if 0 <= k < len(names) else str(k)


def short_names(names: Sequence[str], most: int) -> list[str]:
    """The names with at most ``most`` letters each (one more for each digit of a class's number, where only that tells
    names apart), all different. Long ones are cut at the end, in the middle or at the start: the first of these at which no
    two of them, whole or cut, become the same; else each bears its number. ``most`` is at least 4."""
    ways: tuple[Callable[[str], str], ...] = (
        lambda name: name[: most - 1] + CUT,
        lambda name: name[: most // 2] + CUT + name[most // 2 + 1 - most :],
        lambda name: CUT + name[1 - most :],
    )
    for way in ways:
        short = [way(n) if len(n) > most else n for n in names]
        if len(set(short)) == len(short):
            return short
    return [n if len(n) <= most and names.count(n) == 1 else f"{n[: most - 2]}{CUT} {k}" for k, n in enumerate(names)]


def classes_of(run: RunFolder, count: int) -> tuple[Array, list[str]]:
    """Class numbers of the shown points (m,) and the names of the classes; all 0 and no names where unlabelled."""
    data = run.artifact("data")
    if "label" not in data or len(data.arrays["label"]) != count:
        return np.zeros(count, int), []
    label = data.need("label").astype(int)
    if label.min(initial=0) < 0:
        return np.zeros(count, int), []
    names = names_of(run)
    most = max(int(label.max(initial=0)) + 1, len(names))
    return label, [class_name(names, k) for k in range(most)]


def centres(xy: Array, label: Array, names: Sequence[str]) -> list[figures.Centre]:
    """The most central point of each class (least total distance to the others, so that the name stands on a point
    even where a class falls apart), for at most 20 classes."""
    if len(names) > 20:
        return []
    shown = [k for k in range(len(names)) if bool((label == k).any())]
    places = {k: _central(xy[label == k]) for k in shown}
    short = short_names(names, LEGEND)
    return [figures.Centre(float(p[0]), float(p[1]), short[k], k) for k, p in places.items()]


def _central(points: Array) -> Array:
    some = points[:: max(1, len(points) // 400)]
    total = np.hypot(*(some[:, None] - some[None]).transpose(2, 0, 1)).sum(1)
    return np.asarray(some[int(np.argmin(total))])


class LegendEntry(NamedTuple):
    """One class on the maps: its number, its name whole and short, how many points it has there, its mark."""

    number: int
    name: str
    short: str
    points: int
    swatch: Markup


def legend(label: Array, names: Sequence[str]) -> list[LegendEntry]:
    """The classes that the maps show, those of the points' numbers ``label`` (m,); a class without a point has no entry."""
    return [
        LegendEntry(k, name, short, count, svg.swatch(figures.marker(k), f"point {figures.class_class(k)}", 14))
        for k, (name, short) in enumerate(zip(names, short_names(names, LEGEND), strict=True))
        if (count := int((label == k).sum()))
    ]
