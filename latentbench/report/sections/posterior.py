"""Posteriors: how wide and how far apart, dimension by dimension."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from markupsafe import Markup

from latentbench.report.cards import cards
from latentbench.report.columns import Column
from latentbench.report.drawing import figures
from latentbench.report.folder import Array, Artifact
from latentbench.report.page_view import PageView
from latentbench.report.section import Context, Section
from latentbench.report.wording import words
from latentbench.report.wording.language import marked, say
from latentbench.stats.findings.diagnosis import flaws


class PosteriorPicture(NamedTuple):
    """The four drawings of one model's posterior, what they say in words, and the numbers behind them."""

    clouds: Markup
    widths: Markup
    scatter: Markup
    kl: Markup | None
    caption: str
    rows: Sequence[Sequence[str]]


def posterior(column: Column) -> PosteriorPicture:
    """Where one model's posteriors lie and how wide they are."""
    artifact, m, name = column.run.artifact("posterior", column.model), column.m, column.label
    mu, mu_sd = np.nan_to_num(artifact.need("mu")), np.nan_to_num(artifact.need("mu_sd"))
    active = artifact.arrays.get("active", np.ones(len(mu_sd), bool)).astype(bool)
    sigma = np.nan_to_num(artifact.need("sigma")) if "sigma" in artifact else None
    wide = np.nan_to_num(artifact.need("sigma_mean")) if "sigma_mean" in artifact else None
    kl = np.nan_to_num(artifact.need("kl")) if "kl" in artifact else None
    first = np.argsort(-mu_sd, kind="stable")[:2]
    dims = (int(first[0]), int(first[-1]))
    used = int(active.sum())
    if sigma is None:
        caption = say(
            "Every image is encoded to a point: sigma is 0 in every dimension, nothing says how far apart points may "
            "lie, and the space between them was never decoded in training."
        )
    else:
        caption = say(
            "{some} of {n} dimensions are in use. In training every image is decoded from anywhere in its cloud, so the "
            "decoder has been taught what lies around each mean.",
            some=used,
            n=len(mu_sd),
        )
    label = marked(
        "Posteriors of {model} in dimensions {a} and {b}: points mu, without width; dashed: the prior at one and two "
        "standard deviations."
        if sigma is None
        else "Posteriors of {model} in dimensions {a} and {b}: ellipses of radius sigma around mu; dashed: the prior at "
        "one and two standard deviations."
    )
    spread = say("Spread of the means and mean sigma of {model} in each of {n} dimensions; the table below holds the numbers.",
                 model=name, n=len(mu_sd))  # fmt: skip
    bars = say("KL of {model} in each dimension, nats; the table below holds the numbers.", model=name)
    dots = say("Sigma against mu of {model} for {n} images in every dimension.", model=name, n=len(mu))
    return PosteriorPicture(
        figures.clouds(mu, sigma, dims, m, say(label, model=name, a=dims[0] + 1, b=dims[1] + 1)),
        figures.widths(mu_sd, wide, active, m, spread),
        figures.sigma_against_mu(mu, sigma, m, dots),
        None if kl is None else figures.kl_bars(kl, active, m, bars),
        caption,
        _posterior_rows(artifact, mu_sd, wide, kl, active),
    )


def _posterior_rows(
    artifact: Artifact, mu_sd: Array, wide: Array | None, kl: Array | None, active: Array
) -> list[list[str]]:
    centre = artifact.arrays.get("mu_mean")
    law = artifact.arrays.get("variance_law")
    rows = []
    for d, sd in enumerate(mu_sd.tolist()):
        mean = float(centre[d]) if centre is not None and centre.ndim == 1 else math.nan
        s = 0.0 if wide is None else float(wide[d])
        rows.append([
            str(d + 1), words.number(mean, 2), words.number(sd, 3), words.number(s, 3) if wide is not None else say("0 (a point)"),
            "—" if kl is None else words.number(float(kl[d]), 2),
            "—" if law is None or law.ndim != 1 else words.number(float(law[d]), 2),
            _diagnosis(bool(active[d]), mean, sd, s, wide is not None),
        ])  # fmt: skip
    return rows


def _diagnosis(active: bool, mean: float, sd: float, sigma: float, has_sigma: bool) -> str:
    """One dimension in words, after the rule of the findings."""
    if not active:
        return say("collapsed (unused): fewer dimensions would do, or a smaller beta brings it to life")
    nats, reasons = (sd**2 + (mean if math.isfinite(mean) else 0.0) ** 2) / 2, []
    punctual, far = flaws(sigma, sd, nats)
    if not has_sigma:
        reasons.append(say("a point"))
    elif punctual:
        reasons.append(
            say("punctual, sigma / sd(mu) = {ratio}: a larger beta widens it", ratio=words.number(sigma / sd))
        )
    if far:
        reasons.append(
            say("far apart, E mu² / 2 = {nats}: the mean half of the KL would hold it", nats=words.number(nats))
        )
    return words.clauses(reasons) or say("regular")


def _context(view: PageView) -> Context:
    return {"cards": cards(view.pictured, posterior)}


SECTION = Section("posterior", marked("Posterior"), "posterior.html.jinja", _context, order=1000)
