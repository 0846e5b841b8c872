"""Which measures of a latent space predict what a second stage reaches in it? What the study ``predicts-generation`` decides.

A *space* is a model of the run with its latent size; its score in a measure is the mean over seeds, what is reached is the mean
of `TARGET`, the valid share of draws of a flow trained on its codes. For each measure

    rho       Spearman's rank correlation of score and target over spaces, ties at their mean rank
    interval  percentile bootstrap (`REPEATS`): spaces are drawn with replacement, and of each its seeds, the same ones for the
              measure and the target; approximate. It is of means over as many seeds: noise of few seeds pulls rho towards 0
    p         two-sided, of "the ranks have nothing to do with one another": spaces dealt anew `PERMUTED` times
    q         p adjusted for all measures tried (Holm)
    partial   rho with the ranks of the latent size held fixed: what is left where size alone does not explain it
    without   rho over the spaces of all kinds of model but one, where it is least: what is left where no one kind makes it

A measure *predicts* where q is at most 5 %; it predicts at most *weakly* where the whole interval lies within `WEAK`; else the
spaces at hand do not *tell*. Measures are taken as they are found: all that were taken of the test images, but for costs, for
what the flow itself reached, and for what fewer than `MOST` of the spaces have or what is the same in all. Nothing is told
where the flow reaches the same in more than half of the spaces, such as no valid draw.

The spaces are variants of a few kinds and no random sample of all there are: an interval is about spaces like these, and p
takes each for one of its own. Twenty variants of two kinds are little more than two spaces, which `without` brings out.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from latentbench.stats.cells import Cell, Interval, holm
from latentbench.stats.families import ALPHA
from latentbench.stats.findings.evidence import Measured

TARGET = "validity.flow"
FLOW = "flow"
"""The sampler whose measures are what is to be predicted."""
REPEATS, PERMUTED = 2000, 20_000
WEAK = 0.5
"""A correlation below which half of what one wants to know is not there: rho^2 = .25."""
MOST = 0.8
"""The least share of the spaces that must have a measure."""
FEWEST = 5
"""The fewest spaces a correlation is told of."""

Says = Literal["predicts", "weak", "not told"]
Scores = NDArray[np.float64]
Names = NDArray[np.object_]


class Prediction(NamedTuple):
    """A measure: ``rho`` with its interval (``rho.n`` spaces), ``p`` and the adjusted ``q``, ``partial`` and ``without`` (None
    where there is one latent size, or one kind), and what it ``says``. ``better`` is the measure's own direction."""

    metric: str
    better: str
    rho: Interval
    p: float
    q: float
    partial: float | None
    without: float | None
    says: Says


def predictions(m: Measured, models: Sequence[str]) -> tuple[Prediction, ...]:
    """Every measure of these models, the strongest correlation first; empty without a target."""
    target = _reached(m, models)
    rows = [found for metric in _candidates(m, target) if (found := _correlated(m, metric, target))]
    adjusted = holm([row.p for row in rows])
    made = [row._replace(q=q, says=_says(row.rho, q)) for row, q in zip(rows, adjusted, strict=True)]
    return tuple(sorted(made, key=lambda row: -abs(row.rho.mean)))


def prediction(m: Measured, metric: str, models: Sequence[str]) -> Prediction | None:
    """One measure by itself, unadjusted (q = p); None where the target was measured of fewer than `FEWEST` spaces or is the
    same in more than half, the measure in fewer than `FEWEST` or `MOST` of these or the same in all."""
    return _correlated(m, metric, _reached(m, models))


def left_out(m: Measured, models: Sequence[str], tried: Sequence[Prediction]) -> tuple[str, ...]:
    """Measures that are not among those ``tried``: too few of the spaces have them, or they are the same in all."""
    held = {row.metric for row in tried}
    return tuple(metric for metric in _candidates(m, _reached(m, models)) if metric not in held)


def _reached(m: Measured, models: Sequence[str]) -> dict[str, Cell]:
    """What the flow reached, by space; empty where it is one and the same in more than half of them, whose ranks say little."""
    found = {model: c for model in models if (c := m.cell(model, TARGET))}
    alike = Counter(c.interval.mean for c in found.values() if c.interval)
    return {} if alike and 2 * max(alike.values()) > len(found) else found


def _candidates(m: Measured, target: dict[str, Cell]) -> list[str]:
    """The measures that would predict something, whatever share of the spaces has them."""
    out: dict[str, None] = {}
    for (model, metric, _), cell in m.cells.items():
        about = m.definitions.get(metric, {})
        aside = about.get("family") == "cost" or FLOW in cell.metric_params.values() or cell.is_timing
        if model in target and cell.split == "test" and metric != TARGET and not aside:
            out[metric] = None
    return list(out)


def _correlated(m: Measured, metric: str, target: dict[str, Cell]) -> Prediction | None:
    cells = [(c, of) for model, of in target.items() if (c := m.cell(model, metric))]
    pairs = [(a, b, [s for s in a.values if s in b.values]) for a, b in cells]
    pairs = [pair for pair in pairs if pair[2]]
    if len(pairs) < max(FEWEST, MOST * len(target)):
        return None
    x = _table([[a.values[s] for s in shared] for a, _, shared in pairs])
    y = _table([[b.values[s] for s in shared] for _, b, shared in pairs])
    means = np.nanmean(x, 1), np.nanmean(y, 1)
    rho = spearman(*means)
    if math.isnan(rho):
        return None
    drawn = _bootstrap(x, y)
    low, high = (float(v) for v in np.quantile(drawn, (0.025, 0.975))) if len(drawn) else (-1.0, 1.0)
    sizes = np.array([a.latent_dim or 0 for a, _, _ in pairs], float)
    interval = Interval(
        rho, low, high, float(drawn.std()) if len(drawn) else 0.0, len(pairs), "bootstrap over latent spaces"
    )
    kinds = np.array([a.model.partition(":")[0] for a, _, _ in pairs], object)
    p = _permutation(*means, rho)
    left = _partial(*means, sizes), _without(*means, kinds, rho)
    return Prediction(metric, pairs[0][0].better, interval, p, p, *left, _says(interval, p))


def _table(rows: Sequence[Sequence[float]]) -> Scores:
    """Scores (spaces, seeds), NaN where a space has fewer seeds."""
    out = np.full((len(rows), max(map(len, rows))), np.nan)
    for k, row in enumerate(rows):
        out[k, : len(row)] = row
    return out


def ranked(x: Scores) -> Scores:
    """Ranks within each row of (m, n), from 1, ties at their mean."""
    from scipy.stats import rankdata

    out: Scores = rankdata(x, axis=1)
    return out


def spearman(x: Scores, y: Scores) -> float:
    """Spearman's rho of scores (n,); NaN where one side is all ties."""
    return float(_rows_correlated(ranked(x[None]), ranked(y[None]))[0])


def _rows_correlated(a: Scores, b: Scores) -> Scores:
    """Pearson's r of the rows of (m, n) and (m, n); NaN where one does not vary."""
    a, b = a - a.mean(1, keepdims=True), b - b.mean(1, keepdims=True)
    size = np.sqrt((a * a).sum(1) * (b * b).sum(1))
    with np.errstate(invalid="ignore", divide="ignore"):
        r: Scores = np.where(size > 1e-12, (a * b).sum(1) / size, np.nan)
    return r


def _bootstrap(x: Scores, y: Scores) -> Scores:
    """Rho of spaces drawn with replacement, and of each its seeds; those in which a side is all ties are left out. A space that
    is drawn twice comes with the same seeds both times, a tie: with seeds of its own each time the copies would stand in a
    random order, and correlations near 1 lie above their intervals."""
    rng = np.random.default_rng(0)
    spaces, seeds = len(x), (~np.isnan(x)).sum(1)[:, None]
    chosen = rng.integers(0, spaces, (REPEATS, spaces))
    at = (rng.random((REPEATS, *x.shape)) * seeds).astype(int)
    means = []
    for side in (x, y):
        values = np.where(np.arange(x.shape[1]) < seeds, side[np.arange(spaces)[:, None], at], np.nan)
        means.append(ranked(np.take_along_axis(np.nanmean(values, 2), chosen, 1)))
    r = _rows_correlated(*means)
    return r[~np.isnan(r)]


def _permutation(x: Scores, y: Scores, rho: float) -> float:
    """P of a correlation as far from 0 where y is dealt to the spaces at random, the present deal counted with them."""
    rng = np.random.default_rng(0)
    a, b = ranked(x[None])[0], ranked(y[None])[0]
    dealt = _rows_correlated(np.broadcast_to(a, (PERMUTED, len(a))), rng.permuted(np.tile(b, (PERMUTED, 1)), axis=1))
    return (1 + int((np.abs(dealt) >= abs(rho) - 1e-9).sum())) / (1 + PERMUTED)


def _partial(x: Scores, y: Scores, z: Scores) -> float | None:
    """Partial rank correlation of x and y given z; None where z does not vary or explains one of them wholly."""
    xy, xz, yz = spearman(x, y), spearman(x, z), spearman(y, z)
    left = (1 - xz**2) * (1 - yz**2)
    return None if math.isnan(left) or left < 1e-9 else (xy - xz * yz) / math.sqrt(left)


def _without(x: Scores, y: Scores, kinds: Names, rho: float) -> float | None:
    """The least that is left of ``rho``, towards and beyond 0, where the spaces of one of the ``kinds`` (n,) are left out; 0
    where a side then no longer varies. None for one kind, and where each leaves fewer than `FEWEST` spaces."""
    others = [kinds != kind for kind in np.unique(kinds)]
    left = [spearman(x[o], y[o]) for o in others if o.sum() >= FEWEST]
    return min((0.0 if math.isnan(r) else r for r in left), key=lambda r: r * rho, default=None)


def _says(rho: Interval, q: float) -> Says:
    if q <= ALPHA:
        return "predicts"
    inside = rho.low is not None and rho.high is not None and rho.low > -WEAK and rho.high < WEAK
    return "weak" if inside else "not told"
