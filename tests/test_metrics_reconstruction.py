"""Reconstruction against principal components, whose error is known."""

import pytest
import torch
from fakes import Coordinates, encode, known_answer, normal, proofs_of, reference
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.metrics import r2_score
from worse import EVERY, jagged

from latentbench.catalog import metrics
from latentbench.core import Posterior, Undefined
from latentbench.datasets import torchvision_guard
from latentbench.metrics.reconstruction import explained_share, mean_squared_error

PROOFS = (
    proofs_of(
        "mse",
        "r2",
        "psnr",
        package="torchmetrics",
        coordinates=Coordinates("exact", "exact", "exact", "exact", "images and their reconstructions alone"),
        degrade=jagged,
        follows=EVERY,
    ),
)


def principal_components(k):
    """The digits as their own training split, encoded by their first ``k`` principal components, and the PCA."""
    x = torch.from_numpy(load_digits().data / 16).view(-1, 1, 8, 8)
    pca = PCA(k, svd_solver="full").fit(x.flatten(1).numpy())
    mu = torch.from_numpy(pca.transform(x.flatten(1).numpy()))

    def decode(z):
        return torch.from_numpy(pca.inverse_transform(z.numpy())).view(-1, 1, 8, 8)

    train = encode("train", x, Posterior(mu), decode)
    return encode("test", x, Posterior(mu), decode, train=train), pca


@known_answer("mse")
@pytest.mark.parametrize(("k", "error"), [(2, 0.052426), (8, 0.023913), (16, 0.011044)])
def test_mse_of_principal_components_on_digits(k, error):
    e, _ = principal_components(k)
    assert metrics()["mse"].compute(e) == pytest.approx(error, abs=5e-7)


@known_answer("r2")
@pytest.mark.parametrize("k", [2, 8])
def test_r2_of_principal_components_is_their_explained_variance(k):
    e, pca = principal_components(k)
    assert metrics()["r2"].compute(e) == pytest.approx(pca.explained_variance_ratio_.sum(), rel=1e-6)


def test_mse_is_exact_and_the_same_in_any_chunks(monkeypatch):
    x, shift = torch.rand(10, 1, 2, 2, dtype=torch.float64), torch.full((10, 1, 2, 2), 0.25, dtype=torch.float64)
    assert mean_squared_error(x, x + shift) == pytest.approx(0.0625, rel=1e-10)
    monkeypatch.setattr("latentbench.metrics.reconstruction.CHUNK", 3)
    assert mean_squared_error(x, x + shift) == pytest.approx(0.0625, rel=1e-10)


def test_r2_is_zero_for_the_mean_image_one_for_the_image_and_negative_below():
    x = normal((200, 1, 2, 2), "x")
    mean = x.mean(0)
    assert explained_share(x, mean.expand_as(x), mean) == pytest.approx(0, abs=1e-10)
    assert explained_share(x, x, mean) == 1
    assert explained_share(x, -x, mean) < -1


def test_r2_refers_to_the_mean_image_of_the_training_split():
    x = torch.ones(4, 1, 1, 1, dtype=torch.float64)
    train = encode("train", torch.zeros_like(x), Posterior(x.flatten(1)), lambda z: z.view(-1, 1, 1, 1))
    test = encode("test", x, Posterior(0.5 * x.flatten(1)), lambda z: z.view(-1, 1, 1, 1), train=train)
    assert metrics()["r2"].compute(test) == pytest.approx(0.75, rel=1e-10)


def test_r2_has_no_meaning_where_all_images_are_one():
    x = torch.ones(4, 1, 1, 1)
    with pytest.raises(Undefined, match="nothing to explain"):
        explained_share(x, 0 * x, x[0])


def test_both_are_measured_on_both_splits():
    assert metrics()["mse"].splits == metrics()["r2"].splits == ("train", "test")


@known_answer("psnr")
def test_psnr_is_twenty_decibels_for_a_tenth_of_the_range():
    x = torch.full((5, 1, 2, 2), 0.5, dtype=torch.float64)
    e = encode("test", x, Posterior(x.flatten(1)), lambda z: z.view(-1, 1, 2, 2) + 0.1)
    assert metrics()["psnr"].compute(e) == pytest.approx(20, rel=1e-9)
    exact = encode("test", x, Posterior(x.flatten(1)), lambda z: z.view(-1, 1, 2, 2))
    with pytest.raises(Undefined, match="exact"):
        metrics()["psnr"].compute(exact)


@reference("mse", "psnr", "r2")
def test_error_and_its_kin_are_torchmetrics():
    torchvision_guard.torchvision()
    from torchmetrics.image import PeakSignalNoiseRatio
    from torchmetrics.regression import MeanSquaredError

    e, _ = principal_components(8)
    error = MeanSquaredError()(e.x_hat.contiguous(), e.x)
    assert metrics()["mse"].compute(e) == pytest.approx(float(error), rel=1e-5)
    assert metrics()["psnr"].compute(e) == pytest.approx(
        float(PeakSignalNoiseRatio(data_range=1.0)(e.x_hat, e.x)), rel=1e-5
    )
    theirs = r2_score(e.x.flatten(1).numpy(), e.x_hat.flatten(1).numpy(), multioutput="variance_weighted")
    assert metrics()["r2"].compute(e) == pytest.approx(theirs, rel=1e-5)
