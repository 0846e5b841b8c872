"""How figures look: widths, sizes of text, colours and marks, and how they become files.

Lengths are inches; an *em* is the size of the text. Nothing here touches matplotlib's own state: settings hold inside
`drawing` and are those of matplotlib as shipped, not of the user's matplotlibrc, so that equal runs give equal figures.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import matplotlib as mpl
import seaborn as sns
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator
from numpy.typing import NDArray

from latentbench.refusals import unknown

Item = TypeVar("Item")

MODELS = ("#0b62a8", "#c24e08", "#00775a", "#98397f", "#6a6500", "#1f86ad", "#7b4b2a", "#555b63")
CLASSES = (
    "#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6", "#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd",
)  # fmt: skip
"""The page's colours of models and of classes, on white paper: both are told apart by the colour-blind, and each has its own
mark besides."""
MARKS: tuple[Any, ...] = ("o", "s", "^", "D", "v", "*", "h", "P", (3, 1, 0), (4, 1, 45))
"""The page's marks, as matplotlib names them."""
INK, MUTED, RULE = "#1d2127", "#5b636e", "#dfe3e7"

POINTS = {"paper": 7.0, "talk": 11.0}
"""Size of the text of each style."""
INCHES = {"in": 1.0, "cm": 1 / 2.54, "mm": 1 / 25.4}
NARROWEST, WIDEST = 3.0, 20.0
DPI = 300
FALLBACK = ("Noto Sans CJK SC", "Noto Sans CJK JP", "PingFang SC", "Microsoft YaHei", "WenQuanYi Micro Hei")
"""Fonts for what the first one has no glyphs for, such as Chinese names of classes; those that are there."""
METADATA: Mapping[str, Mapping[str, Any]] = {
    "pdf": {"CreationDate": None, "ModDate": None, "Creator": "latentbench", "Producer": None},
    "svg": {"Date": None, "Creator": "latentbench"},
    "png": {"Software": None},
}


@dataclass(frozen=True)
class Look:
    """The ``width`` of a figure in inches, and its ``style``."""

    width: float
    style: str

    @property
    def points(self) -> float:
        """Size of the text."""
        return POINTS[self.style]

    @property
    def em(self) -> float:
        """The same in inches."""
        return self.points / 72

    @property
    def ems(self) -> float:
        """How many of them the width is."""
        return self.width / self.em

    def columns(self, least: float, most: int, taken: float = 0.0) -> int:
        """How many panels of ``least`` ems stand side by side, with ``taken`` ems beside them."""
        return max(1, min(most, int((self.ems - taken) / least)))


def look(width: str, style: str) -> Look:
    """Raises ValueError, one line, for a width that is none or that nothing can be read at, and for an unknown style."""
    if style not in POINTS:
        raise unknown("style", style, POINTS)
    found = re.fullmatch(r"(\d{1,4}(?:\.\d{1,4})?)\s*(in|cm|mm)", width.strip())
    inches = float(found[1]) * INCHES[found[2]] if found else 0.0
    if not NARROWEST <= inches <= WIDEST:
        raise ValueError(
            f"width: '{width}' is not allowed: write 3.25in (a column), 6.75in (a page), or another width from "
            f"{NARROWEST:g}in to {WIDEST:g}in, also in cm or mm"
        )
    return Look(inches, style)


@contextmanager
def drawing(look: Look) -> Iterator[None]:
    """The settings that figures are made and saved with."""
    kept = ("backend", "interactive", "toolbar", "timezone", "webagg", "tk.", "figure.max_open", "date.epoch")
    shipped = {k: v for k, v in mpl.rcParamsDefault.items() if not k.startswith(kept)}
    there = {font.name for font in fontManager.ttflist}
    size = look.points
    own = {
        **sns.axes_style("ticks"),
        "font.family": ["DejaVu Sans", *(f for f in FALLBACK if f in there)],
        "font.size": size,
        "axes.titlesize": size, "axes.labelsize": size, "legend.fontsize": size,
        "xtick.labelsize": size * 0.93, "ytick.labelsize": size * 0.93,
        "axes.titlelocation": "left", "axes.titlepad": size * 0.5, "axes.labelpad": size * 0.3,
        "axes.linewidth": size * 0.08, "lines.linewidth": size * 0.16, "lines.markersize": size * 0.6,
        "xtick.major.size": size * 0.35, "ytick.major.size": size * 0.35,
        "xtick.major.width": size * 0.08, "ytick.major.width": size * 0.08,
        "xtick.major.pad": size * 0.3, "ytick.major.pad": size * 0.3,
        "xtick.minor.bottom": False, "ytick.minor.left": False,
        "axes.edgecolor": MUTED, "xtick.color": MUTED, "ytick.color": MUTED,
        "xtick.labelcolor": INK, "ytick.labelcolor": INK, "text.color": INK, "axes.labelcolor": INK,
        "grid.color": RULE, "grid.linewidth": size * 0.08,
        "legend.frameon": False, "legend.handlelength": 1.6, "legend.handletextpad": 0.5, "legend.columnspacing": 1.4,
        "figure.constrained_layout.h_pad": look.em * 0.45, "figure.constrained_layout.w_pad": look.em * 0.4,
        "savefig.dpi": DPI, "pdf.fonttype": 42, "svg.fonttype": "path", "svg.hashsalt": "latentbench",
    }  # fmt: skip
    with mpl.rc_context({**shipped, **own}):
        yield


def new(look: Look, height: float) -> Figure:
    """An empty figure of the look's width."""
    figure = Figure(figsize=(look.width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def panels(grid: NDArray[Any], shown: Iterable[Item]) -> Iterator[tuple[Axes, Item]]:
    """The axes of a grid with what each shows, row by row; those that are left over are hidden."""
    items = list(shown)
    for axes in grid.flat[len(items) :]:
        axes.set_visible(False)
    yield from zip(grid.flat, items, strict=False)


def settle(figure: Figure) -> None:
    """Lay the figure out, once and for all: each drawing would move it a little, and the files would hang on their order."""
    for _ in range(2):
        figure.canvas.draw()
    figure.set_layout_engine("none")


def encode(figure: Figure, format_: str) -> bytes:
    """A figure as the bytes of a file; inside `drawing`."""
    out = io.BytesIO()
    figure.savefig(out, format=format_, dpi=DPI, metadata=dict(METADATA[format_]))
    return out.getvalue()


def few(most: int, whole: bool = False) -> MaxNLocator:
    """Round ticks, at most this many intervals of them."""
    return MaxNLocator(most, steps=[1, 2, 5, 10], integer=whole)


def decades(axis: Axis) -> None:
    """Ticks of a logarithmic axis: powers of ten, and 2 and 5 between them where there are few; as plain numbers."""
    low, high = axis.get_view_interval()
    few_ = high < low * 50
    axis.set_major_locator(LogLocator(10, subs=(1.0, 2.0, 5.0) if few_ else (1.0,), numticks=12))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())


def model_colour(m: int) -> str:
    """The colour of a run's model number m."""
    return MODELS[m % len(MODELS)]


def mark(i: int) -> Any:
    """The mark of a model or class number i."""
    return MARKS[i % len(MARKS)]


def area(i: int) -> float:
    """How much larger the mark of number i is drawn than a circle to look as large."""
    return {"*": 2.0, "h": 1.15, "P": 1.25, "D": 0.85}.get(MARKS[i % len(MARKS)], 1.0 if i % len(MARKS) < 8 else 2.6)


def dot(colour: str, marker: Any, label: str = "", filled: bool = True, line: Any = "none") -> Line2D:
    """An entry of a legend."""
    return Line2D(
        [], [], color=colour, marker=marker, linestyle=line, label=label, markerfacecolor=colour if filled else "white",
        markeredgecolor=colour,
    )  # fmt: skip


def legend(figure: Figure, look: Look, handles: Sequence[Artist]) -> None:
    """Entries below the figure, as many a row as their words leave room for; `legend_height` is what to allow for them."""
    if handles:
        columns = _abreast(look, handles)
        figure.legend(handles=list(handles), loc="outside lower left", ncols=columns, borderaxespad=0.2)


def legend_height(look: Look, handles: Sequence[Artist]) -> float:
    """The height that `legend` takes."""
    return (-(-len(handles) // _abreast(look, handles)) * 1.6 + 0.6) * look.em if handles else 0.0


def _abreast(look: Look, handles: Sequence[Artist]) -> int:
    longest = max(len(str(h.get_label())) for h in handles)
    return max(1, min(len(handles), int(look.ems / (longest * 0.58 + 4.2))))
