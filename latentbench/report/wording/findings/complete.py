"""Is this latent space complete? What a draw from the prior is worth, and which sampler it was drawn by."""

from __future__ import annotations

from latentbench.report.wording import words
from latentbench.report.wording.findings.claims import Statement, sentences, standing
from latentbench.report.wording.findings.tables import excluded, flags, reasons, where
from latentbench.report.wording.intervals import between, means, of, shares
from latentbench.report.wording.language import marked, say
from latentbench.stats.findings.complete import CROWDED, METRICS, Completeness

COLLAPSED = marked(
    "Completeness flagged: {model} is collapsed ({why}), so its shares mean nothing and are left out here."
)


def complete(found: Completeness) -> Statement:
    """The answer from valid shares under three samplers, holes under two, and the classes of what is valid."""
    definitions = found.table.definitions
    out = [*flags(found.table, COLLAPSED), *_scale(found), *sentences(found.shares, definitions), *_sampler(found)]
    out += sentences(found.emptiness, definitions)
    if found.unasked:
        out.append(
            say(
                "Nothing asked {models} to fill N(0, I): the holes there are partly a matter of scale, so read those under "
                "a Gaussian fitted to the codes beside them.",
                models=words.listed(list(found.unasked)),
            )
        )
    out += _variety(found)
    metrics = (*METRICS, "valid_label_tv")
    return Statement("complete", say("Complete? {answer}", answer=_headline(found)), tuple(out), metrics)


def _headline(found: Completeness) -> str:
    """What draws from N(0, I) are worth, by the judge or, without one, by the holes."""
    place, table = where(found.table), found.table
    if found.basis == "nobody left":
        text = marked("Flagged: collapsed or copying, so nothing drawn means anything: {models}, {where}.")
        return say(text, models=excluded(table), where=place)
    if found.basis == "nothing":
        why = reasons(table.reasons("validity.normal", "hole"))
        return say("Not measured, {where}: {why}.", where=place, why=why)
    ahead = standing(found.standing)
    ahead = say(": {ahead}", ahead=ahead) if ahead else ""
    if found.basis == "holes":
        return say(
            "By holes alone, {shares} of N(0, I) is empty{ahead}, {where} (no valid shares: {why}).",
            shares=shares(found.holes),
            ahead=ahead,
            where=place,
            why=reasons(table.reasons("validity.normal")),
        )
    beside = say(", of real images {share}", share=words.percent(found.real)) if found.real is not None else ""
    return say(
        "Of draws from N(0, I) the judge accepts {shares}{beside}{ahead}, {where}.",
        shares=shares(found.valid),
        beside=beside,
        ahead=ahead,
        where=place,
    )


def _scale(found: Completeness) -> list[str]:
    """Between what every validity is to be read."""
    if found.real is None or not found.valid:
        return []
    real = words.percent(found.real)
    if found.junk is None:
        return [say("The same judge accepts {real} of real held-out images: read every share between.", real=real)]
    return [
        say(
            "The same judge accepts {real} of real held-out images and at most {junk} of junk: read every share between.",
            real=real,
            junk=words.percent(found.junk),
        )
    ]


def _sampler(found: Completeness) -> list[str]:
    """What a model gains when its sampler may look at its codes first."""
    if not found.gains:
        return []
    return [
        say(
            "The sampler decides too: drawing from a mixture fitted to the codes instead of N(0, I) adds to the valid share "
            "{gains}.",
            gains=words.listed([of(between(gain), model) for model, gain in found.gains]),
        )
    ]


def _variety(found: Completeness) -> list[str]:
    """Whether valid samples are of all classes, and whether they crowd."""
    out = []
    if found.variety:
        real = found.variety_of_real
        beside = say("; real images {value}", value=words.tidy(real)) if real is not None else ""
        out.append(
            say(
                "How far the classes of valid N(0, I) draws are from the training labels (0 = same shares, 1 = nothing in "
                "common): {means}{beside}.",
                means=means(found.variety),
                beside=beside,
            )
        )
    if found.crowded:
        out.append(
            say(
                "Flagged: the draws of {models} crowd in the middle of the real images (density above {limit}), which "
                "flatters precision and coverage.",
                models=words.listed(list(found.crowded)),
                limit=CROWDED,
            )
        )
    return out
