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
import os
import shlex
import shutil
import time
import warnings
from collections.abc import Sequence

from latentbench.config import Run
from latentbench.run_folder import RunFiles
from latentbench.run_info import RunInfo
from latentbench.running import reuse
from latentbench.running.anew import Trained
from latentbench.running.assemble import Outcome, Page, assemble, failed_cells, write_state
from latentbench.running.mending import clear_damaged, losses, same_run, write_anew
from latentbench.running.plan import Planned, plan
from latentbench.running.progress import progress_bars


class Interrupted(KeyboardInterrupt):
    """A run was stopped by Ctrl-C or another signal; ``resume_line`` is the command that carries on."""

    def __init__(self, resume_line: str) -> None:
        super().__init__(resume_line)
        self.resume_line = resume_line


def execute(asked: Run, argv: Sequence[str], progress: bool, page: Page, trained: Trained | None = None) -> Outcome:
    """Carry out a run and return its outcome; see the module's docstring. ``argv``: the words that asked for it;
    ``progress``: whether to show bars on a terminal; ``page``: what makes the page; ``trained``: see `plan`.

    A finished run is left as it is. Of one that was damaged since, units are computed anew and what is made of them is put
    together again. Raises ValueError for wrong input, before anything is written, and `Interrupted` on Ctrl-C.
    """
    planned = plan(asked, trained)
    for text in planned.warnings:
        warnings.warn(text, stacklevel=2)
    folder, files = planned.folder, RunFiles(planned.folder)
    state = files.read_state()
    if state is None:
        if files.is_blank:
            return _carry_out(planned, argv, progress, page)
        same_run(planned)
        if planned.units and not asked.resume:
            raise ValueError(f"out: {folder} holds this run, unfinished, its run.json lost; add --resume to carry on")
        return _carry_out(planned, argv, progress, page)
    if state.id != planned.run.id:
        raise ValueError(f"out: {folder} holds another run ({state.id}); choose a new folder")
    if state.dataset_sha256 not in (None, planned.dataset.sha256):
        raise ValueError(
            f"out: {folder} holds this run on other data: {planned.run.dataset} has changed; choose a new folder"
        )
    if state.status == "finished":
        lost = losses(planned, state)
        if lost.units or lost.files:
            warnings.warn(f"{folder}: lost or damaged since the run was finished: {lost}; made anew", stacklevel=2)
        if not lost.records:
            return _carry_out(planned, argv, progress, page, None if planned.units else lost.said)
        _tidy(files)
        rows = files.read_records("out")
        write_anew(folder, state, rows, bool(lost.files), asked.lang, page)
        return Outcome(folder, files.page, rows, failed_cells(rows), finished_before=True)
    if not asked.resume:
        raise ValueError(f"out: {folder} holds this run, unfinished; add --resume to carry on")
    return _carry_out(planned, argv, progress, page)


def _tidy(files: RunFiles) -> None:
    """Remove what is left of a process that was killed when the run was over but for that."""
    from filelock import FileLock, Timeout

    if files.lock.exists():
        lock = FileLock(files.lock)
        with contextlib.suppress(Timeout, OSError), lock.acquire(timeout=0):
            files.clear()
            files.lock.unlink(missing_ok=True)


def _carry_out(
    planned: Planned, argv: Sequence[str], progress: bool, page: Page, said: RunInfo | None = None
) -> Outcome:
    """``said``: what a finished run said of itself, where it is only put together again."""
    from filelock import FileLock, Timeout

    folder, files = planned.folder, RunFiles(planned.folder)
    begun = files.read_state() is not None
    started = time.time()
    try:
        files.make()
        lock = FileLock(files.lock)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise ValueError(f"out: another process is at work on {folder}; wait for it") from None
        except OSError as error:
            raise ValueError(f"out: cannot write to {folder}: {error.strerror}") from None
        try:
            files.clear()
            state = files.read_state()
            if state is None or state.status != "finished":
                write_state(planned, argv, "unfinished", {})
            begun = True
            clear_damaged(planned)
            reuse.take(planned.found, folder)
            crashed = _run_units(planned, progress, page)
            return assemble(planned, argv, started, crashed, page, said)
        finally:
            files.clear()  # of workers that were stopped in the middle
            files.lock.unlink(missing_ok=True)
            lock.release()
    except KeyboardInterrupt as stopped:
        if not begun:
            files.unmake()
            raise
        raise Interrupted(_resume_line(argv)) from stopped


def _resume_line(argv: Sequence[str]) -> str:
    words = [a for a in argv if a != "--resume"] or ["run"]
    return f"latentbench {shlex.join(words)} --resume"


def _run_units(planned: Planned, progress: bool, page: Page) -> dict[str, str]:
    """Run every unit of the plan; returns the folders of those that failed with the reason."""
    done, todo = set[str](), list(planned.units)
    if not todo:
        return {}
    for unit in todo:  # what lies in its place was found damaged
        shutil.rmtree(unit.path, ignore_errors=True)
    count = min(planned.run.workers or os.cpu_count() or 1, len(todo))
    jobs = RunFiles(planned.folder).jobs
    jobs.mkdir(exist_ok=True)
    failed: dict[str, str] = {}
    with progress_bars(todo, progress) as listen, planned.executor(count, jobs, listen) as executor:
        page.load()  # needed at the end; the workers are starting meanwhile
        while todo or executor.busy:
            for unit in list(todo):
                broken = "" if unit.is_tolerant else next((failed[n] for n in unit.needs if n in failed), "")
                if broken:
                    failed[unit.folder] = broken
                    todo.remove(unit)
                elif executor.idle and set(unit.needs) <= done | failed.keys():
                    executor.submit(unit)
                    todo.remove(unit)
            if executor.busy:
                unit, reason = executor.next_finished()
                if reason:
                    failed[unit.folder] = reason
                else:
                    done.add(unit.folder)
                    if unit.kind == "judge" and planned.run.cache:
                        reuse.keep_judge(unit.path)
                listen({"unit": unit.folder, "reason": reason})
    shutil.rmtree(jobs, ignore_errors=True)
    return failed
