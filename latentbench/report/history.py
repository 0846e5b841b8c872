"""The page of a history: each metric over revisions, its change points marked, in one file that asks nothing of any
network and runs no script.

A *panel* is one metric: a line a model, a whisker for each interval, a broken upright line where the level changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from markupsafe import Markup

from latentbench.comparing.change import VERDICTS, ChangeVerdict
from latentbench.comparing.history import Break, Revision, Series
from latentbench.files.outputs import output_file
from latentbench.report.drawing import figures, svg
from latentbench.report.drawing.svg import Axis, drawing, line, marks, polyline, tag, text
from latentbench.report.templates import environment, source
from latentbench.report.wording import words
from latentbench.report.wording.language import marked, plural, say, spoken
from latentbench.run_folder import RunFiles

SIZE = (380, 210)
"""Width and height of a panel."""
SHOWN = 6
"""Revisions named below a panel; of more, every second, third, ... is."""
READINGS: dict[ChangeVerdict, str] = marked({"worse": "worse", "better": "better", "unknown": "moved", "same": "same"})


class Panel(NamedTuple):
    """One metric: its name, unit and direction, the drawing, and a row of numbers for each model."""

    title: str
    unit: str
    arrow: str
    plot: Markup
    rows: Sequence[tuple[str, Sequence[str]]]


class ChangePoint(NamedTuple):
    """A change point in words."""

    revision: str
    metric: str
    subject: str
    verdict: str
    reading: str
    before: str
    after: str


def html(revisions: Sequence[Revision], series: Sequence[Series]) -> str:
    """The whole page, in the language in force."""
    models = list(dict.fromkeys(s.model for s in series))
    numbers = {m: k for k, m in enumerate(models)}
    panels: dict[tuple[str, str], list[Series]] = {}
    for s in series:
        panels.setdefault((s.metric, s.subject.removeprefix(s.model)), []).append(s)
    defines = {metric: d for r in revisions for metric, d in r.defines.items()}
    groups = []
    for family in (*words.FAMILIES, words.OTHER):
        own = [k for k in panels if words.family(k[0], defines.get(k[0])) is family]
        # What changed stands first.
        own.sort(key=lambda k: not any(s.breaks for s in panels[k]))
        drawn = [_panel(k[0] + k[1], panels[k], revisions, numbers) for k in own]
        if drawn:
            groups.append((say(family.title), drawn))
    turns = [_change_point(b, s, revisions) for s in series for b in s.breaks]
    order = {r.label: k for k, r in enumerate(revisions)}
    return environment().get_template("history.html.jinja").render(
        language=spoken(),
        style=source("style.css"),
        title=plural("History of {n} revision", "History of {n} revisions", len(revisions)),
        revisions=revisions,
        models=[(m, svg.swatch(figures.marker(k), f"dot {figures.model_class(k)}")) for k, m in enumerate(models)],
        turns=sorted(turns, key=lambda t: order[t.revision]),
        groups=groups,
        series=len(series),
    )  # fmt: skip


def _change_point(b: Break, s: Series, revisions: Sequence[Revision]) -> ChangePoint:
    c = b.change
    return ChangePoint(
        revisions[b.at].label, s.metric, s.subject, c.verdict, say(READINGS[c.verdict]),
        words.quantity(c.base, c.unit), words.quantity(c.head, c.unit),
    )  # fmt: skip


def _panel(title: str, series: Sequence[Series], revisions: Sequence[Revision], models: Mapping[str, int]) -> Panel:
    first = series[0].any_cell
    arrows = {
        "higher": "↑",
        "lower": "↓",
        "target": f"→{words.THIN}{first.target:g}" if first.target is not None else "",
    }
    rows = [(s.model, [_number(s, k) for k in range(len(revisions))]) for s in series]
    return Panel(title, first.unit, arrows.get(first.better, ""), _plot(title, series, revisions, models), rows)


def _number(s: Series, at: int) -> str:
    """Mean ± half, or a dash."""
    interval = s.interval(at)
    if interval is None:
        return words.number(None)
    if interval.half is None:
        return words.quantity(interval.mean, s.any_cell.unit)
    return " ± ".join(words.spread(interval.mean, interval.half))


def _plot(title: str, series: Sequence[Series], revisions: Sequence[Revision], models: Mapping[str, int]) -> Markup:
    """Revisions from left to right, values upwards; ``models`` numbers them."""
    width, height = SIZE
    ends = [v for s in series for k in range(len(revisions)) if (i := s.interval(k))
            for v in (i.mean, i.low, i.high) if v is not None]  # fmt: skip
    x, y = Axis(0, len(revisions) - 1, 64, width - 16), Axis(*svg.span(ends), height - 34, 30)
    every = -(-len(revisions) // SHOWN)
    named = list(range(0, len(revisions), every))
    parts = [svg.y_axis(y, 50, width, ""), svg.x_axis(x, height - 34, "", named, [revisions[k].label for k in named])]
    for at, verdicts in _turns(series).items():
        parts.append(line(x(at - 0.5), 22, x(at - 0.5), height - 34, f"turn {verdicts[0]}"))
        parts.append(text(x(at - 0.5), 16, words.commas(say(READINGS[v]) for v in verdicts), "value", "middle"))
    for s in series:
        parts.append(_line(s, models[s.model], x, y))
    label = say("{metric} over {n} revisions", metric=title, n=len(revisions))
    return drawing(width, height, *parts, label=label)


def _turns(series: Sequence[Series]) -> dict[int, list[ChangeVerdict]]:
    """Where the level of any model changed, and how, the worst first."""
    out: dict[int, list[ChangeVerdict]] = {}
    for b in (b for s in series for b in s.breaks):
        out.setdefault(b.at, []).append(b.change.verdict)
    return {at: [v for v in VERDICTS if v in verdicts] for at, verdicts in out.items()}


def _line(s: Series, m: int, x: Axis, y: Axis) -> Markup:
    """One model's means with their intervals, joined."""
    points = [(x(k), i) for k in range(len(s.cells)) if (i := s.interval(k))]
    xs, ys = [at for at, _ in points], [y(i.mean) for _, i in points]
    colour = figures.model_class(m)
    whiskers = [
        line(at, y(i.low), at, y(i.high), f"whisker {colour}")
        for at, i in points
        if i.low is not None and i.high is not None
    ]
    dots = marks(np.array(xs), np.array(ys), figures.marker(m), 3.4, f"dot {colour}")
    return tag("g", polyline(xs, ys, f"line thin {colour}"), *whiskers, dots)


def write(folders: Sequence[Path], out: Path, revisions: Sequence[Revision], series: Sequence[Series]) -> None:
    """Write the page. Raises ValueError where it would overwrite a run's own page or its folder is not there."""
    from latentbench import records

    place = output_file("compare", out)
    if any(place == RunFiles(f).page.resolve() for f in folders):
        raise ValueError(f"compare: {out} is a run's own page; name another file with --out")
    records.write_text(place, html(revisions, series))
