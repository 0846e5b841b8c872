"""How cost grows: processor seconds over the number of images N, the latent size d, the image side s and the seeds.

    python benchmarks/growth.py       writes docs/growth.json and docs/growth.md (tox -e growth)

A *curve* is one thing to do at several sizes of one axis, all else held. Every size is done in rounds, so what drifts
on the machine falls on all sizes, on one thread. The exponent b of  seconds = a * size^b  is the least-squares slope
of ln seconds over ln size, seconds the median of a size's rounds; its interval is Student's, with k - 2 degrees of
freedom for k sizes: wide where the curve is no power law, as where a fixed cost outweighs the rest at small sizes.

The images are scikit-learn's digits, drawn again with a little noise where more are asked for, and scaled to the side.
How the cost of each measure grows with the latent size, up to 4,096, and with the images, up to 100,000, are tables of their
own: see `metric_growth`.

What is finished stands in the JSON file at once; the same command carries on, ``--again`` begins anew.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from threadpoolctl import threadpool_limits

sys.path.insert(0, str(Path(__file__).parent))

import metric_growth
from metric_growth import digits, exponent

from latentbench.machine import processor

DOCS = Path(__file__).parents[1] / "docs"
ROUNDS = 3
N, D, SIDE, BATCH = 1800, 8, 8, 64
"""What is held while another axis is gone along: images in all (60 % of them train), latent size, image side, batch."""

Call = Callable[[], float]
"""Does the work once and gives the seconds it took."""


class Curve(NamedTuple):
    """``make(size)`` prepares and gives what is timed; ``what`` goes along ``axis``."""

    what: str
    axis: str
    sizes: tuple[int, ...]
    make: Callable[[int], Call]
    words: str


def clocked(work: Callable[[], object]) -> Call:
    """``work`` in processor seconds."""

    def call() -> float:
        start = time.process_time()
        work()
        return time.process_time() - start

    return call


def _model(dataset: Any, d: int) -> Any:
    from latentbench.catalog import build_model
    from latentbench.config import make_run
    from latentbench.training.fit import initialise

    run = make_run({"models": "vae", "width": 512, "latent_dim": d})
    return initialise(lambda: build_model("vae", run, dataset.shape), 0)


def fitting(n: int = N, d: int = D, side: int = SIDE) -> Call:
    """Five epochs of a VAE."""
    from latentbench.training.fit import Plan, fit

    dataset = digits(n, side)
    model = _model(dataset, d)
    fit(model, dataset.train.x[:128], dataset.val.x[:64], Plan(1, 0, BATCH, 1e-3), 0)
    return clocked(lambda: fit(model, dataset.train.x, dataset.val.x, Plan(5, 0, BATCH, 1e-3), 0))


def measuring(n: int = N, d: int = D, side: int = SIDE) -> Call:
    """Encoding and every measure of a VAE after a little training."""
    _measured_once()
    return clocked(_measures(n, d, side))


@cache
def _measured_once() -> None:
    """What only the first call of a process pays for: libraries are loaded, functions compiled."""
    _measures(300, D, SIDE)()


def _measures(n: int, d: int, side: int) -> Callable[[], None]:
    from latentbench.catalog import find_metrics
    from latentbench.measuring import scoring
    from latentbench.measuring.judge import train_judge
    from latentbench.records import Record
    from latentbench.training.fit import Plan, fit

    dataset = digits(n, side)
    model = _model(dataset, d)
    fit(model, dataset.train.x, dataset.val.x, Plan(10, 0, BATCH, 1e-3), 0)
    model.requires_grad_(False)
    judge = train_judge(dataset, steps=200)
    metrics = list(find_metrics(()).values())

    def work() -> None:
        encoding = scoring.encode(model, dataset, 0, torch.device("cpu"), judge)
        rows = scoring.score(encoding, metrics, Record(dataset="digits"))
        if broken := [r.metric for r in rows if r.status == "failed"]:
            raise RuntimeError(f"measures failed: {broken}")

    return work


def searching(n: int = 8000, d: int = 16) -> Call:
    """The 5 nearest neighbours of n normal points among themselves."""
    from latentbench.geometry.neighbours import nearest

    x = torch.from_numpy(np.random.default_rng(0).standard_normal((n, d)))
    nearest(x[:500], k=5)
    return clocked(lambda: nearest(x, k=5))


def seeding(seeds: int) -> Call:
    """The trainings of a run with so many seeds, in worker processes: the seconds of all of these, start included."""

    def used() -> float:
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return children.ru_utime + children.ru_stime

    def call() -> float:
        from rivals.workers import train

        before = used()
        with tempfile.TemporaryDirectory() as folder:
            train({"models": "vae", "seeds": seeds, "epochs": 60, "patience": 0, "out": f"{folder}/run"})
        return used() - before

    return call


CURVES = (
    Curve("train", "N", (1000, 2000, 4000, 8000, 16000), lambda n: fitting(n=n), "5 epochs of a VAE"),
    Curve("train", "d", (2, 8, 32, 128, 512), lambda d: fitting(d=d), "the same"),
    Curve("train", "side", (8, 12, 16, 24, 32), lambda s: fitting(side=s), "the same; networks of dense layers"),
    Curve("train", "seeds", (1, 2, 4, 8, 16), seeding, "60 epochs of a VAE, in the workers of a run"),
    Curve("measure", "N", (900, 1800, 3600, 7200), lambda n: measuring(n=n), "every measure of a VAE"),
    Curve("measure", "d", (2, 4, 8, 16, 32), lambda d: measuring(d=d), "the same"),
    Curve("measure", "side", (8, 12, 16, 24, 32), lambda s: measuring(side=s), "the same"),
    Curve("neighbours", "N", (2000, 4000, 8000, 16000, 32000), lambda n: searching(n=n), "5 nearest, d = 16"),
    Curve("neighbours", "d", (2, 8, 32, 128, 512), lambda d: searching(d=d), "5 nearest, N = 8,000"),
)


Rows = Sequence[Mapping[str, Any]]


def medians(rows: Rows, curve: Curve) -> list[tuple[int, float]]:
    """(size, median seconds) of a curve, sizes ascending, of those that are there."""
    own = [r for r in rows if r["what"] == curve.what and r["axis"] == curve.axis]
    sizes = sorted({r["size"] for r in own})
    return [(s, statistics.median(r["seconds"] for r in own if r["size"] == s)) for s in sizes]


HEAD = """# How cost grows

Made by `benchmarks/growth.py` (`tox -e growth`); do not edit. Neighbours and measures up to 100,000 points, and their
memory, are in [scale.md](scale.md); the same work done by others is in [rivals.md](rivals.md).

Seconds are processor seconds on one thread, medians of the rounds; over seeds they are those of all worker processes,
their start included. The exponent is the least-squares slope of ln seconds over ln size with its 95 % t-interval: a wide one says that
the curve is no power law over these sizes, mostly because a fixed cost outweighs the rest at the small ones. *Last
step*: the same slope between the two largest sizes.
"""


def document(result: Mapping[str, Any]) -> str:
    """The whole page."""
    machine, rows = result["machine"], result["rows"]
    versions = ", ".join(f"{name} {number}" for name, number in result["versions"].items())
    load = [r["load"] for r in rows] or [math.nan]
    lines = [
        HEAD,
        f"{machine['processor']}, {machine['cores']} cores; Python {machine['python']}, {versions}; "
        f"{result['measured'][:10]}. Load average {statistics.median(load):.1f} (median), {min(load):.1f} to "
        f"{max(load):.1f}, this run's own included. Where an axis is not gone along, N = {N:,} images in all (60 % of "
        f"them to train on), d = {D}, side = {SIDE} pixels, batch {BATCH}.",
        "",
        "| what | over | sizes | seconds at each | grows as | last step |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for curve in CURVES:
        points = medians(rows, curve)
        if len(points) < 2:
            lines.append(f"| {curve.what}: {curve.words} | {curve.axis} | – | – | not measured | – |")
            continue
        found, last = exponent(points), exponent(points[-2:])
        spread = "" if found.low is None else f" ({found.low:.2f} to {found.high:.2f})"
        sizes, seconds = " / ".join(f"{s:,}" for s, _ in points), " / ".join(f"{y:.3g}" for _, y in points)
        growth = f"{curve.axis}^{found.mean:.2f}{spread}"
        lines.append(
            f"| {curve.what}: {curve.words} | {curve.axis} | {sizes} | {seconds} | {growth} | {curve.axis}^{last.mean:.2f} |"
        )
    page = "\n".join(lines) + "\n"
    return page + metric_growth.document(result)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=DOCS / "growth.json", help="raw results; the page lies beside it")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument(
        "--what", nargs="+", choices=sorted({c.what for c in CURVES} | metric_growth.AXES.keys()), help="default: all"
    )
    parser.add_argument("--budget", type=float, default=900, help="processor seconds for measures alone, an axis")
    parser.add_argument("--each", type=float, default=60, help="the same for one measure at one size: more is left out")
    parser.add_argument("--again", action="store_true", help="forget what is there of what is asked for")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    axes = [axis for axis in metric_growth.AXES if axis in (asked.what or [axis])]
    chosen = [c for c in CURVES if c.what in (asked.what or [c.what])]
    out = json.loads(asked.out.read_text()) if asked.out.exists() else {"rows": []}
    if asked.again:
        out["rows"] = [r for r in out["rows"] if r["what"] not in {c.what for c in chosen}]
        out |= {axis: [] for axis in axes}
    packages = ("torch", "numpy", "scikit-learn")
    measured = datetime.now(UTC).isoformat(timespec="seconds")
    if chosen:
        out |= {
            "measured": measured,
            "machine": {"processor": processor(), "cores": os.cpu_count(), "python": platform.python_version()},
            "versions": {p: version(p) for p in packages},
        }
    out |= {f"{axis}_measured": {"on": measured[:10], "processor": processor()} for axis in axes}
    with threadpool_limits(1):
        for curve in chosen:
            _walk(curve, asked.rounds, out, asked.out)
        for axis in axes:
            metric_growth.walk(axis, out, asked.out, asked.budget, asked.each)
    asked.out.with_suffix(".md").write_text(document(out))


def _walk(curve: Curve, rounds: int, out: dict[str, Any], path: Path) -> None:
    """Every size of a curve in rounds, those that are there left out; written down after each."""
    done = {(r["size"], r["round"]) for r in out["rows"] if (r["what"], r["axis"]) == (curve.what, curve.axis)}
    calls: dict[int, Call] = {}
    for number in range(rounds):
        for size in curve.sizes[::-1] if number % 2 else curve.sizes:
            if (size, number) in done:
                continue
            calls[size] = calls.get(size) or curve.make(size)
            row = {"what": curve.what, "axis": curve.axis, "size": size, "round": number, "seconds": calls[size]()}
            out["rows"].append({**row, "load": os.getloadavg()[0]})
            print(f"{curve.what} over {curve.axis} = {size}, round {number}: {row['seconds']:.3g} s", flush=True)
            path.write_text(json.dumps(out, indent=1) + "\n")


if __name__ == "__main__":
    main()
