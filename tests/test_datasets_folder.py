"""An image folder as a dataset: classes, sizes, colours; and every folder that cannot be used is refused in one line."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from test_datasets import check, load

RNG = np.random.default_rng(0)


def picture(path, size=(12, 10), mode="L", value=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (size[1], size[0]) if mode == "L" else (size[1], size[0], 3)
    array = RNG.integers(0, 256, shape) if value is None else np.full(shape, value)
    Image.fromarray(array.astype(np.uint8)).save(path)


@pytest.fixture
def folder(tmp_path):
    """60 grey pictures each of two classes, 12 wide and 10 high; class ``ant`` darker."""
    for i in range(60):
        picture(tmp_path / f"own/ant/{i:02}.png", value=i)
        picture(tmp_path / f"own/bee/{i:02}.png", value=100 + i)
    return tmp_path / "own"


def test_sub_folders_are_the_classes(folder):
    (folder / "bee/notes.txt").write_text("passed over")
    (folder / ".cache").mkdir()
    picture(folder / ".cache/hidden.png")
    (folder / "empty").mkdir()
    data = load(f"folder:{folder}")
    check(data)
    assert (data.name, data.shape, data.classes) == ("own", (1, 10, 12), ("ant", "bee"))
    assert [len(s.x) for s in (data.train, data.val, data.test)] == [72, 24, 24]
    for split in (data.train, data.val, data.test):
        assert torch.equal(split.x.mean((1, 2, 3)) * 255 > 80, split.y == 1)
    values = torch.cat([s.x[:, 0, 0, 0] for s in (data.train, data.val, data.test)]).mul(255).round().int()
    assert sorted(values.tolist()) == [*range(60), *range(100, 160)]
    assert data.sha256 == load(f"folder:{folder}").sha256 != load(f"folder:{folder}", seed=1).sha256


def test_without_sub_folders_there_are_no_labels(tmp_path):
    for i in range(120):
        picture(tmp_path / f"{i}.jpg")
    data = load(f"folder:{tmp_path}")
    check(data)
    assert data.train.y is None


def test_one_coloured_picture_makes_all_of_them_rgb(folder):
    picture(folder / "ant/00.png", mode="RGB")
    assert load(f"folder:{folder}").shape == (3, 10, 12)


@pytest.mark.parametrize(
    ("size", "shape"), [("@8", (1, 8, 8)), ("@8x4", (1, 4, 8)), (":size=8x4", (1, 4, 8)), ("", (1, 10, 12))]
)
def test_all_get_the_commonest_size_or_the_one_asked_for(folder, size, shape):
    picture(folder / "bee/zz.png", size=(31, 17), value=77)
    data = load(f"folder:{folder}{size}")
    check(data)
    assert data.shape == shape


def test_shrinking_is_a_mean_over_areas(tmp_path):
    for i in range(120):
        picture(tmp_path / f"{i:03}.png", size=(8, 8))
    x = np.stack([np.asarray(Image.open(tmp_path / f"{i:03}.png"), dtype=float) for i in range(120)]) / 255
    data = load(f"folder:{tmp_path}@4")
    got = torch.cat([s.x for s in (data.train, data.val, data.test)])[:, 0].flatten(1)
    expected = torch.tensor(x).view(120, 4, 2, 4, 2).mean((2, 4)).flatten(1)
    assert float(torch.cdist(got.double(), expected).min(1).values.max()) < 0.02


def test_a_folder_may_have_an_at_in_its_name(folder):
    folder.rename(folder.with_name("own@8"))
    assert load(f"folder:{folder}@8").shape == (1, 10, 12)


def test_sixteen_bits_are_scaled_and_cameras_turned(tmp_path):
    for i in range(120):
        Image.fromarray(np.full((6, 4), 257 * i, dtype=np.uint16)).save(tmp_path / f"{i:03}.png")
    data = load(f"folder:{tmp_path}")
    assert sorted(round(255 * float(v)) for s in (data.train, data.val, data.test) for v in s.x[:, 0, 0, 0]) == [
        *range(120)
    ]
    exif = Image.Exif()
    exif[0x0112] = 6
    for i in range(130):
        Image.fromarray(np.full((6, 4), i, dtype=np.uint8)).save(tmp_path / f"{i:03}.jpg", exif=exif)
    assert load(f"folder:{tmp_path}").shape == (1, 4, 6)


def test_folders_that_cannot_be_used_are_refused_in_one_line(tmp_path, folder):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    for i in range(120):
        picture(tmp_path / f"same/{i}.png", value=3)
        picture(tmp_path / f"large/{i}.png", size=(300, 8))
        picture(tmp_path / f"broken/{i}.png")
        picture(tmp_path / f"cut/{i}.png", size=(40, 40))
    picture(tmp_path / "mixed/one.png")
    picture(tmp_path / "mixed/cat/one.png")
    picture(tmp_path / "few/one.png")
    for i in range(3, 5):
        (tmp_path / f"broken/{i}.png").write_bytes(b"not an image")
    whole = (tmp_path / "cut/7.png").read_bytes()
    for i in range(6, 8):
        (tmp_path / f"cut/{i}.png").write_bytes(whole[: len(whole) // 2])
    expected = {
        "absent": "no such folder",
        "file": "is a file",
        "empty": "no images in it",
        "same": "all images are the same",
        "large": "300x8 pixels.*folder:.*@64",
        "broken": r"3.png: cannot be read as an image.*2 of the 120",
        "cut": r"6.png: cannot be read as an image.*2 of the 120",
        "mixed": "both in it .* and in sub-folders",
        "few": "all images are the same",
        "own@2": "size 2x2 is not allowed",
        "own@1000": "size 1000x1000 is not allowed",
    }
    for name, words in expected.items():
        with pytest.raises(ValueError, match=words) as caught:
            load(f"folder:{tmp_path / name}")
        assert "\n" not in str(caught.value)
        assert name.partition("@")[0] in str(caught.value)
