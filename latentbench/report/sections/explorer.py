"""The latent explorer: a reader moves a code and sees what it decodes to, computed in the page by the model's own weights.

A decoder that the run kept as plain numbers travels in the page, up to `BUDGET` weights in all, the first models first. Of
the others a grid of decoded points over the two leading dimensions does, and the page says so.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from markupsafe import Markup

from latentbench.artifact_schema import ACTIVATIONS, DECODER_WEIGHTS, OWN_SAMPLER, SAMPLERS
from latentbench.report import classes
from latentbench.report.cards import Card, cards
from latentbench.report.columns import Column
from latentbench.report.drawing import images, sheets
from latentbench.report.drawing.images import Picture
from latentbench.report.folder import Absent, Array, Artifact, RunFolder
from latentbench.report.page_view import PageView
from latentbench.report.section import Context, Section
from latentbench.report.templates import script_data
from latentbench.report.wording import words
from latentbench.report.wording.language import marked, say

BUDGET = 560_000
"""Weights of decoders in a page, all models together: 1.5 MB of it, two decoders of MNIST's size."""
WIDE = 1024
"""Latent dimensions up to which a page holds the codes."""
STEPS = 32_767
"""Steps of 16 bits from 0 to the largest number of a row."""
SIDE = 96
"""Pixels that a picture of the grid is long at most."""
LINE = 128
"""Grey of the lines between still pictures."""
NO_CHAIN = marked(
    "The decoder of {model} is no chain of linear layers that a page can compute: a grid of its decoded points stands in."
)
OUTPUTS = ("identity", "sigmoid", "tanh")
"""Functions that may stand behind a decoder's last layer, as the script knows them."""


class Walk(NamedTuple):
    """One model in the explorer: what its script reads (``data``), ``why`` it is a grid (empty: it is decoded live), a
    ``still`` picture and what that shows (``alt``)."""

    data: Mapping[str, Any]
    why: str
    still: Picture
    alt: str


def walk(column: Column, weights: int) -> Walk:
    """One model's part; its decoder where it has at most ``weights`` weights. Raises Absent where the run holds none."""
    artifact = column.run.artifact("explorer", column.model)
    grid, order = _reduced(artifact.need("grid")), artifact.need("order").astype(int)
    mean, spread = (artifact.need(name).astype(float) for name in ("mean", "spread"))
    if not (mean.shape == spread.shape and set(order.tolist()) <= set(range(len(mean)))):
        raise Absent(say("Not drawn: the explorer of {model} does not fit its dimensions.", model=column.label))
    data: dict[str, Any] = {
        "label": column.label, "model": column.model, "order": order.tolist(), "mean": _rounded(mean), "spread": _rounded(spread),
        "kl": _rounded(artifact.need("kl")) if "kl" in artifact else None,
    }  # fmt: skip
    why = _why(artifact, column, len(mean), weights)
    dims = [int(k) for k in artifact.detail.get("dims") or ()]
    live = {} if why else _live(artifact, len(mean))
    data |= live or _frames(artifact, grid, dims)
    return Walk(data, why, _still(grid), _alt(column, dims))


def _why(artifact: Artifact, column: Column, d: int, weights: int) -> str:
    """Why a decoder is not in the page, in a sentence; empty where it is."""
    count = int(artifact.detail.get("weights") or 0)
    if "weight" not in artifact:
        if count > DECODER_WEIGHTS:
            text = marked(
                "The decoder of {model} has {n} weights, more than a page carries ({most}): a grid of its decoded points stands in."
            )
            return say(text, model=column.label, n=words.count(count), most=words.count(DECODER_WEIGHTS))
        return say(NO_CHAIN, model=column.label)
    known = (
        all(name in ACTIVATIONS for name, _ in artifact.detail["activations"])
        and artifact.detail["output"][0] in OUTPUTS
    )
    if d > WIDE:
        text = marked(
            "The latent space of {model} has {n} dimensions, more than a page carries ({most}): a grid of decoded points stands in."
        )
        return say(text, model=column.label, n=words.count(d), most=words.count(WIDE))
    if not known:
        return say(NO_CHAIN, model=column.label)
    if count > weights:
        text = marked("This page carries no more decoders: a grid of decoded points stands in for that of {model}.")
        return say(text, model=column.label)
    return ""


def _live(artifact: Artifact, d: int) -> dict[str, Any]:
    """What the script computes with: the decoder, the codes, the samplers."""
    sizes = artifact.need("sizes").astype(int)
    weight, scale, bias = (artifact.need(name) for name in ("weight", "scale", "bias"))
    codes, index = artifact.need("codes"), artifact.need("index").astype(int)
    fits = (
        len(sizes) > 1 and sizes[0] == d and len(weight) == int((sizes[:-1] * sizes[1:]).sum())
        and len(scale) == len(bias) == int(sizes[1:].sum()) and codes.shape == (len(index), d)
        and len(artifact.detail["activations"]) == len(sizes) - 1
    )  # fmt: skip
    if not fits:
        raise ValueError("sizes of layers")
    detail = artifact.detail
    out: dict[str, Any] = {
        "sizes": sizes.tolist(), "weight": _base64(weight, "<i2"), "scale": _base64(scale, "<f4"), "bias": _base64(bias, "<f4"),
        "activations": detail["activations"], "output": detail["output"], "space": str(detail.get("space", "image")),
        "shape": list(detail["shape"]), "low": float(detail["low"]), "high": float(detail["high"]),
        "radius": float(detail.get("radius") or 0.0), "index": index.tolist(), "codes": _packed(codes.T),
        "columns": [str(name) for name in detail.get("columns") or ()], "samplers": {},
    }  # fmt: skip
    if "x" in artifact:
        out["x"] = _packed(artifact.need("x"))
    for sampler in (OWN_SAMPLER, *SAMPLERS[1:]):
        if f"{sampler}_root" in artifact:
            root = artifact.need(f"{sampler}_root")
            out["samplers"][sampler] = {
                "weight": _rounded(artifact.need(f"{sampler}_weight")), "mean": _packed(artifact.need(f"{sampler}_mean")),
                "root": _packed(root.reshape(-1, root.shape[-1])), "full": root.ndim == 3,
            }  # fmt: skip
    return out


def _frames(artifact: Artifact, grid: Array, dims: Sequence[int]) -> dict[str, Any]:
    """Decoded points of the two leading dimensions in one picture."""
    whole = sheets.mosaic(grid)
    return {
        "frames": whole.uri, "rows": grid.shape[0], "tile": [grid.shape[3], grid.shape[2]],
        "dims": list(dims), "steps": artifact.detail.get("steps") or [0.0],
    }  # fmt: skip


def _reduced(grid: Array) -> Array:
    """The pictures averaged down to at most `SIDE` pixels on the longer side."""
    rows, columns, h, w = grid.shape[:4]
    factor = -(-max(h, w) // SIDE)
    if factor == 1:
        return grid
    down, across = (min(factor, side) for side in (h, w))
    cut = grid[:, :, : h // down * down, : w // across * across]
    blocks = cut.reshape(rows, columns, h // down, down, w // across, across, *grid.shape[4:])
    return np.asarray(blocks.mean(axis=(3, 5)).round().astype(np.uint8))


def _still(grid: Array) -> Picture:
    """Some points of the grid, evenly, with lines between them."""
    some = grid[tuple(slice(1, None, 3) if n > 1 else slice(None) for n in grid.shape[:2])]
    around = [(0, 0), (0, 0), (1, 1), (1, 1), *[(0, 0)] * (grid.ndim - 4)]
    return sheets.mosaic(np.pad(some, around, constant_values=LINE))


def _alt(column: Column, dims: Sequence[int]) -> str:
    if len(dims) == 2:
        text = marked(
            "Decoded by {model}: dimension {a} from left to right, dimension {b} from below, all others at the mean code"
        )
        return say(text, model=column.label, a=dims[0] + 1, b=dims[1] + 1)
    if dims:
        text = marked("Decoded by {model}: dimension {a} from left to right, all others at the mean code")
        return say(text, model=column.label, a=dims[0] + 1)
    return say("Decoded by {model}: the mean code; no dimension is active", model=column.label)


def _originals(run: RunFolder) -> dict[str, Any]:
    """The held-out samples that codes belong to: their numbers, classes, and one picture of all."""
    try:
        data = run.artifact("data")
        thumbs = data.need("thumbs")
        label, names = classes.classes_of(run, len(thumbs))
    except Absent:
        return {"index": []}
    sheet = images.sprite(thumbs)
    uri = sheet.picture.uri
    return {
        "index": np.asarray(data.arrays.get("index", np.arange(len(thumbs)))).astype(int).tolist(), "sheet": uri,
        "columns": sheet.columns, "tile": [sheet.tile_width, sheet.tile_height],
        "label": label.tolist() if names else [], "classes": list(names),
    }  # fmt: skip


def _base64(values: Array, kind: str) -> str:
    return base64.b64encode(np.ascontiguousarray(values).astype(kind).tobytes()).decode("ascii")


def _packed(rows: Array) -> dict[str, Any]:
    """Rows of numbers (n, m) in 16 bits, each row with a scale of its own."""
    rows = np.nan_to_num(np.asarray(rows, float))
    most = np.abs(rows).max(1, initial=0.0)
    scale = np.where(most > 0, most / STEPS, 1.0).astype("<f4")
    steps = np.clip(np.rint(rows / scale[:, None].astype(float)), -STEPS, STEPS)
    return {"steps": _base64(steps, "<i2"), "scale": _base64(scale, "<f4"), "rows": len(rows)}


def _rounded(values: Array) -> list[float]:
    return [float(f"{v:.6g}") for v in np.nan_to_num(np.asarray(values, float)).tolist()]


def _context(view: PageView) -> Context:
    left = BUDGET

    def within(column: Column) -> Walk:
        nonlocal left
        made = walk(column, left)
        if not made.why:
            left -= len(base64.b64decode(made.data["weight"])) // 2
        return made

    made: list[Card] = cards(view.pictured, within)
    shown = [card for card in made if card.content]
    runs = [run for run in view.runs if any(card.column.run is run for card in shown)]
    models = [{**card.content.data, "run": runs.index(card.column.run), "m": card.column.m} for card in shown]
    live = any(not card.content.why for card in shown)
    own = any(OWN_SAMPLER in card.content.data.get("samplers", ()) for card in shown)
    drawn = (OWN_SAMPLER, *SAMPLERS) if own else SAMPLERS
    return {
        "cards": shown,
        "missing": [card.missing for card in made if card.missing],
        "live": live,
        "samplers": [(key, say(words.SAMPLER_NAMES[key][0])) for key in drawn] if live else [],
        "seeds": words.listed([str(s) for s in dict.fromkeys(_seed(card.column) for card in shown) if s is not None]),
        "mapped": any((card.column.latent_dim or 0) > 2 and _has_map(card.column) for card in shown),
        "data": script_data({"runs": [_originals(run) for run in runs], "models": models}) if shown else Markup(""),
    }


def _seed(column: Column) -> int | None:
    return column.run.artifact("explorer", column.model).seed


def _has_map(column: Column) -> bool:
    rows = column.run.of_model.get(column.model, ())
    return any(r.kind == "artifact" and r.metric == "map" and r.status == "ok" for r in rows)


TEXTS = marked({
    "walk_dimension": "dimension {n}",
    "walk_kl": "KL {value}",
    "walk_spread": "sd {value}",
    "walk_units": "{value} sd",
    "walk_named": "test image {index} ({name})",
    "walk_image": "test image {index}",
    "walk_mean": "the mean code",
    "walk_moved": "a code moved by hand",
    "walk_between": "{share} of the way from A to B",
    "walk_draw": "draw {n} from {sampler}",
    "walk_decoded": "Decoded: {what}",
    "walk_near": "Nearest code: {image}, {distance} radii away.",
    "walk_nearest": "Nearest code: {image}.",
    "walk_original": "{image}, original",
    "walk_back": "{image}, reconstructed",
    "walk_line": "The straight line from {a} to {b}, decoded at 11 points",
    "walk_fade": "Cross-fade of the decoded ends, {a} and {b}",
    "walk_stretch": "The longest of {n} steps is {ratio} times an even one.",
    "walk_same": "Nothing changes along this line.",
    "walk_more": "{n} more active dimensions",
    "walk_left": "{n} further active dimensions have no slider.",
    "walk_none": "No dimension is active, so none has a slider.",
})  # fmt: skip
SECTION = Section("explorer", marked("Explorer"), "explorer.html.jinja", _context, order=650, texts=TEXTS)
