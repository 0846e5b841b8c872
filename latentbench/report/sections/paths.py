"""Interpolations: films of decoded straight lines between two images, with the judge's ruling on each frame."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from markupsafe import Markup

from latentbench.artifact_schema import STRIPS
from latentbench.report.cards import cards
from latentbench.report.classes import class_name, names_of
from latentbench.report.columns import Column
from latentbench.report.drawing import figures, images
from latentbench.report.drawing.images import Picture
from latentbench.report.folder import Absent, Array, Artifact
from latentbench.report.page_view import SENTENCES, PageView
from latentbench.report.ruling import Ruling, rulings
from latentbench.report.section import Context, Section
from latentbench.report.wording import words
from latentbench.report.wording.language import marked, say

OPEN, SIDE_BY_SIDE = 2, 3
"""Pairs that the page shows as it opens, up to so many models; of more models one pair."""


class Film(NamedTuple):
    """One strip of frames with the judge's rulings (none where there was no judge), its name for assistive technology,
    the ``runs`` of neighbouring frames that read alike: (class, the same in few letters, frames), the rulings ``told`` run
    by run, and the ``size`` (height, width) of a frame as it is stored."""

    picture: Picture
    rulings: Sequence[Ruling]
    alt: str
    valid: str
    runs: Sequence[tuple[str, str, int]]
    told: str
    size: tuple[int, int]


class Path(NamedTuple):
    """One interpolation: the decoded path, the cross-fade of its decoded ends, how long each step is, and how many
    ``frames`` there are."""

    title: str
    film: Film
    fade: Film | None
    curve: Markup
    frames: int


def paths(column: Column) -> list[Path]:
    """The interpolation strips of one model."""
    strips, names = column.run.artifact("strips", column.model), names_of(column.run)
    frames, steps = strips.need("frames"), np.nan_to_num(strips.need("steps"))
    fade = strips.arrays.get("fade")
    out = []
    for p in range(min(len(frames), STRIPS)):
        ends = [class_name(names, int(k)) for k in strips.arrays["label"][p]] if "label" in strips else []
        title = f"{ends[0]} → {ends[1]}" if len(ends) == 2 else say("pair {n}", n=p + 1)
        walk = say("{model}, decoded straight line {title}", model=column.label, title=title)
        film = _film(strips, names, frames[p], "frame", p, walk)
        mix = say("{model}, cross-fade of the decoded ends {title}", model=column.label, title=title)
        blend = None if fade is None else _film(strips, names, fade[p], "fade", p, mix)
        fade_steps = np.nan_to_num(strips.arrays["fade_steps"][p]) if "fade_steps" in strips else None
        top = int(np.argmax(steps[p]))
        label = say(
            "Step curve of {model}, {title}: the longest of {n} steps is number {top} with {share} of the path; an even "
            "pace would be {even}.",
            model=column.label,
            title=title,
            n=len(steps[p]),
            top=top + 1,
            share=words.percent(float(steps[p][top])),
            even=words.percent(1 / len(steps[p])),
        )
        out.append(Path(title, film, blend, figures.step_curve(steps[p], fade_steps, column.m, label), len(frames[p])))
    return out


def _film(strips: Artifact, names: Sequence[str], frames: Array, prefix: str, p: int, what: str) -> Film:
    ruled = rulings(strips, prefix, names, p)
    good = sum(v.valid for v in ruled)
    counted = say("{some} of {n} valid", some=good, n=len(ruled)) if ruled else ""
    runs = [(*read, len(list(group))) for read, group in itertools.groupby((v.label, v.short) for v in ruled)]
    alt = words.commas([say("{what}: {n} frames", what=what, n=len(frames)), *([counted] if counted else [])])
    picture = images.strip(frames)
    return Film(picture, ruled, alt, counted, runs, _told(ruled), (picture.height, picture.width // len(frames)))


def _told(rulings: Sequence[Ruling]) -> str:
    """The rulings in words, a clause for each run of frames that are ruled alike."""
    clauses, first = [], 1
    for (valid, label), group in itertools.groupby(rulings, lambda v: (v.valid, v.label)):
        last = first + len(list(group)) - 1
        text = marked("{frames} valid, reads {label}" if valid else "{frames} refused, reads {label}")
        clauses.append(say(text, frames=words.span(str(first), str(last)), label=label))
        first = last + 1
    return say("The judge on each frame: {rulings}", rulings=words.clauses(clauses))


def paired_by_interpolation(columns: Sequence[Column]) -> tuple[list[tuple[str, list[tuple[Column, Path]]]], list[str]]:
    """Interpolations grouped by pair, so that the models' paths between the same two images stand side by side."""
    made = cards(columns, paths)
    pairs: dict[tuple[int, str], list[tuple[Column, Path]]] = {}
    for card in made:
        for i, path in enumerate(card.content or ()):
            pairs.setdefault((i, path.title), []).append((card.column, path))
    ordered = sorted(pairs.items(), key=lambda item: item[0][0])
    return [(title, members) for (_, title), members in ordered], [c.missing for c in made if c.missing]


def _context(view: PageView) -> Context:
    pairs, missing = paired_by_interpolation(view.pictured)
    shown = OPEN if len(view.pictured) <= SIDE_BY_SIDE else 1
    seeds = {a.seed for c in view.pictured if (a := _strips(c)) is not None and a.seed is not None}
    return {
        "pairs": pairs, "missing": missing, "shown": shown, "seeds": words.commas(map(str, sorted(seeds))),
        "judged": any(path.film.rulings for _, members in pairs for _, path in members),
        "sentences": SENTENCES, "rest": words.commas(title for title, _ in pairs[shown:]),
    }  # fmt: skip


def _strips(column: Column) -> Artifact | None:
    try:
        return column.run.artifact("strips", column.model)
    except Absent:
        return None


SECTION = Section(
    "paths",
    marked("Paths"),
    "paths.html.jinja",
    _context,
    order=700,
    texts=marked({"path_frame": "frame {n} of {of}"}),
)
