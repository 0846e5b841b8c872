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

import os
import shlex
import shutil
import time
import warnings
from collections.abc import Sequence
from pathlib import Path

from latentbench import records
from latentbench.config import Run
from latentbench.records import Record
from latentbench.running import worker
from latentbench.running.assemble import Outcome, assemble, failed_cells, read_state, write_state
from latentbench.running.local_pool import Pool
from latentbench.running.plan import Planned, plan
from latentbench.running.progress import progress_bars

TOLERANT = ("map", "time")
"""Kinds that make do with the models there are where some could not be trained."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during a run; ``resume_line`` is the command that carries on."""

    def __init__(self, resume_line: str) -> None:
        super().__init__(resume_line)
        self.resume_line = resume_line


def execute(asked: Run, argv: Sequence[str], progress: bool = True) -> Outcome:
    """Carry out a run and return its outcome; see the module's docstring.

    Raises ValueError for wrong input, before anything is written, and `Interrupted` on Ctrl-C.
    """
    planned = plan(asked)
    for text in planned.warnings:
        warnings.warn(text, stacklevel=2)
    folder = planned.folder
    state = read_state(folder)
    if state and state["id"] != planned.run.id:
        raise ValueError(f"out: {folder} holds another run ({state['id']}); choose a new folder")
    if state and state.get("dataset_sha256", planned.dataset.sha256) != planned.dataset.sha256:
        raise ValueError(
            f"out: {folder} holds this run on other data: {planned.run.dataset} has changed; choose a new folder"
        )
    if state and state["status"] == "finished":
        rows = records.read(folder / "records.jsonl")
        _said_anew(folder, rows, asked.lang)
        return Outcome(folder, folder / "report.html", rows, failed_cells(rows), finished_before=True)
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
        write_state(planned, argv, "unfinished", {})
        crashed = _run_units(planned, progress)
        return assemble(planned, argv, started, crashed)
    except KeyboardInterrupt:
        raise Interrupted(_resume_line(planned, argv)) from None
    finally:
        lock.release()
        (folder / ".lock").unlink(missing_ok=True)


def _resume_line(planned: Planned, argv: Sequence[str]) -> str:
    words = [a for a in argv if a != "--resume"] or ["run"]
    return f"latentbench {shlex.join(words)} --resume"


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
    with progress_bars(planned, todo, progress) as listen, Pool(count, jobs, listen) as pool:
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
