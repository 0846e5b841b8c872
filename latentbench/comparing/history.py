"""Many revisions in a row: where did a metric change for good?

A *series* is one metric of one model over revisions ``0 .. R - 1``; a *change point* is a revision from which on its
level is another. Binary segmentation (Scott & Knott 1974): the split of a stretch of revisions that explains most of
its variation is tested, and where it stands, both sides are searched in turn.

    split   the k that maximises  n_1 n_2 / (n_1 + n_2) (m_1 - m_2)^2,  n revisions and their mean level m on each side
    test    each seed's mean over the revisions before k against its mean after it: paired by seed where two seeds or
            more are on both sides, else Welch's t. A seed that comes back in every revision is one witness, not many
    p       times R - 1 (the splits looked at) times the number of series (Bonferroni): the chance of any change point
            where nothing ever changed is at most `changes.FAMILYWISE`
    least   and the change is beyond the metric's threshold, as in `latentbench.comparing.runs`

A stretch may be a single revision, as each holds several seeds. Libraries for change points (ruptures, for one) take one
long signal with fresh noise at each step: they know nothing of seeds that come back, and choose the number of changes by
a penalty instead of an error rate.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from latentbench import records
from latentbench.comparing.change import FAMILYWISE, Change, ChangeVerdict
from latentbench.comparing.matching import Key, between, identity, is_claim, labels
from latentbench.records import Kept
from latentbench.run_folder import RunFiles
from latentbench.run_info import RunInfo, find_run_info
from latentbench.stats.cells import Cell, summarise
from latentbench.stats.intervals import Interval, t_interval

SHORT = 7
"""Letters of a git revision that stand for it."""


@dataclass(frozen=True)
class Revision:
    """One run: the name it has in the history, when it started, its cells, and how it ``defines`` its metrics."""

    label: str
    started: str
    cells: Mapping[Key, Cell]
    defines: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Break:
    """A change point: ``at`` is the first revision of the new level, ``change`` what changed there, its p-value already
    multiplied."""

    at: int
    change: Change


@dataclass(frozen=True)
class Series:
    """One metric of one model over revisions; ``cells`` has None where a revision did not measure it."""

    subject: str
    metric: str
    model: str
    cells: tuple[Cell | None, ...]
    breaks: tuple[Break, ...] = ()

    @property
    def any_cell(self) -> Cell:
        """One that says unit, direction and bounds."""
        return next(c for c in reversed(self.cells) if c is not None)

    def interval(self, at: int) -> Interval | None:
        """Mean and interval at one revision; None where it has no value."""
        cell = self.cells[at]
        return cell.interval if cell is not None else None


def read(folders: Sequence[Path]) -> list[Revision]:
    """The runs in these folders, in this order. A revision is named by its git revision or, where that is not known or
    stands twice, by its folder. Raises ValueError, one line, for fewer than two folders, one that is no run folder, and
    for other data under the same name."""
    if len(folders) < 2:
        raise ValueError(f"compare: a history needs two run folders or more, got {len(folders)}")
    runs: list[Kept] = []
    for folder in folders:
        runs.append(RunFiles(folder).read_records("compare"))
        records.same_data(runs[0], runs[-1])
    infos = [find_run_info(rows) or RunInfo() for rows in runs]
    short = [(i.git or "")[:SHORT] for i in infos]
    names = _names(short, folders)
    return [
        Revision(name, info.started, {identity(c): c for c in summarise(rows) if is_claim(c)}, info.definitions)
        for name, info, rows in zip(names, infos, runs, strict=True)
    ]


def _names(short: Sequence[str], folders: Sequence[Path]) -> list[str]:
    """Git revision, folder, or the folder's whole path: the first that no other revision has."""
    ends = [f.resolve().name for f in folders]
    names = zip(short, ends, map(str, folders), strict=True)
    return [s if s and short.count(s) == 1 else e if ends.count(e) == 1 else f for s, e, f in names]


def series(revisions: Sequence[Revision], alpha: float = FAMILYWISE) -> list[Series]:
    """Every metric with a value in two revisions or more, with its change points. Timings are left out: they compare
    only within one session. What failed its self-check in a revision counts as not measured there."""
    keys = dict.fromkeys(key for r in revisions for key in r.cells)
    label = labels([c for r in revisions for c in r.cells.values()])
    out = []
    for key in keys:
        cells = tuple(_sound(r.cells.get(key)) for r in revisions)
        present = [c for c in cells if c is not None]
        if len(present) > 1 and not present[0].is_timing:
            out.append(Series(label[key], present[0].metric, present[0].model, cells))
    return [replace(s, breaks=_breaks(s, len(out), alpha)) for s in out]


def _sound(cell: Cell | None) -> Cell | None:
    return cell if cell is not None and cell.values and not cell.unproven else None


def _breaks(s: Series, family: int, alpha: float) -> tuple[Break, ...]:
    """Change points of one series, in order; ``family`` is the number of series looked at together."""
    measured = [k for k, c in enumerate(s.cells) if c is not None]
    cells = [c for c in s.cells if c is not None]
    breaks = sorted(_segment(cells, 0, len(cells), family * (len(cells) - 1), alpha), key=lambda b: b.at)
    edges = [0, *(b.at for b in breaks), len(cells)]
    out = []
    for b, before, after in zip(breaks, edges[:-2], edges[2:], strict=True):
        # The numbers are those of the two levels that meet there; the p-value is that of the stretch it was found in.
        change = between(_pooled(cells[before : b.at]), _pooled(cells[b.at : after]))
        change = replace(change, subject=s.subject, adjusted=b.change.adjusted, verdict=_verdict(change))
        out.append(Break(measured[b.at], change))
    return tuple(out)


def _segment(cells: Sequence[Cell], start: int, end: int, tests: int, alpha: float) -> list[Break]:
    """Binary segmentation of the stretch [start, end)."""
    if end - start < 2:
        return []
    k = _split([_level(c) for c in cells[start:end]]) + start
    change = between(_pooled(cells[start:k]), _pooled(cells[k:end]))
    p = min(1.0, change.p * tests)
    if change.harm is None or p > alpha or abs(change.harm.mean) <= change.threshold:
        return []
    here = Break(k, replace(change, adjusted=p, verdict=_verdict(change)))
    return [here, *_segment(cells, start, k, tests, alpha), *_segment(cells, k, end, tests, alpha)]


def _verdict(change: Change) -> ChangeVerdict:
    if change.better == "none" or change.harm is None:
        return "unknown"
    return "worse" if change.harm.mean > 0 else "better"


def _level(cell: Cell) -> float:
    return math.fsum(cell.badness(v) for v in cell.values.values()) / len(cell.values)


def _split(levels: Sequence[float]) -> int:
    """The k in 1 .. n - 1 whose two sides leave the least variation."""

    def explained(k: int) -> float:
        one, two = levels[:k], levels[k:]
        gap = math.fsum(one) / len(one) - math.fsum(two) / len(two)
        return len(one) * len(two) * gap**2

    return max(range(1, len(levels)), key=explained)


def _pooled(cells: Sequence[Cell]) -> Cell:
    """One cell of several revisions: each seed's mean over those that have it."""
    by: dict[int | None, list[float]] = {}
    for cell in cells:
        for seed, value in cell.values.items():
            by.setdefault(seed, []).append(value)
    means = {seed: math.fsum(v) / len(v) for seed, v in by.items()}
    return replace(cells[0], values=means, interval=t_interval(means.values(), bounds=cells[0].bounds))


def sentences(revisions: Sequence[Revision], every: Iterable[Series]) -> list[str]:
    """A line for each change point, by revision."""
    lines = []
    for s in every:
        for b in s.breaks:
            word = "moved" if b.change.verdict == "unknown" else b.change.verdict
            numbers = f"{b.change.base:.4g} -> {b.change.head:.4g}"
            lines.append((b.at, f"{revisions[b.at].label}\t{word}\t{b.change.name}\t{numbers}"))
    return [line for _, line in sorted(lines)]
