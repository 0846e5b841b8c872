"""Holes on the page: how far draws of N(0, I) lie from the training codes, beside held-out codes, and what the decoder emits
at the farthest.

Of each model the picture is of one seed, and so is the number on it; the mean over seeds, which the scores show, stands
beside it. Models whose radii differ share one axis: distances over the radius, so that 1 is the edge of a hole for all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from markupsafe import Markup

from latentbench.records import OWN
from latentbench.report import classes
from latentbench.report.cards import cards
from latentbench.report.columns import Column
from latentbench.report.drawing import distances, images, sheets
from latentbench.report.folder import Absent, Artifact
from latentbench.report.page_view import SENTENCES, PageView
from latentbench.report.ruling import Ruling, rulings
from latentbench.report.section import Context, Section
from latentbench.report.wording import words
from latentbench.report.wording.language import marked, say
from latentbench.stats.cells import Cell, summarise

WORST = 6
"""Draws shown decoded."""

KINDS = marked({
    "outside": "farther from the training codes than 99 % of held-out codes are",
    "sparse": "with fewer training codes around than 99 % of the prior's own draws have",
    "dimension": "in a gap between the training codes along one direction",
})  # fmt: skip
"""What kind of hole is shown, by the part of the measure that is the worst."""


class Worst(NamedTuple):
    """One draw, decoded: how far it lies and what the judge says."""

    picture: images.Picture
    distance: str
    ruling: Ruling | None
    alt: str


class Atlas(NamedTuple):
    """One model's holes: ``about`` in sentences, the histogram, the worst draws with what there is to say of them; of an
    older run a ``sheet`` of regions instead."""

    about: Sequence[str]
    drawing: Markup | None = None
    worst: Sequence[Worst] = ()
    judged: str = ""
    sheet: Markup | None = None


def atlas(column: Column, over: distances.Span | None = None) -> Atlas:
    """One model's holes, on the axis ``over`` (None: its own). Raises Absent where the run holds nothing of them."""
    artifact = column.run.artifact("atlas", column.model)
    about = _about(column, artifact)
    if "draw_depth" not in artifact:
        return Atlas(about, sheet=_regions(column, artifact))
    draws, codes = artifact.need("draw_depth"), artifact.need("code_depth")
    if not len(draws) or not (np.isfinite(draws).all() and np.isfinite(codes).all()):
        raise Absent(say("Not drawn: the distances of {model} are not finite.", model=column.label))
    share = words.percent(share_of(column, artifact))
    text = marked(
        "Distances to the training codes of {model}, over the hole radius: {share} of the draws from its own prior lie beyond it"
        if artifact.detail.get("prior") == OWN
        else "Distances to the training codes of {model}, over the hole radius: {share} of the draws from N(0, I) lie beyond it"
    )
    picture = distances.histogram(
        draws, codes, over or distances.span([draws, codes]), column.m,
        say("{share} in holes", share=share), say(text, model=column.label, share=share),
    )  # fmt: skip
    if len(codes):
        about.append(
            say("Of held-out codes {share} lie beyond it too.", share=words.percent(float((codes > 1).mean())))
        )
    worst = _worst(column, artifact) if "worst" in artifact else []
    rulings = [w.ruling for w in worst if w.ruling]
    judged = say("not judged") if worst else ""
    if rulings:
        judged = say("{some} of these {n} valid", some=sum(r.valid for r in rulings), n=len(rulings))
    return Atlas(about, picture, worst, judged)


def share_of(column: Column, artifact: Artifact) -> float:
    """The share of N(0, I) in holes at the seed that is shown: the score itself, where the run holds it."""
    cell = _cell(column)
    scored = None if cell is None else cell.values.get(artifact.seed)
    return float(artifact.detail.get("share", 0.0)) if scored is None else scored


def _cell(column: Column) -> Cell | None:
    rows = [r for r in column.run.of_model.get(column.model, ()) if r.metric == "hole"]
    return next((c for c in summarise(rows) if c.interval is not None), None)


def _about(column: Column, artifact: Artifact) -> list[str]:
    """How much of the prior lies in holes, at which seed that was found and what all of them say, and what would be there by
    chance."""
    kind = artifact.detail.get("part", "outside")
    found = {"share": words.percent(share_of(column, artifact)), "kind": say(KINDS.get(kind, KINDS["outside"]))}
    cell = _cell(column)
    if cell is None or cell.interval is None or len(cell.values) < 2:
        about = [say("{share} of the prior lies in holes: {kind}.", **found)]
    else:
        about = [say("At seed {seed}, {share} of the prior lies in holes: {kind}.", seed=artifact.seed, **found)]
        mean = words.percent(cell.interval.mean)
        if cell.interval.half:
            mean = f"{mean} ± {words.percent(cell.interval.half)}"
        about.append(say("Mean over {n} seeds: {mean}.", n=len(cell.values), mean=mean))
    if "null" in artifact.detail:
        null = words.percent(float(artifact.detail["null"]))
        text = marked(
            "Codes drawn from a prior itself, N(0, I), would leave {null}."
            if artifact.detail.get("prior") == OWN
            else "Codes drawn from N(0, I) themselves would leave {null}."
        )
        about.append(say(text, null=null))
    return about


def _worst(column: Column, artifact: Artifact) -> list[Worst]:
    """The farthest draws, decoded, from the farthest on."""
    depth, shown = artifact.need("worst_depth"), artifact.need("worst")[:WORST]
    if len(depth) < len(shown):
        raise Absent(
            say(
                "Not drawn: the arrays of {model} do not fit together ({error}).",
                model=column.label,
                error="worst_depth",
            )
        )
    out, ruled = [], rulings(artifact, "worst", classes.names_of(column.run))
    for k, picture in enumerate(images.singles(shown)):
        distance, ruling = words.number(float(depth[k])), ruled[k] if ruled else None
        alt = say("draw {n}, {distance} hole radii from the codes", n=k + 1, distance=distance)
        if ruling:
            alt = say("{what}: {verdict}", what=alt, verdict=ruling.words)
        out.append(Worst(picture, distance, ruling, alt))
    return out


def _regions(column: Column, artifact: Artifact) -> Markup | None:
    """What an older run holds: the middles of its holes' regions, the heaviest first, decoded."""
    if "mass" not in artifact or "pictures" not in artifact:
        return None
    pictures = artifact.need("pictures")[:WORST, 0]
    valid = artifact.need("valid")[:WORST, 0] if "valid" in artifact else None
    title = say(
        "What the decoder of {model} emits in the middle of its {n} largest holes", model=column.label, n=len(pictures)
    )
    return sheets.sheet(pictures, valid, title, columns=WORST)


def common_axis(columns: Sequence[Column]) -> distances.Span | None:
    """One axis for all models whose distances are known; None where there are none."""
    depths = []
    for column in columns:
        try:
            artifact = column.run.artifact("atlas", column.model)
        except Absent:
            continue
        found = [artifact.arrays[name] for name in ("draw_depth", "code_depth") if name in artifact]
        depths += [
            np.asarray(d, float)
            for d in found
            if d.ndim == 1 and len(d) and d.dtype.kind == "f" and np.isfinite(d).all()
        ]
    return distances.span(depths) if depths else None


def _context(view: PageView) -> Context:
    over = common_axis(view.pictured)
    made = cards(view.pictured, lambda column: atlas(column, over))
    told = [card.content.about for card in made if not card.missing]
    shared = [s for s in told[0] if all(s in about for about in told)] if len(told) > SENTENCES else []
    return {
        "cards": made,
        "shared": shared,
        "drawn": any(card.content and card.content.drawing for card in made),
        "own": any(c.run.has_own_prior(c.model) for c in view.pictured),
        "judged": any(w.ruling for card in made if card.content for w in card.content.worst),
    }


SECTION = Section("holes", marked("Holes"), "holes.html.jinja", _context, order=900)
