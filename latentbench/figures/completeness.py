"""Completeness: which share of what is drawn the judge accepts, by where it is drawn from, between floor and ceiling."""

from __future__ import annotations

from typing import Any

from matplotlib.lines import Line2D

from latentbench.figures import look as looks
from latentbench.figures.drawn import CELL_FIELDS, Drawn, PaperFigure, Subject, caveats, cell_row, intervals, sentences
from latentbench.figures.look import Look
from latentbench.figures.scores import interval
from latentbench.report.folder import Absent
from latentbench.report.wording import words

SAMPLERS = (
    ("prior", "its own prior", "^"),
    ("normal", "N(0, I)", "o"),
    ("gaussian", "fitted Gaussian", "s"),
    ("mixture", "fitted mixture", "D"),
)
"""Where latent points are drawn from, each with its mark."""


def draw(subject: Subject, look: Look) -> Drawn:
    """A row a model, a mark a sampler."""
    cells = [
        (row, sampler, cell)
        for row in subject.rows
        for sampler, *_ in SAMPLERS
        if (cell := row.table.by.get((row.model, f"validity.{sampler}"))) is not None and cell.interval
    ]
    sure = [found for found in cells if not found[2].unproven]
    if not sure:
        reasons = [words.reason(why) for t in subject.tables for why in t.reasons(t.validity)]
        why = "a measure failed its self-check on these data" if cells else "this run measured no validity"
        raise Absent(f"Not drawn: {reasons[0] if reasons else why}.")
    rows = [row for row in subject.rows if any(row is r for r, *_ in sure)]
    used = [s for s in SAMPLERS if any(s[0] == sampler for _, sampler, _ in sure)]
    table = [cell_row(cell, row.table) for row, _, cell in sure]
    handles = [looks.dot(looks.MUTED, marker, label) for _, label, marker in used]
    lines = []
    for of in dict.fromkeys(row.table for row in rows):
        real, junk = of.reference(of.validity, "ceiling:real"), of.floor(of.validity)
        for label, value, line in (("real samples", real, "--"), ("most flattering junk", junk, ":")):
            if value is not None:
                lines.append((of, value, line))
                table.append([of.dataset, label, of.latent_dim, "validity", value, None, None, 1, ""])
    kinds = {line for _, _, line in lines}
    labels = {"--": "real samples (ceiling)", ":": "most flattering junk (floor)"}
    handles += [Line2D([], [], color=looks.MUTED, linestyle=k, label=labels[k]) for k in ("--", ":") if k in kinds]
    height = (len(rows) * 2.6 + 3.6) * look.em + looks.legend_height(look, handles)
    figure = looks.new(look, height)
    axes = figure.subplots()
    for of, value, line in lines:
        own = [k for k, row in enumerate(rows) if row.table is of]
        axes.plot(
            [value, value], [own[0] - 0.5, own[-1] + 0.5], color=looks.MUTED, linestyle=line, zorder=1,
            linewidth=look.points * 0.12,
        )  # fmt: skip
    markers = {name: marker for name, _, marker in SAMPLERS}
    order = [name for name, *_ in used]
    for row, sampler, cell in sure:
        y = rows.index(row) + (order.index(sampler) - (len(order) - 1) / 2) * 0.24
        interval(axes, cell, y, row.number, look, markers[sampler])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_yticks(range(len(rows)), [row.label for row in rows])
    axes.tick_params(axis="y", length=0)
    axes.set_xlim(-0.02, 1.02)
    axes.set_xlabel("valid share of draws")
    axes.grid(axis="x")
    axes.spines[["top", "right", "left"]].set_visible(False)
    looks.legend(figure, look, handles)
    caption = sentences(
        "Valid draws by where they are drawn from.",
        subject.protocol,
        intervals([c for *_, c in sure]),
        caveats(subject),
    )
    fields: tuple[Any, ...] = CELL_FIELDS
    return Drawn(figure, caption, fields, table)


FIGURE = PaperFigure("completeness", draw)
