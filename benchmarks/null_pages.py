"""How often does a page about equal models claim a difference, and does it see a real one?

    python benchmarks/null_pages.py          writes docs/null-pages.json and docs/null-pages.md (tox -e null-pages)

*Null pages*: the values of docs/gate-quality.json are those of many seeds of one and the same model. They are dealt at
random, whole seeds at a time, to K models of six seeds each, which differ in nothing but their names, and a page is made of
them by the rule of every page (`latentbench.stats.findings`). Any claim on it is false:

    headline    in a metric that a headline rests on, a model is better or worse than another, or the leading group is
                smaller than all
    outside     the same in any other metric and split, and "higher" or "lower" where the metric has no direction

*Power*: pages of the two real models, the same six seeds of both. How often is each difference told?

About two minutes on one core. The known orders of a ladder of models, where a run folder with it is given (``--ladder``),
are one page, so a yes or a no each.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from latentbench import catalog, records
from latentbench.core import Metric
from latentbench.records import Record
from latentbench.running.provenance import define
from latentbench.stats.cells import Cell, Seed, summarise, t_interval
from latentbench.stats.families import ALPHA, chances, compared, together
from latentbench.stats.findings.claims import compare, leaders
from latentbench.stats.findings.table import Table, tables

ROOT = Path(__file__).resolve().parents[1]
STORE = ROOT / "docs" / "gate-quality.json"
SEEDS = 6
MODELS = (2, 3, 4, 6)
DEALS = 4000
MOST = 0.06
"""The share of null pages that may make a false claim: 5 %, and room for the chance of 4,000 deals."""
SECOND = ".second_judge"
ORDERS = (
    ("validity.normal", "vae", "ae"),
    ("hole", "ae", "vae"),
    ("path.validity_gain", "vae", "ae"),
    ("kl.mean_part", "vae:kl=variance", "vae"),
    ("kl.variance_part", "vae:beta=0", "vae"),
    ("kl.variance_part", "vae:kl=mean", "vae"),
    ("punctual_index", "vae", "vae:beta=0"),
    ("punctual_index", "vae", "vae:kl=mean"),
    ("validity.normal", "vae", "vae:beta=0"),
    ("validity.normal", "vae", "vae:kl=variance"),
    ("hole", "vae:beta=0", "vae"),
    ("hole", "vae:kl=variance", "vae"),
    ("r2", "vae", "vae:beta=3"),
)
"""Metric, the model that is known to score higher, the one that is known to score lower: the ladder of measures.md."""


Array = NDArray[Any]


class Made(NamedTuple):
    """Which false claims a page made: the metrics, with their split where it is not the held-out one."""

    headline: frozenset[str]
    outside: frozenset[str]


class Store:
    """The stored values as cells of one model each, one seed a column: ``cells`` model -> its cells."""

    def __init__(self, values: Mapping[str, Sequence[float | None]], metrics: Mapping[str, Metric]) -> None:
        """``values``: ``model metric split`` -> a value a seed, None where it has none."""
        head = Record(kind="run", detail={"definitions": define(metrics.values())})
        rows = [r for key, column in values.items() for r in _rows(key, column, metrics)]
        self.cells: dict[str, list[Cell]] = {}
        for c in summarise([head, *rows]):
            self.cells.setdefault(c.model, []).append(c)
        self.head = head
        self.size = max(len(column) for column in values.values())
        self._columns: dict[str, tuple[tuple[Array, Array], Array]] = {}

    def columns(self, source: str) -> tuple[tuple[Array, Array], Array]:
        """What is compared of a model and its bare values, each (cells, seeds), NaN where there is none; and which cells a
        headline rests on."""
        if source not in self._columns:
            cells = self.cells[source]
            table = [
                [[of(c).get(s, math.nan) for s in range(self.size)] for c in cells]
                for of in (compared, lambda c: c.values)
            ]
            self._columns[source] = (np.array(table[0]), np.array(table[1])), np.array([c.headline for c in cells])
        return self._columns[source]

    def page(self, hands: Sequence[tuple[str, str, Sequence[int]]]) -> Table:
        """The page of these models: the name each bears, whose seeds it has, and which."""
        cells = [
            _dealt(c, name, hand) for name, source, hand in hands for c in self.cells[source]
            if any(s in c.values for s in hand)
        ]  # fmt: skip
        return Table(together(cells)[0], "digits", head=self.head)


def _rows(key: str, column: Sequence[float | None], metrics: Mapping[str, Metric]) -> list[Record]:
    model, metric, *split = key.split(" ")
    of = metrics.get(metric.removesuffix(SECOND))
    base = Record(
        dataset="digits", model=model, metric=metric, split=split[0] if split else "", latent_dim=8,
        better=of.better if of else "none", target=of.target if of else None, unit=of.unit if of else "",
        bounds=of.bounds if of else (None, None),
    )  # fmt: skip
    return [replace(base, seed=s, value=v) for s, v in enumerate(column) if v is not None]


def _dealt(cell: Cell, name: str, hand: Sequence[int]) -> Cell:
    """A cell with these seeds alone, called 0, 1, .. in their order."""
    kept: dict[Seed, float] = {k: cell.values[s] for k, s in enumerate(hand) if s in cell.values}
    return replace(cell, model=name, values=kept, interval=t_interval(kept.values(), bounds=cell.bounds), details={})


def hands_of(store: Store, models: int, rng: np.random.Generator) -> list[list[int]]:
    """Disjoint hands of `SEEDS` seeds, one a model. Raises ValueError where the store holds too few."""
    order = rng.permutation(store.size)
    if models * SEEDS > len(order):
        raise ValueError(f"{models} models of {SEEDS} seeds need {models * SEEDS}, the store holds {len(order)}")
    return [[int(s) for s in hand] for hand in order[: models * SEEDS].reshape(models, SEEDS)]


def equal_models(store: Store, source: str, hands: Sequence[Sequence[int]]) -> Table:
    """The page of models that differ in name alone."""
    return store.page([(f"m{k}", source, hand) for k, hand in enumerate(hands)])


def may_tell(store: Store, source: str, hands: Sequence[Sequence[int]]) -> tuple[bool, bool]:
    """Whether a family of that page, headline and every, has a p-value that is at most 5 % when adjusted, by the same test
    (`chances`) on plain arrays: where none has, no claim can be made and the page need not be put together."""
    values, headline = store.columns(source)
    found: tuple[list[float], list[float]] = [], []
    for first, other in combinations(hands, 2):
        a, b = values[0][:, first], values[0][:, other]
        size = np.maximum(*(np.abs(_mean(values[1][:, hand])) for hand in (first, other)))
        for count in np.unique(both := (np.isfinite(a) & np.isfinite(b)).sum(1)):
            rows = np.flatnonzero(both == count)
            if count > 1:
                d = (b - a)[rows]
                p = chances(d[np.isfinite(d)].reshape(len(rows), count), size[rows])
                found[1].extend(p)
                found[0].extend(p[headline[rows]])
    return tuple(bool(p) and min(p) * len(p) <= ALPHA for p in found)  # type: ignore[return-value]


def _mean(x: Array) -> Array:
    """Means of the rows over what they hold; 0 of nothing."""
    return np.asarray(np.nansum(x, 1) / np.maximum(1, np.isfinite(x).sum(1)))


def claimed(table: Table) -> Made:
    """The metrics in which a page tells any two of its models apart, or lets a group lead. Where the least p-value of a
    family, adjusted, is above 5 %, no claim of it can be told and its rows are not gone through."""
    rows: dict[tuple[str, str], list[Cell]] = {}
    for c in table.every:
        rows.setdefault((c.metric, c.split), []).append(c)
    out: tuple[set[str], set[str]] = set(), set()
    family = table.every[0].family
    assert family is not None
    for (metric, split), cells in rows.items():
        if not family.tells(cells[0].headline):
            continue
        apart = any(compare(a, b).side for a, b in combinations(cells, 2))
        if apart or 0 < len(leaders(cells)) < len(cells):
            out[not cells[0].headline].add(metric if split != "train" else f"{metric} (train)")
    return Made(*map(frozenset, out))


def null_pages(store: Store, models: int, deals: int, seed: int = 0) -> dict[str, Any]:
    """How many of ``deals`` pages of so many equal models make a false claim; the sources take turns."""
    rng = np.random.default_rng([seed, models])
    sources, found, nothing = list(store.cells), [], Made(frozenset(), frozenset())
    for k in range(deals):
        source, hands = sources[k % len(sources)], hands_of(store, models, rng)
        silent = not any(may_tell(store, source, hands))
        found.append((source, nothing if silent else claimed(equal_models(store, source, hands))))
    size = equal_models(store, sources[-1], hands_of(store, models, rng)).claims
    return {
        "models": models,
        "deals": deals,
        "claims": size,
        "headline": sum(bool(m.headline) for _, m in found),
        "outside": sum(bool(m.outside) for _, m in found),
        "by source": {
            s: [sum(of == s for of, _ in found), *(sum(bool(part(m)) for of, m in found if of == s) for part in PARTS)]
            for s in sources
        },
        "most often": [
            Counter(metric for _, m in found for metric in part(m)).most_common(5) for part in PARTS
        ],
    }  # fmt: skip


PARTS: tuple[Callable[[Made], frozenset[str]], ...] = (lambda m: m.headline, lambda m: m.outside)


def power(store: Store, deals: int, first: str = "ae", other: str = "vae", seed: int = 0) -> list[dict[str, Any]]:
    """How often pages of two real models tell them apart, each metric with the means over all seeds."""
    rng, told = np.random.default_rng([seed, 0]), Counter[tuple[str, str, int]]()
    for _ in range(deals):
        hand = rng.permutation(store.size)[:SEEDS].tolist()
        table = store.page([(first, first, hand), (other, other, hand)])
        for a, b in _paired(table, first, other):
            told[b.metric, b.split, compare(a, b).side] += 1
    out = []
    for a, b in _paired(store.page([(m, m, range(store.size)) for m in (first, other)]), first, other):
        means = [c.interval.mean for c in (a, b) if c.interval]
        least = b.least.between(*means)
        out.append({
            "metric": b.metric, "split": b.split, "headline": b.headline, "means": means, "least": least,
            "higher": told[b.metric, b.split, 1] / deals, "lower": told[b.metric, b.split, -1] / deals,
        })  # fmt: skip
    return out


def _paired(table: Table, first: str, other: str) -> Iterable[tuple[Cell, Cell]]:
    by = {(c.model, c.metric, c.split): c for c in table.every}
    for (model, metric, split), cell in by.items():
        if model == first and cell.better != "none" and (twin := by.get((other, metric, split))):
            yield cell, twin


def ladder(folder: Path) -> list[dict[str, Any]]:
    """Whether the page of a run with the ladder's models tells each known order."""
    (table,) = tables(records.read(folder / "records.jsonl"))
    out = []
    for metric, more, less in ORDERS:
        a, b = table.by.get((less, metric)), table.by.get((more, metric))
        if a and b and a.interval and b.interval:
            c = compare(a, b)
            out.append({
                "metric": metric, "higher": more, "lower": less, "means": [b.interval.mean, a.interval.mean],
                "adjusted": c.adjusted, "threshold": c.threshold, "outcome": c.outcome,
            })  # fmt: skip
    return out


def wilson(count: int, n: int) -> str:
    """A share with its Wilson interval."""
    found = binomtest(count, n).proportion_ci(0.95, "wilson")
    return f"{count / n:.3f} [{found.low:.3f}, {found.high:.3f}]"


def page(held: Mapping[str, Any]) -> str:
    """docs/null-pages.md."""
    lines = [
        "# What a page claims of equal models, and of different ones",
        "",
        "Written by `python benchmarks/null_pages.py`; the numbers are in null-pages.json. Values of many seeds of one model",
        "(docs/gate-quality.json) are dealt to K models of six seeds that differ in name alone, and the page's own rule",
        "(paired t, Holm over the page at 5 %, least effects) looks for differences. Every one it claims is false.",
        "",
        "## Null pages",
        "",
        "Share of pages with any false claim, with its Wilson interval. *Headline*: better, worse or a leading group in a metric",
        "that a headline rests on. *Outside*: a lead, bold type or a sentence on any other metric.",
        "",
        "| models | pages | claims: headline, all | false headline | false outside | most often |",
        "| ---: | ---: | ---: | --- | --- | --- |",
    ]
    for row in held["null"]:
        often = ", ".join(
            f"{name} {n}" for name, n in sorted(row["most often"][0] + row["most often"][1], key=lambda x: -x[1])[:3]
        )
        lines.append(
            f"| {row['models']} | {row['deals']:,} | {row['claims'][0]}, {row['claims'][1]:,} | {wilson(row['headline'], row['deals'])} | "
            f"{wilson(row['outside'], row['deals'])} | {often} |"
        )
    lines += ["", "By whose seeds were dealt: pages, false headlines, false outside.", ""]
    lines += [
        f"- K = {row['models']}: " + "; ".join(f"{s} {n:,}, {a}, {b}" for s, (n, a, b) in row["by source"].items())
        for row in held["null"]
    ]
    lines += [
        "",
        "## Power",
        "",
        f"{held['power deals']:,} pages of the real `ae` and `vae`, six seeds each: how often the difference is told. A difference below",
        "the least effect is never told, however surely it is there. Of a metric with a target (memorisation, variance_law, ..)",
        "the distances to it are compared.",
        "",
        "| metric | headline | ae | vae | least effect | told: vae higher | lower |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {r['metric']}{' (train)' if r['split'] == 'train' else ''} | {'yes' if r['headline'] else ''} | {r['means'][0]:.4g} | "
        f"{r['means'][1]:.4g} | {r['least']:.2g} | {r['higher']:.3f} | {r['lower']:.3f} |"
        for r in sorted(held["power"], key=lambda r: (not r["headline"], r["metric"], r["split"]))
    ]
    if held.get("ladder"):
        lines += [
            "",
            "## Known orders",
            "",
            "One page of the ladder's models on `digits`, six seeds: is each known order told among all claims of the page?",
            "",
            "| metric | higher | lower | means | adjusted p | outcome |",
            "| --- | --- | --- | --- | ---: | --- |",
            *(
                f"| {r['metric']} | {r['higher']} | {r['lower']} | {r['means'][0]:.3g}, {r['means'][1]:.3g} | "
                f"{'-' if r['adjusted'] is None else format(r['adjusted'], '.2g')} | {r['outcome']} |"
                for r in held["ladder"]
            ),
        ]
    return "\n".join([*lines, ""])


def main(words: Sequence[str] | None = None) -> int:
    parse = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parse.add_argument("--deals", type=int, default=DEALS)
    parse.add_argument("--store", type=Path, default=STORE)
    parse.add_argument("--ladder", type=Path, help="a run folder with the models of the ladder")
    parse.add_argument("--out", type=Path, default=ROOT / "docs" / "null-pages.json")
    asked = parse.parse_args(words)
    store = Store(json.loads(asked.store.read_text("utf-8"))["values"], catalog.metrics())
    before = json.loads(asked.out.read_text("utf-8")) if asked.out.is_file() else {}
    held = {
        "null": [null_pages(store, k, asked.deals) for k in MODELS if k * SEEDS <= store.size],
        "power deals": math.ceil(asked.deals / 4),
        "power": power(store, math.ceil(asked.deals / 4)) if {"ae", "vae"} <= store.cells.keys() else [],
        "ladder": ladder(asked.ladder) if asked.ladder else before.get("ladder", []),
    }
    records.write_text(asked.out, json.dumps(held, ensure_ascii=False, indent=1) + "\n")
    records.write_text(asked.out.with_suffix(".md"), page(held))
    share = max(row[part] / row["deals"] for row in held["null"] for part in ("headline", "outside"))
    return int(share > MOST)


if __name__ == "__main__":
    sys.exit(main())
