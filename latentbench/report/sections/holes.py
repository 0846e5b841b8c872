"""The hole atlas on the page: where N(0, I) has mass and no code is near, ranked, with what the decoder emits there.

A *region* gathers draws of the prior that lie in holes. It has a place in latent space: its medoid's coordinates, whose
length tells how far out it lies. On a map it has one only where the map is the latent space itself, of one or two
dimensions; UMAP is made of codes alone and has no inverse, so that every place on it is near some code and a hole, which
is near none, cannot stand anywhere.
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
from latentbench.report.folder import Absent, Array, Artifact
from latentbench.report.page_view import PageView
from latentbench.report.section import Context, Section
from latentbench.report.wording import words
from latentbench.report.wording.language import marked, say
from latentbench.stats.cells import summarise


class RegionView(NamedTuple):
    """One region: its ``rank``, what there is to say ``about`` it, the ``coordinates`` of its medoid, and its pictures."""

    rank: int
    about: str
    coordinates: str
    drawing: Markup


KINDS = marked({
    "outside": "farther from the training codes than 99 % of held-out codes are",
    "sparse": "with fewer training codes around than 99 % of the prior's own draws have",
    "dimension": "in a gap between the training codes along one direction",
})  # fmt: skip
"""What kind of hole the atlas shows, by the part of the measure that is the worst."""


class Atlas(NamedTuple):
    """One model's holes: ``about`` in sentences, the regions by falling mass, and the map they are marked on, or why there
    is none (``unmapped``)."""

    about: Sequence[str]
    regions: Sequence[RegionView]
    drawing: Markup | None = None
    unmapped: str = ""


def atlas(column: Column) -> Atlas:
    """The atlas of one model. Raises Absent where the run holds none."""
    artifact, names = column.run.artifact("atlas", column.model), classes.names_of(column.run)
    about = _about(column, artifact)
    if "mass" not in artifact:
        return Atlas([*about, say("Nothing stands out that could be mapped.")], [])
    mass, depth, centre = artifact.need("mass"), artifact.need("depth"), artifact.need("centre")
    pictures, beside = artifact.need("pictures"), artifact.need("beside").astype(int)
    label = _labels(column, int(beside.max()) + 1)
    ranked = []
    for k in range(len(mass)):
        valid = artifact.arrays["valid"][k] if "valid" in artifact else None
        title = say("Hole {rank} of {model}: what the decoder emits at its middle (first) and around it",
                    rank=k + 1, model=column.label)  # fmt: skip
        facts = [
            say("{mass} of the prior", mass=words.percent(float(mass[k]))),
            say("{depth} support radii from the codes", depth=words.number(float(depth[k]), 1)),
            say("{length} from the origin", length=words.number(float(np.linalg.norm(centre[k])), 1)),
        ]
        if "valid_share" in artifact:
            facts.append(say("{share} valid", share=words.percent(float(artifact.arrays["valid_share"][k]))))
        if label is not None:
            near = [classes.class_name(names, int(c)) for c in dict.fromkeys(label[beside[k]].tolist())]
            facts.append(say("nearest codes: {classes}", classes=words.listed(near)))
        coordinates = words.commas([words.number(float(v), 1) for v in centre[k][:16]])
        drawing = sheets.sheet(pictures[k], valid, title, columns=6)
        ranked.append(RegionView(k + 1, words.clauses(facts), coordinates, drawing))
    about.append(say("These draws are gathered into {n} regions below, the heaviest first.", n=len(ranked)))
    if centre.shape[1] > 2:
        return Atlas(about, ranked, unmapped=say(
            "On no map: maps of more than two latent dimensions are made of codes alone, so every place on them is near a code."
        ))  # fmt: skip
    return Atlas(about, ranked, _map(column, artifact, centre, mass))


def _about(column: Column, artifact: Artifact) -> list[str]:
    """How much of the prior lies in holes, at which seed the atlas was made and what the others say, and what would be
    there by chance."""
    found = {"share": words.percent(float(artifact.detail.get("share", 0.0))),
             "kind": say(KINDS[artifact.detail.get("part", "outside")])}  # fmt: skip
    rows = [r for r in column.run.of_model.get(column.model, ()) if r.metric == "hole"]
    cell = next((c for c in summarise(rows) if c.interval is not None and len(c.values) > 1), None)
    if cell is None or cell.interval is None:
        about = [say("{share} of N(0, I) lies in holes: {kind}.", **found)]
    else:
        text = marked(
            "At seed {seed}, which is shown here, {share} of N(0, I) lies in holes: {kind}. The mean over {n} seeds is {mean}."
        )
        mean, n = words.percent(cell.interval.mean), len(cell.values)
        about = [say(text, seed=artifact.seed, n=n, mean=mean, **found)]
    if "null" in artifact.detail:
        null = words.percent(float(artifact.detail["null"]))
        about.append(say("Codes drawn from N(0, I) themselves would leave {null}.", null=null))
    return about


def _labels(column: Column, at_least: int) -> np.ndarray | None:
    try:
        label = column.run.artifact("data").need("label")
    except Absent:
        return None
    return label if len(label) >= at_least else None


def _map(column: Column, artifact: Artifact, centre: Array, mass: Array) -> Markup | None:
    """The latent space of one or two dimensions with each region's number at its medoid; None without a map of the same
    trained model."""
    try:
        drawn = column.run.artifact("map", column.model)
        xy = np.asarray(drawn.need("xy"), float)
        label, names = classes.classes_of(column.run, len(xy))
    except Absent:
        return None
    if drawn.seed != artifact.seed:
        return None
    places = np.pad(np.asarray(centre, float), ((0, 0), (0, 2 - centre.shape[1])))
    marks = [
        figures.Marked(float(p[0]), float(p[1]), str(k + 1), float(m))
        for k, (p, m) in enumerate(zip(places, mass, strict=True))
    ]
    title = say("The latent space of {model} with its {n} holes by rank", model=column.label, n=len(mass))
    return figures.still_map(xy, label, names, [], title, marks)


def _context(view: PageView) -> Context:
    return {"cards": cards(view.pictured, atlas)}


SECTION = Section("holes", marked("Holes"), "holes.html.jinja", _context, order=900)
