"""What machine this is, how busy, and what loads onto it. Standard library only: who asks need not load torch."""

from __future__ import annotations

import contextlib
import gc
import math
import os
import platform
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path

WORKERS = "LATENTBENCH_WORKERS"
"""Environment variable in which an executor tells a worker process how many of its kind share the machine."""

STOPPING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
"""Signals that ask a program to end, which it may heed in its own way; those that this system has."""

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
MOST = 1024
"""Most threads and workers that a variable may name."""
FORK = "LATENTBENCH_FORK"
"""Environment variable that says whether workers may be forked: 1 (as where it is not set) or 0."""


def threads() -> int:
    """Threads of a process that trains or measures: 1 unless the user's variable says otherwise. Raises ValueError where
    it says no number from 1 to 1024."""
    return _number(THREADS, os.environ.get(THREADS, "1"), "threads")


def forks(word: str | None) -> bool:
    """Whether workers may be forked, as the variable `FORK` says it: 1, or nothing, or 0. Raises ValueError for another word."""
    if word not in (None, "0", "1"):
        raise ValueError(f"{FORK}: {_shown(word)!r} is not allowed: 0 or 1")
    return word != "0"


def _shown(word: str) -> str:
    return word if len(word) <= 40 else f"{word[:37]}..."


def _number(name: str, word: str, of: str) -> int:
    if not (word.isascii() and word.isdecimal() and len(word) <= 4 and 1 <= int(word) <= MOST):
        raise ValueError(f"{name}: {_shown(word)!r} is not allowed: a number of {of} from 1 to {MOST}")
    return int(word)


def memory(root: Path = Path("/")) -> int:
    """Bytes of memory that this process may use: what the machine has (64 GiB where nobody says), or less where a
    container or a batch system allows less. ``root``: the folder that holds ``proc`` and ``sys``."""
    there = 64 << 30
    with contextlib.suppress(ValueError, OSError, AttributeError):
        there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([there, *_memory_limits(root)])


def cores(root: Path = Path("/")) -> int:
    """Cores that this process may run on: those of the machine, or as many as it is bound to or has the time of, where a
    container or a batch system allows fewer. ``root``: as of `memory`."""
    there = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        there = len(os.sched_getaffinity(0))
    return min([there, *_quotas(root)])


Place = tuple[str, str, str]
"""Where Linux keeps a limit of control groups: the controller that names the group in ``/proc/self/cgroup`` (version 2: none),
the folder of groups, the file with the limit. https://docs.kernel.org/admin-guide/cgroup-v2.html"""

MEMORY: tuple[Place, ...] = (
    ("", "sys/fs/cgroup", "memory.max"),
    ("", "sys/fs/cgroup/unified", "memory.max"),
    ("memory", "sys/fs/cgroup/memory", "memory.limit_in_bytes"),
)
TIME: tuple[Place, ...] = (
    ("", "sys/fs/cgroup", "cpu.max"),
    ("", "sys/fs/cgroup/unified", "cpu.max"),
    ("cpu", "sys/fs/cgroup/cpu", "cpu.cfs_quota_us"),
    ("cpu", "sys/fs/cgroup/cpu,cpuacct", "cpu.cfs_quota_us"),
)


def _memory_limits(root: Path) -> Iterator[int]:
    for file in _limits(root, MEMORY):
        with contextlib.suppress(OSError, ValueError):  # "max": no limit
            yield int(file.read_text("ascii"))


def _quotas(root: Path) -> Iterator[int]:
    """Cores whose time may be taken: microseconds in a period of so many, rounded up."""
    for file in _limits(root, TIME):
        with contextlib.suppress(OSError, ValueError, ZeroDivisionError):  # "max": no limit
            quota, *period = file.read_text("ascii").split()
            period = period or [file.with_name("cpu.cfs_period_us").read_text("ascii")]
            if int(quota) > 0:
                yield math.ceil(int(quota) / int(period[0]))


def _limits(root: Path, places: Sequence[Place]) -> Iterator[Path]:
    """The files with a limit of the control groups that this process is in: its own and those above it, each of which holds."""
    try:
        lines = (root / "proc/self/cgroup").read_text("utf-8").splitlines()
    except (OSError, ValueError):
        return
    for _, controllers, group in (line.split(":", 2) for line in lines if line.count(":") >= 2):
        for controller, folder, name in places:
            if controller not in controllers.split(","):
                continue
            # Within a container the path may be the host's, of which there is only the end, or nothing but the top.
            steps = [] if ".." in group.split("/") else [step for step in group.split("/") if step]
            yield from ((root / folder).joinpath(*steps[:k], name) for k in range(len(steps) + 1))


def workers() -> int | None:
    """How many worker processes, this one among them, share the machine; None where nobody said so. Raises ValueError
    where the variable says no number from 1 to 1024."""
    return _number(WORKERS, os.environ[WORKERS], "workers") if WORKERS in os.environ else None


WORDS = 200
"""Most characters of a placement."""
PLACEMENT = "LATENTBENCH_PLACEMENT"
"""Environment variable in which an executor tells a worker process where it was put, in words."""


def placement() -> str | None:
    """Where an executor put this worker: the node, and whether it is alone there; None where nobody said so. Raises ValueError
    where the variable says it in more than `WORDS` characters, or in some that cannot be shown."""
    words = os.environ.get(PLACEMENT)
    if words is not None and not (words.isprintable() and 0 < len(words) <= WORDS):
        shown = ascii(words[:40])[1:-1]
        raise ValueError(f"{PLACEMENT}: '{shown}' is not allowed (allowed: 1 to {WORDS} characters that can be shown)")
    return words


def undisturbed(workers: int | None, load: float | None, threads: int) -> bool:
    """Whether a time by the clock is one of this process alone: it was the only worker, and at this ``load`` nobody was at
    work but its own ``threads``. Only such a time can rank; where nobody said how many workers there were, none does."""
    return workers == 1 and (load is None or load <= threads + BESIDE)


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """For loading modules within: no circles of garbage are looked for meanwhile. What a library makes while it is loaded stays,
    half a million objects of torch's, and they are looked through anew each time there are a quarter more: a tenth to a sixth of
    the time that torch, scikit-learn, umap and bokeh take to load."""
    on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if on:
            gc.enable()
