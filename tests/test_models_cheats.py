"""A model whose regulariser has no weight says nothing of its prior, and is not called complete for its name."""

from __future__ import annotations

from functools import cache

import pytest
import torch
import unjust
from cheats import once_trained

from latentbench.catalog import build_model, find_metrics
from latentbench.config import make_run
from latentbench.measuring import scoring
from latentbench.randomness import seeded
from latentbench.records import Record
from latentbench.stats.findings import answers
from latentbench.training.fit import Plan, fit, initialise

SHAPE = (1, 6, 6)
TRAIN = torch.rand((64, *SHAPE), generator=seeded(0, "train"))


def build(text, shape, seed, **options):
    run = make_run({"models": text, **options})
    return initialise(lambda: build_model(text, run, shape), seed)


@pytest.mark.parametrize("text", ["wae:weight=0", "aae:weight=0", "cae:weight=0", "rae:beta=0:weight=0"])
def test_without_its_weight_it_is_the_autoencoder_to_the_last_bit(text):
    ours, theirs = (build(name, SHAPE, 0, latent_dim=3, width=16) for name in (text, "ae"))
    for model in (ours, theirs):
        fit(model, TRAIN, TRAIN[:20], Plan(3, 0, 16, 1e-3), 0)
    for name, weight in theirs.state_dict().items():
        assert torch.equal(weight, ours.state_dict()[name]), name


@cache
def records_of(text):
    """A model trained on digits, two seeds."""
    data, records = unjust.DIGITS.load(), []
    for seed in (0, 1):
        model = build(text, data.shape, seed, latent_dim=8, width=64)
        fit(model, data.train.x, data.val.x, Plan(60, 0, 64, 2e-3), seed)
        row = Record(dataset=data.name, model=text, latent_dim=8, seed=seed)
        encoding = scoring.encode(model, data, seed, torch.device("cpu"), once_trained(data), {})
        records += scoring.score(encoding, find_metrics(unjust.WANTED).values(), row)
    return records


def validity(text):
    found = [r.value for r in records_of(text) if r.metric == "validity.normal" and r.split == "test"]
    return sum(found) / len(found)


@pytest.mark.parametrize("text", ["wae:weight=0", "vae:info=1:weight=0", "tcvae:beta=0"])
def test_a_model_without_its_regulariser_is_not_called_complete(text):
    told = answers([*unjust.anchors(), *records_of(text)])
    (found,) = [a for a in told if a.model == text and a.question == "complete"]
    assert found.answer == "no", found
    assert found.reasons


@pytest.mark.parametrize("text", ["vae", "wae"])
def test_with_it_the_same_training_fills_a_part_of_the_prior(text):
    """Else the test above would say nothing of the regulariser."""
    assert validity(text) > 0.1
    assert validity(text) > 2 * validity("wae:weight=0")
    assert validity(text) > 2 * validity("vae:info=1:weight=0")
