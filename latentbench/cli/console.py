"""What goes to the terminal: tables of numbers, and lines on standard error."""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Sequence
from typing import TextIO

import typer

from latentbench.files.plain_text import one_line, visible


def print_table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Numbers under headers: rich on a terminal, plain aligned text elsewhere."""
    if sys.stdout.isatty():
        rich_table(headers, rows, right=True)
        return
    widths = [max(width(r[k]) for r in [headers, *rows]) for k in range(len(headers))]
    for line in [headers, *rows]:
        first, *rest = (" " * (w - width(c)) for c, w in zip(line, widths, strict=True))
        show("  ".join([line[0] + first, *(gap + c for gap, c in zip(rest, line[1:], strict=True))]).rstrip())


def width(text: str) -> int:
    """Columns that a text takes on a terminal: a Chinese character takes two."""
    return sum(1 + (unicodedata.east_asian_width(sign) in "WF") for sign in text)


def rich_table(headers: Sequence[str], rows: Sequence[Sequence[str]], right: bool = False) -> None:
    """The table as rich draws it on a terminal, the numbers to the right where asked for."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for k, header in enumerate(headers):
        table.add_column(_cell(header), justify="right" if right and k else "left")
    for row in rows:
        table.add_row(*(Text(_cell(cell)) for cell in row))
    Console().print(table)


def _cell(text: str) -> str:
    return _printable(visible(text), sys.stdout)


def say_line(message: str) -> None:
    """One line on standard error, whatever the message holds."""
    print(_printable(f"latentbench: {one_line(message)}", sys.stderr), file=sys.stderr)


def show(text: str) -> None:
    """Text on standard output: what steers a terminal written out, what its encoding lacks replaced."""
    typer.echo(_printable(visible(text, keep="\n\t"), sys.stdout))


def _printable(text: str, stream: TextIO | None) -> str:
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return text.encode(encoding, "replace").decode(encoding, "replace")
