"""What the sections of a page read: its runs, and their models numbered once for all sections."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from latentbench.report.columns import Column, columns
from latentbench.report.folder import RunFolder

CROWD = 12
"""Models of a page up to which each has a column of its tables."""
OPEN_TABLES = 2
"""Datasets and latent sizes up to which each shows its headline measures; more are folded whole, but for the first."""
SENTENCES = 3
"""Models up to which a page speaks of each in sentences; from one more on it has tables, smaller pictures, shorter words, and
says once what is so of all."""
PICTURED = 5
"""Models of one run that are shown in pictures, the first asked for; more would make a page that nobody can send."""


@dataclass(frozen=True)
class PageView:
    """One page's subject: its ``runs``, the ``columns``, one for every model of every run, and the ``pictured`` ones
    among these, the first `PICTURED` of each run."""

    runs: Sequence[RunFolder]
    columns: Sequence[Column]
    pictured: Sequence[Column]

    @property
    def several(self) -> bool:
        """Whether runs stand side by side, so that each part has to name its own."""
        return len(self.runs) > 1

    @property
    def is_crowd(self) -> bool:
        """Whether the models are too many for a column of every table each: files have what tables would."""
        return len(self.columns) > CROWD

    @property
    def is_sweep(self) -> bool:
        """Whether they are, and of so many data sets or latent sizes that what is said of each would fill the page."""
        return self.is_crowd and len({(c.run.dataset_hash, c.latent_dim) for c in self.columns}) > OPEN_TABLES

    @property
    def unpictured(self) -> list[Column]:
        """The models that only the scores show."""
        return [c for c in self.columns if c not in self.pictured]

    def pictured_of(self, run: RunFolder) -> list[Column]:
        """The pictured models of one run."""
        return [c for c in self.pictured if c.run is run]


def page_view(runs: Sequence[RunFolder]) -> PageView:
    """What the sections read of these runs."""
    every = columns(runs)
    return PageView(runs, every, [c for run in runs for c in [c for c in every if c.run is run][:PICTURED]])
