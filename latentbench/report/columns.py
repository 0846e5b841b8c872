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
    """One model of one run: ``m`` is its number on the page, ``latent_dim`` its latent size, ``collapse`` how it
    collapsed and ``copies`` how it copies, if it does: neither is ranked."""

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
    several runs."""
    out: list[Column] = []
    for run in runs:
        by_dataset = tables(run.records)
        collapse = {model: collapsed(how) for table in by_dataset for model, how in table.collapse.items()}
        copies = {model: copying(share) for table in by_dataset for model, share in table.copies.items()}
        for model in run.models:
            m = len(out)
            label = f"{run.label} / {model}" if len(runs) > 1 else model
            mark = svg.swatch(figures.marker(m), f"dot {figures.model_class(m)}")
            fallen = collapse.get(model, ""), copies.get(model, "")
            out.append(Column(run, model, m, label, mark, run.latent_dim_of(model), *fallen))
    return out
