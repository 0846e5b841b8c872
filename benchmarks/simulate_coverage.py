"""How often does a 95 % interval hold the true value? Simulated studies, measured with the package's own functions.

    python benchmarks/simulate_coverage.py            writes docs/coverage.json and docs/coverage.md (tox -e coverage)

A *study* is n seeds whose true mean is known; *coverage* is the share of studies whose interval contains it. Every cell
of every table draws from a generator of its own, so one can be changed without moving the others. With 2,000 studies
a coverage of .95 has a standard error of .005.
"""

from __future__ import annotations

import argparse
import json
import math
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from latentbench.stats.intervals import (
    UNBOUNDED,
    Bounds,
    Interval,
    holm,
    quantile,
    seeds_to_see,
    t_interval,
    t_test,
)
from latentbench.stats.over_datasets import interquartile_mean, iqm_interval

STUDIES = 2000
SEEDS = (6, 10, 20)
SHARE: Bounds = (0.0, 1.0)
POSITIVE: Bounds = (0.0, None)
Generator = np.random.Generator
Draw = Callable[[Generator, tuple[int, ...]], np.ndarray]


class Table(NamedTuple):
    """One table of the page: a row is its title and a number for each further column."""

    title: str
    about: str
    columns: Sequence[str]
    rows: Sequence[tuple[str, Sequence[float]]]


class Population(NamedTuple):
    """What the values of one metric over seeds may look like."""

    name: str
    draw: Draw
    mean: float
    bounds: Bounds = UNBOUNDED


POPULATIONS = (
    Population("Gaussian", lambda g, s: g.normal(2, 3, s), 2.0),
    Population("uniform", lambda g, s: g.uniform(-1, 1, s), 0.0),
    Population("heavy tails (t, 3 degrees of freedom)", lambda g, s: g.standard_t(3, s), 0.0),
    Population("skewed: lognormal, sigma .5", lambda g, s: g.lognormal(0, 0.5, s), math.exp(0.125), POSITIVE),
    Population("skewed: lognormal, sigma 1", lambda g, s: g.lognormal(0, 1, s), math.exp(0.5), POSITIVE),
    Population("skewed: exponential", lambda g, s: g.exponential(1, s), 1.0, POSITIVE),
    Population("share around .50: Beta(50, 50)", lambda g, s: g.beta(50, 50, s), 0.5, SHARE),
    Population("share near 0: Beta(4, 76)", lambda g, s: g.beta(4, 76, s), 0.05, SHARE),
    Population("share near 1: Beta(76, 4)", lambda g, s: g.beta(76, 4, s), 0.95, SHARE),
    Population("share piled up at 0: Beta(.5, 9.5)", lambda g, s: g.beta(0.5, 9.5, s), 0.05, SHARE),
    Population("valid of 1,000 draws, true share .5", lambda g, s: g.binomial(1000, 0.5, s) / 1000, 0.5, SHARE),
    Population("valid of 1,000 draws, true share .01", lambda g, s: g.binomial(1000, 0.01, s) / 1000, 0.01, SHARE),
    Population("valid of 1,000 draws, true share .001", lambda g, s: g.binomial(1000, 0.001, s) / 1000, 0.001, SHARE),
    Population("valid of 1,000 draws, true share .0001", lambda g, s: g.binomial(1000, 1e-4, s) / 1000, 1e-4, SHARE),
)  # fmt: skip

LEVELS = (0.3, 0.5, 0.4, 0.7, 0.6)
"""Mean scores of up to five datasets."""
NOISE = (0.2, 0.05, 0.01, 0.1, 0.02)
"""Spreads of datasets that vary unequally."""
SCORES: dict[str, Callable[[Generator, int, tuple[int, ...]], np.ndarray]] = {
    "Gaussian, equal spreads": lambda g, d, s: LEVELS[d] + 0.05 * g.normal(size=s),
    "skewed: lognormal, sigma .5": lambda g, d, s: LEVELS[d] * g.lognormal(-0.125, 0.5, s),
    "shares: Beta, 20 draws' worth": lambda g, d, s: g.beta(20 * LEVELS[d], 20 * (1 - LEVELS[d]), s),
    "Gaussian, spreads from .01 to .2": lambda g, d, s: LEVELS[d] + NOISE[d] * g.normal(size=s),
}


EFFECT = 0.5
"""The true difference of two models that is to be seen."""
SPREADS = {"a quarter": 0.25, "a half": 0.5, "1": 1.0}
"""Standard deviations of their paired differences."""


def generator(*purpose: object) -> Generator:
    """Random draws of one cell of one table."""
    return np.random.default_rng(zlib.crc32(repr(purpose).encode()))


def holds(interval: Interval, truth: float) -> bool:
    """Whether an interval contains the true value, rounding errors aside."""
    if interval.low is None or interval.high is None:
        return False
    return interval.low <= truth + 1e-12 and truth - 1e-12 <= interval.high


def means(studies: int) -> Table:
    """Coverage of the t-interval of one metric, and how often it says of itself that it is approximate."""
    rows = []
    for p in POPULATIONS:
        covered, labelled = [], []
        for n in SEEDS:
            found = [
                t_interval(x, bounds=p.bounds) for x in p.draw(generator("means", p.name, n), (studies, n)).tolist()
            ]
            covered.append(np.mean([holds(i, p.mean) for i in found]))
            labelled.append(np.mean([bool(i.approximate) for i in found]))
        rows.append((p.name, [*map(float, covered), *map(float, labelled)]))
    return Table(
        "The t-interval of a mean",
        "Coverage, then the share of studies whose interval is labelled approximate. Positive values have the bound 0, "
        "shares the bounds 0 and 1.",
        ["values over seeds", *(f"n = {n}" for n in SEEDS), *(f"labelled, n = {n}" for n in SEEDS)],
        rows,
    )


def differences(studies: int) -> Table:
    """Coverage of the paired interval of a true difference of .5, and its width against that of unpaired seeds."""
    rows = []
    for name, skewed in (("Gaussian", False), ("skewed: lognormal, sigma .5", True)):
        for rho in (0.0, 0.8):
            covered, width = [], []
            for n in SEEDS:
                g = generator("differences", name, rho, n)
                common, own = g.normal(size=(studies, 1, n)), g.normal(size=(studies, 2, n))
                both = math.sqrt(rho) * common + math.sqrt(1 - rho) * own
                both = np.exp(0.5 * both) if skewed else both
                pairs = [t_interval(a + 0.5 - b) for a, b in both]  # `paired`, without its sign-flip test
                covered.append(float(np.mean([holds(i, 0.5) for i in pairs])))
                free = quantile(2 * n - 1) * np.sqrt(both.var(axis=2, ddof=1).sum(axis=1) / n)
                width.append(float(np.mean([i.half for i in pairs]) / free.mean()))
            rows.append((f"{name}, correlation of equal seeds {rho:g}", [*covered, *width]))
    return Table(
        "The paired difference of two models",
        "Coverage, then the mean width over that of the same seeds taken as unpaired.",
        ["values over seeds", *(f"n = {n}" for n in SEEDS), *(f"width, n = {n}" for n in SEEDS)],
        rows,
    )


def percentile(studies: int) -> Table:
    """What the t-interval is chosen over: the percentile bootstrap of a mean of Gaussian values."""
    sizes, covered = (5, *SEEDS), []
    for n in sizes:
        g, found = generator("percentile", n), []
        x = g.normal(size=(studies, n))
        for study in x:
            low, high = np.quantile(study[g.integers(0, n, (1000, n))].mean(1), [0.025, 0.975])
            found.append(low <= 0 <= high)
        covered.append(float(np.mean(found)))
    return Table(
        "For comparison: a percentile bootstrap of a mean",
        "1,000 resamples. Not used by the package.",
        ["values over seeds", *(f"n = {n}" for n in sizes)],
        [("Gaussian", covered)],
    )


def aggregates(studies: int, resamples: int = 500) -> Table:
    """Coverage of the interquartile mean's stratified bootstrap over datasets."""
    rows = []
    for name, draw in SCORES.items():
        for datasets in (2, 5):
            for expanded in (True, False) if name == "Gaussian, equal spreads" else (True,):
                kind = "" if expanded else "; plain percentiles, for comparison"
                covered = [_aggregate(name, draw, datasets, n, studies, resamples, expanded) for n in SEEDS]
                rows.append((f"{name}; {datasets} datasets{kind}", covered))
    return Table(
        "The interquartile mean over datasets, stratified bootstrap",
        "Coverage. n is the number of seeds on each dataset; mean scores from .3 to .7. Every such interval is labelled "
        "approximate.",
        ["scores over seeds", *(f"n = {n}" for n in SEEDS)],
        rows,
    )


def _aggregate(
    name: str, draw: Callable[[Generator, int, tuple[int, ...]], np.ndarray], datasets: int, n: int, studies: int,
    resamples: int, expanded: bool,
) -> float:  # fmt: skip
    g = generator("aggregates", name, datasets, n)
    truth = float(interquartile_mean(np.concatenate([draw(g, d, (200_000,)) for d in range(datasets)])))
    x = np.stack([draw(g, d, (studies, n)) for d in range(datasets)], 1)
    found = [
        iqm_interval({str(d): dict(enumerate(seeds)) for d, seeds in enumerate(study)}, resamples=resamples, expanded=expanded)
        for study in x.tolist()
    ]  # fmt: skip
    return float(np.mean([holds(i, truth) for i in found]))


def forecasts(studies: int) -> Table:
    """Where a page says "to see a difference of .5 takes about k seeds", how often do k seeds see one of .5?"""
    rows = []
    for name, sd in SPREADS.items():
        row = []
        for n in SEEDS:
            g, came = generator("forecasts", name, n), []
            for _ in range(studies):
                seen = t_interval(g.normal(0, sd, n))  # of paired differences
                if k := seeds_to_see(seen.sd or 0.0, EFFECT):
                    came.append(t_interval(g.normal(EFFECT, sd, k)).side > 0)
            row.append(float(np.mean(came)) if came else math.nan)
        rows.append((name, row))
    return Table(
        '"To see a difference of .5 takes about k seeds"',
        "Share of studies of k seeds that tell a true difference of .5, where k was forecast from the spread of n seeds, for "
        "a power of .8 at 5 %. The spread of few seeds is uncertain, so k is often too small or too large, and the share "
        "lies somewhat below .8.",
        ["standard deviation of the differences", *(f"n = {n}" for n in SEEDS)],
        rows,
    )


def families(studies: int, claims: int = 10) -> Table:
    """How often at least one of ten claims about equal models is made."""
    plain, adjusted = [], []
    for n in SEEDS:
        x = generator("families", n).normal(size=(studies, claims, n))
        p = [[t_test(t_interval(claim)) for claim in study] for study in x.tolist()]
        plain.append(float(np.mean([min(study) < 0.05 for study in p])))
        adjusted.append(float(np.mean([min(holm(study)) < 0.05 for study in p])))
    return Table(
        "Ten claims at once about models that are equal",
        "Share of studies with at least one false claim; allowed: .05.",
        ["p-values of the paired t-test", *(f"n = {n}" for n in SEEDS)],
        [("each on its own", plain), ("adjusted (Holm 1979)", adjusted)],
    )


def simulate(studies: int = STUDIES) -> Iterator[Table]:
    """Every table of the page."""
    for table in (means, differences, percentile, aggregates, forecasts, families):
        yield table(studies)


def markdown(tables: Sequence[Table], studies: int) -> str:
    """The page."""
    parts = [
        "# Does a 95 % interval cover 95 %?",
        "",
        f"Simulated: {studies:,} studies for every number, so a coverage of .95 has a standard error of "
        f"{math.sqrt(0.95 * 0.05 / studies):.3f}. Written by `tox -e coverage` with the package's own functions.",
        "",
        "- The t-interval and the paired difference hold what they say (.93 to .97) on Gaussian values at 6 seeds and more.",
        "- On skewed values they cover less; so does an interval of a share within two standard deviations of 0 or 1. Such",
        "  an interval is labelled approximate (`≈` in the report), by the mean and the spread of the values at hand. The",
        "  label speaks of the measure and its seeds, not of one sample's luck: a skewed sample that happens to look tight",
        "  has no label and covers less than the table says.",
        "- An interval that would reach beyond the measure's bounds is cut there. The true mean lies within the bounds, so",
        "  the cut changes no coverage. Where every seed gave the bound itself, the interval has no width, which is no",
        "  certainty: the rarest shares below show what such intervals are worth.",
        "- Intervals over datasets are a bootstrap and always labelled approximate.",
        "",
    ]
    for t in tables:
        parts += [f"## {t.title}", "", t.about, "", "| " + " | ".join(t.columns) + " |"]
        parts += ["| --- |" + " ---: |" * (len(t.columns) - 1)]
        parts += [
            f"| {name} | " + " | ".join("–" if math.isnan(v) else f"{v:.3f}" for v in row) + " |"
            for name, row in t.rows
        ]
        parts.append("")
    return "\n".join(parts)


def main() -> None:
    """Write docs/coverage.json and docs/coverage.md."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--studies", type=int, default=STUDIES)
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "docs")
    asked = parser.parse_args()
    tables = list(simulate(asked.studies))
    asked.out.mkdir(parents=True, exist_ok=True)
    held = {
        "studies": asked.studies,
        "tables": [
            {"title": t.title, "columns": list(t.columns),
             "rows": [[name, *(None if math.isnan(v) else round(v, 4) for v in row)] for name, row in t.rows]}
            for t in tables
        ],
    }  # fmt: skip
    (asked.out / "coverage.json").write_text(json.dumps(held, indent=1) + "\n", "utf-8")
    (asked.out / "coverage.md").write_text(markdown(tables, asked.studies), "utf-8")


if __name__ == "__main__":
    main()
