"""How the report speaks of a metric: its noun, and what a model does that scores higher or lower in it than another.

A metric's own declaration, in its run's definitions, is believed first; the table here is for the records that have none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from latentbench.report.wording.language import marked, say


class Wording(NamedTuple):
    """How to speak of a measure: its ``noun``, and what a model does that scores ``higher`` or ``lower`` than another
    ("vae *leaves fewer holes under N(0, I)* than ae")."""

    noun: str
    higher: str
    lower: str


PHRASES = marked({
    "path.validity_gain": Wording(
        "valid frames beyond those of the cross-fade of its own reconstructions",
        "gains more valid frames over the cross-fade of its own reconstructions",
        "gains fewer valid frames over the cross-fade of its own reconstructions",
    ),
    "midpoint.validity_gain": Wording(
        "valid midpoints beyond those of the cross-fade of its own reconstructions",
        "gains more valid midpoints over the cross-fade of its own reconstructions",
        "gains fewer valid midpoints over the cross-fade of its own reconstructions",
    ),
    "path.tortuosity": Wording(
        "length of the decoded path over its chord (1 = straight)",
        "takes a longer way between two images",
        "takes a straighter way between two images",
    ),
    "path.jump": Wording(
        "largest step beyond an even share (0 = even)", "moves less evenly along its paths", "moves more evenly"
    ),
    "validity.normal": Wording(
        "valid draws from N(0, I)", "decodes more valid draws from N(0, I)", "decodes fewer valid draws from N(0, I)"
    ),
    "validity.gaussian": Wording(
        "valid draws from a Gaussian fitted to the codes",
        "decodes more valid draws from a Gaussian fitted to its codes",
        "decodes fewer valid draws from a Gaussian fitted to its codes",
    ),
    "validity.mixture": Wording(
        "valid draws from a mixture fitted to the codes",
        "decodes more valid draws from a mixture fitted to its codes",
        "decodes fewer valid draws from a mixture fitted to its codes",
    ),
    "hole": Wording("holes under N(0, I)", "leaves more holes under N(0, I)", "leaves fewer holes under N(0, I)"),
    "hole.gaussian": Wording(
        "holes under a Gaussian fitted to the codes",
        "leaves more holes under a Gaussian fitted to its codes",
        "leaves fewer holes under a Gaussian fitted to its codes",
    ),
    "r2": Wording("R² on held-out images", "reconstructs held-out images better", "reconstructs held-out images worse"),
    "mse": Wording("mean squared error", "makes a larger squared error", "makes a smaller squared error"),
    "overlap": Wording(
        "overlap of the posteriors", "lets its posteriors overlap more", "lets its posteriors overlap less"
    ),
    "probe.linear": Wording(
        "accuracy of a linear probe", "tells classes apart better", "tells classes apart less well"
    ),
})  # fmt: skip


def phrase(metric: str, definitions: Mapping[str, Mapping[str, Any]]) -> Wording:
    """How to speak of a metric; one that neither its definition nor the table speaks of goes by its name."""
    declared = (definitions.get(metric) or {}).get("phrase")
    if declared:
        return Wording(*(say(str(declared[part])) for part in Wording._fields))
    if metric in PHRASES:
        return Wording(*map(say, PHRASES[metric]))
    return Wording(
        metric, say("scores higher in {metric}", metric=metric), say("scores lower in {metric}", metric=metric)
    )
