"""One unit of work: from its JSON file to its folder of records and files.

A unit is ``{"kind", "key", "root", "run", "dataset_sha256", "device", ...}``; its result is the folder
``root/artifacts/<kind>-<key>/`` with ``records.jsonl`` in it. The folder is made under another name and renamed when it
is whole, so it is there entirely or not at all; a unit whose folder is there is not computed again.

Kinds: ``judge``, ``train`` (one spec, a block of seeds), ``reference`` (baselines, floors, ceilings), ``measure`` (one
spec, a block of seeds), ``map`` (UMAP of every spec's first seed), ``time`` (throughput of every spec, alone on the
machine).

Run as ``python -m latentbench.running.worker UNIT.json`` for one unit, or with no argument to serve unit paths from standard
input, a line of JSON back for each: that saves loading torch once a unit. End of input, or the death of the parent,
ends it.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from queue import Queue
from typing import Any

import torch

from latentbench import catalog, records
from latentbench.config import Run, make_run
from latentbench.core import Dataset
from latentbench.measuring import artifacts, scoring
from latentbench.measuring import judge as judges
from latentbench.measuring.baselines import ANCHOR, BASELINES
from latentbench.records import Reason, Record
from latentbench.training.fit import Diverged, Plan, initialise
from latentbench.training.stacking import fit_all

Unit = dict[str, Any]
Tell = Callable[[dict[str, Any]], None]

NO_LABELS = Reason.of("dataset.no_labels", "the dataset has no labels")
NO_JUDGE = Reason.of("judge.no_labels", "no judge: the dataset has no labels")


def folder_of(unit: Unit) -> str:
    """Where a unit's result lies, relative to the run folder."""
    return f"artifacts/{unit['kind']}-{unit['key']}"


def is_done(unit: Unit) -> bool:
    """True where the unit's result is there, whole."""
    return (Path(unit["root"]) / folder_of(unit) / "records.jsonl").exists()


def perform(unit: Unit, tell: Tell) -> None:
    """Compute a unit and put its folder in place, unless it is there. ``tell`` hears of progress."""
    if is_done(unit):
        return
    final = Path(unit["root"]) / folder_of(unit)
    made = final.with_name(f".making-{final.name}-{os.getpid()}")
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir(parents=True)
    try:
        rows = KINDS[unit["kind"]](unit, made, tell)
        records.write(made / "records.jsonl", rows)
        try:
            os.rename(made, final)
        except OSError:
            if not is_done(unit):
                raise
    finally:
        shutil.rmtree(made, ignore_errors=True)


@cache
def _dataset(run: Run, sha256: str) -> Dataset:
    """The run's data, which must still be what was planned with."""
    dataset = catalog.load_dataset(run, decode=False)
    if dataset.sha256 != sha256:
        raise ValueError(f"dataset {run.dataset} changed since the run was planned")
    return dataset


def _context(unit: Unit) -> tuple[Run, Dataset, torch.device]:
    run = make_run(unit["run"])
    return run, _dataset(run, unit["dataset_sha256"]), torch.device(unit["device"])


def _row(unit: Unit, model: str = "", seed: int | None = None) -> Record:
    """What all records of a cell share."""
    return Record(
        dataset=unit["run"]["dataset"],
        dataset_hash=unit["dataset_sha256"],
        model=model,
        params=unit.get("params", {}).get(model, {}),
        latent_dim=unit["latent_dims"].get(model, unit.get("latent_dim")),
        seed=seed,
    )


def _judge(unit: Unit, folder: Path, tell: Tell) -> list[Record]:
    """Train, calibrate and check the judge, and a second one from another seed to check verdicts against."""
    _, dataset, _ = _context(unit)
    out: list[Record] = []
    for name, seed in (("judge", 0), ("judge:second", 1)):
        judge = judges.train_judge(dataset, seed)
        path = folder / f"{name.replace(':', '-')}.safetensors"
        judge.save(path)
        row = replace(_row(unit), model=name, split="test")
        out += judge.records(row)
        place = f"{folder_of(unit)}/{path.name}"
        out.append(replace(row, kind="artifact", metric="weights", path=place, sha256=records.file_digest(path)))
    return out


def _load_judge(unit: Unit, dataset: Dataset, device: torch.device, name: str = "judge") -> tuple[Any, dict[str, str]]:
    """The frozen judge and, where there is none to use, the reason for everything that needs it."""
    if unit["judge"] is None:
        return None, {"judge": NO_JUDGE, "labels": NO_LABELS, "train_labels": NO_LABELS}
    path = Path(unit["root"]) / f"artifacts/judge-{unit['judge']}" / f"{name}.safetensors"
    judge = judges.load(path, dataset.shape)
    if judge.refusal:
        return None, {"judge": judge.refusal}
    return judge.to(device), {}


def _train(unit: Unit, folder: Path, tell: Tell) -> list[Record]:
    """Train one spec with each seed of the block; a diverged seed is a failed record, not a failed unit."""
    run, dataset, device = _context(unit)
    assert run.epochs is not None
    assert run.batch_size is not None
    plan = Plan(run.epochs, run.patience, run.batch_size, run.lr, run.precision)
    train, val = dataset.images.to(device), dataset.val.x.to(device)
    text, seeds = unit["model"], unit["seeds"]

    def heard(seed: int, epoch: int, loss: float, score: float) -> None:
        cell = {"model": text, "seed": seed, "epoch": epoch, "epochs": plan.epochs}
        tell({"progress": {**cell, "loss": loss, "val": score}})

    models = [initialise(lambda: catalog.build_model(text, run, dataset.shape), seed).to(device) for seed in seeds]
    found = fit_all(models, train, val, plan, seeds, [partial(heard, seed) for seed in seeds])
    out = []
    for seed, model, history in zip(seeds, models, found, strict=True):
        row = _row(unit, text, seed)
        if isinstance(history, Diverged):
            out.append(replace(row, metric="train.epochs", status="failed", reason=history.reason, unit="epochs"))
            continue
        out += [replace(row, kind="curve", metric=k, samples=tuple(v), unit="nats") for k, v in history.curves.items()]
        detail = {"kept": history.best}
        out.append(replace(row, metric="train.epochs", value=float(history.epochs), unit="epochs", detail=detail))
        seconds = replace(row, metric="train.seconds", value=history.seconds, unit="s", better="lower")
        out.append(seconds)
        if (variance := getattr(model, "decoder_variance", None)) is not None:
            out.append(replace(row, metric="decoder_variance", value=float(variance), unit="image range^2"))
        out.append(_save(model, unit, folder, row))
    return out


def _save(model: Any, unit: Unit, folder: Path, row: Record) -> Record:
    from safetensors.torch import save_file

    path = folder / f"seed-{row.seed}.safetensors"
    save_file({k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}, path)
    place = f"{folder_of(unit)}/{path.name}"
    return replace(row, kind="artifact", metric="weights", path=place, sha256=records.file_digest(path))


def restore(run: Run, text: str, shape: tuple[int, int, int], path: Path) -> Any:
    """A trained model back from its weights, ready to encode and decode."""
    from safetensors.torch import load_file

    model = catalog.build_model(text, run, shape)
    model.load_state_dict(load_file(path))
    return model.eval().requires_grad_(False)


def _trained(unit: Unit, model: str, seed: int, run: Run, dataset: Dataset, device: torch.device) -> Any:
    """A trained model of this run, or the reason (a string) why there is none."""
    key = unit["trained"][model][str(seed)]
    folder = Path(unit["root"]) / f"artifacts/train-{key}"
    path = folder / f"seed-{seed}.safetensors"
    if not folder.exists():
        return Reason.of("failed.not_trained", "it could not be trained")
    if not path.exists():
        rows = records.read(folder / "records.jsonl")
        return next(r.reason for r in rows if r.seed == seed and r.status == "failed")
    return restore(run, model, dataset.shape, path).to(device)


def _measure(unit: Unit, folder: Path, tell: Tell) -> list[Record]:
    """Score one spec's trained models; the first seed of the run also makes the pictures."""
    run, dataset, device = _context(unit)
    judge, missing = _load_judge(unit, dataset, device)
    second, _ = _load_judge(unit, dataset, device, "judge-second") if judge is not None else (None, {})
    metrics = catalog.find_metrics(tuple(unit["metrics"]))
    out = []
    for seed in unit["seeds"]:
        row = _row(unit, unit["model"], seed)
        model = _trained(unit, unit["model"], seed, run, dataset, device)
        if isinstance(model, str):
            out += scoring.failed(metrics.values(), row, model)
            continue
        encoding = scoring.encode(model, dataset, seed, device, judge, missing)
        out += scoring.score(encoding, metrics.values(), row)
        if second is not None and "validity.normal" in metrics:
            out += _second_opinion(encoding, second, metrics, row)
        if seed == run.seeds[0]:
            stem = f"{list(run.models).index(unit['model'])}"
            out += artifacts.exhibit(encoding, folder, folder_of(unit), row, stem)
        tell({"progress": {"model": unit["model"], "seed": seed, "measured": True}})
    return out


def _second_opinion(encoding: Any, second: Any, metrics: Any, row: Record) -> list[Record]:
    """`validity.normal` once more, by the second judge: a verdict that hangs on one judge is not worth much."""
    again = replace(encoding, judge=second, _memo={})
    metric = replace(metrics["validity.normal"], name="validity.normal.second_judge")
    return scoring.score(again, [metric], row)


def _reference(unit: Unit, folder: Path, tell: Tell) -> list[Record]:
    """The baselines of one latent size, measured like models, and every metric's anchors and self-check on this very
    data."""
    _, dataset, device = _context(unit)
    judge, missing = _load_judge(unit, dataset, device)
    metrics = catalog.find_metrics(tuple(unit["metrics"]))
    out: list[Record] = []
    for name, kind in BASELINES.items():
        model = kind(dataset.train.x.to(device), unit["latent_dim"])
        encoding = scoring.encode(model, dataset, 0, device, judge, missing)
        out += scoring.score(encoding, metrics.values(), replace(_row(unit), model=name))
        if name == ANCHOR:  # anchors ask for real images and the judge only, but for an encoding to hold them
            out += scoring.references(encoding, metrics.values(), _row(unit))
    if unit["latent_dim"] == next(iter(unit["latent_dims"].values())):  # the data look the same at every size
        arrays, detail = artifacts.data(dataset)
        out.append(artifacts.write(arrays, detail, folder, folder_of(unit), _row(unit), "data", "data"))
    return out


def _map(unit: Unit, folder: Path, tell: Tell) -> list[Record]:
    """UMAP of the latent space of each spec that is to have a map, first seed, held-out points."""
    run, dataset, device = _context(unit)
    seed = run.seeds[0]
    x = dataset.test.x[artifacts.map_index(len(dataset.test.x))].to(device)
    out = []
    for number, text in enumerate(unit["mapped"]):
        model = _trained(unit, text, seed, run, dataset, device)
        if isinstance(model, str):
            continue
        with torch.inference_mode():
            codes = model.encode(x).mu
        arrays, detail = artifacts.latent_map(codes, seed)
        row = _row(unit, text, seed)
        out.append(artifacts.write(arrays, detail, folder, folder_of(unit), row, "map", f"map-{number}"))
    return out


def _time(unit: Unit, folder: Path, tell: Tell) -> list[Record]:
    """Throughput and cost of every spec's first seed, interleaved."""
    from latentbench.measuring.timing import time_models

    run, dataset, device = _context(unit)
    assert run.batch_size
    models = {}
    for text in run.models:
        model = _trained(unit, text, run.seeds[0], run, dataset, device)
        if not isinstance(model, str):
            models[text] = model
    rows = time_models(models, dataset.shape, device, train_batch=run.batch_size) if models else []
    shared = {r.model: _row(unit, r.model) for r in rows}
    fields = ("dataset", "dataset_hash", "latent_dim", "params")
    return [replace(r, **{f: getattr(shared[r.model], f) for f in fields}) for r in rows]


KINDS: dict[str, Callable[[Unit, Path, Tell], list[Record]]] = {
    "judge": _judge,
    "train": _train,
    "reference": _reference,
    "measure": _measure,
    "map": _map,
    "time": _time,
}


def _serve(paths: Queue[str | None], tell: Tell) -> None:
    """Perform units as their paths come in, one answer each."""
    while (line := paths.get()) is not None:
        try:
            perform(json.loads(Path(line).read_text("utf-8")), tell)
            tell({"done": line})
        except Exception as error:  # the parent decides what a failed unit means
            tell({"failed": line, "reason": f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"})


def _listen(paths: Queue[str | None]) -> None:
    """Hand lines on; at the end of input end the process, also in the middle of a unit: its parent is gone, and a
    half-made folder does no harm."""
    for line in sys.stdin:
        if line.strip():
            paths.put(line.strip())
    os._exit(0)


def main(argv: Sequence[str]) -> int:
    """Entry point; see the module's docstring. One torch thread unless LATENTBENCH_THREADS says otherwise."""
    torch.set_num_threads(int(os.environ.get("LATENTBENCH_THREADS", "1")))
    # Saturated sigmoids fill gradients with denormal numbers, on which a CPU is slow: an autoencoder of thin lines
    # trains four times as fast without them, to the same weights.
    torch.set_flush_denormal(True)
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a user's model prints must not mix with the answers

    def tell(message: dict[str, Any]) -> None:
        out.write(json.dumps(message) + "\n")
        out.flush()

    if argv:
        for path in argv:
            perform(json.loads(Path(path).read_text("utf-8")), tell)
        return 0
    paths: Queue[str | None] = Queue()
    threading.Thread(target=_listen, args=(paths,), daemon=True).start()
    _serve(paths, tell)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
