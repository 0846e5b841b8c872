"""Uniqueness and novelty: prototypes, tables and chains whose answer can be counted; real images; tables on digits."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from cheats import DATA, Cheat, honest_white
from fakes import Coordinates, encode, fake_encoding, known_answer, normal, proofs_of, reference
from scipy.spatial.distance import cdist
from worse import remembered, switched

from latentbench.catalog import metrics
from latentbench.core import Posterior, Undefined
from latentbench.measuring import scoring
from latentbench.metrics.uniqueness import distinct_share, real_images, same_radius
from latentbench.randomness import seeded

NORMAL = Coordinates("draws", "no", "no", "exact", "N(0, I) looks alike from all sides, and has one scale")
PROOFS = (
    proofs_of(
        "uniqueness",
        package=None,
        coordinates=NORMAL,
        degrade=switched,
        free="says whether draws differ, not what they are: noise never comes again",
    ),
    proofs_of(
        "novelty",
        package=None,
        coordinates=NORMAL._replace(shown=False),
        degrade=remembered,
        free="says whether draws are new, not what they are: noise is",
    ),
)


def value(name, e):
    return metrics()[name].compute(e, **metrics()[name].params)


def anchors(name, e):
    return metrics()[name].references(e, **metrics()[name].params)


def scattered(n, purpose="scattered"):
    """``n`` images of 4x4 independent pixels: far from one another."""
    return torch.rand(n, 1, 4, 4, generator=seeded(0, purpose), dtype=torch.float64)


def drawn(decode, x=None, train=None, validation=None):
    """An encoding with one-dimensional codes, of which ``decode`` makes what it likes."""
    x, train = scattered(1500) if x is None else x, scattered(600, "train") if train is None else train
    code = torch.zeros(len(train), 1, dtype=torch.float64)
    side = encode("train", train, Posterior(code), decode)
    test = encode("test", x, Posterior(code[:1].expand(len(x), 1)), decode, train=replace(side, train=side))
    return replace(test, validation=validation)


def dealt(images):
    """A decoder under which each of ``images`` has the same share of N(0, 1)."""
    return lambda z: images[(torch.special.ndtr(z[:, 0]) * len(images)).long().clamp(max=len(images) - 1)]


@known_answer("uniqueness")
@pytest.mark.parametrize("kinds", [1, 10, 300, 3000])
def test_draws_of_prototypes(kinds):
    """Counted: exactly the distinct ones. By chance: K (1 - (1 - 1/K)^n) / n."""
    prototypes = scattered(kinds, "prototypes")
    e = drawn(dealt(prototypes))
    found = value("uniqueness", e)
    n = found.detail["draws"]
    assert n == 2000
    which = torch.cdist(decoded(e)[:n].flatten(1), prototypes.flatten(1)).argmin(1)
    assert found.value == pytest.approx(len(which.unique()) / n, rel=1e-12)
    expected = kinds * (1 - (1 - 1 / kinds) ** n) / n
    assert found.value == pytest.approx(expected, abs=0.025)


def decoded(e):
    return e.decode(torch.randn(2000, 1, generator=e.generator("prior"), dtype=torch.float64))


@known_answer("uniqueness")
def test_images_in_a_row_are_not_one_image():
    """A chain, each within the radius of the next: as parts of a graph they would count once, here a third."""
    row = torch.arange(1000, dtype=torch.float64)[:, None]
    assert distinct_share(row, 1.5) == pytest.approx((998 / 3 + 1) / 1000, rel=1e-12)
    assert distinct_share(row, 0.5) == 1
    assert distinct_share(row, 2000.0) == pytest.approx(1 / 1000, rel=1e-12)


@reference("uniqueness")
def test_it_is_the_share_of_new_images_over_all_orders():
    """The sum over equal images written out, and 2,000 random orders gone through one by one."""
    x, rng = normal((60, 2), "points").numpy(), np.random.default_rng(0)
    same = cdist(x, x) < 0.3
    found = distinct_share(torch.from_numpy(x), 0.3)
    assert found == pytest.approx(float(np.mean(1 / same.sum(1))), rel=1e-12)
    assert 0.3 < found < 0.9
    new = []
    for _ in range(2000):
        place = rng.permutation(60)
        earlier = same & (place[None, :] < place[:, None])
        new.append(1 - earlier.any(1).mean())
    assert np.mean(new) == pytest.approx(found, abs=4 * np.std(new) / math.sqrt(2000))


@known_answer("uniqueness")
@pytest.mark.parametrize(("dimensions", "reading"), [(1, 0.893), (2, 0.962), (3, 0.987)])
def test_real_images_read_what_their_dimension_says(dimensions, reading):
    a = math.log(2) / 3**dimensions
    assert (1 - math.exp(-a)) / a == pytest.approx(reading, abs=5e-4)
    x = torch.rand(2000, 1, 1, dimensions, generator=seeded(0, "cube"), dtype=torch.float64)
    e = drawn(lambda z: x[: len(z)], x=x)
    assert anchors("uniqueness", e)["ceiling:real"] == pytest.approx(reading, abs=0.012)
    fresh = torch.rand(2000, 1, 1, dimensions, generator=seeded(1, "cube"), dtype=torch.float64)
    assert value("uniqueness", drawn(lambda z: fresh[: len(z)], x=x)).value == pytest.approx(reading, abs=0.02)


def test_as_many_draws_as_there_are_real_images_held_out_ones_first():
    e = drawn(dealt(scattered(50)), x=scattered(100), train=scattered(30, "train"))
    real = real_images(e, 2000)
    assert len(real) == 130
    assert torch.equal(real[:100], e.x)
    assert value("uniqueness", e).detail["draws"] == 130
    assert len(real_images(e, 40)) == 40
    alone = replace(e, train=None)
    assert torch.equal(real_images(alone, 2000), e.x)


@known_answer("uniqueness", "novelty")
def test_the_radius_is_a_third_of_the_median_distance_to_the_nearest():
    x = torch.tensor([0.0, 0.03, 0.3, 0.36, 0.9, 0.99]).double().view(-1, 1, 1, 1)
    alone = replace(drawn(lambda z: 0 * z.view(-1, 1, 1, 1), x=x), train=None)
    assert same_radius(alone, 2000) == pytest.approx(0.02, rel=2e-6)


def test_no_pair_hangs_on_the_last_digit_of_the_radius():
    """Of steps 3, 3, ... 3, 1 the median is 3 and the pair at 1 lies exactly at its third, at any scale."""
    steps = torch.tensor([3.0] * 10 + [1.0], dtype=torch.float64).cumsum(0)
    for k in range(1, 200):
        e = replace(drawn(lambda z: 0 * z.view(-1, 1, 1, 1), x=(k / 7000 * steps).view(-1, 1, 1, 1)), train=None)
        assert anchors("uniqueness", e)["ceiling:real"] == 1


def test_images_that_cannot_be_told_apart_have_no_radius():
    flat = drawn(lambda z: z.view(-1, 1, 1, 1), x=torch.ones(5, 1, 1, 1), train=torch.ones(5, 1, 1, 1))
    one = replace(drawn(lambda z: z.view(-1, 1, 1, 1), x=torch.ones(1, 1, 1, 1)), train=None)
    for e, why in ((flat, "exact copy"), (one, "no other")):
        with pytest.raises(Undefined, match=why):
            value("uniqueness", e)


@known_answer("novelty")
@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_a_share_of_copies_is_not_new(share):
    train, new = scattered(600, "train"), scattered(2000, "new")

    def decode(z):
        out = new[torch.arange(len(z)) % 2000].clone()
        copied = int(share * len(z))
        out[:copied] = train[torch.arange(copied) % 600]
        return out

    assert value("novelty", drawn(decode)).value == pytest.approx(1 - share, abs=2e-3)


@known_answer("novelty")
def test_validation_images_were_seen_and_held_out_ones_were_not():
    validation = scattered(200, "validation")
    e = drawn(dealt(validation))
    assert value("novelty", e).value > 0.99
    assert value("novelty", replace(e, validation=validation)).value == 0
    assert value("novelty", drawn(dealt(scattered(1500)))).value > 0.99


@known_answer("uniqueness", "novelty")
def test_anchors_are_real_images_and_their_opposite():
    e = drawn(dealt(scattered(10)), x=scattered(1500), train=scattered(100, "train"))
    assert anchors("uniqueness", e) == {"ceiling:real": 1, "floor:mean": 1 / 1600}
    assert anchors("novelty", e) == {"ceiling:real": 1, "floor:copies": 0}


def test_a_constant_decoder_has_one_image():
    e = fake_encoding()
    image = e.x.mean(0)
    one = fake_encoding(decode=lambda z: image.expand(len(z), -1, -1, -1))
    assert value("uniqueness", one).value == pytest.approx(1 / 300, rel=1e-9)


# --- on digits: tables of stored images, beside a model that stores none ---


class Model:
    """A cheat as `scoring.encode` wants it."""

    def __init__(self, cheat):
        self.cheat = cheat

    def encode(self, x):
        return Posterior(self.cheat.encode(x))

    def decode(self, z):
        return self.cheat.decode(z)


def table(images, noise=0.0):
    """The image of the stored code nearest, all codes as wide as N(0, I), with fresh pixel noise upon it."""
    base, draws = honest_white(8), seeded(0, "pixel noise")
    stored = base.encode(images)

    def decode(z):
        found = images[torch.cdist(z, stored).argmin(1)]
        return found + noise * torch.randn(found.shape, generator=draws)

    return Cheat(base.encode, decode)


def on_digits(cheat):
    e = scoring.encode(Model(cheat), DATA, 0, torch.device("cpu"))
    return {n: value(n, e).value / anchors(n, e)["ceiling:real"] for n in ("uniqueness", "novelty")}


def test_an_honest_model_repeats_nothing():
    found = on_digits(honest_white(8))
    assert min(found.values()) > 0.95


@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_tables_of_images_come_again(noise):
    """Of 359 validation images, of 1,437 of training and validation: at most the expected number of distinct draws."""
    both = torch.cat([DATA.train.x, DATA.val.x])
    for images in (DATA.val.x, both):
        found, k = on_digits(table(images, noise)), len(images)
        assert found["uniqueness"] <= k * (1 - (1 - 1 / k) ** 1797) / 1797 + 0.02
        assert found["novelty"] < 0.02
