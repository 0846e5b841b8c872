"""The torchvision family: mnist and fashion-mnist, found under the data root or downloaded where there is a network.

The official 10,000 test images are the test split; of the 60,000 training images 10,000 are set apart for validation,
stratified by class and seeded.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from latentbench.core import Dataset, DatasetEntry, numpy_rng
from latentbench.splits import parts, pick
from latentbench.torchvision_guard import torchvision

VALIDATION = 1 / 6


def load_family(kind: str, name: str, argument: str, data_root: str, seed: int) -> Dataset:
    """A Dataset of the MNIST family. Raises ValueError where its files are neither there nor to be had."""
    train, test = (_open(kind, name, data_root, train=flag) for flag in (True, False))
    x, y = _arrays(train)
    x_test, y_test = _arrays(test)
    kept, val = parts(len(x), y, (1 - VALIDATION, VALIDATION), numpy_rng(seed, "split"))
    everything = np.arange(len(x_test))
    classes = tuple(str(c) for c in train.classes)
    return Dataset(name, pick(x, y, kept), pick(x, y, val), pick(x_test, y_test, everything), classes)


def _open(kind: str, name: str, root: str, train: bool) -> Any:
    make = getattr(torchvision().datasets, kind)
    try:
        return make(root, train=train, download=False)
    except (RuntimeError, OSError) as first:
        folder = Path(root) / kind / "raw"
        where = f"dataset '{name}': {'train' if train else 't10k'}-images-idx3-ubyte not found in {folder.absolute()}"
        how = (
            "put its four files there, or name their folder with --data-root, or run once with a network to download it"
        )
        if isinstance(first, OSError) and folder.exists():
            raise ValueError(f"dataset '{name}': cannot read {folder.absolute()}: {first}") from None
    if not _reachable(make.mirrors):
        raise ValueError(f"{where}, and there is no network; {how}")
    try:
        return make(root, train=train, download=True)
    except Exception as error:  # a download can fail in any way; the advice is the same
        raise ValueError(f"{where}, and the download failed ({type(error).__name__}); {how}") from None


def _reachable(mirrors: Sequence[str]) -> bool:
    """Can a mirror's name be looked up at all? A machine without a network must be told at once, not after every
    mirror's time-out."""
    for mirror in mirrors:
        with suppress(OSError):
            socket.getaddrinfo(urlsplit(mirror).hostname, 443)
            return True
    return False


def _arrays(data: Any) -> tuple[Any, Any]:
    images = np.asarray(data.data, dtype=np.float32) / 255
    return images.reshape(len(images), 1, *images.shape[1:]), np.asarray(data.targets)


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
