"""The negative binomial likelihood: its closed form, dispersions that are found again, and what is refused."""

from __future__ import annotations

from functools import partial
from typing import get_args, get_type_hints

import numpy as np
import pytest
import torch
from scipy.stats import nbinom

from latentbench.config import make_run
from latentbench.core import Dataset
from latentbench.datasets.splits import standardised
from latentbench.models.counts import NegativeBinomial, log_prob
from latentbench.models.vae import VariationalAutoencoder
from latentbench.randomness import numpy_rng, seeded
from latentbench.running import plan
from latentbench.spaces.known import space_of
from latentbench.spaces.space import Scale
from latentbench.spaces.vector import Vector
from latentbench.testing import check_model
from latentbench.training.fit import Plan, fit, initialise
from latentbench.training.stacking import fit_all
from latentbench.training.steps import Adam, traced_step

DISPERSION = np.array([0.5, 1.0, 2.0, 5.0])


def counts(n=1500, seed=0):
    """Two classes of negative binomial counts with means of their own and the `DISPERSION` of their columns."""
    rng, y = numpy_rng(seed, "counts"), np.arange(n) % 2
    mean = np.array([[4.0, 10.0, 30.0, 6.0], [12.0, 3.0, 8.0, 20.0]])[y]
    return rng.negative_binomial(DISPERSION, DISPERSION / (DISPERSION + mean)), y


@pytest.fixture(scope="module")
def data() -> Dataset:
    x, y = counts()
    return standardised("counts", x, y, 0, ("a", "b"))


def build(space, **fields):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        fields = {"likelihood": "negative_binomial", "depth": 1, "width": 16, **fields}
        return VariationalAutoencoder(space.shape, 2, space=space, **fields)


def test_the_probability_is_that_of_scipy():
    k = torch.tensor([[0.0, 1, 7, 250], [3, 0, 1000, 12]], dtype=torch.float64)
    mean = torch.tensor([[0.1, 2, 9, 200], [3, 1e-3, 800, 12]], dtype=torch.float64)
    r = torch.tensor([0.3, 1, 4, 50], dtype=torch.float64)
    known = nbinom.logpmf(k.numpy(), r.numpy(), (r / (r + mean)).numpy())
    np.testing.assert_allclose(log_prob(k, mean, r).numpy(), known, rtol=1e-10)
    np.testing.assert_allclose(log_prob(k.float(), mean.float(), r.float()).numpy(), known, rtol=1e-3, atol=1e-3)


def test_the_likelihood_of_a_model_is_that_of_its_raw_counts(data):
    model, x = build(data.space), data.test.x[:50]
    z = torch.randn((50, 2), generator=seeded(0, "codes"))
    raw = data.space.scale.to_raw(x.double()).round().numpy()
    with torch.no_grad():
        mean = data.space.scale.to_raw(model.decode(z).double()).numpy()
        found = model.log_likelihood(x, z).numpy()
    known = nbinom.logpmf(raw, 1.0, 1 / (1 + mean)).sum(1)  # dispersions begin at 1
    np.testing.assert_allclose(found, known, rtol=1e-4)
    assert model.likelihood == "negative_binomial"
    assert model.decoder_variance is None


def test_counts_survive_being_standardised(data):
    raw, _ = counts()
    found = NegativeBinomial(data.space).counts(torch.cat([s.x for s in (data.train, data.val, data.test)]))
    order = lambda x: x[np.lexsort(x.T)]  # noqa: E731
    np.testing.assert_array_equal(order(found.numpy()), order(raw))


def test_the_dispersions_that_counts_were_drawn_with_are_found():
    x, y = counts(3000, seed=1)
    data = standardised("counts", x, y, 0, ("a", "b"))
    model = initialise(lambda: build(data.space), 0)
    fit(model, data.train.x, data.val.x, Plan(60, 0, 100, 1e-2), 0)
    found = model.counts.dispersion.detach().numpy()
    np.testing.assert_allclose(found, DISPERSION, rtol=0.35)
    assert list(np.argsort(found)) == [0, 1, 2, 3]


def test_the_contract_the_traced_step_and_the_stack_hold(data):
    check_model(partial(VariationalAutoencoder, likelihood="negative_binomial"), space=data.space)
    model = build(data.space)
    assert model.traceable
    step = traced_step(model, data.train.x[:32], seeded(0, "draws"), Adam(model.parameters()))
    assert step is not None
    asked = Plan(2, 0, 64, 1e-3)
    pair = [initialise(lambda: build(data.space), seed) for seed in (0, 1)]
    fit_all(pair, data.train.x, data.val.x, asked, [0, 1])
    alone = initialise(lambda: build(data.space), 1)
    fit(alone, data.train.x, data.val.x, asked, 1)
    for stacked, single in zip(pair[1].parameters(), alone.parameters(), strict=True):
        torch.testing.assert_close(stacked, single, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (lambda x: x + 0.5, r"the data are no counts, whole numbers from 0 \(one raw value is \d+\.5\)"),
        (lambda x: x - 40.0, "one raw value is -"),
        (lambda x: x * 1e7, "float32 tells no single ones apart"),
    ],
)
def test_what_is_no_count_is_refused(raw, says):
    x, _ = counts(300)
    space = standardised("x", raw(x.astype(float)), None, 0).space
    measured = space.scale.to_measured(torch.from_numpy(raw(x.astype(float)))).float()
    with pytest.raises(ValueError, match=says):
        build(space).check(measured)


def test_a_run_refuses_it_before_anything_is_trained():
    asked = make_run({"models": "vae:likelihood=negative_binomial", "dataset": "breast_cancer", "seeds": "1"})
    with pytest.raises(ValueError, match="the data are no counts, whole numbers from 0"):
        plan.plan(asked)


def test_likelihoods_and_what_they_are_of():
    with pytest.raises(ValueError, match="bernoulli is not allowed: the data's values are not bounded by 0 and 1"):
        build(space_of((5,)), likelihood="bernoulli")
    with pytest.raises(ValueError, match="likelihood=negative_binomial, which has no variance"):
        build(space_of((5,)), sigma=0.5)
    binary = Vector((5,), bounds=(0.0, 1.0))
    check_model(partial(VariationalAutoencoder, likelihood="bernoulli"), space=binary)
    model = build(binary, likelihood="bernoulli")
    decoded = model.decode(torch.randn((20, 2), generator=seeded(0, "codes")))
    assert bool(((decoded > 0) & (decoded < 1)).all())
    assert "negative_binomial" in get_args(get_type_hints(VariationalAutoencoder.__init__)["likelihood"])


def test_without_a_scale_counts_are_taken_as_they_stand():
    likelihood = NegativeBinomial(Vector((2,)))
    x = torch.tensor([[0.0, 3.0], [7.0, 1.0]])
    assert torch.equal(likelihood.counts(x), x)
    likelihood.check(x)
    shifted = NegativeBinomial(Vector((2,), scale=Scale((4.0, 0.0), (2.0, 1.0))))
    assert torch.equal(shifted.counts((x - torch.tensor([4.0, 0.0])) / torch.tensor([2.0, 1.0])), x)
