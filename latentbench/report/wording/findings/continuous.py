"""Is this latent space continuous? Who beats a cross-fade, and the warning that straightness is cheap."""

from __future__ import annotations

from latentbench.report.wording import words
from latentbench.report.wording.findings.claims import Statement, sentences, standing
from latentbench.report.wording.findings.tables import excluded, flags, reasons, where
from latentbench.report.wording.intervals import means, of, value
from latentbench.report.wording.language import marked, say
from latentbench.stats.findings.continuous import METRICS, Continuity

BEYOND = marked("more often valid than a cross-fade's for {models}")
BELOW = marked("less often valid than a cross-fade's for {models}")
OPEN = marked("not shown to be for {models}")
COLLAPSED = marked("Flagged: {model} is collapsed ({why}) and left out here.")
NEITHER = marked("not shown to be more often valid than a cross-fade's for {models}")


def continuous(found: Continuity) -> Statement:
    """The answer from validity gains, lengths and jumps of decoded paths."""
    definitions = found.table.definitions
    out = [*flags(found.table, COLLAPSED), *sentences(found.gain, definitions), *_between_classes(found)]
    out += sentences(found.others, definitions)
    if found.lengths:
        out += _blur(found)
    return Statement("continuous", say("Continuous? {answer}", answer=_headline(found)), tuple(out), (*METRICS, "r2"))


def _headline(found: Continuity) -> str:
    """Who beats a cross-fade of its own reconstructions."""
    place, why = where(found.table), reasons(found.table.reasons("path.validity_gain"))
    if found.basis == "nobody left":
        text = marked("Flagged: collapsed or copying, so there is no path to judge: {models}, {where}.")
        return say(text, models=excluded(found.table), where=place)
    if found.basis == "nothing":
        return say("Not measured, {where}: {why}.", where=place, why=why)
    if found.basis == "length":
        return say(
            "Only straightness is known, path over chord {lengths}, {where}: {why}.",
            lengths=means(found.lengths),
            where=place,
            why=why,
        )
    undecided = OPEN if found.beyond or found.below else NEITHER
    sides = ((BEYOND, found.beyond), (BELOW, found.below), (undecided, found.undecided))
    told = words.clauses(say(text, models=words.listed(list(names))) for text, names in sides if names)
    ahead = standing(found.standing)
    return say(
        "The images between two codes are {told}{ahead}, {where}.",
        told=told,
        ahead=say(" ({ahead})", ahead=ahead) if ahead else "",
        where=place,
    )


def _between_classes(found: Continuity) -> list[str]:
    """The gain on pairs of two classes alone."""
    if not found.apart:
        return []
    gains = words.listed([of(value(gain), model) for model, gain in found.apart])
    return [say("Between images of two different classes alone, that gain is {gains}.", gains=gains)]


def _blur(found: Continuity) -> list[str]:
    """The warning that straightness is cheap, with the R² that tells blur from a straight path."""
    beside = (
        say("Read it beside R²: {means}.", means=means(found.r2))
        if found.r2
        else say("There is no R² here to read it beside.")
    )
    out = [
        say(
            "A straight path alone proves nothing: a pixel cross-fade scores a perfect 1, and blur helps. {beside}",
            beside=beside,
        )
    ]
    if found.blurred:
        pairs = words.listed([say("{model} (against {rival})", model=m, rival=rival) for m, rival in found.blurred])
        out.append(
            say(
                "Straighter, but worse at reconstructing, so part of the straightness may be blur: {models}.",
                models=pairs,
            )
        )
    return out
