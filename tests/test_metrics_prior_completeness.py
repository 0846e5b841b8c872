"""Prior completeness by the judge's word, where the answer is a normal probability or can be counted."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from fakes import (
    Between,
    CentroidJudge,
    Coordinates,
    encode,
    fake_encoding,
    known_answer,
    normal,
    proofs_of,
    value,
)
from scipy.stats import norm
from worse import EVERY, jagged, one_sided

from latentbench.artifact_schema import SAMPLERS
from latentbench.catalog import metrics
from latentbench.core import Posterior, Prior, Undefined, Verdict
from latentbench.metrics.prior_completeness import class_ratios, label_shares, normalised_entropy, total_variation
from latentbench.metrics.samplers import anchor_images
from latentbench.randomness import seeded

NORMAL = Coordinates(
    "draws", "no", "no", "exact", "N(0, I) and the directions drawn look alike from all sides, and have one scale"
)
PROOFS = (
    proofs_of(
        "validity.normal",
        package=None,
        coordinates=NORMAL,
        degrade=jagged,
        follows=EVERY,
    ),
    proofs_of(
        "validity.prior",
        package=None,
        coordinates=Coordinates("exact", "exact", "exact", "exact", "the prior is the model's own and moves along"),
        degrade=jagged,
        free="the models of these series have no prior of their own; validity.normal, the same computation, follows them",
    ),
    proofs_of(
        "validity.gaussian",
        package=None,
        coordinates=Coordinates(
            "draws",
            "exact",
            "draws",
            "exact",
            "the fitted Gaussian moves along; its symmetric root deals the noise anew",
        ),
        degrade=jagged,
        follows=EVERY,
    ),
    proofs_of(
        "validity.mixture",
        package=None,
        coordinates=Coordinates(
            "draws", "exact", "exact", "exact", "fitted on standardised coordinates, which no scale along them changes"
        ),
        degrade=jagged,
        follows=EVERY,
    ),
    proofs_of(
        "validity.per_class",
        package=None,
        coordinates=NORMAL,
        degrade=one_sided,
        follows=EVERY,
    ),
    proofs_of(
        "valid_label_entropy",
        "valid_label_tv",
        package="scipy",
        coordinates=NORMAL,
        degrade=one_sided,
        free="looks at valid samples only, few or many",
    ),
)


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


@known_answer("validity.prior")
def test_shares_of_a_prior_of_ones_own_are_its_probabilities():
    """Draws of N(.5, .2^2), where N(0, 1) is what `validity.normal` goes on asking about."""
    own = Prior(lambda noise, _: 0.5 + 0.2 * noise)
    e = replace(pixel(normal((50, 1), "codes"), Between(0.2, 0.9, cut=0.4)), prior=own)
    many = {"count": 200_000}
    inside = norm.cdf(0.9, 0.5, 0.2) - norm.cdf(0.2, 0.5, 0.2)
    assert value("validity.prior", e, **many) == pytest.approx(inside, abs=0.004)
    assert value("validity.normal", e, **many) == pytest.approx(norm.cdf(0.9) - norm.cdf(0.2), abs=0.004)
    upper = (norm.cdf(0.9, 0.5, 0.2) - norm.cdf(0.4, 0.5, 0.2)) / inside
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
    assert normalised_entropy(shares) == pytest.approx(0.75, rel=1e-10)
    assert normalised_entropy(torch.full((10,), 0.1)) == pytest.approx(1, rel=1e-6)
    assert total_variation(shares, torch.full((4,), 0.25)) == pytest.approx(0.25, rel=1e-10)
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
    floors = [f"floor:{kind}" for kind in ("noise", "shuffle", "mean", "black", "white", "constant")]
    assert list(anchors) == ["ceiling:real", *floors]
    assert anchors["ceiling:real"] > 0.9
    assert max(anchors[name] for name in floors) < 0.05


def test_the_floors_of_one_colour_are_black_white_and_all_between():
    images = anchor_images(fake_encoding(), 100)
    values = {kind: images[f"floor:{kind}"].flatten(1) for kind in ("black", "white", "constant")}
    assert (values["black"] == 0).all()
    assert (values["white"] == 1).all()
    grey = values["constant"]
    assert torch.equal(grey.amin(1), grey.amax(1))
    assert grey[:, 0].tolist() == pytest.approx([k / 100 for k in range(1, 100)], abs=1e-6)


@known_answer("validity.normal")
def test_valid_draws_far_from_every_real_image_are_counted():
    """Real images have values from .24 to .36, the judge accepts .2 to .9: what it accepts outside theirs is far."""

    def decode(z):
        return z.view(-1, 1, 1, 1)

    known, held_out = (torch.linspace(0.24, 0.36, n)[:, None] for n in (1201, 1000))
    judge = Between(0.2, 0.9)
    train = encode("train", decode(known), Posterior(known), decode, judge=judge)
    e = encode("test", decode(held_out), Posterior(held_out), decode, train=train, judge=judge)
    metric = metrics()["validity.normal"]
    inside, real = norm.cdf(0.9) - norm.cdf(0.2), norm.cdf(0.36) - norm.cdf(0.24)
    found = metric.compute(e, sampler="normal", count=20_000)
    assert found.detail["far"] == pytest.approx(1 - real / inside, abs=0.02)
    fitted = metrics()["validity.gaussian"].compute(e, sampler="gaussian", count=20_000)
    assert fitted.detail["far"] < found.detail["far"] - 0.2


def test_nothing_is_far_where_nothing_is_known_or_valid():
    e = fake_encoding()
    copies = fake_encoding(decode=lambda z: e.train.x[(z[:, 0] * 1000).long() % len(e.train.x)])
    metric = metrics()["validity.normal"]
    assert metric.compute(copies, **metric.params).detail["far"] == 0
    for none in (
        replace(e, train=None),
        fake_encoding(decode=lambda z: torch.rand(len(z), 1, 4, 4, generator=seeded(0, "n"))),
    ):
        assert "far" not in metric.compute(none, **metric.params).detail


@known_answer("validity.per_class")
def test_ratios_of_classes_can_be_counted():
    label = torch.tensor([0, 0, 1, 1, 1, 2, 2, 2])
    valid = torch.tensor([1, 1, 1, 0, 0, 1, 1, 1], dtype=torch.bool)
    ratios = class_ratios(Verdict(valid, label, label, label), torch.tensor([0.5, 0.25, 0.25, 0.0]))
    assert ratios[:3].tolist() == [0.5, 0.5, 1.5]
    assert ratios[3].isnan()


@known_answer("validity.per_class")
def test_the_worst_class_of_a_normal_is_a_normal_probability():
    # Real images: half below the cut, half above, all valid. Of N(0, 1) samples .2 ... .9 is valid, .4 parts classes.
    real = (torch.arange(4000) % 2 * 0.3 + 0.3 + 0.01 * normal((4000,), "real"))[:, None]
    e = pixel(real, Between(0.2, 0.9, cut=0.4))
    lower, upper = norm.cdf(0.4) - norm.cdf(0.2), norm.cdf(0.9) - norm.cdf(0.4)
    metric = metrics()["validity.per_class"]
    found = metric.compute(e, sampler="normal", count=200_000)
    assert found.value == pytest.approx(lower / 0.5, rel=0.03)
    assert found.detail["per_class"] == pytest.approx([lower / 0.5, upper / 0.5], rel=0.03)
    assert metric.references(e, **metric.params)["ceiling:real"] == pytest.approx(1, abs=0.06)


def test_a_decoder_that_drops_a_class_or_shows_one_image_is_not_complete():
    e = fake_encoding()
    kept = torch.tensor([0, 1, 3])

    def drop(z):
        return e.judge.centres[kept[(z[:, 0] * 1000).long() % 3]].view(-1, 1, 4, 4)

    assert value("validity.normal", fake_encoding(decode=drop)) == 1
    assert value("validity.per_class", fake_encoding(decode=drop)) == 0
    one = fake_encoding(decode=lambda z: e.judge.centres[2].view(1, 1, 4, 4).expand(len(z), -1, -1, -1))
    assert value("validity.per_class", one) == 0
    train = e.train.x

    def lookup(z):
        return train[(z[:, 0] * 1000).long() % len(train)]

    assert value("validity.per_class", fake_encoding(decode=lookup)) > 0.85
    anchors = metrics()["validity.per_class"].references(e, **metrics()["validity.per_class"].params)
    assert anchors["ceiling:real"] > 0.9
    assert max(v for n, v in anchors.items() if n.startswith("floor:")) < 0.05


def test_the_centroid_judge_judges():
    e = fake_encoding()
    assert isinstance(e.judge, CentroidJudge)
    np.testing.assert_array_equal(e.judge(e.x).label.numpy(), e.labels.numpy())
