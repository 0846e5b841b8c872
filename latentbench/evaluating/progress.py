"""What an evaluation is at, on a terminal or in a notebook."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

Hear = Callable[[str, int, str], None]
DOING = {"probe": "tried", "train": "trained", "measure": "measured"}
"""What is done now -> how the line says it."""


@contextmanager
def progress(models: int, quiet: bool) -> Iterator[Hear]:
    """Hears of each step of evaluating so many ``models``, and shows how far it is: a bar on standard error where it is a
    terminal, a line in a notebook; nothing elsewhere or where it is to be ``quiet``."""
    if quiet:
        yield lambda name, seed, what: None
    elif in_notebook():
        with _line(models) as hear:
            yield hear
    elif sys.stderr.isatty():
        with _bar(models) as hear:
            yield hear
    else:
        yield lambda name, seed, what: None


def in_notebook() -> bool:
    """Whether what is displayed appears in a notebook."""
    shell = sys.modules.get("IPython")
    found = None if shell is None else shell.get_ipython()
    return found is not None and type(found).__name__ != "TerminalInteractiveShell" and hasattr(found, "kernel")


def _said(name: str, seed: int, what: str) -> str:
    return f"judge is {DOING[what]}" if what == "train" else f"{name} (seed {seed}) is {DOING[what]}"


@contextmanager
def _bar(models: int) -> Iterator[Hear]:
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        whole, done = bars.add_task("", total=2 * models + 1), iter(range(2 * models + 1))

        def hear(name: str, seed: int, what: str) -> None:
            bars.update(whole, description=escape(_said(name, seed, what)), completed=next(done, 0))

        yield hear


@contextmanager
def _line(models: int) -> Iterator[Hear]:
    shown: Any = importlib.import_module("IPython.display")  # there where a notebook is
    handle, steps = shown.display(shown.Pretty(""), display_id=True), iter(range(1, 2 * models + 2))

    def hear(name: str, seed: int, what: str) -> None:
        handle.update(shown.Pretty(f"{next(steps, 0)} of {2 * models + 1}: {_said(name, seed, what)}"))

    yield hear
    handle.update(shown.Pretty(f"{models} of {models} models measured"))
