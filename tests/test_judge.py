"""The judge: it passes real images, refuses junk, and a dishonest one is not used."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from latentbench.core import Dataset, Split
from latentbench.datasets import digits
from latentbench.measuring import judge as judges
from latentbench.randomness import seeded


@pytest.fixture(scope="module")
def data() -> Dataset:
    return digits.load("", "", 0)


@pytest.fixture(scope="module")
def judge(data):
    return judges.train_judge(data, steps=700)


def test_self_check(judge):
    assert judge.checks["judge.accuracy"] > 0.95
    assert 0.85 <= judge.checks["judge.pass.real"] <= 0.99
    for floor in judges.FLOORS:
        assert judge.checks[floor] <= 0.05
    assert judge.refusal == ""


def test_degradation_lowers_the_share_monotonically(judge, data):
    x = data.test.x
    mean = x.mean(0, keepdim=True)
    shares = [float(judge(x + t * (mean - x)).valid.double().mean()) for t in (0, 0.3, 0.6, 0.9)]
    assert shares == sorted(shares, reverse=True)
    assert shares[-1] < 0.05
    for odd in (torch.zeros_like(x), torch.ones_like(x), 1 - x):
        assert float(judge(odd).valid.double().mean()) <= 0.05


def test_repeatable_batch_independent_and_saved(judge, data, tmp_path):
    again = judges.train_judge(data, steps=700)
    assert torch.equal(again(data.test.x).confidence, judge(data.test.x).confidence)
    judge.save(tmp_path / "judge.safetensors")
    back = judges.load(tmp_path / "judge.safetensors", data.shape)
    whole = judge(data.test.x)
    assert torch.equal(back(data.test.x).valid, whole.valid)
    assert back.checks == dict(judge.checks)
    parts = torch.cat([judge(p).valid for p in data.test.x.split(37)])
    assert (parts == whole.valid).double().mean() > 0.99


def test_a_judge_that_passes_junk_is_refused(judge, data):
    lax = replace(judge, low=0.0, high=1e9, checks={})
    lax = replace(lax, checks=judges.self_check(lax, data, 0))
    assert "self-check failed" in lax.refusal


def test_no_labels_and_one_class_are_refused(data):
    with pytest.raises(ValueError, match="labels"):
        judges.train_judge(replace(data, test=Split(data.test.x, None)))
    one = Split(data.train.x, torch.zeros_like(data.train.y))
    with pytest.raises(ValueError, match="two classes"):
        judges.train_judge(replace(data, train=one, val=one, test=one))


def test_shuffle_keeps_the_histogram(data):
    x = data.test.x[:9]
    mixed = judges.shuffle_pixels(x, seeded(0, "s"))
    assert not torch.equal(mixed, x)
    assert torch.equal(mixed.flatten(1).sort().values, x.flatten(1).sort().values)
