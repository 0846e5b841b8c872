"""Signals that stop the program: Ctrl-C (SIGINT), SIGTERM, SIGHUP, all in the same way.

Each is raised as a KeyboardInterrupt where the program stands, so that whatever it has begun is put away and the line that
resumes is said; the exit code is 128 and the signal's number. What is told to ignore a signal (``nohup``) still does.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from latentbench.machine import STOPPING

PATIENCE = 5.0
"""Seconds in which a second signal does not break off the putting away that the first began."""


class Stopped(KeyboardInterrupt):
    """A signal came."""


class Stop:
    """Which signal came, if any."""

    def __init__(self) -> None:
        self.signal = 0
        self._last = -PATIENCE

    @property
    def exit_code(self) -> int:
        """128 and the number of the signal, as shells have it."""
        return 128 + (self.signal or signal.SIGINT)

    def heard(self, number: int, frame: FrameType | None) -> None:
        """Raise `Stopped`, but for a signal that comes soon after another."""
        now = time.monotonic()
        if now - self._last < PATIENCE:
            return
        self.signal, self._last = number, now
        raise Stopped


@contextmanager
def stopping() -> Iterator[Stop]:
    """Within it the signals stop the program. In a thread of a larger program, which must not set them, nothing changes."""
    stop, before = Stop(), {}
    try:
        for number in STOPPING:
            if signal.getsignal(number) not in (signal.SIG_IGN, None):
                before[number] = signal.signal(number, stop.heard)
    except ValueError:
        pass  # not the main thread
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
