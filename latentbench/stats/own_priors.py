"""Models that were trained with a prior of their own beside models of N(0, I): each is to be compared under its own.

A metric may be declared to be, for a model without a prior of its own, another one (``standard`` in its definition):
`validity.prior` is `validity.normal` for a model of N(0, I). Where a model of a run was trained with another prior, every
other model and every reference takes its value of the standard metric for it, so that all stand in one row, are compared by
the rules of any row and are adjusted together. Where no model was, the metric says nothing and its cells are left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from latentbench.records import BY_SECOND, JOIN, OWN

if TYPE_CHECKING:
    from latentbench.stats.cells import Cell

STANDARD_PRIOR = "model.standard_prior"
"""Code of the reason why a measure of a model's own prior has no value: it is N(0, I)."""

Definitions = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""Run -> metric -> what its record says of it."""


def side_by_side(cells: Sequence[Cell], definitions: Definitions) -> list[Cell]:
    """The cells, in order, with those of models that have a prior of their own marked (`Cell.own_prior`), and with the rows
    of metrics that stand for another filled or left out: see the module."""
    standard = {
        (run, metric): str(d["standard"])
        for run, of in definitions.items()
        for metric, d in of.items()
        if d.get("standard")
    }
    own = {_model(c) for c in cells if c.is_model and _has_own(c, standard)}
    if not own and not any(_stands_for(c, standard) for c in cells):
        return list(cells)
    marked = [replace(c, own_prior=True) if c.is_model and _model(c) in own else c for c in cells]
    rows: dict[tuple[str, str, str], list[Cell]] = {}
    for c in marked:
        if c.own_prior and (name := _stands_for(c, standard)):
            rows.setdefault((c.run, c.dataset, name), []).append(c)
    unproven = {(c.run, c.dataset, c.latent_dim, c.metric): c.unproven for c in marked if c.unproven}
    out = []
    for c in marked:
        if name := _stands_for(c, standard):
            if c.own_prior:
                out.append(replace(c, unproven=unproven.get((c.run, c.dataset, c.latent_dim, name), c.unproven)))
            continue
        out.append(c)
        if not c.own_prior and (alike := rows.get((c.run, c.dataset, c.metric))):
            one = alike[0]
            out.append(replace(c, metric=one.metric, metric_params=one.metric_params, headline=one.headline))
    return out


def _model(c: Cell) -> tuple[Any, ...]:
    return c.run, c.dataset, c.model, c.latent_dim


def _stands_for(c: Cell, standard: Mapping[tuple[str, str], str]) -> str:
    """The name of the metric that a cell's metric stands for, also by the second judge; empty: for none."""
    name = c.metric.removesuffix(BY_SECOND)
    found = standard.get((c.run, name), "")
    return found + c.metric[len(name) :] if found else ""


def _has_own(c: Cell, standard: Mapping[tuple[str, str], str]) -> bool:
    """Whether a cell tells that its model has a prior of its own: a value says so; a measure of it was not skipped because
    there is none."""
    if any(d.get("prior") == OWN for d in c.details.values()):
        return True
    codes = getattr(c.reason, "code", "").split(JOIN)
    return bool(_stands_for(c, standard)) and not c.values and STANDARD_PRIOR not in codes
