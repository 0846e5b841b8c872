"""Interactive maps of the latent spaces: one bokeh document a run, one figure a model, one sprite of thumbnails.

All maps of a run share one data source, so a point chosen on one is chosen on all, and one filter, so a class shown on one
is shown on all. Each map is one scatter whose colours are a column of the source (the page's script writes another one
there), rings for the prior's draws, and a ring where the keyboard is. Tooltips live in a shadow root,
which style sheets do not enter but custom properties do: the sprite reaches them as ``--sprite``, written once in the
page. Nothing here needs ``eval``: callbacks are the page's own script, not bokeh's CustomJS, so the content security
policy can forbid it. Identifiers are renumbered, so equal records give an equal page.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from latentbench.report.drawing import figures
from latentbench.report.drawing.images import Sprite, shown_size
from latentbench.report.folder import Array
from latentbench.report.wording.language import say

PALETTE = ("#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6", "#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd")
"""Petroff (2021), ten colours told apart with and without colour-vision deficiency; the style sheet repeats them."""

SCALE = (
    "#440154",
    "#482475",
    "#414487",
    "#355f8d",
    "#2a788e",
    "#21918c",
    "#22a884",
    "#44bf70",
    "#7ad151",
    "#bddf26",
    "#fde725",
)
"""Viridis (Smith & van der Walt 2015), from dark to light in even steps for the eye, with colour-vision deficiency too. What
is more stands out: it is light on the dark page and dark on the light one."""

TOOLTIP = """<div class="lb-tip" style="display:grid;gap:4px;justify-items:center;font:12px system-ui,sans-serif">
<div style="width:{width}px;height:{height}px;background-image:var({sprite});background-size:{sheet_w}px {sheet_h}px;
background-position:@px% @py%;image-rendering:pixelated"></div><div>@name</div><div>{image}</div><div>@told{i}</div></div>"""


class Map(NamedTuple):
    """One model's points (m, 2), the label of its drawing, and of the prior's draws those that have places of their own
    (k, 2), where the map is the latent space itself, with the share of the map's radius (k,) that lies in holes."""

    model: str
    xy: Array
    label: str
    draws: Array | None = None
    lost: Array | None = None


class Interactive(NamedTuple):
    """What the page's script embeds: the document, its id, and for each map the id of its figure."""

    document: Mapping[str, Any]
    roots: Sequence[str]


def packed(values: Array) -> str:
    """Numbers for the page's script, base64 of their little-endian bytes."""
    return base64.b64encode(np.ascontiguousarray(values, values.dtype.newbyteorder("<")).tobytes()).decode("ascii")


def interactive(
    maps: Sequence[Map], classes: Array, index: Array, sheet: Sprite, sprite: str,
    centres: Sequence[Sequence[figures.Centre]],
) -> Interactive:  # fmt: skip
    """The bokeh document of one run's maps. ``classes`` (m,) are the points' numbers, ``index`` (m,) those of their images;
    ``sprite`` is the custom property that holds the sheet; ``centres`` are the class names' places on each map. The script
    adds the columns that tooltips read: ``name`` and, a map each, ``told0``, ``told1``, ..."""
    from bokeh.document import Document
    from bokeh.models import CDSView, ColumnDataSource, IndexFilter

    m = len(classes)
    places = np.array([sheet.shares(k) for k in range(m)], np.float32).reshape(m, 2)
    colours = np.array([int(f"{colour[1:]}ff", 16) for colour in PALETTE], np.uint32)
    columns: dict[str, Any] = {
        "index": np.asarray(index, np.int32),
        "mark": [figures.marker(int(k)) for k in classes],
        "px": np.ascontiguousarray(places[:, 0]),
        "py": np.ascontiguousarray(places[:, 1]),
        "colour": colours[np.asarray(classes, int) % len(PALETTE)],
    }
    for i, one in enumerate(maps):
        columns[f"x{i}"], columns[f"y{i}"] = (np.ascontiguousarray(one.xy[:, j], np.float32) for j in (0, 1))
    source = ColumnDataSource(columns, name="points")
    cursor = ColumnDataSource({name: [] for name in columns if name[0] in "xy"}, name="cursor")
    view = CDSView(filter=IndexFilter(indices=None, name="shown"))
    document = Document(title="")
    for i, one in enumerate(maps):
        document.add_root(_figure(i, one, source, cursor, view, sheet, sprite, centres[i]))
    plain = document.to_json(deferred=False)
    return _renumbered(plain, [r.id for r in document.roots])


def _figure(
    i: int, one: Map, source: Any, cursor: Any, view: Any, sheet: Sprite, sprite: str, centres: Sequence[figures.Centre]
) -> Any:
    """One map: no axes (UMAP's have no meaning), the points, the overlays, names at the classes' medians."""
    from bokeh.models import BoxSelectTool, HoverTool, LassoSelectTool, PanTool, Range1d, TapTool, WheelZoomTool
    from bokeh.models.annotations import LabelSet
    from bokeh.models.sources import ColumnDataSource
    from bokeh.plotting import figure

    low, high = one.xy.min(0).astype(float), one.xy.max(0).astype(float)
    half = float((high - low).max()) / 2 * 1.06 or 1.0
    middle = (low + high) / 2
    plot: Any = figure(
        x_range=Range1d(middle[0] - half, middle[0] + half),
        y_range=Range1d(middle[1] - half, middle[1] + half),
        sizing_mode="stretch_width", aspect_ratio=1, min_width=200, tools=[], toolbar_location=None, output_backend="canvas",
        background_fill_alpha=0, border_fill_alpha=0, outline_line_color=None,
    )  # fmt: skip
    plot.axis.visible = False
    plot.grid.visible = False
    plot.min_border = 0
    size = 9 if len(one.xy) <= 800 else 6
    points = plot.scatter(
        f"x{i}", f"y{i}", source=source, view=view, size=size, marker={"field": "mark"}, name="marks",
        fill_color={"field": "colour"}, line_color={"field": "colour"}, fill_alpha=0.85, line_alpha=0.9, line_width=0.6,
        nonselection_fill_alpha=0.22, nonselection_line_alpha=0.22,
        selection_fill_alpha=1.0, selection_line_color="#808080", selection_line_width=2.5,
    )  # fmt: skip
    if one.draws is None:
        for name, dash in (("draws", "solid"), ("lost", [4, 3])):
            plot.scatter(
                f"x{i}", f"y{i}", source=source, view=view, marker="circle", size=0, name=name, visible=False,
                fill_color=None, line_color="#808080", line_width=1.6, line_dash=dash, nonselection_line_alpha=0.5,
            )  # fmt: skip
    else:
        lost = np.zeros(len(one.draws), bool) if one.lost is None else np.asarray(one.lost, bool)
        for name, shape, some in (("draws", "cross", ~lost), ("lost", "x", lost)):
            x, y = (np.ascontiguousarray(one.draws[some, j], np.float32) for j in (0, 1))
            plot.scatter(
                "x", "y", source=ColumnDataSource({"x": x, "y": y}), marker=shape, size=7, name=name, visible=False,
                line_color="#808080", line_width=1.4,
            )  # fmt: skip
    plot.scatter(
        f"x{i}", f"y{i}", source=cursor, marker="circle", size=20, name="here",
        fill_color=None, line_color="#808080", line_width=3,
    )  # fmt: skip
    height, width = shown_size(sheet.tile_height, sheet.tile_width, 72)
    tip = TOOLTIP.format(
        width=width, height=height, sprite=sprite, sheet_w=width * sheet.columns, sheet_h=height * sheet.rows, i=i,
        image=say("test image {number}", number="@index"),
    )  # fmt: skip
    plot.add_tools(
        PanTool(name="pan"), BoxSelectTool(name="box", renderers=[points]), LassoSelectTool(name="lasso", renderers=[points]),
        WheelZoomTool(name="zoom"), HoverTool(tooltips=tip, renderers=[points], point_policy="snap_to_data", limit=3),
        TapTool(renderers=[points]),
    )  # fmt: skip
    plot.toolbar.active_drag = None
    plot.toolbar.active_scroll = None
    if centres:
        places = {name: [getattr(c, name) for c in centres] for name in ("x", "y", "name", "number")}
        words = ColumnDataSource(places)
        # The outline is drawn over the letters, so the halo is a set of labels of its own beneath the names.
        for name, style in (
            ("halos", {"text_color": "#ffffff", "text_outline_color": "#ffffff", "text_outline_width": 4}),
            ("names", {"text_color": "#1d2127"}),
        ):
            plot.add_layout(
                LabelSet(
                    x="x", y="y", text="name", source=words, name=name, text_align="center", text_baseline="middle",
                    text_font_size="16px", text_font_style="bold", text_font={"value": "sans-serif"}, **style,
                )
            )  # fmt: skip
    return plot


def _renumbered(document: Any, roots: Sequence[str]) -> Interactive:
    """The document with its models' ids replaced by p1, p2, ... in order of appearance."""
    ids: dict[str, str] = {}

    def rename(node: Any) -> Any:
        if isinstance(node, dict):
            if isinstance(node.get("id"), str) and (len(node) == 1 or node.get("type") == "object"):
                ids.setdefault(node["id"], f"p{len(ids) + 1}")
                node = {**node, "id": ids[node["id"]]}
            return {k: rename(v) for k, v in node.items()}
        if isinstance(node, list):
            return [rename(v) for v in node]
        return node

    renamed = rename(document)
    return Interactive(renamed, [ids[r] for r in roots])


@cache
def library() -> str:
    """BokehJS itself, the core component only: tables, widgets and WebGL are not used here."""
    from bokeh.resources import Resources

    resources = Resources(mode="inline", components=["bokeh"])
    return "\n".join(resources.js_raw)
