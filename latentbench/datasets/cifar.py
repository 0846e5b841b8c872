"""CIFAR-10 and CIFAR-100 from the user's folder: ``cifar:PATH``.

PATH holds what its authors give out: the *binary version* (``cifar-10-batches-bin``), records of plain bytes, is read here;
the *python version* (``cifar-10-batches-py``) holds pickles and goes through torchvision, which reads none but those whose
checksum is the published one: a pickle of anybody else's is never loaded.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from latentbench.core import Dataset, DatasetEntry
from latentbench.datasets.splits import Part, divided
from latentbench.datasets.torchvision_guard import torchvision
from latentbench.datasets.where import bearable, where

PIXELS = 3 * 32 * 32


class Kind(NamedTuple):
    """One of the two: torchvision's name of it, its folders and files, bytes of labels before each image, and which of these
    is the label; the file with the classes' names."""

    torchvision: str
    pickled: str
    folder: str
    train: tuple[str, ...]
    test: str
    labels: int
    names: str


KINDS = (
    Kind(
        "CIFAR10", "cifar-10-batches-py", "cifar-10-batches-bin", tuple(f"data_batch_{k}.bin" for k in range(1, 6)),
        "test_batch.bin", 1, "batches.meta.txt",
    ),
    Kind("CIFAR100", "cifar-100-python", "cifar-100-binary", ("train.bin",), "test.bin", 2, "fine_label_names.txt"),
)  # fmt: skip


def load_cifar(argument: str, data_root: str, seed: int) -> Dataset:
    """The images with the official test split. Raises ValueError, one line, for whatever cannot be used."""
    path = where("cifar", argument, ()).place
    for kind in KINDS:
        for folder in (path, path / kind.folder):
            if (folder / kind.test).is_file():
                return _binary(folder, kind, seed)
    for kind in KINDS:
        for root in (path, path.parent):
            if (root / kind.pickled).is_dir() and (root == path or path.name == kind.pickled):
                return _official(root, kind, seed)
    what = "no CIFAR in it" if path.is_dir() else "is no folder" if path.exists() else "no such folder"
    listed = ", ".join(f"{k.folder}, {k.pickled}" for k in KINDS)
    raise ValueError(f"{path}: {what}; cifar:PATH needs a folder with one of {listed}")


def _binary(folder: Path, kind: Kind, seed: int) -> Dataset:
    files = [folder / name for name in kind.train]
    absent = next((f for f in files if not f.is_file()), None)
    if absent is not None:
        raise ValueError(f"{absent}: no such file; cifar:PATH needs {', '.join(kind.train)} and {kind.test}")
    bearable(f"{folder}", 4 * sum(f.stat().st_size for f in files))
    read = [_records(f, kind) for f in files]
    x, y = np.concatenate([r[0] for r in read]), np.concatenate([r[1] for r in read])
    x_test, y_test = _records(folder / kind.test, kind)
    classes = _names(folder / kind.names, int(max(y.max(), y_test.max())) + 1)
    given = {"train": Part(len(x), y, ", ".join(kind.train)), "test": Part(len(x_test), y_test, kind.test)}
    return divided(kind.torchvision.lower(), {"train": x, "test": x_test}, given, seed, classes)


def _records(file: Path, kind: Kind) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    content = np.fromfile(file, np.uint8)
    size = kind.labels + PIXELS
    if not len(content) or len(content) % size:
        raise ValueError(
            f"{file}: {len(content):,} bytes are no records of {size:,}: not the binary version of {kind.torchvision}"
        )
    rows = content.reshape(-1, size)
    return rows[:, kind.labels :].reshape(-1, 3, 32, 32), rows[:, kind.labels - 1].astype(np.int64)


def _names(file: Path, count: int) -> tuple[str, ...]:
    try:
        names = tuple(line.strip() for line in file.read_text("utf-8").splitlines() if line.strip())
    except (OSError, ValueError):
        names = ()
    return names if len(names) >= count else tuple(map(str, range(count)))


def _official(root: Path, kind: Kind, seed: int) -> Dataset:
    make = getattr(torchvision().datasets, kind.torchvision)
    try:
        train, test = (make(root, train=flag) for flag in (True, False))
    except Exception as error:  # it checks every file before it loads one
        why = " ".join(str(error).split()).partition(". You can use")[0]
        raise ValueError(
            f"{root / kind.pickled}: {why}; only the published files are read, for they are pickles; the binary version "
            f"({kind.folder}) holds none"
        ) from None
    x, x_test = (np.moveaxis(np.asarray(d.data), 3, 1) for d in (train, test))
    y, y_test = (np.asarray(d.targets, dtype=np.int64) for d in (train, test))
    given = {"train": Part(len(x), y, "data_batch"), "test": Part(len(x_test), y_test, "test_batch")}
    return divided(kind.torchvision.lower(), {"train": x, "test": x_test}, given, seed, tuple(train.classes))


CIFAR = DatasetEntry(
    "cifar",
    load_cifar,
    "CIFAR-10 or CIFAR-100 from the folder they were unpacked in",
    "Krizhevsky 2009",
    takes="PATH",
    defaults={"latent_dim": 32, "epochs": 20, "batch_size": 128},
)
