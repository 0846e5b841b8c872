"""Holes: how far draws of N(0, I) lie from the codes, beside how far held-out codes do."""

from __future__ import annotations

from typing import Any

import numpy as np
import seaborn as sns
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from latentbench.figures import look as looks
from latentbench.figures.drawn import Drawn, PaperFigure, Subject, caveats, sentences
from latentbench.figures.look import Look
from latentbench.report.folder import Absent, Array, Artifact
from latentbench.report.wording.words import listed, number, percent

FIELDS = ("model", "seed", "of", "distance over radius")
BINS = 36
NEAREST = 1e-3
"""The shortest distance that is drawn; what is nearer counts there."""


def draw(subject: Subject, look: Look) -> Drawn:
    """A panel a model, all on one axis of distances."""
    found, reasons = [], []
    for model in subject.run.models:
        try:
            artifact = subject.run.artifact("atlas", model)
            draws, codes = (artifact.arrays.get(name) for name in ("draw_depth", "code_depth"))
            if draws is None or codes is None or not len(draws) or not len(codes):
                raise Absent(f"Not drawn: this run recorded no distances of draws of {model}; 'measure' makes them.")
            found.append((model, artifact, _sound(draws), _sound(codes)))
        except Absent as reason:
            reasons.append(str(reason))
    if not found:
        raise Absent(reasons[0] if reasons else "Not drawn: this run has no model.")
    columns = min(look.columns(subject.panel(15), 4), len(found))
    lines = -(-len(found) // columns)
    handles: list[Any] = [
        Patch(facecolor=looks.MUTED, alpha=0.55, label="draws of N(0, I)"),
        Line2D([], [], color=looks.INK, label="held-out codes"),
        Line2D([], [], color=looks.MUTED, linestyle="--", label="radius: a hole lies beyond"),
    ]
    figure = looks.new(look, lines * 13 * look.em + 1.8 * look.em + looks.legend_height(look, handles))
    grid = figure.subplots(lines, columns, squeeze=False, sharex=True)
    every = np.log10(np.concatenate([values for _, _, *both in found for values in both]))
    low, high = float(every.min()), float(max(every.max(), every.min() + 0.3))
    bins = np.linspace(low, high, BINS)
    for k, (axes, (model, _, draws, codes)) in enumerate(looks.panels(grid, found)):
        colour = looks.model_colour(subject.number(model))
        kind: dict[str, Any] = {"ax": axes, "bins": bins, "stat": "probability", "legend": False}
        sns.histplot(x=np.log10(draws), color=colour, alpha=0.55, linewidth=0, element="bars", **kind)
        sns.histplot(
            x=np.log10(codes), color=looks.INK, fill=False, element="step", linewidth=look.points * 0.13, **kind
        )
        axes.axvline(0, color=looks.MUTED, linestyle="--", linewidth=look.points * 0.12)
        axes.set_title(f"{subject.names[model]}\n{percent(_beyond(draws))} beyond", color=colour)
        axes.set(ylabel="share" if k % columns == 0 else "", xlabel="")
        axes.yaxis.set_major_locator(looks.few(3))
        axes.set_xticks(*_ticks(low, high))
        if k + columns >= len(found):
            axes.set_xlabel("distance / radius")
            axes.tick_params(labelbottom=True)
        sns.despine(ax=axes)
    looks.legend(figure, look, handles)
    table = [
        [model, artifact.seed, what, float(value)]
        for model, artifact, draws, codes in found
        for what, values in (("draw of N(0, I)", draws), ("held-out code", codes))
        for value in values
    ]
    return Drawn(figure, _caption(subject, found), FIELDS, table)


def _ticks(low: float, high: float) -> tuple[list[float], list[str]]:
    """At most four plain numbers along an axis of logarithms."""
    powers = range(int(np.floor(low)), int(np.ceil(high)) + 1)
    inside: list[float] = []
    for steps in ((1.0, 2.0, 5.0), (1.0, 3.0), (1.0,)):
        places = [float(np.log10(m * 10.0**p)) for p in powers for m in steps]
        inside = [x for x in places if low <= x <= high]
        if len(inside) <= 4:
            break
    return inside, [f"{10**x:.3g}" for x in inside]


def _sound(depth: Array) -> Array:
    finite = np.asarray(depth, float)
    return np.asarray(np.maximum(finite[np.isfinite(finite)], NEAREST))


def _beyond(depth: Array) -> float:
    return float((depth > 1).mean())


def _caption(subject: Subject, found: list[tuple[str, Artifact, Array, Array]]) -> str:
    seeds = ", ".join(sorted({str(a.seed) for _, a, *_ in found}))
    shown = [f"{percent(_beyond(draws))} of {len(draws)} draws for {m}" for m, _, draws, _ in found]
    means = []
    for row in subject.rows:
        i = row.table.get(row.model, "hole")
        if i is not None and row.model in {m for m, *_ in found}:
            half = f" ± {number(i.half, 3)}" if i.half else ""
            means.append(f"{number(i.mean, 3)}{half} for {row.label} (n = {i.n})")
    return sentences(
        "Distance from the codes, over the radius beyond which a point lies in a hole.",
        subject.protocol,
        f"This is seed {seeds}: in holes lie {listed(shown)}.",
        f"The measure 'hole', mean over seeds ± half of the 95 % t-interval: {listed(means)}." if means else "",
        caveats(subject, [m for m, *_ in found]),
    )


FIGURE = PaperFigure("holes", draw)
