"""Training: the validation loss of every seed, epoch by epoch, with the epoch whose weights were kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes

from latentbench.figures import look as looks
from latentbench.figures.drawn import Drawn, PaperFigure, Subject, caveats, sentences
from latentbench.figures.look import Look
from latentbench.report.folder import Absent, Curves

FIELDS = ("model", "seed", "epoch", "training loss", "validation loss", "kept")


def draw(subject: Subject, look: Look) -> Drawn:
    """A panel a model: losses of different models have no common scale."""
    found = {m: curves for m in subject.run.models if (curves := subject.run.losses_of(m))[1]}
    if not found:
        raise Absent("Not drawn: this run recorded no loss curves.")
    columns = min(look.columns(subject.panel(15), 4), len(found))
    lines = -(-len(found) // columns)
    handles = [
        looks.dot(looks.INK, "", "validation loss, a line a seed", line="-"),
        looks.dot(looks.INK, "o", "epoch whose weights were kept"),
    ]
    figure = looks.new(look, lines * 12.5 * look.em + 1.8 * look.em + looks.legend_height(look, handles))
    grid = figure.subplots(lines, columns, squeeze=False)
    table: list[list[Any]] = []
    cut = False
    for k, (axes, (model, (train, val))) in enumerate(looks.panels(grid, found.items())):
        kept = subject.run.best_epochs_of(model)
        cut |= _panel(axes, val, kept, subject.number(model), look)
        axes.set_title(subject.names[model], color=looks.model_colour(subject.number(model)))
        if k + columns >= len(found):
            axes.set_xlabel("epoch")
        if k % columns == 0:
            axes.set_ylabel("loss (nats)")
        table += _rows(model, train, val, kept)
    looks.legend(figure, look, handles)
    return Drawn(figure, _caption(subject, found, cut), FIELDS, table)


def _panel(axes: Axes, val: Curves, kept: Mapping[int | None, int], number: int, look: Look) -> bool:
    """Draw the curves; True where the steep first epochs leave the frame."""
    colour = looks.model_colour(number)
    for seed, curve in val.items():
        x = np.arange(1, len(curve) + 1)
        sns.lineplot(
            x=x, y=np.asarray(curve, float), ax=axes, color=colour, linewidth=look.points * 0.11, alpha=0.8, legend=False,
            errorbar=None,
        )  # fmt: skip
        if seed in kept and 1 <= kept[seed] <= len(curve):
            axes.plot(
                [kept[seed]], [curve[kept[seed] - 1]], marker="o", color=colour, markersize=look.points * 0.42, zorder=3,
                markeredgecolor="white", markeredgewidth=look.points * 0.05,
            )  # fmt: skip
    after = max(map(len, val.values())) // 10
    later = [v for c in val.values() for v in (list(c[after:]) or list(c)) if np.isfinite(v)]
    low, high = (min(later), max(later)) if later else (0.0, 1.0)
    margin = (high - low) * 0.08 or 0.5
    axes.set_ylim(low - margin, high + margin)
    axes.xaxis.set_major_locator(looks.few(4, whole=True))
    axes.yaxis.set_major_locator(looks.few(4))
    axes.grid(axis="y")
    axes.set_xlim(0, None)
    sns.despine(ax=axes)
    return any(v > high + margin for c in val.values() for v in c)


def _rows(model: str, train: Curves, val: Curves, kept: Mapping[int | None, int]) -> list[list[Any]]:
    out: list[list[Any]] = []
    for seed, curve in val.items():
        beside = dict(enumerate(train.get(seed, ())))
        out += [
            [model, seed, k + 1, beside.get(k), v, "yes" if kept.get(seed) == k + 1 else ""]
            for k, v in enumerate(curve)
        ]
    return out


def _caption(subject: Subject, found: Mapping[str, tuple[Curves, Curves]], cut: bool) -> str:
    asked = (subject.run.detail.get("config") or {}).get("epochs")
    lengths = {m: sorted(map(len, val.values())) for m, (_, val) in found.items()}
    ran = ", ".join(f"{m} {n[0]} to {n[-1]}" if n[0] != n[-1] else f"{m} {n[0]}" for m, n in lengths.items())
    return sentences(
        "Validation loss in training.",
        subject.protocol,
        f"Epochs trained: {ran}{f', of at most {asked}' if asked else ''}.",
        "Losses of different models are not comparable." if len(found) > 1 else "",
        "The steep first epochs may leave the frame." if cut else "",
        caveats(subject, found),
    )


FIGURE = PaperFigure("training", draw)
