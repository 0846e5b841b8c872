"""Samples: what points drawn from the prior, a fitted Gaussian and a fitted mixture decode to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from latentbench.report.columns import Column
from latentbench.report.drawing import images
from latentbench.report.drawing.images import Picture
from latentbench.report.folder import Absent
from latentbench.report.sections.classes import class_name, names_of
from latentbench.report.sections.judged import Verdict
from latentbench.report.wording import words
from latentbench.report.wording.language import say
from latentbench.stats.cells import Cell, summarise

SAMPLES = 40


class Sample(NamedTuple):
    """One decoded draw."""

    picture: Picture
    verdict: Verdict | None
    alt: str


class Draws(NamedTuple):
    """Samples of one sampler; ``share`` is the model's score over all its draws and seeds where it was measured."""

    key: str
    title: str
    about: str
    samples: Sequence[Sample]
    counted: str
    share: str


def draws(column: Column) -> list[Draws]:
    """Samples of one model from each prior, with the judge's verdict on every one."""
    held, names = column.run.artifact("samples", column.model), names_of(column.run)
    shares = {
        c.metric: c
        for c in summarise(column.run.records)
        if c.model == column.model and c.metric.startswith("validity.")
    }
    out = []
    for key, told in words.SAMPLERS.items():
        if f"{key}_images" not in held:
            continue
        title, about = map(say, told)
        pictures = images.singles(held.need(f"{key}_images")[:SAMPLES])
        samples = []
        for k, picture in enumerate(pictures):
            said = None
            if f"{key}_valid" in held:
                sure = held.arrays.get(f"{key}_confidence")
                label = class_name(names, int(held.need(f"{key}_label")[k]))
                confidence = f"{float(sure[k]):.2f}" if sure is not None else ""
                said = Verdict(bool(held.arrays[f"{key}_valid"][k]), label, confidence)
            alt = say("{sampler}, draw {n}", sampler=title, n=k + 1)
            if said:
                alt = say("{what}: {verdict}", what=alt, verdict=said.words)
            samples.append(Sample(picture, said, alt))
        good = sum(s.verdict.valid for s in samples if s.verdict)
        judged = bool(samples and samples[0].verdict)
        counted = say("{some} of these {n} valid", some=good, n=len(samples)) if judged else say("not judged")
        out.append(Draws(key, title, about, samples, counted, _share(shares.get(f"validity.{key}"))))
    if not out:
        raise Absent(say("Not drawn: the samples of {model} hold no images.", model=column.model))
    return out


def _share(cell: Cell | None) -> str:
    if cell is None or cell.interval is None:
        return ""
    i = cell.interval
    share = f"{words.percent(i.mean)} ± {words.percent(i.half)}" if i.half else words.percent(i.mean)
    if i.n > 1:
        return say("{share} over all draws and {n} seeds", share=share, n=i.n)
    return say("{share} over all draws", share=share)
