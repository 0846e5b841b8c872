"""Copies across splits: counted whatever their labels and the signs of their zeros, and removed from the later split."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from latentbench.catalog import datasets, load_dataset
from latentbench.config import make_run
from latentbench.core import Dataset, Split
from latentbench.datasets import folder
from latentbench.datasets.duplicates import Duplicates, count, digests, removed
from latentbench.records import Record
from latentbench.running import plan, worker
from latentbench.testing import check_dataset


def images(n, seed=0):
    return torch.rand(n, 1, 5, 5, generator=torch.Generator().manual_seed(seed))


def made(train, val, test, **more):
    splits = (Split(x, torch.arange(len(x)) % 2, torch.arange(len(x)).double()[:, None]) for x in (train, val, test))
    return Dataset("made", *splits, classes=("even", "odd"), **more)


def counted(data):
    return count(data.images, data.val.x, data.test.x)


BASE = images(400)
COPIED = made(
    torch.cat([BASE[:100], BASE[:3]]),
    torch.cat([BASE[100:150], BASE[10:14], BASE[100:102]]),
    torch.cat([BASE[20:30], BASE[150:200], BASE[10:11], BASE[110:115], BASE[150:151]]),
)
"""3 copies within train; of val 4 in train and 2 within; of test 11 in train, 6 in val (one in both), 1 within."""


def test_copies_are_counted_by_where_they_stand_before():
    found = counted(COPIED)
    assert found == Duplicates(11, 6, 16, 4, 3, {"train": 103, "val": 56, "test": 67})
    assert counted(made(BASE[:50], BASE[50:100], BASE[100:150])).test_seen == 0
    assert count(BASE[:50], None, BASE[40:60]) == Duplicates(10, 0, 10, 0, 0, {"train": 50, "val": 0, "test": 20})


def test_a_copy_is_a_copy_of_numbers():
    """-0 is 0, views and orders in memory make no difference, and the last digit of one pixel does."""
    x = images(4).round()
    minus = torch.where(x == 0, -0.0, x)
    assert bool(torch.signbit(minus).any())
    assert digests(x) == digests(minus) == digests(x.transpose(2, 3).contiguous().transpose(2, 3))
    other = x.clone()
    other[2, 0, 3, 3] = torch.nextafter(other[2, 0, 3, 3], torch.tensor(2.0))
    assert [a == b for a, b in zip(digests(x), digests(other), strict=True)] == [True, True, False, True]
    assert len(set(digests(images(50)))) == 50


def test_the_record_is_the_datas_own():
    record = counted(COPIED).to_record(Record(dataset="d", dataset_hash="abc", model="ae", latent_dim=8, seed=3))
    assert (record.kind, record.model, record.metric, record.split) == ("value", "", "data.duplicates", "test")
    assert (record.latent_dim, record.seed, record.dataset_hash) == (None, None, "abc")
    assert not record.is_model
    assert record.value == 16
    assert record.detail == {
        "test_in_train": 11, "test_in_val": 6, "val_in_train": 4, "within_train": 3,
        "sizes": {"train": 103, "val": 56, "test": 67},
    }  # fmt: skip


def test_the_first_of_copies_stays_with_its_label_and_factors():
    data = removed(COPIED)
    assert torch.equal(data.train.x, BASE[:100])
    assert torch.equal(data.val.x, BASE[100:150])
    assert torch.equal(data.test.x, BASE[150:200])
    assert data.test.y.tolist() == [i % 2 for i in range(10, 60)]
    assert data.test.factors[:, 0].tolist() == list(range(10, 60))
    assert counted(data) == Duplicates(0, 0, 0, 0, 0, {"train": 100, "val": 50, "test": 50})
    assert removed(data).sha256 == data.sha256 != COPIED.sha256


@pytest.mark.parametrize(
    ("splits", "words"),
    [
        ((BASE[:100], BASE[100:150], BASE[:100]), ["test split of 'made' keeps 0 of 100 images; at least 20"]),
        ((BASE[:100], BASE[:110], BASE[150:200]), ["validation split of 'made' keeps 10 of 110"]),
        ((BASE[:1].repeat(50, 1, 1, 1), BASE[1:50], BASE[50:90]), ["training split of 'made' keeps 1 of 50"]),
        ((BASE[0:100:2], BASE[100:150], BASE[200:300]), []),
        (
            (BASE[:100], BASE[100:150], torch.stack([BASE[50 + i if i % 2 else 200 + i] for i in range(60)])),
            ["test split of 'made' keeps no image of class odd"],
        ),
    ],
)
def test_a_split_that_would_be_too_small_or_lose_a_class_is_refused_in_one_line(splits, words):
    data = made(*splits)
    if not words:
        assert removed(data).sha256 == data.sha256
        return
    with pytest.raises(ValueError, match=r"^dedupe: without copies the ") as caught:
        removed(data)
    assert "\n" not in str(caught.value)
    assert all(word in str(caught.value) for word in words)


def bytes_with_copies(copies=30):
    x = np.random.default_rng(0).integers(0, 256, (300, 6, 6), dtype=np.uint8)
    return np.concatenate([x, x[:copies]])


def asked(dataset, **more):
    return make_run({"dataset": dataset, "device": "cpu", "models": "ae", **more})


def test_dedupe_works_on_files(tmp_path):
    x = bytes_with_copies()
    np.savez(tmp_path / "own.npz", x=x, y=np.arange(len(x)) % 3)
    name = f"npz:{tmp_path / 'own.npz'}"
    plain, once = (load_dataset(asked(name, dedupe=on)) for on in (False, True))
    assert sum(len(s.x) for s in (plain.train, plain.val, plain.test)) == 330
    assert counted(plain).test_seen > 0
    check_dataset(once)
    assert sum(len(s.x) for s in (once.train, once.val, once.test)) == 300
    assert counted(once).test_seen == counted(once).val_in_train == counted(once).within_train == 0
    np.savez(tmp_path / "same.npz", x=np.tile(x[:2], (100, 1, 1)))
    with pytest.raises(ValueError, match=r"dedupe: .* 'same.npz' keeps 2 of 120"):
        load_dataset(asked(f"npz:{tmp_path / 'same.npz'}", dedupe=True))


def test_streamed_images_lose_their_copies_too(tmp_path):
    x = np.random.default_rng(0).integers(0, 256, (1900, 8, 8), dtype=np.uint8)
    place = tmp_path / "own"
    place.mkdir()
    for i, image in enumerate(np.concatenate([x, x[:100]])):
        Image.fromarray(image).save(place / f"{i:05}.bmp")
    plain = folder.load_within(str(place), str(tmp_path), 0, 480 * 1024, True)
    found, once = counted(plain), removed(plain)
    assert found.within_train > 0
    assert found.test_seen > 0
    assert found.sizes == {"train": 1200, "val": 120, "test": 120}
    assert len(once.stream) == len(set(digests(once.stream))) == once.whole["train"] == 1200 - found.within_train
    seen = set(digests(once.stream)) | set(digests(once.val.x))
    assert not seen & set(digests(once.test.x))
    assert set(digests(once.train.x)) <= set(digests(once.stream))
    assert torch.equal(once.stream.sample, once.train.x)
    assert counted(once).test_seen == 0
    assert once.sha256 != plain.sha256


def test_a_run_counts_the_copies_of_its_data_once(tmp_path):
    np.savez(tmp_path / "own.npz", x=bytes_with_copies())
    name, more = (
        f"npz:{tmp_path / 'own.npz'}",
        {"epochs": 1, "seeds": 1, "metrics": "mse", "out": str(tmp_path / "out")},
    )
    values = []
    for dedupe in (False, True):
        planned = plan.plan(asked(name, models="ae:latent_dim=2,ae:latent_dim=3", dedupe=dedupe, **more))
        rows = []
        for unit in planned.units:
            if unit.kind == "reference":
                rows += [r for _, some in worker.KINDS["reference"](unit, tmp_path, lambda message: None) for r in some]
        (row,) = [r for r in rows if r.metric == "data.duplicates"]
        assert row.dataset_hash == planned.dataset.sha256
        assert (row.detail["sizes"]["train"] < 198) is dedupe
        values.append(row.value)
    assert values[0] > values[1] == 0


@pytest.mark.parametrize("name", [n for n, entry in datasets().items() if not entry.takes and "mnist" not in n])
def test_data_in_the_package_hold_no_image_twice_across_splits(name):
    found = counted(load_dataset(asked(name)))
    assert found.test_seen == found.val_in_train == found.within_train == 0
