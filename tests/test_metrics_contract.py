"""What every metric of the catalog keeps to, whatever it measures."""

import ast
import json
import math
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from fakes import fake_encoding, normal

from latentbench import decoding, neighbours
from latentbench.catalog import metrics
from latentbench.core import Encoding, Undefined
from latentbench.records import REFERENCE_PREFIXES

METRICS = dict(metrics())
CASES = [pytest.param(m, s, id=f"{n}-{'ae' if s is None else 'vae'}") for n, m in METRICS.items() for s in (None, 0.3)]


def known_answers():
    """The metric names that tests carry in a ``known_answer`` mark, read from the sources."""
    marked = set()
    for path in Path(__file__).parent.glob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "known_answer":
                marked |= {ast.literal_eval(word) for word in node.args}
    return marked


def test_every_metric_has_a_known_answer():
    assert known_answers() >= set(METRICS), f"no known answer for {sorted(set(METRICS) - known_answers())}"


def test_known_answers_name_metrics_that_exist():
    assert known_answers() <= set(METRICS), f"unknown: {sorted(known_answers() - set(METRICS))}"


def number(result):
    return float(getattr(result, "value", result))


def measure(metric, e):
    """The metric's number, or None where the encoding does not hold what it needs."""
    return None if e.absent(metric.needs) else number(metric.compute(e, **metric.params))


def within(metric, number):
    low, high = metric.bounds
    return math.isfinite(number) and (low is None or number >= low) and (high is None or number <= high)


@pytest.mark.parametrize(("metric", "sigma"), CASES)
def test_finite_within_its_bounds_and_fit_for_a_record(metric, sigma):
    e = fake_encoding(sigma)
    if e.absent(metric.needs):
        assert sigma is None
        assert metric.needs == {"log_var"}
        return
    result = metric.compute(e, **metric.params)
    assert within(metric, number(result)), result
    json.dumps(dict(getattr(result, "detail", {})), allow_nan=False)
    if metric.references is not None:
        references = metric.references(e, **metric.params)
        assert references
        for name, value in references.items():
            assert name.startswith(REFERENCE_PREFIXES)
            assert within(metric, value), (name, value)


@pytest.mark.parametrize(("metric", "sigma"), CASES)
def test_the_same_under_any_global_seed_and_no_seed_moved(metric, sigma):
    seen = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        np.random.seed(seed)  # noqa: NPY002 - the global state is what must not matter
        before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
        seen.append(measure(metric, fake_encoding(sigma)))
        assert torch.equal(torch.get_rng_state(), before[0])
        assert (np.random.get_state()[1] == before[1]).all()  # noqa: NPY002
    assert seen[0] == seen[1]


def tensors(e):
    return {f.name: v for f in fields(e) if isinstance(v := getattr(e, f.name), torch.Tensor)}


@pytest.mark.parametrize("sigma", [None, 0.3])
def test_inputs_stay_as_they_were(sigma):
    e = fake_encoding(sigma)
    before = {
        (where, n): t.clone() for where, side in (("test", e), ("train", e.train)) for n, t in tensors(side).items()
    }
    for metric in METRICS.values():
        measure(metric, e)
        if metric.references is not None:
            metric.references(e, **metric.params)
    for (where, name), tensor in before.items():
        assert torch.equal(tensors(e if where == "test" else e.train)[name], tensor), (where, name)


@pytest.mark.parametrize("sigma", [None, 0.3])
def test_chunks_and_blocks_change_nothing(monkeypatch, sigma):
    whole = {n: measure(m, fake_encoding(sigma, dtype=torch.float64)) for n, m in METRICS.items()}
    monkeypatch.setattr(decoding, "CHUNK", 97)
    monkeypatch.setattr("latentbench.metrics.decoded_continuity.CHUNK", 97)
    monkeypatch.setattr("latentbench.metrics.reconstruction.CHUNK", 97)
    monkeypatch.setattr(neighbours, "BLOCK", 5000)
    parts = {n: measure(m, fake_encoding(sigma, dtype=torch.float64)) for n, m in METRICS.items()}
    for name, number in whole.items():
        assert parts[name] == (None if number is None else pytest.approx(number, rel=1e-9, abs=1e-12)), name


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_what_is_missing_is_named_and_nothing_else_is_needed(metric):
    e = fake_encoding()
    lacking = {
        "labels": replace(e, labels=None),
        "decoder": replace(e, decode=None, x_hat=None),
        "log_var": replace(e, log_var=None),
        "judge": replace(e, judge=None, missing={"judge": "the judge failed its self-check"}),
        "train": replace(e, train=None),
        "train_labels": replace(e, train=replace(e.train, labels=None)),
    }
    for need, poorer in lacking.items():
        if need in metric.needs:
            assert poorer.absent(metric.needs)
            if need == "judge":
                assert poorer.absent(metric.needs) == "the judge failed its self-check"
        else:
            assert poorer.absent(metric.needs) == ""
            fresh = replace(poorer, _memo={})
            assert within(metric, number(metric.compute(fresh, **metric.params))), need
            if metric.references is not None:
                metric.references(fresh, **metric.params)


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_declarations_are_complete(metric):
    assert metric.summary
    assert metric.source
    assert metric.unit
    assert metric.splits
    assert (metric.better == "target") == (metric.target is not None)


def jagged(e):
    """The same encoding with a decoder that adds a fast ripple: pictures further from the data, paths less smooth."""
    ripple = normal((e.mu.shape[1], 16), "ripple", e.mu)

    def decode(z):
        return e.decode(z) + 0.4 * torch.sin(9 * z @ ripple).view(-1, 1, 4, 4)

    return replace(e, decode=decode, x_hat=decode(e.mu), _memo={})


def faded(e):
    """A decoder half as bright."""

    def decode(z):
        return e.decode(z) / 2

    return replace(e, decode=decode, x_hat=decode(e.mu), _memo={})


def switched(e):
    """A decoder whose input moves in steps: paths that stand still and jump."""

    def decode(z):
        return e.decode((z / 2).round() * 2)

    return replace(e, decode=decode, x_hat=decode(e.mu), _memo={})


def shuffled(e):
    """Every image has another's mean: nothing in the latent belongs to it."""
    order = torch.randperm(len(e.mu), generator=torch.Generator().manual_seed(3))
    mu = e.mu[order]
    return replace(e, mu=mu, x_hat=e.decode(mu), _memo={})


def shrunk(e):
    """All codes a tenth as large, the decoder undoing it: N(0, I) reaches far beyond them."""

    def small(side: Encoding):
        return replace(side, mu=side.mu / 10, z=side.z / 10, decode=lambda z: e.decode(10 * z), _memo={})

    return replace(small(e), train=small(e.train))


def gapped(e):
    """Codes at two far ends of the first axis: the fitted Gaussian's middle is empty."""

    def torn(side: Encoding):
        shift = torch.where(side.z[:, :1] > 0, 30.0, -30.0) * torch.eye(1, side.z.shape[1])
        return replace(side, z=side.z + shift, _memo={})

    return replace(torn(e), train=torn(e.train))


def one_sided(e):
    """A decoder that sees only the sign of the first coordinate's size: fewer classes among its pictures."""

    def decode(z):
        return e.decode(torch.cat([z[:, :1].abs() + 1, z[:, 1:]], 1))

    return replace(e, decode=decode, x_hat=decode(e.mu), _memo={})


def collapsed(e):
    """The first latent dimension's means stand still."""
    return replace(e, mu=e.mu * torch.tensor([0.0, 1.0, 1.0]), _memo={})


DEGRADE = {
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
    "probe.linear": shuffled,
    "trustworthiness": shuffled,
    "neighbourhood_continuity": shuffled,
}


def test_every_direction_is_put_to_the_test():
    assert set(DEGRADE) == {n for n, m in METRICS.items() if m.better in ("higher", "lower")}


@pytest.mark.parametrize("name", DEGRADE)
def test_a_worse_encoding_scores_worse(name):
    metric, e = METRICS[name], fake_encoding()
    good = measure(metric, e)
    try:
        bad = measure(metric, DEGRADE[name](e))
    except Undefined:
        pytest.fail("the degraded encoding should still have a value")
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
        return replace(e, **moved, train=train, judge=judge, decode=lambda z: here.decode(z.cpu()).cuda(), _memo={})

    class OnDevice:
        classes, train_marginal = here.judge.classes, here.judge.train_marginal.cuda()

        def features(self, x):
            return here.judge.features(x)

        def __call__(self, x):
            return type(here.judge(x.cpu()))(*(t.cuda() for t in here.judge(x.cpu())))

    judge = OnDevice()
    e = there(here, there(here.train, None))
    for name, metric in METRICS.items():
        assert measure(metric, e) == pytest.approx(measure(metric, here), rel=1e-6, abs=1e-9), name
        if metric.references is not None:
            metric.references(e, **metric.params)
