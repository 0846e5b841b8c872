"""Which width should the default network on digits have? The smallest as good as the widest, within the intervals.

    python benchmarks/widths.py --work /tmp/widths       trains, writes docs/widths.json and docs/widths.md

Default runs that differ in ``--width`` alone, about two minutes each on 2 cores; a run that is there is not computed
again. Every width is compared with the widest, paired by seed. Then an epoch is timed in turns, in CPU time of one
thread, and multiplied by the epochs that the runs took.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from latentbench import catalog, records
from latentbench.config import make_run
from latentbench.stats.cells import Cell, summarise
from latentbench.stats.intervals import paired
from latentbench.training.fit import Plan, initialise
from latentbench.training.stacking import fit_all

ROOT = Path(__file__).resolve().parents[1]
WIDTHS = (64, 128, 192, 256, 512)
DECIDING = ("r2", "validity.normal", "coverage")
"""A width is out where one of these falls short of the widest network's by more than chance."""
BESIDE = ("hole", "variance_law", "train.epochs", "cost.parameters")
Values = Mapping[tuple[Any, str, str], Cell]
"""(what was chosen, model, metric) -> what was measured."""


def measured(folder: Path, *options: str) -> list[Cell]:
    """The cells of the default run with these options, computed unless it is there."""
    if not (folder / "records.jsonl").exists():
        words = ["-m", "latentbench", "run", "--quiet", "--resume", *options, "--out", str(folder)]
        subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL)
    cells = summarise(records.read(folder / "records.jsonl"))
    return [c for c in cells if c.is_model and c.split in ("test", "")]


def epoch_seconds(width: int, model: str, epochs: int = 15, seeds: int = 3) -> float:
    """CPU seconds of one epoch of one seed, trained as a default run trains them."""
    run = make_run({"models": [model]}).resolve(catalog.find_dataset("digits")[0].defaults)
    dataset, spec = catalog.load_dataset(run), catalog.resolve_model(f"{model}:width={width}", run)
    models = [initialise(lambda: spec.build(dataset.shape), seed) for seed in range(seeds)]
    plan = replace(Plan.of(run), epochs=epochs, patience=0)
    start = time.process_time()
    fit_all(models, dataset.images, dataset.val.x, plan, list(range(seeds)), [lambda *_: None] * seeds)
    return (time.process_time() - start) / epochs / seeds


def in_turns(turns: int = 4) -> dict[tuple[int, str], float]:
    """Median `epoch_seconds` of every width and model, measured in turns."""
    torch.set_num_threads(1)
    cases = [(w, m) for w in WIDTHS for m in ("ae", "vae")]
    taken = [{case: epoch_seconds(*case) for case in cases} for _ in range(turns)]
    return {case: statistics.median(t[case] for t in taken) for case in cases}


def row(
    cells: Values, chosen: Any, model: str, against: Any, deciding: Sequence[str], beside: Sequence[str]
) -> dict[str, Any]:
    """What was measured of a model with one choice, metric by metric: means and half intervals, and of the ``deciding`` ones
    the differences from the choice ``against``, paired by seed."""
    means: dict[str, Any] = {}
    for metric in (*deciding, *beside):
        cell = cells.get((chosen, model, metric))
        if cell is None or cell.interval is None:
            continue
        means[metric] = {"mean": cell.interval.mean, "half": cell.interval.half or 0.0}
        if metric in deciding and chosen != against:
            d = paired(cell.values, cells[against, model, metric].values).difference
            means[metric] |= {"difference": d.mean, "low": d.low, "high": d.high}
    return means


def falls_short(entry: Mapping[str, Any], deciding: Sequence[str] = DECIDING) -> list[str]:
    """The deciding metrics in which a choice lies below what it is held against by more than chance."""
    return [m for m in deciding if entry.get(m, {}).get("high") is not None and entry[m]["high"] < 0]


def number(entry: Mapping[str, Any], metric: str) -> str:
    """A mean with half its interval, as it stands in a table."""
    cell = entry.get(metric)
    if not cell:
        return "-"
    text = f"{cell['mean']:,.0f}" if cell["half"] == 0 and cell["mean"] > 10 else f"{cell['mean']:.3g}"
    return text + (f" ±{cell['half']:.2g}" if cell["half"] else "")


def page(rows: list[dict[str, Any]]) -> str:
    """The table in Markdown."""
    head = ("model", "width", *DECIDING, *BESIDE, "CPU s a seed", "below the widest in")
    lines = [
        "# The default network on digits",
        "",
        "Written by `python benchmarks/widths.py`; the numbers behind it are in widths.json. Default runs (6 seeds, two",
        "hidden layers, d = 8) that differ in the width alone; ± is half a 95 % interval. The last column names what falls",
        f"short of {WIDTHS[-1]} units, paired by seed, with an interval that leaves 0 out. The default is the smallest width",
        "for which it names neither model's reconstruction nor the VAE's completeness (an autoencoder's draws from N(0, I)",
        "are invalid at any width). CPU seconds a seed: an epoch timed in turns, times the epochs trained. All as it was",
        "measured when the width was chosen: trained at a rate of 1e-3 until 20 epochs brought nothing, validity by a judge",
        "that knew fewer kinds of junk, holes as `hole.outside`; what they are today, a default run says.",
        "",
        "| " + " | ".join(head) + " |",
        "| " + " | ".join("---" if h in head[:2] else "---:" for h in head) + " |",
    ]
    for entry in rows:
        cells = [*(number(entry, m) for m in DECIDING + BESIDE), f"{entry['seconds']:.1f}"]
        short = ", ".join(falls_short(entry)) or "-"
        lines.append(f"| {entry['model']} | {entry['width']} | {' | '.join(cells)} | {short} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", type=Path, required=True)
    work = parser.parse_args().work
    cells = {(w, c.model, c.metric): c for w in WIDTHS for c in measured(work / f"w{w}", "--width", str(w))}
    rows = [
        {"model": model, "width": w, **row(cells, w, model, WIDTHS[-1], DECIDING, BESIDE)}
        for model in ("ae", "vae")
        for w in WIDTHS
    ]
    epoch = in_turns()
    for entry in rows:
        entry["seconds"] = epoch[entry["width"], entry["model"]] * entry["train.epochs"]["mean"]
    (ROOT / "docs" / "widths.json").write_text(json.dumps(rows, indent=1) + "\n", "utf-8")
    (ROOT / "docs" / "widths.md").write_text(page(rows), "utf-8")


if __name__ == "__main__":
    main()
