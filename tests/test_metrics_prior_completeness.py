"""Prior completeness where the answer is a normal probability, a published expectation or the reference package's."""

import math

import numpy as np
import pytest
import torch
from fakes import CentroidJudge, encode, fake_encoding, known_answer, latent_encoding, normal
from prdc import compute_prdc
from scipy.stats import chi2, norm

from latentbench.catalog import metrics
from latentbench.core import Posterior, Undefined, Verdict, seeded
from latentbench.metrics.prior_completeness import (
    SAMPLERS,
    fit_gaussian,
    fit_mixture,
    hole_share,
    label_shares,
    normalised_entropy,
    prdc,
    prior_codes,
    total_variation,
)


def value(name, e, **changes):
    metric = metrics()[name]
    result = metric.compute(e, **{**metric.params, **changes})
    return getattr(result, "value", result)


class Between:
    """Accepts one-pixel images of an interval; two classes, split at ``cut``."""

    classes = 2
    train_marginal = torch.tensor([0.5, 0.5])

    def __init__(self, low, high, cut=0.5):
        self.low, self.high, self.cut = low, high, cut

    def features(self, x):
        return x.flatten(1)

    def __call__(self, x):
        point = x.flatten()
        valid = (point > self.low) & (point < self.high)
        return Verdict(valid, (point > self.cut).long(), valid.double(), 1 - valid.double())


def pixel(codes, judge):
    """An encoding of one-pixel images that are their own codes (n, 1)."""

    def decode(z):
        return z.view(-1, 1, 1, 1)

    train = encode("train", decode(codes), Posterior(codes), decode, judge=judge)
    return encode("test", decode(codes), Posterior(codes), decode, train=train, judge=judge)


@known_answer("validity.normal", "validity.gaussian", "valid_label_entropy", "valid_label_tv")
def test_shares_of_a_normal_are_normal_probabilities():
    e = pixel(0.5 + 0.2 * normal((5000, 1), "codes"), Between(0.2, 0.9, cut=0.4))
    many = {"count": 200_000}
    inside = norm.cdf(0.9) - norm.cdf(0.2)
    assert value("validity.normal", e, **many) == pytest.approx(inside, abs=0.004)
    fitted = norm.cdf(0.9, 0.5, 0.2) - norm.cdf(0.2, 0.5, 0.2)
    assert value("validity.gaussian", e, **many) == pytest.approx(fitted, abs=0.01)
    upper = (norm.cdf(0.9) - norm.cdf(0.4)) / inside
    entropy = -(upper * math.log2(upper) + (1 - upper) * math.log2(1 - upper))
    assert value("valid_label_entropy", e, **many) == pytest.approx(entropy, abs=0.004)
    assert value("valid_label_tv", e, **many) == pytest.approx(abs(upper - 0.5), abs=0.006)


@known_answer("validity.mixture", "validity.gaussian")
def test_a_mixture_finds_the_modes_that_a_gaussian_misses():
    y = torch.arange(4000) % 2
    codes = (0.02 * normal((4000,), "modes") + torch.tensor([0.2, 0.8])[y])[:, None]

    class Modes(Between):
        def __call__(self, x):
            verdict = super().__call__(x)
            near = torch.minimum((x.flatten() - 0.2).abs(), (x.flatten() - 0.8).abs()) < 0.1
            return verdict._replace(valid=near)

    e = pixel(codes, Modes(0, 1))
    assert value("validity.mixture", e, count=20_000) > 0.99
    width = math.sqrt(0.3**2 + 0.02**2)
    near = sum(norm.cdf(m + 0.1, 0.5, width) - norm.cdf(m - 0.1, 0.5, width) for m in (0.2, 0.8))
    assert value("validity.gaussian", e, count=20_000) == pytest.approx(near, abs=0.012)


@known_answer("valid_label_entropy", "valid_label_tv")
def test_label_measures_in_closed_form():
    shares = label_shares(torch.tensor([0, 0, 1, 2]), 4)
    assert shares.tolist() == [0.5, 0.25, 0.25, 0]
    assert normalised_entropy(shares) == pytest.approx(0.75, rel=1e-12)
    assert normalised_entropy(torch.full((10,), 0.1)) == pytest.approx(1, rel=1e-6)
    assert total_variation(shares, torch.full((4,), 0.25)) == pytest.approx(0.25, rel=1e-12)
    assert total_variation(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])) == 1


def test_one_valid_image_over_and_over_does_not_look_complete():
    e = fake_encoding()
    one = fake_encoding(decode=lambda z: e.judge.centres[2].view(1, 1, 4, 4).expand(len(z), -1, -1, -1))
    assert value("validity.normal", one) == 1
    assert value("valid_label_entropy", one) == 0
    assert value("valid_label_tv", one) == pytest.approx(0.75, abs=0.01)
    assert value("recall", one) == 0
    for name in ("precision", "density", "coverage"):
        with pytest.raises(Undefined, match="same image"):
            value(name, one)


def test_cheating_decoders_draw_nothing_valid():
    e = fake_encoding()
    mean, generator = e.train.x.mean(0), seeded(0, "noise decoder")
    constant = fake_encoding(decode=lambda z: mean.expand(len(z), -1, -1, -1))
    noise = fake_encoding(decode=lambda z: torch.rand(len(z), 1, 4, 4, generator=generator))
    for cheat in (constant, noise):
        for sampler in SAMPLERS:
            assert value(f"validity.{sampler}", cheat) < 0.05
        with pytest.raises(Undefined, match="valid"):
            value("valid_label_entropy", cheat)


def test_an_identity_autoencoder_reconstructs_all_and_completes_nothing():
    e = fake_encoding()

    def decode(z):
        return z.view(-1, 1, 4, 4)

    train = encode("train", e.train.x, Posterior(e.train.x.flatten(1)), decode, e.train.labels, judge=e.judge)
    test = encode("test", e.x, Posterior(e.x.flatten(1)), decode, e.labels, train, e.judge)
    assert value("r2", test) == 1
    assert value("validity.normal", test) < 0.05
    assert value("validity.mixture", test) > 0.8
    assert value("hole", test) > 0.95


def test_too_few_valid_samples_say_nothing_of_variety():
    e = pixel(normal((50, 1), "codes"), Between(0.9999, 1.0))
    for name in ("valid_label_entropy", "valid_label_tv"):
        with pytest.raises(Undefined, match="too few for 2 classes"):
            value(name, e, count=20)


def test_anchors_frame_validity():
    e = fake_encoding()
    anchors = metrics()["validity.normal"].references(e, sampler="normal", count=2000)
    assert list(anchors) == ["ceiling:real", "floor:noise", "floor:shuffle", "floor:mean"]
    assert anchors["ceiling:real"] > 0.9
    assert max(anchors["floor:noise"], anchors["floor:shuffle"], anchors["floor:mean"]) < 0.05


# --- precision, recall, density, coverage ---


def expected_coverage(n, k):
    """Naeem et al. 2020, proposition: equal distributions, n samples of each."""
    return 1 - math.prod((n - i) / (2 * n - i) for i in range(1, k + 1))


@known_answer("coverage", "density", "precision", "recall")
def test_scores_of_equal_distributions():
    assert expected_coverage(2000, 5) == pytest.approx(0.96887, abs=5e-6)
    scores = prdc(normal((2000, 16), "real"), normal((2000, 16), "fake"), 5)
    assert scores.coverage == pytest.approx(0.96887, abs=0.015)
    assert scores.density == pytest.approx(1, abs=0.05)
    assert scores.precision == pytest.approx(scores.recall, abs=0.05)


@known_answer("precision", "recall", "density", "coverage")
def test_scores_of_one_point_at_the_real_mean():
    real = normal((2000, 64), "real")
    assert prdc(real, real.mean(0).expand(2000, -1), 5) == (1, 0, 400, 1)


@known_answer("precision", "recall", "coverage")
@pytest.mark.parametrize("kept", [1, 4, 10])
def test_recall_and_coverage_count_the_modes_kept(kept):
    modes = 100 * torch.eye(10, dtype=torch.float64)
    mode = torch.arange(2000) % 10
    real = modes[mode] + normal((2000, 10), "real")
    # The fakes are the real points of the modes kept, nudged: there everything is covered, elsewhere nothing.
    scores = prdc(real, real[mode < kept] + 1e-3, 5)
    assert scores.recall == scores.coverage == pytest.approx(kept / 10, rel=1e-9)
    assert scores.precision == 1


@pytest.mark.parametrize(("n", "m", "shift"), [(200, 200, 0.0), (150, 300, 0.8), (80, 60, 3.0)])
def test_scores_are_those_of_the_reference_package(n, m, shift):
    real, fake = normal((n, 8), "real"), 0.8 * normal((m, 8), "fake") + shift
    reference = compute_prdc(real.numpy(), fake.numpy(), nearest_k=5)
    for name, ours in prdc(real, fake, 5)._asdict().items():
        assert ours == pytest.approx(reference[name], rel=1e-9, abs=1e-12), name


@known_answer("precision", "recall", "density", "coverage")
def test_scores_reach_the_judges_features_of_decoded_prior_samples():
    class Probit(Between):
        def features(self, x):
            return torch.special.ndtri(x.flatten(1))

    def decode(z):
        return torch.special.ndtr(z).view(-1, 1, 8, 8)

    codes = normal((2000, 64), "real")
    train = encode("train", decode(codes), Posterior(codes), decode, judge=Probit(0, 1))
    e = encode("test", decode(codes), Posterior(codes), decode, train=train, judge=Probit(0, 1))
    assert value("coverage", e) == pytest.approx(0.96887, abs=0.015)
    assert value("density", e) == pytest.approx(1, abs=0.1)
    assert value("precision", e) == pytest.approx(value("recall", e), abs=0.05)
    heaped = encode("test", decode(codes), Posterior(codes), lambda z: decode(0.3 * z), train=train, judge=Probit(0, 1))
    assert metrics()["density"].compute(heaped, **metrics()["density"].params).detail["crowded"]
    assert value("recall", heaped) < 0.3


def test_scores_need_more_points_than_neighbours():
    with pytest.raises(Undefined, match="more than 5 points, there are 5 real"):
        prdc(normal((5, 2), "a"), normal((50, 2), "b"), 5)


# --- samplers ---


def test_the_gaussian_has_the_moments_of_the_codes():
    codes = normal((3000, 3), "codes") @ normal((3, 3), "mixing") + 5
    e = latent_encoding(codes, codes)
    drawn = prior_codes(e, "gaussian", 200_000)
    torch.testing.assert_close(drawn.mean(0), codes.mean(0), rtol=0, atol=0.03)
    torch.testing.assert_close(drawn.T.cov(), codes.T.cov(), rtol=0.03, atol=0.03)


def test_the_mixture_has_the_moments_of_the_codes_too():
    codes = torch.where(torch.rand(3000, 1, generator=seeded(0, "mode")) < 0.3, -4.0, 2.0) + normal((3000, 2), "codes")
    drawn = prior_codes(latent_encoding(codes, codes), "mixture", 100_000)
    torch.testing.assert_close(drawn.mean(0), codes.mean(0), rtol=0, atol=0.05)
    torch.testing.assert_close(drawn.T.cov(), codes.T.cov(), rtol=0.03, atol=0.05)
    assert ((drawn[:, 0] < -1).double().mean() - (codes[:, 0] < -1).double().mean()).abs() < 0.01


def test_codes_without_variance_break_no_sampler():
    codes = torch.zeros(100, 3, dtype=torch.float64)
    assert fit_gaussian(codes).root.abs().max() == 0
    for sampler in ("gaussian", "mixture"):
        assert prior_codes(latent_encoding(codes, codes), sampler, 50).abs().max() < 0.01
    flat = torch.cat([normal((100, 1), "one"), codes[:, :1]], 1)
    assert prior_codes(latent_encoding(flat, flat), "gaussian", 50)[:, 1].abs().max() < 1e-6


def test_a_mixture_of_few_codes_has_fewer_components():
    assert len(fit_mixture(normal((7, 2), "codes"), 10, seeded(0, "fit")).weight) == 3
    with pytest.raises(Undefined, match="two training codes"):
        fit_mixture(normal((1, 2), "codes"), 10, seeded(0, "fit"))


def test_prior_draws_depend_on_the_seed_and_not_on_the_model():
    one, other, later = fake_encoding(None), fake_encoding(0.3), fake_encoding(None, seed=1)
    codes = [prior_codes(e, "normal", 20) for e in (one, other, later)]
    assert torch.equal(codes[0], codes[1])
    assert not torch.equal(codes[0], codes[2])
    with pytest.raises(ValueError, match="'uniform' is not one of normal, gaussian, mixture"):
        prior_codes(one, "uniform", 5)


# --- holes ---


def two_gaussians(tau, n, purpose):
    """Codes of the aggregate posterior half N(-a, tau^2), half N(a, tau^2), a^2 = 1 - tau^2: mean 0, variance 1."""
    a = math.sqrt(1 - tau**2)
    side = torch.where(torch.arange(n) % 2 == 0, a, -a).double()
    return (side + tau * normal((n,), purpose))[:, None]


@known_answer("hole")
@pytest.mark.parametrize(("tau", "share"), [(0.10, 0.7492), (0.25, 0.3613), (0.50, 0.0424)])
def test_hole_between_two_gaussians(tau, share):
    e = latent_encoding(two_gaussians(tau, 6000, "train"), two_gaussians(tau, 6000, "test"))
    assert value("hole", e, draws=8000) == pytest.approx(share, abs=0.02)


@known_answer("hole", "hole.gaussian")
def test_no_hole_where_the_codes_are_normal():
    e = latent_encoding(normal((4000, 4), "train"), normal((4000, 4), "test"))
    assert value("hole", e) == pytest.approx(0.01, abs=0.006)
    assert value("hole.gaussian", e) == pytest.approx(0.01, abs=0.006)
    assert metrics()["hole"].references(e, **metrics()["hole"].params) == {"null:held-out": 0.01}


@known_answer("hole", "hole.gaussian")
@pytest.mark.parametrize("scale", [0.3, 0.5, 1.0, 2.0])
def test_a_hole_under_the_normal_is_partly_a_matter_of_scale(scale):
    # With many codes N(0, c^2 I_8) the hole is everything outside their 99 % ball: .986, .755, .01, 0.
    share = chi2.sf(scale**2 * chi2.ppf(0.99, 8), 8)
    e = latent_encoding(scale * normal((4000, 8), "train") + 1, scale * normal((4000, 8), "test") + 1)
    centred = latent_encoding(e.train.z - 1, e.z - 1)
    assert value("hole", centred) == pytest.approx(share, abs=0.025)
    assert value("hole.gaussian", e) == pytest.approx(0.01, abs=0.008)


def test_hole_sees_a_gap_that_two_moments_do_not():
    e = latent_encoding(two_gaussians(0.1, 3000, "train"), two_gaussians(0.1, 3000, "test"))
    assert value("hole.gaussian", e) == pytest.approx(value("hole", e), abs=0.03)
    assert value("hole", e) > 0.7


def test_hole_needs_as_many_codes_as_neighbours():
    with pytest.raises(Undefined, match="5 neighbours"):
        hole_share(normal((9, 2), "z"), normal((4, 2), "c"), normal((9, 2), "h"), 5, 0.99)


def test_the_centroid_judge_judges():
    e = fake_encoding()
    assert isinstance(e.judge, CentroidJudge)
    np.testing.assert_array_equal(e.judge(e.x).label.numpy(), e.labels.numpy())
