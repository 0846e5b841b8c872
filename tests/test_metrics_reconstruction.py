"""Reconstruction against principal components, whose error is known."""

import math
from dataclasses import replace

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
from latentbench.metrics.reconstruction import explained_share, mean_squared_error, structural_similarity, window
from latentbench.spaces.vector import Vector

PROOFS = (
    proofs_of(
        "mse",
        "r2",
        "r2.draw",
        "psnr",
        "ssim",
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
    assert metrics()["psnr"].compute(e).value == pytest.approx(20, rel=1e-9)
    exact = encode("test", x, Posterior(x.flatten(1)), lambda z: z.view(-1, 1, 2, 2))
    with pytest.raises(Undefined, match="exact"):
        metrics()["psnr"].compute(exact)


@reference("mse", "psnr", "r2", "r2.draw")
def test_error_and_its_kin_are_torchmetrics():
    torchvision_guard.torchvision()
    from torchmetrics.image import PeakSignalNoiseRatio
    from torchmetrics.regression import MeanSquaredError

    e, _ = principal_components(8)
    error = MeanSquaredError()(e.x_hat.contiguous(), e.x)
    assert metrics()["mse"].compute(e) == pytest.approx(float(error), rel=1e-5)
    assert metrics()["psnr"].compute(e).value == pytest.approx(
        float(PeakSignalNoiseRatio(data_range=1.0)(e.x_hat, e.x)), rel=1e-5
    )
    theirs = r2_score(e.x.flatten(1).numpy(), e.x_hat.flatten(1).numpy(), multioutput="variance_weighted")
    assert metrics()["r2"].compute(e) == pytest.approx(theirs, rel=1e-5)
    wide, _ = linear_vae(4, True)
    theirs = r2_score(wide.x.flatten(1), wide.decode(wide.z).flatten(1), multioutput="variance_weighted")
    assert metrics()["r2.draw"].compute(wide) == pytest.approx(theirs, rel=1e-5)


@reference("ssim")
@pytest.mark.parametrize(("c", "side"), [(1, 8), (3, 12), (1, 28), (1, 5)])
def test_structural_similarity_is_torchmetrics(c, side):
    """Whose window follows from its deviation: of images below 6 pixels a narrower one, as here."""
    torchvision_guard.torchvision()
    from torchmetrics.functional.image import structural_similarity_index_measure

    x = torch.rand((20, c, side, side), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y = (0.7 * x + 0.3 * torch.rand(x.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)).clamp(
        0, 1
    )
    width, sd = window(side)
    assert width % 2 == 1
    assert (width == 11) == (side > 5)
    theirs = structural_similarity_index_measure(y, x, sigma=sd, data_range=1.0)
    assert structural_similarity(x, y) == pytest.approx(float(theirs), rel=1e-5)


@known_answer("ssim")
def test_similarity_of_the_same_images_of_grey_ones_and_of_the_inverted():
    e, _ = principal_components(64)
    assert metrics()["ssim"].compute(e).value == pytest.approx(1, abs=1e-9)
    a, b = torch.full((3, 1, 9, 9), 0.2, dtype=torch.float64), torch.full((3, 1, 9, 9), 0.6, dtype=torch.float64)
    c1 = 1e-4  # greys have no variance: the means alone are compared
    assert structural_similarity(a, b) == pytest.approx((2 * 0.12 + c1) / (0.04 + 0.36 + c1), rel=1e-9)
    assert structural_similarity(a, b, peak=2.0) == pytest.approx((0.24 + 4 * c1) / (0.4 + 4 * c1), rel=1e-9)
    x = torch.rand((10, 1, 16, 16), generator=torch.Generator().manual_seed(0))
    assert structural_similarity(x, 1 - x) < 0


def test_what_others_report_too_says_how_it_came_about():
    e, _ = principal_components(8)
    said = {"range": [0.0, 1.0], "size": [1, 8, 8], "n": 1797}
    assert metrics()["psnr"].compute(e).detail["protocol"] == said
    assert metrics()["ssim"].compute(e).detail["protocol"] == {**said, "window": 11, "sigma": 1.5}
    vectors = replace(e, given_space=Vector((64,)), x=e.x.flatten(1), x_hat=e.x_hat.flatten(1))
    assert "only images have a structure in two directions" in vectors.absent(metrics()["ssim"].needs)


def drawn(sigma, n=4000):
    """Images that are their own codes, with posteriors as wide as ``sigma``: x_hat = x, and a draw off by sigma."""
    x = normal((n, 1, 2, 2), "own codes")
    log_var = None if sigma is None else torch.full((n, 4), 2 * math.log(sigma), dtype=torch.float64)
    posterior = Posterior(x.flatten(1), log_var)
    train = encode("train", x, posterior, lambda z: z.view(-1, 1, 2, 2))
    return encode("test", x, posterior, train.decode, train=train)


@known_answer("r2.draw")
@pytest.mark.parametrize("sigma", [None, 0.1, 0.5, 1.0])
def test_a_draw_costs_its_variance(sigma):
    e = drawn(sigma)
    assert metrics()["r2"].compute(e) == 1
    lost = 0.0 if sigma is None else sigma**2
    assert metrics()["r2.draw"].compute(e) == pytest.approx(1 - lost, abs=0.03 * lost)


def linear_vae(d, own_sigma):
    """Digits through the optimum of a linear VAE with d codes (probabilistic PCA, Tipping & Bishop 1999): decoder
    U (L - s0^2)^1/2, means with variance 1 - s^2, s^2 = s0^2 / L; its own sigma, or one of .5 that it never saw."""
    x = torch.from_numpy(load_digits().data / 16)
    value, vector = torch.linalg.eigh(torch.cov(x.T, correction=0))
    value, vector = value.flip(0), vector.flip(1)[:, :d]
    s0, value = float(value[d:].mean()), value[:d]
    weight = vector * (value - s0).sqrt()
    mu = (x - x.mean(0)) @ weight / value
    s2 = s0 / value if own_sigma else torch.full((d,), 0.25, dtype=torch.float64)
    posterior = Posterior(mu, s2.log().expand_as(mu))

    def decode(z):
        return (x.mean(0) + z @ weight.T).view(-1, 1, 8, 8)

    train = encode("train", x.view(-1, 1, 8, 8), posterior, decode)
    return encode("test", train.x, posterior, decode, train=train), (value, s0)


@known_answer("r2.draw")
def test_a_sigma_that_the_decoder_knows_costs_little_and_an_invented_one_much():
    honest, (value, s0) = linear_vae(8, True)
    total = float(honest.x.flatten(1).var(0, correction=0).sum())
    r2, draw = (metrics()[m].compute(honest) for m in ("r2", "r2.draw"))
    assert r2 > 0.6
    assert r2 - draw == pytest.approx(float((s0 * (1 - s0 / value)).sum()) / total, rel=0.05)
    assert r2 - draw < 0.05
    invented, _ = linear_vae(8, False)
    assert metrics()["r2"].compute(invented) == pytest.approx(r2, rel=1e-9)
    assert metrics()["r2.draw"].compute(invented) == pytest.approx(
        r2 - 0.25 * float((value - s0).sum()) / total, abs=0.01
    )
    assert metrics()["r2.draw"].compute(invented) < r2 - 0.13
