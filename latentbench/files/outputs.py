"""Paths that a user names; and where a result may be written: a new file, or one that this package made; nothing of
anybody else's is overwritten."""

from __future__ import annotations

from pathlib import Path

from latentbench.files.plain_text import CONTROL

MARK = "<!-- made by latentbench -->"
"""The line that ends a Markdown file of ours, by which it is known again."""
GENERATOR = '<meta name="generator" content="latentbench">'
"""The element in the head of a page of ours, by which it is known again."""
HEAD = 4096
"""Bytes at the beginning and at the end of a file in which its mark is looked for."""


def given(what: str, path: str | None) -> Path | None:
    """The path that an option names, None where it was not given. Raises ValueError for an empty one and for one with
    control characters."""
    if path is None:
        return None
    if not path.strip():
        raise ValueError(f"{what}: '{path}' is not allowed: it names no file")
    if CONTROL.search(path):
        raise ValueError(f"{what}: {path!r} is not allowed: a control character is in it")
    return Path(path)


def at_home(what: str, path: str) -> Path:
    """The path with a leading ``~`` or ``~user`` put in full. Raises ValueError for a user who is not known here."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        user = path.partition("/")[0]
        raise ValueError(f"{what}: '{path}' cannot be found: no home folder is known for '{user}'") from None


def output_file(who: str, path: Path) -> Path:
    """The file to write for ``path``, with links followed. Raises ValueError, beginning with ``who`` asks, where its folder
    is not there, and where something lies in its place that is no file made by this package."""
    try:
        target = path.resolve()
        if not target.parent.is_dir():
            raise ValueError(f"{who}: {path} cannot be written: {path.parent} is not a folder")
        there = target.exists()
    except (OSError, RuntimeError) as error:
        why = (error.strerror if isinstance(error, OSError) else None) or "its links go in a circle"
        raise ValueError(f"{who}: {path} cannot be written: {why}") from None
    if there and not target.is_file():
        what = "a folder" if target.is_dir() else "no regular file"
        raise ValueError(f"{who}: {path} cannot be written: it is {what}")
    if there and not is_ours(target):
        raise ValueError(f"{who}: {path} is there already and was not made by latentbench; name another file")
    return target


def is_ours(path: Path) -> bool:
    """Whether this package made a file: a page by its head, Markdown by its last line. An empty file is anybody's."""
    with path.open("rb") as file:
        head = file.read(HEAD)
        file.seek(max(path.stat().st_size - HEAD, 0))
        tail = file.read(HEAD)
    return not head or GENERATOR.encode() in head or tail.rstrip().endswith(MARK.encode())
