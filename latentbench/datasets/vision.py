"""The torchvision family: mnist and fashion-mnist, found under the data root or downloaded where there is a network.

The official 10,000 test images are the test split; of the 60,000 training images 10,000 are set apart for validation,
stratified by class and seeded.
"""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

import numpy as np
from numpy.typing import NDArray

from latentbench.core import Dataset, DatasetEntry
from latentbench.datasets.splits import Part, divided
from latentbench.datasets.torchvision_guard import torchvision
from latentbench.files.outputs import at_home

PATIENCE = 20.0
"""Seconds that a silent mirror is waited for."""


def load_family(kind: str, name: str, argument: str, data_root: str, seed: int) -> Dataset:
    """A Dataset of the MNIST family; ``kind`` is torchvision's name of it, which is also that of its folder.

    Raises ValueError where its files are neither there nor to be had, or cannot be read.
    """
    make = getattr(torchvision().datasets, kind)
    root = at_home("data_root", data_root)
    folder = root / kind / "raw"
    if absent := [f for f in _files(make) if not (folder / f).is_file()]:
        _fetch(make, name, root, absent)
    try:
        (x, y), (x_test, y_test) = (_arrays(make(root, train=flag)) for flag in (True, False))
    except Exception as error:  # a damaged file can fail anywhere in the reading; its place is what helps
        raise ValueError(f"dataset '{name}': cannot read the files in {folder.absolute()}: {error}") from None
    classes = tuple(str(c).partition(" - ")[0] for c in make.classes)
    given = {"train": Part(len(x), y, "train-images"), "test": Part(len(x_test), y_test, "t10k-images")}
    return divided(name, {"train": x, "test": x_test}, given, seed, classes)


def _files(make: Any) -> list[str]:
    """The names of the unpacked files that torchvision reads."""
    return [name.removesuffix(".gz") for name, _ in make.resources]


def _arrays(data: Any) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Images (n, 1, h, w) in [0, 1] and labels (n,). Raises ValueError where the two do not belong together."""
    images = np.asarray(data.data, dtype=np.float32) / np.float32(255)
    labels = np.asarray(data.targets, dtype=np.int64)
    if images.ndim != 3 or labels.shape != images.shape[:1] or len(images) == 0:
        raise ValueError(f"images of shape {images.shape} with labels of shape {labels.shape}")
    if labels.min() < 0 or labels.max() >= len(data.classes):
        raise ValueError(f"labels from {labels.min()} to {labels.max()}, expected 0 to {len(data.classes) - 1}")
    return images[:, None], labels


def _fetch(make: Any, name: str, root: Path, absent: Sequence[str]) -> None:
    """Download what is absent, beside its place and then into it: a broken download leaves nothing behind.

    Raises ValueError, one line: which file was looked for, where, and how to get it.
    """
    folder = root / make.__name__ / "raw"
    missing = f"dataset '{name}': {absent[0]} not found in {folder.absolute()}"
    how = f"put {', '.join(_files(make))} there, or name the folder that holds {make.__name__}/raw with --data-root"
    if not _network(make.mirrors):
        raise ValueError(f"{missing}, and there is no network to download it; {how}")
    try:
        with _beside(root) as aside:
            with suppress(FileNotFoundError):  # packed files that are there already need no network
                shutil.copytree(folder, aside / make.__name__ / "raw")
            make(aside, train=True, download=True)
            folder.mkdir(parents=True, exist_ok=True)
            for file in absent:
                os.replace(aside / make.__name__ / "raw" / file, folder / file)
    except Exception as error:  # a download can fail in any way; the advice is the same
        why = str(error).strip().splitlines()
        raise ValueError(f"{missing}, and the download failed ({why[-1] if why else error!r}); {how}") from None


@contextmanager
def _beside(root: Path) -> Iterator[Path]:
    """A passing folder on the root's own disk, with a limit on how long a mirror may be silent. A root that was made
    for it and is still empty goes with it."""
    made = not root.exists()
    root.mkdir(parents=True, exist_ok=True)
    limit = socket.getdefaulttimeout()
    aside = Path(tempfile.mkdtemp(dir=root, prefix=".download-"))
    try:
        socket.setdefaulttimeout(PATIENCE)
        yield aside
    finally:
        socket.setdefaulttimeout(limit)
        shutil.rmtree(aside, ignore_errors=True)
        if made:
            with suppress(OSError):  # not empty: it holds the data now
                root.rmdir()


def _network(mirrors: Sequence[str]) -> bool:
    """Can a mirror be reached by name, or is there a proxy to ask? A machine without a network must be told at once,
    not after every mirror's time-out."""
    if getproxies():
        return True
    for mirror in mirrors:
        with suppress(OSError):
            socket.getaddrinfo(urlsplit(mirror).hostname, 443)
            return True
    return False


DEFAULTS = {"latent_dim": 16, "epochs": 20, "batch_size": 128}

MNIST = DatasetEntry(
    "mnist",
    partial(load_family, "MNIST", "mnist"),
    "70,000 handwritten digits, 28x28, from --data-root or downloaded",
    "LeCun, Cortes & Burges 1998",
    defaults=DEFAULTS,
)
FASHION = DatasetEntry(
    "fashion-mnist",
    partial(load_family, "FashionMNIST", "fashion-mnist"),
    "70,000 pictures of clothing, 28x28, from --data-root or downloaded",
    "Xiao, Rasul & Vollgraf 2017",
    defaults=DEFAULTS,
)
