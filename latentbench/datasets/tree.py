"""What the sub-folders of a folder of images mean: splits, classes, or nothing.

train/, val/, test/        given splits (training, valid, validation, dev and testing too)
a/, b/, ...                classes; what lies deeper belongs to the folder it is in, and it is said
images/ beside masks/      the images alone, unlabelled: what is drawn for them is no class
one folder alone           no class: its content counts as the folder's
hidden files, __MACOSX     passed over, like every file that is no image by its name's ending
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from latentbench.datasets.named import SPLITS
from latentbench.records import Reason

WORDS = {word: split for split, words in SPLITS.items() for word in words}
PICTURES = frozenset(("images", "image", "imgs", "img", "jpegimages", "photos", "inputs", "input"))
"""Names of folders that say of their content what is known."""
DRAWN = frozenset(
    "masks mask annotations annotation labels label segmentations segmentation segmentationclass segmentationobject "
    "groundtruth ground_truth gt trimaps depth edges".split()
)
"""Names of folders with what belongs to images."""
DEEPEST = 20
"""Most folders within each other."""


class Branch(NamedTuple):
    """The images of one split (`images.Source`), in the order of their names, and the class of each (None: no classes), and where they lie."""

    files: list[Any]
    words: list[str] | None
    place: str


class Tree(NamedTuple):
    """The images of a folder by split (``train`` alone, where the folder has none), and what was made of it."""

    branches: dict[str, Branch]
    notes: tuple[Reason, ...]


def look(root: Path, name: str = "") -> Tree:
    """What a folder of images, called ``name``, holds. Raises ValueError, one line, where its sub-folders have no one meaning, and where there
    are no images."""
    notes: list[Reason] = []
    root = _down(root, notes)
    folders = {p.name: p for p in _folders(root) if _any_images(p)}
    splits = {name: WORDS[name.lower()] for name in folders if name.lower() in WORDS}
    if splits and len(folders) > 1:
        return Tree(_splits(root, folders, splits, notes), tuple(dict.fromkeys(notes)))
    return Tree({"train": _branch(root, notes, name or root.name)}, tuple(dict.fromkeys(notes)))


def _splits(root: Path, folders: dict[str, Path], splits: dict[str, str], notes: list[Reason]) -> dict[str, Branch]:
    others = [name for name in folders if name not in splits]
    if others or len(set(splits.values())) < len(splits):
        told = ", ".join(f"{name}/" for name in [*splits, *others][:6])
        raise ValueError(f"{root}: {told}: splits are named train/, val/ and test/, and nothing else lies beside them")
    if loose := _images(root):
        raise ValueError(
            f"{root}: images both in it ({loose[0].name}, ...) and in {', '.join(f'{n}/' for n in splits)}"
        )
    order = sorted(splits, key=lambda name: list(SPLITS).index(splits[name]))
    branches = {splits[name]: _branch(_down(folders[name], notes), notes, f"{name}/") for name in order}
    without = [b.place for b in branches.values() if b.words is None]
    if without and len(without) < len(branches):
        raise ValueError(f"{root}: {', '.join(without)} holds no classes and others do; sort all into classes or none")
    return branches


def _branch(root: Path, notes: list[Reason], place: str) -> Branch:
    """The images of one split: its sub-folders are the classes."""
    folders = [p for p in _folders(root) if _any_images(p)]
    loose = _images(root)
    names = {p.name.lower() for p in folders}
    if names & PICTURES and names <= PICTURES | DRAWN and len(names & PICTURES) == 1 and not loose:
        (own,) = [p for p in folders if p.name.lower() in PICTURES]
        for p in folders:
            if p != own:
                said = Reason.of(
                    "data.drawn",
                    "{name}/ is no class: {count} images in it are left out",
                    name=p.name,
                    count=len(_all(p)),
                )
                notes.append(said)
        return _branch(_down(own, notes), notes, place)
    if not folders:
        if not loose:
            raise ValueError(f"{root}: no images in it or in its sub-folders (looked for .png, .jpg and the like)")
        return Branch(loose, None, place)
    if loose:
        raise ValueError(
            f"{root}: images both in it ({loose[0].name}, ...) and in sub-folders ({', '.join(p.name for p in folders[:3])}, "
            "...); either all lie in sub-folders, which are the classes, or none"
        )
    files, words = [], []
    for folder in folders:
        own_files = _all(folder)
        files += own_files
        words += [folder.name] * len(own_files)
    deeper = sum(p.parent.parent != root for p in files)
    if deeper:
        notes.append(
            Reason.of(
                "data.deeper", "{count} images of {place} lie in folders within the classes' folders: the outermost folder is the class",
                count=deeper, place=place,
            )
        )  # fmt: skip
    return Branch(files, words, place)


def _down(root: Path, notes: list[Reason]) -> Path:
    """The folder in which there is more than one thing: a folder alone in another one is no class."""
    for _ in range(DEEPEST):
        folders = [p for p in _folders(root) if _any_images(p)]
        if len(folders) != 1 or _images(root):
            break
        if not any(_any_images(p) for p in _folders(folders[0])):
            said = Reason.of(
                "data.one_folder",
                "{name}/ is the only folder and no class: its images are unlabelled",
                name=folders[0].name,
            )
            notes.append(said)
        root = folders[0]
    return root


def _folders(root: Path) -> list[Path]:
    return sorted(root / e.name for e in _entries(root) if e.is_dir())


def _images(folder: Path) -> list[Path]:
    return sorted(folder / e.name for e in _entries(folder) if is_image(e.name) and e.is_file())


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """What lies in a folder, hidden files aside. It is not looked at one by one: there may be a million of them."""
    try:
        with os.scandir(folder) as entries:
            return [e for e in entries if not e.name.startswith(".") and e.name != "__MACOSX"]
    except OSError as error:
        raise ValueError(f"{folder}: cannot be listed: {error.strerror}") from None


def is_image(name: str) -> bool:
    """Whether a file's ending is that of an image which Pillow reads."""
    return os.path.splitext(name)[1].lower() in _endings()


@cache
def _endings() -> frozenset[str]:
    from PIL import Image

    # What Pillow knows by these endings needs a program of its own, or is no picture.
    return frozenset(Image.registered_extensions()) - {".pdf", ".mpg", ".mpeg", ".h5", ".hdf"}


def _walk(folder: Path, depth: int = 0) -> Iterator[Path]:
    if depth <= DEEPEST:
        yield from _images(folder)
        for inner in _folders(folder):
            yield from _walk(inner, depth + 1)


def _all(folder: Path) -> list[Path]:
    return list(_walk(folder))


def _any_images(folder: Path) -> bool:
    return next(_walk(folder), None) is not None
