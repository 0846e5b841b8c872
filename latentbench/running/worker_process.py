"""A worker process: started, handed units over a pipe, heard, ended with all that it has started.

It knows nothing of a unit but its JSON and its answer, and loads neither torch nor the catalog: whoever only hands work on
stays small.
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
from typing import Any

MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(512 << 20)}
"""Settings of glibc's allocator for a worker (no other heeds them). Left alone it may hand the memory of every gradient
back to the system and fetch it anew, zeroed page by page: where the heap happens to end in a gradient, 500 page faults in
a training step of a 512-unit MLP and a fifth of its processor time. With these a worker keeps up to half a gigabyte of
freed memory for its next step."""


LAST_WORDS = 1.0
"""Seconds in which the answers of a worker that has ended are still heard."""


class WorkerProcess:
    """One process that takes units over a pipe. Closing the pipe ends it, also when its parent is killed; what it has
    started ends with it. ``heard`` gets every message of its, from another thread, and None when it has ended;
    ``environment``: its variables, see `worker_environment`; ``folder``: where it stands (None: where this process does)."""

    def __init__(
        self,
        heard: Callable[[dict[str, Any] | None], None],
        environment: Mapping[str, str],
        folder: Path | None = None,
    ) -> None:
        self._heard = heard
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
        self._hearing = threading.Thread(target=self._hear, daemon=True)
        self._watching = threading.Thread(target=self._watch, daemon=True)
        self._hearing.start()
        self._watching.start()

    def _hear(self) -> None:
        for line in self._process.stdout or ():
            with contextlib.suppress(ValueError):
                self._heard(json.loads(line))

    def _watch(self) -> None:
        """Wait for the process and not for its pipe, which a process that a user's model has started may hold open."""
        if hasattr(os, "waitid"):
            with contextlib.suppress(ChildProcessError):  # left unburied, so that its group's number stays its own
                os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
                self.kill()
        self._process.wait()
        self._hearing.join(LAST_WORDS)
        self._heard(None)

    def send(self, unit: str) -> None:
        """Hand it a unit, as one line of JSON. That it has died is heard of later."""
        with contextlib.suppress(OSError):
            assert self._process.stdin is not None
            self._process.stdin.write(f"{unit}\n")
            self._process.stdin.flush()

    def kill(self) -> None:
        """End it now, with all that it has started, unless it is buried."""
        if self._process.returncode is None and hasattr(os, "killpg"):
            with contextlib.suppress(OSError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()

    def close(self) -> None:
        """Have it end when it is idle: at once."""
        with contextlib.suppress(OSError):
            self._process.stdin.close()  # type: ignore[union-attr]

    def join(self) -> None:
        """Wait until it has ended."""
        self._watching.join()

    @property
    def death(self) -> str:
        """How it ended: a signal's name or an exit code."""
        code = self._process.wait()
        with contextlib.suppress(ValueError):
            if code < 0:
                return signal.Signals(-code).name
        return f"exit code {code}"


def worker_environment(own: Mapping[str, str]) -> dict[str, str]:
    """The environment variables of a worker, given one's ``own``: one thread each unless LATENTBENCH_THREADS says
    otherwise, and `MEMORY` where the user has not set it."""
    # A worker runs this very package, also where it is not installed and the working folder is another one.
    home = str(Path(__file__).parents[2])
    path = os.pathsep.join(filter(None, [home, own.get("PYTHONPATH", "")]))
    out = {**MEMORY, **own, "NUMBA_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1", "PYTHONPATH": path}
    threads = own.get("LATENTBENCH_THREADS", "1")
    return out | dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), threads)
