"""The command ``figures``: a run's figures as files, for papers and talks."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import typer

from latentbench.cli.console import say_line, show
from latentbench.figures import FORMATS, NAMES, STYLES, WIDTH
from latentbench.files.outputs import given

Action = Callable[[], int]
FINISHED = 0


def figures(
    folder: str = typer.Argument(..., metavar="DIR", help="The folder of a finished run."),
    out: str = typer.Option(None, "--out", metavar="FOLDER", help="A new or empty folder [default: DIR/figures]."),
    formats: str = typer.Option(
        ",".join(FORMATS), "--format", metavar="LIST", help=f"Of {', '.join(FORMATS)}, separated by commas."
    ),
    width: str = typer.Option(
        WIDTH,
        "--width",
        metavar="3.25in|6.75in",
        help="Width of the files: a column, a page, or another, in in, cm or mm.",
    ),
    style: str = typer.Option("paper", "--style", metavar="|".join(STYLES), help="Text of 7 points, or of 11."),
    only: str = typer.Option(
        None, "--only", metavar="LIST", help=f"Some of {', '.join(NAMES)} [default: what the run has]."
    ),
) -> Action:
    """Figures for papers and talks, with their numbers as CSV and a caption each: PDF, SVG and PNG of an exact width."""
    return partial(
        _figures, Path(folder), given("figures: --out", out), _listed(formats), width, style, _listed(only or "")
    )


def _listed(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _figures(folder: Path, out: Path | None, formats: list[str], width: str, style: str, only: list[str]) -> int:
    from latentbench import figures

    written = figures.write(folder, out, formats, width, style, only)
    for name, why in written.left_out.items():
        say_line(f"left out: {name}: {why}")
    show(str(written.folder))
    return FINISHED
