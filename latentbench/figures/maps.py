"""Maps: UMAP of each latent space, a point a held-out sample, by class."""

from __future__ import annotations

import numpy as np
import seaborn as sns

from latentbench.figures import look as looks
from latentbench.figures.drawn import Drawn, PaperFigure, Subject, caveats, sentences
from latentbench.figures.look import Look
from latentbench.report.classes import classes_of, short_names
from latentbench.report.folder import Absent, Array, Artifact
from latentbench.report.wording.words import number

FIELDS = ("model", "seed", "sample", "class", "x", "y")
LEGEND = 20
"""Classes that a legend names; of more the colours repeat, and the caption says so."""


def draw(subject: Subject, look: Look) -> Drawn:
    """A panel for each model that has a map."""
    found, missing = _found(subject)
    count = len(found[0][2])
    label, names = classes_of(subject.run, count)
    columns = min(look.columns(subject.panel(15), 4), len(found))
    if len(found) == 5 and columns == 4:
        columns = 3
    lines = -(-len(found) // columns)
    short = short_names(names, 18) if names else []
    shown = [k for k in range(len(names)) if bool((label == k).any())]
    handles = [looks.dot(_colour(k), looks.mark(k), short[k]) for k in shown] if len(shown) <= LEGEND else []
    side = look.width / columns
    figure = looks.new(look, lines * (side + 1.6 * look.em) + looks.legend_height(look, handles))
    grid = figure.subplots(lines, columns, squeeze=False)
    size = (look.points * 0.34) ** 2 * min(1.0, (side / 2.2) ** 2) * min(1.0, 400 / max(count, 1)) ** 0.5
    for axes, (model, _, xy) in looks.panels(grid, found):
        for k in shown or [0]:
            at = xy[label == k] if shown else xy
            sns.scatterplot(
                x=at[:, 0], y=at[:, 1], ax=axes, color=_colour(k), marker=looks.mark(k), s=max(size, 1.2) * looks.area(k), linewidth=0.12,
                edgecolor="white", legend=False,
            )  # fmt: skip
        axes.set_title(subject.names[model], color=looks.model_colour(subject.number(model)))
        axes.set(xticks=[], yticks=[], xlabel="", ylabel="", box_aspect=1)
        axes.set_aspect("equal", adjustable="datalim")
        for spine in axes.spines.values():
            spine.set_edgecolor(looks.RULE)
    looks.legend(figure, look, handles)
    index = subject.run.artifact("data").arrays.get("index", np.arange(count))
    table = [
        [model, a.seed, int(index[i]), names[int(label[i])] if names else "", float(x), float(y)]
        for model, a, xy in found
        for i, (x, y) in enumerate(xy.tolist())
    ]
    return Drawn(figure, _caption(subject, found, missing, len(shown)), FIELDS, table)


def _found(subject: Subject) -> tuple[list[tuple[str, Artifact, Array]], list[str]]:
    found, reasons, missing = [], [], []
    for model in subject.run.models:
        try:
            artifact = subject.run.artifact("map", model)
            xy = np.asarray(artifact.need("xy"), float)
            if xy.ndim != 2 or xy.shape[1] != 2 or not len(xy) or not np.isfinite(xy).all():
                raise Absent(f"Not drawn: the map of {model} does not hold finite points.")
            found.append((model, artifact, xy))
        except Absent as reason:
            reasons.append(str(reason))
            missing.append(model)
    if not found:
        raise Absent(reasons[0] if reasons else "Not drawn: this run has no model.")
    alike = [f for f in found if len(f[2]) == len(found[0][2])]
    return alike, [*missing, *(m for m, _, xy in found if len(xy) != len(found[0][2]))]


def _colour(k: int) -> str:
    return looks.CLASSES[k % len(looks.CLASSES)]


def _caption(subject: Subject, found: list[tuple[str, Artifact, Array]], missing: list[str], classes: int) -> str:
    trust = [
        f"{number(float(a.detail['trustworthiness']), 3)} for {m}"
        for m, a, _ in found
        if isinstance(a.detail.get("trustworthiness"), int | float)
    ]
    seeds = ", ".join(sorted({str(a.seed) for _, a, _ in found}))
    coloured = "" if classes <= LEGEND else f" Of {classes} classes, colours and marks repeat."
    return sentences(
        f"UMAP of the codes of {len(found[0][2])} held-out samples{', by class' if classes else ''}, seed {seeds}.{coloured}",
        subject.protocol,
        "No measure is computed on a map: distances between clusters and their sizes mean nothing.",
        f"Trustworthiness: {', '.join(trust)}." if trust else "",
        f"Without a map: {', '.join(missing)}." if missing else "",
        caveats(subject, [m for m, *_ in found]),
    )


FIGURE = PaperFigure("maps", draw)
