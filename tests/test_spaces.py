"""Vectors and series are measured as images are: junk, networks, pictures, data, and numbers that do not ask what is measured."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from fakes import fake_encoding, normal

from latentbench import catalog
from latentbench.core import BOUNDS, Dataset
from latentbench.datasets import sklearn_tables, waves
from latentbench.datasets.splits import standardised
from latentbench.measuring.judge import train_judge
from latentbench.metrics.reconstruction import IMAGES, explained_share, mean_squared_error
from latentbench.models.nets import Trunk
from latentbench.randomness import numpy_rng, seeded
from latentbench.spaces import series, vector
from latentbench.spaces.known import space_from_json, space_of
from latentbench.spaces.series import Series
from latentbench.spaces.space import Scale
from latentbench.spaces.vector import Vector
from latentbench.testing import ContractBroken, check_dataset, check_model
from latentbench.testing.metrics import number

METRICS = dict(catalog.metrics())
X = {"vector": normal((60, 6), "vectors"), "series": normal((60, 21, 2), "series").cumsum(1)}
KINDS = {"vector": (vector, vector.VECTORS), "series": (series, series.SERIES)}
EACH = [(name, kind) for name, (_, kinds) in KINDS.items() for kind in kinds]


def made(name, kind, count=40):
    (found,) = (k for k in KINDS[name][1] if k.name == kind)
    return found.maker(X[name], count, seeded(0, kind))


def table(name):
    return catalog.datasets()[name].load("", "", 0)


# junk


@pytest.mark.parametrize("name", KINDS)
def test_about_half_of_the_kinds_are_never_shown_and_all_are_written_down(name):
    module, kinds = KINDS[name]
    assert len({k.name for k in kinds}) == len(kinds)
    assert abs(sum(k.shown for k in kinds) / len(kinds) - 0.5) <= 0.1
    assert any(k.floor for k in kinds)
    assert all(k.name in module.__doc__ for k in kinds)


@pytest.mark.parametrize(("name", "kind"), EACH, ids=lambda v: getattr(v, "name", v))
def test_samples_of_every_kind_are_samples(name, kind):
    samples, sources = made(name, kind.name)
    assert samples.shape[1:] == X[name].shape[1:]
    assert 0 < len(samples) <= 40
    assert torch.isfinite(samples).all()
    assert samples.dtype == X[name].dtype
    assert torch.equal(made(name, kind.name).samples, samples)
    if sources is not None:
        assert sources.shape[1:] == samples.shape
        assert not torch.equal(samples, sources[0])


def test_what_is_kept_and_what_is_broken():
    columns, (whole,) = made("vector", "columns")
    assert torch.equal(columns.sort(0).values, whole.sort(0).values)
    permuted, (whole,) = made("vector", "permuted")
    assert torch.equal(permuted.sort(1).values, whole.sort(1).values)
    some, (whole,) = made("vector", "some_columns")
    assert 0.3 < float((some == whole).double().mean()) < 0.8
    halves, (a, b) = made("vector", "halves")
    assert torch.equal(halves, torch.cat([a[:, :3], b[:, 3:]], 1))
    constant, _ = made("vector", "constant")
    assert torch.equal(constant, constant[:, :1].expand_as(constant))
    channels, sources = made("series", "channels")
    assert all(torch.equal(channels[..., c], sources[c][..., c]) for c in range(2))
    assert not torch.equal(sources[0], sources[1])
    shuffled, (whole,) = made("series", "shuffle")
    assert torch.equal(shuffled.sort(1).values, whole.sort(1).values)
    blocks, (whole,) = made("series", "blocks")
    inner = lambda x: (x[:, 1:] - x[:, :-1]).flatten(1)  # noqa: E731
    kept = [int((inner(x)[:, :, None] == inner(whole)[:, None]).any(2).sum()) for x in (shuffled, blocks)]
    assert kept[1] > 2 * kept[0]  # most neighbours stay neighbours
    assert torch.equal(made("series", "reversed").samples, made("series", "reversed").sources[0].flip(1))
    flat, _ = made("series", "flat")
    assert torch.equal(flat, flat[:, :1].expand_as(flat))


def test_channels_of_a_single_channel_are_no_junk():
    one = normal((50, 9, 1), "one channel")
    (kind,) = (k for k in series.SERIES if k.name == "channels")
    assert len(kind.tried(one, 50, seeded(0, "channels"), 1e-6, one)) == 0


# judge


def test_a_judge_of_classes_that_hang_together_differently_passes_its_self_check():
    """Three classes with a mean and a covariance of their own, in ten dimensions."""
    n, rng = 360, numpy_rng(0, "classes")
    root, mean = rng.normal(size=(3, 10, 10)) / math.sqrt(10), 1.5 * rng.normal(size=(3, 10))
    y = np.arange(n) % 3
    x = np.einsum("nij,nj->ni", root[y], rng.normal(size=(n, 10))) + mean[y]
    judge = train_judge(standardised("classes", x, y, 0, ("a", "b", "c")), steps=500)
    assert not judge.refusal
    assert judge.checks["judge.pass.noise"].detail["images"] == 200  # of 72 test rows a share would be a coin
    assert judge.checks["judge.pass.columns"].value < 0.1


def test_a_judge_that_cannot_tell_is_refused_with_its_reason():
    """Independent uniform columns *are* uniform noise, whatever their labels say."""
    rng = numpy_rng(0, "noise")
    x = rng.random((400, 6))
    judge = train_judge(standardised("noise", x, (x[:, 0] > 0.5).astype(int), 0, ("low", "high")), steps=400)
    assert "self-check failed" in judge.refusal


# spaces


def test_a_scale_is_the_mean_and_the_deviation_of_the_columns():
    raw = torch.tensor([[1.0, 5.0, 3.0], [3.0, 5.0, 0.0], [5.0, 5.0, 6.0]], dtype=torch.float64)
    scale = Scale.of(raw)
    assert scale.shift == (3.0, 5.0, 3.0)
    assert scale.width == pytest.approx((math.sqrt(8 / 3), 1.0, math.sqrt(6)))
    measured = scale.to_measured(raw)
    assert measured[:, 1].tolist() == [0.0, 0.0, 0.0]
    torch.testing.assert_close(scale.to_raw(measured), raw)
    by_channel = Scale.of(torch.stack([raw, raw + 1]))
    assert by_channel.shift == pytest.approx((3.5, 5.5, 3.5))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"columns": ("a",)}, "1 names for 3 columns"),
        ({"scale": Scale((0.0,), (1.0,))}, "1 shifts"),
        ({"scale": Scale((0.0,) * 3, (1.0, 0.0, 1.0))}, "not above 0"),
        ({"bounds": (1.0, 1.0)}, "bounds from 1 to 1"),
    ],
)
def test_a_space_that_does_not_fit_together_breaks_the_contract(change, says):
    x = normal((150, 3), "rows").numpy()
    good = standardised("rows", x, np.arange(150) % 2, 0, ("a", "b"))
    check_dataset(good)
    bad = replace(good.space, **change)
    with pytest.raises(ContractBroken, match=says):
        check_dataset(Dataset("rows", good.train, good.val, good.test, good.classes, given_space=bad))


@pytest.mark.parametrize("shape", [(13,), (1,), (64, 2), (7, 1), (33, 3)])
@pytest.mark.parametrize("model", ["ae", "vae"])
def test_models_keep_their_contract_on_vectors_and_series(model, shape):
    build = catalog.models()[model].build
    check_model(build, shape)
    if len(shape) == 2:
        check_model(lambda s, d, **k: build(s, d, net="conv", **k), shape)


@pytest.mark.parametrize("bounds", [None, (0.0, 1.0), (-1.0, 1.0)])
@pytest.mark.parametrize("shape", [(5,), (12, 2)])
def test_a_sigmoid_ends_a_decoder_only_where_values_lie_between_0_and_1(shape, bounds):
    space = replace(space_of(shape), bounds=bounds)
    trunk = Trunk(shape, 3, 3, depth=1, width=8, net="mlp", space=space)
    z = 1000 * normal((40, 3), "codes").float()
    decoded = trunk.decode(z)
    assert bool(((decoded >= 0) & (decoded <= 1)).all()) == (bounds == (0.0, 1.0))


def test_a_vector_has_nothing_to_convolve_over():
    with pytest.raises(ValueError, match="net: 'conv' is not allowed for vectors"):
        space_of((5,)).networks(2, 2, 1, 8, "conv")
    with pytest.raises(ValueError, match="5 steps cannot be halved 4 times"):
        space_of((5, 1)).networks(2, 2, 4, 8, "conv")


def test_pictures():
    space = Vector((3,))
    strip = space.pictures(torch.tensor([[0.0, -9.0, 9.0]]))
    assert strip.shape == (1, 3, 1, 3)
    assert strip[0, :, 0].tolist() == [list(c) for c in (vector.COLOURS[1], vector.COLOURS[0], vector.COLOURS[2])]
    assert Vector((500,)).pictures(torch.zeros(2, 4, 500)).shape == (2, 4, 64, 22, 3)
    wave = torch.linspace(0, 6, 30).sin()[:, None].expand(30, 2)
    plots = Series((30, 2)).pictures(torch.stack([wave, torch.zeros(30, 2)]))
    assert plots.shape == (2, series.HIGH, series.WIDE)
    rows = np.flatnonzero((plots[1] < 255).any(1))
    assert set(rows) <= {series.HIGH // 2 - 1, series.HIGH // 2}  # nothing but the middle
    inked = (plots[0] < 255).any(0)
    assert inked[series.EDGE : -series.EDGE].all()  # no gap in the line
    assert not inked[: series.EDGE].any()
    assert Series((1, 3)).pictures(torch.zeros(1, 1, 3)).shape[1:] == (series.HIGH, series.WIDE)


# data


@pytest.mark.parametrize("name", ["wine", "breast_cancer", "waves"])
def test_datasets_keep_their_contract_and_come_back_from_their_record(name):
    data = table(name)
    check_dataset(data)
    assert space_from_json(data.space.to_json()) == data.space
    values = data.train.x.double().reshape(-1, data.shape[-1])
    torch.testing.assert_close(values.mean(0), torch.zeros(data.shape[-1]).double(), atol=1e-5, rtol=0)
    torch.testing.assert_close(values.std(0, correction=0), torch.ones(data.shape[-1]).double(), atol=1e-5, rtol=0)
    assert table(name).sha256 == data.sha256
    assert catalog.datasets()[name].load("", "", 1).sha256 != data.sha256


def test_a_table_leads_back_to_its_raw_values():
    from sklearn.datasets import load_wine

    data, bunch = table("wine"), load_wine()
    raw = torch.cat([data.space.scale.to_raw(s.x.double()) for s in (data.train, data.val, data.test)])
    found, known = (x[np.lexsort(x.T)] for x in (raw.numpy(), bunch.data))
    np.testing.assert_allclose(found, known, rtol=1e-5, atol=1e-4)
    assert data.space.columns == tuple(bunch.feature_names)


def test_too_few_rows_are_called_what_they_are():
    with pytest.raises(ValueError, match="100 vectors are too few"):
        standardised("few", np.zeros((100, 3)), None, 0)
    with pytest.raises(ValueError, match="class b has 2 series"):
        standardised("few", np.zeros((130, 9, 3)), np.r_[np.zeros(128), 1, 1].astype(int), 0, ("a", "b"))


def test_waves_are_what_their_factors_say():
    data = table("waves")
    for split in (data.train, data.val, data.test):
        torch.testing.assert_close(data.truth.render(split.factors).float(), split.x, atol=0, rtol=0)
        assert torch.equal(split.factors[:, 0].long(), split.y)
    one = torch.tensor([[0.0, 3.0, 0.5, 0.8, 1.0, 0.6]])
    u = np.linspace(0, 1, waves.STEPS)
    hand = [0.8 * np.exp(-u) * np.sin(2 * np.pi * 3 * u + 0.5 - lag) for lag in (0, 0.6)]
    np.testing.assert_allclose(waves.raw(one)[0].numpy(), np.stack(hand, 1), atol=1e-6)
    for kind in range(4):
        of_kind = waves.raw(torch.tensor([[float(kind), 3.0, 0.5, 1.0, 0.0, 0.6]]))
        assert float(of_kind.abs().max()) == pytest.approx(1, abs=0.02)


# numbers


SAME = [(16,), (8, 2)]


@pytest.mark.parametrize("sigma", [None, 0.3], ids=["point", "cloud"])
@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_a_measure_does_not_ask_what_it_measures(metric, sigma):
    """The same values with the same bounds and the same judge read the same as an image, a vector and a series; what asks
    for the two directions of an image says so of the others."""
    image = fake_encoding(sigma)
    known = number(metric, image)
    for shape in SAME:
        e = fake_encoding(sigma, space=replace(space_of(shape), bounds=(0.0, 1.0)))
        assert e.x.shape[1:] == shape
        if IMAGES in metric.needs:
            assert "only images" in e.absent(metric.needs)
            continue
        assert number(metric, e) == (known if known is None else pytest.approx(known, rel=1e-5, abs=1e-7))


@pytest.mark.parametrize("shape", SAME)
def test_what_needs_bounds_says_so_and_all_else_is_measured(shape):
    bare = fake_encoding(space=space_of(shape))
    skipped = [name for name, m in METRICS.items() if BOUNDS in m.needs]
    assert skipped
    for name in skipped:
        assert "no lowest and highest" in bare.absent(METRICS[name].needs)
    rest = [m for name, m in METRICS.items() if name not in skipped and not fake_encoding().absent(m.needs)]
    assert len(rest) > 40
    assert all(not bare.absent(m.needs) for m in rest)


def test_standardised_values_give_the_numbers_of_a_hand_computation():
    data = table("breast_cancer")
    mean, width = np.array(data.space.scale.shift), np.array(data.space.scale.width)
    raw = data.space.scale.to_raw(data.test.x.double()).numpy()
    off = raw + 0.3 * width
    x_hat = data.space.scale.to_measured(torch.from_numpy(off)).float()
    assert mean_squared_error(data.test.x, x_hat) == pytest.approx(0.09, rel=1e-4)
    hand = 1 - 0.09 / (((raw - mean) / width) ** 2).mean()
    assert explained_share(data.test.x, x_hat, data.train.x.mean(0)) == pytest.approx(hand, rel=1e-4)


def test_a_linear_autoencoder_of_a_table_is_its_pca():
    from sklearn.decomposition import PCA

    from latentbench.config import make_run
    from latentbench.training.fit import Plan, fit, initialise

    data = sklearn_tables.BREAST_CANCER.load("", "", 0)
    run = make_run({"models": "ae", "latent_dim": 6, "depth": 0})
    model = initialise(lambda: catalog.build_model("ae", run, data.space), 0)
    fit(model, data.train.x, data.val.x, Plan(300, 0, 64, 1e-2), 0)
    with torch.no_grad():
        error = mean_squared_error(data.train.x, model.decode(model.encode(data.train.x).mu))
    x = data.train.x.double().numpy()
    pca = PCA(6).fit(x)
    best = float(((x - pca.inverse_transform(pca.transform(x))) ** 2).mean())
    assert best * (1 - 1e-6) <= error <= best * 1.01


@pytest.mark.parametrize("shape", SAME)
def test_an_affine_decoder_walks_straight_in_any_space(shape):
    e = fake_encoding(space=space_of(shape))
    exact = {
        "path.tortuosity": 1.0,
        "path.jump": 0.0,
        "midpoint.betweenness": 1.0,
        "midpoint.nonblend": 0.0,
        "geodesic.ratio": 1.0,
    }
    for name, answer in exact.items():
        assert number(METRICS[name], e) == pytest.approx(answer, abs=1e-4), name


def test_two_modes_of_a_vectors_posterior_leave_their_hole():
    """Codes at +-sqrt(1 - tau^2) with sigma tau = .25: KL .6933, a hole of .3613 of N(0, I), whatever the data are."""
    tau, n = 0.25, 4000
    a = math.sqrt(1 - tau**2)
    mu = torch.where(torch.arange(n) % 2 == 0, a, -a)[:, None].float()
    log_var = torch.full_like(mu, math.log(tau**2))
    z = mu + tau * normal(mu.shape, "draws").float()
    e = fake_encoding(x=normal((n, 5), "x").float(), mu=mu, log_var=log_var, z=z, given_space=Vector((5,)))
    train = replace(
        e.train,
        x=e.x,
        mu=mu,
        log_var=log_var,
        z=mu + tau * normal(mu.shape, "others").float(),
        given_space=Vector((5,)),
    )
    e = replace(e, train=replace(train, train=train), decode=lambda c: c.expand(-1, 5), labels=None)
    assert number(METRICS["hole.outside"], e) == pytest.approx(0.3613, abs=0.03)
    spread = torch.cat([z, -z]).square().mean()
    assert float(spread) == pytest.approx(1, abs=0.03)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["wine", "breast_cancer", "waves"])
def test_a_run_is_whole(name, tmp_path):
    import latentbench as lb

    result = lb.run(models=("ae", "vae"), dataset=name, seeds=2, epochs=3, out=str(tmp_path / "run"))
    rows = [r for r in result.records if r.kind in ("value", "artifact")]
    assert {r.status for r in rows} <= {"ok", "skipped"}
    assert all(r.reason for r in rows if r.status == "skipped")
    measured = {r.metric for r in rows if r.model == "vae" and r.status == "ok" and r.kind == "value"}
    assert {"r2", "kl", "hole", "path.tortuosity", "probe.linear", "elbo"} <= measured
    page = (tmp_path / "run" / "report.html").read_text("utf-8")
    assert 'id="columns"' in page
    assert "Not drawn" not in page
