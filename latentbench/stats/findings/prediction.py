"""Which measures of a latent space predict what a second stage reaches in it? What the study ``predicts-generation`` decides.

A *space* is a model of the run with its latent size; its score in a measure is the mean over seeds, what is reached is the mean
of `TARGET`, the valid share of draws of a flow trained on its codes. For each measure

    rho       Spearman's rank correlation of score and target over spaces, ties at their mean rank
    interval  percentile bootstrap (`REPEATS`): spaces are drawn with replacement, and of each its seeds, the same ones for the
              measure and the target; approximate
    p         two-sided, of "the ranks have nothing to do with one another": spaces dealt anew `PERMUTED` times
    q         p adjusted for all measures tried (Holm)
    partial   rho with the ranks of the latent size held fixed: what is left where size alone does not explain it

A measure *predicts* where q is at most 5 %; it predicts at most *weakly* where the whole interval lies within `WEAK`; else the
spaces at hand do not *tell*. Measures are taken as they are found: all that a record says of the model and the test images, but
for costs, for what the flow itself reached, and for what fewer than `MOST` of the spaces have.

The spaces are variants of a few kinds and no random sample of all there are: an interval is about spaces like these.
"""

from __future__ import annotations

import math
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


class Prediction(NamedTuple):
    """A measure: ``rho`` with its interval (``rho.n`` spaces), ``p`` and the adjusted ``q``, ``partial``, and what it ``says``.
    ``better`` is the measure's own direction."""

    metric: str
    better: str
    rho: Interval
    p: float
    q: float
    partial: float | None
    says: Says


def predictions(m: Measured, models: Sequence[str]) -> tuple[Prediction, ...]:
    """Every measure of these models, the strongest correlation first; empty without a target."""
    target = {model: c for model in models if (c := m.cell(model, TARGET))}
    if len(target) < FEWEST:
        return ()
    rows = [found for metric in _tried(m, target) if (found := _correlated(m, metric, target))]
    adjusted = holm([row.p for row in rows])
    made = [row._replace(q=q, says=_says(row.rho, q)) for row, q in zip(rows, adjusted, strict=True)]
    return tuple(sorted(made, key=lambda row: -abs(row.rho.mean)))


def prediction(m: Measured, metric: str, models: Sequence[str]) -> Prediction | None:
    """One measure by itself, unadjusted (q = p); None where it or the target was not measured of `FEWEST` spaces."""
    target = {model: c for model in models if (c := m.cell(model, TARGET))}
    return _correlated(m, metric, target) if target else None


def _tried(m: Measured, target: dict[str, Cell]) -> list[str]:
    """The measures that predict something where they do."""
    out: dict[str, int] = {}
    for (model, metric, split), cell in m.cells.items():
        about = m.definitions.get(metric, {})
        aside = about.get("family") == "cost" or FLOW in cell.metric_params.values() or cell.is_timing
        if model in target and split == "test" and metric != TARGET and not aside and m.cell(model, metric):
            out[metric] = out.get(metric, 0) + 1
    return [metric for metric, count in out.items() if count >= max(FEWEST, MOST * len(target))]


def _correlated(m: Measured, metric: str, target: dict[str, Cell]) -> Prediction | None:
    cells = [(c, of) for model, of in target.items() if (c := m.cell(model, metric))]
    pairs = [(a, b, [s for s in a.values if s in b.values]) for a, b in cells]
    pairs = [pair for pair in pairs if pair[2]]
    if len(pairs) < FEWEST:
        return None
    x = _table([[a.values[s] for s in shared] for a, _, shared in pairs])
    y = _table([[b.values[s] for s in shared] for _, b, shared in pairs])
    rho = spearman(np.nanmean(x, 1), np.nanmean(y, 1))
    if math.isnan(rho):
        return None
    drawn = _bootstrap(x, y)
    low, high = (float(v) for v in np.quantile(drawn, (0.025, 0.975))) if len(drawn) else (-1.0, 1.0)
    sizes = np.array([a.latent_dim or 0 for a, _, _ in pairs], float)
    interval = Interval(
        rho, low, high, float(drawn.std()) if len(drawn) else 0.0, len(pairs), "bootstrap over latent spaces"
    )
    p = _permutation(np.nanmean(x, 1), np.nanmean(y, 1), rho)
    return Prediction(
        metric, pairs[0][0].better, interval, p, p, _partial(np.nanmean(x, 1), np.nanmean(y, 1), sizes), "not told"
    )


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
    """Rho of spaces drawn with replacement, and of each its seeds; those in which a side is all ties are left out."""
    rng = np.random.default_rng(0)
    spaces, seeds = len(x), (~np.isnan(x)).sum(1)
    chosen = rng.integers(0, spaces, (REPEATS, spaces))
    at = (rng.random((REPEATS, spaces, x.shape[1])) * seeds[chosen][..., None]).astype(int)
    means = []
    for side in (x, y):
        values = side[chosen[..., None], at]
        values[np.arange(x.shape[1]) >= seeds[chosen][..., None]] = np.nan
        means.append(ranked(np.nanmean(values, 2)))
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


def _says(rho: Interval, q: float) -> Says:
    if q <= ALPHA:
        return "predicts"
    inside = rho.low is not None and rho.high is not None and rho.low > -WEAK and rho.high < WEAK
    return "weak" if inside else "not told"
