"""Posteriors: how wide and how far apart, dimension by dimension, the models on the same axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from markupsafe import Markup

from latentbench.records import OWN
from latentbench.report.cards import Card, cards
from latentbench.report.columns import Column
from latentbench.report.drawing import posteriors
from latentbench.report.drawing.posteriors import Axes, Posterior
from latentbench.report.folder import Array
from latentbench.report.page_view import SENTENCES, PageView
from latentbench.report.section import Context, Section
from latentbench.report.wording import words
from latentbench.report.wording.language import marked, say
from latentbench.stats.findings.diagnosis import flaws
from latentbench.stats.linear_vae import WITHIN, hit_rate

REMEDIES = marked({
    "collapsed": "Collapsed: fewer dimensions would do, or a smaller beta.",
    "punctual": "Punctual: sigma is small beside sd(mu); a larger beta widens it.",
    "far apart": "Far apart: E mu² / 2 is large; the mean half of the KL holds the means.",
})  # fmt: skip


class Held(NamedTuple):
    """One model's posterior as its run holds it: what is drawn, and by dimension the mean of the means and the variance
    law, where they are there; the ``family`` of a posterior that is neither Gaussian nor a point, and whether the prior is the
    model's own (``own_prior``)."""

    drawn: Posterior
    centre: Array | None
    law: Array | None
    seed: int | None
    family: str = ""
    own_prior: bool = False


class PosteriorPicture(NamedTuple):
    """The four drawings of one model's posterior, what they say in words, the numbers behind them, and which flaws the
    dimensions have; ``forecast``: what was forecast of it before training, in words, empty where nothing was; ``wide``: it has a
    sigma in each dimension."""

    drawings: Sequence[Markup]
    caption: str
    rows: Sequence[Sequence[str]]
    flaws: frozenset[str]
    forecast: str = ""
    wide: bool = True


def held(column: Column) -> Held:
    """The arrays of one model. Raises Absent where the run has none."""
    artifact = column.run.artifact("posterior", column.model)
    mu, spread = np.nan_to_num(artifact.need("mu")), np.nan_to_num(artifact.need("mu_sd"))
    active = artifact.arrays.get("active", np.ones(len(spread), bool)).astype(bool)
    sigma, wide, kl = (
        np.nan_to_num(artifact.need(name)) if name in artifact else None for name in ("sigma", "sigma_mean", "kl")
    )
    by_dimension = [a for a in (spread, active, wide, kl) if a is not None]
    if {len(a) for a in by_dimension} != {mu.shape[1]} or (sigma is not None and sigma.shape != mu.shape):
        raise ValueError(say("mu has shape {shape}", shape=mu.shape))
    centre, law = (artifact.arrays.get(name) for name in ("mu_mean", "variance_law"))
    family, own = str(artifact.detail.get("family") or ""), artifact.detail.get("prior") == OWN
    return Held(Posterior(mu, sigma, spread, wide, kl, active), centre, law, artifact.seed, family, own)


def pictures(columns: Sequence[Column]) -> list[Card]:
    """The posteriors of these models, on shared axes."""
    loaded = cards(columns, held)
    there = [c for c in loaded if not c.missing]
    laid = dict(zip((c.column.m for c in there), posteriors.axes([c.content.drawn for c in there]), strict=True))
    usual = min((a.clouds for a in laid.values()), default=0.0)
    return [
        c if c.missing else c._replace(content=posterior(c.column, c.content, laid[c.column.m], usual)) for c in loaded
    ]


def posterior(column: Column, found: Held, axes: Axes, usual: float) -> PosteriorPicture:
    """One model's posterior on these axes; ``usual``: how far the narrowest clouds of the page reach."""
    p, m, name = found.drawn, column.m, column.label
    a, b = p.widest
    label = marked(
        "Posteriors of {model} in dimensions {a} and {b}: points mu, without width; dashed: the prior at one and two "
        "standard deviations."
        if p.sigma is None
        else "Posteriors of {model} in dimensions {a} and {b}: ellipses of radius sigma around mu; dashed: the prior at "
        "one and two standard deviations."
    )
    spread = say("Spread of the means and mean sigma of {model} in each of {n} dimensions; the table below holds the numbers.",
                 model=name, n=len(p.spread))  # fmt: skip
    bars = say("KL of {model} in each dimension, nats; the table below holds the numbers.", model=name)
    dots = say("Sigma against mu of {model} for {n} images in every dimension.", model=name, n=len(p.mu))
    drawings = [
        posteriors.clouds(p, m, axes.clouds, say(label, model=name, a=a + 1, b=b + 1)),
        posteriors.widths(p, m, axes, spread),
        posteriors.sigma_against_mu(p, m, axes.mu, axes.sigma, dots),
        posteriors.kl_bars(p, m, axes.kl, bars),
    ]
    rows, every = _rows(found)
    return PosteriorPicture(
        drawings, _caption(found, axes.clouds > usual), rows, every, _forecast(column), p.wide is not None
    )


def _forecast(column: Column) -> str:
    """How many dimensions were to stay in use; the closed form's own answer for a linear model."""
    row = (column.run.detail.get("forecasts") or {}).get(column.model) or {}
    if not {"active", "latent_dim"} <= row.keys():
        return ""
    text = marked(
        "Forecast before training (closed form): {some} of {n}."
        if row.get("linear")
        else "Forecast before training, as if it were linear: {some} of {n}."
    )
    return say(text, some=int(row["active"]), n=int(row["latent_dim"]))


def _worth(columns: Sequence[Column]) -> str:
    """What forecasts for networks with hidden layers have come to; empty where the page shows none, or none were measured."""
    rows = [(c.run.detail.get("forecasts") or {}).get(c.model) for c in columns]
    rate = hit_rate()
    if rate is None or not any(row and not row.get("linear") for row in rows):
        return ""
    text = marked(
        "The forecast counts what a linear VAE of the same likelihood, beta and data would use. Of networks with hidden layers it "
        "came within {within} dimension in {rate} [{low}, {high}] of {n} settings tried (d = {d}), in {fewer} of the {some} that were to lose dimensions, and was {error} too high on "
        "average."
        if rate.error >= 0
        else "The forecast counts what a linear VAE of the same likelihood, beta and data would use. Of networks with hidden layers "
        "it came within {within} dimension in {rate} [{low}, {high}] of {n} settings tried (d = {d}), in {fewer} of the {some} that were to lose dimensions, and was {error} too low on "
        "average."
    )
    shares = {name: words.percent(getattr(rate, name)) for name in ("rate", "low", "high")}
    shares["fewer"] = words.percent(rate.fewer_rate)
    error = words.number(abs(rate.error), 1)
    return say(text, within=WITHIN, n=rate.cells, d=rate.latent_dim, some=rate.fewer_cells, error=error, **shares)


def _caption(found: Held, own: bool) -> str:
    """What the drawings show, in numbers that the table holds."""
    p = found.drawn
    spread = _span(p.spread)
    if found.family:
        text = marked(
            "Every image is encoded to a distribution ({family}) without a sigma in single dimensions; sd(mu) {spread}."
        )
        told = say(text, family=found.family, spread=spread)
    elif p.wide is None:
        told = say("Every image is encoded to a point: sigma is 0; sd(mu) {spread}.", spread=spread)
    else:
        text = marked("{some} of {n} dimensions in use; sd(mu) {spread}, mean sigma {wide}.")
        told = say(text, some=int(p.active.sum()), n=len(p.spread), spread=spread, wide=_span(p.wide))
    if found.own_prior:
        told += say(" ") + say("Its prior is its own: what is dashed is N(0, I).")
    return say("{caption} Axes of its own: its means lie too far out for the others'.", caption=told) if own else told


def _span(values: Array) -> str:
    low, high = (words.tidy(float(f"{v:.2g}")) for v in (values.min(), values.max()))
    return words.span(low, high)


def _rows(found: Held) -> tuple[list[list[str]], frozenset[str]]:
    p, rows, every = found.drawn, [], set()
    centre, law = (a if a is not None and a.shape == p.spread.shape else None for a in (found.centre, found.law))
    for d, sd in enumerate(p.spread.tolist()):
        mean = float(centre[d]) if centre is not None else math.nan
        s = 0.0 if p.wide is None else float(p.wide[d])
        # How far its means may lie a prior of its own says, and not N(0, I).
        apart = None if found.own_prior else mean
        kinds, told = _diagnosis(bool(p.active[d]), apart, sd, s, p.wide is not None)
        if found.family:
            kinds, told = set(), "—"
        every |= kinds
        rows.append([
            str(d + 1), words.number(mean, 2), words.number(sd, 3), words.number(s, 3) if p.wide is not None else "—" if found.family else "0",
            "—" if p.kl is None else words.number(float(p.kl[d]), 2),
            "—" if law is None else words.number(float(law[d]), 2),
            told,
        ])  # fmt: skip
    return rows, frozenset(every)


def _diagnosis(active: bool, mean: float | None, sd: float, sigma: float, has_sigma: bool) -> tuple[set[str], str]:
    """One dimension's flaws and what they are in words, after the rule of the findings; without a ``mean`` it is not asked
    whether the means are far apart."""
    if not active:
        return {"collapsed"}, say("collapsed (unused)")
    nats = None if mean is None else (sd**2 + (mean if math.isfinite(mean) else 0.0) ** 2) / 2
    kinds, reasons = set(), []
    punctual, far = flaws(sigma, sd, nats)
    if not has_sigma:
        reasons.append(say("a point"))
    elif punctual:
        kinds.add("punctual")
        reasons.append(say("punctual ({ratio})", ratio=words.number(sigma / sd)))
    if far:
        kinds.add("far apart")
        reasons.append(say("far apart ({nats})", nats=words.number(nats, 1)))
    return kinds, words.clauses(reasons) or say("regular")


def _context(view: PageView) -> Context:
    made = pictures(view.pictured)
    # Of many models the table holds the posteriors with a sigma alone.
    told = [c for c in made if not c.missing and (len(made) <= SENTENCES or c.content.wide)]
    seen = [k for k in REMEDIES if any(k in c.content.flaws for c in told)]
    shared = sum(not c.missing for c in made) > 1
    return {
        "cards": made,
        "told": told,
        "remedies": [say(REMEDIES[k]) for k in seen],
        "shared": shared,
        "worth": _worth(view.pictured),
    }


SECTION = Section("posterior", marked("Posterior"), "posterior.html.jinja", _context, order=1000)
