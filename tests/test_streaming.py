"""Folders that do not fit: the same batches as in memory, a file that is never half there, and a cap that holds."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from latentbench import records
from latentbench.catalog import build_model, find_metrics
from latentbench.config import Run, make_run
from latentbench.core import Dataset
from latentbench.datasets import decoded, folder
from latentbench.datasets import images as image_files
from latentbench.measuring import scoring
from latentbench.metrics.memorisation import closest, closest_seen, seen_count
from latentbench.report.sections.protocol import streamed_note
from latentbench.running import plan, worker
from latentbench.running.provenance import describe_run
from latentbench.streaming import AHEAD, feed, read_ahead, real
from latentbench.training.fit import Plan, fit, initialise

SIDE = 8
COUNT = 2000
MEMORY = 480 * 1024
"""Less than the images take as float32, 500 KiB; a sample of each split then holds 120 of them."""


def pictures(root: Path, count: int, shape: tuple[int, ...], classes: int = 2) -> Path:
    rng = np.random.default_rng(0)
    for i in range(count):
        place = root / f"c{i % classes}"
        place.mkdir(parents=True, exist_ok=True)
        low, high = (0, 160) if i % classes else (96, 256)
        Image.fromarray(rng.integers(low, high, shape, dtype=np.uint8)).save(place / f"{i:05}.bmp")
    return root


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> Path:
    return pictures(tmp_path_factory.mktemp("images") / "own", COUNT, (SIDE, SIDE))


def load(root: Path, data_root: Path, memory: float = MEMORY, decode: bool = True, seed: int = 0) -> Dataset:
    return folder.load_within(str(root), str(data_root), seed, memory, decode)


@pytest.fixture
def streamed(images, tmp_path) -> Dataset:
    return load(images, tmp_path)


@pytest.mark.parametrize(
    ("text", "word", "count"),
    [
        ("4GiB", "4GiB", 2**32),
        ("4096 mib", "4GiB", 2**32),
        ("500MB", "500000000B", 500_000_000),
        ("1.5GiB", "1536MiB", 3 * 2**29),
        (2**20, "1MiB", 2**20),
        ("2G", "1953125KiB", 2 * 10**9),
    ],
)
def test_equal_sizes_are_equal_words(text, word, count):
    run = make_run({"memory": text})
    assert (run.memory, run.memory_bytes) == (word, count)
    assert make_run({"memory": run.memory}).memory == word


@pytest.mark.parametrize("text", ["lots", "-1GiB", "0", "1KiB", "4 GiB RAM", "", "9999999TiB", "4XB"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(ValueError, match=r"memory: .* is not a") as caught:
        make_run({"memory": text})
    assert "\n" not in str(caught.value)


def test_what_fits_is_not_streamed(images, tmp_path):
    data = load(images, tmp_path, memory=COUNT * SIDE * SIDE * 4)
    assert data.stream is None
    assert data.images is data.train.x
    assert not (tmp_path / "decoded").exists()


def test_the_very_images_of_the_split_in_memory(images, streamed):
    whole = folder.load(str(images), "", 0)
    assert torch.equal(torch.cat(list(streamed.stream.blocks())), whole.train.x)
    order = torch.randperm(len(whole.train.x)).split(50)
    for ours, theirs in zip(feed(streamed.stream, order), feed(whole.train.x, order), strict=True):
        assert torch.equal(ours, theirs)


def test_every_byte_is_the_number_it_is_in_memory(tmp_path):
    values = np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16)
    made = decoded.write(tmp_path, "all-bytes", (1, 1, 16, 16), values)
    assert torch.equal(real(made.open()), torch.from_numpy(values.astype(np.float32) / np.float32(255)))


def test_reading_ahead_keeps_the_order_and_its_distance():
    asked = []

    def read(index: torch.Tensor) -> torch.Tensor:
        asked.append(int(index))
        return index * 2

    order = list(torch.arange(20).split(1))
    for k, found in enumerate(read_ahead(read, order)):
        assert int(found) == 2 * k
        assert asked == list(range(len(asked)))
        assert k < len(asked) <= k + AHEAD
    assert len(asked) == 20
    broken = read_ahead(lambda index: index / 0 if int(index) == 2 else torch.tensor([1 // (3 - int(index))]), order)
    with pytest.raises(ZeroDivisionError):
        list(broken)
    some = read_ahead(read, order)
    next(some)
    some.close()  # training that breaks off ends the thread
    assert len(asked) <= 20 + 1 + AHEAD


def test_the_samples_are_drawn_by_the_seed_from_their_split_and_in_its_proportions(images, streamed, tmp_path):
    whole = folder.load(str(images), "", 0)
    assert streamed.whole == {"train": 1200, "val": 400, "test": 400}
    for name in ("train", "val", "test"):
        sample, split = getattr(streamed, name), getattr(whole, name)
        assert len(sample.x) == MEMORY // 16 // (4 * SIDE * SIDE) == 120
        assert sample.y.bincount().tolist() == [60, 60]
        rows = (sample.x[:, None] == split.x[None]).flatten(2).all(2)
        assert rows.sum(1).tolist() == [1] * 120
        assert torch.equal(split.y[rows.float().argmax(1)], sample.y)
    again, other = load(images, tmp_path), load(images, tmp_path, seed=1)
    assert streamed.sha256 == again.sha256 != other.sha256
    assert torch.equal(streamed.test.x, again.test.x)
    assert streamed.sha256 != whole.sha256


def test_training_on_a_stream_is_training_in_memory_bit_for_bit(images, streamed):
    whole = folder.load(str(images), "", 0)
    results = []
    for train in (streamed.images, whole.images):
        run = Run(latent_dim=4, width=16)
        model = initialise(lambda run=run: build_model("vae", run, whole.shape), 0)
        history = fit(model, train, whole.val.x, Plan(3, 0, 50, 1e-3), 0)
        results.append((history.curves, model.state_dict()))
    (curves, weights), (expected, other) = results
    assert curves == expected
    assert all(torch.equal(weights[k], other[k]) for k in weights)


def test_a_run_says_what_it_streamed_and_what_was_measured_on_samples(tmp_path, monkeypatch):
    root = pictures(tmp_path / "own", 2000, (12, 11))
    run = make_run({
        "dataset": f"folder:{root}", "memory": "1MiB", "data_root": str(tmp_path), "out": str(tmp_path / "out"),
        "models": "ae", "seeds": 1, "epochs": 1, "metrics": "mse,r2,memorisation", "device": "cpu",
    })  # fmt: skip
    planned = plan.plan(run)
    assert "124 of 1,200 train" in next(w for w in planned.warnings if "streams" in w)
    # The workers take what the plan has laid down, and decode nothing.
    monkeypatch.setattr(image_files, "pixels", lambda *a, **k: pytest.fail("decoded again"))
    rows = {}
    for unit in planned.units:
        if unit.kind in ("train", "measure"):
            worker.perform(unit, lambda message: None)
            for r in records.read(unit.records):
                rows[r.metric, r.split] = r
    assert rows["mse", "test"].detail["sampled"] == {"test": [124, 400]}
    assert rows["r2", "test"].detail["sampled"] == {"test": [124, 400], "train": [124, 1200]}
    said = rows["memorisation", "test"]
    assert said.status == "skipped" or (said.detail["train"], said.detail["sampled"]) == (1200, {"test": [124, 400]})
    data = describe_run({"dataset": run.dataset}, planned.splits, [], {}, "", {}).dataset
    assert data["sizes"] == planned.dataset.whole
    assert data["streamed"]["samples"] == {"train": 124, "val": 124, "test": 124}
    assert "124 training, 124 validation and 124 test" in streamed_note(data)
    assert streamed_note({"sizes": {}}) == ""


def test_a_copy_of_an_image_that_the_sample_lacks_is_found(images, streamed):
    whole = folder.load(str(images), "", 0)
    model = initialise(lambda: build_model("ae", Run(latent_dim=4, width=16), whole.shape), 0)
    one = scoring.encode(model, streamed, 0, torch.device("cpu"))
    found = closest_seen(whole.train.x[100:300], one)
    assert torch.equal(found.which[:, 0], torch.arange(100, 300))
    assert not found.distance.any()
    seen = torch.cat([whole.train.x, streamed.val.x])  # by the validation sample alone training is stopped
    for k in (1, 2):
        real = closest_seen(whole.test.x, one, k), closest(whole.test.x, seen, k)
        assert torch.equal(real[0].which, real[1].which)
        assert torch.equal(real[0].distance, real[1].distance)
    metric = find_metrics(("memorisation",))["memorisation"]
    anchors = metric.references(one, **metric.params)
    assert not scoring.faults(metric, anchors)
    assert seen_count(one) == 1200 + len(streamed.val.x)


def left(place: Path) -> list[str]:
    return sorted(p.name for p in place.rglob("*") if p.suffix in (".npy", ".part"))


def test_a_changed_folder_is_refused_by_a_worker_and_decoded_anew_by_a_plan(tmp_path):
    root = pictures(tmp_path / "own", COUNT, (SIDE, SIDE))
    before = load(root, tmp_path)
    assert load(root, tmp_path, decode=False).sha256 == before.sha256
    Image.fromarray(np.zeros((SIDE, SIDE), np.uint8)).save(root / "c0/00000.bmp")
    with pytest.raises(ValueError, match=r"own: the folder changed since the run was planned"):
        load(root, tmp_path, decode=False)
    after = load(root, tmp_path)
    assert after.sha256 != before.sha256
    (root / "c0/00002.bmp").unlink()
    assert sum(load(root, tmp_path).whole.values()) == COUNT - 1
    assert len(left(tmp_path)) == 3


def test_a_folder_that_changes_while_it_is_decoded(tmp_path, monkeypatch):
    root = pictures(tmp_path / "own", COUNT, (SIDE, SIDE))
    read = image_files.pixels

    def meddle(file: Path, *how: object):
        if file.name == "00600.bmp":
            os.utime(root / "c0/00000.bmp", ns=(1, 1))
        return read(file, *how)

    monkeypatch.setattr(image_files, "pixels", meddle)
    with pytest.raises(ValueError, match="changed while they were being decoded"):
        load(root, tmp_path)
    assert left(tmp_path) == []


def test_a_broken_image_is_left_out_the_same_from_disk_and_in_memory(tmp_path):
    root = pictures(tmp_path / "own", COUNT, (SIDE, SIDE))
    whole = (root / "c1/00601.bmp").read_bytes()
    (root / "c1/00601.bmp").write_bytes(whole[: len(whole) - 20])
    data, again, memory = load(root, tmp_path), load(root, tmp_path), folder.load(str(root), "", 0)
    assert sum(data.whole.values()) == sum(len(s.x) for s in (memory.train, memory.val, memory.test)) == COUNT - 1
    assert torch.equal(torch.cat(list(data.stream.blocks())), memory.train.x)
    assert data.sha256 == again.sha256
    assert data.notes == again.notes == memory.notes
    assert "c1/00601.bmp" in data.notes[-1]


def test_many_broken_and_equal_images_leave_nothing_behind(tmp_path):
    root = pictures(tmp_path / "own", COUNT, (SIDE, SIDE))
    whole = (root / "c1/00601.bmp").read_bytes()
    for i in range(1, 43, 2):
        (root / f"c1/{i:05}.bmp").write_bytes(whole[: len(whole) - 20])
    with pytest.raises(ValueError, match=r"c1/00001\.bmp: cannot be read as an image.*21 of the 2000") as caught:
        load(root, tmp_path)
    assert "\n" not in str(caught.value)
    for file in root.rglob("*.bmp"):
        file.write_bytes(whole)
    with pytest.raises(ValueError, match="all images are the same"):
        load(root, tmp_path)
    assert left(tmp_path) == []


def test_images_of_other_sizes_get_the_commonest_size(tmp_path):
    root = pictures(tmp_path / "own", COUNT, (SIDE, SIDE))
    Image.fromarray(np.full((31, 17), 7, np.uint8)).save(root / "c1/00601.bmp")
    whole = folder.load(str(root), "", 0)
    assert torch.equal(torch.cat(list(load(root, tmp_path).stream.blocks())), whole.train.x)


def test_a_full_disk_is_one_line(images, tmp_path, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    with pytest.raises(ValueError, match=r"data_root: cannot write .*No space left on device.*--data-root") as caught:
        load(images, tmp_path)
    assert "\n" not in str(caught.value)
    assert left(tmp_path) == []
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"data_root: cannot write .*(Not a directory|File exists)"):
        load(images, tmp_path / "file")


def test_too_little_memory_for_the_samples_says_how_much_it_takes(images, tmp_path):
    with pytest.raises(ValueError, match=r"memory: 0\.3906 MiB is too little for 'own'.*120 images.*at least 1MiB"):
        load(images, tmp_path, memory=400 * 1024)


def test_a_damaged_file_names_itself(images, tmp_path):
    load(images, tmp_path)
    (path,) = (tmp_path / "decoded").glob("*.npy")
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"\.npy: cannot be read .*delete it") as caught:
        load(images, tmp_path)
    assert str(path) in str(caught.value)


LOAD = """
import sys, time
from latentbench.datasets import decoded, folder, images
fill, fills = decoded._fill, []
decoded._fill = lambda *a: fills.append(1) or fill(*a)
read = images.pixels
def pixels(file, *how):
    if sys.argv[3] == "hang" and file.name == "00700.bmp":
        print("in the middle", flush=True)
        time.sleep(600)
    return read(file, *how)
images.pixels = pixels
data = folder.load_within(sys.argv[1], sys.argv[2], 0, 480 * 1024, True)
print(data.sha256, len(fills))
"""


def start(images: Path, data_root: Path, how: str) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", LOAD, str(images), str(data_root), how]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True)


def test_a_kill_in_the_middle_leaves_nothing_that_is_used(images, tmp_path):
    with start(images, tmp_path, "hang") as process:
        assert process.stdout.readline() == "in the middle\n"
        assert [name[-5:] for name in left(tmp_path)] == [".part"]
        process.send_signal(signal.SIGKILL)
    assert load(images, tmp_path).whole["train"] == 1200
    assert [name[-4:] for name in left(tmp_path)] == [".npy"]


def test_two_runs_at_once_share_one_file(images, tmp_path):
    both = [start(images, tmp_path, "go") for _ in range(2)]
    said = [process.communicate(timeout=120)[0].split() for process in both]
    assert said[0][0] == said[1][0] == load(images, tmp_path).sha256
    assert sorted(words[1] for words in said) == ["0", "1"]
    assert len(left(tmp_path)) == 1


FIT = """
import sys, threading, time
import torch
from latentbench.catalog import build_model
from latentbench.config import Run
from latentbench.datasets import folder, tree
from latentbench.training.fit import Plan, fit, initialise

torch.set_num_threads(1)

def anonymous():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("RssAnon"))

def train(images, val):
    model = initialise(lambda: build_model("ae:net=mlp", Run(latent_dim=4, width=16), tuple(val.shape[1:])), 0)
    fit(model, images, val, Plan(1, 0, 64, 1e-3), 0)

train(torch.rand(128, 3, 8, 8), torch.rand(64, 3, 8, 8))
tree.look(folder.Path(sys.argv[1]))  # Pillow and its plug-ins
base, peak, going = anonymous(), 0, True

def watch():
    global peak
    while going:
        peak = max(peak, anonymous())
        time.sleep(0.005)

watcher = threading.Thread(target=watch)
watcher.start()
data = folder.load_within(sys.argv[1], sys.argv[2], 0, float(sys.argv[3]), True)
train(data.images, data.val.x)
going = False
watcher.join()
print(data.stream is not None, sum(data.whole.values()), peak - base)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="anonymous memory is read from /proc")
@pytest.mark.parametrize(
    ("count", "side", "cap"), [(3200, 48, 54 * 2**20), pytest.param(8000, 64, 100 * 2**20, marks=pytest.mark.slow)]
)
def test_memory_stays_below_the_cap_on_a_folder_larger_than_it(tmp_path, count, side, cap):
    """Pages of the mapped file are the system's to drop and do not count; everything the process itself holds does."""
    size = count * 3 * side * side * 4
    assert size > 1.5 * cap
    root = pictures(tmp_path / "own", count, (side, side, 3))

    def run(memory: float) -> list[str]:
        words = [sys.executable, "-c", FIT, str(root), str(tmp_path), str(memory)]
        # What is freed is given back at once: else the slack of the allocator, which varies with how threads happen to
        # be scheduled, is as large as what is measured.
        eager = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
        environment = {**os.environ, **eager, "OMP_NUM_THREADS": "1"}
        return subprocess.run(words, capture_output=True, text=True, check=True, env=environment).stdout.split()

    streamed, images, peak = run(cap)
    assert (streamed, images) == ("True", str(count))
    assert int(peak) < cap
    streamed, _, peak = run(float("inf"))
    assert streamed == "False"
    assert int(peak) > size
