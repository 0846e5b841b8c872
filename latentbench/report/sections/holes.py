"""The hole atlas on the page: where N(0, I) has mass and no code is near, ranked, with what the decoder emits there.

A *region* gathers draws of the prior that lie in holes. It has a place in latent space (its medoid's coordinates, whose
length tells how far out it lies) and one on the map, among the held-out codes nearest to it; the map itself knows
nothing of points between codes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from markupsafe import Markup

from latentbench.report import classes
from latentbench.report.cards import cards
from latentbench.report.columns import Column
from latentbench.report.drawing import figures, sheets
from latentbench.report.folder import Absent
from latentbench.report.page_view import PageView
from latentbench.report.section import Context, Section
from latentbench.report.wording import words
from latentbench.report.wording.language import marked, say


class RegionView(NamedTuple):
    """One region: its ``rank``, what there is to say ``about`` it, the ``coordinates`` of its medoid, and its pictures."""

    rank: int
    about: str
    coordinates: str
    drawing: Markup


class Atlas(NamedTuple):
    """One model's holes: ``about`` in a sentence, the regions by falling mass, and the map they are marked on."""

    about: str
    regions: Sequence[RegionView]
    drawing: Markup | None


def atlas(column: Column) -> Atlas:
    """The atlas of one model. Raises Absent where the run holds none."""
    artifact, names = column.run.artifact("atlas", column.model), classes.names_of(column.run)
    share = float(artifact.detail.get("share", 0.0))
    if "mass" not in artifact:
        text = marked(
            "{share} of N(0, I) lies in holes: no more than chance would put there, so there is nothing to map."
        )
        return Atlas(say(text, share=words.percent(share)), [], None)
    mass, depth, centre = artifact.need("mass"), artifact.need("depth"), artifact.need("centre")
    pictures, beside = artifact.need("pictures"), artifact.need("beside").astype(int)
    label = _labels(column, int(beside.max()) + 1)
    ranked = []
    for k in range(len(mass)):
        valid = artifact.arrays["valid"][k] if "valid" in artifact else None
        title = say("Hole {rank} of {model}: what the decoder emits at its middle (first) and around it",
                    rank=k + 1, model=column.label)  # fmt: skip
        about = [
            say("{mass} of the prior", mass=words.percent(float(mass[k]))),
            say("{depth} support radii from the codes", depth=words.number(float(depth[k]), 1)),
            say("{length} from the origin", length=words.number(float(np.linalg.norm(centre[k])), 1)),
        ]
        if "valid_share" in artifact:
            about.append(say("{share} valid", share=words.percent(float(artifact.arrays["valid_share"][k]))))
        if label is not None:
            near = [classes.class_name(names, int(c)) for c in dict.fromkeys(label[beside[k]].tolist())]
            about.append(say("nearest codes: {classes}", classes=words.listed(near)))
        coordinates = words.commas([words.number(float(v), 1) for v in centre[k][:16]])
        drawing = sheets.sheet(pictures[k], valid, title, columns=6)
        ranked.append(RegionView(k + 1, words.clauses(about), coordinates, drawing))
    text = marked("{share} of N(0, I) lies in holes, gathered into {n} regions below, the heaviest first.")
    return Atlas(say(text, share=words.percent(share), n=len(ranked)), ranked, _map(column, beside, mass))


def _labels(column: Column, at_least: int) -> np.ndarray | None:
    try:
        label = column.run.artifact("data").need("label")
    except Absent:
        return None
    return label if len(label) >= at_least else None


def _map(column: Column, beside: np.ndarray, mass: np.ndarray) -> Markup | None:
    """The still map with each region's number at the middle of the codes nearest to it; None without a map."""
    try:
        xy = np.asarray(column.run.artifact("map", column.model).need("xy"), float)
        label, names = classes.classes_of(column.run, len(xy))
    except Absent:
        return None
    if len(xy) <= int(beside.max()):
        return None
    marks = [
        figures.Marked(float(p[0]), float(p[1]), str(k + 1), float(m))
        for k, (p, m) in enumerate(zip(np.median(xy[beside], axis=1), mass, strict=True))
    ]
    title = say("Map of the latent space of {model} with its {n} holes by rank", model=column.label, n=len(mass))
    return figures.still_map(xy, label, names, [], title, marks)


def _context(view: PageView) -> Context:
    return {"cards": cards(view.pictured, atlas)}


SECTION = Section("holes", marked("Holes"), "holes.html.jinja", _context, order=900)
