"""Studies told as stories: claims with verdicts and pictures, from records alone.

`tell` gives the story of a run that is of a study which has one; the page prints it before everything else.
"""

from __future__ import annotations

from collections.abc import Sequence

from latentbench.report.columns import Column
from latentbench.report.folder import RunFolder
from latentbench.report.story import capacity, mu_sigma
from latentbench.report.story.nouns import Story

__all__ = ["Story", "tell"]

STORIES = {"why-mu-sigma": mu_sigma.tell, "capacity": capacity.tell}


def tell(runs: Sequence[RunFolder], columns: Sequence[Column]) -> list[Story]:
    """The stories of those runs whose study has one."""
    names = [((run.detail.get("study") or {}).get("name"), run) for run in runs]
    return [STORIES[name](run, columns) for name, run in names if name in STORIES]
