"""Figures for papers and talks, of a run folder's records and pictures: PDF, SVG and PNG of an exact width, each with the
numbers that it is drawn from and one caption.

`write` makes the files, `draw` one figure to work on. Whoever imports this loads no library that draws: seaborn and
matplotlib are loaded by the first figure, here and nowhere else in the package.

A figure says no more than the page does: its caption names the seeds, what the bars are and what they hold for, which
models collapsed, and what was left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from latentbench.refusals import unknown

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from latentbench.figures.writing import WrittenFigure
    from latentbench.records import Record

__all__ = ["FORMATS", "NAMES", "STYLES", "draw", "draw_records", "write"]

NAMES = ("scores", "continuity", "completeness", "holes", "maps", "posterior", "frontier", "training")
"""The figures, in the order of the captions."""
FORMATS = ("pdf", "svg", "png")
STYLES = ("paper", "talk")
WIDTH = "6.75in"
"""The width of a page of text; a column's is 3.25in."""


def write(
    folder: Path,
    out: Path | None = None,
    formats: Sequence[str] = FORMATS,
    width: str = WIDTH,
    style: str = "paper",
    names: Sequence[str] = (),
) -> WrittenFigure:
    """Draw the figures of a run folder into ``out`` (by default its folder ``figures``), a file a format, with NAME.csv
    beside each and captions.md.

    ``names``: which figures, all that the run has the numbers and pictures for where none is named. ``width`` is that of
    the files, such as 3.25in, 6.75in, 88mm. Equal folders give equal SVG files, byte for byte, where the same libraries
    draw them.

    Raises ValueError, one line, before anything is written: for an unknown name, format, style or width, a folder that is
    no finished run's, one in ``out`` that is not empty, a figure asked for that cannot be drawn, or a run of which none can.
    """
    from latentbench.figures import writing

    return writing.write(folder, out, formats, width, style, names)


def draw(folder: Path, name: str, width: str = WIDTH, style: str = "paper") -> Figure:
    """One figure of a run folder, as matplotlib has it; no window is opened, and nothing of matplotlib's own state is
    touched. Raises ValueError, one line, for an unknown name, width or style, and for a figure that cannot be drawn of this
    run, with the reason."""
    _known(name)
    from latentbench.figures import writing

    return writing.draw(writing.read(Path(folder)), name, width, style).figure


def draw_records(records: Sequence[Record], name: str, width: str = WIDTH, style: str = "paper") -> Figure:
    """The same of records that lie in no folder: what needs pictures cannot be drawn of them."""
    _known(name)
    from latentbench.figures import writing

    return writing.draw(writing.run_of(records), name, width, style).figure


def _known(name: str) -> None:
    if name not in NAMES:
        raise unknown("figure", name, NAMES)
