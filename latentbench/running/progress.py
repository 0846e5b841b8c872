"""Progress on a terminal."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from latentbench.running.unit import Listen, Unit


@contextlib.contextmanager
def progress_bars(todo: Sequence[Unit], progress: bool) -> Iterator[Listen]:
    """Progress bars on standard error where it is a terminal; silence elsewhere."""
    if not progress or not sys.stderr.isatty():
        yield lambda message: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[note]}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        whole = bars.add_task("units", total=len(todo), note="")
        cells: dict[tuple[str, int], Any] = {}

        def listen(message: dict[str, Any]) -> None:
            cell = message.get("progress")
            if cell is None:
                bars.advance(whole)
            elif "epoch" in cell:
                key = (cell["model"], cell["seed"])
                if key not in cells:
                    cells[key] = bars.add_task(f"{key[0]} seed {key[1]}", total=cell["epochs"], note="")
                note = f"loss {cell['loss']:.2f}  validation {cell['val']:.2f}"
                bars.update(cells[key], completed=cell["epoch"], note=note)
            elif (key := (cell["model"], cell["seed"])) in cells:
                bars.remove_task(cells.pop(key))

        yield listen
