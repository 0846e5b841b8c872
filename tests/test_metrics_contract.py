"""What every metric of the catalog keeps to, whatever it measures."""

from dataclasses import replace

import pytest
import torch
from fakes import example, fake_encoding
from proofs import proofs

from latentbench.catalog import metrics
from latentbench.core import Metric, Value
from latentbench.measuring import scoring
from latentbench.metrics import decoding
from latentbench.records import Record
from latentbench.testing import METRIC_CHECKS, ContractBroken, check_metric
from latentbench.testing.metrics import PRECISION, example_for, number, precision_hardly_matters, tensors

METRICS = dict(metrics())
PRECISIONS = {n: p.precision for n, p in proofs().items() if p.precision != PRECISION}
"""Metrics that float32 moves by more than `PRECISION`: name -> tolerance."""


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


DEGRADED = {n: p.degrade for n, p in proofs().items() if p.degrade is not None}


def test_every_direction_is_put_to_the_test():
    assert set(DEGRADED) == {n for n, m in METRICS.items() if m.better in ("higher", "lower")}


@pytest.mark.parametrize("name", DEGRADED)
def test_a_worse_encoding_scores_worse(name):
    metric = METRICS[name]
    e = example(metric)
    good, bad = measure(metric, e), measure(metric, DEGRADED[name](e))
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


def test_a_detail_that_is_no_finite_number_costs_no_record():
    told = {"shares": (0.5, float("nan")), "nested": {"low": float("-inf")}, "count": 3, "name": "x"}
    metric = Metric("latent.spread", lambda e: Value(1.0, detail=told), "none", (0.0, None), "u", "digits", "test")
    [record] = scoring.score(fake_encoding(), [metric], Record())
    assert record.value == 1.0
    assert record.detail == {"count": 3, "name": "x", "not_finite": ["shares", "nested"]}
    assert Record.from_json(record.to_json()).detail == record.detail
