"""Plan the units of a Run, run them in worker processes, put the run folder together.

    plan      check everything that can be wrong, before anything is written
    parts     what the run consists of, each named by the hash of what it depends on
    reuse     parts that lie in other run folders or in the judges' cache -> linked into this one
    units     the rest, in pieces of work, in order of need
    execute   hand ready units to worker processes; a finished unit is a folder and is never computed twice
    assemble  records of all parts in the plan's order -> records.jsonl -> page

A kill at any moment leaves whole units and at most a hidden half-made folder; ``--resume`` computes the rest, and the
records come out the same as undisturbed (timings and environment aside), because a unit's content depends on its hash
alone. Who carries units out is an `Executor`; what draws the page is handed in: nothing here knows how.
"""

from __future__ import annotations

import contextlib
import shlex
import shutil
import time
import warnings
from collections.abc import Sequence

from latentbench.config import Run
from latentbench.run_folder import RunFiles, RunState
from latentbench.run_info import RunInfo
from latentbench.running import reuse, shards
from latentbench.running.anew import Trained
from latentbench.running.assemble import Outcome, Page, assemble, failed_cells, write_state
from latentbench.running.at_work import alone
from latentbench.running.carry_out import executor_for, run_units
from latentbench.running.executor import Executor
from latentbench.running.mending import clear_damaged, losses, same_run, write_anew
from latentbench.running.plan import Planned, plan
from latentbench.running.schedule import UnitSchedule
from latentbench.running.unit import Listen


class Interrupted(KeyboardInterrupt):
    """A run was stopped by Ctrl-C or another signal; ``resume_line`` is the command that carries on."""

    def __init__(self, resume_line: str) -> None:
        super().__init__(resume_line)
        self.resume_line = resume_line


def execute(asked: Run, argv: Sequence[str], progress: bool, page: Page, trained: Trained | None = None) -> Outcome:
    """Carry out a run, or one shard of it, or put together what shards have computed, and return its outcome; see the
    module's docstring. ``argv``: the words that asked for it; ``progress``: whether to show bars on a terminal; ``page``:
    what makes the page; ``trained``: see `plan`.

    A finished run is left as it is. Of one that was damaged since, units are computed anew and what is made of them is put
    together again. Raises ValueError for wrong input, before anything is written, and `Interrupted` on Ctrl-C.
    """
    planned = plan(asked, trained)
    for text in planned.warnings:
        warnings.warn(text, stacklevel=2)
    folder, files = planned.folder, RunFiles(planned.folder)
    state = _own_state(planned)
    if state is not None and state.status == "finished":
        return _finished(planned, state, argv, progress, page)
    if asked.assemble:
        return shards.put_together(planned, argv, page)
    if asked.shard:
        return _one_shard(planned, argv, progress)
    if not asked.resume and state is not None:
        raise ValueError(f"out: {folder} holds this run, unfinished; add --resume to carry on")
    if not asked.resume and planned.units and not files.is_blank:
        raise ValueError(f"out: {folder} holds this run, unfinished, its run.json lost; add --resume to carry on")
    return _carry_out(planned, argv, progress, page)


def _own_state(planned: Planned) -> RunState | None:
    """How far the run in the folder is; None where there is none, or nothing but its units. Raises ValueError, one line,
    where another one lies there."""
    folder, files = planned.folder, RunFiles(planned.folder)
    state = files.read_state()
    if state is None and not files.is_blank:
        state = files.read_state()  # another shard may have begun the run between the two looks
        if state is None:
            same_run(planned)
    if state is None:
        return None
    if state.id != planned.run.id:
        raise ValueError(f"out: {folder} holds another run ({state.id}); choose a new folder")
    if state.dataset_sha256 not in (None, planned.dataset.sha256):
        raise ValueError(
            f"out: {folder} holds this run on other data: {planned.run.dataset} has changed; choose a new folder"
        )
    return state


def _finished(planned: Planned, state: RunState, argv: Sequence[str], progress: bool, page: Page) -> Outcome:
    """What a finished run gave, made good where something of it is lost."""
    folder, files, asked = planned.folder, RunFiles(planned.folder), planned.run
    lost = losses(planned, state)
    if (lost.units or lost.files) and (asked.shard or asked.assemble):
        raise ValueError(
            f"out: {folder} is finished, and {lost} lost or damaged since: the command without --shard and --assemble "
            "makes it good"
        )
    if lost.units or lost.files:
        warnings.warn(f"{folder}: lost or damaged since the run was finished: {lost}; made anew", stacklevel=3)
    if not lost.records:
        return _carry_out(planned, argv, progress, page, None if planned.units else lost.said)
    with contextlib.suppress(ValueError):  # of a process that was killed when the run was over but for that
        if files.lock.exists():
            with alone(files):
                files.clear()
    rows = files.read_records("out")
    write_anew(folder, state, rows, bool(lost.files), asked.lang, page)
    return Outcome(folder, files.page, rows, failed_cells(rows), finished_before=True)


def _one_shard(planned: Planned, argv: Sequence[str], progress: bool) -> Outcome:
    try:
        return shards.carry_out_shard(planned, argv, progress)
    except KeyboardInterrupt as stopped:
        raise Interrupted(f"latentbench {shlex.join(argv)}") from stopped


def _carry_out(
    planned: Planned, argv: Sequence[str], progress: bool, page: Page, said: RunInfo | None = None
) -> Outcome:
    """``said``: what a finished run said of itself, where it is only put together again."""
    files = RunFiles(planned.folder)
    begun = files.read_state() is not None
    started = time.time()
    try:
        files.make()
        with alone(files):
            try:
                files.clear()
                with _team(planned, progress) as team:
                    state = files.read_state()
                    if state is None or state.status != "finished":
                        write_state(planned, argv, "unfinished", {})
                    begun = True
                    clear_damaged(planned)
                    reuse.take(planned.found, planned.folder)
                    crashed = _run_units(planned, page, *team) if team else {}
                outcome = assemble(planned, argv, started, crashed, page, said)
                shutil.rmtree(files.failures, ignore_errors=True)
                return outcome
            finally:
                files.clear()  # of workers that were stopped in the middle
    except KeyboardInterrupt as stopped:
        if not begun:
            files.unmake()
            raise
        raise Interrupted(_resume_line(argv)) from stopped
    except ValueError:
        if not begun:  # the executor cannot be had
            files.unmake()
        raise


def _team(planned: Planned, progress: bool) -> contextlib.AbstractContextManager[tuple[Executor, Listen] | None]:
    """Who carries out what there is to do, if anything."""
    return executor_for(planned, planned.units, progress) if planned.units else contextlib.nullcontext()


def _run_units(planned: Planned, page: Page, executor: Executor, listen: Listen) -> dict[str, str]:
    """Run every unit of the plan; returns the folders of those that failed with the reason."""
    for unit in planned.units:  # what lies in its place was found damaged
        shutil.rmtree(unit.path, ignore_errors=True)
    schedule = UnitSchedule(planned.units)
    run_units(planned, schedule, executor, listen, meanwhile=page.load)
    return schedule.failed


def _resume_line(argv: Sequence[str]) -> str:
    words = [a for a in argv if a != "--resume"] or ["run"]
    return f"latentbench {shlex.join(words)} --resume"
