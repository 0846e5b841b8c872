"""Units handed to whoever carries them out, as they become ready, until all have ended."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator, Sequence

from latentbench.run_folder import RunFiles
from latentbench.running import reuse
from latentbench.running.executor import Executor, has_room_of_its_own, room
from latentbench.running.plan import Planned
from latentbench.running.progress import progress_bars
from latentbench.running.schedule import UnitSchedule
from latentbench.running.unit import Listen, Unit

Arrive = Callable[[bool], bool]
"""Tells the schedule which units of somebody else's have ended meanwhile; asked to wait, it does until there is one. False
where none is to come."""


@contextlib.contextmanager
def executor_for(planned: Planned, units: Sequence[Unit], progress: bool) -> Iterator[tuple[Executor, Listen]]:
    """Who carries out these ``units`` of the plan, ready to, and what hears of their progress. Raises ValueError, one line,
    where the executor cannot be had."""
    jobs = RunFiles(planned.folder).jobs
    jobs.mkdir(exist_ok=True)
    at_once = len(units) if has_room_of_its_own(planned.executor) else room(planned.executor).cores
    count = min(planned.run.workers or at_once, len(units))
    try:
        with (
            progress_bars(units, progress, planned.run.verbose) as listen,
            planned.executor(count, jobs, listen) as executor,
        ):
            yield executor, listen
    finally:
        shutil.rmtree(jobs, ignore_errors=True)


def run_units(
    planned: Planned,
    schedule: UnitSchedule,
    executor: Executor,
    listen: Listen,
    arrive: Arrive | None = None,
    meanwhile: Callable[[], None] | None = None,
) -> None:
    """Carry out all units of a schedule; it knows which failed, and which were given up. ``arrive``: see there; without it
    there is nobody else to wait for. ``meanwhile``: is done once, while others are at work on the first units."""
    while schedule.ready or executor.busy or (schedule.left and arrive is not None and arrive(True)):
        if arrive is not None:
            arrive(False)
        while schedule.ready and executor.idle:
            unit = schedule.take()
            listen({"begun": unit.folder})
            executor.submit(unit)
        if meanwhile is not None:
            meanwhile()
            meanwhile = None
        if executor.busy:
            unit, reason = executor.next_finished()
            if not reason and unit.kind == "judge" and planned.run.cache:
                reuse.keep_judge(unit.path)
            for folder in (unit.folder, *schedule.finished(unit.folder, reason)):
                listen({"unit": folder, "reason": schedule.failed.get(folder, "")})
