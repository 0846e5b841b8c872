r"""What follows the colon of a dataset: a path, and options behind it, ``PATH:x=images:y=labels``.

Options are read from the end, as long as they look like ``name=value``; whatever stands before them is the path, colons
and all (``C:\data\x.npz``). A path that is there as it stands is taken as it stands.
"""

from __future__ import annotations

import difflib
import gzip
import os
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from latentbench import machine
from latentbench.files.outputs import at_home
from latentbench.refusals import unknown

OPTION = re.compile(r"(.*):([A-Za-z_]+)=([^:]*)", re.DOTALL)
ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
NEAR = 10_000
"""Most files of a folder among which the nearest name is looked for."""


class Where(NamedTuple):
    """The ``path`` as it was written, and the ``options`` behind it."""

    path: str
    options: Mapping[str, str]

    @property
    def place(self) -> Path:
        """The path, the user's home folder put in. Raises ValueError for a user who is not known here."""
        return at_home("dataset", self.path)


def where(prefix: str, argument: str, allowed: Collection[str]) -> Where:
    """Path and options of ``prefix:argument``. Raises ValueError, one line, for an option that is not ``allowed``, has no value
    or stands twice, and for an address on a network."""
    path, options = argument, {}
    while not _there(path) and (match := OPTION.fullmatch(path)):
        path, key, value = match.groups()
        if key not in allowed:
            raise unknown(f"option of {prefix}:PATH", key, allowed)
        if not value.strip():
            raise ValueError(f"{prefix}: option {key} has no value; write {key}=...")
        if key in options:
            raise ValueError(f"{prefix}: option {key} stands twice")
        options[key] = value.strip()
    if not path:
        raise ValueError(f"{prefix}: no path before the options; write {prefix}:PATH:{argument.lstrip(':')}")
    if ADDRESS.match(path):
        raise ValueError(f"{path}: is an address; download it, and name the file")
    return Where(path, dict(reversed(options.items())))


def _there(path: str) -> bool:
    try:
        return os.path.lexists(at_home("dataset", path))
    except (OSError, ValueError):  # a name that no file can have
        return False


def regular(prefix: str, path: Path, needs: str) -> Path:
    """The path, where it is a regular file. Raises ValueError, one line, where it is none; ``needs`` says what is."""
    try:
        if path.is_file():
            return path
        what = "is a folder" if path.is_dir() else "is no regular file" if path.exists() else "no such file"
    except (OSError, ValueError) as error:
        what = f"cannot be looked up ({' '.join(str(error).split())})"
    raise ValueError(f"{path}: {what}{_nearest(path) if what == 'no such file' else ''}; {prefix}:PATH needs {needs}")


def _nearest(path: Path) -> str:
    try:
        names = [entry.name for _, entry in zip(range(NEAR), os.scandir(path.parent), strict=False)]
    except (OSError, ValueError):
        return ""
    near = difflib.get_close_matches(path.name, names, n=1, cutoff=0.6)
    return f"; did you mean '{near[0]}'?" if near else ""


def bearable(what: str, count: float) -> None:
    """Raise ValueError where ``count`` bytes are more than half of this machine's memory."""
    if count > machine.memory() // 2:
        raise ValueError(f"{what} takes {count:,.0f} bytes, more than half of this machine's memory")


def missing_package(prefix: str, package: str) -> ValueError:
    """The refusal of a format whose library is not installed."""
    return ValueError(f"{prefix}: needs the package {package}, which is not installed: pip install {package}")


def unpacked(path: Path) -> BinaryIO:
    """A file to be read, unpacked on the way where it was packed by gzip."""
    file = path.open("rb")
    packed = file.read(2) == b"\x1f\x8b"
    file.seek(0)
    return cast(BinaryIO, gzip.open(file)) if packed else file
