"""The judge's ruling on one image."""

from __future__ import annotations

from typing import NamedTuple

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
