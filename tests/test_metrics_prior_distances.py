"""Distances in the judge's features: closed forms for Gaussians, torchmetrics and scipy as references, the blind spot."""

import importlib
import math
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from fakes import (
    Between,
    Coordinates,
    encode,
    fake_encoding,
    known_answer,
    latent_encoding,
    normal,
    proofs_of,
    reference,
    two_gaussians,
    value,
)
from scipy.linalg import sqrtm
from sklearn.metrics.pairwise import polynomial_kernel
from worse import EVERY, faded, jagged

from latentbench.artifact_schema import EVERY_SAMPLER
from latentbench.catalog import metrics
from latentbench.core import Posterior, Prior, Undefined
from latentbench.datasets.torchvision_guard import torchvision
from latentbench.metrics.prior_distances import Moments, frechet, moments
from latentbench.testing.examples import two_hills

NORMAL = Coordinates(
    "draws", "no", "no", "exact", "N(0, I) and the directions drawn look alike from all sides, and have one scale"
)
GAUSSIAN = Coordinates(
    "draws", "exact", "draws", "exact", "the fitted Gaussian moves along; its symmetric root deals the noise anew"
)
MIXTURE = Coordinates(
    "draws", "exact", "exact", "exact", "fitted on standardised coordinates, which no scale along them changes"
)
PROOFS = (
    proofs_of(
        "judge_frechet",
        package="torchmetrics",
        coordinates=NORMAL,
        degrade=jagged,
        follows=EVERY,
    ),
    proofs_of(
        "judge_frechet.prior",
        package="torchmetrics",
        coordinates=Coordinates("exact", "exact", "exact", "exact", "the prior is the model's own and moves along"),
        degrade=jagged,
        free="the models of these series have no prior of their own; judge_frechet, the same computation, follows them",
    ),
    proofs_of(
        "judge_frechet.gaussian",
        package="torchmetrics",
        coordinates=GAUSSIAN,
        degrade=jagged,
        follows=EVERY,
    ),
    proofs_of(
        "judge_frechet.mixture",
        package="torchmetrics",
        coordinates=MIXTURE,
        degrade=jagged,
        follows=EVERY,
    ),
    proofs_of(
        "judge_frechet.reconstruction",
        package="torchmetrics",
        coordinates=Coordinates("exact", "exact", "exact", "exact", "images and their reconstructions alone"),
        degrade=jagged,
        follows=EVERY,
    ),
    proofs_of(
        "judge_frechet.interpolation",
        package="torchmetrics",
        coordinates=Coordinates(
            "exact", "exact", "exact", "draws", "a linear map keeps straight lines; pairs are drawn by position"
        ),
        degrade=jagged,
        follows=EVERY,
    ),
    proofs_of(
        "judge_kid",
        package="torchmetrics",
        coordinates=NORMAL,
        degrade=faded,
        follows=EVERY,
    ),
    proofs_of(
        "judge_kid.gaussian",
        package="torchmetrics",
        coordinates=GAUSSIAN,
        degrade=faded,
        follows=EVERY,
    ),
    proofs_of(
        "judge_kid.mixture",
        package="torchmetrics",
        coordinates=MIXTURE,
        degrade=faded,
        follows=EVERY,
    ),
)

FRECHET = [n for n in metrics() if n.startswith("judge_frechet")]
KID = [n for n in metrics() if n.startswith("judge_kid")]


def gaussian(mean, covariance):
    return Moments(torch.as_tensor(mean, dtype=torch.float64), torch.as_tensor(covariance, dtype=torch.float64))


def plain(codes, held_out, decode):
    """Images whose features are the very codes: pixels .5 + z / 100, undone by the judge."""

    class Undone(Between):
        def features(self, x):
            return 100 * (x.flatten(1) - 0.5)

    def picture(z):
        return (0.5 + decode(z) / 100).view(len(z), 1, 1, -1)

    judge = Undone(0, 1)
    images = [(0.5 + c / 100).view(len(c), 1, 1, -1) for c in (codes, held_out)]
    train = encode("train", images[0], Posterior(codes), picture, judge=judge)
    e = encode("test", images[1], Posterior(held_out), picture, train=train, judge=judge)
    return replace(e, prior=Prior(lambda noise, _: noise))  # "its own" here is N(0, I) by another name


def test_a_distance_in_the_judges_features_is_never_called_fid():
    """FID is of one published network: no name, summary, noun or verb that a reader sees says so of these."""
    found = [metric for name, metric in metrics().items() if "frechet" in name]
    assert len(found) >= 8
    for metric in found:
        said = [metric.name, metric.summary, metric.unit]
        said += [metric.phrase.noun, metric.phrase.higher, metric.phrase.lower] if metric.phrase else []
        assert "FID" not in re.findall(r"[A-Za-z]+", " ".join(said))


@known_answer("judge_frechet")
def test_frechet_of_gaussians_in_closed_form():
    eye = torch.eye(16)
    assert frechet(gaussian([0.0] * 16, eye), gaussian([1.0] * 16, 4 * eye)) == pytest.approx(32, rel=1e-10)
    a, b = gaussian([0.0, 0], [[2.0, 1], [1, 2]]), gaussian([0.0, 0], [[1.0, 0], [0, 3]])
    assert frechet(a, b) == pytest.approx(0.516685226, rel=1e-8)
    assert frechet(b, a) == pytest.approx(frechet(a, b), rel=1e-10)
    assert frechet(a, a) == pytest.approx(0, abs=1e-10)


@known_answer("judge_frechet")
def test_the_floor_of_a_finite_sample():
    d, n, repeats = 32, 2000, 6
    draws = [[moments(normal((n, d), f"floor {side} {i}")) for side in "ab"] for i in range(repeats)]
    assert np.mean([frechet(*pair) for pair in draws]) == pytest.approx(d * (d + 5) / (2 * n), rel=0.1)


@known_answer(
    "judge_frechet",
    "judge_frechet.prior",
    "judge_frechet.gaussian",
    "judge_frechet.mixture",
    "judge_frechet.reconstruction",
    "judge_frechet.interpolation",
)
def test_frechet_of_every_kind_of_fake():
    # Real features N(0, I_4); the decoder maps z to 2 z + 1, so draws and reconstructions are N(1, 4 I) and midpoints
    # between two codes N(1, 2 I).
    e = plain(normal((3000, 4), "train"), normal((2000, 4), "test"), lambda z: 2 * z + 1)
    for name in FRECHET:
        truth = 4 * (1 + (math.sqrt(2) - 1) ** 2) if name.endswith("interpolation") else 8
        # A mixture also draws how many of 2,000 samples come from which of its components.
        assert value(name, e) == pytest.approx(truth, rel=0.1 if name.endswith("mixture") else 0.06), name
    same = plain(normal((3000, 4), "train"), normal((2000, 4), "test"), lambda z: z)
    assert value("judge_frechet.reconstruction", same) == pytest.approx(0, abs=1e-6)
    floor = 4 * 9 / 4000
    for name in ("judge_frechet", "judge_frechet.prior", "judge_frechet.gaussian", "judge_frechet.mixture"):
        assert value(name, same) < 3 * floor
    anchors = metrics()["judge_frechet"].references(same, kind="normal", count=2000)
    assert anchors["ceiling:real"] < 3 * floor


@known_answer("judge_kid", "judge_kid.gaussian", "judge_kid.mixture")
def test_kernel_distance_in_closed_form():
    # One feature: (1 + x y)^3 compares the first three moments, MMD^2 = 3 dm1^2 + 3 dm2^2 + dm3^2. N(0, 1) has 0, 1, 0,
    # N(.5, .25) has .5, .5, .5: together 1.75.
    e = plain(normal((4000, 1), "train"), normal((4000, 1), "test"), lambda z: 0.5 * z + 0.5)
    for name in KID:
        assert value(name, e, count=4000) == pytest.approx(1.75, rel=0.12), name


@known_answer("judge_frechet", "hole")
def test_frechet_is_blind_to_a_hole_between_two_modes():
    population = gaussian([0.0], [[0.25**2 + (1 - 0.25**2)]])  # a half at -a, a half at a, a^2 = 1 - tau^2
    assert frechet(population, gaussian([0.0], [[1.0]])) == 0
    train, test = two_gaussians(0.25, 4000, "train"), two_gaussians(0.25, 4000, "test")
    assert value("judge_frechet", plain(train, test, lambda z: z), count=4000) < 0.002
    assert value("hole", latent_encoding(train, test), draws=8000) == pytest.approx(0.3613, abs=0.02)


# --- references ---


@reference("judge_frechet")
@pytest.mark.parametrize(("d", "n"), [(3, 500), (64, 300), (40, 25)])
def test_frechet_is_scipys(d, n):
    mixing = normal((d, d), "mixing")
    a, b = moments(normal((n, d), "a") @ mixing), moments(1.5 * normal((n, d), "b") + 0.3)
    root = sqrtm((a.covariance @ b.covariance).numpy()).real
    theirs = (a.mean - b.mean).square().sum() + (a.covariance + b.covariance).trace() - 2 * np.trace(root)
    assert frechet(a, b) == pytest.approx(float(theirs), rel=1e-5)
    np.testing.assert_allclose(a.covariance, np.cov((normal((n, d), "a") @ mixing).numpy().T), rtol=1e-9, atol=1e-10)


class Features(torch.nn.Module):
    """The judge as torchmetrics wants a feature extractor."""

    def __init__(self, judge, width):
        super().__init__()
        self.judge, self.num_features = judge, width

    def forward(self, x):
        return self.judge.features(x.clamp(0, 1))


def torchmetric(kind, e, fake, **more):
    torchvision()
    module = importlib.import_module(f"torchmetrics.image.{kind}")
    name = {"fid": "FrechetInceptionDistance", "kid": "KernelInceptionDistance"}[kind]
    found = getattr(module, name)(feature=Features(e.judge, 16), **more).set_dtype(torch.float64)
    found.update(e.x, real=True)
    found.update(fake, real=False)
    return found.compute()


@reference(
    "judge_frechet",
    "judge_frechet.prior",
    "judge_frechet.gaussian",
    "judge_frechet.mixture",
    "judge_frechet.reconstruction",
    "judge_frechet.interpolation",
)
@pytest.mark.parametrize("sigma", [None, 0.3])
def test_frechet_is_torchmetrics(sigma):
    from latentbench.metrics.samplers import prior_samples

    e = replace(fake_encoding(sigma, dtype=torch.float64), prior=two_hills())
    fakes = {s: prior_samples(e, s, 2000)[: len(e.x)] for s in EVERY_SAMPLER}
    fakes |= {"reconstruction": e.x_hat}
    for kind, fake in fakes.items():
        name = "judge_frechet" if kind == "normal" else f"judge_frechet.{kind}"
        theirs = float(torchmetric("fid", e, fake))
        assert value(name, e) == pytest.approx(theirs, rel=1e-5), name
    half = replace(e, mu=e.mu[:1].expand(60, -1) * torch.linspace(0, 1, 60, dtype=torch.float64)[:, None])
    order = torch.randperm(60, generator=half.generator("midpoint pairs"))
    middle = e.decode((half.mu[order] + half.mu[order.roll(1)]) / 2)
    theirs = float(torchmetric("fid", e, middle))
    assert value("judge_frechet.interpolation", half) == pytest.approx(theirs, rel=1e-5)


@reference("judge_kid", "judge_kid.gaussian", "judge_kid.mixture")
def test_kernel_distance_is_torchmetrics_and_scikit_learns():
    from latentbench.metrics.samplers import prior_samples

    e = fake_encoding(dtype=torch.float64)
    n = len(e.x)
    for kind, name in zip(("normal", "gaussian", "mixture"), KID, strict=True):
        fake = prior_samples(e, kind, 2000)[:n]
        mean, _ = torchmetric("kid", e, fake, subsets=1, subset_size=n)
        assert value(name, e) == pytest.approx(float(mean), rel=1e-5)
        a, b = e.x.flatten(1).numpy(), fake.clamp(0, 1).flatten(1).numpy()
        own = [(k.sum() - k.trace()) / (n * (n - 1)) for k in (polynomial_kernel(a), polynomial_kernel(b))]
        assert value(name, e) == pytest.approx(sum(own) - 2 * polynomial_kernel(a, b).mean(), rel=1e-9)


# --- fixed points, invariances, cheats ---


def test_one_image_over_and_over_is_no_distribution():
    e = fake_encoding()
    mean = e.train.x.mean(0)
    constant = fake_encoding(decode=lambda z: mean.expand(len(z), -1, -1, -1), x_hat=mean.expand(60, -1, -1, -1))
    constant = replace(constant, prior=two_hills())
    for name in (*FRECHET, *KID):
        with pytest.raises(Undefined, match="same"):
            value(name, constant)


def test_a_turn_of_the_features_changes_nothing_and_a_scale_squares():
    turn = torch.linalg.qr(normal((6, 6), "turn")).Q
    a, b = normal((200, 6), "a"), normal((200, 6), "b") @ normal((6, 6), "mixing") + 1
    before = frechet(moments(a), moments(b))
    assert frechet(moments(a @ turn + 7), moments(b @ turn + 7)) == pytest.approx(before, rel=1e-9)
    assert frechet(moments(3 * a), moments(3 * b)) == pytest.approx(9 * before, rel=1e-9)


def test_a_large_offset_costs_no_digits():
    x = normal((100, 4), "x")
    for offset in (10, 1e4, 1e7):
        far = moments(x + offset).covariance
        torch.testing.assert_close(far, moments(x).covariance, rtol=1e-8 if offset > 1e4 else 1e-11, atol=1e-9)


def test_dead_features_and_few_points_are_no_trouble():
    a = torch.cat([normal((30, 2), "a"), torch.zeros(30, 50, dtype=torch.float64)], 1)
    assert frechet(moments(a), moments(a)) == pytest.approx(0, abs=1e-10)
    assert frechet(moments(a), moments(a + 1)) == pytest.approx(52, rel=1e-9)
    with pytest.raises(Undefined, match="two points"):
        moments(a[:1])


@pytest.mark.parametrize("name", [n for n in (*FRECHET, *KID) if n.endswith((".gaussian", ".mixture", "ion"))])
def test_a_rescaled_latent_changes_nothing_that_was_fitted(name):
    e = fake_encoding(dtype=torch.float64)
    same = e.decode

    def scaled(side):
        log_var = side.log_var + 2 * math.log(5)
        return replace(side, mu=5 * side.mu, z=5 * side.z, log_var=log_var, decode=lambda z: same(z / 5))

    larger = replace(scaled(e), train=scaled(e.train))
    assert value(name, larger) == pytest.approx(value(name, e), rel=1e-6)


def test_anchors_frame_the_distances():
    e = fake_encoding()
    for name in (*FRECHET, *KID):
        found = metrics()[name].references(e, **metrics()[name].params)
        floors = [v for n, v in found.items() if n.startswith("floor:")]
        assert min(floors) > max(
            found.get("ceiling:real", 0), value("judge_frechet.reconstruction", e) * (name in FRECHET)
        )
        assert ("ceiling:real" in found) == (name != "judge_frechet.reconstruction")
        alone = metrics()[name].references(replace(e, train=None), **metrics()[name].params)
        assert list(alone) == ["floor:noise", "floor:shuffle"]
