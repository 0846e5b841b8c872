"""What the forecast of the linear VAE is worth for networks with hidden layers.

    python benchmarks/forecast.py    writes docs/forecast.json, docs/forecast.md and latentbench/stats/forecast_rates.json
                                     (tox -e forecast); the last is what a run and its page say of their forecasts

On digits, lines, shapes and MNIST (where LATENTBENCH_DATA names a folder with MNIST/raw), VAEs with two hidden layers and 16
latent dimensions, the weight of the KL from .1 to 10, the decoder variance learned or fixed at .09: how many dimensions the
closed form of the linear VAE forecasts (`latentbench.stats.linear_vae`), how many are in use on held-out images after
training (`active_units`). What is finished stands in the JSON file at once; the same command carries on, ``--again`` begins
anew.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import statistics
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from latentbench import catalog
from latentbench.config import make_run
from latentbench.core import Dataset
from latentbench.machine import processor
from latentbench.metrics.posterior import active
from latentbench.running.forecast import forecasts
from latentbench.stats.cells import t_interval
from latentbench.stats.linear_vae import RATES, WITHIN
from latentbench.training.fit import Plan, fit, initialise

DOCS = Path(__file__).parents[1] / "docs"
BETAS = (0.1, 0.3, 1, 3, 10)
WAYS = {"learned": "", "fixed": ":sigma=0.3"}
LATENT_DIM, SEEDS = 16, 2
PLANS = {
    "digits": Plan(150, 0, 64, 1e-3),
    "lines": Plan(40, 0, 64, 1e-3),
    "shapes": Plan(60, 0, 64, 1e-3),
    "mnist": Plan(12, 0, 512, 1e-3),
}
"""Data set -> how long it is trained: some 1,200 to 2,600 steps."""
NORMAL = statistics.NormalDist().inv_cdf(0.975)


def measure(data: Dataset, name: str, beta: float, way: str, seed: int) -> dict[str, Any]:
    """One training: dimensions forecast and in use, and what the decoder variance times beta was to be and was."""
    text = f"vae:beta={beta}{WAYS[way]}"
    spec = catalog.resolve_model(text, make_run({"models": text, "latent_dim": LATENT_DIM}))
    told = forecasts([spec], data)[text]
    started = time.process_time()
    model = initialise(lambda: spec.build(data.space), seed)
    fit(model, data.train.x, data.val.x, PLANS[name], seed)
    with torch.no_grad():
        posterior = model.encode(data.test.x)
    return {
        "forecast": told.active,
        "active": int(active(posterior.mu, posterior.log_var).sum()),
        "variance_forecast": told.variance,
        "variance": model.decoder_variance,
        "seconds": time.process_time() - started,
    }


def cells(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The settings, seeds averaged: the share of seeds within `WITHIN`, and the mean error."""
    found: dict[tuple[str, float, str], list[Mapping[str, Any]]] = {}
    for row in rows:
        found.setdefault((row["data"], row["beta"], row["way"]), []).append(row)
    return [
        {
            "data": data,
            "beta": beta,
            "way": way,
            "forecast": some[0]["forecast"],
            "active": [r["active"] for r in some],
            "hit": statistics.fmean(abs(r["forecast"] - r["active"]) <= WITHIN for r in some),
            "error": statistics.fmean(r["forecast"] - r["active"] for r in some),
            "absolute_error": statistics.fmean(abs(r["forecast"] - r["active"]) for r in some),
        }
        for (data, beta, way), some in found.items()
    ]


def rates(some: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Hit rate over settings with its 95 % interval (Wilson 1927), and the mean error with its t interval."""
    n, p = len(some), statistics.fmean(c["hit"] for c in some)
    centre, half = p + NORMAL**2 / (2 * n), NORMAL * math.sqrt(p * (1 - p) / n + NORMAL**2 / (4 * n * n))
    error = t_interval([c["error"] for c in some])
    fewer = [c["hit"] for c in some if c["forecast"] < LATENT_DIM]
    return {
        "rate": round(p, 4),
        "low": round((centre - half) / (1 + NORMAL**2 / n), 4),
        "high": round((centre + half) / (1 + NORMAL**2 / n), 4),
        "error": round(error.mean, 3),
        "error_low": None if error.low is None else round(error.low, 3),
        "error_high": None if error.high is None else round(error.high, 3),
        "absolute_error": round(statistics.fmean(c["absolute_error"] for c in some), 3),
        "cells": n,
        "fewer_rate": round(statistics.fmean(fewer), 4) if fewer else None,
        "fewer_cells": len(fewer),
        "latent_dim": LATENT_DIM,
        "datasets": list(dict.fromkeys(c["data"] for c in some)),
    }


def document(out: Mapping[str, Any]) -> str:
    """The page from the raw results."""
    every = cells(out["rows"])
    machine, versions = out["machine"], ", ".join(f"{k} {v}" for k, v in out["versions"].items())
    lines = [
        "# What a forecast before training is worth",
        "",
        "Made by `python benchmarks/forecast.py` (`tox -e forecast`). Forecast: how many latent dimensions the *linear* VAE of "
        "the same likelihood, beta and data keeps, by its closed form (`latentbench/stats/linear_vae.py`; for linear models it is "
        "exact: `tests/test_forecast.py`). In use: `active_units` of a VAE with two hidden layers, d = "
        f"{LATENT_DIM}, on held-out images, a number a seed. Right: within {WITHIN} dimension. An interval is over settings (data, beta, "
        "variance), seeds averaged: hit rate Wilson, mean error t. Trainings are short (1,200 to 2,600 steps). "
        f"Measured {out['measured'][:10]} on {machine['processor']}, one thread, {versions}.",
        "",
        "| settings | hit rate | 95 % | mean error (forecast minus in use) | 95 % | mean absolute error |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    groups = {"all": every} | {name: [c for c in every if c["data"] == name] for name in PLANS}
    groups |= {f"variance {way}": [c for c in every if c["way"] == way] for way in WAYS}
    groups["all dimensions forecast"] = [c for c in every if c["forecast"] == LATENT_DIM]
    groups["fewer forecast"] = [c for c in every if c["forecast"] < LATENT_DIM]
    for title, some in groups.items():
        if some:
            r = rates(some)
            spread = f"{r['error_low']:.1f} to {r['error_high']:.1f}" if r["error_low"] is not None else "–"
            lines.append(
                f"| {title} ({r['cells']}) | {r['rate']:.2f} | {r['low']:.2f} to {r['high']:.2f} | {r['error']:+.1f} | {spread} "
                f"| {r['absolute_error']:.1f} |"
            )
    lines += ["", "| data | variance | beta | forecast | in use |", "| --- | --- | ---: | ---: | ---: |"]
    for c in every:
        lines.append(
            f"| {c['data']} | {c['way']} | {c['beta']:g} | {c['forecast']} | {', '.join(map(str, c['active']))} |"
        )
    if not any(c["data"] == "mnist" for c in every):
        lines += ["", "MNIST: not measured (LATENTBENCH_DATA is not set)."]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=DOCS / "forecast.json", help="raw results; the page lies beside it")
    parser.add_argument("--data", nargs="+", choices=PLANS, default=list(PLANS))
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--again", action="store_true", help="forget what is there of what is asked for")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    out = json.loads(asked.out.read_text()) if asked.out.exists() else {"rows": []}
    if asked.again:
        out["rows"] = [r for r in out["rows"] if r["data"] not in asked.data]
    out |= {
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"processor": processor(), "cores": os.cpu_count(), "python": platform.python_version()},
        "versions": {p: version(p) for p in ("torch", "numpy")},
    }
    for name in asked.data:
        if name == "mnist" and "LATENTBENCH_DATA" not in os.environ:
            continue
        data = catalog.datasets()[name].load("", os.environ.get("LATENTBENCH_DATA", ""), 0)
        for seed in range(asked.seeds):
            _walk(data, name, seed, out, asked.out)
    asked.out.with_suffix(".md").write_text(document(out))
    if asked.out == DOCS / "forecast.json":
        RATES.write_text(json.dumps(rates(cells(out["rows"])), indent=1) + "\n")


def _walk(data: Dataset, name: str, seed: int, out: dict[str, Any], path: Path) -> None:
    """The trainings of one data set and seed, those that are there left out; written down after each."""
    done = {(r["beta"], r["way"]) for r in out["rows"] if (r["data"], r["seed"]) == (name, seed)}
    for way in WAYS:
        for beta in BETAS:
            if (beta, way) not in done:
                row = {"data": name, "seed": seed, "beta": beta, "way": way, **measure(data, name, beta, way, seed)}
                out["rows"].append(row)
                print(f"{name}, seed {seed}, {way}, beta {beta:g}: {row['forecast']} / {row['active']}", flush=True)
                path.write_text(json.dumps(out, indent=1) + "\n")


if __name__ == "__main__":
    main()
