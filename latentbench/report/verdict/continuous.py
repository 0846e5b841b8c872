"""Is this latent space continuous? Are the images between two codes meaningful, and is the way between them straight?

Straightness in pixels is cheap: a cross-fade is perfectly straight and a blurry decoder nearly so. So the answer rests
on what the judge accepts along the way *beyond* what it accepts of the cross-fade, and R² stands beside every length.
"""

from __future__ import annotations

from latentbench.report import words
from latentbench.report.measured import Table
from latentbench.report.verdict.claims import Verdict, claims, decided, means, standing, value
from latentbench.stats import t_interval


def continuous(table: Table) -> Verdict:
    """The answer from validity gains, lengths and jumps of decoded paths."""
    sentences = [f"Flagged: {model} is collapsed ({why}) and left out here." for model, why in table.collapse.items()]
    sentences += [*claims(table.row("path.validity_gain")), *_between_classes(table)]
    for metric in ("midpoint.validity_gain", "path.tortuosity", "path.jump"):
        sentences += claims(table.row(metric))
    if table.row("path.tortuosity"):
        sentences += _blur(table)
    metrics = ("path.validity_gain", "midpoint.validity_gain", "path.tortuosity", "path.jump", "r2")
    return Verdict("continuous", f"Continuous? {_headline(table)}", tuple(sentences), metrics)


def _headline(table: Table) -> str:
    """Who beats a cross-fade of its own reconstructions."""
    gains = table.row("path.validity_gain")
    if not gains and table.all_collapsed:
        return f"Flagged: collapsed, so there is no path to judge: {words.listed(list(table.collapse))}, {table.where}."
    if not gains:
        lengths = means(table.row("path.tortuosity"))
        known = f"Only straightness is known, path over chord {lengths}" if lengths else "Not measured"
        return f"{known}, {table.where}: {table.why('path.validity_gain')}."
    sides: dict[int, list[str]] = {1: [], -1: [], 0: []}
    for cell in gains:
        sides[cell.interval.side if cell.interval else 0].append(cell.model)
    said = {1: "more often valid than a cross-fade's", -1: "less often valid than a cross-fade's", 0: "not shown to be"}
    if not (sides[1] or sides[-1]):
        said[0] = "not shown to be more often valid than a cross-fade's"
    told = "; ".join(f"{said[side]} for {words.listed(names)}" for side, names in sides.items() if names)
    ahead = standing(gains)
    return f"The images between two codes are {told}{f' ({ahead})' if ahead else ''}, {table.where}."


def _between_classes(table: Table) -> list[str]:
    """The gain on pairs of two classes alone, where a path has somewhere to go."""
    told = []
    for cell in table.row("path.validity_gain"):
        parts = [d["different_class"]["gain"] for d in cell.details.values() if "different_class" in d]
        if parts:
            told.append(f"{value(t_interval(parts))} for {cell.model}")
    return [f"Between images of two different classes alone, that gain is {words.listed(told)}."] if told else []


def _blur(table: Table) -> list[str]:
    """The warning that straightness is cheap, with the R² that tells blur from a straight path."""
    r2 = {c.model: c for c in table.row("r2")}
    beside = f"Read it beside R²: {means(r2.values())}." if r2 else "There is no R² here to read it beside."
    out = [f"A straight path alone proves nothing: a pixel cross-fade scores a perfect 1, and blur helps. {beside}"]
    first, *others = table.row("path.tortuosity")
    blurred = []
    for other in others:
        way = decided(first, other)
        if way and first.model in r2 and other.model in r2 and way == decided(r2[first.model], r2[other.model]):
            blurred.append((other.model, first.model) if way < 0 else (first.model, other.model))
    if blurred:
        told = words.listed([f"{straight} (against {rival})" for straight, rival in blurred])
        out.append(f"Straighter, but worse at reconstructing, so part of the straightness may be blur: {told}.")
    return out
