"""Memorisation: copies, new images, and the null in between."""

import math
from dataclasses import replace

import pytest
import torch
from fakes import Coordinates, encode, fake_encoding, known_answer, normal, proofs_of, reference, value
from poor_arithmetic import PoorArithmetic
from scipy.spatial.distance import cdist
from scipy.stats import mannwhitneyu

from latentbench.catalog import metrics
from latentbench.core import Posterior, Undefined
from latentbench.datasets import digits
from latentbench.datasets.splits import SHARES, parts
from latentbench.measuring.baselines import PrincipalComponents
from latentbench.metrics.memorisation import closest, copied_share, effective_images, mann_whitney_z
from latentbench.randomness import numpy_rng

PROOFS = (
    proofs_of(
        "memorisation",
        "data_copying",
        package="scipy",
        coordinates=Coordinates(
            "draws", "exact", "exact", "exact", "fitted on standardised coordinates, which no scale along them changes"
        ),
    ),
)


def pictures(n, purpose):
    """``n`` grey images of 4x4 independent pixels in [0, 1]."""
    return (0.5 + 0.1 * normal((n, 1, 4, 4), purpose)).clamp(0, 1)


def split(decode, x, x_test, validation=None, seed=0):
    """An encoding of images in their splits, whose codes they are themselves, so that the mixture sampler draws new codes
    of the same kind, and ``decode`` says what becomes of them."""
    side = encode("train", x, Posterior(x.flatten(1)), decode, seed=seed)
    e = encode("test", x_test, Posterior(x_test.flatten(1)), decode, train=replace(side, train=side), seed=seed)
    return replace(e, validation=validation)


def sampled(decode, train=600, held_out=200, validation=0):
    """An encoding of independent grey images."""
    seen = pictures(validation, "validation") if validation else None
    return split(decode, pictures(train, "train"), pictures(held_out, "test"), seen)


def lookup(images):
    """The training image nearest to the code."""
    return lambda z: images[torch.cdist(z, images.flatten(1)).argmin(1)]


def images(z):
    return z.view(-1, 1, 4, 4)


@known_answer("memorisation", "data_copying")
@pytest.mark.parametrize("held_out", [600, 150])
def test_a_lookup_table_copies(held_out):
    e = sampled(lookup(pictures(600, "train")), held_out=held_out)
    assert value("memorisation", e) == 1
    n = min(held_out, 600)
    least = -n * n / 2 / math.sqrt(n * n * (2 * n + 1) / 12)
    assert value("data_copying", e) == pytest.approx(least, rel=1e-9)


@known_answer("memorisation", "data_copying")
@pytest.mark.parametrize("trained_on", [0, 150, 300])
def test_a_table_of_images_that_were_validated_on_copies_too(trained_on):
    """Early stopping and the judge have seen them; beside them half of the table may be training images."""
    table = torch.cat([pictures(300, "validation"), pictures(600, "train")[:trained_on]])
    e = sampled(lookup(table), held_out=200, validation=300)
    assert value("memorisation", e) == 1
    assert value("data_copying", e) < -10
    assert value("memorisation", replace(e, validation=None)) < 0.95
    result = metrics()["memorisation"].compute(e, **metrics()["memorisation"].params)
    assert (result.detail["train"], result.detail["validation"], result.detail["near_copies"]) == (600, 300, 1)
    shares = [result.detail[f"nearer_to_{which}"] for which in ("train", "validation")]
    assert sum(shares) == pytest.approx(1, rel=1e-12)
    assert (shares[0] > 0.1) == bool(trained_on)


@known_answer("memorisation")
def test_a_table_of_five_images_is_no_blur():
    """Few images lie nearest to its draws too, but the draws are these images, with noise on them or without."""
    for noise in (0.0, 0.02):

        def decode(z, noise=noise):
            return lookup(pictures(5, "train"))(z) + noise * normal((len(z), 1, 4, 4), "noise")

        assert value("memorisation", sampled(decode, validation=200)) > 0.95


def dealt(x, y, seed):
    """Images (n, ...) dealt out to the splits as any dataset's are: class by class, or all together without labels."""
    train, val, test = parts(len(x), None if y is None else y.numpy(), SHARES, numpy_rng(seed, "split"))
    return x[train], x[test], x[val]


def classes_of(counts):
    """``counts`` images of each class, near its own prototype, and the classes."""
    y = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    return (prototypes(len(counts))[y] + 0.05 * normal((len(y), 1, 4, 4), "classes")).clamp(0, 1), y


def prototypes(n):
    return 0.5 + 0.15 * normal((n, 1, 4, 4), "prototypes")


UNEQUAL = [5, 6, 7, 8, 9, 11, 13, 40, 120, 300]
REAL = {
    "forty classes of ten": lambda: classes_of([10] * 40),
    "unequal classes": lambda: classes_of(UNEQUAL),
    "unequal classes, dealt out without labels": lambda: (classes_of(UNEQUAL)[0], None),
    "one Gaussian": lambda: (pictures(400, "gaussian"), None),
    "every image four times": lambda: (pictures(100, "copies").repeat(4, 1, 1, 1), torch.arange(100).repeat(4)),
    "digits": lambda: (torch.cat([s.x for s in splits_of_digits()]), torch.cat([s.y for s in splits_of_digits()])),
}


def splits_of_digits():
    data = digits.load("", "", 0)
    return data.train, data.val, data.test


def assert_half(found, error):
    """Within three standard errors of .5, these no larger than ``error``."""
    found = torch.tensor(found)
    own = float(found.std()) / math.sqrt(len(found))
    assert own < error
    assert abs(float(found.mean()) - 0.5) < 3 * own + 1e-6


@known_answer("memorisation")
@pytest.mark.parametrize("kind", REAL)
@pytest.mark.parametrize("validated", [True, False])
def test_real_images_read_one_half_however_they_were_dealt_out(kind, validated):
    """Held-out images against the others of them would read .77 on forty classes of ten."""
    x, y = REAL[kind]()
    metric, found, held_out = metrics()["memorisation"], [], []
    for seed in range(10 if kind == "digits" else 40):
        train, test, val = dealt(x, y, seed)
        e = split(None, train, test, val if validated else None, seed)
        found.append(metric.references(e, **metric.params)["ceiling:real"])
        to_train, to_held_out = closest(test, train).distance[:, 0], closest(test, test, 2).distance[:, 1]
        held_out.append(copied_share(to_train, to_held_out, len(train), len(test) - 1))
    assert_half(found, 0.02)
    if kind == "forty classes of ten":
        assert sum(held_out) / len(held_out) > 0.65


@known_answer("memorisation")
@pytest.mark.parametrize("counts", [[10] * 40, UNEQUAL], ids=["forty classes of ten", "unequal classes"])
def test_a_generator_that_draws_from_the_truth_reads_one_half(counts):
    """The model's own number leans to no side where classes are small."""
    x, y = classes_of(counts)
    found = []
    for seed in range(20):
        new = y[torch.from_numpy(numpy_rng(seed, "draws").integers(len(y), size=1000))]
        drawn = (prototypes(len(counts))[new] + 0.05 * normal((1000, 1, 4, 4), f"new {seed}")).clamp(0, 1)
        found.append(
            value(
                "memorisation",
                split(lambda z, drawn=drawn: drawn[: len(z)].repeat(2, 1, 1, 1), *dealt(x, y, seed), seed),
            )
        )
    assert_half(found, 0.02)


@known_answer("memorisation", "data_copying")
@pytest.mark.parametrize("held_out", [600, 150])
def test_new_draws_of_the_same_distribution_do_not(held_out):
    e = sampled(lambda z: pictures(len(z), f"new {len(z)}"), held_out=held_out)
    assert value("memorisation", e) == pytest.approx(0.5, abs=0.08)
    assert abs(value("data_copying", e)) < 4


@known_answer("memorisation")
def test_copies_of_held_out_images_are_the_other_end():
    assert value("memorisation", sampled(lookup(pictures(200, "test")))) == 0


@known_answer("memorisation")
@pytest.mark.parametrize("share", [0.2, 0.5])
def test_a_share_of_copies_shows_as_half_of_it(share):
    """Of equal sets: share + (1 - share) / 2."""
    copy, new = lookup(pictures(600, "train")), pictures(4000, "new")

    def decode(z):
        return torch.cat([copy(z[: int(share * len(z))]), new[: len(z) - int(share * len(z))]])

    e = sampled(decode, held_out=600)
    assert value("memorisation", e, count=2000) == pytest.approx((1 + share) / 2, abs=0.05)


def test_blur_looks_like_data_copying_but_not_like_memorisation():
    """Half of the contrast: nearer to every image than images are to each other."""
    e = sampled(lambda z: 0.5 + 0.5 * (images(z) - 0.5))
    assert value("data_copying", e) < -10
    result = metrics()["memorisation"].compute(e, **metrics()["memorisation"].params)
    assert abs(result.value - 0.5) < 4 * result.detail["null_error"]
    with pytest.raises(Undefined, match="images only"):
        value("memorisation", sampled(lambda z: 0.5 + 0.1 * (images(z) - 0.5)))


def test_effective_images():
    assert effective_images(torch.arange(30)) == pytest.approx(30)
    assert effective_images(torch.tensor([5, 5, 5])) == pytest.approx(1)
    assert effective_images(torch.tensor([0, 0, 7, 7])) == pytest.approx(2)


def test_the_null_error_is_the_spread_over_ways_to_part_the_images():
    """500 ways to deal 400 images out to a training and a held-out set; blurred samples that know none of them."""
    pool, samples = pictures(400, "pool"), 0.5 + 0.6 * (pictures(300, "samples") - 0.5)
    found = []
    for seed in range(500):
        order = torch.randperm(400, generator=torch.Generator().manual_seed(seed))
        sides = [closest(samples, pool[part]).distance[:, 0] for part in (order[:300], order[300:])]
        found.append(copied_share(*sides, 300, 100))
    expected = 0.25 / math.sqrt(0.75 * 0.25 * effective_images(closest(samples, pool).which[:, 0]))
    assert torch.tensor(found).mean() == pytest.approx(0.5, abs=0.03)
    assert torch.tensor(found).std() == pytest.approx(expected, rel=0.25)


def test_images_unlike_the_data_are_no_copies():
    e = sampled(lambda z: torch.rand(len(z), 1, 4, 4, generator=torch.Generator().manual_seed(0), dtype=z.dtype))
    assert value("data_copying", e) > 10


def test_one_image_over_and_over_is_refused():
    e = sampled(lambda z: pictures(1, "train").expand(len(z), -1, -1, -1))
    for name in ("memorisation", "data_copying"):
        with pytest.raises(Undefined, match="same image"):
            value(name, e)


def test_images_that_lie_in_both_sets_tie():
    """Everything is known to both sides: a training image given back is then no sign of memory. Of two copies, one in
    each set, half counts as seen, though the seen are twice as many."""
    x = pictures(100, "train")
    side = encode("train", x, Posterior(x.flatten(1)), lookup(x))
    e = encode("test", x[:50], Posterior(x[:50].flatten(1)), lookup(x[:50]), train=replace(side, train=side))
    assert value("memorisation", e) == pytest.approx(1 / 3, rel=1e-10)


@known_answer("memorisation")
def test_odds_are_corrected_for_the_sizes_of_the_sets():
    near, far = torch.tensor([0.0, 0.0, 0.0, 1.0]), torch.tensor([0.5, 0.5, 0.5, 0.5])
    assert copied_share(near, far, 10, 10) == pytest.approx(0.75, rel=1e-10)
    assert copied_share(near, far, 300, 100) == pytest.approx(0.5, rel=1e-10)
    assert copied_share(near, near, 300, 100) == pytest.approx(0.5, rel=1e-10)
    assert copied_share(near[:3], far[:3], 300, 100) == 1


@known_answer("data_copying")
def test_copies_of_five_hundred_among_five_hundred():
    assert mann_whitney_z(1 + normal((500,), "held-out").abs(), torch.zeros(500)) == pytest.approx(-27.372, abs=5e-4)


@reference("data_copying")
@pytest.mark.parametrize("shift", [0.0, -0.5, 2.0])
def test_z_is_scipys(shift):
    a, b = normal((120,), "a"), normal((80,), "b") + shift
    theirs = mannwhitneyu(b.numpy(), a.numpy(), use_continuity=False, method="asymptotic")
    u = theirs.statistic
    z = (u - 4800) / math.sqrt(9600 * 201 / 12)
    assert mann_whitney_z(a, b) == pytest.approx(z, rel=1e-10)
    assert mann_whitney_z(b, a) == pytest.approx(-z, rel=1e-10)
    # With ties U counts halves, as scipy's does.
    u = mannwhitneyu(b.round().numpy(), a.round().numpy()).statistic
    z = (u - 4800) / math.sqrt(9600 * 201 / 12)
    assert mann_whitney_z(a.round(), b.round()) == pytest.approx(z, rel=1e-10)


@reference("memorisation")
@pytest.mark.parametrize("offset", [0.0, 50.0])
def test_the_closest_image_is_scipys_to_the_last_digit(offset):
    a, b = pictures(70, "a") + offset, pictures(90, "b") + offset
    distance = cdist(a.flatten(1).numpy(), b.flatten(1).numpy())
    distance.sort(1)
    found = closest(a, b, 2).distance
    assert found[:, 0].tolist() == pytest.approx(distance[:, 0].tolist(), rel=1e-9)
    assert found[:, 1].tolist() == pytest.approx(distance[:, 1].tolist(), rel=1e-9)
    assert closest(b, b).distance.max() == 0


def test_the_closest_image_is_found_among_many_that_are_as_near_as_products_tell():
    """Ten images nearly on top of each other: the three best by float32 products need not hold the nearest."""
    a = pictures(50, "a")
    b = torch.cat([a + 1e-4 * normal(tuple(a.shape), f"near {k}") for k in range(10)]).float()
    distance = cdist(a.float().flatten(1).double().numpy(), b.flatten(1).double().numpy())
    usual = closest(a.float(), b, 2)
    assert usual.which[:, 0].tolist() == distance.argmin(1).tolist()
    for seed in range(3):
        with PoorArithmetic(seed):
            found = closest(a.float(), b, 2)
        assert torch.equal(found.which, usual.which)
        assert torch.equal(found.distance, usual.distance)


def test_the_number_hangs_on_no_processor():
    """Principal components of digits, six seeds: the mixture is fitted, drawn from and decoded with other last digits, and
    the numbers, which differ over seeds by chance alone, go with those of the usual arithmetic."""
    (train, val, test), metric = splits_of_digits(), metrics()["memorisation"]
    model = PrincipalComponents(train.x, 8)
    pairs = []
    for seed in range(6):

        def number(seed=seed):
            sides = (
                encode(n, s.x, model.encode(s.x), model.decode, seed=seed)
                for n, s in (("train", train), ("test", test))
            )
            side, e = sides
            e = replace(e, train=replace(side, train=side), validation=val.x)
            return metric.compute(e, **metric.params).value

        usual = number()
        with PoorArithmetic(seed):
            pairs.append((usual, number()))
    usual, other = torch.tensor(pairs).T
    assert usual.std() > 0.002
    assert float(torch.corrcoef(torch.stack([usual, other]))[0, 1]) > 0.9


@pytest.mark.parametrize("name", ["memorisation", "data_copying"])
def test_turning_and_rescaling_the_latent_change_nothing_but_the_draws(name):
    """A rescaled latent is standardised before the mixture is fitted: the very same samples."""
    e = fake_encoding(None, dtype=torch.float64)

    def scaled(side):
        return replace(side, mu=50 * side.mu, z=50 * side.z, decode=lambda z: e.decode(z / 50))

    assert value(name, replace(scaled(e), train=scaled(e.train))) == pytest.approx(value(name, e), abs=0.02)


@known_answer("memorisation", "data_copying")
def test_anchors_are_the_null_and_the_copies():
    e = sampled(images)
    for name, null, copies in (("memorisation", 0.5, 1), ("data_copying", 0, -math.sqrt(3 * 100 * 100 / 201))):
        metric = metrics()[name]
        found = metric.references(e, **metric.params)
        assert found["floor:copies"] == pytest.approx(copies, rel=1e-9)
        assert found["ceiling:real"] == pytest.approx(null, abs=0.12 if null else 4)
