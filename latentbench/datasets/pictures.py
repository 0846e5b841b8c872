"""Many images as bytes of one size: what their headers say together, and their pixels, one after the other.

A file that cannot be read is left out and counted; what was done to the others is noted.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from latentbench import machine
from latentbench.datasets import images
from latentbench.datasets.assemble import SMALLEST
from latentbench.datasets.images import Broken, Head, Size, Source
from latentbench.datasets.values import Range, of_bytes, of_floats, of_integers, told_range
from latentbench.files.outputs import at_home
from latentbench.records import Reason

T = TypeVar("T")

LARGEST = 256
"""Pixels along the longer side."""
AT_ONCE = 512
"""Files handed to the decoding threads at a time."""
BEARABLE = 0.01
"""Share of the files that may be broken."""
NAMED = 3
"""Broken files that are named."""


@dataclass
class Reading:
    """The images of a folder while they are read: the files, ``size`` and ``range`` where they were told; which of the files
    are ``broken`` and why, and the ``notes`` on the others."""

    root: Path
    files: Sequence[Source]
    size: Size | None = None
    told: str | None = None
    broken: dict[int, str] = field(default_factory=dict)
    notes: list[Reason] = field(default_factory=list)

    def lost(self, index: int, error: Broken) -> None:
        """Count a file that cannot be read. Raises ValueError where they are too many."""
        self.broken[index] = str(error)
        if len(self.broken) > BEARABLE * len(self.files):
            first = next(iter(self.broken.values()))
            raise ValueError(
                f"{first} (one of {len(self.broken)} of the {len(self.files)} files that cannot; at most 1 % are left out)"
            )

    def called(self, index: int) -> str:
        """A file's name beneath the root."""
        file = self.files[index]
        return str(file.relative_to(self.root)) if isinstance(file, Path) else str(file)

    def about(self) -> dict[str, object]:
        """What is to be known of the images when all of them were read."""
        notes = list(self.notes)
        if self.broken:
            names = ", ".join(self.called(i) for i in sorted(self.broken)[:NAMED])
            said = Reason.of(
                "data.broken", "{count} of {whole} files cannot be read and are left out: {names}",
                count=len(self.broken), whole=len(self.files), names=names + (", ..." if len(self.broken) > NAMED else ""),
            )  # fmt: skip
            notes.append(said)
        return {"broken": sorted(self.broken), "notes": [note.to_json() for note in notes]}


def sized(prefix: str, path: str, told: str | None) -> tuple[Path, Size | None]:
    """The place, and the (width, height) asked for, if any: ``PATH@64``, ``PATH:size=64x48``. What bears such a name itself is
    taken as it is."""
    whole = at_home(prefix, path)
    match = re.fullmatch(r"(.+)@(\d+(?:x\d+)?)", path)
    if match and not whole.exists():
        whole, told = at_home(prefix, match[1]), match[2]
    if told is None:
        return whole, None
    numbers = re.fullmatch(r"(\d{1,9})(?:x(\d{1,9}))?", told.lower())
    width, height = (int(numbers[1]), int(numbers[2] or numbers[1])) if numbers else (0, 0)
    if not (min(width, height) >= SMALLEST and max(width, height) <= LARGEST):
        shown = f"{width}x{height}" if numbers else f"'{told}'"
        raise ValueError(f"{prefix}:{path}: size {shown} is not allowed (allowed: sides of {SMALLEST} to {LARGEST})")
    return whole, (width, height)


def layout(reading: Reading) -> tuple[str, Size, dict[str, Range]]:
    """The mode and the size that all images get, and the ranges of values that are no bytes."""
    heads: dict[int, Head] = {}
    for i, head in enumerate(_in_threads(_head, reading.files)):
        if isinstance(head, Broken):
            reading.lost(i, head)
        else:
            heads[i] = head
    size = _size(reading, heads)
    notes = {
        "transparent": sum(h.transparent for h in heads.values()),
        "animated": sum(h.animated for h in heads.values()),
    }
    if count := notes["transparent"]:
        reading.notes.append(
            Reason.of("data.transparent", "{count} images with transparency were put on white", count=count)
        )
    if count := notes["animated"]:
        reading.notes.append(
            Reason.of("data.animated", "of {count} images with several frames the first is used", count=count)
        )
    mode = "L" if all(h.grey for h in heads.values()) else "RGB"
    return mode, size, _ranges(reading, heads)


def _size(reading: Reading, heads: Mapping[int, Head]) -> Size:
    """The size asked for, or that which most images have."""
    counts = Counter(h.size for h in heads.values())
    common, count = counts.most_common(1)[0]
    size = reading.size or common
    if reading.size is None and 2 * count < len(heads):
        raise ValueError(
            f"{reading.root}: images of {len(counts)} sizes, {count} of {len(heads)} at most of one; name a size, e.g. "
            f"folder:{reading.root}@64"
        )
    if not (min(size) >= SMALLEST and max(size) <= LARGEST):
        raise ValueError(
            f"{reading.root}: {size[0]}x{size[1]} pixels, which most images have (allowed: sides of {SMALLEST} to "
            f"{LARGEST}); name a size, e.g. folder:{reading.root}@64"
        )
    if others := len(heads) - counts[size]:
        said = Reason.of(
            "data.resized", "{count} of {whole} images were brought to {width}x{height}, stretched where their sides differ",
            count=others, whole=len(heads), width=size[0], height=size[1],
        )  # fmt: skip
        reading.notes.append(said)
    return size


def _ranges(reading: Reading, heads: Mapping[int, Head]) -> dict[str, Range]:
    """The range in which integers of more than 8 bits (``I``) and floats (``F``) are read, one for all images; that of bytes
    (``B``) where it was told."""
    out: dict[str, Range] = {}
    deep = [i for i, h in heads.items() if h.deep]
    found: dict[str, list[tuple[float, float, float]]] = {}
    for i, values in zip(deep, _in_threads(_extremes, [reading.files[i] for i in deep]), strict=True):
        if isinstance(values, Broken):
            reading.lost(i, values)
        else:
            found.setdefault(heads[i].mode[0], []).append(values)
    for kind, all_of in found.items():
        low, high = min(v[0] for v in all_of), max(v[1] for v in all_of)
        above = float(np.mean([v[2] for v in all_of]))
        if reading.told is not None:
            out[kind] = told_range(str(reading.root), reading.told, low, high)
        elif kind == "I":
            out[kind] = of_integers(str(reading.root), low, high, 2)
        else:
            out[kind] = of_floats(str(reading.root), low, high, above)
        reading.notes += out[kind].notes
    if reading.told is not None and len(deep) < len(heads):
        out["B"] = told_range(str(reading.root), reading.told)
    return out


def decode_all(reading: Reading, mode: str, size: Size, ranges: Mapping[str, Range]) -> Iterator[NDArray[np.uint8]]:
    """All images in order, each uint8 (c, h, w), black where it is broken; at their end ValueError where they were all the
    same."""
    first, differ, highest = None, False, 0
    empty = np.zeros((1 if mode == "L" else 3, size[1], size[0]), np.uint8)
    for i, image in enumerate(_in_threads(lambda f: _image(f, mode, size, ranges), reading.files)):
        if isinstance(image, Broken):
            reading.lost(i, image)
            yield empty
            continue
        first = image if first is None else first
        differ = differ or bool((image != first).any())
        highest = max(highest, int(image.max()))
        yield image
    if not differ:
        raise ValueError(f"{reading.root}: all images are the same: there is nothing to learn")
    if not ranges:
        reading.notes += of_bytes(highest).notes


def _in_threads(function: Callable[[Source], T], files: Sequence[Source]) -> Iterator[T]:
    """``function`` of each file, in order. Threads do: Pillow lets go of Python's lock while it decodes, and they need no
    second interpreter. Only `AT_ONCE` results are held."""
    with ThreadPoolExecutor(machine.cores()) as pool:
        for start in range(0, len(files), AT_ONCE):
            yield from pool.map(function, files[start : start + AT_ONCE])


def _head(file: Source) -> Head | Broken:
    try:
        return images.head(file)
    except Broken as error:
        return error


def _extremes(file: Source) -> tuple[float, float, float] | Broken:
    try:
        return images.extremes(file)
    except Broken as error:
        return error


def _image(file: Source, mode: str, size: Size, ranges: Mapping[str, Range]) -> NDArray[np.uint8] | Broken:
    try:
        return images.pixels(file, mode, size, ranges)
    except Broken as error:
        return error
