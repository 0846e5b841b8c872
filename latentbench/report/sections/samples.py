"""Samples: what points drawn from the prior, a fitted Gaussian and a fitted mixture decode to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from latentbench.artifact_schema import OWN_SAMPLER, SAMPLES
from latentbench.report.cards import cards
from latentbench.report.classes import names_of
from latentbench.report.columns import Column
from latentbench.report.drawing import images
from latentbench.report.drawing.images import Picture
from latentbench.report.folder import Absent
from latentbench.report.page_view import PageView
from latentbench.report.ruling import Ruling, rulings
from latentbench.report.section import Context, Section
from latentbench.report.wording import words
from latentbench.report.wording.language import marked, say
from latentbench.stats.cells import Cell
from latentbench.stats.findings import tables

AUTOREGRESSIVE = marked(
    ("Autoregressive prior", "a small network fitted after training to which codes of the training images go together")
)
"""What draws of discrete codes are by, in the place of a prior that the model was trained with."""
OPEN = 8
"""Draws of each sampler that the page shows as it opens; the others are folded."""


class Sample(NamedTuple):
    """One decoded draw."""

    picture: Picture
    ruling: Ruling | None
    alt: str


class Draws(NamedTuple):
    """Samples of one sampler, made at ``seed``; ``share`` is the model's score over all its draws and seeds where it was
    measured, ``counted`` what the judge said of the shown ones and ``every`` of all."""

    key: str
    title: str
    about: str
    shown: Sequence[Sample]
    rest: Sequence[Sample]
    counted: str
    every: str
    share: str
    seed: int | None


def draws(column: Column) -> list[Draws]:
    """Samples of one model from each prior, with the judge's ruling on every one."""
    artifact, names = column.run.artifact("samples", column.model), names_of(column.run)
    shares = {c.metric: c for c in column.run.cells_of.get(column.model, ()) if c.metric.startswith("validity.")}
    out = []
    for key, texts in words.SAMPLER_NAMES.items():
        if f"{key}_images" not in artifact:
            continue
        title, about = map(say, AUTOREGRESSIVE if key == OWN_SAMPLER and artifact.detail.get("discrete") else texts)
        pictures = images.singles(artifact.need(f"{key}_images")[:SAMPLES])
        samples = []
        ruled = rulings(artifact, key, names)
        for k, picture in enumerate(pictures):
            ruling = ruled[k] if ruled else None
            alt = say("{sampler}, draw {n}", sampler=title, n=k + 1)
            if ruling:
                alt = say("{what}: {verdict}", what=alt, verdict=ruling.words)
            samples.append(Sample(picture, ruling, alt))
        shown, rest = samples[:OPEN], samples[OPEN:]
        cell = shares.get(f"validity.{key}")
        out.append(
            Draws(key, title, about, shown, rest, _counted(shown), _counted(samples), _share(cell), artifact.seed)
        )
    if not out:
        raise Absent(say("Not drawn: the samples of {model} hold no images.", model=column.model))
    return out


def _counted(samples: Sequence[Sample]) -> str:
    """How many of these the judge accepts; empty where it saw none."""
    ruled = [s.ruling.valid for s in samples if s.ruling]
    return say("{some} of these {n} valid", some=sum(ruled), n=len(ruled)) if ruled else ""


def _share(cell: Cell | None) -> str:
    if cell is None or cell.interval is None:
        return ""
    i = cell.interval
    share = f"{words.percent(i.mean)} ± {words.percent(i.half)}" if i.half else words.percent(i.mean)
    if i.n > 1:
        return say("{share} valid over {n} seeds", share=share, n=i.n)
    return say("{share} valid", share=share)


def _real(view: PageView) -> str:
    """The share of real images that the judges of these runs accept; empty where they were asked of none."""
    found = [t.reference(t.validity, "ceiling:real") for run in view.runs for t in tables(run.records)]
    shares = dict.fromkeys(words.percent(v) for v in found if v is not None)
    return words.listed(list(shares))


def _context(view: PageView) -> Context:
    made = cards(view.pictured, draws)
    every = [d for card in made for d in card.content or ()]
    seeds = {d.seed for d in every if d.seed is not None}
    return {
        "cards": made,
        "coded": any(d.about == say(AUTOREGRESSIVE[1]) for d in every),
        "own": any(d.key == OWN_SAMPLER and d.about != say(AUTOREGRESSIVE[1]) for d in every),
        "real": _real(view) if any(d.counted for d in every) else "",
        "seeds": words.commas(map(str, sorted(seeds))),
        "shares": any("±" in d.share for d in every),
        "folded": sum(len(d.rest) for d in every),
    }


SECTION = Section("samples", marked("Samples"), "samples.html.jinja", _context, order=250)
