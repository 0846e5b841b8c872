"""Training: the loss of every seed, epoch by epoch, and what each model is made of."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from latentbench.report.cards import cards
from latentbench.report.columns import Column
from latentbench.report.drawing import figures
from latentbench.report.folder import Absent
from latentbench.report.page_view import PageView
from latentbench.report.section import Context, Section
from latentbench.report.wording import words
from latentbench.report.wording.language import marked, plural, say
from latentbench.stats.cells import summarise


def training(column: Column) -> tuple[Markup, str]:
    """Loss curves of one model over all seeds, and a line about them."""
    curves: dict[str, dict[int | None, Sequence[float]]] = {"loss.train": {}, "loss.val": {}}
    for r in column.run.of_model.get(column.model, ()):
        if r.kind == "curve" and r.metric in curves and r.samples:
            curves[r.metric][r.seed] = list(r.samples)
    train, val = curves["loss.train"], curves["loss.val"]
    if not (train or val):
        raise Absent(say("Not drawn: this run recorded no loss curves of {model}.", model=column.model))
    lengths = [len(c) for c in (train or val).values()]
    about = plural("{n} seed, {epochs} epochs", "{n} seeds, {epochs} epochs", len(lengths),
                   epochs=words.span(str(min(lengths)), str(max(lengths))))  # fmt: skip
    label = say("Loss of {model} over epochs, {about}.", model=column.label, about=about)
    return figures.training(train, val, column.m, label), about


def costs(columns: Sequence[Column]) -> list[tuple[Column, Sequence[str]]]:
    """Parameters, FLOPs and training of each model, as recorded."""
    out: list[tuple[Column, Sequence[str]]] = []
    for column in columns:
        means = {c.metric: c.interval.mean for c in column.run.cells_of.get(column.model, ()) if c.interval}
        declared = (column.run.detail.get("models") or {}).get(column.model) or {}
        parameters = means.get("cost.parameters", declared.get("parameters"))
        row = [
            words.count(parameters),
            words.engineering(means.get("cost.flops.encode"), "FLOP"),
            words.engineering(means.get("cost.flops.decode"), "FLOP"),
            words.quantity(means.get("train.epochs"), "epochs"),
            f"{words.number(means['train.seconds'])}{words.THIN}s" if "train.seconds" in means else "—",
        ]
        if any(v != "—" for v in row):
            out.append((column, row))
    return out


def _context(view: PageView) -> Context:
    shown = {(c.run, c.model) for c in view.columns}
    cells = ((run, c) for run in view.runs for c in summarise(run.records) if c.metric == "train.seconds")
    disturbed = any(c.disturbed for run, c in cells if (run, c.model) in shown)
    return {"cards": cards(view.pictured, training), "costs": costs(view.columns), "disturbed": disturbed}


SECTION = Section("training", marked("Training"), "training.html.jinja", _context, order=1200)
