"""What is handed over is understood as it is or asked about, and callables see exactly that: `latentbench.evaluating.given`."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st
from PIL import Image as Pillow
from torch.utils.data import DataLoader, TensorDataset

import latentbench as lb
from latentbench.datasets import digits
from latentbench.datasets.labels import classes_of
from latentbench.evaluating.given import Options, given
from latentbench.evaluating.handed import Handed
from latentbench.evaluating.layout import Layout
from latentbench.randomness import numpy_rng
from latentbench.spaces.image import Image
from latentbench.spaces.series import Series
from latentbench.spaces.vector import Vector

RNG = numpy_rng(0, "test given")
GREY = torch.from_numpy(RNG.random((60, 1, 8, 8), dtype=np.float32))
COLOUR = RNG.random((60, 8, 8, 3), dtype=np.float32)
TABLE = RNG.normal([0, 5, -300], [1, 0.1, 40], (60, 3))


def understood(x, y=None, x_train=None, y_train=None, x_val=None, y_val=None, **options):
    return given("mine", 0, (x, y), (x_train, y_train), (x_val, y_val), Options(**options))


def mse(encode, decode, x, **more):
    return lb.evaluate(encode, decode, x, metrics="mse", **more).value("mse")


def flat(x):
    return x.reshape(len(x), -1)


def same(x):
    return x


# The numbers that were wrong, or refused with a library's own error.


def test_an_exact_autoencoder_of_channels_last_reads_zero():
    seen = []

    def encode(x):
        seen.append(tuple(x.shape[1:]))
        return flat(x)

    assert mse(encode, lambda z: z.reshape(-1, 8, 8, 3), COLOUR) == 0
    assert set(seen) == {(8, 8, 3)}


def test_flat_outputs_are_unflattened_in_the_layout_that_was_handed_over():
    from sklearn.decomposition import PCA

    for x in (COLOUR, COLOUR.transpose(0, 3, 1, 2)):
        pca = PCA(5).fit(flat(x))
        expected = float(((pca.inverse_transform(pca.transform(flat(x))) - flat(x)) ** 2).mean())
        found = mse(lambda a, pca=pca: pca.transform(flat(np.asarray(a))), pca.inverse_transform, x)
        assert found == pytest.approx(expected, rel=1e-5)


def test_another_layout_than_was_handed_over_is_refused():
    with pytest.raises(ValueError, match=r"decode returned shape \(4, 3, 8, 8\); expected \(n, 8, 8, 3\)"):
        mse(flat, lambda z: z.reshape(-1, 8, 8, 3).permute(0, 3, 1, 2), COLOUR)


def test_bytes_of_zero_and_one_are_not_divided():
    x = (GREY > 0.3).to(torch.uint8)
    expected = float(x.double().mean())
    for one in (x, x.bool(), x.float(), x.numpy(), x.bool().numpy(), x.long()):
        assert mse(lambda a: flat(a)[:, :4], lambda z: torch.zeros(len(z), 64), one) == pytest.approx(expected)


def test_bytes_are_handed_on_as_bytes():
    x, seen = (GREY * 255).to(torch.uint8), []

    def encode(a):
        seen.append((a.dtype, int(a.max())))
        return flat(a)

    assert mse(encode, same, x) == 0
    assert seen[0][0] == torch.uint8
    assert max(high for _, high in seen) == int(x.max())
    assert mse(lambda a: flat(a)[:, :4], lambda z: torch.full((len(z), 64), 255.0), x) == pytest.approx(
        float((x.double() / 255 - 1).square().mean()), rel=1e-6
    )


def test_floats_of_another_range_are_recognised_and_said():
    expected = float(GREY.double().square().mean())
    for x, low, span in ((GREY * 2 - 1, -1.0, "-1, 1"), (GREY * 255, 0.0, "0, 255")):
        with pytest.warns(UserWarning, match=rf"say range=\({span}\)"):
            found = lb.evaluate(
                lambda a: flat(a)[:, :4], lambda z, v=low: torch.full((len(z), 64), v), x, metrics="mse"
            )
        assert found.value("mse") == pytest.approx(expected, rel=1e-5)
        run = next(r for r in found.records if r.kind == "run")
        assert run.detail["dataset"]["range"] == [float(v) for v in span.split(",")]
        assert run.detail["dataset"]["layout"] == "n,c,h,w"
        assert "measured in [0, 1]" in run.detail["dataset"]["notes"][0]["text"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert mse(flat, same, GREY * 6 - 3, range=(-3, 3)) == pytest.approx(0, abs=1e-12)


def test_vectors_are_measured_standardised_or_as_they_are():
    from sklearn.datasets import load_breast_cancer
    from sklearn.decomposition import PCA

    x = load_breast_cancer().data
    pca = PCA(3).fit(x)
    error = pca.inverse_transform(pca.transform(x)) - x

    class Peer:
        def transform(self, a):
            return pca.transform(np.asarray(a))

        inverse_transform = staticmethod(pca.inverse_transform)

    raw = lb.evaluate(Peer(), x_test=x, scale=None, metrics="mse").value("mse")
    assert raw == pytest.approx(float((error**2).mean()), rel=1e-5)
    standard = lb.evaluate(Peer(), x_test=x, metrics="mse").value("mse")
    assert standard == pytest.approx(float(((error / x.std(0)) ** 2).mean()), rel=1e-5)


def test_one_class_or_a_lone_member_leaves_out_the_judge_alone():
    data = digits.load("", "", 0)
    one = torch.zeros(len(data.test.x), dtype=torch.long), torch.zeros(len(data.train.x), dtype=torch.long)
    lone = data.test.y, torch.where(torch.arange(len(data.train.y)) == 3, 77, data.train.y)
    for (y_test, y_train), why in ((one, "two classes"), (lone, "class 77 has a single training sample")):
        found = lb.evaluate(
            flat, same, data.test.x, y_test, data.train.x, y_train, metrics="mse,validity.normal,probe.knn"
        )
        assert found.value("mse") == 0
        rows = {r.metric: r for r in found.records if r.model == "mine" and r.split == "test"}
        assert why in rows["validity.normal"].reason
        assert rows["validity.normal"].status == "skipped"
        assert rows["probe.knn"].status == ("skipped" if why == "two classes" else "ok")


def test_a_narrow_image_is_measured():
    x = GREY.reshape(-1, 1, 1, 64)
    assert understood(x).dataset.shape == (1, 1, 64)
    assert mse(flat, same, x) == 0


@pytest.mark.parametrize(
    ("x", "options", "words"),
    [
        (GREY + 1j, {}, ["complex", "complex64"]),
        (GREY.numpy().astype(complex), {}, ["complex"]),
        (np.array([["a", "b"]] * 30), {}, ["strings"]),
        (np.full((30, 4), None), {}, ["Python objects", "NoneType"]),
        (GREY.masked_fill(GREY > 0.9, torch.nan), {}, ["NaN", "of 60 samples"]),
        (np.r_[TABLE, [[np.inf, 0, 0]]], {}, ["1 infinite", "the first in sample 60"]),
        (np.full((30, 3), 1e300), {}, ["1e+300", "float32"]),
        (np.ma.masked_greater(TABLE, 0), {}, ["masked"]),
        (np.zeros(30), {}, ["x[:, None]"]),
        (np.zeros((30, 1, 1, 1, 1, 1)), {}, ["not samples"]),
        (np.zeros((30, 0)), {}, ["holds nothing"]),
        (GREY[:5], {}, ["5 samples are too few"]),
        (torch.randn(30, 8, 4), {}, ["layout='image'", "layout='series'"]),
        (torch.rand(30, 3, 8, 3), {}, ["layout='channels_first'", "layout='channels_last'"]),
        (torch.rand(30, 9, 9, 9), {}, ["layout='channels_first'"]),
        (torch.rand(30, 9), {"layout": "image"}, ["are vectors"]),
        (GREY, {"layout": "series"}, ["no series"]),
        (GREY, {"layout": "chanels_last"}, ["did you mean 'channels_last'"]),
        (GREY * 16, {}, ["from", "say range="]),
        (GREY * 16, {"range": (0, 1)}, ["outside of range=(0, 1)"]),
        (GREY, {"range": (1, 0)}, ["the lower first"]),
        (GREY, {"range": "unit"}, ["'auto' or (lowest, highest)"]),
        (GREY, {"scale": "standard"}, ["vectors and series"]),
        (TABLE, {"scale": "minmax"}, ["'standard', None"]),
        (TABLE, {"scale": "standard", "range": (-999, 999)}, ["cannot both"]),
        (pd.DataFrame({"a": [1.0] * 30, "b": ["x"] * 30}), {}, ["column 'b'", "encode it"]),
        ([np.zeros((8, 8))] * 20 + [np.zeros((8, 9))], {}, ["sample 20 has shape (8, 9)"]),
        (None, {}, ["nothing was handed over"]),
        ("digit", {}, ["did you mean 'digits'"]),
        ("digits", {"layout": "image"}, ["layout: x_test is the name of a dataset"]),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_line(x, options, words):
    with pytest.raises(ValueError) as caught:
        understood(x, **options)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message


@pytest.mark.parametrize("x", [3, torch.nn.Flatten(), {"x": GREY}, b"bytes"])
def test_what_is_no_samples_is_a_type_error(x):
    with pytest.raises(TypeError, match="is not samples; expected"):
        understood(x)


# Where samples come from.


class Pairs(torch.utils.data.Dataset):
    def __len__(self):
        return len(GREY)

    def __getitem__(self, k):
        return {"image": GREY[k], "label": "odd" if k % 2 else "even"}


class Column:
    """A column of Hugging Face's `datasets`, as far as it matters: a lazy sequence."""

    def __init__(self, rows):
        self.rows = rows

    def __len__(self):
        return len(self.rows)

    def __iter__(self):
        return iter(self.rows)

    def __getitem__(self, k):
        return self.rows[k]


class Names:
    names = ("cat", "dog")


class Hub:
    """A dataset of Hugging Face's, likewise."""

    column_names = ("image", "label")

    @property
    def features(self):
        return {"image": object(), "label": Names()}

    def __getitem__(self, name):
        return Column(
            [Pillow.fromarray((g[0].numpy() * 255).astype(np.uint8)) for g in GREY] if name == "image" else LABELS
        )


LABELS = [k % 2 for k in range(len(GREY))]
PICTURES = Hub()["image"].rows


@pytest.mark.parametrize(
    ("x", "shape", "labels"),
    [
        (GREY, (1, 8, 8), None),
        (GREY.double().requires_grad_(), (1, 8, 8), None),
        (GREY.half(), (1, 8, 8), None),
        (GREY.bfloat16(), (1, 8, 8), None),
        (GREY[:, 0].numpy(), (1, 8, 8), None),
        (list(GREY), (1, 8, 8), None),
        ([g[0].tolist() for g in GREY], (1, 8, 8), None),
        (PICTURES, (1, 8, 8), None),
        (Hub()["image"], (1, 8, 8), None),
        (Hub(), (1, 8, 8), ("cat", "dog")),
        (Pairs(), (1, 8, 8), ("even", "odd")),
        (TensorDataset(GREY), (1, 8, 8), None),
        (DataLoader(TensorDataset(GREY, torch.tensor(LABELS)), 7, shuffle=True), (1, 8, 8), ("0", "1")),
        (DataLoader(Pairs(), 16), (1, 8, 8), ("even", "odd")),
        (pd.DataFrame(TABLE, columns=["a", "b", "c"]), (3,), None),
        (COLOUR, (3, 8, 8), None),
    ],
)
def test_samples_of_any_source(x, shape, labels):
    found = understood(x)
    assert found.dataset.shape == shape
    assert found.dataset.classes == (labels or ())
    assert found.dataset.test.x.dtype == torch.float32
    if shape == (1, 8, 8):
        order = found.dataset.test.x.flatten(1).sum(1).sort().values
        assert torch.allclose(order, GREY.flatten(1).sum(1).sort().values, atol=0.3)


def test_labels_stay_with_the_samples_of_a_loader():
    x = torch.arange(60).float().div(60)[:, None, None, None].expand(60, 1, 8, 8)
    loader = DataLoader(TensorDataset(x, torch.arange(60) // 30), 7, shuffle=True)
    found = understood(loader).dataset.test
    assert torch.equal(found.y, (found.x[:, 0, 0, 0] >= 0.5).long())
    with pytest.raises(ValueError, match="y_test: x_test is a DataLoader that shuffles"):
        understood(loader, LABELS)


def test_pictures_are_grey_or_colour_and_lie_on_white():
    clear = [Pillow.new("RGBA", (8, 8), (0, 0, 0, 0))] * 20 + [Pillow.new("P", (8, 8), 0)]
    found = understood(clear)
    assert found.dataset.shape == (3, 8, 8)
    assert float(found.dataset.test.x[:20].min()) == 1.0
    assert "20 transparent" in found.notes[0]
    with pytest.raises(ValueError, match="sample 1 has shape"):
        understood([Pillow.new("L", (8, 8)), Pillow.new("L", (8, 9))] * 20)


def test_a_table_keeps_the_names_of_its_columns():
    table = pd.DataFrame(TABLE, columns=["a", "b", "c"]).assign(d=7, e=pd.array([1, 2, 3] * 20, dtype="Int64"))
    found = understood(table, x_train=table)
    assert found.dataset.space.columns == ("a", "b", "c", "d", "e")
    assert any("2 of 5 columns hold integers" in note for note in found.notes)
    assert any("1 of 5 never change" in note for note in found.notes)
    spread = found.trained_on.x.std(0, correction=0)
    assert spread.tolist() == pytest.approx([1, 1, 1, 0, 1], abs=1e-5)
    with pytest.raises(ValueError, match="x_train: column 1 is 'c', that of x_test 'b'"):
        understood(table, x_train=table[["a", "c", "b", "d", "e"]])


def test_a_dataset_with_a_scale_shows_callables_raw_values():
    whole = understood(TABLE, x_train=TABLE).dataset
    found = understood(whole)
    assert torch.allclose(found.handed.to_user(whole.test.x).double(), torch.from_numpy(TABLE), rtol=1e-6, atol=1e-5)
    assert mse(same, same, whole) == pytest.approx(0, abs=1e-10)
    assert understood("digits").name == "digits"


# Axes, values and the way back.


@pytest.mark.parametrize(
    ("shape", "options", "kind", "measured", "axes"),
    [
        ((7,), {}, Vector, (7,), "n,f"),
        ((7,), {"layout": "series"}, Series, (7, 1), "n,t"),
        ((9, 2), {"layout": "series"}, Series, (9, 2), "n,t,c"),
        ((9, 2), {"layout": "channels_first"}, Series, (2, 9), "n,c,t"),
        ((9, 7), {"layout": "image"}, Image, (1, 9, 7), "n,h,w"),
        ((9, 7), {}, Image, (1, 9, 7), "n,h,w"),
        ((3, 9, 7), {}, Image, (3, 9, 7), "n,c,h,w"),
        ((9, 7, 3), {}, Image, (3, 9, 7), "n,h,w,c"),
        ((9, 7, 2), {}, Image, (2, 9, 7), "n,h,w,c"),
        ((1, 4, 4), {}, Image, (1, 4, 4), "n,c,h,w"),
        ((3, 9, 3), {"layout": "channels_last"}, Image, (3, 3, 9), "n,h,w,c"),
        ((5, 9, 6), {"layout": "channels_first"}, Image, (5, 9, 6), "n,c,h,w"),
        ((1, 4, 5, 6), {}, Vector, (120,), "n,c,d,h,w"),
    ],
)
def test_the_layout_is_told_by_the_shape_or_said(shape, options, kind, measured, axes):
    x = torch.from_numpy(RNG.random((20, *shape), dtype=np.float32))
    found = understood(x, **options)
    assert type(found.dataset.space) is kind
    assert found.dataset.space.shape == measured
    assert found.handed.layout.axes == axes
    back = found.handed.to_user(found.dataset.test.x)
    assert back.shape == x.shape
    assert torch.allclose(back, x, atol=1e-6)
    assert mse(flat, same, x, **options) == pytest.approx(0, abs=1e-11)


@settings(max_examples=25, deadline=None)
@drawn(
    sizes=st.lists(st.integers(1, 4), min_size=1, max_size=4),
    order=st.randoms(use_true_random=False),
    low=st.floats(-300, 100),
    width=st.floats(0.1, 600),
    whole=st.booleans(),
)
def test_to_user_is_the_inverse_of_from_user(sizes, order, low, width, whole):
    axes = list(range(len(sizes)))
    order.shuffle(axes)
    kind = {2: Series, 3: Image}.get(len(sizes), Vector)
    axes = axes if kind is not Vector else sorted(axes)
    span = (float(round(low)), float(round(low) + round(width) + 1)) if whole else (low, low + width)
    handed = Handed(Layout(tuple(sizes), kind, tuple(axes), ""), span, dtype=torch.float64, whole=whole)
    raw = span[0] + (span[1] - span[0]) * torch.from_numpy(RNG.random((6, *sizes)))
    raw = raw.round() if whole else raw
    measured = handed.from_user(raw)
    assert float(measured.min()) >= 0
    assert float(measured.max()) <= 1
    assert torch.allclose(handed.to_user(measured), raw, atol=1e-9)
    assert torch.equal(handed.from_user(flat(raw)), measured)
    kept = handed.to_user(measured)
    kept.add_(1)
    assert torch.equal(handed.from_user(raw), measured)


def test_callables_cannot_reach_the_callers_arrays():
    x = GREY.clone()

    def encode(a):
        out = flat(a).clone()
        a.zero_()
        return out

    assert mse(encode, same, x) == 0
    assert torch.equal(x, GREY)
    handed = understood(x).handed
    assert handed.to_user(x).data_ptr() != x.data_ptr()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_a_tensors_own_float_type_is_handed_on(dtype):
    assert understood(GREY.to(dtype)).handed.to_user(GREY).dtype == dtype


def test_what_lies_outside_of_the_range_is_measured_and_doubted():
    handed = understood(GREY).handed
    assert handed.outside(GREY) == 0
    assert handed.outside(GREY * 2 - 1) == pytest.approx(1, abs=0.1)
    assert "from -" in handed.doubt(GREY * 2 - 1)
    assert handed.doubt(GREY) == ""
    in_bytes = understood((GREY * 255).to(torch.uint8)).handed
    assert "x / 255" in in_bytes.doubt(GREY)
    assert in_bytes.doubt(GREY * 255) == ""
    assert understood(TABLE).handed.outside(torch.full((4, 3), 1e9)) == 0


def test_splits_must_agree():
    x = torch.rand(60, 1, 9, 8)
    with pytest.raises(ValueError, match=r"x_train: samples of shape \(1, 9, 8\), x_test has \(1, 8, 8\)"):
        understood(GREY, x_train=x)
    with pytest.raises(ValueError, match="x_val: samples of shape"):
        understood(GREY, x_val=x)
    with pytest.raises(ValueError, match=r"x_train: values from 0 to 25\d.*one range"):
        understood(GREY, x_train=(GREY * 255).to(torch.uint8))
    with pytest.raises(ValueError, match="y_train: labels without x_train"):
        understood(GREY, y_train=LABELS)
    with pytest.raises(ValueError, match="x_train: a Dataset brings its own"):
        understood(GREY, x_train=digits.load("", "", 0))
    with pytest.raises(ValueError, match="x_val: x_test is a Dataset"):
        understood(digits.load("", "", 0), x_val=GREY)
    assert understood(GREY[:, 0], x_train=GREY).dataset.shape == (1, 8, 8)


def test_validation_samples_are_the_users_own():
    data = digits.load("", "", 0)
    found = understood(data.test.x, data.test.y, data.train.x, data.train.y, data.val.x, data.val.y)
    assert torch.equal(found.validation, data.val.x)
    assert torch.equal(found.dataset.val.x, data.val.x)
    assert len(found.dataset.train.x) == len(found.trained_on.x) == len(data.train.x)
    few = understood(data.test.x, data.test.y, data.train.x, data.train.y, data.val.x[:30])
    assert len(few.validation) == 30
    assert len(few.dataset.train.x) + len(few.dataset.val.x) == len(data.train.x)
    known = data.val.x.flatten(1)

    def decode(z):
        return known[torch.cdist(z, known).argmin(1)]

    copies = {"x_train": data.train.x, "metrics": "memorisation"}
    assert lb.evaluate(flat, decode, data.test.x, **copies, x_val=data.val.x).value("memorisation") > 0.95
    assert lb.evaluate(flat, decode, data.test.x, **copies).value("memorisation") < 0.9


# Labels.

NUMBERS = np.array([3, 3, 7, 7, 7, 12])


@pytest.mark.parametrize(
    "y",
    [
        NUMBERS,
        NUMBERS.tolist(),
        torch.from_numpy(NUMBERS),
        NUMBERS.astype(np.float32),
        NUMBERS.astype(str),
        pd.Series(NUMBERS),
        pd.Series(NUMBERS.astype(str)),
        pd.Series(NUMBERS).astype("category"),
        pd.Categorical(NUMBERS.astype(str)),
        pd.DataFrame({"3": NUMBERS == 3, "7": NUMBERS == 7, "12": NUMBERS == 12}).astype(int),
        NUMBERS[:, None],
        NUMBERS.astype(object),
        [torch.tensor(v) for v in NUMBERS],
    ],
)
def test_labels_of_any_kind_are_classes_by_name(y):
    found = classes_of({"y_test": y}, {"y_test": 6})
    assert found.names == ("3", "7", "12")
    assert found.numbers["y_test"].tolist() == [0, 0, 1, 1, 1, 2]


@pytest.mark.parametrize(
    ("y", "names", "numbers"),
    [
        ([-1, 4, 4, 9], ("4", "9"), [-1, 0, 0, 1]),
        ([-1, 1, 1, -1], ("-1", "1"), [0, 1, 1, 0]),
        ([-2, -1, 0, 1], ("-2", "-1", "0", "1"), [0, 1, 2, 3]),
        ([np.nan, 4.0, 4.0, 9.0], ("4", "9"), [-1, 0, 0, 1]),
        (["b", None, "a", "b"], ("a", "b"), [1, -1, 0, 1]),
        (pd.Categorical(["b", None, "a", "b"]), ("a", "b"), [1, -1, 0, 1]),
        (pd.array([4, None, 4, 9], dtype="Int64"), ("4", "9"), [0, -1, 0, 1]),
        ([[0, 1], [1, 0], [0, 0], [0, 1]], ("0", "1"), [1, 0, -1, 1]),
        ([True, False, False, True], ("False", "True"), [1, 0, 0, 1]),
        ([b"cat", b"ant", b"cat", b"ant"], ("ant", "cat"), [1, 0, 1, 0]),
        (["10", "9", "10", "9"], ("9", "10"), [1, 0, 1, 0]),
    ],
)
def test_labels_that_are_not_there_are_none(y, names, numbers):
    found = classes_of({"y": y}, {"y": 4})
    assert (found.names, found.numbers["y"].tolist()) == (names, numbers)


def test_one_mapping_serves_all_splits():
    found = classes_of({"y_test": ["7", "9"], "y_train": np.array([9.0, 3.0, 7.0])}, {"y_test": 2, "y_train": 3})
    assert found.names == ("3", "7", "9")
    assert found.numbers["y_test"].tolist() == [1, 2]
    assert found.numbers["y_train"].tolist() == [2, 0, 1]


@pytest.mark.parametrize(
    ("y", "words"),
    [
        (np.zeros(5), ["shape (5,)", "(6,)"]),
        (np.arange(6) / 2, ["holds 0.5", "no class"]),
        (np.ones((6, 2)), ["one-hot"]),
        (np.zeros((6, 2)) + 0.5, ["one-hot"]),
        (np.zeros(6, complex), ["complex128"]),
        ([{}] * 6, ["a dict"]),
        ([[1, 2], [1]] * 3, ["different lengths"]),
        (3, ["shape ()"]),
    ],
)
def test_what_are_no_labels_is_refused_in_one_line(y, words):
    with pytest.raises(ValueError) as caught:
        classes_of({"y_test": y}, {"y_test": 6})
    assert "\n" not in str(caught.value)
    for word in ("y_test", *words):
        assert word in str(caught.value)


def test_samples_without_a_label_count_wherever_none_is_asked_for(monkeypatch):
    """The measures of all samples are those of the whole data; those of labels are those of the labelled ones alone."""
    data = digits.load("", "", 0)
    some = data.test.y.clone()
    some[::4] = -1
    known = some >= 0
    monkeypatch.setattr("latentbench.evaluating.evaluate._judge", lambda *a: (None, {"judge": "none here"}))
    metrics = "mse,probe.knn,silhouette"
    partly = lb.evaluate(flat, same, data.test.x * 1, some, data.train.x, data.train.y, metrics=metrics)
    alone = lb.evaluate(flat, same, data.test.x[known], some[known], data.train.x, data.train.y, metrics=metrics)
    for metric in ("probe.knn", "silhouette"):
        assert partly.value(metric) == pytest.approx(alone.value(metric), rel=1e-9)
    row = next(r for r in partly.records if r.kind == "run").detail["dataset"]
    assert row["labels"]["unlabelled"]["y_test"] == int((~known).sum())
    assert "have no label" in row["notes"][0]["text"]
