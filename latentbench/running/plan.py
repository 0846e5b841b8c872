"""What is to be computed: a run checked against what there is, and laid out in units."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from latentbench import __version__, catalog
from latentbench.config import Run
from latentbench.core import JUDGE, Dataset
from latentbench.records import digest
from latentbench.running import worker
from latentbench.running.worker import Unit

BLOCK = {"cpu": 3, "cuda": 12}
"""Seeds in a unit: few enough to spread over cores and to lose little in a kill, many enough to share one start; on a
GPU, which trains them in one stack, as many as a usual run has."""


MAPPED = 5
"""Models whose latent space is drawn as a map: as many as the page shows in pictures."""


@dataclass(frozen=True)
class Planned:
    """A checked run: effective configuration, data, output folder, units in order of need, cells (spec, seed), a rough
    forecast in CPU-seconds, and warnings worth a line."""

    run: Run
    dataset: Dataset
    folder: Path
    units: tuple[Unit, ...]
    cells: tuple[tuple[str, int], ...]
    expected_seconds: float
    warnings: tuple[str, ...]
    params: dict[str, dict[str, Any]] = field(default_factory=dict)


def plan(asked: Run) -> Planned:
    """Check a run against what there is and lay out its units. Writes nothing.

    Raises ValueError, one line, for an unknown model, field, dataset or metric, data that cannot be used, a device
    that is not there, or an output folder that cannot be.
    """
    if "" not in sys.path and os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())  # package.module:MyModel is looked for where the user stands
    entry, _ = catalog.find_dataset(asked.dataset)
    run = asked.resolve({"latent_dim": 16, "epochs": 50, "batch_size": 128, **entry.defaults})
    params = {text: catalog.model_params(text, run) for text in run.models}
    chosen = catalog.find_metrics(run.metrics)
    device = pick_device(run)
    dataset = catalog.load_dataset(run)
    for text in run.models:
        with torch.random.fork_rng(devices=[]):
            model = catalog.build_model(text, run, dataset.shape)
        for method in ("encode", "decode", "loss", "state_dict"):
            if not callable(getattr(model, method, None)):
                raise ValueError(f"model '{text}': {type(model).__name__} has no method {method}")
    units = _units(run, dataset, params, list(chosen), device)
    folder = Path(run.out) if run.out else Path("reports") / run.id
    root = str(folder.absolute())
    steps = len(dataset.images) // (run.batch_size or 1)
    seconds = 45 + len(run.models) * len(run.seeds) * ((run.epochs or 0) * steps * 0.0018 + 1.0)
    return Planned(
        run=run,
        dataset=dataset,
        folder=folder,
        units=tuple({**u, "root": root} for u in units),
        cells=tuple((m, s) for m in run.models for s in run.seeds),
        expected_seconds=seconds,
        warnings=tuple(_warnings(run, dataset)),
        params=params,
    )


def pick_device(run: Run) -> str:
    """``cpu`` or ``cuda``. Raises ValueError where CUDA is asked for and not there."""
    if run.device == "cuda" and not torch.cuda.is_available():
        raise ValueError("device: 'cuda' is not available here: torch sees no CUDA device (allowed: auto, cpu)")
    return "cuda" if run.device != "cpu" and torch.cuda.is_available() else "cpu"


def _warnings(run: Run, dataset: Dataset) -> Iterator[str]:
    pixels = dataset.train.x[0].numel()
    for size in sorted({catalog.latent_dim(text, run) for text in run.models}):
        if size >= pixels:
            yield f"latent_dim {size} is not below the {pixels} values of an image: overcomplete"
    if len(run.seeds) < 2:
        yield "one seed gives no interval: use at least two (--seeds 6)"
    if dataset.train.y is None:
        yield "the dataset has no labels: measures that need a judge are skipped"
    if dataset.stream is not None:
        held = {"train": dataset.train, "val": dataset.val, "test": dataset.test}
        samples = ", ".join(f"{len(split.x):,} of {dataset.whole[name]:,} {name}" for name, split in held.items())
        yield (
            f"more than {run.memory} of images: training streams all of them from disk, measures and the judge read samples "
            f"({samples} images)"
        )


def _units(
    run: Run, dataset: Dataset, params: dict[str, dict[str, Any]], metrics: list[str], device: str
) -> list[Unit]:
    """All units, each after those it needs; ``needs`` names them by folder."""
    sha = dataset.sha256
    settings = run.model_dump(mode="json", by_alias=True, exclude_none=True)
    left_out = ("out", "workers", "resume", "dry_run", "json", "quiet", "open", "lang")
    kept = {k: v for k, v in settings.items() if k not in left_out}
    sizes = {text: catalog.latent_dim(text, run) for text in run.models}
    shared: Unit = {"run": kept, "dataset_sha256": sha, "device": device, "params": params, "latent_dims": sizes}
    shared["version"] = __version__
    declared = catalog.metrics()
    protocol = {m: [declared[m].params, declared[m].splits] for m in metrics}

    def unit(kind: str, depends: Any, needs: Sequence[str] = (), **fields: Any) -> Unit:
        key = digest({"kind": kind, "on": depends, "data": sha, "device": device, "version": __version__})
        return {**shared, "kind": kind, "key": key, "needs": list(needs), **fields}

    judged = dataset.train.y is not None and any(JUDGE in declared[m].needs for m in metrics)
    judge = unit("judge", 0) if judged else None
    judge_key = judge["key"] if judge else None
    judge_needs = [worker.folder_of(judge)] if judge else []
    training = {k: getattr(run, k) for k in ("epochs", "patience", "batch_size", "lr", "precision")}
    blocks = [run.seeds[i : i + BLOCK[device]] for i in range(0, len(run.seeds), BLOCK[device])]
    trains = {
        (m, b): unit("train", [m, params[m], {**training, "latent_dim": sizes[m]}, b], model=m, seeds=list(b))
        for b in blocks
        for m in run.models
    }
    trained = {m: {str(s): trains[m, b]["key"] for b in blocks for s in b} for m in run.models}
    first = [worker.folder_of(trains[m, blocks[0]]) for m in run.models]
    firsts = [trains[m, blocks[0]]["key"] for m in run.models]
    rest = {"judge": judge_key, "metrics": metrics, "trained": trained}
    # What a metric reads on real images, on junk and where nothing is wrong depends on the latent size too.
    references = [
        unit("reference", [judge_key, d, protocol, d == sizes[run.models[0]]], judge_needs, latent_dim=d, **rest)
        for d in dict.fromkeys(sizes.values())
    ]
    chart = unit("map", [firsts[:MAPPED], run.seeds[0]], first[:MAPPED], mapped=list(run.models[:MAPPED]), **rest)
    measures = [
        unit(
            "measure",
            [trains[m, b]["key"], judge_key, protocol, run.seeds[0] in b],
            [*judge_needs, worker.folder_of(trains[m, b])],
            model=m,
            seeds=list(b),
            **rest,
        )
        for b in blocks
        for m in run.models
    ]
    every = [judge, *trains.values(), chart, *references, *measures]
    work = [u for u in every if u is not None]
    timing = unit("time", [firsts, run.batch_size], [worker.folder_of(u) for u in work], **rest)
    return [*work, timing]
