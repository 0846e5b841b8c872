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
from latentbench.stats.cells import Cell
from latentbench.stats.findings.claims import leaders
from latentbench.stats.findings.table import claims_together
from latentbench.stats.findings.table import tables as measured

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
BESIDE = 6
"""Models up to which their speeds stand side by side in the open, and every timing has a row with all that it holds; of more, a
model has a row with its speeds at the largest batch."""


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


class Fastest(NamedTuple):
    """One kind of work at one batch size: what each model makes of it a second, and who is best in its run."""

    work: str
    batch: int
    rates: Sequence[tuple[str, bool]]


class Work(NamedTuple):
    """One kind of work on one device at its largest batch: by model the samples a second and whether they can be ranked."""

    title: str
    batch: str
    rates: Mapping[str, tuple[str, bool]]


class Speeds(NamedTuple):
    """Throughput: a figure for each kind of work and device, the models ``drawn`` in them, the table of all, how many of
    these can be ranked, who cannot, what it ran on, and, where there is something to rank, who is fastest; of many models the
    table in brief (``works``), else none."""

    plots: Sequence[tuple[str, str, Markup]]
    drawn: Sequence[Column]
    rows: Sequence[SpeedRow]
    rankable: int
    unranked: Sequence[str]
    conditions: str
    fastest: Sequence[Fastest]
    works: Sequence[Work]


def speeds(columns: Sequence[Column], pictured: Sequence[Column]) -> Speeds:
    """Samples per second of every model, the ``pictured`` ones drawn. Raises Absent where no run measured any."""
    numbers = {(id(c.run), c.model): c for c in columns}
    by_work: dict[tuple[str, str], list[figures.SpeedPoint]] = {}
    drawn: set[Column] = set()
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
                drawn.add(column)
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
            "{work} on {device}: samples per second over batch sizes {batches}; highest {best}.",
            work=title,
            device=device,
            batches=words.commas(str(b) for b in sorted({s.batch for s in every})),
            best=words.engineering(best.median),
        )
        plots.append((f"{title} ({device})" if device else title, about, figures.throughput(every, label)))
    if len(unranked) > 6:
        text = marked(
            "{some} of {n} timings, named in the records"
            if len(columns) > BESIDE
            else "{some} of {n} timings, named in the table below"
        )
        unranked = [say(text, some=len(unranked), n=len(rows))]
    rankable = sum(r.rankable for r in rows)
    fastest = fastest_of(columns) if rankable and len(columns) <= BESIDE else []
    works = _works(rows) if len(columns) > BESIDE else []
    drawn_here = [c for c in columns if c in drawn]
    return Speeds(plots, drawn_here, rows, rankable, unranked, _conditions(details), fastest, works)


def _works(rows: Sequence[SpeedRow]) -> list[Work]:
    """Each kind of work at its largest batch."""
    found: dict[str, dict[int, dict[str, tuple[str, bool]]]] = {}
    for r in rows:
        title = f"{r.kind} ({r.device})" if r.device else r.kind
        found.setdefault(title, {}).setdefault(int(r.batch), {})[r.model] = r.speed, r.rankable
    return [Work(title, str(max(by_batch)), by_batch[max(by_batch)]) for title, by_batch in found.items()]


def fastest_of(columns: Sequence[Column]) -> list[Fastest]:
    """Each kind of work on each device at the largest batch that all models were timed at, where one of the runs has a
    leader; what cannot be ranked leads nowhere."""
    runs = dict.fromkeys(c.run for c in columns)
    family = claims_together(run.records for run in runs)
    cells: dict[tuple[str, str], dict[int, dict[int, Cell]]] = {}
    for run in runs:
        here = {c.model: place for place, c in enumerate(columns) if c.run is run}
        for table in measured(run.records, family):
            for c in table.every:
                if c.metric.startswith("throughput.") and c.model in here and c.interval:
                    work = c.metric, str(c.metric_params.get("device", ""))
                    batch = int(c.metric_params.get("batch") or 0)
                    cells.setdefault(work, {}).setdefault(batch, {})[here[c.model]] = c
    out = []
    for (metric, device), by_batch in cells.items():
        whole = [batch for batch, row in by_batch.items() if len(row) == len(columns)]
        if not whole:
            continue
        row = by_batch[max(whole)]
        best = set()
        for run in runs:
            of_run = {place: row[place] for place, c in enumerate(columns) if c.run is run}
            lead = leaders(list(of_run.values()))
            best |= {place for place, c in of_run.items() if len(lead) == 1 and c.model in lead}
        kind = metric.removeprefix("throughput.")
        title = say(KINDS.get(kind, (kind, ""))[0])
        rates = [
            (words.engineering(c.interval.mean if c.interval else None), place in best)
            for place, c in sorted(row.items())
        ]
        if best:
            out.append(Fastest(f"{title} ({device})" if device else title, max(whole), rates))
    return out


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
        found, missing = speeds(view.columns, view.pictured), ""
    except Absent as reason:
        found, missing = None, str(reason)
    return {"speeds": found, "missing": missing, "peaks": peaks(view.runs), "columns": view.columns, "beside": BESIDE}


SECTION = Section("speed", marked("Speed"), "speed.html.jinja", _context, order=1300)
