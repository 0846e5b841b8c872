"""Continuity: the images on the straight line between two codes, with the judge's word, and how long each step is."""

from __future__ import annotations

from typing import Any

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from latentbench.figures import look as looks
from latentbench.figures.drawn import Drawn, PaperFigure, Subject, caveats, sentences
from latentbench.figures.look import Look
from latentbench.figures.pictures import show
from latentbench.report.classes import class_name, names_of, short_names
from latentbench.report.folder import Absent, Array, Artifact

MOST = 8
"""Models of one figure, the first asked for."""
FIELDS = ("model", "seed", "pair", "from", "to", "frame", "valid", "step", "share of path")


def draw(subject: Subject, look: Look) -> Drawn:
    """The first pair, and beside it the second where there is room."""
    found: list[tuple[str, Artifact]] = []
    reasons: list[str] = []
    for model in subject.run.models:
        try:
            artifact = subject.run.artifact("strips", model)
            artifact.need("frames"), artifact.need("steps")
            found.append((model, artifact))
        except Absent as reason:
            reasons.append(str(reason))
    if not found:
        raise Absent(reasons[0] if reasons else "Not drawn: this run has no model.")
    shown, left = found[:MOST], [m for m, _ in found[MOST:]]
    pairs = min(2 if look.ems > 45 else 1, *(len(a.need("frames")) for _, a in shown))
    width = (look.width - (0.9 if pairs > 1 else 0.4)) / pairs
    frames = shown[0][1].need("frames")
    high = max(0.12, width / frames.shape[1] * frames.shape[2] / frames.shape[3])
    line = high + 2.3 * look.em
    curve = 8.5 * look.em
    handles = _handles(shown, subject)
    height = (line * len(shown) * 1.04) + curve + 4.5 * look.em + looks.legend_height(look, handles)
    figure = looks.new(look, height)
    ratios = [line] * len(shown) + [curve + 2 * look.em]
    grid = figure.subplots(len(shown) + 1, pairs, squeeze=False, height_ratios=ratios, sharex="col", sharey="row")
    table: list[list[Any]] = []
    for p in range(pairs):
        for k, (model, artifact) in enumerate(shown):
            ends = _ends(subject, artifact, p)
            _strip(grid[k, p], artifact, p, subject.number(model), look)
            title = subject.names[model] + (f":  {ends[0]} → {ends[1]}" if ends and len(shown) else "")
            grid[k, p].set_title(title, color=looks.model_colour(subject.number(model)))
            table += _rows(model, artifact, p, ends)
        _curves(grid[-1, p], shown, subject, p, look)
    longest = max(float(np.nan_to_num(a.need("steps")[:pairs]).max(initial=0.0)) for _, a in shown)
    grid[-1, 0].set_ylim(0, longest * 1.08 or 1.0)
    grid[-1, 0].set_ylabel("share of path")
    looks.legend(figure, look, handles)
    return Drawn(figure, _caption(subject, shown, left, pairs), FIELDS, table)


def _handles(shown: list[tuple[str, Artifact]], subject: Subject) -> list[Any]:
    out = [
        looks.dot(looks.model_colour(n := subject.number(m)), looks.mark(n), subject.names[m], line="-")
        for m, _ in shown
    ]
    out.append(looks.dot(looks.MUTED, "", "even pace", line=":"))
    if any("frame_valid" in a for _, a in shown):
        out += [looks.dot(looks.INK, "s", "valid frame"), looks.dot(looks.INK, "x", "refused frame")]
    return out


def _ends(subject: Subject, artifact: Artifact, p: int) -> tuple[str, str] | None:
    if "label" not in artifact:
        return None
    names = names_of(subject.run)
    short = short_names(names, 12) if names else []
    first, last = (class_name(short, int(k)) for k in artifact.need("label")[p][:2])
    return first, last


def _strip(axes: Axes, artifact: Artifact, p: int, number: int, look: Look) -> None:
    frames = artifact.need("frames")[p]
    show(axes, frames)
    axes.set_xlim(0, len(frames))
    axes.set_ylim(-0.3, 1)
    axes.axis("off")
    if "frame_valid" in artifact:
        valid = artifact.need("frame_valid")[p].astype(bool)
        x = np.arange(len(frames)) + 0.5
        for keep, marker in ((valid, "s"), (~valid, "x")):
            axes.plot(
                x[keep], np.full(int(keep.sum()), -0.17), linestyle="none", marker=marker, color=looks.INK,
                markersize=look.points * 0.3, markeredgewidth=look.points * 0.1,
            )  # fmt: skip


def _curves(axes: Axes, shown: list[tuple[str, Artifact]], subject: Subject, p: int, look: Look) -> None:
    longest = 0
    for model, artifact in shown:
        steps = np.nan_to_num(artifact.need("steps")[p])
        n = subject.number(model)
        longest = max(longest, len(steps))
        x = np.arange(1, len(steps) + 1)
        sns.lineplot(
            x=x, y=steps, ax=axes, color=looks.model_colour(n), marker=looks.mark(n), markersize=look.points * 0.4,
            markeredgewidth=0, legend=False, errorbar=None,
        )  # fmt: skip
    axes.axhline(1 / max(longest, 1), color=looks.MUTED, linestyle=":", linewidth=look.points * 0.12)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.yaxis.set_major_locator(looks.few(3))
    axes.set_xticks(sorted({1, *range(5, longest + 1, 5)}), labels=None)
    axes.tick_params(labelleft=True)
    axes.set_xlabel("step from one end to the other")
    axes.grid(axis="y")
    sns.despine(ax=axes)


def _rows(model: str, artifact: Artifact, p: int, ends: tuple[str, str] | None) -> list[list[Any]]:
    steps = artifact.need("steps")[p]
    valid: Array | None = artifact.need("frame_valid")[p] if "frame_valid" in artifact else None
    out = []
    for t in range(len(steps) + 1):
        word = "" if valid is None else "yes" if bool(valid[t]) else "no"
        share = float(steps[t - 1]) if t else None
        out.append([model, artifact.seed, p + 1, *(ends or ("", "")), t + 1, word, t or None, share])
    return out


def _caption(subject: Subject, shown: list[tuple[str, Artifact]], left: list[str], pairs: int) -> str:
    frames = shown[0][1].need("frames").shape[1]
    seeds = sorted({str(a.seed) for _, a in shown})
    judged = [(m, a.need("frame_valid")[:pairs]) for m, a in shown if "frame_valid" in a]
    counted = ", ".join(f"{int(v.astype(bool).sum())} of {v.size} for {m}" for m, v in judged)
    data = subject.run.detail.get("dataset") or {}
    columns = (data.get("shape") or [0])[0] if data.get("space") == "vector" else 0
    what = "pair" if pairs == 1 else f"{pairs} pairs"
    return sentences(
        f"Decoded straight lines between the codes of {'a' if pairs == 1 else 'each of'} {what} of held-out samples, {frames} "
        f"frames, and the share of the path in each step.",
        f"A frame shows the {columns} columns of the data, from top to bottom." if columns else "",
        subject.protocol,
        f"One path is an example, of seed {', '.join(seeds)}; the measures are means over 500 pairs and all seeds."
        if _pairs(subject) == 500
        else f"One path is an example, of seed {', '.join(seeds)}.",
        f"Frames that the judge accepts: {counted}." if counted else "",
        f"Not shown: {', '.join(left)}." if left else "",
        caveats(subject, [m for m, _ in shown]),
    )


def _pairs(subject: Subject) -> Any:
    definition = (subject.run.detail.get("definitions") or {}).get("path.tortuosity") or {}
    return (definition.get("params") or {}).get("pairs")


FIGURE = PaperFigure("continuity", draw)
