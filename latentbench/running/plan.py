"""What is to be computed: a run checked against what there is, its parts found or laid out in units.

    parts    all that the run consists of, each named by the hash of what it depends on
    found    the parts that were computed before: in this run's folder, in those it may reuse, in the judges' cache
    units    the rest, in pieces of work; each is told in which folder lies what it needs

so a run resumed, a run with one more metric, seed or model, and a run measured anew are one thing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from latentbench import catalog, machine
from latentbench.catalog import ModelSpec
from latentbench.config import Run
from latentbench.core import Dataset
from latentbench.metrics import flow_matching
from latentbench.metrics.samplers import FLOW
from latentbench.records import digest, model_name
from latentbench.run_folder import ARTIFACTS
from latentbench.running import precision, reuse
from latentbench.running.anew import Trained
from latentbench.running.executor import Opener, find_executor
from latentbench.running.forecast import forecasts
from latentbench.running.manifest import Manifest
from latentbench.running.parts import BLOCK, Parts
from latentbench.running.reuse import Reused
from latentbench.running.unit import Part, Unit, UnitKind
from latentbench.running.unit_log import log_file
from latentbench.spaces.space import Space
from latentbench.stats.linear_vae import Forecast

STEP_SECONDS, FLOW_STEP_SECONDS = 0.0018, 0.0016
"""Processor time of a step of a default model's training, and of a flow's, roughly."""


@dataclass(frozen=True)
class Planned:
    """A checked run: effective configuration, data (``splits`` of them, the first of which is shown in pictures), models in
    the order asked for, output folder, who carries it out, ``cpu`` or ``cuda``; its parts, which of them were ``found``, units for the others in order of need; cells (spec, seed),
    how much is reused, a rough forecast in CPU-seconds, and warnings worth a line."""

    run: Run
    splits: tuple[Dataset, ...]
    models: tuple[ModelSpec, ...]
    folder: Path
    executor: Opener
    device: str
    parts: tuple[Part, ...]
    found: Mapping[str, Manifest]
    units: tuple[Unit, ...]
    cells: tuple[tuple[str, int], ...]
    reused: Reused
    expected_seconds: float
    warnings: tuple[str, ...]
    precision: Mapping[str, Any] | None = None
    """What a trial found out of the precision, where the run left it open."""

    @property
    def dataset(self) -> Dataset:
        """The data; of several splits the first."""
        return self.splits[0]

    @cached_property
    def forecasts(self) -> dict[str, Forecast]:
        """How many dimensions are to stay in use, by model; of several splits on the first."""
        return forecasts(self.models, self.dataset)

    @cached_property
    def places(self) -> dict[str, str]:
        """Key of each part -> the folder in which it lies in the end, relative to the run folder."""
        return _places(self.found, self.units)

    @property
    def mark(self) -> str:
        """The hash of all parts: equal marks, equal records (times and environment aside)."""
        return digest([part.key for part in self.parts])

    @property
    def trained_before(self) -> tuple[tuple[str, int | None], ...]:
        """The cells whose training is there already."""
        return tuple((p.model, p.seed) for p in self.parts if p.kind == "train" and p.key in self.found)


def plan(asked: Run, trained: Trained | None = None) -> Planned:
    """Check a run against what there is and lay out what is left to compute. Writes nothing. ``trained``: weights to take
    as they are.

    Raises ValueError, one line, for an unknown model, field, dataset, metric or executor, data that cannot be used, a
    device that is not there, or a folder to reuse that holds no run.
    """
    for variable in (machine.threads, machine.workers, machine.placement, reuse.cache_folder, log_file):
        variable()  # what the user's environment says is asked for before anything is begun
    entry, _ = catalog.find_dataset(asked.dataset)
    run = asked.resolve(entry.defaults)
    for text in run.models:
        model_name("models", text)
    models = tuple(catalog.resolve_model(text, run) for text in run.models)
    catalog.find_metrics(run.metrics)
    others = reuse.sources(run.reuse)
    executor = find_executor(run.executor) if run.address is None else find_executor(run.executor, run.address)
    device = pick_device(run)
    runs = run.by_split()
    splits = _splits(run, [catalog.load_dataset(one) for one in runs])
    dataset = splits[0]
    if trained is None:
        _batch(asked, dataset, entry.defaults)
    for spec in models:
        _affordable(spec, dataset.space)
        with torch.random.fork_rng(devices=[]):
            model = spec.build(dataset.space)
        for method in ("encode", "decode", "loss", "state_dict"):
            if not callable(getattr(model, method, None)):
                raise ValueError(f"model '{spec.text}': {type(model).__name__} has no method {method}")
        if callable(check := getattr(model, "check", None)):
            check(dataset.train.x)
    if trained is not None and trained.dataset_sha256 != dataset.sha256:
        raise ValueError(f"measure: {trained.folder} was trained on other data: {run.dataset} has changed since")
    run, found_out = precision.settle(run, models, dataset, device)
    runs = run.by_split()
    folder = Path(run.out) if run.out else Path("reports") / run.id
    weights = trained.weights if trained else {}
    each = [
        Parts(one, data, models, device, weights, pictured=not k).every()
        for k, (one, data) in enumerate(zip(runs, splits, strict=True))
    ]
    parts = [part for some in each for part in some]
    found = reuse.find(parts, folder, others, device, run.cache)
    reused = reuse.count(parts, found, folder, device)
    return Planned(
        run=run,
        splits=splits,
        models=models,
        folder=folder,
        executor=executor,
        device=device,
        parts=tuple(parts),
        found=found,
        units=tuple(_every_unit(each, found, runs, splits, models, device, str(folder.absolute()))),
        cells=tuple((m, s) for m in run.models for s in run.seeds),
        reused=reused,
        expected_seconds=_forecast(parts, found, run, dataset),
        warnings=(*_warnings(run, dataset, models), *reused.elsewhere),
        precision=found_out,
    )


def _batch(asked: Run, dataset: Dataset, defaults: Mapping[str, object]) -> None:
    """Raises ValueError where a batch was asked for that is larger than the training data."""
    size, there = asked.batch_size, len(dataset.images)
    if size is not None and size > there and size != defaults.get("batch_size", 128):
        raise ValueError(f"batch_size: {size} is not allowed: there are {there} training {dataset.space.many}")


STATES = 4
"""Numbers that training holds for each weight: itself, its gradient, Adam's two means."""


def _affordable(spec: ModelSpec, space: Space) -> None:
    """Raises ValueError where a model of this package would not fit into the machine's memory. It is built without its
    numbers to find out; a user's own may not bear that, and is not tried."""
    if ":" in spec.name or spec.name not in catalog.models():
        return
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        model = spec.build(space)
    if not isinstance(model, torch.nn.Module):
        return
    size, there = STATES * 4 * sum(p.numel() for p in model.parameters()), machine.memory()
    if size > there:
        raise ValueError(
            f"models: '{spec.text}' is not allowed: training it takes {size / 2**30:,.0f} GiB, this machine has "
            f"{there / 2**30:,.0f} GiB"
        )


def pick_device(run: Run) -> str:
    """``cpu`` or ``cuda``. Raises ValueError where CUDA is asked for and not there."""
    if run.device == "cuda" and not torch.cuda.is_available():
        raise ValueError("device: 'cuda' is not available here: torch sees no CUDA device (allowed: auto, cpu)")
    return "cuda" if run.device != "cpu" and torch.cuda.is_available() else "cpu"


def _forecast(parts: Sequence[Part], found: Mapping[str, Manifest], run: Run, dataset: Dataset) -> float:
    """CPU-seconds, roughly, where no training stops early: some for the judge, the map and the times, some for each model and
    seed not yet trained, and for each whose codes a flow is still to be trained on."""
    left = [p for p in parts if p.key not in found]
    steps = len(dataset.images) // (run.batch_size or 1)
    cells = sum(p.kind == "train" for p in left)
    flowing = {name for name, metric in catalog.metrics().items() if metric.params.get("sampler") == FLOW}
    flows = len({(p.model, p.latent_dim, p.seed) for p in left if p.metric in flowing})
    return (
        15 * bool(left)
        + cells * ((run.epochs or 0) * steps * STEP_SECONDS + 2.5)
        + flows * flow_matching.STEPS * FLOW_STEP_SECONDS
    )


def _warnings(run: Run, dataset: Dataset, models: Sequence[ModelSpec]) -> Iterator[str]:
    pixels = dataset.train.x[0].numel()
    for size in sorted({m.latent_dim for m in models}):
        if size >= pixels:
            yield f"latent_dim {size} is not below the {pixels} values of {_a(dataset.space.one)}: overcomplete"
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


def _a(noun: str) -> str:
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


def _splits(run: Run, loaded: Sequence[Dataset]) -> tuple[Dataset, ...]:
    """The data of every split. Raises ValueError where two are the same: the data has its own."""
    if len({data.sha256 for data in loaded}) < len(loaded):
        raise ValueError(
            f"splits: {run.splits} is not allowed: {run.dataset} gives the same {loaded[0].space.many} for other split seeds"
        )
    return tuple(loaded)


def _every_unit(
    each: Sequence[Sequence[Part]],
    found: Mapping[str, Manifest],
    runs: Sequence[Run],
    splits: Sequence[Dataset],
    models: Sequence[ModelSpec],
    device: str,
    root: str,
) -> list[Unit]:
    """The units of every split; the first split's come last, for among them is that of the times, which is alone."""
    out: list[Unit] = []
    for parts, run, dataset in reversed(list(zip(each, runs, splits, strict=True))):
        out += _lay_out(parts, found, run, dataset, models, device, root, out)
    return out


def _lay_out(
    parts: Sequence[Part],
    found: Mapping[str, Manifest],
    run: Run,
    dataset: Dataset,
    models: Sequence[ModelSpec],
    device: str,
    root: str,
    before: Sequence[Unit] = (),
) -> list[Unit]:
    """Units for the parts that are not found, each after those it needs; ``needs`` names them by folder. ``before``: units
    that are carried out too."""
    specs = {m.text: m for m in models}
    worker, places = run.for_worker(), _places(found, ())
    out: list[Unit] = []
    made: set[str] = set()
    for kind, group in _groups([p for p in parts if p.key not in found], BLOCK[device]):
        seen = dict.fromkeys(key for part in group for key in part.needs)
        about = models if kind == "time" else [specs[m] for m in dict.fromkeys(p.model for p in group if p.model)]
        needs = (
            [u.folder for u in (*before, *out)] if kind == "time" else [places[k] for k in seen if places[k] in made]
        )
        unit = Unit(
            kind=kind,
            parts=tuple(group),
            root=root,
            run=worker,
            dataset_sha256=dataset.sha256,
            device=device,
            models=tuple(about),
            needs=tuple(dict.fromkeys(needs)),
            places={key: places[key] for key in seen},
        )
        places.update(_places({}, [unit]))
        made.add(unit.folder)
        out.append(unit)
    return out


def _places(found: Mapping[str, Manifest], units: Sequence[Unit]) -> dict[str, str]:
    """Key of each part -> its folder, relative to the run folder."""
    there = {key: f"{ARTIFACTS}/{manifest.folder.name}" for key, manifest in found.items()}
    return there | {part.key: unit.folder for unit in units for part in unit.parts}


def _groups(left: Sequence[Part], size: int) -> Iterator[tuple[UnitKind, list[Part]]]:
    """The parts that are computed at once, in order of need: weights by model and block of ``size`` seeds, measures by model
    and seed (the shorter they are, the sooner all workers end), anchors by latent size."""
    kinds: tuple[UnitKind, ...] = ("judge", "train", "map", "reference", "measure", "time")
    for kind in kinds:
        some = [p for p in left if p.kind == kind]
        if kind in ("train", "measure"):
            yield from ((kind, group) for group in _blocks(some, size if kind == "train" else 1))
        elif kind == "reference":
            for latent in dict.fromkeys(p.latent_dim for p in some):
                yield kind, [p for p in some if p.latent_dim == latent]
        elif some:
            yield kind, some


def _blocks(some: Sequence[Part], size: int) -> Iterator[list[Part]]:
    """The parts of each model in blocks of seeds, the first block of every model before the second of any."""
    cells: dict[str, dict[int | None, list[Part]]] = {}
    for part in some:
        cells.setdefault(part.model, {}).setdefault(part.seed, []).append(part)
    seeds = max(map(len, cells.values()), default=0)
    for start in range(0, seeds, size):
        for own in cells.values():
            if block := list(own.values())[start : start + size]:
                yield [part for cell in block for part in cell]
