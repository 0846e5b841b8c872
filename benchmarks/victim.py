"""The run that `kill_storm.py` kills: the program itself, which knows how far it is and dies at the moment it is told to.

A *point* is a call by which the run folder changes: a sync, a rename, a folder made or removed. The points of the main process
and of its worker are written to one log in the order they come in, and a moment is named by them: before or after the
n-th, or so many seconds beyond it. So it is the same moment of the work however busy the machine is.

Started as a program it is the worker. What is slow and writes nothing is cut short: the judge takes fewer steps, times are
taken in fewer and shorter blocks.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

ORDER, MAIN, MARK = "KILL_STORM_ORDER", "KILL_STORM_MAIN", "KILL_STORM_MARK"
"""Environment variables: the `Order`, the main process's number, and what all processes of one run share."""
CALLS = ("fsync", "replace", "rename", "link", "mkdir", "rmdir", "unlink")
SENT = "sent"
"""What the log says where the signal was sent."""
LINE = 160
"""Bytes of a point in the log, so that the log's length is their number."""
JUDGE_STEPS, BLOCK_SECONDS = 150, 2e-4


@dataclass(frozen=True)
class Order:
    """Where the run writes (``out``), where its points are noted (``log``), and when a signal is sent: at the point
    ``at`` (0: the start; None: never), ``when``: before it, after it, or ``seconds`` later; the name of the ``signal`` and
    whether the worker gets it in the same moment (``both``)."""

    out: str
    log: str
    at: int | None = None
    when: Literal["before", "after", "later"] = "before"
    seconds: float = 0.0
    signal: str = "SIGKILL"
    both: bool = False


class Points:
    """Notes the points of this process and sends the signal at its moment."""

    def __init__(self, order: Order) -> None:
        self.order, self.workers = order, list[int]()

    def watch(self) -> None:
        """Have each of `CALLS` pass here first."""
        for name in CALLS:
            setattr(os, name, partial(self._pass, name, getattr(os, name)))

    def _pass(self, name: str, call: Callable[..., Any], *args: Any, **more: Any) -> Any:
        path = self._path(args[-1] if name in ("replace", "rename", "link") else args[0])
        if path is None:
            return call(*args, **more)
        number = self.note(f"{name} {path}")
        self.strike(number, "before")
        result = call(*args, **more)
        self.strike(number, "after")
        return result

    def _path(self, what: Any) -> str | None:
        """The path within the run folder; None for what lies elsewhere."""
        try:
            path = os.readlink(f"/proc/self/fd/{what}") if isinstance(what, int) else os.fspath(what)
        except (OSError, TypeError):
            return None
        out = self.order.out
        return (path[len(out) + 1 :] or ".") if isinstance(path, str) and f"{path}/".startswith(f"{out}/") else None

    def note(self, what: str) -> int:
        """Write a point down; returns its number, from 0."""
        with open(self.order.log, "ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            number = file.seek(0, os.SEEK_END) // LINE
            text = f"{time.monotonic():.6f} {what}"
            file.write(f"{text[: LINE - 1]:<{LINE - 1}}\n".encode())
        return number

    def strike(self, number: int, when: str) -> None:
        """Send the signal, where this is its moment."""
        if number != self.order.at:
            return
        if self.order.when == "later" and when == "after":
            timer = threading.Timer(self.order.seconds, self._send)
            timer.daemon = True
            timer.start()
        elif self.order.when == when:
            self._send()

    def _send(self) -> None:
        self.note(SENT)
        number, main = signal.Signals[self.order.signal], int(os.environ[MAIN])
        own = os.getpid()
        others = self.workers if own == main else [own]
        for process in [
            *(others if self.order.both and own == main else ()),
            main,
            *(others if self.order.both else ()),
        ]:
            try:
                os.kill(process, number)
            except ProcessLookupError:
                continue


def run(words: Sequence[str], order: Order, mark: str, place: Path) -> int:
    """Carry out the program's command in this process, which was forked for it; returns its exit code. What it prints goes
    to ``place``/printed, its temporary files to ``place``/tmp."""
    (place / "tmp").mkdir(exist_ok=True)
    os.environ |= {
        "LATENTBENCH_FORK": "0",
        ORDER: json.dumps(asdict(order)),
        MAIN: str(os.getpid()),
        MARK: mark,
        "TMPDIR": str(place / "tmp"),
    }
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(place / "torch")  # torch makes its cache among temporary files
    tempfile.tempdir = None
    with (place / "printed").open("wb") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    for name, usual in (
        ("SIGINT", signal.default_int_handler),
        ("SIGTERM", signal.SIG_DFL),
        ("SIGHUP", signal.SIG_DFL),
    ):
        signal.signal(getattr(signal, name), usual)  # in the background of a shell some are ignored
    points = Points(order)

    class Worker(subprocess.Popen):  # type: ignore[type-arg]
        """A worker whose points are noted too."""

        def __init__(self, args: Sequence[str], **more: Any) -> None:
            own = [sys.executable, "-P", __file__] if args[-1] == "latentbench.running.worker" else args
            super().__init__(own, **more)
            points.workers.append(self.pid)

    subprocess.Popen = Worker  # type: ignore[misc]
    from latentbench.cli import main

    points.watch()
    number = points.note("start")
    points.strike(number, "before")
    points.strike(number, "after")
    return main(words)


def read_log(path: Path) -> list[tuple[float, str]]:
    """The points of a run: seconds by the clock, and what it was."""
    rows = (line.split(maxsplit=1) for line in path.read_text().splitlines())
    return [(float(seconds), what.rstrip()) for seconds, what in rows]


def quicken() -> None:
    """Cut short what is slow and writes nothing."""
    from latentbench.measuring import timing
    from latentbench.running import worker

    worker.judges.train_judge = partial(worker.judges.train_judge, steps=JUDGE_STEPS)
    timing.BATCHES, timing.BLOCK_SECONDS = {"cpu": (1,)}, BLOCK_SECONDS


def _worker(environment: Mapping[str, str]) -> int:
    from latentbench.running import worker

    quicken()
    Points(Order(**json.loads(environment[ORDER]))).watch()
    return worker.main([])


if __name__ == "__main__":
    sys.exit(_worker(os.environ))
