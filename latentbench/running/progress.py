"""What a run is at: bars on a terminal, a line a stage on standard error elsewhere."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from latentbench.running.unit import Listen, Unit

STEADY = 0.2
"""Share of the work that must be done before the time left is told: a first guess is a wrong one."""
WEIGHTS = {"judge": 8.0, "reference": 10.0, "train": 6.0, "measure": 4.0, "map": 8.0, "time": 8.0}
"""How much longer one kind of unit takes than another, roughly, of each seed for training and measuring: what the time left
is told by."""


@contextlib.contextmanager
def progress_bars(todo: Sequence[Unit], progress: bool, verbose: bool = False) -> Iterator[Listen]:
    """Who hears of the units ``todo``: bars where standard error is a terminal, else a line as each stage ends; silence
    where no ``progress`` is asked for. ``verbose``: a line as each unit begins and ends, everywhere."""
    if not progress:
        yield lambda message: None
    elif sys.stderr.isatty() and not verbose:
        with _bars(todo) as listen:
            yield listen
    else:
        yield Lines(todo, _write, verbose).heard


def _write(line: str) -> None:
    print(f"latentbench: {line}", file=sys.stderr, flush=True)


class Doing:
    """What is being done, in words, from what is heard: of units begun and done, of epochs trained.

    A message is ``{"begun": folder}``, ``{"unit": folder, "reason": why it failed}`` or ``{"progress": cell}``, see
    `latentbench.running.worker`."""

    def __init__(self, todo: Sequence[Unit]) -> None:
        self.units: Mapping[str, Unit] = {unit.folder: unit for unit in todo}
        self.begun: dict[str, float] = {}
        self.done: dict[str, str] = {}
        self.epochs: dict[tuple[str, int], Mapping[str, Any]] = {}
        self.diverged: set[tuple[str, int]] = set()
        self._start = time.monotonic()

    def heard(self, message: Mapping[str, Any]) -> None:
        """Take a message in."""
        if (cell := message.get("progress")) is not None:
            if "epoch" in cell:
                self.epochs[cell["model"], cell["seed"]] = cell
            elif cell.get("diverged"):
                self.diverged.add((cell["model"], cell["seed"]))
        elif "begun" in message:
            self.begun[message["begun"]] = time.monotonic()
        elif message["unit"] in self.units:
            self.done[message["unit"]] = message.get("reason", "")

    @property
    def running(self) -> list[Unit]:
        """The units that are begun and not done."""
        return [self.units[f] for f in self.begun if f in self.units and f not in self.done]

    @property
    def seconds_left(self) -> float | None:
        """Seconds until all is done, from how long what is done took; None where that is too little to tell by."""
        whole = sum(_weight(u) for u in self.units.values())
        done = sum(_weight(self.units[f]) for f in self.done) + sum(_weight(u) * self.share(u) for u in self.running)
        if not whole or done < STEADY * whole:
            return None
        return (time.monotonic() - self._start) * (whole - done) / done

    def share(self, unit: Unit) -> float:
        """How much of a unit is done, as far as it tells: at most 0.9 of a training, which may also stop early."""
        cells = self._cells(unit)
        if unit.kind != "train" or not cells:
            return 0.0
        parts = [float(c["epoch"]) / max(int(c["epochs"]), 1) for c in cells]
        return 0.9 * sum(parts) / max(len(unit.seeds), 1)

    def _cells(self, unit: Unit) -> list[Mapping[str, Any]]:
        text = unit.models[0].text if len(unit.models) == 1 else ""
        return [c for seed in unit.seeds if (c := self.epochs.get((text, seed))) is not None]

    def title(self, unit: Unit) -> str:
        """What a unit does: ``training ae, seeds 0 to 2``."""
        name = unit.models[0].text if len(unit.models) == 1 else ""
        of = f"{name}, {_seeds(unit.seeds)}" if name else "all models"
        return {
            "judge": "training the judge",
            "reference": "measuring baselines, floors and ceilings",
            "train": f"training {of}",
            "measure": f"measuring {of}",
            "map": "mapping latent spaces",
            "time": "timing all models, alone on the machine",
        }.get(unit.kind, unit.kind)

    def note(self, unit: Unit) -> str:
        """How far a unit is: the epoch, of how many at most, and the losses of the seed that is farthest."""
        cells = self._cells(unit)
        if unit.kind == "train" and cells:
            cell = max(cells, key=lambda c: c["epoch"])
            return f"epoch {cell['epoch']} of at most {cell['epochs']}, loss {cell['loss']:.4g}, validation {cell['val']:.4g}"
        if unit.kind == "measure" and (stopped := self.stopped(unit)):
            return f"stopped early ({stopped}), measuring"
        return ""

    def stopped(self, unit: Unit) -> str:
        """At which epochs the seeds of a unit stopped before the last; empty where none did."""
        whole = [c for c in self._cells(unit) if (c["model"], c["seed"]) not in self.diverged]
        epochs = sorted({c["epoch"] for c in whole if c["epoch"] < c["epochs"]})
        if not epochs:
            return ""
        return f"epoch {epochs[0]}" if len(epochs) == 1 else f"epochs {epochs[0]} to {epochs[-1]}"


class Lines:
    """A line as each stage ends, which is all the units of one kind and model; with ``verbose``, as each unit begins and
    ends."""

    def __init__(self, todo: Sequence[Unit], write: Callable[[str], None], verbose: bool) -> None:
        self._doing, self._write, self._verbose = Doing(todo), write, verbose
        self._stages: dict[tuple[str, ...], set[str]] = {}
        for unit in todo:
            self._stages.setdefault(_stage(unit), set()).add(unit.folder)
        self._of = len(todo) if verbose else len(self._stages)
        self._ended = 0

    def heard(self, message: Mapping[str, Any]) -> None:
        """Take a message in, and write what there is to write."""
        before = set(self._doing.done)
        self._doing.heard(message)
        unit = self._doing.units.get(str(message.get("begun", message.get("unit"))))
        if unit is None or unit.folder in before:
            return
        if "begun" in message:
            if self._verbose:
                self._write(f"begun: {self._doing.title(unit)}")
            return
        left = self._stages[_stage(unit)]
        left.discard(unit.folder)
        reason = message.get("reason", "")
        if self._verbose or reason or not left:
            self._ended += self._verbose or not left
            self._write(self._end(unit, reason))

    def _end(self, unit: Unit, reason: str) -> str:
        took = time.monotonic() - self._doing.begun.get(unit.folder, time.monotonic())
        what = self._doing.title(unit) if self._verbose else _stage_title(self._doing, unit)
        parts = [f"{self._ended} of {self._of}: {what}"]
        if reason:
            parts.append(f"failed: {reason}")
        elif unit.kind == "train" and (stopped := self._doing.stopped(unit)):
            parts.append(f"stopped early, {stopped}")
        if self._verbose:
            parts.append(f"{took:.1f} s")
        if (left := self._doing.seconds_left) is not None and self._ended < self._of:
            parts.append(f"about {duration(left)} left")
        return "; ".join(parts)


def _stage(unit: Unit) -> tuple[str, ...]:
    return (unit.kind, *(m.text for m in unit.models)) if len(unit.models) == 1 else (unit.kind,)


def _stage_title(doing: Doing, unit: Unit) -> str:
    """What a stage did: its unit's title without the seeds."""
    return doing.title(unit).partition(", seed")[0]


def _weight(unit: Unit) -> float:
    return WEIGHTS.get(unit.kind, 5.0) * (max(1, len(unit.seeds)) if unit.kind in ("train", "measure") else 1)


def _seeds(seeds: Sequence[int]) -> str:
    if len(seeds) == 1:
        return f"seed {seeds[0]}"
    if tuple(seeds) == tuple(range(seeds[0], seeds[0] + len(seeds))) if seeds else False:
        return f"seeds {seeds[0]} to {seeds[-1]}"
    return f"seeds {', '.join(map(str, seeds))}"


def duration(seconds: float) -> str:
    """``40 s``, ``3 min``, ``2 h 10 min``."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


@contextlib.contextmanager
def _bars(todo: Sequence[Unit]) -> Iterator[Listen]:
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeElapsedColumn
    from rich.text import Text

    doing = Doing(todo)

    class Left(ProgressColumn):
        """How many units are done, and the time left."""

        def render(self, task: Task) -> Text:
            if task.fields.get("whole") is None:
                return Text(task.fields.get("note", ""))
            left = doing.seconds_left
            told = f", about {duration(left)} left" if left is not None and not task.finished else ""
            return Text(f"{len(doing.done)} of {len(todo)} steps{told}")

    columns = (TextColumn("{task.description}"), BarColumn(24), Left(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, refresh_per_second=4) as bars:
        whole = bars.add_task("whole run", total=sum(map(_weight, todo)), whole=True)
        shown: dict[str, Any] = {}

        def listen(message: dict[str, Any]) -> None:
            doing.heard(message)
            running = {u.folder: u for u in doing.running}
            for folder in [f for f in shown if f not in running]:
                bars.remove_task(shown.pop(folder))
            for folder, unit in running.items():
                share, note = doing.share(unit), doing.note(unit)
                total = 1.0 if unit.kind == "train" else None
                if folder not in shown:
                    shown[folder] = bars.add_task(escape(doing.title(unit)), total=total, note=note)
                bars.update(shown[folder], completed=share / 0.9, note=note)
            done = sum(_weight(doing.units[f]) for f in doing.done)
            bars.update(whole, completed=done + sum(_weight(u) * doing.share(u) for u in running.values()))

        yield listen
