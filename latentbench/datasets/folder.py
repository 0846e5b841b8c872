"""Images from a folder of the user's: ``folder:PATH``, its sub-folders the classes.

``PATH/cat/1.png`` is an image of class ``cat``; a folder without sub-folders is data without labels. Every format that
Pillow reads by its name's ending; other files are passed over, hidden ones too. All images get the size of the first
(in the order of their names) or, where the name ends in ``@SIZE`` or ``@WIDTHxHEIGHT`` (``folder:photos@64``), that
one, stretched where their sides differ (a mean over areas); they are grey where all of them are, else RGB.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from latentbench.core import Dataset, DatasetEntry
from latentbench.datasets.files import SMALLEST
from latentbench.splits import stratified

LARGEST = 256
"""Pixels along the longer side."""
GREY = ("1", "L", "LA", "I", "I;16")


def load(argument: str, data_root: str, seed: int) -> Dataset:
    """The folder's images, split 60 / 20 / 20. Raises ValueError, one line, for whatever cannot be used."""
    root, size = _where(argument)
    if not root.is_dir():
        what = "is a file" if root.exists() else "no such folder"
        raise ValueError(f"{root}: {what}; folder:PATH needs a folder of images, its sub-folders the classes")
    classes, files, y = _files(root)
    x = _images(root, files, size)
    return stratified(root.resolve().name, x, y, seed, classes)


def _where(argument: str) -> tuple[Path, tuple[int, int] | None]:
    """The folder and the (width, height) asked for, if any. A folder whose own name ends so is taken as it is."""
    path = Path(argument).expanduser()
    found = re.fullmatch(r"(.+)@(\d+)(?:x(\d+))?", argument)
    if found is None or path.is_dir():
        return path, None
    width, height = int(found[2]), int(found[3] or found[2])
    if not (min(width, height) >= SMALLEST and max(width, height) <= LARGEST):
        raise ValueError(
            f"{argument}: size {width}x{height} is not allowed (allowed: sides of {SMALLEST} to {LARGEST})"
        )
    return Path(found[1]).expanduser(), (width, height)


def _files(root: Path) -> tuple[tuple[str, ...], list[Path], NDArray[np.int64] | None]:
    """Class names, image files and labels. Raises ValueError where images lie both beside and in sub-folders."""
    from PIL import Image

    endings = set(Image.registered_extensions())

    def images(folder: Path) -> list[Path]:
        inside = sorted(p for p in folder.iterdir() if p.is_file() and not p.name.startswith("."))
        return [p for p in inside if p.suffix.lower() in endings]

    folders = sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    by_class = {p.name: found for p in folders if (found := images(p))}
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
    counts = [len(found) for found in by_class.values()]
    files = [p for found in by_class.values() for p in found]
    return tuple(by_class), files, np.repeat(np.arange(len(counts)), counts)


def _images(root: Path, files: list[Path], size: tuple[int, int] | None) -> NDArray[np.float32]:
    """All images, float32 (n, c, h, w) in [0, 1]."""
    heads = [_head(file) for file in files]
    size = size or heads[0][1]
    if not (min(size) >= SMALLEST and max(size) <= LARGEST):
        raise ValueError(
            f"{files[0]}: {size[0]}x{size[1]} pixels, and all images would get its size (allowed: sides of {SMALLEST} to "
            f"{LARGEST}); name a size, e.g. folder:{root}@64"
        )
    grey = all(mode in GREY for mode, _ in heads)
    out = np.stack([_pixels(file, "L" if grey else "RGB", size) for file in files])
    if (out == out[:1]).all():
        raise ValueError(f"{root}: all images are the same: there is nothing to learn")
    return out


def _head(file: Path) -> tuple[str, tuple[int, int]]:
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


def _pixels(file: Path, mode: str, size: tuple[int, int]) -> NDArray[np.float32]:
    """One image, (c, h, w), turned upright as its camera noted."""
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
    pixels = np.asarray(image, dtype=np.float32) / np.float32(255)
    return pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, 2, 0)


FOLDER = DatasetEntry(
    "folder",
    load,
    "your own images: a folder, its sub-folders the classes; PATH@64 sets their size",
    "a folder of yours",
    takes="PATH",
    defaults={"latent_dim": 16, "width": 256, "epochs": 100, "batch_size": 64},
)
