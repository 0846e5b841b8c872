"""How often does the quality gate cry wolf, and does it hear a real one? Trained models, compared as `compare` does.

    python benchmarks/gate_errors_quality.py --work /tmp/gate-quality      measures, then writes docs/gate-quality.json

*False alarms*: the default models (`ae`, `vae` on digits) are trained with 126 seeds of one and the same source; seeds
0-5 are the base, and each of the 20 blocks 6-11, 12-17, .. is compared with it. A seed's result does not depend on which
others ran beside it, so a block has the records of ``latentbench run --seeds 6-11``. *Power*: the source is changed in a
scratch copy (`PLANTS`), seeds 0-5 are trained again and compared with the base.

About 45 minutes on one core. Every unit of work is kept under ``--work``: a second call goes on where the first was
stopped. ``--minutes`` stops in time and writes what there is.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
BLOCK = 6
BLOCKS = 20
KINDS = ("judge", "reference", "train", "measure")
"""Kinds of work whose records are claims or say which metrics are sound; maps and timings are neither."""
PLAN = (
    "import json, sys; from latentbench.execute import plan; from latentbench.config import make_run; "
    "print(json.dumps(plan(make_run(json.loads(sys.argv[1]))).units))"
)


class Plant(NamedTuple):
    """A regression: in ``file`` the text ``old``, which stands there once, becomes ``new``; ``models`` are those that it
    reaches."""

    name: str
    says: str
    models: tuple[str, ...]
    file: str
    old: str
    new: str


PLANTS = (
    Plant(
        "beta x 4", "the default weight of the KL is 4", ("vae",), "models/vae.py",
        "beta: float = 1.0,", "beta: float = 4.0,",
    ),
    Plant(
        "detached variances", "the KL of the variances gives no gradient", ("vae",), "models/vae.py",
        "0.5 * (posterior.log_var.exp() - 1 - posterior.log_var)",
        "0.5 * (posterior.log_var.exp() - 1 - posterior.log_var).detach()",
    ),
    Plant(
        "detached means", "the KL of the means gives no gradient", ("vae",), "models/vae.py",
        "0.5 * posterior.mu.square().sum()", "0.5 * posterior.mu.detach().square().sum()",
    ),
    Plant(
        "a quarter of the epochs", "the default number of epochs is a quarter", ("ae", "vae"), "datasets/digits.py",
        '"epochs": 300', '"epochs": 75',
    ),
)  # fmt: skip


def scratch(work: Path, plant: Plant | None) -> Path:
    """A copy of the package, changed by ``plant``; made once."""
    place = work / (plant.name.replace(" ", "-") if plant else "as-it-is")
    if not (place / "latentbench").is_dir():
        making = place / ".making"
        shutil.rmtree(making, ignore_errors=True)
        shutil.copytree(ROOT / "latentbench", making, ignore=shutil.ignore_patterns("__pycache__"))
        if plant:
            file = making / plant.file
            text = file.read_text("utf-8")
            if text.count(plant.old) != 1:
                raise SystemExit(f"{plant.name}: '{plant.old}' does not stand once in {plant.file}")
            file.write_text(text.replace(plant.old, plant.new), "utf-8")
        making.rename(place / "latentbench")
    return place


def python(source: Path, *words: str) -> str:
    """What a fresh Python on this source prints, one thread, out of everybody's way."""
    environment = {**os.environ, "PYTHONPATH": str(source), "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *words], env=environment, cwd=source, check=True, stdout=subprocess.PIPE, text=True,
        preexec_fn=lambda: os.nice(10),
    )  # fmt: skip
    return done.stdout


def units(source: Path, seeds: Sequence[int]) -> list[dict[str, Any]]:
    """The work of one default run with these seeds, in order of need."""
    run = {"models": ["ae", "vae"], "seeds": list(seeds), "out": str(source / f"seeds-{seeds[0]}-{seeds[-1]}")}
    return [u for u in json.loads(python(source, "-c", PLAN, json.dumps(run))) if u["kind"] in KINDS]


def folder(unit: dict[str, Any]) -> Path:
    return Path(unit["root"]) / "artifacts" / f"{unit['kind']}-{unit['key']}"


def perform(source: Path, todo: Iterable[dict[str, Any]]) -> None:
    """Do what is not done yet, in one process."""
    paths = []
    for unit in todo:
        if not (folder(unit) / "records.jsonl").is_file():
            path = Path(unit["root"]) / "jobs" / f"{folder(unit).name}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(unit), "utf-8")
            paths.append(str(path))
    if paths:
        python(source, "-m", "latentbench.worker", *paths)


def trained(source: Path, seeds: Sequence[int], lent: Path | None = None, own: Sequence[str] = ()) -> list[Any]:
    """The finished work of these seeds. What is the same there (equal key, and not of one of the models ``own``) is
    taken from ``lent``, the artifacts of the base: the judge, references, a model that a plant does not reach."""
    work = units(source, seeds)
    for unit in work:
        theirs = lent / folder(unit).name if lent and unit.get("model") not in own else None
        if theirs and theirs.is_dir() and not folder(unit).is_dir():
            shutil.copytree(theirs, folder(unit))
    perform(source, work)
    return work


def main(words: Sequence[str] | None = None) -> int:
    parse = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parse.add_argument("--work", type=Path, required=True, help="where trained models are kept")
    parse.add_argument("--minutes", type=float, default=1e9, help="start no new block after this time")
    asked = parse.parse_args(words)
    end = time.monotonic() + 60 * asked.minutes
    work = asked.work.resolve()
    source = scratch(work, None)
    base = trained(source, range(BLOCK))
    lent = folder(base[0]).parent
    todo = [(scratch(work, p), range(BLOCK), p.models) for p in PLANTS]
    todo += [(source, range(k, k + BLOCK), ()) for k in range(BLOCK, BLOCK * (BLOCKS + 1), BLOCK)]
    for place, seeds, own in todo:
        if time.monotonic() > end:
            break
        began = time.monotonic()
        trained(place, seeds, lent, own)
        print(f"{place.name} seeds {seeds[0]}-{seeds[-1]}: {time.monotonic() - began:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
