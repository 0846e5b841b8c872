"""Classes and their pictures: names, the image nearest each class's centre, the legend."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup

from latentbench.report.drawing import figures, svg
from latentbench.report.folder import Absent, Array, RunFolder


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
    return [figures.Centre(float(p[0]), float(p[1]), names[k]) for k, p in places.items()]


def _central(points: Array) -> Array:
    some = points[:: max(1, len(points) // 400)]
    total = np.hypot(*(some[:, None] - some[None]).transpose(2, 0, 1)).sum(1)
    return np.asarray(some[int(np.argmin(total))])


def legend(label: Array, names: Sequence[str]) -> list[tuple[int, str, int, Markup]]:
    """(number, name, points, swatch) of each class on the maps."""
    return [
        (k, name, int((label == k).sum()), svg.swatch(figures.marker(k), f"point {figures.class_class(k)}", 14))
        for k, name in enumerate(names)
    ]
