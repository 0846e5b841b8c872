"""Interpolations: films of decoded straight lines between two images, with the judge's word on each frame."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from markupsafe import Markup

from latentbench.report.columns import Column
from latentbench.report.drawing import figures, images
from latentbench.report.drawing.images import Picture
from latentbench.report.folder import Array, Arrays
from latentbench.report.sections.cards import cards
from latentbench.report.sections.classes import class_name, names_of
from latentbench.report.sections.judged import Verdict
from latentbench.report.wording import words
from latentbench.report.wording.language import say

STRIPS = 6


class Film(NamedTuple):
    """One strip of frames with its verdicts (none where there was no judge), its name for assistive technology, and the
    ``runs`` of neighbouring frames that read alike: (class, frames)."""

    picture: Picture
    verdicts: Sequence[Verdict]
    alt: str
    valid: str
    runs: Sequence[tuple[str, int]]


class Path(NamedTuple):
    """One interpolation: the decoded path, its cross-fade, and how long each step is."""

    title: str
    film: Film
    fade: Film | None
    curve: Markup


def paths(column: Column) -> list[Path]:
    """The interpolation strips of one model."""
    held, names = column.run.artifact("strips", column.model), names_of(column.run)
    frames, steps = held.need("frames"), np.nan_to_num(held.need("steps"))
    fade = held.arrays.get("fade")
    out = []
    for p in range(min(len(frames), STRIPS)):
        ends = [class_name(names, int(k)) for k in held.arrays["label"][p]] if "label" in held else []
        title = f"{ends[0]} → {ends[1]}" if len(ends) == 2 else say("pair {n}", n=p + 1)
        walk = say("{model}, decoded straight line {title}", model=column.label, title=title)
        film = _film(held, names, frames[p], "frame", p, walk)
        mix = say("{model}, cross-fade {title}", model=column.label, title=title)
        blend = None if fade is None else _film(held, names, fade[p], "fade", p, mix)
        fade_steps = np.nan_to_num(held.arrays["fade_steps"][p]) if "fade_steps" in held else None
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
        out.append(Path(title, film, blend, figures.step_curve(steps[p], fade_steps, column.m, label)))
    return out


def _film(held: Arrays, names: Sequence[str], frames: Array, prefix: str, p: int, what: str) -> Film:
    said = []
    if f"{prefix}_valid" in held:
        valid, label = held.arrays[f"{prefix}_valid"][p], held.need(f"{prefix}_label")[p]
        sure = held.arrays[f"{prefix}_confidence"][p] if f"{prefix}_confidence" in held else None
        said = [
            Verdict(bool(v), class_name(names, int(k)), f"{float(sure[t]):.2f}" if sure is not None else "")
            for t, (v, k) in enumerate(zip(valid, label, strict=True))
        ]
    good = sum(v.valid for v in said)
    counted = say("{some} of {n} valid", some=good, n=len(said)) if said else ""
    runs = [(label, len(list(group))) for label, group in itertools.groupby(v.label for v in said)]
    alt = words.commas([say("{what}: {n} frames", what=what, n=len(frames)), *([counted] if counted else [])])
    return Film(images.strip(frames), said, alt, counted, runs)


def paired_by_interpolation(columns: Sequence[Column]) -> tuple[list[tuple[str, list[tuple[Column, Path]]]], list[str]]:
    """Interpolations grouped by pair, so that the models' paths between the same two images stand side by side."""
    made = cards(columns, paths)
    pairs: dict[tuple[int, str], list[tuple[Column, Path]]] = {}
    for card in made:
        for i, path in enumerate(card.content or ()):
            pairs.setdefault((i, path.title), []).append((card.column, path))
    ordered = sorted(pairs.items(), key=lambda item: item[0][0])
    return [(title, members) for (_, title), members in ordered], [c.missing for c in made if c.missing]
