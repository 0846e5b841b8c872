"""Writing so that what is said to be there survives a kill and a power cut.

A file or a folder is filled under a hidden name beside its place, synced, put in place by one rename, and the folder that
holds it is synced too: until then the rename itself may be lost. A reader sees the old content or the new, never a part.

Standard library only.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file, whole or not at all, so that it is there after a power cut. Its mode is what the umask leaves."""
    making = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}")
    try:
        with making.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(making, path)
    except BaseException:
        making.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def half_written(folder: Path, names: tuple[str, ...]) -> list[Path]:
    """What a kill left of `write_bytes`, of the files with these names in a folder."""
    return [path for name in names for path in folder.glob(f".{name}.*") if path.is_file()]


def sync(path: Path) -> None:
    """Have a file's content on the disk."""
    handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)  # Windows syncs what could be written to
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_folder(folder: Path) -> None:
    """Have on the disk which names a folder holds. Where a folder cannot be opened or synced (Windows, some network file
    systems) there is no such thing to do."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it that are not there, each of them on the disk."""
    missing = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for one in reversed(missing):
        one.mkdir(exist_ok=True)
        sync_folder(one.parent)


def put_in_place(making: Path, final: Path) -> None:
    """Give a filled folder its name, with all that it holds on the disk. Raises OSError where that name is taken."""
    for path in making.iterdir():
        if path.is_file():
            sync(path)
    sync_folder(making)
    os.rename(making, final)
    sync_folder(final.parent)
