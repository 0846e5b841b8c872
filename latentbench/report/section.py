"""What a section of the page is, and how the page finds its sections.

To add one, put two files into ``report/sections/`` and touch no other. ``echo.py`` gathers what there is to show:

    def _context(view: PageView) -> Context | None:
        return {"labels": [c.label for c in view.columns]}

    SECTION = Section("echo", marked("Echo"), "echo.html.jinja", _context, order=350)

and ``echo.html.jinja`` beside it prints that, in an element whose id is the section's. Where there are files ``echo.css`` and
``echo.js`` beside the piece, they stand in the head and at the foot of every page that shows the section. The page scans the modules of
the package for `Section` objects and sorts them by ``order``: the package's own stand a hundred apart, so that one
between two others needs no new number for them. The piece may not be named like a file of the page itself
(``page.html.jinja``, ``history.html.jinja``, ``macros.html.jinja``).
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from markupsafe import Markup

from latentbench.report.page_view import PageView

Context = Mapping[str, Any]
"""The names that a template piece prints."""


def _nothing(context: Context) -> Sequence[Markup]:
    return ()


@dataclass(frozen=True)
class Section:
    """One section of the page.

    ``id`` is the id of its element; ``title``, `marked`, its name in the navigation, empty for one that is not listed
    there. ``make`` gathers what its ``template``, a file beside its module, prints; None where a page has nothing of it
    to show. ``order`` is its place. A section ``within`` another (the other's id) stands where that one's piece prints
    ``inner``, the pieces within it. ``styles`` and ``scripts`` make of its context what the page's head and foot hold
    for it before the files beside its template. ``texts``, `marked`: what its script says, by the names that
    ``latentbench.say`` knows it by; no two sections give a name two texts. ``credit``, `marked`: whose work its ``scripts``
    are, where they are another's; the page's foot says so where it holds them.
    """

    id: str
    title: str
    template: str
    make: Callable[[PageView], Context | None]
    order: int
    within: str = ""
    styles: Callable[[Context], Sequence[Markup]] = _nothing
    scripts: Callable[[Context], Sequence[Markup]] = _nothing
    texts: Mapping[str, str] = field(default_factory=dict)
    credit: str = ""


def discover(package: ModuleType) -> tuple[Section, ...]:
    """The sections that the modules of a package declare, in the order of the page; where two have the same ``order``,
    by id. Raises ValueError where an id is declared twice, or a section stands within one that is not there or that
    itself stands within another."""
    by_id: dict[str, Section] = {}
    for info in pkgutil.iter_modules(package.__path__):
        module = importlib.import_module(f"{package.__name__}.{info.name}")
        for section in (v for v in vars(module).values() if isinstance(v, Section)):
            if by_id.setdefault(section.id, section) is not section:
                raise ValueError(f"section '{section.id}' is declared twice, once in {module.__name__}")
    outer = {section.id for section in by_id.values() if not section.within}
    for section in by_id.values():
        if section.within and section.within not in outer:
            raise ValueError(f"section '{section.id}' stands within '{section.within}', which is no section of its own "
                             f"(there are: {', '.join(sorted(outer))})")  # fmt: skip
    return tuple(sorted(by_id.values(), key=lambda s: (s.order, s.id)))
