"""The story of a run whose study has one, before everything else."""

from __future__ import annotations

from latentbench.report import story
from latentbench.report.page_view import PageView
from latentbench.report.section import Context, Section
from latentbench.report.wording.language import marked


def _context(view: PageView) -> Context | None:
    stories = story.tell(view.runs, view.columns)
    return {"stories": stories} if stories else None


SECTION = Section("story", marked("Story"), "story.html.jinja", _context, order=100)
