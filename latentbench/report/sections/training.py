"""Training: the loss of every seed, epoch by epoch."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from latentbench.report.columns import Column
from latentbench.report.drawing import figures
from latentbench.report.folder import Absent
from latentbench.report.wording.language import plural, say


def training(column: Column) -> tuple[Markup, str]:
    """Loss curves of one model over all seeds, and a line about them."""
    curves: dict[str, dict[int | None, Sequence[float]]] = {"loss.train": {}, "loss.val": {}}
    for r in column.run.records:
        if r.kind == "curve" and r.model == column.model and r.metric in curves and r.samples:
            curves[r.metric][r.seed] = list(r.samples)
    train, val = curves["loss.train"], curves["loss.val"]
    if not (train or val):
        raise Absent(say("Not drawn: this run recorded no loss curves of {model}.", model=column.model))
    lengths = [len(c) for c in (train or val).values()]
    about = plural("{n} seed, {epochs} epochs", "{n} seeds, {epochs} epochs", len(lengths),
                   epochs=span(str(min(lengths)), str(max(lengths))))  # fmt: skip
    label = say("Loss of {model} over epochs, {about}.", model=column.label, about=about)
    return figures.training(train, val, column.m, label), about


def span(low: str, high: str) -> str:
    """``12 to 30``, or the one number where both are equal."""
    return say("{low} to {high}", low=low, high=high) if low != high else low
