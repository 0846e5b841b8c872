"""All pairs of models of one metric at once: their differences as rows of an array.

A page of m models has m (m - 1) / 2 pairs in each metric, 4.5 million for 300 models and a hundred metrics. They are
subtracted here block by block, so that what a pair takes is arithmetic alone and memory stays within `BLOCK` numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from latentbench.records import canonical
from latentbench.stats.cells import Cell, Seed

BLOCK = 500_000
"""Most differences that are held at a time (at least those of one model with all others)."""


class PairedRows(NamedTuple):
    """A block of pairs: the numbers of ``first`` and ``other`` among the cells; ``d``, other - first at each seed both
    have, or the mean of each split that these were dealt to, NaN elsewhere (pairs, seeds); how many seeds are ``shared``;
    and the ``size`` of the values, the larger of the two means' magnitudes."""

    first: NDArray[np.intp]
    other: NDArray[np.intp]
    d: NDArray[np.float64]
    shared: NDArray[np.intp]
    size: NDArray[np.float64]

    @property
    def n(self) -> NDArray[np.intp]:
        """How many independent differences each pair has."""
        counted: NDArray[np.intp] = (~np.isnan(self.d)).sum(1)
        return counted

    def where(self, kept: NDArray[np.bool_]) -> PairedRows:
        """Some of the pairs."""
        return PairedRows(self.first[kept], self.other[kept], self.d[kept], self.shared[kept], self.size[kept])


def compared(cell: Cell) -> Mapping[Seed, float]:
    """What is compared of a cell: its values, or their distances to the metric's target."""
    if cell.better == "target" and cell.target is not None:
        return {s: cell.badness(v) for s, v in cell.values.items()}
    return cell.values


def alike(cells: Iterable[Cell]) -> list[list[Cell]]:
    """The models' cells with a value that may be claims' two sides, by run, data set, metric and split."""
    groups: dict[tuple[str, ...], list[Cell]] = {}
    for c in cells:
        if c.is_model and c.interval:
            key = (c.run, c.dataset, c.metric, canonical(c.metric_params), c.split)
            groups.setdefault(key, []).append(c)
    return list(groups.values())


def may_be_claimed(cells: Sequence[Cell]) -> NDArray[np.bool_]:
    """Which pairs of cells of one metric a claim is made of (n, n): two models of one latent size (or of none), whose
    values compare (`latentbench.stats.families.sound`)."""
    models, sizes = _numbered([c.model for c in cells]), _numbered([c.latent_dim for c in cells])
    scales = [{d["likelihood"] for d in c.details.values() if d and d.get("likelihood")} for c in cells]
    scale = _numbered([next(iter(s), None) for s in scales])
    able = np.array([not c.unproven and c.rankable and len(s) < 2 for c, s in zip(cells, scales, strict=True)])
    apart = models[:, None] != models[None]
    return np.asarray(apart & _same(sizes) & _same(scale) & able[:, None] & able[None])


def _numbered(names: Sequence[object]) -> NDArray[np.intp]:
    """Equal names as equal numbers, None as -1."""
    seen: dict[object, int] = {}
    return np.array([-1 if name is None else seen.setdefault(name, len(seen)) for name in names], np.intp)


def _same(numbers: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Which two are equal, or one of them not known."""
    unknown = numbers < 0
    return np.asarray((numbers[:, None] == numbers[None]) | unknown[:, None] | unknown[None])


def paired_rows(cells: Sequence[Cell], may: NDArray[np.bool_] | None = None) -> Iterator[PairedRows]:
    """Every two of the cells, the earlier one ``first``, in blocks; ``may`` says of which (n, n), by default of all."""
    x, splits = _by_seed(cells)
    means = np.array([c.interval.mean if c.interval else np.nan for c in cells])
    n, step = len(cells), max(1, BLOCK // max(1, x.size))
    for start in range(0, n, step):
        rows = np.arange(start, min(n, start + step))
        kept = np.arange(n)[None] > rows[:, None]
        first, other = np.nonzero(kept if may is None else kept & may[rows])
        first = first + start
        d = x[other] - x[first]
        shared = (~np.isnan(d)).sum(1)
        size = np.maximum(np.abs(means[first]), np.abs(means[other]))
        yield PairedRows(first, other, _split_means(d, splits), shared, size)


def _by_seed(cells: Sequence[Cell]) -> tuple[NDArray[np.float64], list[int]]:
    """What is compared of each cell by seed (cells, seeds), NaN where it has none, and each seed's split, where they were
    dealt to several; a seed of two splits is two."""
    values = [{(s, c.splits.get(s, -1)): v for s, v in compared(c).items()} for c in cells]
    seeds = list(dict.fromkeys(s for v in values for s in v))
    x = np.array([[v.get(s, np.nan) for s in seeds] for v in values]).reshape(len(cells), len(seeds))
    return x, [split for _, split in seeds] if any(c.splits for c in cells) else []


def _split_means(d: NDArray[np.float64], splits: Sequence[int]) -> NDArray[np.float64]:
    """Differences of seeds (pairs, seeds) as the mean of each split (pairs, splits)."""
    if not splits:
        return d
    of, out = np.array(splits), []
    for split in dict.fromkeys(splits):
        part = d[:, of == split]
        there = ~np.isnan(part)
        count = there.sum(1)
        out.append(np.where(count > 0, np.where(there, part, 0.0).sum(1) / np.maximum(count, 1), np.nan))
    return np.stack(out, 1)
