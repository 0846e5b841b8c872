"""What did it cost? Reconstruction, beside PCA of the same size; parameters, training time and throughput.

Throughput is compared only where the timings themselves are steady enough to rank by.
"""

from __future__ import annotations

from collections.abc import Sequence

from latentbench.report import words
from latentbench.report.measured import Table
from latentbench.report.verdict.claims import Verdict, claims, means, standing, value
from latentbench.stats import Cell, t_interval, tied

SPEEDS = {"encode": "encoding", "decode": "decoding", "sample": "sampling", "train_step": "training"}


def cost(table: Table) -> Verdict:
    """The answer from R², squared error, size and speed; collapsed models included, since this is where it shows."""
    r2 = table.row("r2", collapsed=True)
    pca = table.reference("r2", "baseline:pca")
    sentences = [*claims(r2), *_against_pca(r2, pca), *claims(table.row("mse", collapsed=True)), *_sizes(table)]
    sentences += _speeds(table)
    metrics = ("r2", "mse", "train.seconds", "cost.parameters", *(f"throughput.{what}" for what in SPEEDS))
    return Verdict("cost", f"What did it cost? {_headline(table, r2, pca)}", tuple(sentences), metrics)


def _headline(table: Table, r2: Sequence[Cell], pca: float | None) -> str:
    if not r2:
        return f"Not measured, {table.where}: {table.why('r2')}."
    ahead = standing(r2)
    ahead = f": {ahead}" if ahead else ""
    linear = f" (PCA of the same size {words.tidy(pca)})" if pca is not None else ""
    return f"Reconstruction of held-out images, R² {means(r2)}{linear}{ahead}, {table.where}."


def _against_pca(cells: Sequence[Cell], pca: float | None) -> list[str]:
    """Who beats the best linear compression to the same size."""
    if pca is None:
        return []
    sides: dict[int, list[str]] = {1: [], -1: [], 0: []}
    for cell in cells:
        if cell.interval and cell.interval.n > 1:
            sides[t_interval([v - pca for v in cell.values.values()]).side].append(cell.model)
    said = {1: "better", -1: "worse", 0: "tied"}
    told = "; ".join(f"{said[s]}: {words.listed(names)}" for s, names in sides.items() if names)
    return [f"Against PCA with the same number of dimensions (R² {words.tidy(pca)}): {told}."] if told else []


def _sizes(table: Table) -> list[str]:
    """Sizes and training times, as they are."""
    out = []
    if cells := table.row("cost.parameters", collapsed=True):
        out.append(
            f"Parameters: {words.listed([f'{words.number(c.interval.mean)} for {c.model}' for c in cells if c.interval])}."
        )
    if cells := table.row("train.seconds", collapsed=True):
        told = words.listed([f"{value(c.interval)} s for {c.model}" for c in cells if c.interval])
        out.append(f"One training takes {told}, on a machine that may have been doing other things.")
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
                unsteady.append(word)
            elif a.interval and b.interval and a.interval.mean > 0:
                near = ", within the spread" if tied(a, b) else ""
                ratios.append(f"{word} × {b.interval.mean / a.interval.mean:.2f} (batch {batch:g}{near})")
        on = f" on {', '.join(sorted(devices))}" if all(devices) else ""
        if ratios:
            told.append(f"Images a second, {other} against {first}{on}: {', '.join(ratios)}.")
        if unsteady:
            shaky[other] = unsteady
    if shaky:
        which = "; ".join(f"{', '.join(unsteady)} of {other}" for other, unsteady in shaky.items())
        told.append(f"Not ranked against {first}, because the timings spread too widely: {which}.")
    return told


def _largest(table: Table, metric: str, first: str, other: str) -> tuple[float, Cell, Cell] | None:
    found: dict[str, dict[float, Cell]] = {first: {}, other: {}}
    for c in table.cells:
        if c.metric == metric and c.model in found and c.interval:
            found[c.model][float(c.metric_params.get("batch") or 0)] = c
    shared = found[first].keys() & found[other].keys()
    return (max(shared), found[first][max(shared)], found[other][max(shared)]) if shared else None
