"""Images from a folder of the user's: ``folder:PATH``, its sub-folders the classes.

``PATH/cat/1.png`` is an image of class ``cat``; a folder without sub-folders is data without labels. Every format that
Pillow reads by its name's ending; other files are passed over, hidden ones too. All images get the size of the first
(in the order of their names) or, where the name ends in ``@SIZE`` or ``@WIDTHxHEIGHT`` (``folder:photos@64``), that
one, stretched where their sides differ (a mean over areas); they are grey where all of them are, else RGB.

Images that would take more memory than the run may use, as float32, are decoded once to a file under the data root and
streamed from there (`streaming`). Which file that is follows from the names, sizes and times of change of the images:
a changed folder is decoded anew.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from latentbench.core import Dataset, DatasetEntry
from latentbench.datasets import decoded
from latentbench.datasets.files import SMALLEST
from latentbench.datasets.splits import stratified, streamed
from latentbench.files.outputs import at_home
from latentbench.records import digest

T = TypeVar("T")
Size = tuple[int, int]

LARGEST = 256
"""Pixels along the longer side."""
GREY = ("1", "L", "LA", "I", "I;16")
AT_ONCE = 512
"""Files handed to the decoding threads at a time."""


def load(argument: str, data_root: str, seed: int) -> Dataset:
    """The folder's images in memory, split 60 / 20 / 20. Raises ValueError, one line, for whatever cannot be used."""
    return load_within(argument, data_root, seed, math.inf, True)


def load_within(argument: str, data_root: str, seed: int, memory: float, decode: bool) -> Dataset:
    """The folder's images, split 60 / 20 / 20: in memory where they take at most ``memory`` bytes there, else streamed from
    a file under ``data_root``, which is written only where ``decode`` says so. Raises ValueError, one line, for whatever
    cannot be used, and where the images change meanwhile."""
    root, size = _where(argument)
    if not root.is_dir():
        what = "is a file" if root.exists() else "no such folder"
        raise ValueError(f"{root}: {what}; folder:PATH needs a folder of images, its sub-folders the classes")
    classes, files, y = _files(root)
    name = root.resolve().name
    place, stem = at_home("data_root", data_root) / "decoded", f"{name[:80]}-{_key(root, files, size)}"
    stored = None if memory == math.inf else decoded.find(place, stem)
    if stored is None:
        mode, size = _layout(root, files, size)
        shape = (len(files), 1 if mode == "L" else 3, size[1], size[0])
        images = _decoded(root, files, mode, size)
        if 4 * math.prod(shape) <= memory:
            pixels = np.empty(shape, np.uint8)
            for i, image in enumerate(images):
                pixels[i] = image
            return stratified(name, pixels, y, seed, classes)
        if not decode:
            raise ValueError(f"{root}: the folder changed since the run was planned")
        stored = decoded.write(place, stem, shape, _unchanged(root, files, images))
    return streamed(name, stored.open(), stored.sha256, y, seed, classes, int(memory))


def _key(root: Path, files: Sequence[Path], size: Size | None) -> str:
    """What the decoded images depend on, as 16 hex digits; the files themselves are not read."""
    from PIL import __version__

    try:
        stats = [(str(file.relative_to(root)), (s := file.stat()).st_size, s.st_mtime_ns) for file in files]
    except OSError as error:
        raise ValueError(f"{error.filename}: {error.strerror}: the folder is changing") from None
    return digest([stats, size, __version__], 16)


def _unchanged(root: Path, files: Sequence[Path], images: Iterator[T]) -> Iterator[T]:
    """The images; at their end ValueError where files were changed while they were read."""
    before = _key(root, files, None)
    yield from images
    if _key(root, files, None) != before:
        raise ValueError(f"{root}: images changed while they were being decoded; start again when they are all there")


def _where(argument: str) -> tuple[Path, Size | None]:
    """The folder and the (width, height) asked for, if any. A folder whose own name ends so is taken as it is."""
    path = at_home("folder", argument)
    match = re.fullmatch(r"(.+)@(\d+)(?:x(\d+))?", argument)
    if match is None or path.is_dir():
        return path, None
    width, height = int(match[2]), int(match[3] or match[2])
    if not (min(width, height) >= SMALLEST and max(width, height) <= LARGEST):
        raise ValueError(
            f"{argument}: size {width}x{height} is not allowed (allowed: sides of {SMALLEST} to {LARGEST})"
        )
    return at_home("folder", match[1]), (width, height)


def _files(root: Path) -> tuple[tuple[str, ...], list[Path], NDArray[np.int64] | None]:
    """Class names, image files and labels. Raises ValueError where images lie both beside and in sub-folders."""
    from PIL import Image

    endings = set(Image.registered_extensions())

    def images(folder: Path) -> list[Path]:
        inside = sorted(p for p in folder.iterdir() if p.is_file() and not p.name.startswith("."))
        return [p for p in inside if p.suffix.lower() in endings]

    folders = sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    by_class = {p.name: paths for p in folders if (paths := images(p))}
    loose = images(root)
    if not by_class and not loose:
        raise ValueError(f"{root}: no images in it or in its sub-folders (looked for .png, .jpg and the like)")
    if not by_class:
        return (), loose, None
    if loose:
        raise ValueError(
            f"{root}: images both in it ({loose[0].name}, ...) and in sub-folders ({', '.join(list(by_class)[:3])}, ...); "
            "either all lie in sub-folders, which are the classes, or none"
        )
    counts = [len(group) for group in by_class.values()]
    files = [p for group in by_class.values() for p in group]
    return tuple(by_class), files, np.repeat(np.arange(len(counts)), counts)


def _layout(root: Path, files: Sequence[Path], size: Size | None) -> tuple[str, Size]:
    """The mode and the size that all images get: grey where all are, and the size asked for or that of the first."""
    heads = list(_in_threads(_head, files))
    size = size or heads[0][1]
    if not (min(size) >= SMALLEST and max(size) <= LARGEST):
        raise ValueError(
            f"{files[0]}: {size[0]}x{size[1]} pixels, and all images would get its size (allowed: sides of {SMALLEST} to "
            f"{LARGEST}); name a size, e.g. folder:{root}@64"
        )
    return "L" if all(mode in GREY for mode, _ in heads) else "RGB", size


def _decoded(root: Path, files: Sequence[Path], mode: str, size: Size) -> Iterator[NDArray[np.uint8]]:
    """All images in order, each uint8 (c, h, w); at their end ValueError where they were all the same."""
    first, differ = None, False
    for image in _in_threads(partial(_pixels, mode=mode, size=size), files):
        first = image if first is None else first
        differ = differ or bool((image != first).any())
        yield image
    if not differ:
        raise ValueError(f"{root}: all images are the same: there is nothing to learn")


def _in_threads(function: Callable[[Path], T], files: Sequence[Path]) -> Iterator[T]:
    """``function`` of each file, in order. Threads do: Pillow lets go of Python's lock while it decodes, and they need no
    second interpreter. Only `AT_ONCE` results are held."""
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for start in range(0, len(files), AT_ONCE):
            yield from pool.map(function, files[start : start + AT_ONCE])


def _head(file: Path) -> tuple[str, Size]:
    """An image's mode and its (width, height) once upright; of the pixels nothing is read."""
    from PIL import Image

    try:
        with Image.open(file) as image:
            turned = image.getexif().get(0x0112, 1) >= 5  # the orientations that swap the sides
            return image.mode, (image.height, image.width) if turned else (image.width, image.height)
    except Exception as error:  # a damaged file makes Pillow raise errors of every kind
        raise _unreadable(file, error) from None


def _unreadable(file: Path, error: Exception) -> ValueError:
    return ValueError(f"{file}: cannot be read as an image: {' '.join(str(error).split())}")


def _pixels(file: Path, mode: str, size: Size) -> NDArray[np.uint8]:
    """One image, uint8 (c, h, w), turned upright as its camera noted."""
    from PIL import Image, ImageOps

    try:
        with Image.open(file) as opened:
            image = ImageOps.exif_transpose(opened)
        if image.mode.startswith("I"):  # 16 bits, which Pillow would cut off instead of scaling
            image = Image.fromarray((np.asarray(image, dtype=np.float64) / 257).clip(0, 255).round().astype(np.uint8))
        image = image.convert(mode)
        image = image if image.size == size else image.resize(size, Image.Resampling.BOX)
    except Exception as error:
        raise _unreadable(file, error) from None
    pixels = np.asarray(image)
    return pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, 2, 0)


FOLDER = DatasetEntry(
    "folder",
    load,
    "your own images: a folder, its sub-folders the classes; PATH@64 sets their size",
    "a folder of yours",
    takes="PATH",
    defaults={"latent_dim": 16, "width": 256, "epochs": 100, "batch_size": 64},
    load_within=load_within,
)
