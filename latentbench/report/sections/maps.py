"""Maps: UMAP of each latent space, drawn still and, where scripts run, alive: coloured by what is known of every point,
searched, brushed, walked through by keyboard, with the prior's draws laid over them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from markupsafe import Markup

from latentbench.report import classes
from latentbench.report.columns import Column
from latentbench.report.drawing import figures, images, maps
from latentbench.report.folder import Absent, Array, Artifact, RunFolder
from latentbench.report.page_view import PageView
from latentbench.report.section import Context, Section
from latentbench.report.templates import script_data
from latentbench.report.wording import words
from latentbench.report.wording.intervals import NAMED, ends
from latentbench.report.wording.language import marked, say

COLOURINGS = marked({
    "error": "reconstruction error",
    "valid": "judge's verdict",
    "confidence": "judge's confidence",
    "kl": "KL in nats",
    "copied": "copy of a seen image",
})  # fmt: skip
"""What points may be coloured by beside their class, by the array that tells it of each: numbers, or yes and no."""

NUMBERS, COUNTS = ("error", "confidence", "kl"), ("valid", "copied", "draws", "in_holes")
"""What is known of points: numbers, and counts or yes and no."""
LARGEST = 65535
"""Of counts, as the page holds them."""

TOOLS = marked({"box": "Box", "lasso": "Lasso", "pan": "Pan", "zoom": "Wheel zoom"})
"""What dragging, or turning the wheel, on a map does."""


class MapView(NamedTuple):
    """One map: its still drawing, its caption's numbers, and whether it is the latent space ``itself``."""

    column: Column
    still: Markup
    trust: str
    n: int
    itself: bool


class RunMaps(NamedTuple):
    """The maps of one run: still drawings, legend, what points can be coloured by, what there is to say of the prior's draws
    (empty where nothing is known of them), and what the page's script needs to bring the maps to life."""

    run: RunFolder
    maps: Sequence[MapView] = ()
    missing: Sequence[str] = ()
    legend: Sequence[classes.LegendEntry] = ()
    colourings: Mapping[str, str] = MappingProxyType({})
    overlay: str = ""
    about: str = ""
    style: Markup = Markup("")
    data: Markup = Markup("")


def run_maps(run: RunFolder, columns: Sequence[Column], number: int) -> RunMaps:
    """The maps of one run. The still drawing of each always stands; the interactive one needs the shared points."""
    sprite = f"--sprite-{number}"
    try:
        data = run.artifact("data")
        thumbs = data.need("thumbs")
        label, names = classes.classes_of(run, len(thumbs))
    except Absent as reason:
        return RunMaps(run, missing=[str(reason)])
    views, live, middles, missing, known = [], [], [], [], []
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
        itself = _is_space(artifact)
        trust = None if itself else artifact.detail.get("trustworthiness")
        trusted = say(", trustworthiness {trust}", trust=words.number(trust, 3)) if trust is not None else ""
        text = marked("UMAP of the latent space of {model}: {n} held-out images{trust}.")
        if itself:
            text = marked("The latent space of {model} itself: {n} held-out images.")
        name = say(text, model=column.label, n=len(xy), trust=trusted)
        middle = classes.centres(xy, label, names)
        still = figures.still_map(xy, label, names, middle, name)
        views.append(MapView(column, still, words.number(trust, 3) if trust is not None else "", len(xy), itself))
        points = Points.of(run, column, artifact, len(thumbs))
        known.append(points)
        live.append(maps.Map(column.model, xy, name, points.places, points.lost))
        middles.append(middle)
    legend = classes.legend(label, names)
    if not views:
        return RunMaps(run, missing=missing)
    sheet = images.sprite(thumbs)
    index = np.asarray(data.arrays.get("index", np.arange(len(thumbs))))
    document = maps.interactive(live, label, index, sheet, sprite, middles)
    height, width = images.shown_size(sheet.tile_height, sheet.tile_width, 40)
    values = [{name: maps.packed(array) for name, array in k.values.items()} for k in known]
    return RunMaps(
        run, views, missing, legend,
        {name: say(text) for name, text in COLOURINGS.items() if any(name in k.values for k in known)},
        _overlay([v.column for v in views], known),
        _about(run, views, bool(legend)),
        Markup(f":root{{{sprite}:url({sheet.picture.uri})}}"),
        script_data({
            "document": document.document, "roots": list(document.roots), "sprite": sprite,
            "tile": [width, height], "sheet": [width * sheet.columns, height * sheet.rows],
            "labels": [v.column.label for v in views],
            "same": run.dataset_hash, "names": names, "classes": maps.packed(label.astype(np.uint16)), "values": values,
            "palette": maps.PALETTE, "scale": maps.SCALE,
        }),
    )  # fmt: skip


class Points(NamedTuple):
    """What is known of a map's points: ``values``, numbers as float32 and counts and yes or no as uint16, by name; how many
    ``draws`` of the prior were made and the share of them in holes (None: not known). ``places`` (k, 2): where draws stand,
    in a latent space that is its own map, and which of them are ``lost`` in holes."""

    values: Mapping[str, Array]
    draws: int = 0
    beyond: float | None = None
    places: Array | None = None
    lost: Array | None = None

    @classmethod
    def of(cls, run: RunFolder, column: Column, drawn: Artifact, n: int) -> Points:
        """What the run knows of the ``n`` points of a map, those of the same trained model; nothing where it is older or
        what it holds does not fit."""
        try:
            held = run.artifact("points", column.model)
        except Absent:
            return cls({})
        if held.seed != drawn.seed:
            return cls({})
        values: dict[str, Array] = {}
        for name, array in held.arrays.items():
            if array.shape != (n,) or array.dtype.kind not in "biuf" or not np.isfinite(array).all():
                continue
            if name in NUMBERS:
                values[name] = array.astype(np.float32)
            elif name in COUNTS and array.min(initial=0) >= 0 and array.max(initial=0) <= LARGEST:
                values[name] = array.astype(np.uint16)
        beyond, draws = held.detail.get("beyond"), held.detail.get("draws")
        made = draws if isinstance(draws, int) and "draws" in values else 0
        found = cls(values, made, beyond if isinstance(beyond, float | int) else None)
        places = held.arrays.get("draws_at")
        if not _is_space(drawn) or places is None or places.ndim != 2 or places.shape[1] != 2:
            return found
        if places.dtype.kind != "f" or not np.isfinite(places).all():
            return found
        lost = held.arrays.get("draws_in_holes")
        fits = lost is not None and lost.shape == (len(places),) and lost.dtype.kind == "b"
        return found._replace(places=places, lost=lost if fits else None)


def _is_space(drawn: Artifact) -> bool:
    """Whether a map is the latent space itself, of one or two dimensions."""
    return drawn.detail.get("neighbours") == 0


def _overlay(columns: Sequence[Column], known: Sequence[Points]) -> str:
    """What the prior's draws show on these maps, in numbers: of each model how many codes they lie nearest to, and how many
    of the draws lie in holes."""
    own = [p.places is not None for p in known]
    told = [] if any(own) else _range_of(columns, known)
    for column, points in zip(columns, known, strict=True) if not told else ():
        if "draws" not in points.values:
            continue
        nearest = points.values["draws"]
        facts = [say("{some} of {n} codes are the nearest of any", some=int((nearest > 0).sum()), n=len(nearest))]
        if points.beyond is not None:
            facts.append(say("{share} of the prior lies in holes", share=words.percent(points.beyond)))
        if points.places is not None and not all(own):
            facts.append(say("drawn where they fall"))
        told.append(say("{model}: {facts}", model=column.label, facts=words.commas(facts)))
    if not told:
        return ""
    count = words.number(max(p.draws for p in known))
    other = any(column.run.has_own_prior(column.model) for column in columns)
    if all(own):
        shown = words.number(max(len(p.places) for p in known if p.places is not None))
        text = marked(
            "{n} of {count} draws from the prior of each stand where they fall: the map is the latent space itself."
            if other
            else "{n} of {count} draws from N(0, I) stand where they fall: the map is the latent space itself."
        )
        start = say(text, n=shown, count=count)
    else:
        text = marked(
            "{count} draws from the prior of each, counted at the nearest code shown (UMAP has no inverse); the more of them, the larger its ring."
            if other
            else "{count} draws from N(0, I), each counted at the nearest code shown (UMAP has no inverse); the more of them, the larger its ring."
        )
        start = say(text, count=count)
    return say("{first} {then}.", first=start, then=words.clauses(told))


def _range_of(columns: Sequence[Column], known: Sequence[Points]) -> list[str]:
    """Of more than `NAMED` models of one number of codes the least and the most of either number; else nothing."""
    found = [(p.values["draws"], c.label) for c, p in zip(columns, known, strict=True) if "draws" in p.values]
    beyond = [(p.beyond, c.label) for c, p in zip(columns, known, strict=True) if p.beyond is not None]
    if len(found) <= NAMED or len({len(draws) for draws, _ in found}) > 1:
        return []
    nearest = ends([(float((draws > 0).sum()), label) for draws, label in found], words.number)
    told = [say("{some} of {n} codes are the nearest of any", some=nearest, n=len(found[0][0]))]
    if beyond:
        told.append(say("{share} of the prior lies in holes", share=ends(beyond, words.percent)))
    return told


def _about(run: RunFolder, views: Sequence[MapView], labelled: bool) -> str:
    """What the points are, of which seed, and what is said by the numbers above the maps."""
    drawn = [run.artifact("map", v.column.model) for v in views]
    seeds = {d.seed for d in drawn}
    seed = (
        say("codes of seed {seed}", seed=seeds.pop())
        if len(seeds) == 1 and None not in seeds
        else say("codes of one seed each")
    )
    points = (
        say("{n} held-out images", n=views[0].n)
        if labelled
        else say("{n} held-out images, without labels", n=views[0].n)
    )
    said = [say("{first}; {then}.", first=points, then=seed)]
    if any(v.trust for v in views):
        k = next((d.detail["k"] for d, v in zip(drawn, views, strict=True) if v.trust and d.detail.get("k")), None)
        text = marked(
            "Trustworthiness (k = {k}) says how far neighbours on the map are neighbours in latent space: 1 is faithful."
        )
        if k is None:
            text = marked(
                "Trustworthiness says how far neighbours on the map are neighbours in latent space: 1 is faithful."
            )
        said.append(say(text, k=k))
    return say(" ").join(said)


def _context(view: PageView) -> Context:
    made = [run_maps(run, view.pictured_of(run), i) for i, run in enumerate(view.runs)]
    every = [v for one in made for v in one.maps]
    return {
        "maps": made,
        "umap": any(not v.itself for v in every) or not every,
        "itself": [v.column.label for v in every if v.itself],
        "unpictured": [c.label for c in view.unpictured],
        "several": view.several,
        "tools": [(key, say(text)) for key, text in TOOLS.items()],
    }


def _styles(context: Context) -> list[Markup]:
    """The pictures of the points, once for all maps of a run."""
    return [m.style for m in context["maps"] if m.maps]


def _scripts(context: Context) -> list[Markup]:
    """The library that brings the maps to life, where there is one to bring to life."""
    return [Markup(maps.library())] if any(m.maps for m in context["maps"]) else []


TEXTS = marked({
    "map_comma": ", ",
    "map_semicolon": "; ",
    "map_image": "test image {index}, class {name}",
    "map_unnamed": "test image {index}",
    "map_of_model": "{model}: {values}",
    "map_many": "The first 24 of {n} chosen images.",
    "map_no_image": "Image {index} is not on these maps.",
    "map_mean": "{model}: mean {value}",
    "map_counted": "{model}: {n} of {m}",
    "map_unknown": "{model}: not known",
    "map_at_most": "≥ {value}",
    "map_error": "error {value}",
    "map_valid": "valid",
    "map_refused": "refused",
    "map_confidence": "confidence {value}",
    "map_kl": "KL {value}",
    "map_copied": "copy of a seen image",
    "map_own": "no copy of one",
    "map_draws": "nearest of {n} draws",
})  # fmt: skip
CREDIT = marked(
    "Its maps are drawn by BokehJS, © Anaconda, Inc., and Bokeh Contributors, under the BSD 3-Clause licence."
)

SECTION = Section(
    "maps",
    marked("Maps"),
    "maps.html.jinja",
    _context,
    order=600,
    styles=_styles,
    scripts=_scripts,
    texts=TEXTS,
    credit=CREDIT,
)
