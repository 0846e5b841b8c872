"""What a second stage sees of codes: their scale, the directions they fill, how classes lie among them, how fine maps are."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from fakes import Coordinates, fake_encoding, known_answer, latent_encoding, normal, proofs_of, reference, value
from scipy.fft import dctn
from scipy.integrate import quad
from sklearn.covariance import empirical_covariance
from sklearn.neighbors import NearestNeighbors

from latentbench.catalog import metrics
from latentbench.core import Undefined
from latentbench.measuring import scoring
from latentbench.metrics.latent_classes import irreducible_variance, own_label_share
from latentbench.metrics.latent_maps import channel_correlation, high_frequency
from latentbench.metrics.second_stage import effective_rank
from latentbench.records import Record
from latentbench.testing.examples import spatial_encoding

PROOFS = (
    proofs_of(
        "latent.scale",
        "latent.shift",
        package=None,
        coordinates=Coordinates("no", "no", "no", "exact", "what the second stage is given is the codes as they stand"),
    ),
    proofs_of(
        "latent.effective_rank",
        "latent.dims95",
        package="sklearn",
        coordinates=Coordinates(
            "exact",
            "exact",
            "no",
            "exact",
            "the spectrum of a covariance, as shares; unevenly stretched it is another",
            False,
        ),
    ),
    proofs_of(
        "latent.class_variance",
        "latent.viv",
        package="sklearn",
        coordinates=Coordinates("no", "exact", "exact", "exact", "dimensions are standardised, each by itself"),
    ),
    proofs_of(
        "latent.neighbour_labels",
        package="sklearn",
        coordinates=Coordinates("exact", "exact", "no", "exact", "Euclidean neighbours", False),
    ),
    proofs_of(
        "latent.high_frequency",
        package="scipy",
        coordinates=Coordinates(
            "no", "exact", "no", "exact", "shares of energy by channel, and positions are their own", False
        ),
    ),
    proofs_of(
        "latent.channel_correlation",
        package="scipy",
        coordinates=Coordinates(
            "no", "exact", "no", "exact", "correlations of channels, whose positions are their own", False
        ),
    ),
)


def labelled(codes, labels):
    e = latent_encoding(codes, codes[:5])
    return replace(e, train=replace(e.train, labels=labels))


def spatial(x):
    """An encoding whose training codes are the maps ``x`` (n, c, h, w)."""
    e = latent_encoding(x.flatten(1), x[:5].flatten(1))
    return replace(e, latent_shape=tuple(x.shape[1:]))


@known_answer("latent.scale", "latent.shift")
@pytest.mark.parametrize(("m", "s"), [(0.0, 1.0), (3.0, 0.2), (-40.0, 5.0)])
def test_a_normal_cloud_is_scaled_by_its_deviation_and_shifted_by_its_mean(m, s):
    codes = normal((4000, 6), "cloud")
    codes = m + s * (codes - codes.mean()) / codes.std(correction=0)
    e = latent_encoding(codes, codes[:5])
    assert value("latent.scale", e) == pytest.approx(1 / s, rel=1e-9)
    assert value("latent.shift", e) == pytest.approx(m, rel=1e-9, abs=1e-12)


def test_channels_have_their_own_scale_and_the_line_to_paste_standardises():
    codes = torch.cat(
        [5 + 2 * normal((900, 1), "wide"), 0.1 * normal((900, 1), "narrow"), torch.full((900, 1), 7.0)], 1
    )
    e = latent_encoding(codes, codes[:5])
    scale, shift = metrics()["latent.scale"].compute(e), metrics()["latent.shift"].compute(e)
    assert scale.detail["per_channel"] == pytest.approx([*(1 / codes[:, :2].std(0, correction=0)).tolist(), None])
    assert shift.detail["per_channel"] == pytest.approx(codes.mean(0).tolist())
    given = dict(part.split("=") for part in scale.detail["paste"].split(", "))
    seen = (codes - float(given["shift_factor"])) * float(given["scaling_factor"])
    assert float(seen.mean()) == pytest.approx(0, abs=1e-3)
    assert float(seen.std(correction=0)) == pytest.approx(1, rel=1e-3)


def test_of_maps_a_channel_is_scaled_over_its_positions_wherever_its_axis_stands():
    x = normal((300, 2, 3, 4), "maps") * torch.tensor([2.0, 0.5])[None, :, None, None] + 1
    first = metrics()["latent.scale"].compute(spatial(x)).detail["per_channel"]
    assert first == pytest.approx((1 / x.movedim(1, 0).flatten(1).std(1, correction=0)).tolist())
    last = replace(spatial(x.movedim(1, 3)), latent_channels=-1)
    assert metrics()["latent.scale"].compute(last).detail["per_channel"] == pytest.approx(first)


@pytest.mark.parametrize(
    "name", ["latent.scale", "latent.effective_rank", "latent.dims95", "latent.class_variance", "latent.viv"]
)
def test_of_one_point_there_is_nothing_to_say(name):
    codes = torch.full((50, 3), 0.3, dtype=torch.float64)
    with pytest.raises(Undefined, match="all codes are the same point: they have no spread"):
        value(name, labelled(codes, torch.arange(50) % 2))


def turned(sd, n=4000):
    """Codes whose covariance has exactly the eigenvalues sd^2, turned."""
    x = normal((n, len(sd)), "white")
    x = torch.linalg.qr(x - x.mean(0)).Q * n**0.5
    q = torch.linalg.qr(normal((len(sd), len(sd)), "turn")).Q
    return 3 + x * torch.tensor(sd, dtype=torch.float64) @ q


@known_answer("latent.effective_rank", "latent.dims95")
@pytest.mark.parametrize("k", [1, 2, 5])
def test_k_equal_eigenvalues_are_k_dimensions(k):
    e = latent_encoding(turned([2.0] * k + [0.0] * (6 - k)), normal((5, 6), "held out"))
    assert value("latent.effective_rank", e) == pytest.approx(k, rel=1e-9)
    assert value("latent.dims95", e) == k


@known_answer("latent.dims95")
@pytest.mark.parametrize(("variances", "needed"), [((95, 5), 1), ((94, 6), 2), ((50, 30, 15, 5), 3), ((1,) * 20, 19)])
def test_dimensions_are_counted_until_95_percent_are_held(variances, needed):
    e = latent_encoding(turned([v**0.5 for v in variances]), normal((5, len(variances)), "held out"))
    assert value("latent.dims95", e) == needed


def test_more_dimensions_than_codes_have_the_spectrum_of_the_smaller_gram_matrix():
    wide = normal((40, 300), "wide")
    ev = np.linalg.eigvalsh(np.cov(wide.numpy(), rowvar=False))[::-1][:39]
    p = ev / ev.sum()
    assert effective_rank(wide) == pytest.approx(math.exp(-(p * np.log(p)).sum()), rel=1e-9)


@reference("latent.effective_rank", "latent.dims95")
def test_the_spectrum_is_that_of_sklearns_covariance():
    e = fake_encoding()
    ev = np.linalg.eigvalsh(empirical_covariance(e.train.z.double().numpy()))[::-1]
    p = ev / ev.sum()
    assert value("latent.effective_rank", e) == pytest.approx(np.exp(-(p * np.log(p)).sum()), rel=1e-6)
    assert value("latent.dims95", e) == 1 + np.argmax(p.cumsum() >= 0.95)


@known_answer("latent.class_variance", "latent.viv")
def test_classes_that_are_points_and_classes_that_lie_on_one_another():
    labels = torch.arange(4000) % 4
    points = normal((4, 5), "centres")[labels]
    assert value("latent.class_variance", labelled(points, labels)) == pytest.approx(0, abs=1e-12)
    assert value("latent.viv", labelled(points, labels)) == pytest.approx(0, abs=1e-6)
    cloud = normal((4000, 5), "cloud")
    assert value("latent.class_variance", labelled(cloud, labels)) == pytest.approx(1, abs=0.01)
    assert value("latent.viv", labelled(cloud, labels)) == pytest.approx(math.pi / 2, rel=0.01)


@known_answer("latent.class_variance", "latent.viv")
@pytest.mark.parametrize("apart", [0.5, 1.0, 3.0])
def test_two_classes_apart_in_one_direction(apart):
    """Centres at +-a in one of two dimensions of variance 1 within: its share is 1 / (1 + a^2), that of the other 1."""
    labels = torch.arange(20_000) % 2
    codes = normal((20_000, 2), "two classes")
    codes[:, 0] += apart * (2 * labels - 1)
    share = 1 / (1 + apart**2)
    assert value("latent.class_variance", labelled(codes, labels), points=20_000) == pytest.approx(
        (1 + share) / 2, rel=0.01
    )
    expected = (math.pi / 4) * (1 + share**0.5)
    assert value("latent.viv", labelled(codes, labels), points=20_000) == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("variance", [0.05, 0.5, 1.0])
def test_what_no_network_can_know_is_the_integral_of_what_a_place_leaves_open(variance):
    """Var(x1 - x0 | x_t) of jointly normal numbers, by its definition, integrated by scipy."""

    def left(t):
        joint = np.array([[1 + variance, t * variance - (1 - t)], [0, (1 - t) ** 2 + t**2 * variance]])
        return joint[0, 0] - joint[0, 1] ** 2 / joint[1, 1]

    # Two classes of that variance within, in one dimension whose variance is 1 in all.
    n, a = 40_000, (1 - variance) ** 0.5
    within = normal((n // 2, 1), "within")
    within = (within - within.mean()) / within.std(correction=0) * variance**0.5
    codes, labels = torch.cat([within + a, within - a]), torch.arange(n) // (n // 2)
    assert irreducible_variance(codes, labels) == pytest.approx(quad(left, 0, 1)[0], rel=1e-6)


@reference("latent.class_variance", "latent.viv")
def test_the_covariance_within_classes_is_sklearns():
    e = fake_encoding()
    x, y = e.train.z.double().numpy(), e.train.labels.numpy()
    x = (x - x.mean(0)) / x.std(0)
    within = sum((y == c).mean() * empirical_covariance(x[y == c]) for c in np.unique(y))
    assert value("latent.class_variance", e) == pytest.approx(np.trace(within) / x.shape[1], rel=1e-6)
    expected = (math.pi / 2) * np.sqrt(np.linalg.eigvalsh(within)).mean()
    assert value("latent.viv", e) == pytest.approx(expected, rel=1e-6)


@known_answer("latent.neighbour_labels")
def test_neighbours_of_classes_apart_have_ones_own_label_and_of_labels_dealt_at_random_the_squared_shares():
    labels = torch.repeat_interleave(torch.arange(3), torch.tensor([600, 300, 100]))
    apart = 100.0 * torch.nn.functional.one_hot(labels).double() + normal((1000, 3), "classes apart")
    e = labelled(apart, labels)
    assert value("latent.neighbour_labels", e) == 1
    metric = metrics()["latent.neighbour_labels"]
    assert metric.references(e, **metric.params)["null:labels"] == pytest.approx(0.36 + 0.09 + 0.01, abs=1e-3)
    dealt = labels[torch.randperm(1000, generator=torch.Generator().manual_seed(0))]
    assert value("latent.neighbour_labels", labelled(apart, dealt)) == pytest.approx(0.46, abs=0.03)
    with pytest.raises(Undefined, match="10 neighbours need more than 10 points, there are 10"):
        own_label_share(apart[:10], labels[:10], 10)


@reference("latent.neighbour_labels")
def test_neighbours_are_sklearns():
    e = fake_encoding()
    x, y = e.train.z.double().numpy(), e.train.labels.numpy()
    near = NearestNeighbors(n_neighbors=11).fit(x).kneighbors(x, return_distance=False)[:, 1:]
    assert value("latent.neighbour_labels", e) == pytest.approx((y[near] == y[:, None]).mean(), rel=1e-9)


@known_answer("latent.high_frequency")
def test_constant_maps_have_no_high_frequencies_and_white_noise_has_28_of_64():
    flat = torch.full((50, 2, 8, 8), 3.0, dtype=torch.float64)
    assert value("latent.high_frequency", spatial(flat)) == 0
    noise = normal((2000, 2, 8, 8), "white noise")
    assert value("latent.high_frequency", spatial(noise)) == pytest.approx(28 / 64, abs=0.005)
    with pytest.raises(Undefined, match="all codes are 0"):
        high_frequency(torch.zeros(3, 1, 4, 4))


@reference("latent.high_frequency")
def test_the_transform_is_scipys_map_by_map():
    e = spatial_encoding()
    x = e.train.z.double().reshape(-1, 2, 2, 2).numpy()
    energy = np.array([[dctn(channel, norm="ortho") ** 2 for channel in code] for code in x]).sum(0)
    assert value("latent.high_frequency", e) == pytest.approx(np.mean(energy[:, 1, 1] / energy.sum((1, 2))), rel=1e-6)


@known_answer("latent.channel_correlation")
def test_channels_that_say_the_same_and_channels_that_say_different_things():
    one = normal((500, 1, 4, 4), "one channel")
    assert value("latent.channel_correlation", spatial(torch.cat([one, -2 * one + 5], 1))) == pytest.approx(1, rel=1e-9)
    other = normal((500, 1, 4, 4), "another")
    assert value("latent.channel_correlation", spatial(torch.cat([one, other], 1))) < 0.05
    half = torch.cat([one, one + other], 1)
    assert value("latent.channel_correlation", spatial(half)) == pytest.approx(0.5**0.5, abs=0.02)
    with pytest.raises(Undefined, match="a correlation needs two channels that vary, there is 1"):
        channel_correlation(torch.cat([one, 0 * one], 1).movedim(1, 0).flatten(1))


@reference("latent.channel_correlation")
def test_correlations_are_scipys():
    from scipy.stats import pearsonr

    e = spatial_encoding()
    a, b = e.train.z.double().reshape(-1, 2, 4).movedim(1, 0).flatten(1).numpy()
    assert value("latent.channel_correlation", e) == pytest.approx(abs(pearsonr(a, b)[0]), rel=1e-6)


def test_what_needs_positions_is_skipped_where_the_latent_is_a_vector():
    for name in ("latent.high_frequency", "latent.channel_correlation"):
        (row,) = scoring.score(fake_encoding(), [metrics()[name]], Record())
        assert (row.status, row.reason) == ("skipped", "the latent is a vector: it has no positions")
        for shape in ((3,), (8, 1, 1)):
            assert (
                scoring.score(replace(fake_encoding(), latent_shape=shape), [metrics()[name]], Record())[0].status
                == "skipped"
            )
