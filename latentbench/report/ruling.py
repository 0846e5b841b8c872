"""The judge's ruling on one image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from latentbench.report.classes import NARROW, class_name, short_names
from latentbench.report.folder import Array, Artifact
from latentbench.report.wording.language import marked, say


class Ruling(NamedTuple):
    """The judge's ruling on one image: ``valid`` or refused, the class it reads (``short``: in few letters), how sure it is."""

    valid: bool
    label: str
    confidence: str
    short: str

    @property
    def mark(self) -> str:
        """A sign that needs no colour."""
        return "✓" if self.valid else "×"

    @property
    def words(self) -> str:
        """The ruling as a sentence."""
        text = marked("valid, reads {label}{sure}" if self.valid else "refused, reads {label}{sure}")
        sure = say(", confidence {confidence}", confidence=self.confidence) if self.confidence else ""
        return say(text, label=self.label, sure=sure)


def rulings(artifact: Artifact, prefix: str, names: Sequence[str], at: int | None = None) -> list[Ruling]:
    """What an artifact holds of the judge: its arrays ``<prefix>_valid``, ``_label`` and, where they are there,
    ``_confidence``, each (n,), or (k, n) of which row ``at`` is meant; none where it was not judged. ``names``: of the
    classes. Raises Absent where the labels are missing."""
    if f"{prefix}_valid" not in artifact:
        return []

    def row(array: Array) -> Array:
        return array if at is None else array[at]

    valid, label = row(artifact.need(f"{prefix}_valid")), row(artifact.need(f"{prefix}_label"))
    sure = artifact.arrays.get(f"{prefix}_confidence")
    told = [""] * len(valid) if sure is None else [f"{float(c):.2f}" for c in row(sure)]
    short = short_names(names, NARROW)
    return [
        Ruling(bool(v), class_name(names, int(k)), confidence, class_name(short, int(k)))
        for v, k, confidence in zip(valid, label, told, strict=True)
    ]
