"""Reconstructions: images beside what each model makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

from latentbench.report.columns import Column
from latentbench.report.drawing import images
from latentbench.report.drawing.images import Picture
from latentbench.report.folder import Absent, Artifact
from latentbench.report.page_view import PageView
from latentbench.report.section import Context, Section
from latentbench.report.wording.language import marked, say


class ReconstructionGroup(NamedTuple):
    """Held-out images above what each model makes of them: ``rows`` of (name, swatch, pictures)."""

    rows: Sequence[tuple[str, Markup, Sequence[Picture]]]
    size: tuple[int, int]


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
    out = []
    for members in groups.values():
        originals = members[0][1].arrays["x"]
        rows: list[tuple[str, Markup, Sequence[Picture]]] = [(say("original"), Markup(""), images.singles(originals))]
        rows += [(c.label, c.swatch, images.singles(artifact.arrays["x_hat"])) for c, artifact in members]
        out.append(ReconstructionGroup(rows, images.shown_size(*originals.shape[1:3])))
    return out, missing


def _context(view: PageView) -> Context:
    groups, missing = reconstructions(view.pictured)
    return {"groups": groups, "missing": missing}


SECTION = Section("reconstructions", marked("Reconstructions"), "reconstructions.html.jinja", _context, order=1100)
