"""Is this latent space continuous? Whose images between two codes are valid more often than a cross-fade's?

Straightness in pixels is cheap: a cross-fade is perfectly straight and a blurry decoder nearly so. So the answer rests
on what the judge accepts along the way *beyond* what it accepts of the cross-fade, and R² stands beside every length. There
are two controls, the cross-fades of the model's own reconstructions and of the real images: the first alone is beaten by
whoever reconstructs badly and draws well in between. And a table of images beats both, so what snaps is flagged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from latentbench.records import once
from latentbench.stats.cells import Cell, Interval
from latentbench.stats.findings.claims import Claim, Standing, claims, side, standing
from latentbench.stats.findings.flaws import flattering
from latentbench.stats.findings.parts import gain_between_classes
from latentbench.stats.findings.table import Table

GAINS = ("path.validity_gain", "path.validity_gain.real")
"""Over the cross-fade of the model's own reconstructions, and of the real images."""
METRICS = (*GAINS, "midpoint.validity_gain", "path.tortuosity", "path.jump", "path.refinement")


class Blur(NamedTuple):
    """``model`` walks straighter than ``rival`` and reconstructs worse."""

    model: str
    rival: str


@dataclass(frozen=True)
class Continuity:
    """``basis``: what the answer rests on. ``beyond``, ``below`` and ``undecided`` are the models whose whole interval
    of the gain over either cross-fade lies above 0, those with one below it, and neither; ``standing`` who is ahead in the
    first of the two. ``apart`` is the first on pairs of two classes alone, where a path has somewhere to go, each with its
    model. ``unasked`` are the models whose codes are discrete. ``lengths`` and ``r2`` are the rows that stand beside each other. ``flagged``: each model's flaws, where it has
    any (`latentbench.stats.findings.flaws.flattering`)."""

    table: Table
    basis: Literal["gain", "length", "nothing", "nobody left", "not asked"]
    beyond: tuple[str, ...]
    below: tuple[str, ...]
    undecided: tuple[str, ...]
    standing: Standing | None
    gain: tuple[Claim, ...]
    apart: tuple[tuple[str, Interval], ...]
    others: tuple[Claim, ...]
    lengths: tuple[Cell, ...]
    r2: tuple[Cell, ...]
    blurred: tuple[Blur, ...]
    flagged: Mapping[str, tuple[str, ...]]
    unasked: tuple[str, ...] = ()


@once
def continuous(table: Table) -> Continuity:
    """The answer from validity gains, lengths and jumps of decoded paths."""
    gains, lengths = table.row("path.validity_gain"), table.row("path.tortuosity")
    sides: dict[int, list[str]] = {1: [], -1: [], 0: []}
    for cell in gains:
        found = {i.side for metric in GAINS if (i := table.get(cell.model, metric)) is not None}
        sides[-1 if -1 in found else 1 if found == {1} else 0].append(cell.model)
    return Continuity(
        table,
        "gain" if gains else _without_gains(table, bool(lengths)),
        tuple(sides[1]),
        tuple(sides[-1]),
        tuple(sides[0]),
        standing=standing(gains),
        gain=claims(*(table.row(metric) for metric in GAINS)),
        apart=tuple((c.model, i) for c in gains if (i := gain_between_classes(c)) is not None),
        others=claims(*(table.row(metric) for metric in METRICS if metric not in GAINS)),
        lengths=tuple(lengths),
        r2=tuple(table.row("r2")),
        blurred=blurred(table),
        flagged=flattering(table, "continuous"),
        unasked=tuple(m for m in table.models if m in table.discrete),
    )


def _without_gains(table: Table, lengths: bool) -> Literal["length", "nothing", "nobody left", "not asked"]:
    """What the answer rests on where no path was judged."""
    if all(m in table.discrete for m in table.models):
        return "not asked"
    return "nobody left" if table.nothing_left else "length" if lengths else "nothing"


@once
def blurred(table: Table) -> tuple[Blur, ...]:
    """Pairs with the first model in which the straighter path goes with the worse reconstruction."""
    lengths, r2 = table.row("path.tortuosity"), {c.model: c for c in table.row("r2")}
    out = []
    for other in lengths[1:]:
        first = lengths[0]
        way = side(first, other)
        if way and first.model in r2 and other.model in r2 and way == side(r2[first.model], r2[other.model]):
            out.append(Blur(other.model, first.model) if way < 0 else Blur(first.model, other.model))
    return tuple(out)
