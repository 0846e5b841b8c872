"""Reconstructions: held-out images beside what each model makes of them, the best, the median and the worst of them by error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from markupsafe import Markup

from latentbench.report.columns import Column
from latentbench.report.drawing import images
from latentbench.report.drawing.images import Picture
from latentbench.report.folder import Absent, Array, Artifact
from latentbench.report.page_view import PageView
from latentbench.report.section import Context, Section
from latentbench.report.wording import words
from latentbench.report.wording.language import marked, say

EACH = 3
"""Images of each rank."""
FIRST = 16
"""Images shown of runs that recorded no error of each."""


class Row(NamedTuple):
    """One model's images, or the originals: its name, its swatch, the pictures, and the error under each where known."""

    label: str
    swatch: Markup
    pictures: Sequence[Picture]
    errors: Sequence[str]


class ReconstructionGroup(NamedTuple):
    """Held-out images above what each model makes of them. ``ranks`` are (title, columns) where they are chosen by error
    out of the ``known`` images."""

    rows: Sequence[Row]
    size: tuple[int, int]
    ranks: Sequence[tuple[str, int]]
    known: int


def reconstructions(columns: Sequence[Column]) -> tuple[list[ReconstructionGroup], list[str]]:
    """Originals and reconstructions, models that show the same images beneath one another; and what is missing."""
    groups: dict[bytes, list[tuple[Column, Artifact]]] = {}
    missing = []
    for column in columns:
        try:
            artifact = column.run.artifact("reconstructions", column.model)
            x, x_hat = artifact.need("x"), artifact.need("x_hat")
            if len(x) != len(x_hat):
                text = marked("Not drawn: {model} has {some} reconstructions of {n} images.")
                raise Absent(say(text, model=column.label, some=len(x_hat), n=len(x)))
        except Absent as reason:
            missing.append(str(reason))
            continue
        groups.setdefault(x.tobytes() + str(x.shape).encode(), []).append((column, artifact))
    return [_group(members) for members in groups.values()], missing


def chosen(errors: Sequence[Array]) -> list[list[int]]:
    """The images of the least, the middling and the largest error, by the mean over models of each one's ``errors`` (n,):
    the same for all. Empty where there are too few to rank, or an error is none."""
    mean = np.mean(np.stack(errors), axis=0)
    if len(mean) < 3 * EACH or not np.isfinite(mean).all():
        return []
    order = np.argsort(mean, kind="stable")
    middle = (len(order) - EACH) // 2
    return [[int(i) for i in part] for part in (order[:EACH], order[middle : middle + EACH], order[-EACH:])]


def _group(members: Sequence[tuple[Column, Artifact]]) -> ReconstructionGroup:
    originals = members[0][1].arrays["x"]
    errors = [a.need("error") for _, a in members if "error" in a]
    known = len(errors) == len(members) and all(len(e) == len(originals) for e in errors)
    ranked = chosen(errors) if known else []
    picked = [i for part in ranked for i in part] or list(range(min(FIRST, len(originals))))
    rows = [Row(say("original"), Markup(""), images.singles(originals[picked]), [])]
    for k, (column, artifact) in enumerate(members):
        told = [words.number(float(errors[k][i])) for i in picked] if ranked else []
        rows.append(Row(column.label, column.swatch, images.singles(artifact.arrays["x_hat"][picked]), told))
    titles = (say("best"), say("median"), say("worst"))
    ranks = [(title, len(part)) for title, part in zip(titles, ranked, strict=True)] if ranked else []
    return ReconstructionGroup(
        rows, images.shown_size(originals.shape[1], originals.shape[2], 42), ranks, len(originals)
    )


def _context(view: PageView) -> Context:
    groups, missing = reconstructions(view.pictured)
    return {"groups": groups, "missing": missing}


SECTION = Section("reconstructions", marked("Reconstructions"), "reconstructions.html.jinja", _context, order=1100)
