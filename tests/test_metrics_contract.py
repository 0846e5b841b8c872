"""What every metric of the catalog keeps to, whatever it measures."""

from dataclasses import replace

import pytest
import torch
from fakes import example, fake_encoding, normal, normal_log_prob

from latentbench.catalog import metrics
from latentbench.core import Encoding, Likelihood, Metric
from latentbench.metrics import decoding
from latentbench.testing import METRIC_CHECKS, ContractBroken, check_metric
from latentbench.testing.metrics import PRECISION, example_for, number, precision_hardly_matters, tensors

METRICS = dict(metrics())
PRECISIONS: dict[str, float] = {}
"""Metrics that float32 moves by more than `PRECISION`: name -> tolerance, each with its reason beside it."""


@pytest.mark.parametrize("check", METRIC_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_contract(metric, check):
    check(metric, example_for(metric))


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_single_precision_is_enough(metric):
    precision_hardly_matters(metric, example_for(metric), PRECISIONS.get(metric.name, PRECISION))


def test_every_wider_tolerance_is_needed():
    for name, wider in PRECISIONS.items():
        assert name in METRICS
        assert wider > PRECISION
        with pytest.raises(ContractBroken):
            precision_hardly_matters(METRICS[name], example_for(METRICS[name]))


def measure(metric, e):
    """The metric's number, or None where the encoding does not hold what it needs."""
    return None if e.absent(metric.needs) else number(metric, e)


def spread(e):
    return float(e.mu.std())


BROKEN = {
    "declaration_is_complete": {"unit": ""},
    "values_keep_their_bounds": {"bounds": (0.0, 1e-6)},
    "draws_come_from_the_encoding": {"compute": lambda e: float(torch.rand(()))},
    "inputs_stay_as_they_were": {"compute": lambda e: float(e.mu.clamp_(max=0).mean())},
    "blocks_change_nothing": {"compute": lambda e: float(decoding.CHUNK)},
    "needs_are_told_in_full": {"compute": lambda e: float(e.labels.double().mean())},
}


@pytest.mark.parametrize("name", ["real", "best:real", "judge:real", "check:self"])
def test_an_anchor_of_no_known_kind_breaks_the_contract(name):
    anchored = Metric("latent.spread", spread, "none", (0.0, None), "latent units", "spread of the means", "this test")
    anchored = replace(anchored, references=lambda e: {name: 1.0})
    for metric in (anchored, replace(anchored, expects={name: (0.0, 2.0)})):
        with pytest.raises(ContractBroken, match=rf"latent\.spread: anchor '{name}' is not named kind:name"):
            check_metric(metric)


@pytest.mark.parametrize("check", METRIC_CHECKS, ids=lambda check: check.__name__)
def test_a_metric_that_breaks_its_contract_is_caught(check):
    good = Metric("latent.spread", spread, "none", (0.0, None), "latent units", "spread of the means", "this test")
    check_metric(good)
    with pytest.raises(ContractBroken, match=r"latent\.spread: "):
        check(replace(good, **BROKEN[check.__name__]), example_for(good))


def test_a_metric_that_loses_digits_is_caught():
    bad = Metric("latent.sum", lambda e: float(((e.mu + 1e8) - 1e8).std()), "none", (0.0, None), "u", "digits", "test")
    with pytest.raises(ContractBroken, match="float32"):
        check_metric(bad)


def jagged(e):
    """The same encoding with a decoder that adds a fast ripple: pictures further from the data, paths less smooth."""
    ripple = normal((e.mu.shape[1], 16), "ripple", e.mu)

    def decode(z):
        return e.decode(z) + 0.4 * torch.sin(9 * z @ ripple).view(-1, 1, 4, 4)

    return replace(e, decode=decode, x_hat=decode(e.mu))


def faded(e):
    """A decoder half as bright."""

    def decode(z):
        return e.decode(z) / 2

    return replace(e, decode=decode, x_hat=decode(e.mu))


def unlikely(e):
    """The same encoding with a likelihood about the jagged pictures."""
    bad = jagged(e)
    return replace(bad, likelihood=Likelihood("gaussian", lambda x, z: normal_log_prob(x, bad.decode(z), 0.1)))


def switched(e):
    """A decoder whose input moves in steps: paths that stand still and jump."""

    def decode(z):
        return e.decode((z / 2).round() * 2)

    return replace(e, decode=decode, x_hat=decode(e.mu))


def shuffled(e):
    """Every image has another's mean: nothing in the latent belongs to it."""
    order = torch.randperm(len(e.mu), generator=torch.Generator().manual_seed(3))
    mu = e.mu[order]
    return replace(e, mu=mu, x_hat=e.decode(mu))


def shrunk(e):
    """All codes a tenth as large, the decoder undoing it: N(0, I) reaches far beyond them."""

    def small(side: Encoding):
        return replace(side, mu=side.mu / 10, z=side.z / 10, decode=lambda z: e.decode(10 * z))

    return replace(small(e), train=small(e.train))


def gapped(e):
    """Codes at two far ends of the first axis: the fitted Gaussian's middle is empty."""

    def torn(side: Encoding):
        shift = torch.where(side.z[:, :1] > 0, 30.0, -30.0) * torch.eye(1, side.z.shape[1])
        return replace(side, z=side.z + shift)

    return replace(torn(e), train=torn(e.train))


def one_sided(e):
    """A decoder that sees only the sign of the first coordinate's size: fewer classes among its pictures."""

    def decode(z):
        return e.decode(torch.cat([z[:, :1].abs() + 1, z[:, 1:]], 1))

    return replace(e, decode=decode, x_hat=decode(e.mu))


def collapsed(e):
    """The first latent dimension's means stand still."""
    return replace(e, mu=e.mu * torch.tensor([0.0, 1.0, 1.0]))


def doubled(e):
    """Beside what is decoded stands, fainter, what the opposite point decodes to: a frame that is no line."""

    def decode(z):
        return 0.7 * e.decode(z) + 0.3 * e.decode(-z)

    return replace(e, decode=decode, x_hat=decode(e.mu))


def wobbling(e):
    """A plane whose directions are bent to and fro: lines on the way turn back."""

    def decode(z):
        angle = torch.atan2(z[:, 1], z[:, 0])
        angle = angle + torch.sin(4 * angle)
        return e.decode(torch.stack([angle.cos(), angle.sin(), z[:, 2]], 1))

    return replace(e, decode=decode, x_hat=decode(e.mu))


DEGRADE = {
    "lines.distance": doubled,
    "lines.smoothness": switched,
    "lines.arc_excess": wobbling,
    "path.tortuosity": jagged,
    "path.jump": switched,
    "path.validity_gain": jagged,
    "path.class_changes": jagged,
    "path.consistency": jagged,
    "path.length_per_feature": jagged,
    "geodesic.ratio": jagged,
    "midpoint.betweenness": jagged,
    "midpoint.betweenness_features": jagged,
    "midpoint.validity_gain": jagged,
    "active_units": collapsed,
    "active_units.burda": collapsed,
    "validity.normal": jagged,
    "validity.gaussian": jagged,
    "validity.mixture": jagged,
    "validity.per_class": one_sided,
    "valid_label_entropy": one_sided,
    "valid_label_tv": one_sided,
    "precision": jagged,
    "recall": one_sided,
    "density": jagged,
    "coverage": jagged,
    "judge_frechet": jagged,
    "judge_frechet.gaussian": jagged,
    "judge_frechet.mixture": jagged,
    "judge_frechet.reconstruction": jagged,
    "judge_frechet.interpolation": jagged,
    "judge_kid": faded,
    "judge_kid.gaussian": faded,
    "judge_kid.mixture": faded,
    "hole": shrunk,
    "hole.gaussian": gapped,
    "prior.mmd": gapped,
    "prior.sliced_w2": gapped,
    "mse": jagged,
    "r2": jagged,
    "psnr": jagged,
    "elbo": unlikely,
    "nll.iw": unlikely,
    "probe.knn": shuffled,
    "silhouette": shuffled,
    "probe.linear": shuffled,
    "trustworthiness": shuffled,
    "neighbourhood_continuity": shuffled,
}


def test_every_direction_is_put_to_the_test():
    assert set(DEGRADE) == {n for n, m in METRICS.items() if m.better in ("higher", "lower")}


@pytest.mark.parametrize("name", DEGRADE)
def test_a_worse_encoding_scores_worse(name):
    metric = METRICS[name]
    e = example(metric)
    good, bad = measure(metric, e), measure(metric, DEGRADE[name](e))
    assert bad is not None, "the degraded encoding should still have a value"
    assert bad > good if metric.better == "lower" else bad < good, (good, bad)


def test_a_third_seed_is_another_draw():
    metric = METRICS["validity.normal"]
    assert measure(metric, fake_encoding(seed=0)) != measure(metric, fake_encoding(seed=1))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("sigma", [None, 0.3])
def test_a_device_changes_nothing(sigma):
    here = fake_encoding(sigma, dtype=torch.float64)

    def there(e, train):
        moved = {n: t.cuda() for n, t in tensors(e).items()}
        return replace(e, **moved, train=train, judge=judge, decode=lambda z: here.decode(z.cpu()).cuda())

    class OnDevice:
        classes, train_marginal = here.judge.classes, here.judge.train_marginal.cuda()

        def features(self, x):
            return here.judge.features(x)

        def __call__(self, x):
            return type(here.judge(x.cpu()))(*(t.cuda() for t in here.judge(x.cpu())))

    judge = OnDevice()
    e = there(here, there(here.train, None))
    for name, metric in METRICS.items():
        if here.absent(metric.needs):
            continue
        assert measure(metric, e) == pytest.approx(measure(metric, here), rel=1e-6, abs=1e-9), name
        if metric.references is not None:
            metric.references(e, **metric.params)
