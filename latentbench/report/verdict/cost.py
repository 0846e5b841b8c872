"""What did it cost? Reconstruction, beside PCA of the same size; parameters, training time and throughput.

Throughput is compared only where the timings themselves are steady enough to rank by.
"""

from __future__ import annotations

from collections.abc import Sequence

from latentbench.report.measured import Table
from latentbench.report.verdict.claims import Verdict, claims, means, of, standing, value
from latentbench.report.wording import words
from latentbench.report.wording.language import marked, say
from latentbench.stats.cells import Cell, t_interval, tied

SPEEDS = marked({"encode": "encoding", "decode": "decoding", "sample": "sampling", "train_step": "training"})
AGAINST_PCA = {1: marked("better: {models}"), -1: marked("worse: {models}"), 0: marked("tied: {models}")}


def cost(table: Table) -> Verdict:
    """The answer from R², squared error, size and speed; collapsed models included, since this is where it shows."""
    r2 = table.row("r2", collapsed=True)
    pca = table.reference("r2", "baseline:pca")
    sentences = [*claims(r2), *_against_pca(r2, pca), *claims(table.row("mse", collapsed=True)), *_sizes(table)]
    sentences += _speeds(table)
    metrics = ("r2", "mse", "train.seconds", "cost.parameters", *(f"throughput.{what}" for what in SPEEDS))
    return Verdict(
        "cost", say("What did it cost? {answer}", answer=_headline(table, r2, pca)), tuple(sentences), metrics
    )


def _headline(table: Table, r2: Sequence[Cell], pca: float | None) -> str:
    if not r2:
        return say("Not measured, {where}: {why}.", where=table.where, why=table.why("r2"))
    ahead = standing(r2)
    return say(
        "Reconstruction of held-out images, R² {means}{linear}{ahead}, {where}.",
        means=means(r2),
        linear=say(" (PCA of the same size {value})", value=words.tidy(pca)) if pca is not None else "",
        ahead=say(": {ahead}", ahead=ahead) if ahead else "",
        where=table.where,
    )


def _against_pca(cells: Sequence[Cell], pca: float | None) -> list[str]:
    """Who beats the best linear compression to the same size."""
    if pca is None:
        return []
    sides: dict[int, list[str]] = {1: [], -1: [], 0: []}
    for cell in cells:
        if cell.interval and cell.interval.n > 1:
            sides[t_interval([v - pca for v in cell.values.values()]).side].append(cell.model)
    told = words.clauses(say(AGAINST_PCA[s], models=words.listed(names)) for s, names in sides.items() if names)
    if not told:
        return []
    text = marked("Against PCA with the same number of dimensions (R² {pca}): {told}.")
    return [say(text, pca=words.tidy(pca), told=told)]


def _sizes(table: Table) -> list[str]:
    """Sizes and training times, as they are."""
    out = []
    if cells := table.row("cost.parameters", collapsed=True):
        told = words.listed([of(words.number(c.interval.mean), c.model) for c in cells if c.interval])
        out.append(say("Parameters: {told}.", told=told))
    if cells := table.row("train.seconds", collapsed=True):
        told = words.listed([of(f"{value(c.interval)} s", c.model) for c in cells if c.interval])
        out.append(say("One training takes {told}, on a machine that may have been doing other things.", told=told))
    return out


def _speeds(table: Table) -> list[str]:
    """Throughput against the first model's, each operation at the largest batch both have."""
    told, shaky = [], {}
    first, *others = table.models
    for other in others:
        ratios, unsteady, devices = [], [], set()
        for what, word in SPEEDS.items():
            pair = _largest(table, f"throughput.{what}", first, other)
            if pair is None:
                continue
            batch, a, b = pair
            devices.add(str(a.metric_params.get("device", "")))
            if not (a.rankable and b.rankable):
                unsteady.append(say(word))
            elif a.interval and b.interval and a.interval.mean > 0:
                text = marked(
                    "{work} × {ratio} (batch {batch}, within the spread)"
                    if tied(a, b)
                    else "{work} × {ratio} (batch {batch})"
                )
                ratio = f"{b.interval.mean / a.interval.mean:.2f}"
                ratios.append(say(text, work=say(word), ratio=ratio, batch=f"{batch:g}"))
        on = say(" on {devices}", devices=words.commas(sorted(devices))) if all(devices) else ""
        if ratios:
            text = marked("Images a second, {other} against {first}{on}: {ratios}.")
            told.append(say(text, other=other, first=first, on=on, ratios=words.commas(ratios)))
        if unsteady:
            shaky[other] = unsteady
    if shaky:
        which = words.clauses(
            say("{work} of {model}", work=words.commas(unsteady), model=other) for other, unsteady in shaky.items()
        )
        text = marked("Not ranked against {first}, because the timings spread too widely: {which}.")
        told.append(say(text, first=first, which=which))
    return told


def _largest(table: Table, metric: str, first: str, other: str) -> tuple[float, Cell, Cell] | None:
    found: dict[str, dict[float, Cell]] = {first: {}, other: {}}
    for c in table.cells:
        if c.metric == metric and c.model in found and c.interval:
            found[c.model][float(c.metric_params.get("batch") or 0)] = c
    shared = found[first].keys() & found[other].keys()
    return (max(shared), found[first][max(shared)], found[other][max(shared)]) if shared else None
