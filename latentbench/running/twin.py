"""A process forked from this one, that goes on as a program of its own would: what is loaded is shared, all else is anew.

Only a process of one thread may be forked so: a lock that another thread holds would be held in the twin for ever.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import io
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping

from latentbench.machine import STOPPING

_show_warning = warnings.showwarning
"""How Python tells a warning, before a program tells it in another way."""
MALLOPT = {"MALLOC_TRIM_THRESHOLD_": -1, "MALLOC_MMAP_THRESHOLD_": -3}
"""Variables that glibc's allocator reads when a program starts -> the numbers of ``mallopt`` for later. mallopt(3)"""


def single_threaded() -> bool:
    """Whether this process has one thread, as far as the system tells."""
    try:
        return len(os.listdir("/proc/self/task")) == 1
    except OSError:
        return False


@contextlib.contextmanager
def variables(environment: Mapping[str, str]) -> Iterator[None]:
    """Within it this process has the variables ``environment`` and no others, for what reads them once, when it is loaded."""
    own = dict(os.environ)
    try:
        _replace(environment)
        yield
    finally:
        _replace(own)


def _replace(environment: Mapping[str, str]) -> None:
    for name in set(os.environ) - set(environment):
        del os.environ[name]
    os.environ.update(environment)


class Twin:
    """The process, with the variables ``environment``, in a group of its own and without standard input. It carries out
    ``work`` and ends with its exit code. Raises OSError where the system forks nobody."""

    def __init__(self, environment: Mapping[str, str], work: Callable[[], int]) -> None:
        self.returncode: int | None = None
        for stream in filter(None, (sys.stdout, sys.stderr)):
            stream.flush()  # else both would write what is there
        gc.freeze()  # what is there is shared as long as no collection marks it
        # Ctrl-C is this process's to tell, never the twin's.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
        try:
            self.pid = os.fork()
            if self.pid == 0:
                _be(environment, work, before)
            with contextlib.suppress(OSError):  # so does the twin itself: whoever is first
                os.setpgid(self.pid, self.pid)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def kill(self) -> None:
        """End it now."""
        if self.returncode is None:
            os.kill(self.pid, signal.SIGKILL)

    def wait(self) -> int:
        """Wait until it has ended: its exit code, or less a signal's number."""
        if self.returncode is None:
            self.returncode = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.returncode


def _be(environment: Mapping[str, str], work: Callable[[], int], mask: Iterable[int | signal.Signals]) -> None:
    """Be the twin, to its end."""
    code = 1
    try:
        os.setpgid(0, 0)
        for one in STOPPING:
            # What is told to ignore one (`nohup`) still does, as after an exec.
            if signal.getsignal(one) != signal.SIG_IGN:
                signal.signal(one, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        new = {name: value for name, value in environment.items() if name in MALLOPT and name not in os.environ}
        _replace(environment)
        _allocate(new)
        _stand_alone()
        code = work()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def _allocate(settings: Mapping[str, str]) -> None:
    """Have the allocator heed variables that it would have read at the start, where it is glibc's."""
    with contextlib.suppress(OSError, AttributeError, ValueError):
        libc = ctypes.CDLL(None)
        for name, value in settings.items():
            libc.mallopt(MALLOPT[name], int(value))


def _stand_alone() -> None:
    """What an interpreter sets up when it starts, as ``python -P`` does with these variables and no standard input."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - it is the process's, to its end
    for number, name in ((1, "stdout"), (2, "stderr")):
        raw = open(number, "wb", buffering=0, closefd=False)  # noqa: SIM115
        setattr(sys, name, io.TextIOWrapper(raw, errors="backslashreplace", write_through=True))
    warnings.showwarning = _show_warning
    sys.excepthook = sys.__excepthook__
    if not sys.flags.safe_path:
        del sys.path[0]  # the working folder, or where the script lies
    own = [place for place in os.environ.get("PYTHONPATH", "").split(os.pathsep) if place]
    sys.path[:] = [*own, *(place for place in sys.path if place not in own)]
