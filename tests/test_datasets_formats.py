"""Every container that is read: right samples, right labels, right splits, right range; and what cannot be read is a line.

The data are the same in all: three classes, an image of class k about 80 k bright, rows that say which they are.
"""

from __future__ import annotations

import gzip
import io
import json
import struct
import tarfile
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas
import pytest
import torch
from PIL import Image
from test_datasets import idx, load

from latentbench.cli.app import main
from latentbench.datasets import tree
from latentbench.datasets.where import where

NEEDS = pytest.mark.formats
N, TEST = 150, 60
NAMES = ("ant", "bee", "cat")


def pictures(n: int = N, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(n, 8, 8) bytes and classes: class k has values from 80 k to 80 k + 40."""
    rng, y = np.random.default_rng(seed), np.arange(n) % 3
    return (80 * y[:, None, None] + rng.integers(0, 41, (n, 8, 8))).astype(np.uint8), y


X, Y = pictures()
X_TEST, Y_TEST = pictures(TEST, 1)
WORDS = np.array(NAMES)


def rows(n: int = N) -> tuple[np.ndarray, np.ndarray]:
    """(n, 4) counts and classes: the first column is 80 k to 80 k + 40."""
    x, y = pictures(n)
    return x[:, 0, :4].astype(np.int64), y


def png(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(array).save(out, "png")
    return out.getvalue()


class Case(NamedTuple):
    """A container: ``make(folder)`` writes it and returns what follows ``--dataset``; rows of train, val and test; classes;
    the space."""

    make: Callable[[Path], str]
    sizes: tuple[int, int, int] = (90, 30, 30)
    classes: tuple[str, ...] = ("0", "1", "2")
    space: str = "image"


GIVEN = (125, 25, 60)
"""Of 150 training samples a sixth are cut for validation; 60 test samples were given."""


def savez(name: str = "own.npz", options: str = "", **arrays: Any) -> Callable[[Path], str]:
    def make(folder: Path) -> str:
        np.savez(folder / name, **arrays)
        return f"npz:{folder / name}{options}"

    return make


def npy(folder: Path) -> str:
    np.save(folder / "images.npy", X)
    np.save(folder / "labels.npy", Y)
    return f"npy:{folder / 'images.npy'}:y=labels.npy"


def npy_folder(folder: Path) -> str:
    for name, array in {"x_train": X, "y_train": Y, "x_test": X_TEST, "y_test": Y_TEST}.items():
        np.save(folder / f"{name}.npy", array)
    return f"npy:{folder}"


def mat(folder: Path) -> str:
    from scipy.io import savemat

    # As MATLAB has it: samples along the last axis, labels from 1 in a column.
    savemat(folder / "own.mat", {"X": np.moveaxis(np.repeat(X[:, :, :, None], 3, 3), 0, 3), "y": Y[:, None] + 1})
    return f"mat:{folder / 'own.mat'}"


def h5(folder: Path) -> str:
    import h5py

    with h5py.File(folder / "own.h5", "w") as file:
        for split, x, y in (("train", X, Y), ("test", X_TEST, Y_TEST)):
            file.create_dataset(f"{split}/images", data=x, compression="gzip")
            file[f"{split}/labels"] = [NAMES[k] for k in y]
    return f"h5:{folder / 'own.h5'}"


def table() -> pandas.DataFrame:
    x, y = rows()
    return pandas.DataFrame(x, columns=list("abcd")).assign(kind=WORDS[y])


def csv(folder: Path) -> str:
    table().to_csv(folder / "own.csv")
    return f"csv:{folder / 'own.csv'}:label=kind"


def parquet(folder: Path) -> str:
    table().rename(columns={"kind": "label"}).to_parquet(folder / "own.parquet")
    return f"parquet:{folder / 'own.parquet'}"


def mnist(packed: bool) -> Callable[[Path], str]:
    def make(folder: Path) -> str:
        for name, array in {
            "train-images-idx3-ubyte": X, "train-labels-idx1-ubyte": Y, "t10k-images-idx3-ubyte": X_TEST, "t10k-labels-idx1-ubyte": Y_TEST,
        }.items():  # fmt: skip
            content = idx(array)
            (folder / (name + ".gz" if packed else name)).write_bytes(gzip.compress(content) if packed else content)
        return f"idx:{folder}"

    return make


def zipped(folder: Path) -> str:
    with zipfile.ZipFile(folder / "own.zip", "w") as file:
        for i, (image, k) in enumerate(zip(X, Y, strict=True)):
            file.writestr(f"wrapper/{NAMES[k]}/{i:03}.png", png(image))
        file.writestr("__MACOSX/wrapper/ant/._000.png", b"no image")
        file.writestr("wrapper/read me.txt", b"passed over")
    return f"zip:{folder / 'own.zip'}"


def tarred(folder: Path) -> str:
    with tarfile.open(folder / "own.tar.gz", "w:gz") as file:
        for split, x, y in (("train", X, Y), ("test", X_TEST, Y_TEST)):
            for i, (image, k) in enumerate(zip(x, y, strict=True)):
                info = tarfile.TarInfo(f"./{split}/{NAMES[k]}/{i:03}.png")
                info.size = len(png(image))
                file.addfile(info, io.BytesIO(png(image)))
    return f"tar:{folder / 'own.tar.gz'}"


def write(folder: Path, x: np.ndarray = X, y: np.ndarray | None = Y, ending: str = "png", **how: Any) -> Path:
    """Images in class folders, or flat where there are no labels."""
    for i, image in enumerate(x):
        place = folder if y is None else folder / NAMES[y[i]]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place / f"{i:03}.{ending}", **how)
    return folder


def split_folder(folder: Path) -> str:
    write(folder / "own/train")
    write(folder / "own/test", X_TEST, Y_TEST)
    return f"folder:{folder / 'own'}"


def flat_folder(folder: Path) -> str:
    return f"folder:{write(folder / 'own', y=None)}"


def hugging(folder: Path) -> Any:
    import datasets

    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=list(NAMES))})

    def made(x: np.ndarray, y: np.ndarray) -> Any:
        content = {"image": [{"bytes": png(i), "path": None} for i in x], "label": y.tolist()}
        return datasets.Dataset.from_dict(content, features=features)

    return datasets.DatasetDict({"train": made(X, Y), "test": made(X_TEST, Y_TEST)})


def hf(folder: Path) -> str:
    hugging(folder).save_to_disk(folder / "own")
    return f"hf:{folder / 'own'}"


def arrow(folder: Path) -> str:
    hugging(folder)["train"].save_to_disk(folder / "own")
    (file,) = (folder / "own").glob("*.arrow")
    return f"arrow:{file}"


def hub_parquet(folder: Path) -> str:
    for split, some in hugging(folder).items():
        (folder / "own/data").mkdir(parents=True, exist_ok=True)
        some.to_parquet(folder / f"own/data/{split}-00000-of-00001.parquet")
    return f"hf:{folder / 'own'}"


def h5ad(folder: Path) -> str:
    import anndata
    from scipy.sparse import csr_matrix

    x, y = rows()
    obs = pandas.DataFrame({"cell_type": pandas.Categorical(WORDS[y])}, index=[f"cell{i}" for i in range(N)])
    var = pandas.DataFrame(index=[f"gene{i}" for i in range(x.shape[1])])
    anndata.AnnData(csr_matrix(x.astype(np.float32)), obs, var).write_h5ad(folder / "own.h5ad")
    return f"h5ad:{folder / 'own.h5ad'}"


def cifar(folder: Path) -> str:
    place = folder / "cifar-10-batches-bin"
    place.mkdir()

    def records(x: np.ndarray, y: np.ndarray) -> bytes:
        wide = np.repeat(np.repeat(x, 4, 1), 4, 2).reshape(len(x), -1)
        return np.hstack([y[:, None], wide, wide, wide]).astype(np.uint8).tobytes()

    for k in range(5):
        (place / f"data_batch_{k + 1}.bin").write_bytes(records(X[30 * k : 30 * k + 30], Y[30 * k : 30 * k + 30]))
    (place / "test_batch.bin").write_bytes(records(X_TEST, Y_TEST))
    (place / "batches.meta.txt").write_text("\n".join([*NAMES, *"defghij"]))
    return f"cifar:{folder}"


LATENTS = np.stack([np.zeros(N, int), Y, np.arange(N) % 5], 1)
CASES = {
    "npz x, y": Case(savez(x=X, y=Y)),
    "npz as Keras has it": Case(savez(x_train=X, y_train=Y, x_test=X_TEST, y_test=Y_TEST), GIVEN),
    "npz as MedMNIST has it": Case(
        savez(
            train_images=X, train_labels=Y[:, None].astype(np.uint8), val_images=X_TEST[:30], val_labels=Y_TEST[:30, None],
            test_images=X_TEST[30:], test_labels=Y_TEST[30:, None],
        ), (150, 30, 30),
    ),
    "npz as dSprites has it": Case(
        savez(
            imgs=X, latents_classes=LATENTS, latents_values=LATENTS / 2, metadata=np.array({"a": 1}, dtype=object),
            options=":x=imgs:y=latents_classes",
        )
    ),
    "npy": Case(npy),
    "npy, a folder": Case(npy_folder, GIVEN),
    "mat": Case(mat, classes=("1", "2", "3")),
    "h5": pytest.param(Case(h5, GIVEN, NAMES), marks=NEEDS),
    "csv": Case(csv, classes=NAMES, space="vector"),
    "parquet": pytest.param(Case(parquet, classes=NAMES, space="vector"), marks=NEEDS),
    "idx": Case(mnist(False), GIVEN),
    "idx.gz": Case(mnist(True), GIVEN),
    "cifar": Case(cifar, GIVEN, (*NAMES, *"defghij")),
    "zip of class folders": Case(zipped, classes=NAMES),
    "tar.gz with splits": Case(tarred, GIVEN, NAMES),
    "folder with splits": Case(split_folder, GIVEN, NAMES),
    "folder, flat": Case(flat_folder, classes=()),
    "hf": pytest.param(Case(hf, GIVEN, NAMES), marks=NEEDS),
    "hf, a folder of Parquet": pytest.param(Case(hub_parquet, GIVEN, NAMES), marks=NEEDS),
    "arrow": pytest.param(Case(arrow, classes=NAMES), marks=NEEDS),
    "h5ad": pytest.param(Case(h5ad, classes=NAMES, space="vector"), marks=NEEDS),
}  # fmt: skip
PARAMS = [
    pytest.param(*c.values, marks=c.marks, id=name) if not isinstance(c, Case) else pytest.param(c, id=name)
    for name, c in CASES.items()
]


@pytest.mark.parametrize("case", PARAMS)
def test_a_container_gives_its_samples_labels_and_splits(tmp_path, case):
    text = case.make(tmp_path)
    data = load(text, tmp_path / "data")
    splits = (data.train, data.val, data.test)
    assert tuple(len(s.x) for s in splits) == case.sizes
    assert (data.space.name, data.classes) == (case.space, case.classes)
    given = case.sizes == GIVEN or case.sizes == (150, 30, 30)
    assert ("as given" in data.origin["test"]) == given
    assert data.origin["val"].startswith("all 30 of" if case.sizes[0] == 150 else f"{case.sizes[1]} of the 150 of")
    if case.space == "image":
        whole = torch.cat([s.x for s in splits])
        assert whole.dtype == torch.float32
        assert (float(whole.min()), float(whole.max())) == (0, pytest.approx(200 / 255))
        levels = [(s.x.flatten(1).mean(1) * 255 / 80).floor().long() for s in splits]
        known = Counter(
            np.rint(255 * row.flatten().double().numpy()).astype(int).tobytes() for row in data.test.x[:, 0, ::1]
        )
        if given and data.shape == (1, 8, 8):  # the very test images
            assert set(known) <= {x.astype(int).tobytes() for x in X_TEST}
    else:
        raw = [data.space.scale.to_raw(s.x) for s in splits]
        assert float((data.train.x.mean(0)).abs().max()) < 1e-5
        assert torch.allclose(data.train.x.std(0, correction=0), torch.ones(4), atol=1e-4)
        assert sorted(map(tuple, torch.cat(raw).round().int().tolist())) == sorted(map(tuple, rows()[0].tolist()))
        levels = [(r[:, 0] / 80).floor().long() for r in raw]
        assert len(data.space.columns) == 4
        assert any("counts" in note for note in data.notes)
    for split, level in zip(splits, levels, strict=True):
        assert split.y is None if not case.classes else torch.equal(split.y, level)
    again = load(text, tmp_path / "data")
    assert (again.sha256, again.notes, again.origin) == (data.sha256, data.notes, data.origin)


# Which array is what


def told(text: str, capsys: pytest.CaptureFixture[str]) -> str:
    """The refusal of a dataset: one line, exit code 2, no traceback, nothing written."""
    assert main(["run", "--dataset", text, "--dry-run"]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1, captured.err
    assert captured.out == ""
    return captured.err


FLOATS = X.astype(np.float32)


@pytest.mark.parametrize(
    ("options", "arrays", "words"),
    [
        ("", {"a": X, "b": X[:, :, :4]}, ["there: a (150, 8, 8) uint8, b (150, 8, 4) uint8", "x=NAME"]),
        (":x=image", {"images": X, "b": X}, ["unknown array 'image'", "did you mean 'images'?"]),
        (":z=images", {"images": X}, ["unknown option of npz:PATH 'z'", "allowed:", "x_train"]),
        (":x=", {"x": X}, ["option x has no value"]),
        (":x=a:x=a", {"a": X}, ["option x stands twice"]),
        ("", {"x_test": X}, ["x_test and no training part", "x_train=NAME"]),
        ("", {"x_train": X, "y_train": Y, "x_test": X_TEST}, ["x_test has no labels", "y=none"]),
        ("", {"x_train": X, "x_test": X_TEST[:, 1:]}, ["different shapes", "x_test (60, 7, 8)"]),
        ("", {"x_train": X, "x_test": X[:19]}, ["the test split has 19 images; at least 20"]),
        (":layout=serie", {"x": FLOATS}, ["unknown layout", "did you mean 'series'?"]),
        (":shape=8x9", {"x": X.reshape(N, -1)}, ["shape '8x9'", "64 values"]),
        (":range=5,1", {"x": X}, ["range '5,1'", "the lower first"]),
        (":range=0,100", {"x": X}, ["outside range=0,100"]),
        ("", {"x": FLOATS * 3 - 200}, ["range=-200,400", "layout=series"]),
        (":y=latents[7]", {"x": X, "latents": LATENTS}, ["columns 0 to 2, not 7"]),
    ],
)  # fmt: skip
def test_arrays_that_cannot_be_told_apart_are_asked_for_in_one_line(tmp_path, capsys, options, arrays, words):
    message = told(savez(options=options, **arrays)(tmp_path), capsys)
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("options", "arrays", "y"),
    [
        (":x=a", {"a": X, "b": X_TEST, "labels": Y}, "labels"),
        (":x=a:y=b", {"a": X, "b": Y, "labels": Y * 0}, "b"),
        (":y=none", {"x": X, "y": Y}, None),
        ("", {"stuff": X, "n": np.array(3)}, None),
        (":x=images_train", {"images_train": X, "labels_train": Y, "images_test": X_TEST[:5]}, "labels_train"),
        (":y=latents[1]", {"x": X, "latents": LATENTS}, "latents"),
    ],
)
def test_arrays_that_were_asked_for_are_taken(tmp_path, options, arrays, y):
    data = load(savez(options=options, **arrays)(tmp_path))
    assert (data.train.y is None) == (y is None)
    assert [len(s.x) for s in (data.train, data.val, data.test)] == [90, 30, 30]
    if y is not None:
        assert torch.equal(data.test.y, (data.test.x.mean((1, 2, 3)) * 255 / 80).long())


def test_a_path_keeps_its_colons(tmp_path):
    assert where("npz", r"C:\data\own.npz:x=a", ("x", "y")) == (r"C:\data\own.npz", {"x": "a"})
    assert where("npz", r"C:\data\x:y.npz", ("x", "y")).path == r"C:\data\x:y.npz"
    assert where("h5", "own.h5:x=group/a:y=group/b", ("x", "y")).options == {"x": "group/a", "y": "group/b"}
    odd = tmp_path / "odd:x=1.npz"
    odd.touch()
    assert where("npz", str(odd), ("x",)) == (str(odd), {})
    with pytest.raises(ValueError, match="is an address; download it"):
        where("npz", "https://example.org/own.npz:x=a", ("x",))


@pytest.mark.parametrize(
    ("x", "options", "bottom", "top", "note"),
    [
        (X, "", 0, 255, ""),
        (X // 80 > 1, "", 0, 1, ""),
        ((X // 80 > 1).astype(np.uint8), "", 0, 1, ""),
        (X / 255, "", 0, 1, ""),
        (X.astype(float), "", 0, 255, "from 0 to 255"),
        (X.astype(np.int64), "", 0, 255, "from 0 to 255"),
        (X / 100 - 1, "", -1, 1, "from -1 to 1"),
        (X.astype(np.uint16) * 20, "", 0, 4095, "from 0 to 4095"),
        (X.astype(np.uint16) * 257, "", 0, 65535, ""),
        (X // 10, "", 0, 255, "less than a tenth"),
        (X / 255 / 20, "", 0, 1, "less than a tenth"),
        (X // 10, ":range=0,20", 0, 20, "from 0 to 20"),
        (FLOATS - 100, ":range=-100,100", -100, 100, "from -100 to 100"),
    ],
)
def test_values_are_read_as_what_they_hold_and_it_is_said(tmp_path, x, options, bottom, top, note):
    data = load(savez(x=x, options=options)(tmp_path))
    got = torch.cat([s.x for s in (data.train, data.val, data.test)]).flatten(1).double().numpy()
    expected = ((np.asarray(x, float) - bottom) / (top - bottom)).reshape(N, -1)
    order = [a[np.lexsort(np.round(a, 5).T)] for a in (got, expected)]
    assert np.allclose(*order, atol=1e-5)
    assert any(note in said for said in data.notes) if note else data.notes == ()


def test_rows_without_a_label_are_left_out_and_it_is_said(tmp_path):
    y = np.where(np.arange(N) < 12, -1, Y)
    data = load(savez(x=X, y=y)(tmp_path))
    assert sum(len(s.x) for s in (data.train, data.val, data.test)) == N - 12
    assert any("12 of 150 samples have no label" in note for note in data.notes)
    few = load(savez(x=X, y=np.where(np.arange(N) < 100, -1, Y))(tmp_path))
    assert few.train.y is None
    assert any("100 of 150 samples have no label" in note for note in few.notes)


def test_a_class_that_stands_only_in_test_is_said(tmp_path):
    data = load(
        savez(x_train=X, y_train=WORDS[Y], x_test=X_TEST, y_test=np.array(["ant", "dog"])[Y_TEST % 2])(tmp_path)
    )
    assert data.classes == ("ant", "bee", "cat", "dog")
    assert any("without a training sample: dog" in note for note in data.notes)


# Axes


def test_series_and_vectors(tmp_path):
    rng = np.random.default_rng(0)
    waves = rng.normal(3, 2, (N, 20, 2)).astype(np.float32)
    data = load(savez(x=waves, y=Y)(tmp_path))
    assert (data.space.name, data.shape) == ("series", (20, 2))
    assert torch.allclose(data.train.x.mean((0, 1)), torch.zeros(2), atol=1e-5)
    wide = rng.normal(size=(N, 20, 9)).astype(np.float32)
    assert load(savez(x=wide, options=":layout=series")(tmp_path)).space.name == "series"
    assert load(savez(x=wide, options=":layout=vector")(tmp_path)).shape == (180,)
    assert load(savez(x=X.reshape(N, -1), options=":shape=8x8")(tmp_path)).shape == (1, 8, 8)
    assert load(savez(x=X[:, :4, :, None].repeat(4, 3), options=":layout=channels_last")(tmp_path)).shape == (4, 4, 8)


def test_columns_that_never_change_keep_their_width(tmp_path):
    x = np.column_stack([np.arange(N), np.full(N, 7.5)])
    data = load(savez(x=x)(tmp_path))
    assert data.space.scale.width[1] == 1
    assert not data.train.x[:, 1].any()
    assert any("1 columns never change" in note for note in data.notes)
    assert torch.equal(data.space.scale.to_raw(data.test.x)[:, 1], torch.full((30,), 7.5))


# Tables


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,b,kind\n" + "1,2,x\n" * 150, ["column kind holds no numbers", "drop=COLUMN", "label=COLUMN"]),
        ("a,b\n" + "1,2\n" * 149 + "1,\n", ["column b has 1 missing values", "drop=b"]),
        ("a,a\n" + "1,2\n3,4\n" * 75, ["all training rows are the same", "two columns", "a.1"]),
        ("", ["cannot be read as a table"]),
        ("a,b\n1,2\n", ["1 rows are too few"]),
    ],
)
def test_tables_that_cannot_be_used_are_refused_in_one_line(tmp_path, capsys, text, words):
    (tmp_path / "own.csv").write_text(text)
    if "a,a" in text:  # pandas names the second one a.1
        assert load(f"csv:{tmp_path / 'own.csv'}").space.columns == ("a", "a.1")
        return
    message = told(f"csv:{tmp_path / 'own.csv'}", capsys)
    for word in words:
        assert word in message


def test_a_table_says_its_splits_labels_and_separator(tmp_path):
    x, y = rows(210)
    frame = pandas.DataFrame(x, columns=list("abcd")).assign(species=WORDS[y], split=["train"] * 150 + ["test"] * 60)
    with gzip.open(tmp_path / "own.csv.gz", "wt") as file:
        frame.to_csv(file, sep=";", index=False)
    data = load(f"csv:{tmp_path / 'own.csv.gz'}:drop=b,d")
    assert (data.space.columns, data.classes) == (("a", "c"), NAMES)
    assert [len(s.x) for s in (data.train, data.val, data.test)] == [125, 25, 60]
    assert sorted(data.space.scale.to_raw(data.test.x)[:, 0].round().int().tolist()) == sorted(x[150:, 0].tolist())
    np.savetxt(tmp_path / "bare.csv", x, delimiter=",", fmt="%d")
    bare = load(f"csv:{tmp_path / 'bare.csv'}")
    assert (bare.space.columns, bare.train.y) == (("c0", "c1", "c2", "c3"), None)
    assert sum(len(s.x) for s in (bare.train, bare.val, bare.test)) == 210


# Folders


def notes_of(path: Path, options: str = "") -> tuple[Any, str]:
    data = load(f"folder:{path}{options}")
    return data, " | ".join(data.notes)


def test_images_and_masks_are_no_classes(tmp_path):
    for split, x in (("train", X), ("test", X_TEST)):
        write(tmp_path / f"own/{split}/images", x, None)
        write(tmp_path / f"own/{split}/masks", 255 - x, None)
    data, notes = notes_of(tmp_path / "own")
    assert (data.classes, [len(s.x) for s in (data.train, data.val, data.test)]) == ((), [125, 25, 60])
    assert "masks/ is no class: 150 images in it are left out" in notes
    assert float(data.test.x.max()) == pytest.approx(200 / 255)


def test_a_third_level_belongs_to_the_class_it_is_in(tmp_path):
    for i, (image, k) in enumerate(zip(X, Y, strict=True)):
        place = tmp_path / f"own/{NAMES[k]}/batch{i % 2}"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place / f"{i}.png")
    data, notes = notes_of(tmp_path / "own")
    assert data.classes == NAMES
    assert torch.equal(data.test.y, (data.test.x.mean((1, 2, 3)) * 255 / 80).long())
    assert "150 images of own lie in folders within the classes' folders" in notes


def test_one_folder_is_no_class(tmp_path):
    write(tmp_path / "own/ant", y=None)
    data, notes = notes_of(tmp_path / "own")
    assert data.train.y is None
    assert "ant/ is the only folder and no class" in notes


@pytest.mark.parametrize(
    ("folders", "words"),
    [
        (("train", "test", "cats"), "splits are named train/, val/ and test/"),
        (("train", "training"), "splits are named"),
        (("val", "test"), "val and test and no training part"),
    ],
)
def test_folders_of_splits_beside_others_are_refused(tmp_path, folders, words):
    for name in folders:
        write(tmp_path / f"own/{name}", X_TEST, Y_TEST)
    with pytest.raises(ValueError, match=words) as caught:
        load(f"folder:{tmp_path / 'own'}")
    assert "\n" not in str(caught.value)


def test_classes_in_one_split_alone_are_refused(tmp_path):
    write(tmp_path / "own/train")
    write(tmp_path / "own/test", X_TEST, None)
    with pytest.raises(ValueError, match="test/ holds no classes and others do"):
        load(f"folder:{tmp_path / 'own'}")


def test_the_commonest_size_wins_where_there_is_one(tmp_path):
    root = write(tmp_path / "own", y=None)
    Image.fromarray(np.full((20, 16), 9, np.uint8)).save(root / "000.png")
    data, notes = notes_of(root)
    assert data.shape == (1, 8, 8)
    assert "1 of 150 images were brought to 8x8" in notes
    for i in range(100):
        Image.fromarray(np.full((8, 9 + i), i, np.uint8)).save(root / f"{i:03}.png")
    with pytest.raises(ValueError, match=r"101 sizes.*name a size"):
        load(f"folder:{root}")
    assert load(f"folder:{root}:size=8").shape == (1, 8, 8)


def test_deep_images_keep_what_they_hold(tmp_path):
    twelve = [(x.astype(np.uint16) * 20) for x in X]  # up to 4,000 of 4,095
    data, notes = notes_of(write(tmp_path / "twelve", twelve, None))
    assert "from 0 to 4095" in notes
    assert float(data.train.x.max()) == pytest.approx(4000 / 4095, abs=0.003)
    data, notes = notes_of(write(tmp_path / "floats", [x.astype(np.float32) / 100 - 1 for x in X], None, "tiff"))
    assert "from -1 to 1" in notes
    assert float(torch.cat([s.x for s in (data.train, data.val, data.test)]).max()) == 1
    odd = write(tmp_path / "odd", [x.astype(np.float32) * 10 for x in X], None, "tiff")
    with pytest.raises(ValueError, match=r"values from 0 to 2000.*range=0,2000"):
        load(f"folder:{odd}")
    assert float(notes_of(odd, ":range=0,2000")[0].train.x.max()) == 1
    assert "less than a tenth" in notes_of(write(tmp_path / "dark", X // 10, None))[1]
    assert float(notes_of(tmp_path / "dark", ":range=0,20")[0].train.x.max()) == 1


def test_palettes_transparency_cmyk_and_frames(tmp_path):
    root = write(tmp_path / "own", y=None)
    clear = np.zeros((8, 8, 4), np.uint8)
    clear[:4, :, 3] = 255  # black above, nothing below
    Image.fromarray(clear).save(root / "000.png")
    Image.fromarray(np.full((8, 8, 4), (0, 255, 255, 0), np.uint8), "CMYK").save(root / "001.jpg", quality=100)
    (root / "001.png").unlink()
    frames = [Image.fromarray(np.full((8, 8), v, np.uint8)) for v in (33, 200)]
    frames[0].save(root / "002.gif", save_all=True, append_images=frames[1:])
    (root / "002.png").unlink()
    data, notes = notes_of(root)
    assert data.shape == (3, 8, 8)
    assert "1 images with transparency were put on white" in notes
    assert "of 1 images with several frames the first is used" in notes
    whole = torch.cat([s.x for s in (data.train, data.val, data.test)])
    (half,) = [x for x in whole if not x[:, :4].any() and bool((x[:, 4:] == 1).all())]
    assert half.shape == (3, 8, 8)
    red = [x for x in whole if float(x[0].mean()) > 0.9 and float(x[1].mean()) < 0.15]
    assert len(red) == 1
    assert sum(bool(((x * 255).round() == 33).all()) for x in whole) == 1
    grey = write(tmp_path / "grey", y=None)
    Image.fromarray(X[0]).convert("P").save(grey / "000.png")
    assert load(f"folder:{grey}").shape == (1, 8, 8)


def test_a_broken_file_is_named_counted_and_left_out(tmp_path):
    root = write(tmp_path / "own")
    (root / "bee/001.png").write_bytes(b"no image")
    data, notes = notes_of(root)
    assert sum(len(s.x) for s in (data.train, data.val, data.test)) == N - 1
    assert "1 of 150 files cannot be read and are left out: bee/001.png" in notes
    assert torch.equal(data.test.y, (data.test.x.mean((1, 2, 3)) * 255 / 80).long())
    (root / "bee/004.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"cannot be read as an image.*2 of the 150 files"):
        load(f"folder:{root}")


def test_given_splits_and_broken_files_are_the_same_when_streamed(tmp_path):
    from latentbench.datasets import folder

    write(tmp_path / "own/train", *pictures(1800))
    write(tmp_path / "own/test", *pictures(300, 1))
    (tmp_path / "own/test/ant/000.png").write_bytes(b"no image")
    (tmp_path / "own/.hidden.png").write_bytes(b"no image")
    memory = folder.load(str(tmp_path / "own"), "", 0)
    disk = folder.load_within(str(tmp_path / "own"), str(tmp_path), 0, 16 * 120 * 64 * 4, True)
    assert dict(disk.whole) == {"train": 1500, "val": 300, "test": 299}
    assert torch.equal(torch.cat(list(disk.stream.blocks())), memory.train.x)
    assert (disk.notes, disk.origin, disk.classes) == (memory.notes, memory.origin, memory.classes)
    assert torch.equal(disk.test.y, (disk.test.x.mean((1, 2, 3)) * 255 / 80).long())
    again = folder.load_within(str(tmp_path / "own"), str(tmp_path), 0, 16 * 120 * 64 * 4, False)
    assert (again.sha256, again.notes) == (disk.sha256, disk.notes)


def test_a_folder_within_the_deepest_is_the_end(tmp_path):
    place = tmp_path.joinpath(*["deep"] * (tree.DEEPEST + 5))
    write(place, y=None)
    with pytest.raises(ValueError, match="no images in it"):
        load(f"folder:{tmp_path}")


# Archives


def archive(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path


def test_archives_write_nowhere_else(tmp_path, capsys):
    for name in ("../out.png", "/tmp/out.png", "a/../../out.png", "C:\\out.png"):
        path = archive(tmp_path / "own.zip", {"a.png": png(X[0]), name: png(X[1])})
        assert "leads out of the archive" in told(f"zip:{path}", capsys)
    assert not (tmp_path / "out.png").exists()
    with tarfile.open(tmp_path / "own.tar", "w") as file:
        link = tarfile.TarInfo("link.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        file.addfile(link)
    assert "no images in it" in told(f"tar:{tmp_path / 'own.tar'}", capsys)


def test_bombs_and_damaged_archives_are_a_line(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    bomb = archive(tmp_path / "bomb.zip", {f"{i}.png": bytes(2**28 if i < 5 else 1) for i in range(5)})
    assert "its images take" in told(f"zip:{bomb}", capsys)
    whole = archive(tmp_path / "own.zip", {f"{i}.png": png(x) for i, x in enumerate(X)}).read_bytes()
    (tmp_path / "cut.zip").write_bytes(whole[: len(whole) // 2])
    assert "cannot be read as a zip archive" in told("zip:cut.zip", capsys)
    (tmp_path / "cut.tar.gz").write_bytes(gzip.compress(whole)[:500])
    assert "cannot be read as a tar archive" in told("tar:cut.tar.gz", capsys)
    assert not list((tmp_path / "data/unpacked").glob("[!.]*"))


# Files that are none


JUNK = {
    "npz": b"junk", "npy": b"\x93NUMPY\x01\x00\x10\x00junk", "mat": b"MATLAB 5.0 MAT-file" + bytes(200), "idx": b"\0\0\x08\x03\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
    "csv": b"\xff\xfe\x00\x01\n\x80", "zip": b"PK\x03\x04junk", "tar": b"junk" * 200,
}  # fmt: skip


@pytest.mark.parametrize("prefix", JUNK)
def test_junk_is_refused_in_one_line(tmp_path, capsys, prefix):
    (tmp_path / "junk").write_bytes(JUNK[prefix])
    for name in ("junk", "absent", "."):
        told(f"{prefix}:{tmp_path / name}", capsys)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"junk" * 9, "it does not begin as one"),
        (b"\0\0\x08\x03\0\0", "it ends within its header"),
        (b"\0\0\x08\x01\0\0\0\x05abc", "it declares 5 bytes and has 3"),
        (b"\0\0\x08\x01\0\0\0\x02abc", "it declares 2 bytes and has more"),
        (gzip.compress(b"\0\0\x08\x01\0\0\0\x05abcde", mtime=0)[:-9], "Compressed file ended"),
    ],
)
def test_a_damaged_idx_file_says_what_it_lacks(tmp_path, capsys, content, why):
    path = tmp_path / f"own.idx{'.gz' * (content[:2] == bytes([31, 139]))}"
    path.write_bytes(content)
    line = told(f"idx:{path}:x=own", capsys)
    assert "own.idx" in line
    assert "cannot be read as an idx file" in line
    assert why in line


def test_a_place_without_cifar_is_told_what_one_has(tmp_path, capsys):
    (tmp_path / "file").touch()
    for name, what in (("", "no CIFAR in it"), ("file", "is no folder"), ("absent", "no such folder")):
        line = told(f"cifar:{tmp_path / name}", capsys)
        assert what in line
        assert "needs a folder with one of cifar-10-batches-bin" in line


@NEEDS
@pytest.mark.parametrize("prefix", ["h5", "parquet", "arrow", "h5ad", "hf"])
def test_junk_of_the_other_formats_is_refused_in_one_line(tmp_path, capsys, prefix):
    (tmp_path / "junk").write_bytes(b"\x89HDF\r\n\x1a\njunk" if prefix == "h5" else b"junk")
    for name in ("junk", "absent", "."):
        told(f"{prefix}:{tmp_path / name}", capsys)


@pytest.mark.parametrize("prefix", ["h5", "parquet", "hf", "arrow", "h5ad"])
def test_a_package_that_is_missing_is_named_with_the_line_that_installs_it(tmp_path, capsys, monkeypatch, prefix):
    import sys

    package = {"h5": "h5py", "parquet": "pyarrow", "hf": "datasets", "arrow": "datasets", "h5ad": "anndata"}[prefix]
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setitem(sys.modules, f"{package}.parquet", None)
    (tmp_path / "own").touch()
    assert f"pip install {package}" in told(f"{prefix}:{tmp_path / 'own'}", capsys)


def test_pickles_are_never_read(tmp_path, capsys):
    class Trap:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "sprung",))

    np.save(tmp_path / "own.npy", np.array([Trap()] * 150, dtype=object))
    assert "Python objects" in told(f"npy:{tmp_path / 'own.npy'}", capsys)
    import pickle

    place = tmp_path / "cifar-10-batches-py"
    place.mkdir()
    for name in (*(f"data_batch_{k}" for k in range(1, 6)), "test_batch", "batches.meta"):
        (place / name).write_bytes(pickle.dumps(Trap()))
    assert "only the published files are read" in told(f"cifar:{tmp_path}", capsys)
    assert not (tmp_path / "sprung").exists()


def test_what_is_too_large_is_refused_before_anything_is_allocated(tmp_path, capsys):
    (tmp_path / "own.idx").write_bytes(struct.pack(">HBB3I", 0, 8, 3, 2**31, 2**15, 2**15) + b"\0" * 100)
    assert "more than half of this machine's memory" in told(f"idx:{tmp_path / 'own.idx'}:x=own", capsys)
    head = "{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000, 1000, 1000), }".ljust(117) + "\n"
    (tmp_path / "own.npy").write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode())
    assert "memory" in told(f"npy:{tmp_path / 'own.npy'}", capsys)
    with zipfile.ZipFile(tmp_path / "own.zip", "w") as file:
        file.writestr("a.png", bytes(10))
    assert "cannot be read as an image" in told(f"zip:{tmp_path / 'own.zip'}", capsys)


# What was understood


def test_a_dry_run_says_what_was_understood(tmp_path, capsys):
    text = split_folder(tmp_path)
    (tmp_path / "own/train/bee/001.png").write_bytes(b"no image")
    assert main(["run", "--dataset", text, "--dry-run", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)["data"]
    assert (said["space"], said["shape"], said["range"]) == ("image", [1, 8, 8], [0, pytest.approx(200 / 255)])
    assert said["classes"]["bee"] == {"train": 41, "val": 8, "test": 20}
    assert said["splits"]["test"] == {"rows": 60, "origin": "all 60 of test/, as given"}
    assert said["splits"]["val"] == {"rows": 25, "origin": "25 of the 149 of train/, drawn by the split seed"}
    assert said["notes"] == ["1 of 210 files cannot be read and are left out: train/bee/001.png"]
    assert main(["run", "--dataset", text, "--dry-run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("data\town: image 1 x 8 x 8")
    assert "test\t60: all 60 of test/, as given" in lines
    assert main(["run", "--dataset", csv(tmp_path), "--dry-run", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)["data"]
    assert (said["space"], said["columns"], said["raw_range"]) == ("vector", list("abcd"), [0, 200])


def test_a_page_says_where_the_splits_come_from(tmp_path):
    from latentbench.records import Reason
    from latentbench.report.sections.protocol import _origin
    from latentbench.report.wording import language, words
    from latentbench.running.provenance import describe_run

    data = load(split_folder(tmp_path))
    about = json.loads(json.dumps(describe_run({"dataset": "x"}, [data], [], {}, "", {}).dataset))
    assert [str(reason) for _, reason in _origin(about)] == [str(data.origin[s]) for s in ("train", "val", "test")]
    with language.speaking("zh"):
        said = [words.reason(reason) for _, reason in _origin(about)]
    assert all(a != str(b) for a, b in zip(said, data.origin.values(), strict=True))
    assert Reason.from_json(about["origin"]["test"]).code == "data.given"
