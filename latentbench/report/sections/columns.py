"""Columns: how the values of each column are distributed, real and decoded, and draws beside the nearest real sample."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from markupsafe import Markup

from latentbench.artifact_schema import ArtifactRole
from latentbench.records import OWN
from latentbench.report.cards import Card, cards
from latentbench.report.classes import short_names
from latentbench.report.columns import Column
from latentbench.report.drawing import figures, images, quantiles
from latentbench.report.drawing.images import Picture
from latentbench.report.folder import Absent, Artifact
from latentbench.report.page_view import PageView
from latentbench.report.section import Context, Section
from latentbench.report.wording import words
from latentbench.report.wording.language import marked, say

SHOWN = 14
"""Columns that are drawn, those in which reconstructions are farthest from real values; the table has all."""
NAME = 21
"""Letters of a column's name in the drawing."""
ROLE: ArtifactRole = "columns"
DISTRIBUTIONS = marked({
    "real": "real",
    "reconstructions": "reconstructions",
    "prior": "draws from its own prior",
    "normal": "draws from N(0, I)",
    "mixture": "draws from the fitted mixture",
})  # fmt: skip


class Pair(NamedTuple):
    """A decoded draw and the real sample nearest to it."""

    draw: Picture
    nearest: Picture
    distance: str


class Columns(NamedTuple):
    """One model's columns: the ``drawing``, its ``legend`` (style-sheet class, name), what it leaves out, the numbers behind
    it, and the ``pairs``; ``own_prior``: these are drawn from a prior of the model's own."""

    drawing: Markup
    legend: Sequence[tuple[str, str]]
    left_out: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    pairs: Sequence[Pair]
    own_prior: bool = False


def columns(column: Column) -> Columns:
    """The columns of one model."""
    artifact = column.run.artifact(ROLE, column.model)
    kinds = [name for name in DISTRIBUTIONS if name in artifact]
    found = {name: artifact.need(name) for name in kinds}
    real = artifact.need("real")
    names = [str(n) for n in artifact.detail.get("columns") or range(1, len(real) + 1)]
    if any(values.shape != (len(names), 5) for values in found.values()):
        raise Absent(say("Not drawn: the columns of {model} do not fit their names.", model=column.label))
    apart = np.abs(found.get("reconstructions", real) - real).mean(1)
    order = np.sort(np.argsort(-np.nan_to_num(apart), kind="stable")[:SHOWN])
    classes = ["muted", *(f"{figures.model_class(column.m)} shade{k}" for k in range(len(kinds) - 1))]
    label = say("Quantiles of each column, real and decoded by {model}; the table below holds the numbers.",
                model=column.label)  # fmt: skip
    short = short_names(names, NAME)
    drawn = [quantiles.Row(short[k], [found[name][k] for name in kinds]) for k in order]
    left_out = ""
    if (every := int(artifact.detail.get("of") or len(names))) > len(order):
        left_out = say(
            "Drawn are the {some} of {n} columns whose reconstructions differ most from the real values.",
            some=len(order),
            n=every,
        )
    return Columns(
        quantiles.boxes(drawn, classes, say("standardised value"), label),
        [(c, say(DISTRIBUTIONS[name])) for c, name in zip(classes, kinds, strict=True)],
        left_out,
        [say("column"), say("raw values, 5 % to 95 %"), *(say(DISTRIBUTIONS[name]) for name in kinds)],
        _rows(artifact, names, kinds),
        _pairs(artifact),
        artifact.detail.get("prior") == OWN,
    )


def _rows(artifact: Artifact, names: Sequence[str], kinds: Sequence[str]) -> list[list[str]]:
    """Column, raw range, then the median and the range from 5 % to 95 % of each distribution."""
    raw = artifact.need("raw")
    out = []
    for k, name in enumerate(names):
        told = [say("{low} to {high}", low=words.tidy(float(raw[k, 0])), high=words.tidy(float(raw[k, 1])))]
        for kind in kinds:
            low, _, middle, _, high = (words.number(float(v), 2) for v in artifact.arrays[kind][k])
            told.append(say("{middle} ({low} to {high})", middle=middle, low=low, high=high))
        out.append([name, *told])
    return out


def _pairs(artifact: Artifact) -> list[Pair]:
    if "draws" not in artifact or "nearest" not in artifact:
        return []
    both = [images.singles(artifact.need(name)) for name in ("draws", "nearest")]
    distances = [words.number(float(d), 2) for d in artifact.need("distance")]
    return [Pair(*three) for three in zip(*both, distances, strict=True)]


def _context(view: PageView) -> Context | None:
    made = [c for c in view.pictured if any(r.metric == ROLE for r in c.run.of_model.get(c.model, ()))]
    shown: list[Card] = cards(made, columns)
    return {"cards": shown} if shown else None


SECTION = Section("columns", marked("Columns"), "columns.html.jinja", _context, order=1050)
