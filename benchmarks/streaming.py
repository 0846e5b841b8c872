"""What streaming costs: decoding, an epoch from disk beside one in memory, the ways of reading, and peak memory.

    python benchmarks/streaming.py [IMAGES]

A made-up folder of JPEGs of CelebA's size (178 x 218), trained at 64 x 64 in colour. Ways that are compared take turns, so
that other work on the machine meets them alike; medians are printed.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from latentbench.catalog import build_model
from latentbench.config import Run
from latentbench.datasets import folder, tree
from latentbench.streaming import Stream, feed, real
from latentbench.training.fit import Plan, fit, initialise

SIZE = (64, 64)
BATCH = 64
TURNS = 5


class Files(torch.utils.data.Dataset[Tensor]):
    """Decoding every image in every epoch, as a DataLoader does it."""

    def __init__(self, files: list[Path]) -> None:
        self.files = files

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, i: int) -> Tensor:
        return torch.from_numpy(np.array(folder._pixels(self.files[i], "RGB", SIZE)))


class Batches(torch.utils.data.Dataset[Tensor]):
    """The mapped file, a batch an item, for a DataLoader."""

    def __init__(self, stream: Stream, order: list[Tensor]) -> None:
        self.stream, self.order = stream, order

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, i: int) -> Tensor:
        return self.stream._read(self.order[i])


def make(root: Path, count: int) -> None:
    rng = np.random.default_rng(0)
    root.mkdir()
    for i in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (14, 11, 3), dtype=np.uint8))
        fine = np.asarray(coarse.resize((178, 218), Image.Resampling.BICUBIC)).astype(int)
        noisy = (fine + rng.integers(-8, 9, fine.shape)).clip(0, 255).astype(np.uint8)
        Image.fromarray(noisy).save(root / f"{i:06}.jpg", quality=85)


def in_turns(ways: dict[str, Callable[[], Iterable[Tensor]]], images: int) -> None:
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(TURNS):
        for name, way in ways.items():
            started = time.perf_counter()
            for _batch in way():
                pass
            seconds[name].append(time.perf_counter() - started)
    for name, taken in seconds.items():
        print(f"  {name:<58} {images / statistics.median(taken):>10,.0f} images/s")


def anonymous() -> float:
    """MiB this process itself holds, without pages of mapped files."""
    for line in Path("/proc/self/status").read_text("utf-8").splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) / 1024
    return float("nan")


def peak(work: Callable[[], object]) -> float:
    before, most, going = anonymous(), 0.0, True

    def watch() -> None:
        nonlocal most
        while going:
            most = max(most, anonymous())
            time.sleep(0.005)

    thread = threading.Thread(target=watch)
    thread.start()
    work()
    going = False
    thread.join()
    return most - before


def epoch(images: Tensor | Stream, val: Tensor, net: str) -> float:
    """Seconds of training one epoch, validation left out as far as it goes (few images)."""
    run = Run(latent_dim=16, width=256)
    model = initialise(lambda: build_model(f"vae:net={net}", run, (3, *SIZE)), 0)
    return fit(model, images, val[:8], Plan(1, 0, BATCH, 1e-3), 0).seconds


def main(count: int) -> None:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        root, memory = Path(place) / "photos", 120 * 16 * 3 * 64 * 64 * 4
        make(root, count)
        print(f"{count:,} JPEGs of 178 x 218, at 64 x 64 x 3: {count * 12288 * 4 / 2**20:,.0f} MiB as float32")
        load = lambda limit: folder.load_within(f"{root}@64", place, 0, limit, True)  # noqa: E731
        started = time.perf_counter()
        held = peak(lambda: load(memory))
        print(f"decoded once at {count / (time.perf_counter() - started):,.0f} images/s, {held:,.0f} MiB held at most")
        started = time.perf_counter()
        data = load(memory)
        print(f"opened again in {time.perf_counter() - started:.2f} s")
        stream = data.stream
        assert stream is not None
        started = time.perf_counter()
        whole = torch.cat(list(stream.blocks()))
        order = list(torch.randperm(len(stream)).split(BATCH))
        files = [file for branch in tree.look(root).branches.values() for file in branch.files]
        train = [files[i] for i in stream.rows.tolist()][:1000]

        def loader(**options: object) -> Iterator[Tensor]:
            for pixels in torch.utils.data.DataLoader(Batches(stream, order), batch_size=None, **options):  # type: ignore[arg-type]
                yield real(pixels)

        print("reading batches, without training")
        in_turns(
            {
                "in memory": lambda: feed(whole, order),
                "mapped file": lambda: feed(stream, order),
                "mapped file, DataLoader, 1 worker": lambda: loader(num_workers=1),
                "mapped file, DataLoader, 2 workers": lambda: loader(num_workers=2),
            },
            len(stream),
        )
        decode = {
            f"JPEGs decoded every epoch, DataLoader, {n} workers": lambda n=n: torch.utils.data.DataLoader(
                Files(train), BATCH, shuffle=True, num_workers=n
            )
            for n in (0, 2)
        }
        in_turns(decode, len(train))  # type: ignore[arg-type]
        for net in ("mlp", "conv"):
            taken: dict[str, list[float]] = {"in memory": [], "streamed": []}
            for _ in range(TURNS):
                for name, images in (("in memory", whole), ("streamed", stream)):
                    taken[name].append(epoch(images, data.val.x, net))
            print(f"an epoch of {len(stream):,} images, vae:net={net}, batch {BATCH}")
            for name, seconds in taken.items():
                print(f"  {name:<58} {statistics.median(seconds):>10.2f} s")
            ratios = [b / a for a, b in zip(*taken.values(), strict=True)]
            print(
                f"  ratio, median of {TURNS} pairs {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})"
            )
        print(f"training streamed holds {peak(lambda: epoch(load(memory).images, data.val.x, 'mlp')):,.0f} MiB at most")
        print(f"loading in memory holds {peak(lambda: load(float('inf'))):,.0f} MiB at most")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
