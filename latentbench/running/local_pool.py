"""The executor ``local``: worker processes on this machine, handed units over a pipe.

It knows nothing of a unit but its JSON and its answer; see `latentbench.running.executor` for what could stand in its
place.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from latentbench import machine, records
from latentbench.records import Reason
from latentbench.running.unit import Listen, Unit

MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(512 << 20)}
"""Settings of glibc's allocator for a worker (no other heeds them). Left alone it may hand the memory of every gradient
back to the system and fetch it anew, zeroed page by page: where the heap happens to end in a gradient, 500 page faults in
a training step of a 512-unit MLP and a fifth of its processor time. With these a worker keeps up to half a gigabyte of
freed memory for its next step."""


LAST_WORDS = 1.0
"""Seconds in which the answers of a worker that has ended are still heard."""


class Pool:
    """Worker processes that take units over a pipe. One that dies (killed, out of memory) fails the unit it had and is
    replaced; closing the pipe ends them, also when this process is killed. What a worker has started ends with it."""

    def __init__(self, workers: int, jobs: Path, listen: Listen) -> None:
        self._jobs, self._listen = jobs, listen
        self._events: queue.Queue[tuple[int, dict[str, Any] | None]] = queue.Queue()
        self._waiting: list[int] = []
        self._working: dict[int, Unit] = {}
        self._processes: dict[int, subprocess.Popen[str]] = {}
        self._watching: list[threading.Thread] = []
        self._started, self._workers = 0, workers
        for _ in range(workers):
            self._start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for process in self._processes.values():
            if kind is not None:
                _end(process)
            with contextlib.suppress(OSError):
                process.stdin.close()  # type: ignore[union-attr]
        for thread in self._watching:
            thread.join()

    @property
    def idle(self) -> bool:
        """True where a worker waits for a unit."""
        return bool(self._waiting)

    @property
    def busy(self) -> bool:
        """True while a worker has a unit."""
        return bool(self._working)

    def _start(self) -> None:
        process = subprocess.Popen(
            # -P: what is imported does not hang on what lies in the working folder.
            [sys.executable, "-P", "-m", "latentbench.running.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None,
            text=True,
            encoding="utf-8",
            env=worker_environment(os.environ) | {machine.WORKERS: str(self._workers)},
            # Ctrl-C is the parent's to handle: it ends its workers itself.
            process_group=0 if hasattr(os, "setpgid") else None,
        )
        number = self._started
        self._started += 1
        self._processes[number] = process
        self._waiting.append(number)
        hearing = threading.Thread(target=self._hear, args=(number, process), daemon=True)
        watching = threading.Thread(target=self._watch, args=(number, process, hearing), daemon=True)
        self._watching = [t for t in self._watching if t.is_alive()] + [watching]
        hearing.start()
        watching.start()

    def _hear(self, number: int, process: subprocess.Popen[str]) -> None:
        for line in process.stdout or ():
            with contextlib.suppress(ValueError):
                self._events.put((number, json.loads(line)))

    def _watch(self, number: int, process: subprocess.Popen[str], hearing: threading.Thread) -> None:
        """Wait for the process and not for its pipe, which a process that a user's model has started may hold open."""
        if hasattr(os, "waitid"):
            with contextlib.suppress(ChildProcessError):  # left unburied, so that its group's number stays its own
                os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
                _end(process)
        process.wait()
        hearing.join(LAST_WORDS)
        self._events.put((number, None))

    def submit(self, unit: Unit) -> None:
        """Give a unit to an idle worker."""
        number = self._waiting.pop(0)
        path = self._jobs / f"{unit.path.name}.json"
        records.write_text(path, json.dumps(unit.to_json()))
        self._working[number] = unit
        with contextlib.suppress(OSError):  # a dead worker is heard of through its closed output
            stdin = self._processes[number].stdin
            assert stdin is not None
            stdin.write(f"{path.absolute()}\n")
            stdin.flush()

    def next_finished(self) -> tuple[Unit, str]:
        """Wait for a unit to end: the unit and, where it failed, the reason."""
        while True:
            number, message = self._events.get()
            if message is None:
                process = self._processes.pop(number)
                code = process.wait()
                if number in self._waiting:
                    self._waiting.remove(number)
                unit = self._working.pop(number, None)
                self._start()
                if unit is not None:
                    return unit, Reason.of("failed.worker_died", "the worker process died ({how})", how=_death(code))
            elif "progress" in message:
                self._listen(message)
            else:
                self._waiting.append(number)
                return self._working.pop(number), message.get("reason", "")


def worker_environment(own: Mapping[str, str]) -> dict[str, str]:
    """The environment variables of a worker, given one's ``own``: one thread each unless LATENTBENCH_THREADS says
    otherwise, and `MEMORY` where the user has not set it."""
    # A worker runs this very package, also where it is not installed and the working folder is another one.
    home = str(Path(__file__).parents[2])
    path = os.pathsep.join(filter(None, [home, own.get("PYTHONPATH", "")]))
    out = {**MEMORY, **own, "NUMBA_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1", "PYTHONPATH": path}
    threads = own.get("LATENTBENCH_THREADS", "1")
    return out | dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), threads)


def _end(process: subprocess.Popen[str]) -> None:
    """Kill a worker that is not buried yet, and all that it has started."""
    if process.returncode is None and hasattr(os, "killpg"):
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()


def _death(code: int) -> str:
    with contextlib.suppress(ValueError):
        if code < 0:
            return signal.Signals(-code).name
    return f"exit code {code}"
