"""The models of a page, numbered once for all of its sections."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

from latentbench.report.drawing import figures, svg
from latentbench.report.folder import RunFolder
from latentbench.report.wording.findings.tables import collapsed, copying
from latentbench.stats.findings import tables


class Column(NamedTuple):
    """One model of one run: ``m`` is its number on the page, of no other column; its colour hangs on the model alone, its
    marker on the run too. ``latent_dim`` is its latent size, ``collapse`` how it collapsed and ``copies`` how it copies,
    if it does: neither is ranked."""

    run: RunFolder
    model: str
    m: int
    label: str
    swatch: Markup
    latent_dim: int | None = None
    collapse: str = ""
    copies: str = ""


def columns(runs: Sequence[RunFolder]) -> list[Column]:
    """Every model of every run, numbered once for the whole page; the run's label stands before it where there are
    several runs.

    A model has the same colour in every run: the numbers of its columns are a multiple of the colours apart, and with them
    markers differ.
    """
    out: list[Column] = []
    models = dict.fromkeys(model for run in runs for model in run.models)
    every = {model: m for m, model in enumerate(models)}
    stride = -(-len(every) // svg.MODEL_COLOURS) * svg.MODEL_COLOURS
    for k, run in enumerate(runs):
        by_dataset = tables(run.records)
        collapse = {model: collapsed(how) for table in by_dataset for model, how in table.collapse.items()}
        copies = {model: copying(share) for table in by_dataset for model, share in table.copies.items()}
        for model in run.models:
            m = every[model] + stride * k
            label = f"{run.label} / {model}" if len(runs) > 1 else model
            mark = svg.swatch(figures.marker(m), f"dot {figures.model_class(m)}")
            fallen = collapse.get(model, ""), copies.get(model, "")
            out.append(Column(run, model, m, label, mark, run.latent_dim_of(model), *fallen))
    return out
