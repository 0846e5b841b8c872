"""Interactive maps of the latent spaces: one bokeh document a run, one figure a model, one sprite of thumbnails.

All maps of a run share one data source, so a point chosen on one is chosen on all. Tooltips live in a shadow root,
which style sheets do not enter but custom properties do: the sprite reaches them as ``--sprite``, written once in the
page. Nothing here needs ``eval``: callbacks are the page's own script, not bokeh's CustomJS, so the content security
policy can forbid it. Identifiers are renumbered, so equal records give an equal page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from latentbench.report.drawing import figures
from latentbench.report.drawing.images import Sprite, shown_size
from latentbench.report.folder import Array
from latentbench.report.wording.language import marked, say

PALETTE = ("#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6", "#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd")
"""Petroff (2021), ten colours told apart with and without colour-vision deficiency; the style sheet repeats them."""

TOOLTIP = """<div class="lb-tip" style="display:grid;gap:4px;justify-items:center;font:12px system-ui,sans-serif">
<div style="width:{width}px;height:{height}px;background-image:var({sprite});background-size:{sheet_w}px {sheet_h}px;
background-position:@px% @py%;image-rendering:pixelated"></div><div>@name</div><div style="opacity:.7">{image}</div></div>"""


TOOLS = marked(("Pan", "Wheel Zoom", "Box Select", "Reset"))
"""What the buttons above a map are called; in English bokeh calls them so itself."""


class Map(NamedTuple):
    """One model's points (m, 2) and the label of its drawing."""

    model: str
    xy: Array
    label: str


class Interactive(NamedTuple):
    """What the page's script embeds: the document, its id, and for each map the id of its figure."""

    document: Mapping[str, Any]
    roots: Sequence[str]


def interactive(
    maps: Sequence[Map], classes: Array, names: Sequence[str], index: Array, sheet: Sprite, sprite: str,
    centres: Sequence[Sequence[figures.Centre]],
) -> Interactive:  # fmt: skip
    """The bokeh document of one run's maps. ``classes`` (m,) numbers into ``names``; ``sprite`` is the custom property
    that holds the sheet; ``centres`` are the class names' places on each map."""
    from bokeh.document import Document
    from bokeh.models import CDSView, ColumnDataSource, IndexFilter

    places = np.round([sheet.shares(k) for k in range(len(classes))], 4)
    columns: dict[str, Any] = {
        "index": index.tolist(),
        "name": [names[k] if names else "" for k in classes],
        "px": places[:, 0].tolist(),
        "py": places[:, 1].tolist(),
    }
    for i, one in enumerate(maps):
        columns[f"x{i}"], columns[f"y{i}"] = (np.round(one.xy[:, j].astype(float), 3).tolist() for j in (0, 1))
    source = ColumnDataSource(columns, name="points")
    groups = max(1, len(names))
    views = [CDSView(filter=IndexFilter(indices=np.flatnonzero(classes == k).tolist())) for k in range(groups)]
    document = Document(title="")
    for i, one in enumerate(maps):
        document.add_root(_figure(i, one, source, views, sheet, sprite, centres[i]))
    plain = document.to_json(deferred=False)
    return _renumbered(plain, [r.id for r in document.roots])


def _figure(
    i: int, one: Map, source: Any, views: Sequence[Any], sheet: Sprite, sprite: str, centres: Sequence[figures.Centre]
) -> Any:
    """One map: no axes (UMAP's have no meaning), one scatter a class, names at the classes' medians."""
    from bokeh.models import HoverTool, Range1d, TapTool
    from bokeh.models.annotations import LabelSet
    from bokeh.models.sources import ColumnDataSource
    from bokeh.plotting import figure

    low, high = one.xy.min(0).astype(float), one.xy.max(0).astype(float)
    half = float((high - low).max()) / 2 * 1.06 or 1.0
    middle = (low + high) / 2
    plot: Any = figure(
        x_range=Range1d(middle[0] - half, middle[0] + half),
        y_range=Range1d(middle[1] - half, middle[1] + half),
        sizing_mode="stretch_width", aspect_ratio=1, min_width=200,
        tools="pan,wheel_zoom,box_select,reset", active_drag=None, toolbar_location="above", output_backend="canvas",
        background_fill_alpha=0, border_fill_alpha=0, outline_line_color="#8a8f98", outline_line_alpha=0.45,
    )  # fmt: skip
    plot.axis.visible = False
    plot.grid.visible = False
    plot.toolbar.logo = None
    plot.min_border = 0
    for tool, word in zip(plot.tools, TOOLS, strict=True):
        tool.description = say(word) if say(word) != word else None
    size = 9 if len(one.xy) <= 800 else 6
    scatters = [
        plot.scatter(
            f"x{i}", f"y{i}", source=source, view=view, size=size, marker=figures.marker(k), name=f"class{k}",
            color=PALETTE[k % len(PALETTE)], fill_alpha=0.85, line_alpha=0.9, line_width=0.6,
            nonselection_fill_alpha=0.22, nonselection_line_alpha=0.22,
            selection_fill_alpha=1.0, selection_line_color="#808080", selection_line_width=2.5,
        )
        for k, view in enumerate(views)
    ]  # fmt: skip
    height, width = shown_size(sheet.tile_height, sheet.tile_width, 72)
    tip = TOOLTIP.format(
        width=width, height=height, sprite=sprite, sheet_w=width * sheet.columns, sheet_h=height * sheet.rows,
        image=say("test image {number}", number="@index"),
    )  # fmt: skip
    plot.add_tools(
        HoverTool(tooltips=tip, renderers=scatters, point_policy="snap_to_data", visible=False, limit=3),
        TapTool(renderers=scatters, visible=False),
    )
    if centres:
        places = {"x": [c.x for c in centres], "y": [c.y for c in centres], "name": [c.name for c in centres]}
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
