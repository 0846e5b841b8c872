"""One unit of work: from its JSON to its folder of records and files.

The folder of a unit is there entirely or not at all; a unit whose folder is there is not computed again. What it gives
depends on its parts alone (`latentbench.running.parts` says on what they do), never on what else its run asks for.

Run as ``python -m latentbench.running.worker UNIT.json`` for one unit, or with no argument to serve units from standard
input, a line of JSON each and one back: that saves loading torch once a unit. End of input, or the death of the
parent, ends it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from queue import Queue
from typing import Any

import torch

from latentbench import catalog, machine, records
from latentbench.catalog import ModelSpec
from latentbench.config import Run
from latentbench.core import OWN_PRIOR, Dataset, Encoding, Metric
from latentbench.datasets import duplicates
from latentbench.measuring import artifacts, scoring
from latentbench.measuring import judge as judges
from latentbench.measuring.baselines import ANCHOR, BASELINES
from latentbench.records import BY_SECOND, JUDGE, SECOND_JUDGE, Reason, Record
from latentbench.run_folder import weights_name, whole_or_not_at_all
from latentbench.running import manifest
from latentbench.running.manifest import Rows
from latentbench.running.parts import BLOCK
from latentbench.running.unit import Listen, Part, Unit, UnitKind
from latentbench.running.unit_log import logged
from latentbench.spaces.space import Space
from latentbench.training.fit import Diverged, History, Plan, initialise
from latentbench.training.stacking import fit_all

NO_LABELS = Reason.of("dataset.no_labels", "the dataset has no labels")
NO_JUDGE = Reason.of("judge.no_labels", "no judge: the dataset has no labels")


def perform(unit: Unit, listen: Listen) -> None:
    """Compute a unit and put its folder in place, unless it is there. ``listen`` hears of progress."""
    if unit.is_done:
        return
    shutil.rmtree(unit.path, ignore_errors=True)  # damaged, or it made do without what is there now
    with logged(unit), whole_or_not_at_all(unit.path) as folder:
        rows = KINDS[unit.kind](unit, folder, listen)
        manifest.write(folder, manifest.here("cpu" if unit.kind == "judge" else unit.device), rows)


@cache
def _dataset(run: Run, sha256: str) -> Dataset:
    """The run's data, which must still be what was planned with."""
    dataset = catalog.load_dataset(run, decode=False)
    if dataset.sha256 != sha256:
        raise ValueError(f"dataset {run.dataset} changed since the run was planned")
    return dataset


def _context(unit: Unit) -> tuple[Run, Dataset, torch.device]:
    return unit.run, _dataset(unit.run, unit.dataset_sha256), torch.device(unit.device)


def _row(unit: Unit, model: ModelSpec | None = None, seed: int | None = None, latent_dim: int | None = None) -> Record:
    """What all records of a cell share."""
    row = Record(dataset=unit.run.dataset, dataset_hash=unit.dataset_sha256, latent_dim=latent_dim, seed=seed)
    return row if model is None else replace(row, model=model.text, params=model.params, latent_dim=model.latent_dim)


def _judge(unit: Unit, folder: Path, listen: Listen) -> Rows:
    """Train, calibrate and check the judge, and a second one from another seed to check verdicts against."""
    _, dataset, _ = _context(unit)
    (part,) = unit.parts
    out: list[Record] = []
    for name, seed in ((JUDGE, 0), (SECOND_JUDGE, 1)):
        judge = judges.train_judge(dataset, seed)
        path = folder / _judge_file(name)
        judge.save(path)
        row = replace(_row(unit), model=name, role="judge", split="test")
        out += judge.records(row)
        out.append(_weights(unit, path, row))
    return [(part, out)]


def _judge_file(name: str) -> str:
    return f"{name.replace(':', '-')}.safetensors"


def _weights(unit: Unit, path: Path, row: Record) -> Record:
    """Says that a file of the unit's folder holds weights."""
    place = f"{unit.folder}/{path.name}"
    return replace(row, kind="artifact", metric="weights", path=place, sha256=records.file_digest(path))


def _load_judge(unit: Unit, dataset: Dataset, device: torch.device, name: str = JUDGE) -> tuple[Any, dict[str, str]]:
    """The frozen judge and, where there is none to use, the reason for everything that needs it."""
    key = next((part.judge for part in unit.parts if part.judge), None)
    if key is None:
        return None, {"judge": NO_JUDGE, "labels": NO_LABELS, "train_labels": NO_LABELS}
    folder = unit.place(key)
    _manifest(folder).check(_judge_file(name))
    judge = judges.load(folder / _judge_file(name), dataset.space)
    if judge.refusal:
        return None, {"judge": judge.refusal}
    return judge.to(device), {}


def _train(unit: Unit, folder: Path, listen: Listen) -> Rows:
    """Train one spec with each seed of the block; a diverged seed is a failed record, not a failed unit."""
    run, dataset, device = _context(unit)
    plan = Plan.of(run)
    train, val = dataset.images.to(device), dataset.val.x.to(device)
    spec, seeds = unit.model, list(unit.seeds)

    def heard(seed: int, epoch: int, loss: float, score: float) -> None:
        cell = {"model": spec.text, "seed": seed, "epoch": epoch, "epochs": plan.epochs}
        listen({"progress": {**cell, "loss": loss, "val": score}})

    models = [initialise(lambda: spec.build(dataset.space), seed).to(device) for seed in seeds]
    histories = fit_all(models, train, val, plan, seeds, [partial(heard, seed) for seed in seeds])
    for seed, history in zip(seeds, histories, strict=True):
        listen({"progress": {"model": spec.text, "seed": seed, "diverged": isinstance(history, Diverged)}})
    cells = zip(unit.parts, models, histories, strict=True)
    squared = dataset.space.squared
    return [(part, _training(unit, part, model, history, folder, squared)) for part, model, history in cells]


def _training(
    unit: Unit, part: Part, model: Any, history: History | Diverged, folder: Path, squared: str
) -> list[Record]:
    """The records of one seed's training, its weights saved; ``squared``: the unit of a variance of the data's values."""
    row = _row(unit, unit.model, part.seed)
    if isinstance(history, Diverged):
        return [replace(row, metric="train.epochs", status="failed", reason=history.reason, unit="epochs")]
    out = [replace(row, kind="curve", metric=k, samples=tuple(v), unit="nats") for k, v in history.curves.items()]
    detail = {"kept": history.best, "steps": history.steps, "falling": history.falling}
    out.append(replace(row, metric="train.epochs", value=float(history.epochs), unit="epochs", detail=detail))
    out.append(_seconds(history, row))
    if (variance := getattr(model, "decoder_variance", None)) is not None:
        out.append(replace(row, metric="decoder_variance", value=float(variance), unit=squared))
    return [*out, _save(model, unit, folder, row)]


def _seconds(history: History, row: Record) -> Record:
    """The time of a training, with what else the machine did meanwhile: beside other work it ranks nobody."""
    workers, threads = machine.workers(), torch.get_num_threads()
    rankable = machine.undisturbed(workers, history.load, threads)
    detail = {"workers": workers, "load": history.load, "threads": threads, "rankable": rankable}
    return replace(row, metric="train.seconds", value=history.seconds, unit="s", better="lower", detail=detail)


def _save(model: Any, unit: Unit, folder: Path, row: Record) -> Record:
    from safetensors.torch import save_file

    assert row.seed is not None
    path = folder / weights_name(row.seed)
    save_file({k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}, path)
    return _weights(unit, path, row)


def restore(spec: ModelSpec, space: Space, path: Path, sha256: str) -> Any:
    """A trained model back from its weights, ready to encode and decode. Raises ValueError, one line, where the file is
    not there or its ``sha256`` is another one."""
    from safetensors.torch import load

    try:
        content = path.read_bytes()
    except OSError as error:
        raise ValueError(f"weights: {path} cannot be read: {error.strerror}") from None
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ValueError(f"weights: {path} is not the file that was recorded (its sha256 differs): damaged or replaced")
    model = spec.build(space)
    model.load_state_dict(load(content))
    return model.eval().requires_grad_(False)


def _manifest(folder: Path) -> manifest.Manifest:
    """The manifest of a unit that something is computed from. Raises ValueError, one line, where it is damaged."""
    if (unit := manifest.read(folder)) is None:
        raise ValueError(f"{folder} is damaged; the same command with --resume computes it anew")
    return unit


@dataclass(frozen=True)
class Trained:
    """A model with the weights that training gave it."""

    model: Any


@dataclass(frozen=True)
class NotTrained:
    """Why there is no trained model."""

    reason: str
    weights: str = ""
    """The key of the part that is not there; empty where the training itself gave no model (it diverged)."""


def _trained(unit: Unit, spec: ModelSpec, seed: int, weights: str) -> Trained | NotTrained:
    """What training gave for one model and seed, the part ``weights``."""
    _, dataset, device = _context(unit)
    folder = unit.place(weights)
    path = folder / weights_name(seed)
    if not folder.exists():
        if not unit.is_tolerant:
            raise ValueError(f"{folder} is gone")
        return NotTrained(Reason.of("failed.not_trained", "it could not be trained"), weights)
    trained = _manifest(folder)
    if path.name not in trained.files:
        rows = trained.rows()[weights]
        return NotTrained(next(r.reason for r in rows if r.status == "failed"))
    sha256 = trained.files[path.name][1]
    return Trained(restore(spec, dataset.space, path, sha256).to(device))


def _measure(unit: Unit, folder: Path, listen: Listen) -> Rows:
    """Score one spec's trained models, and make the pictures that are asked for."""
    _, dataset, device = _context(unit)
    judge, missing = _load_judge(unit, dataset, device)
    second, _ = _load_judge(unit, dataset, device, SECOND_JUDGE) if judge is not None else (None, {})
    metrics = catalog.find_metrics(unit.metrics) if unit.metrics else {}
    spec = unit.model
    out: list[tuple[Part, list[Record]]] = []
    for seed in unit.seeds:
        row = _row(unit, spec, seed)
        parts = [part for part in unit.parts if part.seed == seed]
        training = _trained(unit, spec, seed, parts[0].weights[0])
        if isinstance(training, NotTrained):
            named = [(part, [metrics[part.metric]] if part.metric else []) for part in parts]
            out += [(part, scoring.failed(some, row, training.reason)) for part, some in named]
            continue
        encoding = scoring.encode(training.model, dataset, seed, device, judge, missing)
        for part in parts:
            if not part.metric:
                modules = [training.model]
                out.append((part, artifacts.exhibit(encoding, folder, unit.folder, row, f"seed-{seed}", modules)))
                continue
            rows = scoring.score(encoding, [metrics[part.metric]], row)
            if second is not None and part.metric in TWICE_JUDGED:
                rows += _second_opinion(encoding, second, metrics[part.metric], row)
            out.append((part, rows))
        listen({"progress": {"model": spec.text, "seed": seed, "measured": True}})
    return out


TWICE_JUDGED = ("validity.normal", "validity.prior")


def _second_opinion(encoding: Encoding, second: Any, metric: Metric, row: Record) -> list[Record]:
    """A metric once more, by the second judge: a verdict that hangs on one judge is not worth much."""
    again = replace(encoding, judge=second)
    if OWN_PRIOR in metric.needs and not OWN_PRIOR.met(again):
        return []
    return scoring.score(again, [replace(metric, name=f"{metric.name}{BY_SECOND}")], row)


def _reference(unit: Unit, folder: Path, listen: Listen) -> Rows:
    """The baselines of one latent size, measured like models, and every metric's anchors and self-check on this very
    data; the pictures of the data, where they are asked for."""
    _, dataset, device = _context(unit)
    judge, missing = _load_judge(unit, dataset, device)
    metrics = catalog.find_metrics(unit.metrics) if unit.metrics else {}
    size = unit.parts[0].latent_dim
    assert size is not None
    out: dict[Part, list[Record]] = {part: [] for part in unit.parts}
    row = _row(unit, latent_dim=size)
    for name, kind in BASELINES.items() if metrics else ():
        model = kind(dataset.train.x.to(device), size)
        encoding = scoring.encode(model, dataset, 0, device, judge, missing)
        for part in (p for p in unit.parts if p.metric):
            metric = [metrics[part.metric]]
            out[part] += scoring.score(encoding, metric, replace(row, model=name, role="baseline"))
            if name == ANCHOR:  # anchors ask for real images and the judge only, but for an encoding to hold them
                out[part] += scoring.references(encoding, metric, row)
    for part in (p for p in unit.parts if not p.metric):
        arrays, detail = artifacts.data(dataset)
        out[part].append(artifacts.write(arrays, detail, folder, unit.folder, row, "data", "data"))
        out[part].append(duplicates.count(dataset.images, dataset.val.x, dataset.test.x).to_record(_row(unit)))
    return list(out.items())


def _map(unit: Unit, folder: Path, listen: Listen) -> Rows:
    """UMAP of the latent space of each spec that is to have a map, first seed, held-out points."""
    _, dataset, device = _context(unit)
    x = dataset.test.x[artifacts.map_index(len(dataset.test.x))].to(device)
    out: list[tuple[Part, list[Record]]] = []
    for number, (spec, part) in enumerate(zip(unit.models, unit.parts, strict=True)):
        assert part.seed is not None
        training = _trained(unit, spec, part.seed, part.weights[0])
        if isinstance(training, NotTrained):
            out.append((manifest.without(part, [training.weights] if training.weights else ()), []))
            continue
        with torch.inference_mode():
            codes = training.model.encode(x).mu
        arrays, detail = artifacts.latent_map(codes, part.seed)
        row = _row(unit, spec, part.seed)
        out.append((part, [artifacts.write(arrays, detail, folder, unit.folder, row, "map", f"map-{number}")]))
    return out


def _time(unit: Unit, folder: Path, listen: Listen) -> Rows:
    """Throughput and cost of every spec's first seed, interleaved."""
    from latentbench.measuring.timing import Schedule, time_models

    run, dataset, device = _context(unit)
    (part,) = unit.parts
    assert part.seed is not None
    specs = {spec.text: spec for spec in unit.models}
    cells = zip(unit.models, part.weights, strict=True)
    trainings = {spec.text: _trained(unit, spec, part.seed, weights) for spec, weights in cells}
    models = {text: one.model for text, one in trainings.items() if isinstance(one, Trained)}
    part = manifest.without(part, [t.weights for t in trainings.values() if isinstance(t, NotTrained) and t.weights])
    images = dataset.images
    together = min(BLOCK[unit.device], len(run.seeds)) if isinstance(images, torch.Tensor) else 1
    schedule = Schedule(Plan.of(run), len(images), together)
    rows = time_models(models, dataset.shape, device, schedule=schedule) if models else []
    shared = {r.model: _row(unit, specs.get(r.model)) for r in rows}
    fields = ("dataset", "dataset_hash", "latent_dim", "params")
    rows = [replace(r, **{f: getattr(shared[r.model], f) for f in fields}) for r in rows]
    return [(part, [_placed(r) for r in rows])]


def _placed(row: Record) -> Record:
    """A time says where it was taken, where an executor says where that is."""
    where = machine.placement()
    return replace(row, detail={**row.detail, "placement": where}) if where and row.is_timing else row


KINDS: dict[UnitKind, Callable[[Unit, Path, Listen], Rows]] = {
    "judge": _judge,
    "train": _train,
    "reference": _reference,
    "measure": _measure,
    "map": _map,
    "time": _time,
}


def _serve(units: Queue[str | None], listen: Listen) -> None:
    """Perform units as they come in, each as JSON, one answer each."""
    while (line := units.get()) is not None:
        try:
            unit = Unit.from_json(json.loads(line))
            perform(unit, listen)
            listen({"done": unit.folder})
        except (Exception, SystemExit) as error:  # the parent decides what a failed unit means
            listen({"reason": f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"})


def _take_lines(units: Queue[str | None]) -> None:
    """Hand lines on; at the end of input end the process, also in the middle of a unit, and whatever a model of the user's
    has started: its parent is gone, and a half-made folder does no harm."""
    for line in sys.stdin:
        if line.strip():
            units.put(line.strip())
    if hasattr(os, "killpg") and os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(0)


def main(argv: Sequence[str]) -> int:
    """Entry point; see the module's docstring. One torch thread unless LATENTBENCH_THREADS says otherwise."""
    torch.set_num_threads(machine.threads())
    torch.set_flush_denormal(True)  # for good: see `denormals`
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a user's model prints must not mix with the answers

    def answer(message: dict[str, Any]) -> None:
        out.write(json.dumps(message) + "\n")
        out.flush()

    if argv:
        for path in argv:
            perform(Unit.from_json(json.loads(Path(path).read_text("utf-8"))), answer)
        return 0
    units: Queue[str | None] = Queue()
    threading.Thread(target=_take_lines, args=(units,), daemon=True).start()
    _serve(units, answer)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
