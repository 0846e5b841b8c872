"""What the judge passes: of real images, of each kind of junk, and what it gained by being shown more kinds of it.

    python benchmarks/judge.py       writes docs/judge.json and docs/judge.md (tox -e judge)

On digits, MNIST (where LATENTBENCH_DATA names a folder with MNIST/raw), lines, shapes, and patches of 16 x 16 pixels of
scikit-learn's two photographs, labelled by photograph. Each judge is trained from several seeds and taught in two ways:
*four* kinds (noise, shuffle, blend, subset_mean: what the first judge was shown) and *all* kinds that are shown now. The
two take turns, so that their processor seconds can be compared. What is finished stands in the JSON file at once; the same
command carries on, ``--again`` begins anew.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from latentbench import catalog
from latentbench.core import Dataset
from latentbench.datasets.splits import stratified
from latentbench.machine import processor
from latentbench.measuring.baselines import PrincipalComponents
from latentbench.measuring.judge import CalibratedJudge, train_judge
from latentbench.running.worker import NO_JUDGE
from latentbench.spaces.image import IMAGES

DOCS = Path(__file__).parents[1] / "docs"
DATA = ("digits", "mnist", "lines", "shapes", "patches")
SEEDS = 3
FIRST = ("noise", "shuffle", "blend", "subset_mean")
TAUGHT = {
    "four": tuple(replace(k, shown=k.name in FIRST) for k in IMAGES),
    "all": IMAGES,
}
KEPT = (0.9, 0.99)
"""Variance that principal components keep, whose reconstructions are a mild damage: a judge should pass some."""


def dataset(name: str) -> Dataset:
    """The data of this name. Raises ValueError where MNIST is not there."""
    if name == "patches":
        return patches()
    return catalog.datasets()[name].load("", os.environ.get("LATENTBENCH_DATA", ""), 0)


def patches(side: int = 16) -> Dataset:
    """Square patches, side by side, of scikit-learn's two photographs; the label is the photograph."""
    from sklearn.datasets import load_sample_images

    parts = []
    for photograph in load_sample_images().images:
        h, w = (n // side for n in photograph.shape[:2])
        grid = np.asarray(photograph)[: h * side, : w * side].reshape(h, side, w, side, 3)
        parts.append(grid.transpose(0, 2, 4, 1, 3).reshape(-1, 3, side, side))
    labels = np.repeat(np.arange(len(parts)), [len(p) for p in parts])
    return stratified("patches", np.concatenate(parts), labels, 0, ("china", "flower"))


def measure(data: Dataset, seed: int, taught: str) -> dict[str, Any]:
    """One judge, trained, timed in processor seconds and checked."""
    started = time.process_time()
    judge = train_judge(data, seed, kinds=TAUGHT[taught])
    seconds = time.process_time() - started
    return {
        "seconds": seconds,
        "refusal": str(judge.refusal),
        "checks": {name: check.value for name, check in judge.checks.items()},
        "withdrawn": [name for name, check in judge.checks.items() if check.detail.get("withdrawn")],
        "reconstructions": {str(share): _passes_reconstructions(judge, data, share) for share in KEPT},
    }


def _passes_reconstructions(judge: CalibratedJudge, data: Dataset, share: float) -> float:
    """What ``judge`` passes of test images rebuilt from the principal components that keep ``share`` of the variance."""
    x = data.train.x.flatten(1).double()
    kept = torch.linalg.svdvals(x[:5000] - x[:5000].mean(0)).square().cumsum(0)
    model = PrincipalComponents(data.train.x, 1 + int((kept < share * kept[-1]).sum()))
    images = model.decode(model.encode(data.test.x[:2000]).mu).float().clamp(0, 1)
    return float(judge(images).valid.double().mean())


def document(out: Mapping[str, Any]) -> str:
    """The page from the raw results."""
    rows = out["rows"]
    machine, versions = out["machine"], ", ".join(f"{k} {v}" for k, v in out["versions"].items())
    lines = [
        "# What the judge passes",
        "",
        "Made by `python benchmarks/judge.py` (`tox -e judge`). Shares of 1, means over judges trained from different seeds, "
        "of test images and of junk made from them; *four*: taught the four kinds that the first judge was shown, *all*: "
        f"taught all kinds that are shown now. Measured {out['measured'][:10]} on {machine['processor']}, one thread, {versions}.",
        "",
        "Kinds of junk and what each is made of: `latentbench/spaces/image.py`. A floor that passes above .05, accuracy at "
        "chance, or fewer than half of the real images passed refuse a judge. These are the kinds that were tried; noise found by "
        "climbing a judge's own confidence is passed by any classifier (96 % of it, where that was tried).",
        "",
        "| passed of | " + " | ".join(f"{name}, {taught}" for name, taught in _columns()) + " |",
        "| --- |" + " ---: |" * len(_columns()),
        *_table(rows),
        "",
        "Shown and never shown: to the judges that were taught all. PCA, .9 and .99: test images rebuilt from the principal components that keep that share of the variance, a mild damage.",
        "",
        *_refusals(rows),
    ]
    return "\n".join(lines) + "\n"


def _columns() -> list[tuple[str, str]]:
    return [(name, taught) for name in DATA for taught in TAUGHT]


def _table(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    def line(title: str, *path: str) -> str:
        cells = []
        for name, taught in _columns():
            found = [_at(r, path) for r in rows if (r["data"], r["taught"]) == (name, taught)]
            known = [v for v in found if v is not None]
            cells.append(f"{statistics.fmean(known):.3g}" if known else "no junk" if found else "not measured")
        return f"| {title} | " + " | ".join(cells) + " |"

    yield line("accuracy", "checks", "judge.accuracy")
    yield line("**real images**", "checks", "judge.pass.real")
    for share in KEPT:
        yield line(f"PCA, {share}", "reconstructions", str(share))
    for word, shown in (("shown", True), ("never shown", False)):
        for kind in IMAGES:
            if kind.shown is shown:
                floor = ", floor" if kind.floor else ""
                yield line(f"{kind.name} ({word}{floor})", "checks", f"judge.pass.{kind.name}")
    yield line("**most of a kind shown**", "checks", "judge.junk_shown")
    yield line("**most of a kind never shown**", "checks", "judge.junk_unseen")
    yield line("processor seconds", "seconds")


def _at(row: Mapping[str, Any], path: Sequence[str]) -> float | None:
    for step in path:
        row = row[step]
    return row  # type: ignore[return-value]


def _refusals(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for row in rows:
        if names := [name.removeprefix("judge.pass.") for name in row.get("withdrawn", ())]:
            yield f"Withdrawn halfway, as taken for real: {row['data']}, {row['taught']}, seed {row['seed']}: {', '.join(names)}."
            yield ""
    yield f"Patches without labels: {NO_JUDGE}; all else is measured."
    for name, taught in _columns():
        why = [r["refusal"] for r in rows if (r["data"], r["taught"]) == (name, taught)]
        for reason in dict.fromkeys(w for w in why if w):
            yield ""
            yield f"{name}, {taught}, {why.count(reason)} of {len(why)} judges: {reason}."
    if not any(r["data"] == "mnist" for r in rows):
        yield ""
        yield "MNIST: not measured (LATENTBENCH_DATA is not set)."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=DOCS / "judge.json", help="raw results; the page lies beside it")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--data", nargs="+", choices=DATA, default=DATA)
    parser.add_argument("--again", action="store_true", help="forget what is there of what is asked for")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    out = json.loads(asked.out.read_text()) if asked.out.exists() else {"rows": []}
    if asked.again:
        out["rows"] = [r for r in out["rows"] if r["data"] not in asked.data]
    out |= {
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"processor": processor(), "cores": os.cpu_count(), "python": platform.python_version()},
        "versions": {p: version(p) for p in ("torch", "numpy", "scikit-learn")},
    }
    for seed in range(asked.seeds):
        for name in asked.data:
            _walk(name, seed, out, asked.out)
    asked.out.with_suffix(".md").write_text(document(out))


def _walk(name: str, seed: int, out: dict[str, Any], path: Path) -> None:
    """The judges of one data set and seed, those that are there left out; written down after each."""
    if name == "mnist" and "LATENTBENCH_DATA" not in os.environ:
        return
    done = {r["taught"] for r in out["rows"] if (r["data"], r["seed"]) == (name, seed)}
    for taught in TAUGHT:
        if taught not in done:
            row = {"data": name, "seed": seed, "taught": taught, **measure(dataset(name), seed, taught)}
            out["rows"].append(row)
            print(f"{name}, seed {seed}, {taught}: {row['seconds']:.1f} s {row['refusal']}", flush=True)
            path.write_text(json.dumps(out, indent=1) + "\n")


if __name__ == "__main__":
    main()
