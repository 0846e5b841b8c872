"""Who is at work on a run folder: one process on the whole of it, or several, each on a shard of the run.

Locks are held by processes and end with them, on every machine that shares the file system.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from latentbench.run_folder import RunFiles

PATIENCE = 5.0
"""Seconds in which whoever only looks at a lock has let go of it."""
GLANCE = 0.2
"""The same, where nothing is lost by taking one who looks again and again for one at work."""


@contextlib.contextmanager
def alone(files: RunFiles) -> Iterator[None]:
    """Within it nobody else is at work on the folder, which must be there. Raises ValueError, one line, where somebody is,
    or nothing can be written there."""
    with _holding(files, files.lock, 0):
        for lock in files.shard_locks:
            if is_held(lock):
                raise ValueError(f"out: shard {_shard(lock)} of the run is at work on {files.path}; wait for it")
        yield


@contextlib.contextmanager
def one_shard(files: RunFiles, number: int, of: int) -> Iterator[None]:
    """Within it nobody else is at work on this shard, nor on the whole folder. Raises ValueError, one line, where somebody
    is, or nothing can be written there."""
    with _holding(files, files.shard_lock(number, of), PATIENCE):
        if is_held(files.lock):
            raise ValueError(f"out: another process is at work on {files.path}; wait for it")
        yield


def is_held(lock: Path) -> bool:
    """Whether a process holds a lock, and not only looks at it as this one does."""
    if not lock.exists():
        return False
    one = FileLock(lock)
    try:
        one.acquire(timeout=GLANCE, poll_interval=GLANCE / 10)
    except Timeout:
        return True
    except OSError:
        return False
    one.release()
    return False


@contextlib.contextmanager
def _holding(files: RunFiles, path: Path, patience: float) -> Iterator[None]:
    lock = FileLock(path)
    try:
        lock.acquire(timeout=patience)
    except Timeout:
        raise ValueError(f"out: another process is at work on {files.path}; wait for it") from None
    except OSError as error:
        raise ValueError(f"out: cannot write to {files.path}: {error.strerror}") from None
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        lock.release()


def _shard(lock: Path) -> str:
    number, _, of = lock.name.removeprefix(".shard-").removesuffix(".lock").partition("-of-")
    return f"{number}/{of}"
