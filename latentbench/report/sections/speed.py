"""Speed: how many images a second, and under which conditions that was timed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from markupsafe import Markup

from latentbench.report.columns import Column
from latentbench.report.drawing import figures
from latentbench.report.folder import Absent, RunFolder
from latentbench.report.page_view import PageView
from latentbench.report.section import Context, Section
from latentbench.report.wording import words
from latentbench.report.wording.language import marked, say

KINDS = marked({
    "encode": ("Encode", "images to posteriors"),
    "decode": ("Decode", "latent points to images"),
    "sample": ("Sample", "draw from N(0, I) and decode"),
    "train_step": ("Train step", "loss, gradient and update of one batch, as training takes it"),
})  # fmt: skip


CONDITIONS = (
    ("blocks", marked("{n} timed block each"), marked("{n} timed blocks each")),
    ("threads", marked("{n} thread"), marked("{n} threads")),
    ("load", marked("load average {n} at the start"), marked("load average {n} at the start")),
)
"""What timings were taken under: the name in their records, and how one of it and more are said."""


UNKNOWN = marked("as its record names it")


class SpeedRow(NamedTuple):
    """One line of the speed table."""

    model: str
    kind: str
    device: str
    batch: str
    speed: str
    spread: str
    latency: str
    peak: str
    memory: str
    rankable: bool


class Speeds(NamedTuple):
    """Throughput: a figure for each kind of work and device, the models ``drawn`` in them, the table of all, who cannot be
    ranked, and what it ran on."""

    plots: Sequence[tuple[str, str, Markup]]
    drawn: Sequence[Column]
    rows: Sequence[SpeedRow]
    unranked: Sequence[str]
    conditions: str


def speeds(columns: Sequence[Column], pictured: Sequence[Column]) -> Speeds:
    """Samples per second of every model, the ``pictured`` ones drawn. Raises Absent where no run measured any."""
    numbers = {(id(c.run), c.model): c for c in columns}
    by_work: dict[tuple[str, str], list[figures.SpeedPoint]] = {}
    drawn: set[int] = set()
    rows, unranked, details = [], [], []
    for run in dict.fromkeys(c.run for c in columns):
        for r in run.records:
            column = numbers.get((id(run), r.model))
            kind = r.metric.removeprefix("throughput.")
            if column is None or not r.metric.startswith("throughput.") or r.value is None:
                continue
            device, batch = str(r.metric_params.get("device", "")), int(r.metric_params.get("batch", 0))
            ok = bool(r.detail.get("rankable", True))
            times = np.asarray([s for s in (r.samples or (r.value,)) if s and s > 0] or [max(r.value, 1e-9)])
            low, high = (float(q) for q in np.quantile(times, (0.25, 0.75)))
            if column in pictured:
                drawn.add(column.m)
                point = figures.SpeedPoint(column.m, batch, r.value, low, high, ok)
                by_work.setdefault((kind, device), []).append(point)
            title = say(KINDS.get(kind, (kind, ""))[0])
            if (together := int(r.detail.get("models", 1))) > 1:
                title = say("{work}, {n} models in one stack", work=title, n=together)
            rows.append(_speed_row(column.label, title, device, batch, r.value, r.detail, ok))
            if not ok:
                text = marked("{model}, {work}, batch {batch}")
                unranked.append(say(text, model=column.label, work=title.lower(), batch=batch))
            details.append(r.detail)
    if not rows:
        raise Absent(say("Not drawn: no speed was measured in this run."))
    plots = []
    for (kind, device), every in by_work.items():
        title, about = map(say, KINDS.get(kind, (kind, UNKNOWN)))
        best = max(every, key=lambda s: s.median)
        label = say(
            "{work} on {device}: samples per second over batch sizes {batches}; highest {best}. The table below holds the "
            "numbers.",
            work=title,
            device=device,
            batches=words.commas(str(b) for b in sorted({s.batch for s in every})),
            best=words.engineering(best.median),
        )
        plots.append((f"{title} ({device})" if device else title, about, figures.throughput(every, label)))
    if len(unranked) > 6:
        text = marked("{some} of {n} timings, named in the table below")
        unranked = [say(text, some=len(unranked), n=len(rows))]
    return Speeds(plots, [c for c in columns if c.m in drawn], rows, unranked, _conditions(details))


def _speed_row(
    model: str, kind: str, device: str, batch: int, value: float, detail: Mapping[str, Any], ok: bool
) -> SpeedRow:
    latency, memory = detail.get("latency_ms"), detail.get("peak_memory_bytes")
    return SpeedRow(
        model, kind, device, str(batch), words.engineering(value), words.percent(detail.get("spread")),
        f"{words.number(latency)}{words.THIN}ms" if latency is not None else "—", words.percent(detail.get("peak_share")),
        words.engineering(memory, "B") if memory is not None else "—", ok,
    )  # fmt: skip


def _conditions(details: Sequence[Mapping[str, Any]]) -> str:
    """What the timings were taken under, in a sentence; only what the records say."""
    parts = []
    for key, one, many in CONDITIONS:
        values = sorted({d[key] for d in details if isinstance(d.get(key), int | float)})
        if values:
            parts.append(say(one if values == [1] else many, n=words.span(f"{values[0]:.3g}", f"{values[-1]:.3g}")))
    return words.commas(parts)


def peaks(runs: Sequence[RunFolder]) -> list[str]:
    """The measured matrix-product peak that shares of peak are shares of."""
    return [
        say(
            "{speed} on {device}",
            speed=words.engineering(r.value, "FLOP/s"),
            device=r.metric_params.get("device") or say("this device"),
        )
        + (f" ({run.label})" if len(runs) > 1 else "")
        for run in runs
        for r in run.records
        if r.metric == "throughput.matmul_peak" and r.value is not None
    ]


def _context(view: PageView) -> Context:
    try:
        measured, missing = speeds(view.columns, view.pictured), ""
    except Absent as reason:
        measured, missing = None, str(reason)
    return {"speeds": measured, "missing": missing, "peaks": peaks(view.runs)}


SECTION = Section("speed", marked("Speed"), "speed.html.jinja", _context, order=1300)
