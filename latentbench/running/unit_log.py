"""A log of units, where the user's variable names one: two lines of JSON for every unit computed, when it was begun and when
it was in place, where, by which process. A unit that stands in it twice was computed twice.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from latentbench import machine, run_folder
from latentbench.files.outputs import at_home, given
from latentbench.running.unit import Unit

LOG = "LATENTBENCH_UNIT_LOG"
"""Environment variable that names the file; lines are added to it."""


def log_file() -> Path | None:
    """The file that units are noted in, None for none. Raises ValueError, one line, where the user's variable names no file,
    nor what could become one."""
    word = os.environ.get(LOG)
    if word is None:
        return None
    given(LOG, word)
    path = at_home(LOG, word)
    try:
        why = "it is a folder" if path.is_dir() else "" if path.parent.is_dir() else f"{path.parent} is not a folder"
        if not why and path.exists() and not path.is_file():
            why = "it is not a regular file"
    except OSError as error:  # a name too long
        why = error.strerror or "it cannot be looked at"
    if why:
        raise ValueError(
            f"{LOG}: '{word}' is not allowed: {why[:1].lower()}{why[1:]} (allowed: a file to add lines to)"
        )
    return path


@contextmanager
def logged(unit: Unit) -> Iterator[None]:
    """Note a unit's beginning and, where it ends well, its end."""
    path = log_file()
    where = {"unit": unit.folder, "host": run_folder.host(), "pid": os.getpid(), "placement": machine.placement()}

    def note(event: str) -> None:
        if path is not None:
            line = json.dumps({"time": time.time(), "event": event, **where})
            with path.open("ab", buffering=0) as file:  # one write a line: no two processes mix theirs
                file.write(f"{line}\n".encode())

    note("begun")
    yield
    note("in place")
