"""Is this latent space complete? What is a draw from the prior worth, and which sampler was it drawn by?

Valid shares are read between those of real images and of junk. Holes are read among codes alone, without a judge.
Three samplers are named and shown, because the sampler decides as much as the model does.
"""

from __future__ import annotations

from latentbench.report import words
from latentbench.report.measured import Table
from latentbench.report.verdict.claims import Verdict, between, claims, difference, means, shares, standing

SAMPLERS = ("normal", "gaussian", "mixture")
CROWDED = 1.5
"""A density above this: draws crowd in the middle of the real images."""


def complete(table: Table) -> Verdict:
    """The answer from valid shares under three samplers, holes under two, and the classes of what is valid."""
    sentences = [
        f"Completeness flagged: {model} is collapsed ({why}), so its shares mean nothing and are left out here."
        for model, why in table.collapse.items()
    ]
    sentences += _scale(table)
    for sampler in SAMPLERS:
        sentences += claims(table.row(f"validity.{sampler}"))
    sentences += _sampler(table)
    sentences += [*claims(table.row("hole")), *claims(table.row("hole.gaussian"))]
    points = [c.model for c in table.row("hole") if not table.get(c.model, "kl")]
    if points:
        sentences.append(
            f"Nothing asked {words.listed(points)} to fill N(0, I): the holes there are partly a matter of scale, so "
            "read those under a Gaussian fitted to the codes beside them."
        )
    sentences += _variety(table)
    metrics = ("validity.normal", "validity.gaussian", "validity.mixture", "hole", "hole.gaussian", "valid_label_tv")
    return Verdict("complete", f"Complete? {_headline(table)}", tuple(sentences), metrics)


def _headline(table: Table) -> str:
    """What draws from N(0, I) are worth, by the judge or, without one, by the holes."""
    valid, hole = table.row("validity.normal"), table.row("hole")
    if not (valid or hole) and table.all_collapsed:
        return (
            f"Flagged: collapsed, so nothing drawn means anything: {words.listed(list(table.collapse))}, {table.where}."
        )
    if not (valid or hole):
        return f"Not measured, {table.where}: {table.why('validity.normal', 'hole')}."
    ahead = standing(valid or hole)
    ahead = f": {ahead}" if ahead else ""
    if not valid:
        why = table.why("validity.normal")
        return f"By holes alone, {shares(hole)} of N(0, I) is empty{ahead}, {table.where} (no valid shares: {why})."
    real = table.reference("validity.normal", "ceiling:real")
    beside = f", of real images {words.percent(real)}" if real is not None else ""
    return f"Of draws from N(0, I) the judge accepts {shares(valid)}{beside}{ahead}, {table.where}."


def _scale(table: Table) -> list[str]:
    """Between what every validity is to be read."""
    ceiling, floor = table.reference("validity.normal", "ceiling:real"), table.floor("validity.normal")
    if ceiling is None or not table.row("validity.normal"):
        return []
    junk = f" and at most {words.percent(floor)} of junk" if floor is not None else ""
    return [f"The same judge accepts {words.percent(ceiling)} of real held-out images{junk}: read every share between."]


def _sampler(table: Table) -> list[str]:
    """What a model gains when its sampler may look at its codes first."""
    told = []
    for cell in table.row("validity.normal"):
        mixture = table.by.get((cell.model, "validity.mixture"))
        p = difference(cell, mixture) if mixture else None
        if p and p.difference.side > 0 and p.difference.mean > 0.1:
            told.append(f"{between(p.difference)} for {cell.model}")
    if not told:
        return []
    return [
        "The sampler decides too: drawing from a mixture fitted to the codes instead of N(0, I) adds to the valid share "
        f"{words.listed(told)}."
    ]


def _variety(table: Table) -> list[str]:
    """Whether valid samples are of all classes, and whether they crowd."""
    out = []
    if cells := table.row("valid_label_tv"):
        real = table.reference("valid_label_tv", "ceiling:real")
        beside = f"; real images {words.tidy(real)}" if real is not None else ""
        out.append(
            "How far the classes of valid N(0, I) draws are from the training labels (0 = same shares, 1 = nothing in "
            f"common): {means(cells)}{beside}."
        )
    crowded = [c.model for c in table.row("density") if c.interval and c.interval.mean > CROWDED]
    if crowded:
        out.append(
            f"Flagged: the draws of {words.listed(crowded)} crowd in the middle of the real images (density above "
            f"{CROWDED}), which flatters precision and coverage."
        )
    return out
