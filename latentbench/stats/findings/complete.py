"""Is this latent space complete? What is a draw from the prior worth, and which sampler was it drawn by?

Valid shares are read between those of real images and of junk. Holes are read among codes alone, without a judge.
The samplers are named and shown, because the sampler decides as much as the model does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from latentbench.artifact_schema import PICTURED_SAMPLERS
from latentbench.records import once
from latentbench.stats.cells import Cell, Interval
from latentbench.stats.findings.claims import Claim, Standing, claims, difference, side, standing
from latentbench.stats.findings.flaws import flattering
from latentbench.stats.findings.table import Table

METRICS = (*(f"validity.{s}" for s in PICTURED_SAMPLERS), "coverage", "uniqueness", "hole", "hole.gaussian")
MUCH = 0.1
"""A valid share that a fitted sampler adds, above which the sampler is said to decide too."""


@dataclass(frozen=True)
class Completeness:
    """``basis``: what the answer rests on. ``valid`` and ``holes`` are the rows of N(0, I), or of the prior that each model was trained with, ``standing`` who is ahead in
    the one it rests on; ``real`` and ``junk`` what the judge accepts of real images and, at most, of junk. ``gains``: what
    a mixture fitted to the codes adds to the valid share, where that is shown and is `MUCH`. ``unasked``: models that
    nothing asked to fill N(0, I). ``variety``: how far the classes of valid draws are from those of the training images;
    ``variety_of_real`` the same of real images. ``variety_of_draws``: coverage and uniqueness. ``flagged``: each model's
    flaws, where it has any (`latentbench.stats.findings.flaws.flattering`)."""

    table: Table
    basis: Literal["validity", "holes", "nothing", "nobody left"]
    valid: tuple[Cell, ...]
    holes: tuple[Cell, ...]
    standing: Standing | None
    real: float | None
    junk: float | None
    shares: tuple[Claim, ...]
    gains: tuple[tuple[str, Interval], ...]
    emptiness: tuple[Claim, ...]
    unasked: tuple[str, ...]
    variety: tuple[Cell, ...]
    variety_of_real: float | None
    variety_of_draws: tuple[Claim, ...]
    flagged: Mapping[str, tuple[str, ...]]


@once
def complete(table: Table) -> Completeness:
    """The answer from valid shares under every sampler, holes under two, and the classes of what is valid."""
    valid, holes = table.row(table.validity), table.row("hole")
    return Completeness(
        table,
        "validity" if valid else "holes" if holes else "nobody left" if table.nothing_left else "nothing",
        tuple(valid),
        tuple(holes),
        standing(valid or holes),
        table.reference(table.validity, "ceiling:real"),
        table.floor(table.validity),
        shares=claims(*(table.row(f"validity.{sampler}") for sampler in PICTURED_SAMPLERS)),
        gains=tuple(_gains(table)),
        emptiness=claims(table.row("hole"), table.row("hole.gaussian")),
        unasked=tuple(c.model for c in holes if not table.get(c.model, "kl") and c.model not in table.own_priors),
        variety=tuple(table.row("valid_label_tv")),
        variety_of_real=table.reference("valid_label_tv", "ceiling:real"),
        variety_of_draws=claims(table.row("coverage"), table.row("uniqueness")),
        flagged=flattering(table, "complete"),
    )


def _gains(table: Table) -> list[tuple[str, Interval]]:
    """What a model gains when its sampler may look at its codes first."""
    out = []
    for cell in table.row(table.validity):
        mixture = table.by.get((cell.model, "validity.mixture"))
        p = difference(cell, mixture) if mixture else None
        if p and mixture and side(cell, mixture) > 0 and p.difference.mean > MUCH:
            out.append((cell.model, p.difference))
    return out
