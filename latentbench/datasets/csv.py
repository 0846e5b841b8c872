"""A table in a text file: ``csv:PATH``, packed by gzip or not; see `tables`.

The separator is the one of comma, semicolon, tab and bar that stands most in the first line; where that line holds
numbers alone, the file has no names of columns.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from latentbench import machine
from latentbench.core import Dataset, DatasetEntry
from latentbench.datasets import tables
from latentbench.datasets.where import regular, unpacked, where

SEPARATORS = ",;\t|"
LONGEST = 2**24
"""Bytes of a first line."""


def load_csv(argument: str, data_root: str, seed: int) -> Dataset:
    """The table's rows. Raises ValueError, one line, for whatever cannot be used."""
    import pandas

    asked = where("csv", argument, tables.OPTIONS)
    path = regular("csv", asked.place, "a table, a row a line, its first line the names of the columns")
    try:
        with unpacked(path) as file:
            separator, names = _first(file)
        _bearable(path)
        with unpacked(path) as file:
            table = pandas.read_csv(
                file, sep=separator, header=0 if names else None, encoding="utf-8-sig", low_memory=False
            )
    except Exception as error:  # a damaged file makes pandas raise errors of every kind
        raise ValueError(
            f"{path}: cannot be read as a table: {' '.join(str(error).split()) or type(error).__name__}"
        ) from None
    if not names:
        table.columns = [f"c{k}" for k in range(len(table.columns))]
    return tables.from_table(path, table, asked.options, seed)


def _first(file: BinaryIO) -> tuple[str, bool]:
    """The separator, and whether the first line names the columns."""
    line = file.readline(LONGEST).decode("utf-8-sig").rstrip("\r\n")
    separator = max(SEPARATORS, key=line.count)
    return separator, not all(_number(cell) for cell in line.split(separator))


def _number(cell: str) -> bool:
    try:
        float(cell.strip().strip("\"'"))
    except ValueError:
        return False
    return True


def _bearable(path: Path) -> None:
    """Raise ValueError where the text, unpacked, is more than an eighth of the memory: as a table it takes some times that."""
    most, total = machine.memory() // 8, 0
    with unpacked(path) as file:
        if not hasattr(file, "fileobj"):
            total = path.stat().st_size
        else:
            while (block := file.read(2**20)) and total <= most:
                total += len(block)
    if total > most:
        raise ValueError(f"it holds more than {most:,} bytes of text, an eighth of this machine's memory")


CSV = DatasetEntry(
    "csv",
    load_csv,
    "a table of your own: columns of numbers, label=COLUMN",
    "a file of yours",
    takes="PATH",
    defaults=tables.DEFAULTS,
)
