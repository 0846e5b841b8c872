"""Is this latent space complete? What is a draw from the prior worth, and which sampler was it drawn by?

Valid shares are read between those of real images and of junk. Holes are read among codes alone, without a judge.
Three samplers are named and shown, because the sampler decides as much as the model does.
"""

from __future__ import annotations

from latentbench.report.measured import Table
from latentbench.report.verdict.claims import Verdict, between, claims, difference, means, of, shares, standing
from latentbench.report.wording import words
from latentbench.report.wording.language import marked, say

SAMPLERS = ("normal", "gaussian", "mixture")
COLLAPSED = marked(
    "Completeness flagged: {model} is collapsed ({why}), so its shares mean nothing and are left out here."
)
CROWDED = 1.5
"""A density above this: draws crowd in the middle of the real images."""


def complete(table: Table) -> Verdict:
    """The answer from valid shares under three samplers, holes under two, and the classes of what is valid."""
    sentences = [*table.flags(COLLAPSED), *_scale(table)]
    for sampler in SAMPLERS:
        sentences += claims(table.row(f"validity.{sampler}"))
    sentences += _sampler(table)
    sentences += [*claims(table.row("hole")), *claims(table.row("hole.gaussian"))]
    points = [c.model for c in table.row("hole") if not table.get(c.model, "kl")]
    if points:
        sentences.append(
            say(
                "Nothing asked {models} to fill N(0, I): the holes there are partly a matter of scale, so read those under "
                "a Gaussian fitted to the codes beside them.",
                models=words.listed(points),
            )
        )
    sentences += _variety(table)
    metrics = ("validity.normal", "validity.gaussian", "validity.mixture", "hole", "hole.gaussian", "valid_label_tv")
    return Verdict("complete", say("Complete? {answer}", answer=_headline(table)), tuple(sentences), metrics)


def _headline(table: Table) -> str:
    """What draws from N(0, I) are worth, by the judge or, without one, by the holes."""
    valid, hole, where = table.row("validity.normal"), table.row("hole"), table.where
    if not (valid or hole) and (models := table.nothing_left()):
        text = marked("Flagged: collapsed or copying, so nothing drawn means anything: {models}, {where}.")
        return say(text, models=models, where=where)
    if not (valid or hole):
        return say("Not measured, {where}: {why}.", where=where, why=table.why("validity.normal", "hole"))
    ahead = standing(valid or hole)
    ahead = say(": {ahead}", ahead=ahead) if ahead else ""
    if not valid:
        return say(
            "By holes alone, {shares} of N(0, I) is empty{ahead}, {where} (no valid shares: {why}).",
            shares=shares(hole),
            ahead=ahead,
            where=where,
            why=table.why("validity.normal"),
        )
    real = table.reference("validity.normal", "ceiling:real")
    beside = say(", of real images {share}", share=words.percent(real)) if real is not None else ""
    return say(
        "Of draws from N(0, I) the judge accepts {shares}{beside}{ahead}, {where}.",
        shares=shares(valid),
        beside=beside,
        ahead=ahead,
        where=where,
    )


def _scale(table: Table) -> list[str]:
    """Between what every validity is to be read."""
    ceiling, floor = table.reference("validity.normal", "ceiling:real"), table.floor("validity.normal")
    if ceiling is None or not table.row("validity.normal"):
        return []
    real = words.percent(ceiling)
    if floor is None:
        return [say("The same judge accepts {real} of real held-out images: read every share between.", real=real)]
    return [
        say(
            "The same judge accepts {real} of real held-out images and at most {junk} of junk: read every share between.",
            real=real,
            junk=words.percent(floor),
        )
    ]


def _sampler(table: Table) -> list[str]:
    """What a model gains when its sampler may look at its codes first."""
    told = []
    for cell in table.row("validity.normal"):
        mixture = table.by.get((cell.model, "validity.mixture"))
        p = difference(cell, mixture) if mixture else None
        if p and p.difference.side > 0 and p.difference.mean > 0.1:
            told.append(of(between(p.difference), cell.model))
    if not told:
        return []
    return [
        say(
            "The sampler decides too: drawing from a mixture fitted to the codes instead of N(0, I) adds to the valid share "
            "{gains}.",
            gains=words.listed(told),
        )
    ]


def _variety(table: Table) -> list[str]:
    """Whether valid samples are of all classes, and whether they crowd."""
    out = []
    if cells := table.row("valid_label_tv"):
        real = table.reference("valid_label_tv", "ceiling:real")
        beside = say("; real images {value}", value=words.tidy(real)) if real is not None else ""
        out.append(
            say(
                "How far the classes of valid N(0, I) draws are from the training labels (0 = same shares, 1 = nothing in "
                "common): {means}{beside}.",
                means=means(cells),
                beside=beside,
            )
        )
    crowded = [c.model for c in table.row("density") if c.interval and c.interval.mean > CROWDED]
    if crowded:
        out.append(
            say(
                "Flagged: the draws of {models} crowd in the middle of the real images (density above {limit}), which "
                "flatters precision and coverage.",
                models=words.listed(crowded),
                limit=CROWDED,
            )
        )
    return out
