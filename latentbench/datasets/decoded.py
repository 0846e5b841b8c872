"""Decoded images on disk: the images of many files as bytes in one, which is mapped and not read.

The file is ``NAME-KEY-SHA256.npy``: KEY says what it was made from, SHA256 what is in it, and both are known without
opening it. It is written under another name, by one process at a time, and renamed when it is whole: what bears the name
is never half a file, whoever was killed when, and a second run waits and then uses it. What was left out of it and why
stands in a file of the same name that ends in ``.json``.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from latentbench import records

FileShape = tuple[int, int, int, int]


class Decoded(NamedTuple):
    """A whole file of decoded images, the hex sha256 of its content, and what is to be known ``about`` the files it was made
    from, which lies beside it."""

    path: Path
    sha256: str
    about: Mapping[str, Any]

    def open(self) -> Tensor:
        """The images, uint8 (n, c, h, w), mapped: memory is the system's, which may take it back. Raises ValueError where
        the file is not what it was written as."""
        try:
            # Mapped to be written, to memory alone: torch wants that, and nobody does it.
            return torch.from_numpy(np.load(self.path, mmap_mode="c"))
        except (OSError, ValueError) as error:
            why = " ".join(str(error).split())
            raise ValueError(f"{self.path}: cannot be read ({why}); delete it, and it is made anew") from None


def find(folder: Path, stem: str) -> Decoded | None:
    """The file made under this stem (NAME-KEY), if there is one."""
    for path in sorted(folder.glob(f"{_escaped(stem)}-*.npy")):
        try:
            about = json.loads(path.with_suffix(".json").read_text("utf-8"))
        except (OSError, ValueError):
            continue
        return Decoded(path, path.stem.rpartition("-")[2], about)
    return None


def _escaped(stem: str) -> str:
    return "".join(f"[{c}]" if c in "*?[" else c for c in stem)


def write(
    folder: Path,
    stem: str,
    shape: FileShape,
    images: Iterable[NDArray[np.uint8]],
    about: Callable[[], Mapping[str, Any]] = dict,
) -> Decoded:
    """Write ``images``, ``shape[0]`` of them, each uint8 (c, h, w), unless another process just did. They are asked for
    one by one and none is kept; when all are written, what is to be known ``about`` them. Raises ValueError, one line, where the disk has no room or refuses."""
    from filelock import FileLock

    part = folder / f".{stem}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / f".{stem}.lock"):
            if existing := find(folder, stem):
                return existing
            try:
                with part.open("wb") as file:
                    sha256 = _fill(file, shape, images)
                final = Decoded(folder / f"{stem}-{sha256}.npy", sha256, about())
                records.write_text(final.path.with_suffix(".json"), json.dumps(final.about, ensure_ascii=False) + "\n")
                os.replace(part, final.path)
            finally:
                part.unlink(missing_ok=True)
    except OSError as error:
        size = f"{np.prod(shape, dtype=float) / 2**20:,.0f} MiB"
        raise ValueError(
            f"data_root: cannot write {size} of decoded images to {folder.absolute()}: {error.strerror}; make room or "
            "name another folder with --data-root"
        ) from None
    return final


def _fill(file: BinaryIO, shape: FileShape, images: Iterable[NDArray[np.uint8]]) -> str:
    """Header and pixels; the sha256 of shape and pixels. Room for all of it is asked for first: a disk that is too small
    should say so at once, not after an hour of decoding."""
    header: dict[str, Any] = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    if hasattr(os, "posix_fallocate"):
        file.flush()
        os.posix_fallocate(file.fileno(), 0, file.tell() + int(np.prod(shape, dtype=np.int64)))
    sha = hashlib.sha256(repr(shape).encode())
    for image in images:
        block = np.ascontiguousarray(image).data
        sha.update(block)
        file.write(block)
    file.flush()
    os.fsync(file.fileno())
    return sha.hexdigest()
