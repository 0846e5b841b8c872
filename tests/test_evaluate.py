"""`lb.evaluate` takes any two callables and refuses in one line what it cannot use. Cheats: test_cheats.py."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from cheats import once_trained

import latentbench as lb
from latentbench.core import Split
from latentbench.datasets import digits
from latentbench.evaluating import evaluate as evaluating
from latentbench.measuring import scoring
from latentbench.measuring.baselines import PrincipalComponents
from latentbench.randomness import seeded

DATA = digits.load("", "", 0)
GIVEN = {"x_test": DATA.test.x, "y_test": DATA.test.y, "x_train": DATA.train.x, "y_train": DATA.train.y}
METRICS = ["mse", "r2", "path.*", "midpoint.*", "validity.*", "active_units", "punctual_index", "hole", "coverage"]
PCA = PrincipalComponents(DATA.train.x, 8)


def evaluate(encode, decode, **more):
    return lb.evaluate(encode, decode, **{**GIVEN, "metrics": METRICS, **more})


@pytest.fixture(autouse=True)
def one_judge(monkeypatch):
    """The judge that all tests on digits share, trained once."""
    monkeypatch.setattr(evaluating, "train_judge", once_trained)


@pytest.mark.parametrize("scale", [0.01, 1.0, 100.0])
def test_lookup_table_of_training_images(scale):
    """Turned and rescaled latents are looked up all the same."""
    unjudged = {"y_test": None, "y_train": None, "metrics": "memorisation,data_copying"}
    turn = scale * torch.linalg.qr(torch.randn(8, 8, generator=seeded(0, "turn")))[0]
    known = PCA.encode(DATA.train.x).mu @ turn

    def decode(z):
        return DATA.train.x[torch.cdist(z, known).argmin(1)]

    result = evaluate(lambda x: PCA.encode(x).mu @ turn, decode, **unjudged)
    assert result.value("memorisation") > 0.95
    assert result.value("data_copying") < -10
    honest = evaluate(lambda x: PCA.encode(x).mu @ turn, lambda z: PCA.decode(z @ turn.inverse()), **unjudged)
    assert honest.value("memorisation") < 0.7


def test_a_likelihood_given_as_a_callable():
    def encode(x):
        mu = PCA.encode(torch.as_tensor(x)).mu
        return mu, torch.full_like(mu, -3.0)

    def density(x, z):
        return torch.distributions.Normal(PCA.decode(z), 0.2).log_prob(x).flatten(1).sum(1)

    bounds = {"y_test": None, "y_train": None, "metrics": "elbo,nll.iw"}
    result = evaluate(encode, PCA.decode, **bounds, log_likelihood=density)
    assert result.value("elbo") <= -result.value("nll.iw")

    def arrays(x, z):
        if not isinstance(x, np.ndarray):
            raise TypeError("arrays only")
        return density(torch.from_numpy(x), torch.from_numpy(z)).numpy()

    assert evaluate(encode, PCA.decode, **bounds, log_likelihood=arrays).value("elbo") == pytest.approx(
        result.value("elbo"), rel=1e-6
    )
    with pytest.raises(ValueError, match=r"shape \(\) for \d+ images; expected \(n,\)"):
        evaluate(encode, PCA.decode, **bounds, log_likelihood=lambda x, z: density(x, z).sum()).value("elbo")
    with pytest.raises(ValueError, match="no likelihood"):
        evaluate(encode, PCA.decode, **bounds).value("elbo")
    with pytest.raises(ValueError, match="a point"):
        evaluate(lambda x: encode(x)[0], PCA.decode, **bounds, log_likelihood=density).value("elbo")
    with pytest.raises(TypeError, match="log_likelihood"):
        evaluate(encode, PCA.decode, **bounds, log_likelihood=3)


def test_numpy_callables_and_the_report(tmp_path):
    def encode(x):
        if not isinstance(x, np.ndarray):
            raise TypeError("arrays only")
        return PCA.encode(torch.from_numpy(x)).mu.numpy()

    result = evaluate(
        encode, lambda z: PCA.decode(torch.as_tensor(z)), out=tmp_path / "mine", name="my pca", metrics="mse,r2"
    )
    expected = float((PCA.decode(PCA.encode(DATA.test.x).mu) - DATA.test.x).square().mean())
    assert result.value("mse") == pytest.approx(expected, rel=1e-5)
    assert result.report.exists()
    assert set(result.frame["model"]) >= {"my pca"}
    with pytest.raises(ValueError, match="not an empty folder"):
        evaluate(encode, PCA.decode, out=tmp_path / "mine")


@pytest.mark.parametrize(
    "name", ["judge", "judge:second", "baseline:pca", "floor:x", "ceiling:x", "null:x", "check:self"]
)
def test_a_name_that_stands_for_a_reference_or_a_judge_is_refused(name):
    with pytest.raises(ValueError, match=f"name: '{name}' is not allowed: .* is reserved .*allowed: any name but"):
        evaluate(PCA.encode, PCA.decode, name=name)


def test_a_name_is_a_word():
    with pytest.raises(ValueError, match="name: '' is not allowed: a model needs a name"):
        evaluate(PCA.encode, PCA.decode, name="")
    with pytest.raises(TypeError, match="name: 3 is not a string"):
        evaluate(PCA.encode, PCA.decode, name=3)


def test_what_is_measured_beside_the_model_says_its_role():
    found = evaluate(lambda x: PCA.encode(x).mu, PCA.decode, metrics="validity.normal,hole", name="baseline").records
    roles = {r.model: r.role for r in found if r.model}
    assert [r.metric for r in found if not r.model and r.kind == "value"] == ["data.duplicates"]
    assert roles.pop("baseline") == "model"
    assert roles.pop("judge") == "judge"
    assert roles.pop("check:self") == "check"
    assert {"ceiling:real", "floor:noise", "null:prior"} <= roles.keys()
    assert all(model.startswith(f"{role}:") for model, role in roles.items())


def test_without_labels_or_training_data():
    result = evaluate(lambda x: PCA.encode(x).mu, PCA.decode, y_test=None, x_train=None, y_train=None)
    rows = {r.metric: r for r in result.records if r.split == "test" and not r.is_reference}
    assert rows["validity.normal"].status == "skipped"
    assert rows["validity.normal"].reason
    assert rows["hole"].status == "skipped"
    assert rows["path.tortuosity"].status == "ok"


@pytest.mark.parametrize(
    ("change", "error", "word"),
    [
        ({"x_test": np.zeros((30, 5))}, ValueError, "x_test"),
        ({"x_test": np.full((30, 8, 8), np.nan)}, ValueError, "NaN"),
        ({"x_test": np.full((30, 8, 8), 7.0)}, ValueError, r"\[0, 1\]"),
        ({"x_test": np.zeros((3, 8, 8))}, ValueError, "too few"),
        ({"y_test": np.zeros(7, dtype=int)}, ValueError, "y_test"),
        ({"x_train": np.zeros((50, 9, 9)), "y_train": None}, ValueError, "x_train"),
        ({"metrics": "mes"}, ValueError, "did you mean 'mse'"),
        ({"device": "cua"}, ValueError, "device"),
    ],
)
def test_wrong_input(change, error, word):
    with pytest.raises(error, match=word):
        evaluate(lambda x: PCA.encode(x).mu, PCA.decode, **change)


def test_not_callable():
    with pytest.raises(TypeError, match="decode"):
        evaluate(lambda x: x, None)


def test_copies_among_the_images_are_counted():
    """Of arrays there are no validation images; without training images nothing is known of copies."""
    leaking = torch.cat([DATA.test.x, DATA.train.x[:7], DATA.val.x[:5]])

    def copies(*given, **more):
        found = lb.evaluate(lambda x: PCA.encode(x).mu, PCA.decode, *given, metrics="mse", **more).records
        return next((r for r in found if r.metric == "data.duplicates"), None)

    assert copies(DATA.test.x, x_train=DATA.train.x).value == 0
    assert copies(leaking, x_train=DATA.train.x).detail["test_in_train"] == 7
    assert copies(leaking, x_train=torch.cat([DATA.train.x, DATA.val.x])).value == 12
    assert copies(leaking) is None
    whole = copies(replace(DATA, test=Split(leaking, None)))
    assert (whole.value, whole.detail["test_in_train"], whole.detail["test_in_val"]) == (12, 7, 5)


def test_validation_images_are_the_datasets_own(monkeypatch):
    """Of arrays it is not known which were validated on: what is set apart for the judge is no validation split."""
    seen = []
    monkeypatch.setattr(
        scoring, "score", lambda encoding, metrics, row: (row.role == "model" and seen.append(encoding)) or []
    )
    unjudged = {"y_test": None, "y_train": None, "metrics": "mse"}
    evaluate(lambda x: PCA.encode(x).mu, PCA.decode, **unjudged)
    evaluate(lambda x: PCA.encode(x).mu, PCA.decode, **unjudged, x_train=None)
    lb.evaluate(lambda x: PCA.encode(x).mu, PCA.decode, DATA, metrics="mse")
    arrays, without_train, whole = seen
    assert arrays.validation is None
    assert arrays.train.validation is None
    assert without_train.validation is None
    assert torch.equal(whole.validation, DATA.val.x)
    assert torch.equal(whole.train.validation, DATA.val.x)
