"""Six seeds of one model on digits, from process start to trained weights: ``python seeds.py MODEL WHO EPOCHS``.

``latentbench`` trains them as a run does, in blocks of seeds handed to worker processes on all cores; ``Pythae`` trains
one after another in this process, as its trainer does. Both make as many steps of as many images. Prints one JSON
object: ``seconds`` of the training alone (ours with the start of the workers), processor seconds, the mean squared
error on the validation images over the seeds.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path

import training
from training import LR, WIDTH, Setting
from workers import train

SEEDS, LATENT, BATCH = 6, 8, 64


def ours(model: str, epochs: int, folder: Path) -> tuple[float, list[float]]:
    """Seconds and errors of the training units of a run."""
    from latentbench.running.worker import restore

    text = "vae:sigma=1" if model == "vae" else "ae"
    asked = {
        "models": text,
        "depth": 1,
        "width": WIDTH,
        "latent_dim": LATENT,
        "batch_size": BATCH,
        "lr": LR,
        "lr_warmup": 0,
    }
    seconds, planned = train({**asked, "seeds": SEEDS, "epochs": epochs, "patience": 0, "out": str(folder)})
    x, errors = planned.dataset.val.x, []
    for path in sorted(folder.glob("artifacts/train-*/seed-*.safetensors")):
        trained = restore(planned.run, text, planned.dataset.shape, path)
        errors.append(training.quality((lambda x, m=trained: tuple(m.encode(x)), trained.decode), x)["mse"])
    return seconds, errors


def pythae(model: str, epochs: int, folder: Path) -> tuple[float, list[float]]:
    """Seconds and errors, one seed after another."""
    os.environ["RIVALS_FOLDER"] = str(folder)
    # As many images as our steps take: the last short batch is left out there.
    setting = Setting("digits", model, LATENT, BATCH, 1024, epochs)
    x, val = training.images(setting)
    seconds, errors = 0.0, []
    for seed in range(SEEDS):
        training.SEED = seed
        call = training.pythae(setting, x, val)
        start = time.perf_counter()
        trained = call()
        seconds += time.perf_counter() - start
        errors.append(training.quality(trained, val)["mse"])
    return seconds, errors


def processor_seconds() -> float:
    """Of this process and of its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


def main(model: str, who: str, epochs: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        seconds, errors = (ours if who == "latentbench" else pythae)(model, epochs, Path(folder))
    if len(errors) != SEEDS:
        raise SystemExit(f"{who} trained {len(errors)} of {SEEDS} seeds")
    print(json.dumps({"seconds": seconds, "cpu": processor_seconds(), "mse": statistics.mean(errors)}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
