"""The frontier: what reconstruction costs in valid draws, and what a nat of KL buys, over models and latent sizes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes

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

PANELS = (
    ("r2", "R² on held-out data", "validity.normal", "valid draws from N(0, I)"),
    ("kl", "rate: KL (nats)", "mse", "distortion: mean squared error"),
)
"""What each panel shows: a measure over another, and what they are called on the axes."""


def draw(subject: Subject, look: Look) -> Drawn:
    """A panel for each pair of measures that two models, or one at two latent sizes, have."""
    panels = [(panel, found) for panel in PANELS if len(found := _found(subject.rows, panel[0], panel[2])) > 1]
    if not panels:
        raise Absent("Not drawn: a frontier takes two models, or one at two latent sizes, with R² and validity.")
    columns = min(look.columns(22, 2), len(panels))
    lines = -(-len(panels) // columns)
    several = bool(subject.several)
    models = list(dict.fromkeys(row.model for _, found in panels for row, _, _ in found))
    handles = [looks.dot(looks.model_colour(n := subject.number(m)), looks.mark(n), subject.names[m]) for m in models]
    figure = looks.new(
        look, lines * min(22 * look.em, look.width / columns * 0.85) + looks.legend_height(look, handles)
    )
    grid = figure.subplots(lines, columns, squeeze=False)
    table: list[list[Any]] = []
    for axes, ((_, x, _, y), found) in zip(grid.flat, panels, strict=False):
        _panel(axes, found, look, several)
        axes.set_xlabel(x)
        axes.set_ylabel(y)
        if len(panels) == 1 and look.ems > 45:
            axes.set_box_aspect(0.7)
        table += [cell_row(cell, row.table) for row, a, b in found for cell in (a, b)]
    looks.legend(figure, look, handles)
    cells = [cell for _, found in panels for _, a, b in found for cell in (a, b)]
    what = ["Reconstruction against valid draws" if p[0] == "r2" else "rate against distortion" for p, _ in panels]
    caption = sentences(
        f"{' and '.join(what).capitalize()}.", subject.protocol, intervals(cells),
        "Numbers beside marks: the latent size d." if several else "", caveats(subject, models),
    )  # fmt: skip
    return Drawn(figure, caption, CELL_FIELDS, table)


def _found(rows: Sequence[Row], a: str, b: str) -> list[tuple[Row, Cell, Cell]]:
    out = []
    for row in rows:
        x, y = (row.table.by.get((row.model, metric)) for metric in (a, b))
        if x and y and x.interval and y.interval and not (x.unproven or y.unproven):
            out.append((row, x, y))
    return out


def _panel(axes: Axes, found: Sequence[tuple[Row, Cell, Cell]], look: Look, several: bool) -> None:
    if several:
        for model in dict.fromkeys(row.model for row, *_ in found):
            own = sorted((f for f in found if f[0].model == model), key=lambda f: f[0].table.latent_dim or 0)
            points = [(a.interval.mean, b.interval.mean) for _, a, b in own if a.interval and b.interval]
            axes.plot(
                *zip(*points, strict=True), color=looks.model_colour(own[0][0].number), linewidth=look.points * 0.1,
                marker="", zorder=1,
            )  # fmt: skip
    for row, a, b in found:
        x, y = a.interval, b.interval
        assert x is not None
        assert y is not None
        colour = looks.model_colour(row.number)
        if x.low is not None and x.high is not None:
            axes.plot([x.low, x.high], [y.mean, y.mean], color=colour, linewidth=look.points * 0.14, zorder=2)
        if y.low is not None and y.high is not None:
            axes.plot([x.mean, x.mean], [y.low, y.high], color=colour, linewidth=look.points * 0.14, zorder=2)
        open_ = bool(x.approximate or y.approximate)
        axes.plot(
            [x.mean], [y.mean], linestyle="none", marker=looks.mark(row.number), color=colour, zorder=3,
            markerfacecolor="white" if open_ else colour, clip_on=False,
        )  # fmt: skip
        if several:
            axes.annotate(
                str(row.table.latent_dim), (x.mean, y.mean), xytext=(look.points * 0.5, look.points * 0.4),
                textcoords="offset points", fontsize=look.points * 0.85, color=colour,
            )  # fmt: skip
    axes.xaxis.set_major_locator(looks.few(5))
    axes.yaxis.set_major_locator(looks.few(5))
    axes.margins(0.1)
    axes.grid()
    axes.spines[["top", "right"]].set_visible(False)


FIGURE = PaperFigure("frontier", draw)
