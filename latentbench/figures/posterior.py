"""The posterior ladder: how wide the posteriors are and how far apart, dimension by dimension."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import seaborn as sns
from matplotlib.lines import Line2D

from latentbench.figures import look as looks
from latentbench.figures.drawn import Drawn, PaperFigure, Subject, caveats, sentences
from latentbench.figures.look import Look
from latentbench.report.folder import Absent, Artifact
from latentbench.report.wording.words import listed

FIELDS = ("model", "seed", "dimension", "active", "sd of mu", "mean sigma", "kl (nats)")
LOWEST = 1e-4
"""The shortest spread that is drawn; what is below stands there."""


def draw(subject: Subject, look: Look) -> Drawn:
    """A panel a model: the spread of the means over the mean sigma, dimensions by their spread."""
    found: list[tuple[str, Artifact]] = []
    reasons: list[str] = []
    for model in subject.run.models:
        try:
            artifact = subject.run.artifact("posterior", model)
            artifact.need("mu_sd")
            found.append((model, artifact))
        except Absent as reason:
            reasons.append(str(reason))
    if not found:
        raise Absent(reasons[0] if reasons else "Not drawn: this run has no model.")
    columns = min(look.columns(subject.panel(13), 4, 3), len(found))
    lines = -(-len(found) // columns)
    handles = [
        looks.dot(looks.INK, "o", "spread of the means, sd(μ)"),
        looks.dot(looks.INK, "o", "mean width, σ", filled=False),
        Line2D([], [], color=looks.MUTED, linestyle="--", label="standard deviation of the prior"),
    ]
    figure = looks.new(look, lines * 13.5 * look.em + 1.8 * look.em + looks.legend_height(look, handles))
    grid = figure.subplots(lines, columns, squeeze=False, sharey=True)
    table: list[list[Any]] = []
    for k, (axes, (model, artifact)) in enumerate(looks.panels(grid, found)):
        number = subject.number(model)
        table += _ladder(axes, model, artifact, number, look)
        axes.set_title(subject.names[model], color=looks.model_colour(number))
        axes.axhline(1, color=looks.MUTED, linestyle="--", linewidth=look.points * 0.1, zorder=0)
        axes.set_yscale("log")
        sns.despine(ax=axes)
        axes.grid(axis="y")
        if k // columns == lines - 1 or k + columns >= len(found):
            axes.set_xlabel("dimension, by spread")
    for axes in grid[:, 0]:
        axes.set_ylabel("standard deviation")
        looks.decades(axes.yaxis)
    looks.legend(figure, look, handles)
    return Drawn(figure, _caption(subject, found), FIELDS, table)


def _ladder(axes: Any, model: str, artifact: Artifact, number: int, look: Look) -> list[list[Any]]:
    spread = np.nan_to_num(artifact.need("mu_sd"))
    sigma = np.nan_to_num(artifact.need("sigma_mean")) if "sigma_mean" in artifact else None
    kl = artifact.need("kl") if "kl" in artifact else None
    active = artifact.need("active").astype(bool) if "active" in artifact else np.ones(len(spread), bool)
    colour, order = looks.model_colour(number), np.argsort(-spread, kind="stable")
    x = np.arange(1, len(order) + 1)
    size = look.points * min(0.55, 11 / max(len(order), 1))
    if sigma is not None:
        ends = np.maximum(np.stack([spread[order], sigma[order]]), LOWEST)
        axes.vlines(x, ends.min(0), ends.max(0), color=colour, linewidth=look.points * 0.1, alpha=0.5)
        axes.plot(
            x, ends[1], linestyle="none", marker="o", color=colour, markerfacecolor="white", markersize=size, zorder=3
        )
    for keep, shade in ((active[order], 1.0), (~active[order], 0.35)):
        at = np.maximum(spread[order], LOWEST)
        axes.plot(
            x[keep], at[keep], linestyle="none", marker="o", color=colour, markersize=size, alpha=shade, zorder=4,
            markeredgewidth=0,
        )  # fmt: skip
    axes.set_xlim(0.3, len(order) + 0.7)
    axes.xaxis.set_major_locator(looks.few(5, whole=True))
    return [
        [model, artifact.seed, int(d) + 1, "yes" if bool(active[d]) else "no", float(spread[d]),
         0.0 if sigma is None else float(sigma[d]), None if kl is None else _finite(float(kl[d]))]
        for d in order
    ]  # fmt: skip


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _caption(subject: Subject, found: list[tuple[str, Artifact]]) -> str:
    points = [m for m, a in found if "sigma_mean" not in a]
    idle = {m: int((~a.need("active").astype(bool)).sum()) for m, a in found if "active" in a}
    faint = ", ".join(f"{n} of {m}" for m, n in idle.items() if n)
    low = any(float(np.nan_to_num(a.need("mu_sd")).min(initial=1.0)) < LOWEST for _, a in found)
    seeds = ", ".join(sorted({str(a.seed) for _, a in found}))
    return sentences(
        f"Spread of the posterior means and mean width of the posteriors in each latent dimension, seed {seeds}.",
        subject.protocol,
        f"{listed(points)} encode{'s' if len(points) == 1 else ''} to points: σ = 0, not drawn." if points else "",
        f"Faint: dimensions that are not active ({faint})." if faint else "",
        f"What is below {LOWEST:g} stands there." if low else "",
        caveats(subject, [m for m, _ in found]),
    )


FIGURE = PaperFigure("posterior", draw)
