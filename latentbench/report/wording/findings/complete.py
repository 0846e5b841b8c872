"""Is this latent space complete? What a draw from the prior is worth, and which sampler it was drawn by."""

from __future__ import annotations

from latentbench.report.wording import words
from latentbench.report.wording.findings.claims import Statement, sentences, standing
from latentbench.report.wording.findings.reasons import flag, flagged
from latentbench.report.wording.findings.tables import excluded, flags, own_priors, reasons, where
from latentbench.report.wording.intervals import between, means, shares, told_of
from latentbench.report.wording.language import marked, say
from latentbench.report.wording.subject import IMAGE, subject
from latentbench.stats.findings.complete import METRICS, Completeness

COLLAPSED = marked(
    "Completeness flagged: {model} is collapsed ({why}), so its shares mean nothing and are left out here."
)


def complete(completeness: Completeness) -> Statement:
    """The answer from valid shares under every sampler, holes under two, and the classes of what is valid."""
    definitions = completeness.table.definitions
    out = [
        *own_priors(completeness.table),
        *flags(completeness.table, COLLAPSED),
        *flagged(completeness.table, completeness.flagged),
        *_scale(completeness),
        *sentences(completeness.shares, definitions),
        *_sampler(completeness),
    ]
    out += sentences((*completeness.variety_of_draws, *completeness.emptiness), definitions)
    if completeness.unasked:
        out.append(
            say(
                "Nothing asked {models} to fill N(0, I), and scale alone makes holes there: read those under a fitted Gaussian "
                "too.",
                models=words.listed(list(completeness.unasked)),
            )
        )
    out += _variety(completeness)
    metrics = (*METRICS, "valid_label_tv")
    made = (*completeness.shares, *completeness.variety_of_draws, *completeness.emptiness)
    return Statement("complete", say("Complete? {answer}", answer=_headline(completeness)), tuple(out), metrics, made)


def _headline(completeness: Completeness) -> str:
    """What draws from N(0, I) are worth, by the judge or, without one, by the holes."""
    place, table = where(completeness.table), completeness.table
    if completeness.basis == "nobody left":
        text = marked("Flagged: collapsed or copying, so nothing drawn means anything: {models}, {where}.")
        return say(text, models=excluded(table), where=place)
    if completeness.basis == "nothing":
        why = reasons(table.reasons(table.validity, "hole"))
        return say("Not measured, {where}: {why}.", where=place, why=why)
    ahead = standing(completeness.standing)
    ahead = (say(": {ahead}", ahead=ahead) if ahead else "") + flag(completeness.flagged)
    if completeness.basis == "holes":
        text = marked(
            "By holes alone, {shares} of the prior each was trained with is empty{ahead}, {where} (no valid shares: {why})."
            if table.own_priors
            else "By holes alone, {shares} of N(0, I) is empty{ahead}, {where} (no valid shares: {why})."
        )
        return say(
            text,
            shares=shares(completeness.holes),
            ahead=ahead,
            where=place,
            why=reasons(table.reasons(table.validity)),
        )
    beside = (
        say(", of real images {share}", share=words.percent(completeness.real)) if completeness.real is not None else ""
    )
    text = marked(
        "Of draws from the prior each was trained with the judge accepts {shares}{beside}{ahead}, {where}."
        if table.own_priors
        else "Of draws from N(0, I) the judge accepts {shares}{beside}{ahead}, {where}."
    )
    return say(
        text,
        shares=shares(completeness.valid),
        beside=beside,
        ahead=ahead,
        where=place,
    )


def _scale(completeness: Completeness) -> list[str]:
    """Between what every validity is to be read."""
    if completeness.real is None or not completeness.valid:
        return []
    real = words.percent(completeness.real)
    if completeness.junk is None:
        return [say("Read every share beside {real}, what the judge accepts of real held-out images.", real=real)]
    of_images = marked(
        "Read every share between {real}, what the judge accepts of real held-out images, and {junk}, at most, of noise, "
        "shuffled pixels and images of one grey."
    )
    of_others = marked(
        "Read every share between {real}, what the judge accepts of real held-out images, and {junk}, at most, of what any "
        "judge must refuse (noise above all)."
    )
    text = of_images if subject() == IMAGE else of_others
    return [say(text, real=real, junk=words.percent(completeness.junk))]


def _sampler(completeness: Completeness) -> list[str]:
    """What a model gains when its sampler may look at its codes first."""
    if not completeness.gains:
        return []
    text = marked(
        "The sampler decides too: a mixture fitted to the codes instead of the prior adds to the valid share {gains}."
        if completeness.table.own_priors
        else "The sampler decides too: a mixture fitted to the codes instead of N(0, I) adds to the valid share {gains}."
    )
    return [
        say(
            text,
            gains=told_of([(gain, model) for model, gain in completeness.gains], between),
        )
    ]


def _variety(completeness: Completeness) -> list[str]:
    """Whether valid samples are of all classes."""
    out = []
    if completeness.variety:
        real = completeness.variety_of_real
        beside = say("; real images {value}", value=words.tidy(real)) if real is not None else ""
        text = marked(
            "Classes of valid draws from the prior, distance from those of the training labels (0 = same shares): {means}{beside}."
            if completeness.table.own_priors
            else "Classes of valid N(0, I) draws, distance from those of the training labels (0 = same shares): {means}{beside}."
        )
        out.append(
            say(
                text,
                means=means(completeness.variety),
                beside=beside,
            )
        )
    return out
