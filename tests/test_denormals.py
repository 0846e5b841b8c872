"""Numbers too small to be normal are 0 while something is trained or measured, and as before afterwards."""

from __future__ import annotations

import pytest
import torch
from test_steps import TRAIN, build

import latentbench
from latentbench import denormals
from latentbench.models.ae import Autoencoder
from latentbench.randomness import seeded
from latentbench.training.fit import Diverged, Plan, fit
from latentbench.training.stacking import fit_stacked

SMALL = torch.tensor(torch.finfo(torch.float32).tiny)
PLAN = Plan(1, 0, 32, 1e-3)

pytestmark = pytest.mark.skipif(not torch.set_flush_denormal(False), reason="this processor takes them as they are")


class Notes(Autoencoder):
    """Notes how it was computed with whenever its loss was asked for."""

    def loss(self, x, generator):
        self.seen = [*getattr(self, "seen", []), denormals.are_zero()]
        return super().loss(x, generator)


class Diverges(Autoencoder):
    def loss(self, x, generator):
        found = super().loss(x, generator)
        return found._replace(total=found.total * torch.inf)


def of(kind):
    model = build("ae")
    model.__class__ = kind
    return model


def test_they_are_zero_inside_and_as_before_outside():
    assert not denormals.are_zero()
    assert SMALL / 4 > 0
    with denormals.as_zero():
        assert denormals.are_zero()
        assert SMALL / 4 == 0
        with denormals.as_zero():
            pass
        assert denormals.are_zero()  # who had them so keeps them so
    assert not denormals.are_zero()


def test_while_a_model_is_trained():
    model = of(Notes)
    fit(model, TRAIN, TRAIN[:32], PLAN, 0)
    assert len(model.seen) > 1
    assert all(model.seen)
    assert not denormals.are_zero()


def test_while_a_stack_is_trained():
    heard = []
    models = [build("ae"), build("ae")]
    fit_stacked(models, TRAIN, TRAIN[:32], PLAN, [0, 1], [lambda *_: heard.append(denormals.are_zero())] * 2)
    assert heard == [True, True]
    assert not denormals.are_zero()


def test_after_a_training_that_failed():
    with pytest.raises(Diverged):
        fit(of(Diverges), TRAIN, TRAIN[:32], PLAN, 0)
    assert not denormals.are_zero()


def test_while_a_model_of_ones_own_is_measured():
    heard = []

    def encode(x):
        heard.append(denormals.are_zero())
        return x.flatten(1)[:, :2]

    x = torch.rand((60, 1, 4, 4), generator=seeded(0, "images"))
    decode = torch.nn.Sequential(torch.nn.Linear(2, 16), torch.nn.Sigmoid(), torch.nn.Unflatten(1, (1, 4, 4)))
    found = latentbench.evaluate(encode, decode, x_train=x, x_test=x[:30], metrics="active_units", quiet=True)
    assert found.records
    assert heard
    assert all(heard)
    assert not denormals.are_zero()
