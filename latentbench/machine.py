"""What machine this is and how busy. Standard library only: who asks need not load torch."""

from __future__ import annotations

import contextlib
import os
import platform
from pathlib import Path

WORKERS = "LATENTBENCH_WORKERS"
"""Environment variable in which an executor tells a worker process how many of its kind share the machine."""

BESIDE = 0.5
"""Load average beyond a process's own threads from which others are taken to be at work."""


def processor() -> str:
    """The processor's model name, or what else the system calls it."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def load() -> float | None:
    """The one-minute load average; None where the system keeps none."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


THREADS = "LATENTBENCH_THREADS"
"""Environment variable with the threads of a process that trains or measures."""


def threads() -> int:
    """Threads of a process that trains or measures: 1 unless the user's variable says otherwise. Raises ValueError where
    it says no number from 1 to 1024."""
    word = os.environ.get(THREADS, "1")
    if not (word.isascii() and word.isdecimal() and len(word) <= 4 and 1 <= int(word) <= 1024):
        raise ValueError(f"{THREADS}: {word!r} is not allowed: a number of threads from 1 to 1024")
    return int(word)


def memory() -> int:
    """Bytes of memory that the machine has; 64 GiB where nobody says."""
    with contextlib.suppress(ValueError, OSError, AttributeError):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return 64 << 30


def workers() -> int | None:
    """How many worker processes, this one among them, share the machine; None where nobody said so."""
    count = os.environ.get(WORKERS, "")
    return int(count) if count.isdecimal() else None


PLACEMENT = "LATENTBENCH_PLACEMENT"
"""Environment variable in which an executor tells a worker process where it was put, in words."""


def placement() -> str | None:
    """Where an executor put this worker: the node, and whether it is alone there; None where nobody said so."""
    return os.environ.get(PLACEMENT) or None


def undisturbed(workers: int | None, load: float | None, threads: int) -> bool:
    """Whether a time by the clock is one of this process alone: it was the only worker, and at this ``load`` nobody was at
    work but its own ``threads``. Only such a time can rank; where nobody said how many workers there were, none does."""
    return workers == 1 and (load is None or load <= threads + BESIDE)
