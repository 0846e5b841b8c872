"""Is this latent space continuous? Are the images between two codes meaningful, and is the way between them straight?

Straightness in pixels is cheap: a cross-fade is perfectly straight and a blurry decoder nearly so. So the answer rests
on what the judge accepts along the way *beyond* what it accepts of the cross-fade, and R² stands beside every length.
"""

from __future__ import annotations

from latentbench.report.measured import Table
from latentbench.report.verdict.claims import Verdict, claims, decided, means, of, standing, value
from latentbench.report.wording import words
from latentbench.report.wording.language import marked, say
from latentbench.stats.cells import t_interval

SIDES = {
    1: marked("more often valid than a cross-fade's for {models}"),
    -1: marked("less often valid than a cross-fade's for {models}"),
    0: marked("not shown to be for {models}"),
}
COLLAPSED = marked("Flagged: {model} is collapsed ({why}) and left out here.")
NEITHER = marked("not shown to be more often valid than a cross-fade's for {models}")


def continuous(table: Table) -> Verdict:
    """The answer from validity gains, lengths and jumps of decoded paths."""
    sentences = [*table.flags(COLLAPSED), *claims(table.row("path.validity_gain")), *_between_classes(table)]
    for metric in ("midpoint.validity_gain", "path.tortuosity", "path.jump"):
        sentences += claims(table.row(metric))
    if table.row("path.tortuosity"):
        sentences += _blur(table)
    metrics = ("path.validity_gain", "midpoint.validity_gain", "path.tortuosity", "path.jump", "r2")
    return Verdict("continuous", say("Continuous? {answer}", answer=_headline(table)), tuple(sentences), metrics)


def _headline(table: Table) -> str:
    """Who beats a cross-fade of its own reconstructions."""
    gains, where = table.row("path.validity_gain"), table.where
    if not gains and (models := table.nothing_left()):
        text = marked("Flagged: collapsed or copying, so there is no path to judge: {models}, {where}.")
        return say(text, models=models, where=where)
    if not gains:
        lengths, why = means(table.row("path.tortuosity")), table.why("path.validity_gain")
        if not lengths:
            return say("Not measured, {where}: {why}.", where=where, why=why)
        return say(
            "Only straightness is known, path over chord {lengths}, {where}: {why}.",
            lengths=lengths,
            where=where,
            why=why,
        )
    sides: dict[int, list[str]] = {1: [], -1: [], 0: []}
    for cell in gains:
        sides[cell.interval.side if cell.interval else 0].append(cell.model)
    said = {**SIDES, 0: SIDES[0] if sides[1] or sides[-1] else NEITHER}
    told = words.clauses(say(said[side], models=words.listed(names)) for side, names in sides.items() if names)
    ahead = standing(gains)
    return say(
        "The images between two codes are {told}{ahead}, {where}.",
        told=told,
        ahead=say(" ({ahead})", ahead=ahead) if ahead else "",
        where=where,
    )


def _between_classes(table: Table) -> list[str]:
    """The gain on pairs of two classes alone, where a path has somewhere to go."""
    told = []
    for cell in table.row("path.validity_gain"):
        parts = [d["different_class"]["gain"] for d in cell.details.values() if "different_class" in d]
        if parts:
            told.append(of(value(t_interval(parts)), cell.model))
    if not told:
        return []
    return [say("Between images of two different classes alone, that gain is {gains}.", gains=words.listed(told))]


def _blur(table: Table) -> list[str]:
    """The warning that straightness is cheap, with the R² that tells blur from a straight path."""
    r2 = {c.model: c for c in table.row("r2")}
    beside = (
        say("Read it beside R²: {means}.", means=means(r2.values()))
        if r2
        else say("There is no R² here to read it beside.")
    )
    out = [
        say(
            "A straight path alone proves nothing: a pixel cross-fade scores a perfect 1, and blur helps. {beside}",
            beside=beside,
        )
    ]
    first, *others = table.row("path.tortuosity")
    blurred = []
    for other in others:
        way = decided(first, other)
        if way and first.model in r2 and other.model in r2 and way == decided(r2[first.model], r2[other.model]):
            blurred.append((other.model, first.model) if way < 0 else (first.model, other.model))
    if blurred:
        told = words.listed([say("{model} (against {rival})", model=m, rival=rival) for m, rival in blurred])
        out.append(
            say(
                "Straighter, but worse at reconstructing, so part of the straightness may be blur: {models}.",
                models=told,
            )
        )
    return out
