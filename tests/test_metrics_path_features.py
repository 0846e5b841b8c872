"""Decoded paths in the judge's eyes: third classes on the way, and speeds in feature space that are known."""

import math

import pytest
import torch
from fakes import Coordinates, encode, fake_encoding, known_answer, normal, proofs_of, value
from worse import jagged

from latentbench.catalog import metrics
from latentbench.core import Posterior, Undefined, Verdict
from latentbench.metrics.path_features import consistency, squared_speed, times
from latentbench.randomness import seeded

LINES = Coordinates(
    "exact", "exact", "exact", "draws", "a linear map keeps straight lines; pairs are drawn by position"
)
PROOFS = (
    proofs_of(
        "path.consistency",
        package=None,
        coordinates=LINES,
        degrade=jagged,
        free="compares labels, which the judge also gives to junk",
    ),
    proofs_of(
        "path.length_per_feature",
        package=None,
        coordinates=LINES,
        degrade=jagged,
        free="short is best: the blurriest decoder has the shortest paths",
    ),
)

NAMES = ("path.consistency", "path.length_per_feature")


class Thirds:
    """Three classes: the thirds of the first pixel's range; features are the pixels, times ``scale``. The borders lie a
    little below a third, where frames lie whose last digit no processor promises."""

    classes = 3
    train_marginal = torch.full((3,), 1 / 3)

    def __init__(self, scale=1.0):
        self.scale = scale

    def features(self, x):
        return self.scale * x.flatten(1)

    def __call__(self, x):
        label = (3 * x[:, 0, 0, 0] + 1e-4).long().clamp(0, 2)
        return Verdict(label >= 0, label, torch.ones(len(x)), torch.zeros(len(x)))


def between(start, stop, decode, judge=None):
    """An encoding of two images whose posterior means are the one-dimensional points ``start`` and ``stop``."""
    mu = torch.tensor([[start], [stop]], dtype=torch.float64)
    return encode("test", decode(mu), Posterior(mu), decode, torch.tensor([0, 1]), judge=judge or Thirds())


def grey(z):
    """The code as the brightness of two pixels."""
    return z.view(-1, 1, 1, 1).expand(-1, 1, 1, 2)


@known_answer("path.consistency")
def test_the_middle_third_of_the_way_is_a_third_class():
    e = between(0.0, 1.0, grey)
    # Of the frames at t = 1/15 ... 14/15, those at 5/15 ... 9/15 lie in [1/3, 2/3).
    assert value("path.consistency", e) == pytest.approx(9 / 14)
    assert metrics()["path.consistency"].compute(e, frames=16, pairs=8).detail["different_class"] == pytest.approx(
        9 / 14
    )
    assert value("path.consistency", between(0.0, 0.6, grey)) == 1
    assert value("path.consistency", between(0.0, 0.2, grey)) == 1


def test_labels_by_hand():
    labels = torch.tensor([[0, 0, 2, 1, 1], [3, 0, 1, 2, 3], [1, 0, 0, 1, 0]])
    assert consistency(labels).tolist() == pytest.approx([2 / 3, 0, 1])


def test_the_real_images_cross_fade_is_the_anchor():
    e = between(0.0, 1.0, grey)
    for name, expected in (("path.consistency", 9 / 14), ("path.length_per_feature", 1)):
        metric = metrics()[name]
        anchors = metric.references(e, **metric.params)
        assert anchors == {"ceiling:cross-fade": pytest.approx(expected, rel=1e-6)}


@known_answer("path.length_per_feature")
def test_a_straight_even_path_has_length_one_whatever_the_scale_of_features():
    for scale in (1.0, 1e-3, 50.0):
        e = between(0.1, 0.9, grey, Thirds(scale))
        assert value("path.length_per_feature", e) == pytest.approx(1, rel=1e-6)
        raw = metrics()["path.length_per_feature"].compute(e, pairs=4, times_per_path=2, eps=1e-3)
        assert raw.detail["unnormalised"] == pytest.approx(2 * (0.8 * scale) ** 2, rel=1e-6)


@known_answer("path.length_per_feature")
@pytest.mark.parametrize("degrees", [30, 60, 90])
def test_an_arc_in_feature_space(degrees):
    """Even speed over an angle a on the unit circle against the squared chord: (a / (2 sin(a / 2)))^2."""

    def arc(z):
        return torch.stack([z[:, 0].cos(), z[:, 0].sin()], 1).view(-1, 1, 1, 2)

    angle = math.radians(degrees)
    expected = (angle / (2 * math.sin(angle / 2))) ** 2
    assert value("path.length_per_feature", between(0.0, angle, arc)) == pytest.approx(expected, rel=1e-6)


@known_answer("path.length_per_feature")
def test_an_uneven_path_is_longer():
    """Brightness t^2 on the way from 0 to 1: the mean of (2 t)^2 is 4/3."""
    uneven = value("path.length_per_feature", between(0.0, 1.0, lambda z: grey(z**2)), pairs=2000)
    assert uneven == pytest.approx(4 / 3, rel=5e-3)


def test_single_precision_is_enough():
    mixing = normal((3, 16), "mixing")

    def decode(z):
        return (0.5 + 0.4 * torch.tanh(z @ mixing.to(z))).view(-1, 1, 4, 4)

    mu = normal((40, 3), "codes")
    double, single = (encode("test", decode(m), Posterior(m), decode, judge=Thirds()) for m in (mu, mu.float()))
    exact = value("path.length_per_feature", double)
    assert exact > 1.05
    assert value("path.length_per_feature", single) == pytest.approx(exact, rel=1e-3)


def test_paths_that_jump_are_refused_rather_than_thought_short():
    """A decoder that switches between two of the sampled moments never moves within a small step."""
    e = between(0.0, 1.0, lambda z: grey((z > 0.5).double()))
    with pytest.raises(Undefined, match="moves in jumps"):
        value("path.length_per_feature", e, pairs=2)


@pytest.mark.parametrize("name", NAMES)
def test_a_constant_decoder_has_no_path(name):
    image = fake_encoding().x.mean(0)
    with pytest.raises(Undefined, match="no path"):
        value(name, fake_encoding(decode=lambda z: image.expand(len(z), -1, -1, -1)))


def test_features_that_cannot_tell_the_ends_apart():
    class Blind(Thirds):
        def features(self, x):
            return torch.ones(len(x), 1)

    with pytest.raises(Undefined, match="do not tell the ends"):
        value("path.length_per_feature", between(0.0, 1.0, grey, Blind()))


def test_moments_cover_the_way_and_speeds_are_differences_over_time():
    t = times(8, 500, 1e-3, seeded(0, "times"))
    assert t.shape == (500, 8)
    assert torch.equal((8 * t / (1 - 1e-3)).floor(), torch.arange(8).double().expand(500, 8))
    speed = squared_speed(torch.tensor([[0.0, 0.0]]), torch.tensor([[0.3, 0.4]]), 0.5)
    assert speed.item() == pytest.approx(1)
