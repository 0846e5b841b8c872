"""Maps: UMAP of each latent space, drawn still and, where scripts run, alive."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from markupsafe import Markup

from latentbench.report import classes
from latentbench.report.columns import Column
from latentbench.report.drawing import figures, images, maps
from latentbench.report.folder import Absent, RunFolder
from latentbench.report.page_view import PageView
from latentbench.report.section import Context, Section
from latentbench.report.templates import script_data
from latentbench.report.wording import words
from latentbench.report.wording.language import marked, say


class MapView(NamedTuple):
    """One map: its still drawing and its caption's numbers."""

    column: Column
    still: Markup
    trust: str
    k: str
    n: int


class RunMaps(NamedTuple):
    """The maps of one run: still drawings, legend, and what the page's script needs to bring them to life."""

    run: RunFolder
    maps: Sequence[MapView]
    missing: Sequence[str]
    legend: Sequence[classes.LegendEntry]
    sprite: str
    style: Markup
    data: Markup
    points: int


def run_maps(run: RunFolder, columns: Sequence[Column], number: int) -> RunMaps:
    """The maps of one run. The still drawing of each always stands; the interactive one needs the shared points."""
    sprite = f"--sprite-{number}"
    try:
        data = run.artifact("data")
        thumbs = data.need("thumbs")
        label, names = classes.classes_of(run, len(thumbs))
    except Absent as reason:
        return RunMaps(run, [], [str(reason)], [], sprite, Markup(""), Markup(""), 0)
    views, live, middles, missing = [], [], [], []
    for column in columns:
        try:
            artifact = run.artifact("map", column.model)
            xy = np.asarray(artifact.need("xy"), float)
            if xy.shape != (len(thumbs), 2) or not np.isfinite(xy).all():
                text = marked("Not drawn: the map of {model} does not hold {n} finite points.")
                raise Absent(say(text, model=column.label, n=len(thumbs)))
        except Absent as reason:
            missing.append(str(reason))
            continue
        trust, k = artifact.detail.get("trustworthiness"), artifact.detail.get("k")
        trusted = say(", trustworthiness {trust}", trust=words.number(trust, 3)) if trust is not None else ""
        text = marked("UMAP of the latent space of {model}: {n} held-out images{trust}.")
        name = say(text, model=column.label, n=len(xy), trust=trusted)
        middle = classes.centres(xy, label, names)
        still = figures.still_map(xy, label, names, middle, name)
        views.append(MapView(column, still, words.number(trust, 3) if trust is not None else "", str(k or ""), len(xy)))
        live.append(maps.Map(column.model, xy, name))
        middles.append(middle)
    legend = classes.legend(label, names)
    if not views:
        return RunMaps(run, [], missing, legend, sprite, Markup(""), Markup(""), len(thumbs))
    sheet = images.sprite(thumbs)
    index = data.arrays.get("index", np.arange(len(thumbs)))
    document = maps.interactive(live, label, names, index, sheet, sprite, middles)
    height, width = images.shown_size(sheet.tile_height, sheet.tile_width, 56)
    return RunMaps(
        run, views, missing, legend, sprite,
        Markup(f":root{{{sprite}:url({sheet.picture.uri})}}"),
        script_data({
            "document": document.document, "roots": list(document.roots), "sprite": sprite,
            "tile": [width, height], "sheet": [width * sheet.columns, height * sheet.rows],
        }),
        len(thumbs),
    )  # fmt: skip


def _context(view: PageView) -> Context:
    return {
        "maps": [run_maps(run, view.pictured_of(run), i) for i, run in enumerate(view.runs)],
        "unpictured": [c.label for c in view.unpictured],
        "several": view.several,
    }


def _styles(context: Context) -> list[Markup]:
    """The pictures of the points, once for all maps of a run."""
    return [m.style for m in context["maps"] if m.maps]


def _scripts(context: Context) -> list[Markup]:
    """The library that brings the maps to life, where there is one to bring to life."""
    return [Markup(maps.library())] if any(m.maps for m in context["maps"]) else []


TEXTS = marked({
    "image": "test image {index}, {name}",
    "pinned": "Pinned images appear here.",
    "many": "The first 24 of {n} chosen images.",
})  # fmt: skip
SECTION = Section(
    "maps", marked("Maps"), "maps.html.jinja", _context, order=600, styles=_styles, scripts=_scripts, texts=TEXTS
)
