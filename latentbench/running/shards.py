"""A run computed in shards by a batch system, without a server: ``--shard 3/16`` carries out the units of one shard into the
run folder, ``--assemble`` puts it together.

Which shard a unit belongs to depends on the run alone, not on what was done before: a model's weights and measures of one
block of seeds belong to one, and what several need (the judge, the baselines) is dealt out in turn. A shard that needs a unit
of another waits for it as long as a process is at work on that other; else it says what is missing, and ends.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Container, Hashable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from latentbench import records
from latentbench.records import Kept, Record
from latentbench.run_folder import MANIFEST, RunFiles
from latentbench.running import manifest, reuse
from latentbench.running.assemble import Outcome, Page, ShardOutcome, assemble, write_state
from latentbench.running.at_work import alone, is_held, one_shard
from latentbench.running.carry_out import executor_for, run_units
from latentbench.running.manifest import promised
from latentbench.running.parts import BLOCK
from latentbench.running.plan import Planned
from latentbench.running.schedule import UnitSchedule
from latentbench.running.unit import Listen, Unit

PAUSE = 1.0
"""Seconds between two looks at what other shards have done."""
GIVEN_UP = "given_up"
"""The metric in the record of a failure, of a unit that was not begun because one that it needs had failed."""


def carry_out_shard(planned: Planned, argv: Sequence[str], progress: bool) -> Outcome:
    """Carry out the units of the shard that is asked for, wait for those of others that they need, and say how far it is.
    Raises ValueError, one line, where somebody is at work on this shard or on the whole run."""
    assert planned.run.shard is not None
    number, of = map(int, planned.run.shard.split("/"))
    files = RunFiles(planned.folder)
    files.make()
    with one_shard(files, number, of):
        files.clear_own()
        shard = _Shard(planned, files, number, of)
        with executor_for(planned, shard.own, progress) if shard.own else contextlib.nullcontext() as team:
            if files.read_state() is None:
                write_state(planned, whole_run(argv), "unfinished", {})
            reuse.take(planned.found, planned.folder)
            for unit in shard.own:
                shutil.rmtree(unit.path, ignore_errors=True)  # what lies in its place was found damaged
                _failure(files, unit.folder).unlink(missing_ok=True)
            if team is not None:
                executor, listen = team
                run_units(planned, shard.schedule, executor, partial(shard.heard, listen), shard.arrive)
        return Outcome(planned.folder, None, Kept(), 0, reused=planned.reused, shard=shard.outcome())


class _Shard:
    """One shard of a run, under way: its ``own`` units, and those of others that have not ended yet, as far as is seen."""

    def __init__(self, planned: Planned, files: RunFiles, number: int, of: int) -> None:
        deal = Deal(planned, of)
        self._files, self._name, self._of = files, planned.run.shard or "", of
        self._units = {unit.folder: unit for unit in planned.units}
        self._shard = {unit.folder: deal.shard(unit) for unit in planned.units}
        self.own = [unit for unit in planned.units if self._shard[unit.folder] == number]
        self._others = {folder for folder, home in self._shard.items() if home != number}
        self.schedule = UnitSchedule(self.own, self._others)

    def heard(self, listen: Listen, message: dict[str, Any]) -> None:
        """Hand on what is heard of units; of one that failed the others are told at once, who may be waiting for it."""
        if reason := message.get("reason"):
            self._failed(message["unit"], reason)
        listen(message)

    def _failed(self, folder: str, reason: str) -> None:
        self._files.failures.mkdir(exist_ok=True)
        name = GIVEN_UP if folder in self.schedule.given_up else ""
        records.write(_failure(self._files, folder), [Record(metric=name, status="failed", reason=reason)])

    def arrive(self, wait: bool) -> bool:
        """See `carry_out.Arrive`."""
        while True:
            started = time.monotonic()
            # Looked at before what is there: whoever has let go since has left all that it was to leave.
            at_work = wait and any(is_held(self._files.shard_lock(n, self._of)) for n in self._awaited())
            come = self._look()
            if come or not at_work:
                return come
            time.sleep(max(PAUSE, 10 * (time.monotonic() - started)))  # many units, or a slow file system

    def _look(self) -> bool:
        """Tell the schedule what became of the units of others; whether anything did."""
        ended = {}
        for folder in self._others:
            if (self._files.path / folder / MANIFEST).exists():
                ended[folder] = ""
            elif (row := _failure_record(self._files, folder)) is not None:
                ended[folder] = row.reason
        self._others -= ended.keys()
        for folder, reason in ended.items():
            for given_up in self.schedule.finished(folder, reason):
                self._failed(given_up, reason)
        return bool(ended)

    def _awaited(self) -> set[int]:
        """The shards whose turn it is: of the units that this one's wait for, directly or not, those that wait for none."""
        waiting = self._others | {unit.folder for unit, _ in self.schedule.missing()}
        todo = [need for _, needs in self.schedule.missing() for need in needs]
        seen, out = set(todo), set()
        while todo:
            folder = todo.pop()
            before = [need for need in self._units[folder].needs if need in waiting]
            if not before:
                out.add(self._shard[folder])
            todo += [need for need in before if need not in seen]
            seen.update(before)
        return out

    def outcome(self) -> ShardOutcome:
        """How far the shard is."""
        failed = {u.folder: self.schedule.failed[u.folder] for u in self.own if u.folder in self.schedule.failed}
        missing = tuple(unit.folder for unit, _ in self.schedule.missing())
        done = len(self.own) - len(failed) - len(missing)
        return ShardOutcome(self._name, done, failed, missing, tuple(sorted(self._awaited())))


def put_together(planned: Planned, argv: Sequence[str], page: Page) -> Outcome:
    """Put a run together that shards have computed, or say what is missing. Raises ValueError, one line, where there is no
    run yet, or a shard is at work on it."""
    files = RunFiles(planned.folder)
    if not files.state.exists():
        raise ValueError(f"assemble: {planned.folder} holds no run; begin it with --shard 1/N")
    with alone(files):
        reuse.take(planned.found, planned.folder)
        schedule = UnitSchedule(planned.units)
        for unit in planned.units:
            row = _failure_record(files, unit.folder)
            if row is not None and row.metric != GIVEN_UP:  # what was given up failed only as long as its needs do
                schedule.finished(unit.folder, row.reason)
        failed = schedule.failed.keys()
        missing = tuple(u.folder for u in planned.units if u.folder not in failed and not _made_do(u, failed))
        if missing:
            return Outcome(planned.folder, None, Kept(), 0, shard=ShardOutcome("", missing=missing))
        files.clear()
        outcome = assemble(planned, whole_run(argv), files.state.stat().st_mtime, schedule.failed, page)
        if not schedule.failed:
            shutil.rmtree(files.failures, ignore_errors=True)
        return outcome


class Deal:
    """Which shard of ``of`` a unit belongs to, by the run alone: the same whatever was done before."""

    def __init__(self, planned: Planned, of: int) -> None:
        self._size, self._of = BLOCK[planned.device], of
        self._block: dict[tuple[str, int | None], int] = {}
        homes: list[Hashable] = []
        sizes = dict.fromkeys(model.latent_dim for model in planned.models)
        for run, data in zip(planned.run.by_split(), planned.splits, strict=True):
            blocks = [run.seeds[k : k + self._size] for k in range(0, len(run.seeds), self._size)]
            self._block |= {(data.sha256, seed): k for k, block in enumerate(blocks) for seed in block}
            homes.append(("judge", data.sha256))
            homes += [(data.sha256, m.text, k) for k in range(len(blocks)) for m in planned.models]
            homes += [("reference", data.sha256, size) for size in sizes]
        self._rank = {home: k for k, home in enumerate([*homes, "map", "time"])}

    def shard(self, unit: Unit) -> int:
        """The number of its shard, from 1."""
        return self._rank[self._home(unit)] % self._of + 1

    def _home(self, unit: Unit) -> Hashable:
        """What is dealt out as one: a unit that measures goes where what it measures is trained."""
        first = unit.parts[0]
        if unit.kind in ("train", "measure"):
            return unit.dataset_sha256, first.model, self._block[unit.dataset_sha256, first.seed]
        if unit.kind == "reference":
            return "reference", unit.dataset_sha256, first.latent_dim
        return ("judge", unit.dataset_sha256) if unit.kind == "judge" else unit.kind


def whole_run(argv: Sequence[str]) -> list[str]:
    """The words that ask for the whole run, of those that ask for a shard of it or to put it together."""
    out, skip = [], False
    for word in argv:
        if skip or word == "--assemble" or word.startswith("--shard="):
            skip = False
        elif word == "--shard":
            skip = True
        else:
            out.append(word)
    return out


def _made_do(unit: Unit, failed: Container[str]) -> bool:
    """Whether a unit is there that made do without what has failed."""
    there = manifest.read(unit.path)
    if there is None or not there.is_whole or not any(need in failed for need in unit.needs):
        return False
    return {promised(part.key) for part in there.parts} == {part.key for part in unit.parts}


def _failure(files: RunFiles, folder: str) -> Path:
    return files.failures / Path(folder).name


def _failure_record(files: RunFiles, folder: str) -> Record | None:
    """Why a unit failed that a shard tried, or gave up; None where none says so."""
    try:
        (row,) = records.read(_failure(files, folder))
    except (OSError, ValueError):
        return None
    return row
