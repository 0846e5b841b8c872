"""A worker process: started, handed units over a pipe, heard, ended with all that it has started.

It knows nothing of a unit but its JSON and its answer, and loads neither torch nor the catalog: whoever only hands work on
stays small. A worker is a program of its own (`Spawned`), or forked by one that has loaded what workers need
(`latentbench.running.worker_server`).
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, TextIO

MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(512 << 20)}
"""Settings of glibc's allocator for a worker (no other heeds them). Left alone it may hand the memory of every gradient
back to the system and fetch it anew, zeroed page by page: where the heap happens to end in a gradient, 500 page faults in
a training step of a 512-unit MLP and a fifth of its processor time. With these a worker keeps up to half a gigabyte of
freed memory for its next step."""


LAST_WORDS = 1.0
"""Seconds in which the answers of a worker that has ended are still heard."""


class Child(Protocol):
    """A process as whoever hands it work sees it: its ``stdin`` and ``stdout``, text in UTF-8."""

    @property
    def stdin(self) -> TextIO:
        """Where it is handed units."""
        ...

    @property
    def stdout(self) -> TextIO:
        """Where its answers come from."""
        ...

    def wait(self) -> int:
        """Wait until it has ended and what it had started is ended too: its exit code, or less a signal's number."""
        ...

    def kill(self) -> None:
        """End it now, with all that it has started, unless it is buried."""
        ...


class Spawned:
    """A `Child` that is a program of its own, with the variables ``environment``, in ``folder`` (None: where this process
    stands)."""

    def __init__(self, environment: Mapping[str, str], folder: Path | None = None) -> None:
        self._process = subprocess.Popen(
            # -P: what is imported does not hang on what lies in the working folder.
            [sys.executable, "-P", "-m", "latentbench.running.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None,
            text=True,
            encoding="utf-8",
            env=dict(environment),
            cwd=folder,
            # Ctrl-C is the parent's to handle: it ends its workers itself.
            process_group=0 if hasattr(os, "setpgid") else None,
        )

    @property
    def stdin(self) -> TextIO:
        """See `Child`."""
        return self._process.stdin  # type: ignore[return-value]

    @property
    def stdout(self) -> TextIO:
        """See `Child`."""
        return self._process.stdout  # type: ignore[return-value]

    def wait(self) -> int:
        """See `Child`: the process and not its pipe, which a process that a user's model has started may hold open."""
        if hasattr(os, "waitid"):
            with contextlib.suppress(ChildProcessError):  # left unburied, so that its group's number stays its own
                os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
                self.kill()
        return self._process.wait()

    def kill(self) -> None:
        """See `Child`."""
        if self._process.returncode is None and hasattr(os, "killpg"):
            with contextlib.suppress(OSError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()


class WorkerProcess:
    """One process, ``child``, that takes units over a pipe. Closing the pipe ends it, also when its parent is killed; what it
    has started ends with it. ``heard`` gets every message of its, from another thread, and None when it has ended."""

    def __init__(self, heard: Callable[[dict[str, Any] | None], None], child: Child) -> None:
        self._heard, self._child = heard, child
        self._code = 0
        self._hearing = threading.Thread(target=self._hear, daemon=True)
        self._watching = threading.Thread(target=self._watch, daemon=True)
        self._hearing.start()
        self._watching.start()

    def _hear(self) -> None:
        for line in self._child.stdout:
            with contextlib.suppress(ValueError):
                self._heard(json.loads(line))

    def _watch(self) -> None:
        self._code = self._child.wait()
        self._hearing.join(LAST_WORDS)
        self._heard(None)

    def send(self, unit: str) -> None:
        """Hand it a unit, as one line of JSON. That it has died is heard of later."""
        with contextlib.suppress(OSError):
            self._child.stdin.write(f"{unit}\n")
            self._child.stdin.flush()

    def kill(self) -> None:
        """End it now, with all that it has started."""
        self._child.kill()

    def close(self) -> None:
        """Have it end when it is idle: at once."""
        with contextlib.suppress(OSError):
            self._child.stdin.close()

    def join(self) -> None:
        """Wait until it has ended."""
        self._watching.join()

    @property
    def death(self) -> str:
        """How it ended, once that was heard: a signal's name or an exit code."""
        with contextlib.suppress(ValueError):
            if self._code < 0:
                return signal.Signals(-self._code).name
        return f"exit code {self._code}"


def worker_environment(own: Mapping[str, str]) -> dict[str, str]:
    """The environment variables of a worker, given one's ``own``: one thread each unless LATENTBENCH_THREADS says
    otherwise, and `MEMORY` where the user has not set it."""
    # A worker runs this very package, also where it is not installed and the working folder is another one.
    home = str(Path(__file__).parents[2])
    path = os.pathsep.join(filter(None, [home, own.get("PYTHONPATH", "")]))
    out = {**MEMORY, **own, "NUMBA_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1", "PYTHONPATH": path}
    threads = own.get("LATENTBENCH_THREADS", "1")
    return out | dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), threads)
