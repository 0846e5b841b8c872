"""How options are written: seeds, sizes, names, folders, shards and addresses, as text or as values of their own.

Each parser takes a value from a command line, a TOML file or Python and gives the one that `latentbench.config.Run` keeps. It
raises ValueError for text that is none, and leaves to the type check what is no text of its kind.
"""

from __future__ import annotations

import re
import reprlib
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field


def parse_seeds(value: Any) -> Any:
    """Seeds from ``6`` (0 to 5), ``3-5``, ``0,2,7`` or a list. What is none of these is left for the type check."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int) or (isinstance(value, str) and value.strip().isdecimal()):
        count = int(value) if isinstance(value, int) or len(value) <= 10 else 0
        if not 1 <= count <= 1000:
            raise ValueError(f"{reprlib.repr(value)} is not a number of seeds from 1 to 1000")
        return tuple(range(count))
    if not isinstance(value, str):
        return value
    if span := re.fullmatch(r"\s*(\d{1,10})\s*-\s*(\d{1,10})\s*", value):
        low, high = int(span[1]), int(span[2])
        if high < low or high - low >= 1000:
            raise ValueError(f"'{value}' is not a range A-B with A <= B and at most 1000 seeds")
        return tuple(range(low, high + 1))
    parts = [p.strip() for p in value.removesuffix(",").split(",")]  # "7," is the seed 7, where "7" is seven of them
    if not all(p.isdecimal() and len(p) <= 10 for p in parts):
        raise ValueError(f"'{value}' is not seeds: write a count N, a range A-B or a list a,b,c")
    return tuple(int(p) for p in parts)


UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
"""Sizes in bytes, each 1024 of the one before."""


def parse_memory(value: Any) -> Any:
    """Bytes from ``4GiB``, ``500MB`` or a number of bytes, written in the largest binary unit that makes it whole, so that
    equal sizes are equal words. What is neither is left for the type check."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        return value
    # Python refuses to write out a number of thousands of digits.
    value = value if isinstance(value, str) or abs(value) < 2**63 else "too many bytes"
    match = re.fullmatch(r"(\d{1,18}(?:\.\d{1,18})?)\s*(?:([kmgt])(i?)b?|b)?", str(value).strip().lower())
    if match is None:
        raise ValueError(f"'{value}' is not a size: write e.g. 4GiB or 500MB")
    power = " kmgt".index(match[2] or " ")
    count = int(float(match[1]) * (1024 if match[3] else 1000) ** power)
    if not 2**20 <= count <= 2**50:
        raise ValueError(f"'{value}' is not a size from 1MiB to 1024TiB")
    unit = next(k for k in (4, 3, 2, 1, 0) if count % 1024**k == 0)
    return f"{count // 1024**unit}{UNITS[unit]}"


def parse_names(value: Any) -> Any:
    """A comma-separated string, or a list of names, as a tuple of names; what is neither is left for the type check."""
    if isinstance(value, str):
        value = value.split(",")
        if not all(p.strip() for p in value):
            raise ValueError("an empty name stands in it; write names with commas between them")
    return tuple(p.strip() if isinstance(p, str) else p for p in value) if isinstance(value, list | tuple) else value


def parse_folders(value: Any) -> Any:
    """A path, or a list of paths, as a tuple; a comma may be part of a path. What is neither is left for the type check."""
    if isinstance(value, str | Path):
        return (str(value),)
    return tuple(str(p) if isinstance(p, Path) else p for p in value) if isinstance(value, list | tuple) else value


URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
"""How what is no path of a file system begins."""
SHARDS = 10_000
"""Most shards of a run."""


def parse_shard(value: Any) -> Any:
    """``3/16``, the third of sixteen shards. What is no text is left for the type check."""
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"\s*([0-9]{1,5})\s*/\s*([0-9]{1,5})\s*", value)
    if match is None or not 1 <= int(match[1]) <= int(match[2]) <= SHARDS:
        raise ValueError(f"write I/N, the shard I from 1 to N, of at most {SHARDS:,}: 3/16")
    return f"{int(match[1])}/{int(match[2])}"


def parse_address(value: Any) -> Any:
    """``auto``, or ``HOST:PORT``. What is no text is left for the type check."""
    if not isinstance(value, str) or value == "auto":
        return value
    host, _, port = value.rpartition(":")
    if not re.fullmatch(r"\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+", host) or not re.fullmatch(r"[0-9]{1,5}", port):
        raise ValueError("write auto, or HOST:PORT of the cluster's head: 10.0.0.1:6379")
    if not 1 <= int(port) <= 65535:
        raise ValueError(f"{port} is no port: a number from 1 to 65535")
    return value


Names = Annotated[tuple[str, ...], BeforeValidator(parse_names)]
Folders = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], BeforeValidator(parse_folders)]
Memory = Annotated[str, BeforeValidator(parse_memory)]
Seeds = Annotated[tuple[Annotated[int, Field(ge=0, lt=2**31)], ...], BeforeValidator(parse_seeds)]
