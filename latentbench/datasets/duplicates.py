"""Images that stand in a dataset more than once, and a dataset without them.

A test image that was trained on measures memory and not what a model makes of new images; one that was validated on
was seen by early stopping and by the judge. Two images are copies where all their float32 values are equal (-0 counts as
0), whatever their labels say: a digest of each image's bytes is kept, never the images of two splits side by side. An
image that was scaled, cropped or compressed anew is no copy to this.

Where training images are streamed all of them are read through once; of validation and test images there are samples,
and these are what is counted: the figures say how many images stand behind them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from hashlib import blake2b

import torch
from torch import Tensor

from latentbench.core import Dataset, Split
from latentbench.records import Reason, Record
from latentbench.streaming import Stream

LEAST = 20
"""Images without which a split is too small to measure anything on."""
WORDS = {"train": "training", "val": "validation", "test": "test"}


@dataclass(frozen=True)
class Duplicates:
    """How many images stand more than once: test images that also stand in train, in validation, in either; validation
    images that also stand in train; training images that stand in train before; and the ``sizes`` of the three sets."""

    test_in_train: int
    test_in_val: int
    test_seen: int
    val_in_train: int
    within_train: int
    sizes: Mapping[str, int]

    def to_record(self, row: Record) -> Record:
        """``data.duplicates``, a record of the data and of no model: how many test images were seen; the counts in its
        detail. ``row``: what the records of a run on this data share."""
        counts = {k: v for k, v in asdict(self).items() if k != "test_seen"}
        row = replace(row, model="", latent_dim=None, seed=None, split="test")
        about = replace(row, metric="data.duplicates", unit="images", better="lower", bounds=(0.0, None))
        return replace(about, value=float(self.test_seen), detail=counts)


def digests(images: Tensor | Stream) -> list[bytes]:
    """16 bytes of each image (n, c, h, w) that only equal images share, in order."""
    blocks: Iterable[Tensor] = images.blocks() if isinstance(images, Stream) else images.split(4096)
    return [
        blake2b(row.tobytes(), digest_size=16).digest()
        for block in blocks
        for row in (block.detach().cpu().float() + 0.0).flatten(1).contiguous().numpy()
    ]


def count(train: Tensor | Stream, val: Tensor | None, test: Tensor) -> Duplicates:
    """The copies among training, validation (None: there are none) and test images, each (n, c, h, w)."""
    trained, validated, tested = digests(train), [] if val is None else digests(val), digests(test)
    in_train, in_val = set(trained), set(validated)
    return Duplicates(
        test_in_train=sum(d in in_train for d in tested),
        test_in_val=sum(d in in_val for d in tested),
        test_seen=sum(d in in_train or d in in_val for d in tested),
        val_in_train=sum(d in in_train for d in validated),
        within_train=len(trained) - len(in_train),
        sizes={"train": len(trained), "val": len(validated), "test": len(tested)},
    )


def removed(dataset: Dataset) -> Dataset:
    """The dataset with each image once: of copies the first stays, in the order train, validation, test, so a test
    image that was seen leaves the test split, and training images keep the first of theirs.

    Of streamed images the stream loses its copies, and validation and test samples theirs. Raises ValueError where a split
    keeps fewer than `LEAST` images, or no image of a class that it had.
    """
    first: set[bytes] = set()
    stream = dataset.stream
    if stream is not None:
        stream = replace(stream, rows=stream.rows[_first(digests(stream), first).to(stream.rows.device)])
        own: set[bytes] = set()  # its sample is part of it
        train = _kept(dataset, "train", dataset.train, own)
        stream = replace(stream, sample=train.x)
    else:
        train = _kept(dataset, "train", dataset.train, first)
    val, test = (_kept(dataset, name, getattr(dataset, name), first) for name in ("val", "test"))
    whole = dict(dataset.whole) | ({} if stream is None else {"train": len(stream)})
    before = len(dataset.images) + len(dataset.val.x) + len(dataset.test.x)
    after = len(train.x if stream is None else stream) + len(val.x) + len(test.x)
    note = Reason.of("data.deduped", "{count} copies are left out (--dedupe)", count=before - after)
    notes = (*dataset.notes, note) if after < before else dataset.notes
    return replace(dataset, train=train, val=val, test=test, stream=stream, whole=whole, notes=notes)


def _first(found: list[bytes], before: set[bytes]) -> Tensor:
    """Which digests (n,) stand for the first time; they are then among those ``before``."""
    out = torch.zeros(len(found), dtype=torch.bool)
    for i, digest in enumerate(found):
        out[i] = digest not in before
        before.add(digest)
    return out


def _kept(dataset: Dataset, name: str, split: Split, before: set[bytes]) -> Split:
    keep = _first(digests(split.x), before)
    left = Split(*(None if part is None else part[keep.to(part.device)] for part in split))  # type: ignore[arg-type]
    if len(left.x) < LEAST:
        raise ValueError(
            f"dedupe: without copies the {WORDS[name]} split of '{dataset.name}' keeps {len(left.x)} of {len(split.x)} "
            f"images; at least {LEAST}"
        )
    if split.y is not None and left.y is not None:
        lost = sorted(set(split.y.tolist()) - set(left.y.tolist()))
        if lost:
            word = dataset.classes[lost[0]] if dataset.classes else lost[0]
            raise ValueError(
                f"dedupe: without copies the {WORDS[name]} split of '{dataset.name}' keeps no image of class {word}"
            )
    return left
