"""Plan the units of a Run, run them in worker processes, put the run folder together.

    plan      check everything that can be wrong, before anything is written
    units     what is to be computed, each named by the hash of what it depends on, in order of need
    execute   hand ready units to worker processes; a finished unit is a folder and is never computed twice
    assemble  records of all units in the plan's order -> records.jsonl -> tables and page

A kill at any moment leaves whole units and at most a hidden half-made folder; ``--resume`` computes the rest, and the
records come out the same as undisturbed (timings and environment aside), because a unit's content depends on its hash
alone. The executor knows nothing of units but their JSON files: a cluster engine can take its place.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from latentbench import __version__, catalog, records, worker
from latentbench.config import Run, studies
from latentbench.core import Dataset
from latentbench.pool import Listen, Pool
from latentbench.provenance import describe_environment, run_record
from latentbench.records import Record, digest
from latentbench.worker import Unit

BLOCK = {"cpu": 3, "cuda": 12}
"""Seeds in a unit: few enough to spread over cores and to lose little in a kill, many enough to share one start; on a
GPU, which trains them in one stack, as many as a usual run has."""

MAPPED = 5
"""Models whose latent space is drawn as a map: as many as the page shows in pictures."""

TOLERANT = ("map", "time")
"""Kinds that make do with the models there are where some could not be trained."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during a run; ``resume_line`` is the command that carries on."""

    def __init__(self, resume_line: str) -> None:
        super().__init__(resume_line)
        self.resume_line = resume_line


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


@dataclass(frozen=True)
class Outcome:
    """What came out: the run folder, the page, all records, how many (spec, seed) cells failed, and whether the run
    had been finished before and was left as it was."""

    folder: Path
    report: Path
    records: list[Record]
    failed: int
    finished_before: bool = False


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

    judged = dataset.train.y is not None and any("judge" in declared[m].needs for m in metrics)
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


def execute(asked: Run, argv: Sequence[str], progress: bool = True) -> Outcome:
    """Carry out a run and return its outcome; see the module's docstring.

    Raises ValueError for wrong input, before anything is written, and `Interrupted` on Ctrl-C.
    """
    planned = plan(asked)
    for text in planned.warnings:
        warnings.warn(text, stacklevel=2)
    folder = planned.folder
    state = _state(folder)
    if state and state["id"] != planned.run.id:
        raise ValueError(f"out: {folder} holds another run ({state['id']}); choose a new folder")
    if state and state.get("dataset_sha256", planned.dataset.sha256) != planned.dataset.sha256:
        raise ValueError(
            f"out: {folder} holds this run on other data: {planned.run.dataset} has changed; choose a new folder"
        )
    if state and state["status"] == "finished":
        rows = records.read(folder / "records.jsonl")
        _said_anew(folder, rows, asked.lang)
        return Outcome(folder, folder / "report.html", rows, _failed_cells(rows), finished_before=True)
    if state and not asked.resume:
        raise ValueError(f"out: {folder} holds this run, unfinished; add --resume to carry on")
    if not state:
        records.unused(folder)
    return _carry_out(planned, argv, progress)


def _said_anew(folder: Path, rows: Sequence[Record], lang: str) -> None:
    """A finished run's page and summary in another language than it was asked in; its records stay as they are."""
    from latentbench import report

    head = records.run_record(rows)
    if head is not None and (head.detail.get("config") or {}).get("lang", "en") != lang:
        report.write_tables(folder, lang)
        report.render([folder], lang=lang)


def _carry_out(planned: Planned, argv: Sequence[str], progress: bool) -> Outcome:
    from filelock import FileLock, Timeout

    folder = planned.folder
    try:
        (folder / "artifacts").mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock")
        lock.acquire(timeout=0)
    except Timeout:
        raise ValueError(f"out: another process is at work on {folder}; wait for it") from None
    except OSError as error:
        raise ValueError(f"out: cannot write to {folder}: {error.strerror}") from None
    started = time.time()
    try:
        for left in (folder / "artifacts").glob(".making-*"):
            shutil.rmtree(left, ignore_errors=True)
        _write_state(planned, argv, "unfinished", {})
        crashed = _run_units(planned, progress)
        return _assemble(planned, argv, started, crashed)
    except KeyboardInterrupt:
        raise Interrupted(_resume_line(planned, argv)) from None
    finally:
        lock.release()
        (folder / ".lock").unlink(missing_ok=True)


def _resume_line(planned: Planned, argv: Sequence[str]) -> str:
    words = [a for a in argv if a != "--resume"] or ["run"]
    return f"latentbench {shlex.join(words)} --resume"


def _state(folder: Path) -> dict[str, Any] | None:
    """The run.json of a folder that holds a run, else None."""
    try:
        state = json.loads((folder / "run.json").read_text("utf-8"))
        return state if isinstance(state, dict) and {"id", "status"} <= state.keys() else None
    except (OSError, ValueError):
        return None


def _write_state(planned: Planned, argv: Sequence[str], status: str, detail: dict[str, Any]) -> None:
    state = {
        "id": planned.run.id,
        "status": status,
        "dataset_sha256": planned.dataset.sha256,
        "command": "latentbench " + shlex.join(argv),
        "config": planned.run.model_dump(mode="json", by_alias=True),
        **detail,
    }
    text = json.dumps(state, indent=2, ensure_ascii=False, default=dict) + "\n"
    records.write_text(planned.folder / "run.json", text)


def _run_units(planned: Planned, progress: bool) -> dict[str, str]:
    """Run every unit that is not done; returns the folders of those that failed with the reason."""
    from latentbench import report

    todo = [u for u in planned.units if not worker.is_done(u)]
    if not todo:
        return {}
    count = min(planned.run.workers or os.cpu_count() or 1, len(todo))
    jobs = planned.folder / "artifacts" / ".making-jobs"
    jobs.mkdir(exist_ok=True)
    failed: dict[str, str] = {}
    done = {worker.folder_of(u) for u in planned.units if worker.is_done(u)}
    with _display(planned, todo, progress) as listen, Pool(count, jobs, listen) as pool:
        report.load()  # needed at the end; the workers are starting meanwhile
        while todo or pool.busy:
            for unit in list(todo):
                broken = "" if unit["kind"] in TOLERANT else next((failed[n] for n in unit["needs"] if n in failed), "")
                if broken:
                    failed[worker.folder_of(unit)] = broken
                    todo.remove(unit)
                elif pool.idle and set(unit["needs"]) <= done | failed.keys():
                    pool.submit(unit)
                    todo.remove(unit)
            if pool.busy:
                unit, reason = pool.next_finished()
                if reason:
                    failed[worker.folder_of(unit)] = reason
                else:
                    done.add(worker.folder_of(unit))
                listen({"unit": worker.folder_of(unit), "reason": reason})
    shutil.rmtree(jobs, ignore_errors=True)
    return failed


@contextlib.contextmanager
def _display(planned: Planned, todo: Sequence[Unit], progress: bool) -> Iterator[Listen]:
    """Progress bars on standard error where it is a terminal; silence elsewhere."""
    if not progress or not sys.stderr.isatty():
        yield lambda message: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[note]}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        whole = bars.add_task("units", total=len(todo), note="")
        cells: dict[tuple[str, int], Any] = {}

        def listen(message: dict[str, Any]) -> None:
            cell = message.get("progress")
            if cell is None:
                bars.advance(whole)
            elif "epoch" in cell:
                key = (cell["model"], cell["seed"])
                if key not in cells:
                    cells[key] = bars.add_task(f"{key[0]} seed {key[1]}", total=cell["epochs"], note="")
                note = f"loss {cell['loss']:.2f}  validation {cell['val']:.2f}"
                bars.update(cells[key], completed=cell["epoch"], note=note)
            elif (key := (cell["model"], cell["seed"])) in cells:
                bars.remove_task(cells.pop(key))

        yield listen


def _assemble(planned: Planned, argv: Sequence[str], started: float, crashed: dict[str, str]) -> Outcome:
    """Records of all units in the plan's order, then everything derived from them."""
    from latentbench import report

    environment = describe_environment(planned.units[0]["device"])
    mark = digest(environment)
    rows: list[Record] = []
    for unit in planned.units:
        name = worker.folder_of(unit)
        if name in crashed:
            rows += _crash_records(planned, unit, crashed[name])
        else:
            rows += records.read(planned.folder / name / "records.jsonl")
    rows = _without_repeats(rows)
    head = run_record(
        planned.run.model_dump(mode="json", by_alias=True),
        planned.dataset,
        list(catalog.find_metrics(planned.run.metrics).values()),
        environment,
        "latentbench " + shlex.join(argv),
        _models(planned, rows),
        started,
        studies()[planned.run.study].note(planned.run) if planned.run.study else None,
    )
    rows = [replace(r, run=planned.run.id, environment=mark) for r in (head, *rows)]
    records.write(planned.folder / "records.jsonl", rows)
    report.write_tables(planned.folder, planned.run.lang)
    page = report.render([planned.folder], lang=planned.run.lang)
    _write_state(planned, argv, "unfinished" if crashed else "finished", dict(head.detail))
    return Outcome(planned.folder, page, rows, _failed_cells(rows))


def _without_repeats(rows: list[Record]) -> list[Record]:
    """Floors and anchors that several metrics of one name share stand once."""
    return list({r.to_json(): r for r in rows}.values())


def _crash_records(planned: Planned, unit: Unit, reason: str) -> list[Record]:
    from latentbench import measure

    if unit["kind"] != "measure":
        what = f"unit.{unit['kind']}"
        model = unit.get("model", "")
        row = Record(dataset=planned.run.dataset, model=model, latent_dim=unit["latent_dims"].get(model))
        return [replace(row, metric=what, status="failed", reason=reason)]
    metrics = catalog.find_metrics(tuple(unit["metrics"])).values()
    row = Record(
        dataset=planned.run.dataset,
        dataset_hash=unit["dataset_sha256"],
        model=unit["model"],
        params=planned.params[unit["model"]],
        latent_dim=unit["latent_dims"][unit["model"]],
    )
    return [r for seed in unit["seeds"] for r in measure.failed(metrics, replace(row, seed=seed), reason)]


def _failed_cells(rows: Sequence[Record]) -> int:
    return len({(r.model, r.seed) for r in rows if r.status == "failed"})


def _models(planned: Planned, rows: Sequence[Record]) -> dict[str, Any]:
    """What the run record says of each model: parameters as set, their number, the implied decoder variance."""

    def first(metric: str, model: str) -> float | None:
        return next((r.value for r in rows if r.metric == metric and r.model == model), None)

    return {
        text: {
            "params": planned.params[text],
            "parameters": first("cost.parameters", text),
            "decoder_variance": first("decoder_variance", text),
        }
        for text in planned.run.models
    }
