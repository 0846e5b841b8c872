"""Training images that stay on disk, read batch by batch.

    image files -> decoded once, as bytes in one file (datasets/decoded.py) -> mapped
        -> all of the training split -> Stream -> train.fit
        -> a sample of each split, in memory -> Dataset -> judge, Encoding, metrics, pictures

Only training reads a `Stream`: it needs every image and no two batches at once. Everything else reads the Dataset's
splits, which are then samples that fit, drawn by the split's seed; and memorisation, for which a sample would not do, goes
through all training images in blocks. A mapped file takes no memory of the process: the system keeps what was read as
long as nobody needs the room, so an epoch of data somewhat below the machine's memory is read from disk once.

The order of batches is the caller's and bytes become numbers by one exact division, so a streamed training meets the
very batches of one in memory.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import torch
from torch import Tensor

AHEAD = 4
"""Batches read ahead for a CUDA device."""
BLOCK = 2**24
"""Bytes of a block in which all images are gone through, as float32."""


@dataclass(frozen=True, eq=False)
class Stream:
    """The training images ``data[rows]``: ``data`` uint8 (n, c, h, w), mapped from a file; ``rows`` int64 (m,), ascending.
    ``sample`` (k, c, h, w), float32 in [0, 1], are those of them that stand for all where a tensor is needed. ``content``
    is the hex sha256 of ``data``. Batches come to ``device``."""

    data: Tensor
    rows: Tensor
    sample: Tensor
    content: str
    device: torch.device

    def __len__(self) -> int:
        return len(self.rows)

    def to(self, device: torch.device) -> Stream:
        """The same images for another device; the bytes stay where they are."""
        return replace(self, sample=self.sample.to(device), device=device)

    @property
    def sha256(self) -> str:
        """Hex digest over the images and which of them are trained on; nothing is read for it."""
        return hashlib.sha256(self.content.encode() + self.rows.numpy().tobytes()).hexdigest()

    def batches(self, order: Sequence[Tensor]) -> Iterator[Tensor]:
        """Float32 batches in [0, 1] on the device: of the training images those that each tensor of ``order`` names.

        For a CUDA device a thread reads ahead into pinned memory, from which bytes, a quarter of float32, are copied
        while the device computes. On a CPU that would take from the training the very core it reads with.
        """
        if self.device.type != "cuda":
            yield from (real(self._read(index)) for index in order)
            return
        for pixels in read_ahead(self._pinned, order):
            yield real(pixels.to(self.device, non_blocking=True))

    def blocks(self) -> Iterator[Tensor]:
        """All training images in their order, float32 on the device, a block of at most `BLOCK` bytes at a time."""
        size = max(1, BLOCK // (4 * self.data[0].numel()))
        yield from self.batches(torch.arange(len(self)).split(size))

    def _read(self, index: Tensor) -> Tensor:
        return self.data.index_select(0, self.rows[index.to(self.rows.device)])

    def _pinned(self, index: Tensor) -> Tensor:
        return self._read(index).pin_memory()


def read_ahead(read: Callable[[Tensor], Tensor], order: Sequence[Tensor]) -> Iterator[Tensor]:
    """``read`` of each of ``order``, in order, by a thread that is at most `AHEAD` ahead."""
    with ThreadPoolExecutor(1) as reader:
        ahead = deque(reader.submit(read, index) for index in order[:AHEAD])
        for k in range(len(order)):
            yield ahead.popleft().result()
            if k + AHEAD < len(order):
                ahead.append(reader.submit(read, order[k + AHEAD]))


def real(pixels: Tensor) -> Tensor:
    """Bytes as numbers in [0, 1]. Divided by a tensor: a CUDA device multiplies by the reciprocal of a plain number,
    which rounds otherwise than the division by which images in memory were made."""
    return pixels.float().div_(torch.full((1,), 255.0, device=pixels.device))


def feed(images: Tensor | Stream, order: Sequence[Tensor]) -> Iterator[Tensor]:
    """Batches of ``images`` (n, c, h, w), in memory or not, each of the rows that a tensor of ``order`` names."""
    return images.batches(order) if isinstance(images, Stream) else (images.index_select(0, i) for i in order)
