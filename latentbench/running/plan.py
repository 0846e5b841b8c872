"""What is to be computed: a run checked against what there is, and laid out in units."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from latentbench import __version__, catalog
from latentbench.catalog import ModelSpec
from latentbench.config import Run
from latentbench.core import JUDGE, Dataset
from latentbench.records import digest, model_name
from latentbench.running.executor import Opener, find_executor
from latentbench.running.unit import Unit, UnitKind

BLOCK = {"cpu": 3, "cuda": 12}
"""Seeds in a unit: few enough to spread over cores and to lose little in a kill, many enough to share one start; on a
GPU, which trains them in one stack, as many as a usual run has."""


MAPPED = 5
"""Models whose latent space is drawn as a map: as many as the page shows in pictures."""


@dataclass(frozen=True)
class Planned:
    """A checked run: effective configuration, data, models in the order asked for, output folder, who carries it out,
    ``cpu`` or ``cuda``, units in order of need, cells (spec, seed), a rough forecast in CPU-seconds, and warnings worth a
    line."""

    run: Run
    dataset: Dataset
    models: tuple[ModelSpec, ...]
    folder: Path
    executor: Opener
    device: str
    units: tuple[Unit, ...]
    cells: tuple[tuple[str, int], ...]
    expected_seconds: float
    warnings: tuple[str, ...]


def plan(asked: Run) -> Planned:
    """Check a run against what there is and lay out its units. Writes nothing.

    Raises ValueError, one line, for an unknown model, field, dataset, metric or executor, data that cannot be used, or a
    device that is not there.
    """
    if "" not in sys.path and os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())  # package.module:MyModel is looked for where the user stands
    entry, _ = catalog.find_dataset(asked.dataset)
    run = asked.resolve({"latent_dim": 16, "epochs": 50, "batch_size": 128, **entry.defaults})
    for text in run.models:
        model_name("models", text)
    models = tuple(catalog.resolve_model(text, run) for text in run.models)
    metrics = tuple(catalog.find_metrics(run.metrics))
    executor = find_executor(run.executor)
    device = pick_device(run)
    dataset = catalog.load_dataset(run)
    for spec in models:
        with torch.random.fork_rng(devices=[]):
            model = spec.build(dataset.shape)
        for method in ("encode", "decode", "loss", "state_dict"):
            if not callable(getattr(model, method, None)):
                raise ValueError(f"model '{spec.text}': {type(model).__name__} has no method {method}")
    folder = Path(run.out) if run.out else Path("reports") / run.id
    steps = len(dataset.images) // (run.batch_size or 1)
    seconds = 45 + len(run.models) * len(run.seeds) * ((run.epochs or 0) * steps * 0.0018 + 1.0)
    return Planned(
        run=run,
        dataset=dataset,
        models=models,
        folder=folder,
        executor=executor,
        device=device,
        units=tuple(_units(run, dataset, models, metrics, device, str(folder.absolute()))),
        cells=tuple((m, s) for m in run.models for s in run.seeds),
        expected_seconds=seconds,
        warnings=tuple(_warnings(run, dataset, models)),
    )


def pick_device(run: Run) -> str:
    """``cpu`` or ``cuda``. Raises ValueError where CUDA is asked for and not there."""
    if run.device == "cuda" and not torch.cuda.is_available():
        raise ValueError("device: 'cuda' is not available here: torch sees no CUDA device (allowed: auto, cpu)")
    return "cuda" if run.device != "cpu" and torch.cuda.is_available() else "cpu"


def _warnings(run: Run, dataset: Dataset, models: Sequence[ModelSpec]) -> Iterator[str]:
    pixels = dataset.train.x[0].numel()
    for size in sorted({m.latent_dim for m in models}):
        if size >= pixels:
            yield f"latent_dim {size} is not below the {pixels} values of an image: overcomplete"
    if len(run.seeds) < 2:
        yield "one seed gives no interval: use at least two (--seeds 6)"
    if dataset.train.y is None:
        yield "the dataset has no labels: measures that need a judge are skipped"
    if dataset.stream is not None:
        splits = {"train": dataset.train, "val": dataset.val, "test": dataset.test}
        samples = ", ".join(f"{len(split.x):,} of {dataset.whole[name]:,} {name}" for name, split in splits.items())
        yield (
            f"more than {run.memory} of images: training streams all of them from disk, measures and the judge read samples "
            f"({samples} images)"
        )


def _units(
    run: Run, dataset: Dataset, models: Sequence[ModelSpec], metrics: tuple[str, ...], device: str, root: str
) -> list[Unit]:
    """All units, each after those it needs; ``needs`` names them by folder."""
    sha = dataset.sha256
    make = partial(Unit, root=root, run=run.for_worker(), dataset_sha256=sha, device=device)
    declared = catalog.metrics()
    protocol = {m: [declared[m].params, declared[m].splits] for m in metrics}
    training = {k: getattr(run, k) for k in ("epochs", "patience", "batch_size", "lr", "precision")}
    blocks = [run.seeds[i : i + BLOCK[device]] for i in range(0, len(run.seeds), BLOCK[device])]

    def key(kind: UnitKind, depends: Any) -> str:
        return digest({"kind": kind, "on": depends, "data": sha, "device": device, "version": __version__})

    judged = dataset.train.y is not None and any(JUDGE in declared[m].needs for m in metrics)
    judges = [make(kind="judge", key=key("judge", 0))] if judged else []
    judge_key, judge = (judges[0].key, judges[0].folder) if judges else (None, None)
    judge_needs = tuple(u.folder for u in judges)

    def train(model: ModelSpec, block: tuple[int, ...]) -> Unit:
        depends = [model.text, model.params, {**training, "latent_dim": model.latent_dim}, block]
        return make(kind="train", key=key("train", depends), models=(model,), seeds=block)

    trains = {(m.text, b): train(m, b) for b in blocks for m in models}
    trained = {m.text: {s: trains[m.text, b].folder for b in blocks for s in b} for m in models}
    firsts = [trains[m.text, blocks[0]] for m in models]
    first_keys = [u.key for u in firsts]
    measuring = partial(make, judge=judge, metrics=metrics, trained=trained)

    def reference(size: int) -> Unit:
        # What a metric reads on real images, on junk and where nothing is wrong depends on the latent size too. The data
        # look the same at every size.
        first = size == models[0].latent_dim
        depends = [judge_key, size, protocol, first]
        unit_key = key("reference", depends)
        return measuring(kind="reference", key=unit_key, needs=judge_needs, latent_dim=size, draws_data=first)

    def measure(model: ModelSpec, block: tuple[int, ...]) -> Unit:
        weights = trains[model.text, block]
        depends = [weights.key, judge_key, protocol, run.seeds[0] in block]
        needs = (*judge_needs, weights.folder)
        return measuring(kind="measure", key=key("measure", depends), needs=needs, models=(model,), seeds=block)

    mapped = tuple(models[:MAPPED])
    chart = measuring(
        kind="map",
        key=key("map", [first_keys[:MAPPED], run.seeds[0]]),
        needs=tuple(u.folder for u in firsts[:MAPPED]),
        models=mapped,
    )
    references = [reference(size) for size in dict.fromkeys(m.latent_dim for m in models)]
    work = [*judges, *trains.values(), chart, *references, *(measure(m, b) for b in blocks for m in models)]
    timing = measuring(
        kind="time",
        key=key("time", [first_keys, run.batch_size]),
        needs=tuple(u.folder for u in work),
        models=tuple(models),
    )
    return [*work, timing]
