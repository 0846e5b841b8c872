"""The executor ``local``: worker processes on this machine, handed units over a pipe.

It knows nothing of a unit but its JSON and its answer; see `latentbench.running.executor` for what could stand in its
place.
"""

from __future__ import annotations

import json
import os
import queue
from functools import partial
from pathlib import Path
from typing import Any, Self

from latentbench import machine
from latentbench.records import Reason
from latentbench.running import worker_server
from latentbench.running.unit import Listen, Unit
from latentbench.running.worker_process import Child, Spawned, WorkerProcess, worker_environment


class Pool:
    """Worker processes that take units over a pipe. One that dies (killed, out of memory) fails the unit it had and is
    replaced; closing the pipe ends them, also when this process is killed. What a worker has started ends with it."""

    def __init__(self, workers: int, jobs: Path, listen: Listen) -> None:
        self._listen = listen
        self._events: queue.Queue[tuple[int, dict[str, Any] | None]] = queue.Queue()
        self._waiting: list[int] = []
        self._working: dict[int, Unit] = {}
        self._processes: dict[int, WorkerProcess] = {}
        self._started, self._workers = 0, workers
        self._server = worker_server.take(worker_environment(os.environ))
        for _ in range(workers):
            self._start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for process in self._processes.values():
            if kind is not None:
                process.kill()
            process.close()
        for process in self._processes.values():
            process.join()
        if self._server is not None:
            self._server.close()

    @property
    def idle(self) -> bool:
        """True where a worker waits for a unit."""
        return bool(self._waiting)

    @property
    def busy(self) -> bool:
        """True while a worker has a unit."""
        return bool(self._working)

    def _start(self) -> None:
        number = self._started
        self._started += 1
        variables = {machine.WORKERS: str(self._workers)}
        if self._server is not None and self._server.forks:
            child: Child = self._server.start(variables)
        else:
            child = Spawned(worker_environment(os.environ) | variables)
        self._processes[number] = WorkerProcess(partial(self._heard, number), child)
        self._waiting.append(number)

    def _heard(self, number: int, message: dict[str, Any] | None) -> None:
        self._events.put((number, message))

    def submit(self, unit: Unit) -> None:
        """Give a unit to an idle worker."""
        number = self._waiting.pop(0)
        self._working[number] = unit
        self._processes[number].send(json.dumps(unit.to_json()))

    def next_finished(self) -> tuple[Unit, str]:
        """Wait for a unit to end: the unit and, where it failed, the reason."""
        while True:
            number, message = self._events.get()
            if message is None:
                how = self._processes.pop(number).death
                if number in self._waiting:
                    self._waiting.remove(number)
                unit = self._working.pop(number, None)
                self._start()
                if unit is not None:
                    return unit, died(how)
            elif "progress" in message:
                self._listen(message)
            else:
                self._waiting.append(number)
                return self._working.pop(number), message.get("reason", "")


def died(how: str) -> Reason:
    """Why a unit failed whose worker died."""
    return Reason.of("failed.worker_died", "the worker process died ({how})", how=how)
