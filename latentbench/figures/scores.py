"""The headline measures: a panel each, all models on one axis, with what they are read against."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from latentbench.figures import look as looks
from latentbench.figures.drawn import (
    CELL_FIELDS,
    Drawn,
    PaperFigure,
    Row,
    Subject,
    caveats,
    cell_row,
    intervals,
    sentences,
)
from latentbench.figures.look import Look
from latentbench.report.folder import Absent
from latentbench.stats.cells import Cell

MEASURES = (
    ("r2", "R²"), ("path.validity_gain", "validity gain"), ("path.tortuosity", "tortuosity"),
    ("validity.normal", "valid, N(0, I)"), ("validity.gaussian", "valid, Gaussian"), ("validity.mixture", "valid, mixture"),
    ("hole", "holes"), ("kl", "KL (nats)"), ("active_units", "active dims"), ("punctual_index", "punctual index"),
)  # fmt: skip
"""The measures of the summary, with what they are called above a panel."""
ARROWS = {"higher": " ↑", "lower": " ↓"}


class Anchor(NamedTuple):
    """What measures are read against: its ``label``, the references that are it, the first that a measure has, its line."""

    label: str
    names: tuple[str, ...]
    line: Any


ANCHORS = (
    Anchor("real images (tortuosity: cross-fade)", ("ceiling:real", "ceiling:cross-fade"), "--"),
    Anchor("PCA, same d", ("baseline:pca",), "-."),
    Anchor("codes from N(0, I)", ("null:prior",), (0, (4, 1, 1, 1, 1, 1))),
    Anchor("most flattering junk", (), ":"),
)
"""Ceilings, the baseline, the null value, and floors, of which the highest counts."""


def draw(subject: Subject, look: Look) -> Drawn:
    """A panel a measure."""
    rows, cells, unproven = subject.rows, dict[str, dict[int, Cell]](), dict[str, None]()
    for metric, label in MEASURES:
        found = {k: c for k, row in enumerate(rows) if (c := _cell(row, metric)) is not None}
        if bad := [c for c in found.values() if c.unproven]:
            unproven[label] = None
            found = {k: c for k, c in found.items() if c not in bad}
        if found:
            cells[metric] = found
    if not cells:
        raise Absent("Not drawn: this run has no value of any headline measure.")
    titles = dict(MEASURES)
    named = max(len(row.label) for row in rows) * 0.58 + 1.5
    columns = min(look.columns(10.5, 5, named), len(cells))
    lines = -(-len(cells) // columns)
    anchors = [a for a in ANCHORS if any(_anchor(row, m, a) is not None for m in cells for row in rows)]
    handles = [Line2D([], [], color=looks.MUTED, linestyle=a.line, label=_named(a, subject)) for a in anchors]
    panel = (len(rows) * 1.5 + 5.2) * look.em
    figure = looks.new(look, lines * panel + looks.legend_height(look, handles))
    grid = figure.subplots(lines, columns, sharey=True, squeeze=False)
    table: list[list[Any]] = []
    for axes, metric in looks.panels(grid, cells):
        _panel(axes, rows, cells[metric], look, anchors)
        axes.set_title(titles[metric] + ARROWS.get(next(iter(cells[metric].values())).better, ""))
        table += [cell_row(c, rows[i].table) for i, c in cells[metric].items()]
        table += _references(rows, metric, anchors)
    looks.legend(figure, look, handles)
    every = [c for found in cells.values() for c in found.values()]
    left_out = (
        f"Left out, as the measure failed its self-check on these data: {', '.join(unproven)}." if unproven else ""
    )
    caption = sentences(
        "Headline measures on held-out data.", subject.protocol, intervals(every), left_out, caveats(subject)
    )
    return Drawn(figure, caption, CELL_FIELDS, table)


def _named(anchor: Anchor, subject: Subject) -> str:
    """A reference in the words of the data."""
    space = str((subject.run.detail.get("dataset") or {}).get("space") or "image")
    return anchor.label.replace("images", {"image": "images", "series": "series"}.get(space, "samples"))


def _cell(row: Row, metric: str) -> Cell | None:
    cell = row.table.by.get((row.model, metric))
    return cell if cell is not None and cell.interval is not None else None


def _anchor(row: Row, metric: str, anchor: Anchor) -> float | None:
    if not anchor.names:
        return row.table.floor(metric)
    return next((v for n in anchor.names if (v := row.table.reference(metric, n)) is not None), None)


def _references(rows: Sequence[Row], metric: str, anchors: Sequence[Anchor]) -> list[list[Any]]:
    tables = dict.fromkeys(row.table for row in rows)
    first = [next(row for row in rows if row.table is table) for table in tables]
    return [
        [row.table.dataset, a.label, row.table.latent_dim, metric, v, None, None, 1, ""]
        for row in first
        for a in anchors
        if (v := _anchor(row, metric, a)) is not None
    ]


def _panel(axes: Axes, rows: Sequence[Row], cells: Mapping[int, Cell], look: Look, anchors: Sequence[Anchor]) -> None:
    metric = next(iter(cells.values())).metric
    for anchor in anchors:
        found = [(v, k) for k, row in enumerate(rows) if (v := _anchor(row, metric, anchor)) is not None]
        places = np.array(found, float).reshape(-1, 2)
        axes.vlines(
            places[:, 0], places[:, 1] - 0.5, places[:, 1] + 0.5, colors=looks.MUTED, linestyles=anchor.line,
            linewidth=look.points * 0.11, zorder=1,
        )  # fmt: skip
    for k, cell in cells.items():
        interval(axes, cell, float(k), rows[k].number, look)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_yticks(range(len(rows)), [row.label for row in rows])
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_locator(looks.few(3))
    axes.grid(axis="x")
    axes.spines[["top", "right", "left"]].set_visible(False)
    if tuple(next(iter(cells.values())).bounds) == (0, 1):
        axes.set_xlim(-0.04, 1.04)
    else:
        axes.margins(x=0.12)


def interval(axes: Axes, cell: Cell, y: float, number: int, look: Look, marker: Any = None) -> None:
    """A mean with its interval, level at the height ``y``; open where the interval is approximate."""
    i = cell.interval
    assert i is not None
    colour = looks.model_colour(number)
    if i.low is not None and i.high is not None:
        axes.plot([i.low, i.high], [y, y], color=colour, linewidth=look.points * 0.2, marker="", zorder=2)
    axes.plot(
        [i.mean], [y], color=colour, marker=looks.mark(number) if marker is None else marker, linestyle="none",
        markerfacecolor="white" if i.approximate else colour, markersize=look.points * 0.62, zorder=3, clip_on=False,
    )  # fmt: skip


FIGURE = PaperFigure("scores", draw)
