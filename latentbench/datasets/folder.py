"""Images from a folder of the user's: ``folder:PATH``, its sub-folders the splits and the classes (`tree`).

``PATH/cat/1.png`` is an image of class ``cat``, ``PATH/train/cat/1.png`` one of the training split; a folder without
sub-folders is data without labels. All images get the size that most of them have or, where the name ends in ``@SIZE`` or
``@WIDTHxHEIGHT`` (``folder:photos@64``), that one, stretched where their sides differ (a mean over areas); they are grey
where all of them are, else RGB. A file that cannot be read is left out and said; more than one of a hundred are refused.

Images that would take more memory than the run may use, as float32, are decoded once to a file under the data root and
streamed from there (`streaming`). Which file that is follows from the names, sizes and times of change of the images:
a changed folder is decoded anew.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from latentbench.core import Dataset, DatasetEntry
from latentbench.datasets import decoded
from latentbench.datasets.assemble import Labelled, Raw, Read, label
from latentbench.datasets.images import Size
from latentbench.datasets.pictures import Reading, decode_all, layout, sized
from latentbench.datasets.splits import Part, divided, streamed
from latentbench.datasets.tree import Tree, look
from latentbench.datasets.where import bearable, where
from latentbench.files.outputs import at_home
from latentbench.records import Reason, digest

T = TypeVar("T")

OPTIONS = ("size", "range")
DEFAULTS = {"latent_dim": 16, "width": 256, "epochs": 100, "batch_size": 64}


def load(argument: str, data_root: str, seed: int) -> Dataset:
    """The folder's images in memory, in its own splits where it has some. Raises ValueError, one line, for whatever cannot be
    used."""
    return load_within(argument, data_root, seed, math.inf, True)


def load_within(argument: str, data_root: str, seed: int, memory: float, decode: bool) -> Dataset:
    """The folder's images: in memory where they take at most ``memory`` bytes there, else streamed from
    a file under ``data_root``, which is written only where ``decode`` says so. Raises ValueError, one line, for whatever
    cannot be used, and where the images change meanwhile."""
    asked = where("folder", argument, OPTIONS)
    root, size = sized("folder", asked.path, asked.options.get("size"))
    if not root.is_dir():
        what = "is a file" if root.exists() else "no such folder"
        raise ValueError(f"{root}: {what}; folder:PATH needs a folder of images, its sub-folders the classes")
    return load_images(root, root.resolve().name, size, asked.options.get("range"), data_root, seed, memory, decode)


def load_images(
    root: Path, name: str, size: Size | None, told: str | None, data_root: str, seed: int, memory: float, decode: bool
) -> Dataset:
    """See `load_within`; ``name`` is that of the data set."""
    tree = look(root, name)
    files = [file for branch in tree.branches.values() for file in branch.files]
    reading = Reading(root, files, size, told)
    place, stem = at_home("data_root", data_root) / "decoded", f"{name[:80]}-{_key(reading)}"
    stored = None if memory == math.inf else decoded.find(place, stem)
    if stored is None:
        mode, size, ranges = layout(reading)
        shape = (len(files), 1 if mode == "L" else 3, size[1], size[0])
        pictures = decode_all(reading, mode, size, ranges)
        if 4 * math.prod(shape) <= memory:
            pixels = np.empty(shape, np.uint8)
            for i, image in enumerate(pictures):
                pixels[i] = image
            return in_memory(name, pixels, tree, reading.about(), seed)
        if not decode:
            raise ValueError(f"{root}: the folder changed since the run was planned")
        stored = decoded.write(place, stem, shape, _unchanged(reading, pictures), reading.about)
    found, given, at = _parts(name, tree, stored.about)
    dataset = streamed(name, stored.open(), stored.sha256, at, given, seed, found.classes, int(memory))
    return _with_notes(dataset, tree, found, stored.about)


def in_memory(name: str, pixels: NDArray[np.uint8], tree: Tree, about: Mapping[str, object], seed: int) -> Dataset:
    """The images of a tree, ``pixels`` uint8 (n, c, h, w) in its order, those aside that could not be read."""
    found, given, at = _parts(name, tree, about)
    everything = {split: pixels if len(rows) == len(pixels) else pixels[rows] for split, rows in at.items()}
    return _with_notes(divided(name, everything, given, seed, found.classes), tree, found, about)


def load_packed(place: str, name: str, tree: Tree, size: Size | None, told: str | None, seed: int) -> Dataset:
    """Images that lie within another file, in memory. Raises ValueError like `load_within`."""
    files = [file for branch in tree.branches.values() for file in branch.files]
    reading = Reading(Path(place), files, size, told)
    mode, size, ranges = layout(reading)
    shape = (len(files), 1 if mode == "L" else 3, size[1], size[0])
    bearable(place, 4 * math.prod(shape))
    pixels = np.empty(shape, np.uint8)
    for i, image in enumerate(decode_all(reading, mode, size, ranges)):
        pixels[i] = image
    return in_memory(name, pixels, tree, reading.about(), seed)


def _with_notes(dataset: Dataset, tree: Tree, found: Labelled, about: Mapping[str, object]) -> Dataset:
    seen = [Reason.from_json(note) for note in about["notes"]]  # type: ignore[attr-defined]
    return replace(dataset, notes=(*tree.notes, *found.notes, *seen))


def _parts(
    name: str, tree: Tree, about: Mapping[str, object]
) -> tuple[Labelled, dict[str, Part], dict[str, NDArray[np.int64]]]:
    """Labels and parts of the images that could be read, and in which rows of all each part lies."""
    raw = {s: Raw(np.empty(len(b.files)), b.words, b.place) for s, b in tree.branches.items()}
    found = label(Read(name, name, raw))
    broken = np.array(about["broken"], dtype=np.int64)
    given, at, start = {}, {}, 0
    for split, branch in tree.branches.items():
        keep = found.keep[split].copy()
        keep[broken[(broken >= start) & (broken < start + len(keep))] - start] = False
        y = found.y[split]
        given[split] = Part(int(keep.sum()), None if y is None else y[keep], branch.place)
        at[split] = start + np.flatnonzero(keep)
        start += len(keep)
    return found, given, at


def _key(reading: Reading) -> str:
    """What the decoded images depend on, as 16 hex digits; the files themselves are not read."""
    from PIL import __version__

    try:
        stats = [
            (str(file.relative_to(reading.root)), (s := file.stat()).st_size, s.st_mtime_ns)
            for file in reading.files
            if isinstance(file, Path)
        ]
    except OSError as error:
        raise ValueError(f"{error.filename}: {error.strerror}: the folder is changing") from None
    return digest([stats, reading.size, reading.told, __version__], 16)


def _unchanged(reading: Reading, pictures: Iterator[T]) -> Iterator[T]:
    """The images; at their end ValueError where files were changed while they were read."""
    before = _key(reading)
    yield from pictures
    if _key(reading) != before:
        raise ValueError(
            f"{reading.root}: images changed while they were being decoded; start again when they are all there"
        )


FOLDER = DatasetEntry(
    "folder",
    load,
    "your own images: a folder, its sub-folders the splits and classes; PATH@64 sets their size",
    "a folder of yours",
    takes="PATH",
    defaults=DEFAULTS,
    load_within=load_within,
)
