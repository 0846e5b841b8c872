"""Records -> one HTML file. The page is a frame around its sections, each of which gathers what its own template piece
prints (see `latentbench.report.section`). All of it is a function of the run folders alone, so equal folders give an
equal page, byte for byte.

The page asks nothing of any host: scripts, styles, images and data are inside it, and a content security policy in
its head lets the browser itself enforce that. All text is escaped by the templates; the few pieces that are not text
(drawings, scripts, data) are built as Markup by functions that escape what they are given.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import jinja2
from markupsafe import Markup

from latentbench.report import sections
from latentbench.report.folder import RunFolder
from latentbench.report.head import facts, title
from latentbench.report.page_view import page_view
from latentbench.report.section import Context, Section, discover
from latentbench.report.templates import beside, environment, source
from latentbench.report.wording.language import say, spoken

SECTIONS = discover(sections)
"""The sections of the page, from the first to the last."""


FRAME = "page.html.jinja"


def load() -> None:
    """Compile the page's templates."""
    templates = environment()
    for name in (FRAME, *(s.template for s in SECTIONS)):
        templates.get_template(name)


def html(runs: Sequence[RunFolder]) -> str:
    """The whole page of these runs, in the language in force."""
    view = page_view(runs)
    contexts = {s.id: context for s in SECTIONS if (context := s.make(view)) is not None}
    shown = [s for s in SECTIONS if s.id in contexts and (not s.within or s.within in contexts)]
    templates = environment()
    stories = contexts.get("story", {}).get("stories")
    return templates.get_template(FRAME).render(
        title=stories[0].title if stories else title(runs),
        language=spoken(),
        texts=json.dumps({name: say(text) for s in shown for name, text in s.texts.items()}, ensure_ascii=False),
        facts=facts(runs, view.columns),
        navigation=[s for s in shown if s.title],
        is_story=bool(stories),
        pieces=[(s, _piece(s, shown, contexts, templates)) for s in shown if not s.within],
        credits=[s.credit for s in shown if s.credit and s.scripts(contexts[s.id])],
        styles=[
            source("style.css"),
            *(x for s in shown for x in (*s.styles(contexts[s.id]), *beside(s.template, "css"))),
        ],
        scripts=[
            source("page.js"),
            *(x for s in shown for x in (*s.scripts(contexts[s.id]), *beside(s.template, "js"))),
        ],
    )


def _piece(
    section: Section, shown: Sequence[Section], contexts: Mapping[str, Context], templates: jinja2.Environment
) -> Markup:
    """A section's markup, with those that stand within it."""
    inner = [_piece(s, shown, contexts, templates) for s in shown if s.within == section.id]
    return Markup(templates.get_template(section.template).render(contexts[section.id], inner=inner))
