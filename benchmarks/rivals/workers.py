"""The trainings of a run and nothing else of it: the same plan, the same units, the same worker processes."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from latentbench.config import make_run
from latentbench.running.local_pool import Pool
from latentbench.running.plan import Planned, plan


def train(asked: Mapping[str, Any]) -> tuple[float, Planned]:
    """Seconds from the start of the workers to the last weights of the run ``asked`` for, in its folder ``out``; and
    its plan. Raises RuntimeError where a unit fails."""
    planned = plan(make_run(dict(asked)))
    units = [u for u in planned.units if u.kind == "train"]
    jobs: Path = planned.folder / "artifacts" / "jobs"
    jobs.mkdir(parents=True)
    start = time.perf_counter()
    with Pool(min(os.cpu_count() or 1, len(units)), jobs, lambda message: None) as pool:
        todo = list(units)
        while todo or pool.busy:
            while todo and pool.idle:
                pool.submit(todo.pop(0))
            unit, reason = pool.next_finished()
            if reason:
                raise RuntimeError(f"{unit.folder}: {reason}")
        return time.perf_counter() - start, planned
