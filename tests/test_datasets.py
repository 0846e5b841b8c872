"""Data: pinned, split by class, in [0, 1]; and every file that cannot be used is refused in one line."""

from __future__ import annotations

import gzip
import os
import struct
import zipfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from latentbench.catalog import datasets, load_dataset
from latentbench.config import USUAL, make_run
from latentbench.core import Dataset
from latentbench.datasets import splits, vision
from latentbench.metrics.representation import trustworthiness
from latentbench.randomness import numpy_rng
from latentbench.testing import ContractBroken, check_dataset


def load(text: str, root: Path | str = "data", seed: int = 0) -> Dataset:
    return load_dataset(make_run({"dataset": text, "data_root": str(root), "split_seed": seed}))


def check(data: Dataset) -> None:
    """What every dataset holds to, and here every class is in every split."""
    check_dataset(data)
    for split in (data.train, data.val, data.test):
        if split.y is not None:
            assert set(split.y.tolist()) == set(range(len(data.classes)))


BROKEN = {
    "out of range": lambda d: replace(d, val=d.val._replace(x=d.val.x * 1.1)),
    "not finite": lambda d: replace(d, test=d.test._replace(x=torch.full_like(d.test.x, torch.nan))),
    "double": lambda d: replace(d, train=d.train._replace(x=d.train.x.double())),
    "too few names": lambda d: replace(d, classes=d.classes[:3]),
    "labels here and there": lambda d: replace(d, val=d.val._replace(y=None)),
    "labels from 1": lambda d: replace(d, train=d.train._replace(y=d.train.y + 1)),
    "other shape": lambda d: replace(d, test=d.test._replace(x=d.test.x[:, :, 1:])),
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_dataset_that_breaks_its_contract_is_caught(how):
    with pytest.raises(ContractBroken, match="digits"):
        check_dataset(BROKEN[how](load("digits")))


# digits


def test_digits_are_split_by_class_and_pinned():
    data = load("digits")
    check(data)
    assert (data.name, data.shape, data.classes) == ("digits", (1, 8, 8), tuple("0123456789"))
    assert [len(s.x) for s in (data.train, data.val, data.test)] == [1078, 360, 359]
    assert data.sha256 == "0e5f5ff4742b3406b3628093c29093b91d27460a2716f46a7e4a9d295d359ca4"
    assert data.train.x.max() == 1
    shares = [torch.bincount(s.y) / len(s.y) for s in (data.train, data.val, data.test)]
    assert max(float((s - shares[0]).abs().max()) for s in shares) < 0.01


def test_the_split_depends_on_its_seed_alone():
    a, b, other = load("digits"), load("digits"), load("digits", seed=1)
    torch.manual_seed(99)
    np.random.seed(99)  # noqa: NPY002
    c = load("digits")
    assert a.sha256 == b.sha256 == c.sha256
    assert a.sha256 != other.sha256


def test_no_image_of_digits_is_in_two_splits_and_none_is_lost():
    from sklearn.datasets import load_digits

    data = load("digits")
    rows = [x.numpy().tobytes() for s in (data.train, data.val, data.test) for x in s.x]
    everything = (load_digits().images / 16).astype("float32")
    assert Counter(rows) == Counter(x.tobytes() for x in everything)


# splits


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.integers(5, 40), min_size=2, max_size=9), st.integers(0, 9))
def test_every_class_stands_in_every_split_in_its_share(counts, seed):
    y = np.repeat(np.arange(len(counts)), counts)
    found = splits.parts(len(y), y, splits.SHARES, numpy_rng(seed, "split"))
    assert sorted(np.concatenate(found)) == list(range(len(y)))
    for part, share in zip(found, splits.SHARES, strict=True):
        assert abs(len(part) - share * len(y)) <= 1
        sizes = np.bincount(y[part], minlength=len(counts))
        assert sizes.min() >= 1
        assert np.abs(sizes - share * np.array(counts)).max() <= 2


def test_without_labels_the_split_is_random_and_whole():
    found = splits.parts(100, None, splits.SHARES, numpy_rng(0, "split"))
    assert [len(p) for p in found] == [60, 20, 20]
    assert sorted(np.concatenate(found)) == list(range(100))
    assert set(found[2]) != set(range(80, 100))


# npz


def pixels(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).random(shape)


@pytest.fixture
def save(tmp_path):
    def write(**arrays: np.ndarray) -> str:
        np.savez(tmp_path / "own.npz", **arrays)
        return f"npz:{tmp_path / 'own.npz'}"

    return write


Y = np.arange(120) % 3


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((120, 8, 6), (1, 8, 6)),
        ((120, 8, 6, 1), (1, 8, 6)),
        ((120, 1, 8, 6), (1, 8, 6)),
        ((120, 8, 6, 3), (3, 8, 6)),
        ((120, 3, 8, 6), (3, 8, 6)),
        ((120, 4, 8, 6), (4, 8, 6)),
        ((120, 4, 6, 3), (3, 4, 6)),
    ],
)
def test_layouts(save, shape, expected):
    data = load(save(x=pixels(*shape), y=Y))
    check(data)
    assert data.shape == expected
    assert data.name == "own.npz"


def test_channels_keep_their_place(save):
    x = pixels(120, 8, 6, 3)
    last, first = load(save(x=x, y=Y)), load(save(x=np.moveaxis(x, 3, 1), y=Y))
    assert last.sha256 == first.sha256
    assert float(first.train.x.double().mean(0)[1, 2, 3]) != pytest.approx(float(first.train.x.mean(0)[2, 1, 3]))


def test_bytes_booleans_and_floats(save):
    x = np.random.default_rng(0).integers(0, 256, (120, 8, 8))
    as_bytes = load(save(x=x.astype(np.uint8), y=Y))
    as_floats = load(save(x=x / 255, y=Y))
    assert torch.allclose(as_bytes.train.x, as_floats.train.x, atol=1e-7)
    booleans = load(save(x=x > 127, y=Y))
    assert set(booleans.train.x.unique().tolist()) == {0.0, 1.0}
    half = load(save(x=(x > 127).astype(np.float16), y=Y))
    assert half.sha256 == booleans.sha256


@pytest.mark.parametrize(
    ("y", "classes"),
    [
        (Y + 7, ("7", "8", "9")),
        (Y.astype(np.uint8), ("0", "1", "2")),
        (-Y, ("-2", "-1", "0")),
        (Y > 0, ("False", "True")),
        (Y[:, None], ("0", "1", "2")),
        (np.eye(3)[Y], ("0", "1", "2")),
        (Y * 1.0, ("0", "1", "2")),
        (np.array(["cat", "ant", "bee"])[Y], ("ant", "bee", "cat")),
        (np.array([b"cat", b"ant", b"bee"])[Y], ("ant", "bee", "cat")),
    ],
)
def test_labels_of_any_kind_become_classes(save, y, classes):
    data = load(save(x=pixels(120, 8, 8), y=y))
    check(data)
    assert data.classes == classes


def test_a_label_stays_with_its_image(save):
    x = np.zeros((120, 8, 8)) + (Y / 2)[:, None, None]
    data = load(save(x=x, y=np.array(["low", "mid", "top"])[Y]))
    for split in (data.train, data.val, data.test):
        assert torch.equal(split.x[:, 0, 0, 0] * 2, split.y.float())
    assert data.classes == ("low", "mid", "top")


def test_without_labels_there_are_no_classes(save):
    data = load(save(x=pixels(120, 8, 8)))
    assert (data.train.y, data.val.y, data.test.y, data.classes) == (None, None, None, ())
    assert [len(s.x) for s in (data.train, data.val, data.test)] == [72, 24, 24]


@pytest.mark.parametrize("y", [None, np.arange(splits.MINIMUM) % 2, np.arange(splits.MINIMUM) % 24])
def test_the_smallest_dataset_that_is_taken_has_ten_neighbours_in_every_split(save, y):
    x = pixels(splits.MINIMUM, 8, 8)
    data = load(save(x=x) if y is None else save(x=x, y=y))
    for split in (data.train, data.val, data.test):
        assert trustworthiness(split.x, split.x, 10) == pytest.approx(1)


@pytest.mark.parametrize(("y", "words"), [(Y * 0 + 4, "one class, 4"), (np.arange(120), "120 classes for 120")])
def test_labels_of_no_use_are_left_out_and_it_is_said(save, y, words):
    data = load(save(x=pixels(120, 8, 8), y=y))
    assert (data.train.y, data.classes) == (None, ())
    assert any(words in note for note in data.notes)


def with_value(value: float) -> np.ndarray:
    x = pixels(120, 8, 8)
    x[17, 2, 3] = value
    return x


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        (
            {"a": pixels(120, 8, 8), "b": pixels(120, 9, 9)},
            ["no array of a known name", "x=NAME", "there: a (120, 8, 8) float64, b"],
        ),
        ({"x": pixels(120)}, ["shape (120,)", "not images", "(n, h, w)"]),
        ({"x": pixels(120, 2, 8, 8)}, ["shape (120, 2, 8, 8)", "1, 3 or 4 channels"]),
        ({"x": pixels(120, 3, 8)}, ["shape (120, 3, 8)", "at least 4"]),
        ({"x": pixels(120, 1, 8, 8, 8)}, ["not images"]),
        ({"x": pixels(120, 4, 8, 4)}, ["channels could be first or last"]),
        ({"x": with_value(np.nan)}, ["1 values that are NaN or infinite", "row 17"]),
        ({"x": with_value(np.inf)}, ["NaN or infinite"]),
        ({"x": with_value(1e300)}, ["NaN or infinite"]),
        ({"x": pixels(120, 8, 8) * 2 - 0.25}, ["values from -", "[0, 1]", "range=-0.2", "layout=series"]),
        ({"x": pixels(120, 8, 8, 1) * 4 - 2}, ["values from -", "[0, 1]", "range=-"]),
        ({"x": with_value(200.0)}, ["to 200;", "range=0,200"]),
        ({"x": np.full((120, 8, 8), 70000)}, ["to 70000;", "uint8", "range=0,70000"]),
        ({"x": np.full((120, 8, 8), 255)}, ["all images of x are the same"]),
        ({"x": pixels(120, 8, 8) + 1j}, ["complex128", "not numbers"]),
        ({"x": np.full((120, 8, 8), "a")}, ["<U1", "not numbers"]),
        ({"x": np.full((120, 8, 8), None)}, ["Python objects", "refused"]),
        ({"x": np.zeros((120, 8, 8))}, ["all images of x are the same"]),
        ({"x": pixels(119, 8, 8)}, ["119 images are too few", "at least 120"]),
        ({"x": pixels(0, 8, 8)}, ["0 images are too few"]),
        ({"x": pixels(120, 8, 8), "y": Y[:-1]}, ["y of x has shape (119,)", "(120,)"]),
        ({"x": pixels(120, 8, 8), "y": Y / 2}, ["holds 0.5", "integers or strings"]),
        ({"x": pixels(120, 8, 8), "y": np.full(120, None)}, ["Python objects"]),
        ({"x": pixels(120, 8, 8), "y": np.r_[Y[:-4], 9, 9, 9, 9]}, ["class 9 has 4 images", "at least 5"]),
    ],
)
def test_arrays_that_cannot_be_used_are_refused_in_one_line(save, arrays, words):
    text = save(**arrays)
    with pytest.raises(ValueError) as caught:
        load(text)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message


def test_files_that_are_no_npz_are_refused_in_one_line(tmp_path):
    np.save(tmp_path / "array.npz.npy", pixels(120, 8, 8))
    (tmp_path / "array.npz.npy").rename(tmp_path / "array.npz")
    (tmp_path / "text.npz").write_text("not an npz at all")
    (tmp_path / "empty.npz").touch()
    (tmp_path / "folder.npz").mkdir()
    np.savez_compressed(tmp_path / "whole.npz", x=pixels(120, 8, 8))
    whole = (tmp_path / "whole.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "damaged.npz").write_bytes(whole[:200] + b"\0" * 300 + whole[500:])
    with zipfile.ZipFile(tmp_path / "foreign.npz", "w") as file:
        file.writestr("x", "plain text")
    with zipfile.ZipFile(tmp_path / "liar.npz", "w") as file:  # a header that promises a petabyte
        head = "{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000, 1000, 1000), }".ljust(117) + "\n"
        file.writestr("x.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode())
    expected = {
        "array": "a single array",
        "text": "not an npz",
        "empty": "cannot be read",
        "folder": "is a folder",
        "cut": "cannot be read",
        "damaged": "cannot be read",
        "foreign": "'x' is not an array",
        "liar": "more than half of this machine.s memory",
        "absent": "no such file",
    }
    for name, words in expected.items():
        with pytest.raises(ValueError, match=words) as caught:
            load(f"npz:{tmp_path / name}.npz")
        assert f"{name}.npz" in str(caught.value)
        assert "\n" not in str(caught.value)


def test_python_objects_in_other_arrays_are_never_loaded(tmp_path):
    class Trap:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "sprung",))

    np.savez(tmp_path / "own.npz", x=pixels(120, 8, 8), y=Y, extra=np.array([Trap()], dtype=object))
    check(load(f"npz:{tmp_path / 'own.npz'}"))
    assert not (tmp_path / "sprung").exists()


# the torchvision family, from files in their own format that the tests write


def idx(array: np.ndarray) -> bytes:
    """An array of bytes in the IDX format: magic number, number of axes, lengths, content."""
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


def family(root: Path, kind: str, packed: bool = False) -> dict[str, np.ndarray]:
    """A small MNIST look-alike under ``root``."""
    rng, folder = np.random.default_rng(0), root / kind / "raw"
    folder.mkdir(parents=True)
    arrays = {}
    for name, n in (("train", 120), ("t10k", 40)):
        arrays[f"{name}-images-idx3-ubyte"] = rng.integers(0, 256, (n, 28, 28))
        arrays[f"{name}-labels-idx1-ubyte"] = np.arange(n) % 10
    for name, array in arrays.items():
        content = gzip.compress(idx(array)) if packed else idx(array)
        (folder / (f"{name}.gz" if packed else name)).write_bytes(content)
    return arrays


@pytest.mark.parametrize(
    ("name", "kind", "second"), [("mnist", "MNIST", "1"), ("fashion-mnist", "FashionMNIST", "Trouser")]
)
def test_the_family_is_read_from_its_files(tmp_path, name, kind, second):
    arrays = family(tmp_path, kind)
    data = load(name, tmp_path)
    check(data)
    assert (data.name, data.shape, data.classes[1]) == (name, (1, 28, 28), second)
    assert [len(s.x) for s in (data.train, data.val, data.test)] == [100, 20, 40]
    assert torch.bincount(data.val.y).tolist() == [2] * 10
    expected = torch.tensor(arrays["t10k-images-idx3-ubyte"], dtype=torch.float32)[:, None] / 255
    assert torch.equal(data.test.x, expected)  # the official test images, all of them, in their order
    assert data.test.y.tolist() == arrays["t10k-labels-idx1-ubyte"].tolist()
    assert load(name, tmp_path).sha256 == data.sha256 != load(name, tmp_path, seed=1).sha256


@pytest.mark.parametrize(("name", "kind"), [("mnist", "MNIST"), ("fashion-mnist", "FashionMNIST")])
def test_no_file_and_no_network_says_which_where_and_how(tmp_path, no_network, name, kind):
    with pytest.raises(ValueError) as caught:
        load(name, tmp_path / "data")
    message = str(caught.value)
    for word in ("train-images-idx3-ubyte", str(tmp_path / "data" / kind / "raw"), "no network", "--data-root", name):
        assert word in message
    assert "\n" not in message
    assert list(tmp_path.iterdir()) == []


def test_one_missing_file_is_the_one_that_is_named(tmp_path, no_network):
    family(tmp_path, "MNIST")
    (tmp_path / "MNIST/raw/t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(ValueError, match="t10k-labels-idx1-ubyte not found in"):
        load("mnist", tmp_path)


def test_a_download_that_breaks_leaves_nothing_behind(tmp_path, monkeypatch):
    tried = []

    def breaks(url: str, download_root: str, **_: object) -> None:
        tried.append(url)
        Path(download_root, "train-images-idx3-ubyte.gz").write_bytes(b"half")
        raise RuntimeError("connection reset")

    vision.torchvision()
    import torchvision.datasets.mnist as source

    monkeypatch.setattr(source, "download_and_extract_archive", breaks)
    monkeypatch.setattr(vision, "_network", lambda mirrors: True)
    with pytest.raises(ValueError, match=r"download failed \(.*connection reset.*--data-root") as caught:
        load("mnist", tmp_path / "data")
    assert "\n" not in str(caught.value)
    assert tried
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "data").mkdir()
    with pytest.raises(ValueError, match="download failed"):
        load("mnist", tmp_path / "data")
    assert list((tmp_path / "data").iterdir()) == []  # a folder of the user's stays


def test_a_download_that_ends_is_used_and_kept(tmp_path, monkeypatch):
    family(tmp_path / "mirror", "MNIST")

    def fetch(url: str, download_root: str, filename: str, md5: str) -> None:
        name = filename.removesuffix(".gz")
        Path(download_root, name).write_bytes((tmp_path / "mirror/MNIST/raw" / name).read_bytes())

    vision.torchvision()
    import torchvision.datasets.mnist as source

    monkeypatch.setattr(source, "download_and_extract_archive", fetch)
    monkeypatch.setattr(vision, "_network", lambda mirrors: True)
    data = load("mnist", tmp_path / "data")
    assert data.sha256 == load("mnist", tmp_path / "mirror").sha256
    assert os.listdir(tmp_path / "data") == ["MNIST"]
    assert len(os.listdir(tmp_path / "data/MNIST/raw")) == 4


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("train-images-idx3-ubyte", b""),
        ("train-images-idx3-ubyte", b"\0\0\x08\x03\0\0\0\x78\0\0\0\x1c\0\0\0\x1c" + b"\0" * 100),
        ("t10k-labels-idx1-ubyte", idx(np.arange(39) % 10)),
        ("t10k-labels-idx1-ubyte", idx(np.arange(40))),
        ("train-labels-idx1-ubyte", b"this is not the file you are looking for"),
    ],
)
def test_damaged_files_are_refused_in_one_line(tmp_path, no_network, file, content):
    family(tmp_path, "MNIST")
    (tmp_path / "MNIST/raw" / file).write_bytes(content)
    with pytest.raises(ValueError, match=r"dataset 'mnist': cannot read the files in .*MNIST/raw"):
        load("mnist", tmp_path)


def test_a_proxy_counts_as_a_network(no_network, monkeypatch):
    assert vision._network(["https://mirror.invalid/"]) is False
    monkeypatch.setattr(vision, "getproxies", lambda: {"https": "http://proxy:3128"})
    assert vision._network(["https://mirror.invalid/"]) is True


@pytest.mark.skipif("LATENTBENCH_DATA" not in os.environ, reason="LATENTBENCH_DATA names no folder with real MNIST")
def test_real_mnist():
    data = load("mnist", os.environ["LATENTBENCH_DATA"])
    check(data)
    assert [len(s.x) for s in (data.train, data.val, data.test)] == [50000, 10000, 10000]
    # The pixel mean and deviation that every tutorial prints, of the 60,000 training images.
    x = torch.cat([data.train.x, data.val.x])
    assert float(x.mean()) == pytest.approx(0.1307, abs=1e-4)
    assert float(x.std()) == pytest.approx(0.3081, abs=1e-4)
    assert torch.bincount(data.test.y).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert data.test.y[:5].tolist() == [7, 2, 1, 0, 4]


def test_every_datasets_defaults_are_options_that_a_user_may_leave_open():
    for entry in datasets().values():
        run = make_run({}).resolve(entry.defaults)
        assert None not in (run.latent_dim, run.epochs, run.batch_size, run.lr, run.lr_warmup)
        assert run == make_run({**USUAL, **entry.defaults})
