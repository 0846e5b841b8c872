"""Is this latent space continuous? Who beats a cross-fade, and the warning that straightness is cheap."""

from __future__ import annotations

from latentbench.report.wording import words
from latentbench.report.wording.findings.claims import Statement, sentences, standing
from latentbench.report.wording.findings.reasons import flag, flagged
from latentbench.report.wording.findings.tables import excluded, flags, reasons, where
from latentbench.report.wording.intervals import NAMED, means, of, value
from latentbench.report.wording.language import marked, say
from latentbench.stats.findings.continuous import METRICS, Continuity

BEYOND = marked("more often valid than a cross-fade's for {models}")
BELOW = marked("less often valid than a cross-fade's for {models}")
OPEN = marked("not shown to be for {models}")
COLLAPSED = marked("Flagged: {model} is collapsed ({why}) and left out here.")
NEITHER = marked("not shown to be more often valid than a cross-fade's for {models}")


def continuous(continuity: Continuity) -> Statement:
    """The answer from validity gains, lengths and jumps of decoded paths."""
    definitions = continuity.table.definitions
    out = [*flags(continuity.table, COLLAPSED), *flagged(continuity.table, continuity.flagged)]
    out += [*sentences(continuity.gain, definitions), *_between_classes(continuity)]
    out += sentences(continuity.others, definitions)
    if continuity.lengths:
        out += _blur(continuity)
    if continuity.unasked and continuity.basis != "not asked":
        models = words.listed(list(continuity.unasked))
        out.append(
            say(
                "Not asked of {models}: codes are discrete there, and between two of them there is nothing.",
                models=models,
            )
        )
    return Statement(
        "continuous",
        say("Continuous? {answer}", answer=_headline(continuity)),
        tuple(out),
        (*METRICS, "r2"),
        (*continuity.gain, *continuity.others),
    )


def _headline(continuity: Continuity) -> str:
    """Who beats a cross-fade of its own reconstructions."""
    place, why = where(continuity.table), reasons(continuity.table.reasons("path.validity_gain"))
    if continuity.basis == "not asked":
        text = marked(
            "Not asked, {where}: the codes of {models} are discrete, and between two of them there is nothing."
        )
        return say(text, models=words.listed(list(continuity.unasked)), where=place)
    if continuity.basis == "nobody left":
        text = marked("Flagged: collapsed or copying, so there is no path to judge: {models}, {where}.")
        return say(text, models=excluded(continuity.table), where=place)
    if continuity.basis == "nothing":
        return say("Not measured, {where}: {why}.", where=place, why=why)
    if continuity.basis == "length":
        return say(
            "Only straightness is known, path over chord {lengths}, {where}: {why}.",
            lengths=means(continuity.lengths),
            where=place,
            why=why,
        )
    undecided = OPEN if continuity.beyond or continuity.below else NEITHER
    sides = ((BEYOND, continuity.beyond), (BELOW, continuity.below), (undecided, continuity.undecided))
    clauses = words.clauses(say(text, models=_some(continuity, names)) for text, names in sides if names)
    ahead = standing(continuity.standing)
    return say(
        "The images between two codes are {told}{ahead}, {where}.",
        told=clauses,
        ahead=(say(" ({ahead})", ahead=ahead) if ahead else "") + flag(continuity.flagged),
        where=place,
    )


def _some(continuity: Continuity, models: tuple[str, ...]) -> str:
    """Models by name; of many, their number of all that were judged."""
    if len(models) <= NAMED:
        return words.listed(list(models))
    every = len(continuity.beyond) + len(continuity.below) + len(continuity.undecided)
    return say("all {n} models", n=every) if len(models) == every else say("{k} of {n} models", k=len(models), n=every)


def _between_classes(continuity: Continuity) -> list[str]:
    """The gain on pairs of two classes alone."""
    if not continuity.apart:
        return []
    gains = words.listed([of(value(gain), model) for model, gain in continuity.apart[:NAMED]])
    if len(continuity.apart) > NAMED:
        ends = [end(continuity.apart, key=lambda one: one[1].mean) for end in (min, max)]
        low, high = (say("{number} ({model})", number=value(gain), model=model) for model, gain in ends)
        gains = say("{low} to {high}", low=low, high=high)
    return [say("Between images of two different classes alone, that gain is {gains}.", gains=gains)]


def _blur(continuity: Continuity) -> list[str]:
    """The warning that straightness is cheap, with the R² that tells blur from a straight path."""
    beside = (
        say("Read it beside R²: {means}.", means=means(continuity.r2))
        if continuity.r2
        else say("There is no R² here to read it beside.")
    )
    out = [
        say(
            "A straight path alone proves nothing: a cross-fade of pixels is perfectly straight, and blur helps. {beside}",
            beside=beside,
        )
    ]
    if continuity.blurred:
        pairs = words.listed(
            [say("{model} (against {rival})", model=m, rival=rival) for m, rival in continuity.blurred]
        )
        out.append(
            say(
                "Straighter, but worse at reconstructing, so part of the straightness may be blur: {models}.",
                models=pairs,
            )
        )
    return out
