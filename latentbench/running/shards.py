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
from collections.abc import Hashable, Mapping, Sequence
from functools import partial
from pathlib import Path

from latentbench import records
from latentbench.records import Record
from latentbench.run_folder import MANIFEST, RunFiles
from latentbench.running import reuse
from latentbench.running.assemble import Outcome, Page, ShardOutcome, assemble, write_state
from latentbench.running.at_work import alone, is_held, one_shard
from latentbench.running.carry_out import executor_for, run_units
from latentbench.running.parts import BLOCK
from latentbench.running.plan import Planned
from latentbench.running.schedule import UnitSchedule
from latentbench.running.unit import Unit

PAUSE = 1.0
"""Seconds between two looks at what other shards have done."""


def carry_out_shard(planned: Planned, argv: Sequence[str], progress: bool) -> Outcome:
    """Carry out the units of the shard that is asked for, wait for those of others that they need, and say how far it is.
    Raises ValueError, one line, where somebody is at work on this shard or on the whole run."""
    assert planned.run.shard is not None
    number, of = map(int, planned.run.shard.split("/"))
    files = RunFiles(planned.folder)
    files.make()
    with one_shard(files, number, of):
        files.clear_own()
        deal = Deal(planned, of)
        own = [unit for unit in planned.units if deal.shard(unit) == number]
        others = {unit.folder: deal.shard(unit) for unit in planned.units if deal.shard(unit) != number}
        schedule = UnitSchedule(own, others)
        with contextlib.ExitStack() as stack:
            team = stack.enter_context(executor_for(planned, own, progress)) if own else None
            if files.read_state() is None:
                write_state(planned, whole_run(argv), "unfinished", {})
            reuse.take(planned.found, planned.folder)
            for unit in own:
                shutil.rmtree(unit.path, ignore_errors=True)  # what lies in its place was found damaged
                _failure(files, unit.folder).unlink(missing_ok=True)
            if team is not None:
                run_units(planned, schedule, *team, partial(_arrive, files, schedule, dict(others), of))
        return Outcome(
            planned.folder, None, [], 0, reused=planned.reused, shard=_told(planned, files, schedule, own, others)
        )


def _told(
    planned: Planned, files: RunFiles, schedule: UnitSchedule, own: Sequence[Unit], others: Mapping[str, int]
) -> ShardOutcome:
    """How far the shard is, once nothing is left that it could do; why units failed is left for who puts the run together."""
    failed = {u.folder: schedule.failed[u.folder] for u in own if u.folder in schedule.failed}
    for folder, reason in failed.items():
        if folder not in schedule.given_up:
            files.failures.mkdir(exist_ok=True)
            records.write(_failure(files, folder), [Record(status="failed", reason=reason)])
    missing = {unit.folder: needs for unit, needs in schedule.missing()}
    awaited = {others[need] for needs in missing.values() for need in needs}
    done = len(own) - len(failed) - len(missing)
    return ShardOutcome(planned.run.shard or "", done, failed, tuple(missing), tuple(sorted(awaited)))


def _arrive(files: RunFiles, schedule: UnitSchedule, others: dict[str, int], of: int, wait: bool) -> bool:
    """Tell the schedule what became of the units of ``others`` (folder -> shard); see `carry_out.Arrive`."""
    while True:
        # Looked at before what is there: whoever has let go since has left all that it was to leave.
        at_work = wait and any(is_held(files.shard_lock(n, of)) for n in {others[need] for need in others})
        come = False
        for folder in list(others):
            reason = "" if _is_there(files, folder) else _reason(files, folder)
            if reason is not None:
                del others[folder]
                come = True
                schedule.finished(folder, reason)
        if come or not at_work:
            return come
        time.sleep(PAUSE)


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
            if (reason := _reason(files, unit.folder)) is not None and unit.folder not in schedule.failed:
                schedule.finished(unit.folder, reason)
        missing = tuple(u.folder for u in planned.units if u.folder not in schedule.failed)
        if missing:
            return Outcome(planned.folder, None, [], 0, shard=ShardOutcome("", missing=missing))
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


def _is_there(files: RunFiles, folder: str) -> bool:
    return (files.path / folder / MANIFEST).exists()


def _failure(files: RunFiles, folder: str) -> Path:
    return files.failures / Path(folder).name


def _reason(files: RunFiles, folder: str) -> str | None:
    """Why a unit failed that a shard tried; None where none says so."""
    try:
        (row,) = records.read(_failure(files, folder))
    except (OSError, ValueError):
        return None
    return row.reason
