"""The whole, from process start to what is looked at in the end: ``python whole.py WHO EPOCHS`` prints one JSON object.

``latentbench``: ``python -m latentbench run`` to its report, every measure computed, with the networks, epochs and
seeds of the other side and no early stop. ``latentbench, default``: the same command with no option at all but
``--models ae,vae`` (two hidden layers, early stop). Else `handglued.py` to its map.
"""

from __future__ import annotations

import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from seeds import processor_seconds

HERE = Path(__file__).parent
SAME = "--depth 1 --width 512 --latent-dim 8 --batch-size 64 --lr 0.001 --lr-warmup 0 --patience 0".split()


def ours(folder: Path) -> dict[str, float]:
    """What a finished run says: mean errors on test images over the seeds, and how many measures have a value."""
    from latentbench import records

    rows = records.read(folder / "records.jsonl")
    report = folder / "report.html"
    if not report.is_file() or any(r.status == "failed" for r in rows):
        raise SystemExit("the run left no report, or measures failed")

    def errors(model: str) -> list[float]:
        rows_of = (r for r in rows if r.metric == "mse" and r.model == model and r.split == "test")
        return [r.value for r in rows_of if r.seed is not None and r.value is not None]

    epochs = [r.value for r in rows if r.metric == "train.epochs" and r.value is not None]
    measured = {r.metric for r in rows if r.seed is not None and r.value is not None}
    return {
        "mse": statistics.mean(errors("ae")),
        "mse_vae": statistics.mean(errors("vae")),
        "trainings": len(epochs),
        "epochs": statistics.mean(epochs),
        "measures": len(measured),
    }


def theirs(folder: Path, epochs: int) -> dict[str, float]:
    rows = json.loads((folder / "rows.json").read_text())
    if not (folder / "maps.png").is_file():
        raise SystemExit("the hand-glued whole left no map")
    ae, vae = (statistics.mean(r["mse"] for r in rows if r["model"] == m) for m in ("ae", "vae"))
    return {"mse": ae, "mse_vae": vae, "trainings": len(rows), "epochs": epochs, "measures": 3}


def main(who: str, epochs: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "out"
        command = [sys.executable, "-m", "latentbench", "run", "--models", "ae,vae", "--quiet", "--out", str(folder)]
        if who == "latentbench":
            command += [*SAME, "--epochs", str(epochs)]
        elif who != "latentbench, default":
            command = [sys.executable, str(HERE / "handglued.py"), "--epochs", str(epochs), "--out", str(folder)]
        start, before = time.perf_counter(), processor_seconds()
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        seconds, cpu = time.perf_counter() - start, processor_seconds() - before
        if done.returncode:
            raise SystemExit(done.stderr.strip().splitlines()[-1:])
        found = ours(folder) if who.startswith("latentbench") else theirs(folder, epochs)
    if not all(map(math.isfinite, found.values())):
        raise SystemExit(f"{who}: {found}")
    print(json.dumps({"seconds": seconds, "cpu": cpu, **found}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
