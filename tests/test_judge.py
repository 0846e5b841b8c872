"""The judge: it passes real images, refuses junk, and a dishonest one is not used."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from synthetic_run import Synthetic, build

from latentbench.core import Dataset, Split
from latentbench.datasets import digits
from latentbench.measuring import judge as judges
from latentbench.measuring import self_check
from latentbench.measuring.self_check import Check, lower_bound, refusal
from latentbench.randomness import seeded
from latentbench.records import Record
from latentbench.report.folder import load
from latentbench.report.sections import protocol
from latentbench.spaces import junk
from latentbench.spaces.image import IMAGES, Image
from latentbench.spaces.series import Series
from latentbench.spaces.vector import Vector
from latentbench.training.steps import same_list

ROOT = Path(__file__).parents[1]
FLOORS = [k.name for k in IMAGES if k.floor]


@pytest.fixture(scope="module")
def data() -> Dataset:
    return digits.load("", "", 0)


@pytest.fixture(scope="module")
def trained(data):
    """Two judges, trained apart."""
    return [judges.train_judge(data, seed, steps=1000) for seed in (0, 1)]


@pytest.fixture(scope="module")
def judge(trained):
    return trained[0]


def test_self_check(trained):
    for judge in trained:
        share = {name: check.value for name, check in judge.checks.items()}
        assert share["judge.accuracy"] > 0.95
        assert 0.85 <= share["judge.pass.real"] <= 0.99
        for floor in FLOORS:
            assert share[f"judge.pass.{floor}"] <= 0.02
        assert judge.refusal == ""


def test_kinds_that_were_shown_are_refused_and_their_relatives_mostly(trained):
    """With four kinds shown the judge of digits passed .35 of halves, .26 of rolled, .21 of maxima, .19 of rows, .18 of means
    of two."""
    for judge in trained:
        share = {name.removeprefix("judge.pass."): check.value for name, check in judge.checks.items()}
        assert max(share[k] for k in ("blend", "subset_mean", "blur", "maximum")) < 0.06
        assert share["halves"] < 0.3
        assert max(share[k] for k in ("roll", "blur_more", "inverted", "average")) < 0.1
        assert max(share[k] for k in ("rows", "sides")) < 0.4


def test_both_shares_are_the_largest_of_their_kinds(judge):
    for name, shown in (("judge.junk_shown", True), ("judge.junk_unseen", False)):
        of = {k.name: judge.checks[f"judge.pass.{k.name}"] for k in IMAGES if k.shown is shown}
        assert judge.checks[name].detail == {kind: check.value for kind, check in of.items()}
        assert judge.checks[name].value == max(check.value for check in of.values())
        assert all(check.detail["shown"] is shown for check in of.values())


def test_records_say_what_was_shown(judge):
    rows = {r.metric: r for r in judge.records(Record(model="judge", role="judge"))}
    assert rows["judge.pass.halves"].detail["shown"] is True
    assert rows["judge.pass.sides"].detail["shown"] is False
    assert {m for m, r in rows.items() if r.detail.get("floor")} == {f"judge.pass.{k}" for k in FLOORS}
    assert {m for m, r in rows.items() if r.better == "higher"} == {"judge.accuracy", "judge.pass.real"}
    assert rows["judge.accuracy"].detail["lower"] < rows["judge.accuracy"].value


def test_degradation_lowers_the_share_monotonically(judge, data):
    x = data.test.x
    mean = x.mean(0, keepdim=True)
    shares = [float(judge(x + t * (mean - x)).valid.double().mean()) for t in (0, 0.3, 0.6, 0.9)]
    assert shares == sorted(shares, reverse=True)
    assert shares[-1] < 0.05


def test_repeatable_batch_independent_and_saved(judge, data, tmp_path):
    again = judges.train_judge(data, steps=1000)
    assert torch.equal(again(data.test.x).confidence, judge(data.test.x).confidence)
    judge.save(tmp_path / "judge.safetensors")
    again.save(tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == (tmp_path / "judge.safetensors").read_bytes()
    back = judges.load(tmp_path / "judge.safetensors", data.space)
    whole = judge(data.test.x)
    assert torch.equal(back(data.test.x).valid, whole.valid)
    assert back.checks == dict(judge.checks)
    assert back.refusal == judge.refusal
    parts = torch.cat([judge(p).valid for p in data.test.x.split(37)])
    assert (parts == whole.valid).double().mean() > 0.99


def test_a_judge_that_passes_junk_is_refused(judge, data):
    lax = replace(judge, low=0.0, high=1e9, checks={})
    lax = replace(lax, checks=self_check.self_check(lax, data, 0))
    assert "self-check failed: it passes" in lax.refusal
    assert lax.refusal.code.startswith("judge.passes_")


def test_a_judge_that_passes_nothing_is_refused(judge, data):
    strict = replace(judge, low=1.1)
    strict = replace(strict, checks=self_check.self_check(strict, data, 0))
    assert strict.refusal.code == "judge.refuses_real"


def test_a_judge_of_labels_dealt_out_anew_is_refused(data):
    def dealt(split: Split, name: str) -> Split:
        return Split(split.x, split.y[torch.randperm(len(split.y), generator=seeded(0, name))])

    mixed = replace(data, train=dealt(data.train, "a"), val=dealt(data.val, "b"), test=dealt(data.test, "c"))
    judge = judges.train_judge(mixed, steps=150)
    assert judge.checks["judge.accuracy"].value < 0.2
    assert judge.refusal.code == "judge.at_chance"


def checks(accuracy=(0.9, 0.85, 0.1), real=0.9, **junk_shares):
    value, lower, largest = accuracy
    return {
        "judge.accuracy": Check(value, {"lower": lower, "largest class": largest}),
        "judge.pass.real": Check(real),
        "judge.pass.noise": Check(0.0, {"shown": True, "floor": True}),
        **{f"judge.pass.{k}": Check(v, {"shown": False, "floor": k != "sides"}) for k, v in junk_shares.items()},
    }


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({}, ""),
        ({"accuracy": (0.117, 0.08, 0.103)}, "judge.at_chance"),
        ({"accuracy": (0.6, 0.55, 0.55)}, "judge.at_chance"),
        ({"accuracy": (0.6, 0.56, 0.55)}, ""),
        ({"real": 0.49}, "judge.refuses_real"),
        ({"real": 0.5}, ""),
        ({"sides": 0.9}, ""),
        ({"black": 1.0}, "judge.passes_black"),
        ({"black": None}, ""),
        ({"constant": 0.06, "mean": 0.05}, "judge.passes_constant"),
        ({"columns": 0.4}, "judge.passes_floor"),
        *(({k: 0.051}, f"judge.passes_{k}") for k in FLOORS),
    ],
)
def test_what_refuses_a_judge(given, code):
    reason = refusal(checks(**given))
    assert getattr(reason, "code", "") == code
    assert bool(reason) == bool(code)


def test_the_lower_bound_of_accuracy():
    assert lower_bound(0, 50) == 0
    assert lower_bound(50, 50) == pytest.approx(0.01 ** (1 / 50), rel=1e-9)
    assert lower_bound(36, 360) < 0.1 < lower_bound(60, 360)


def test_a_kind_of_real_images_is_recorded_as_none(data):
    """Where a class of the data is black, black is no junk."""

    def blackened(split: Split) -> Split:
        x = split.x.clone()
        x[split.y == 0] = 0
        return Split(x, split.y)

    dark = replace(data, train=blackened(data.train), val=blackened(data.val), test=blackened(data.test))
    judge = judges.train_judge(dark, steps=20)
    assert judge.checks["judge.pass.black"].value is None
    assert judge.checks["judge.pass.white"].value is not None
    (row,) = (r for r in judge.records(Record()) if r.metric == "judge.pass.black")
    assert (row.status, row.reason_code, row.value) == ("skipped", "judge.kind_is_real", None)
    shown = judge.checks["judge.junk_shown"].detail
    assert "black" not in shown
    assert "white" in shown


def test_a_kind_that_is_taken_for_real_is_withdrawn_unless_it_is_a_floor(data):
    def copies(x, count, g):
        return junk.Made(x[torch.randint(len(x), (count,), generator=g)])

    kinds = [
        *(k for k in IMAGES if k.name in ("noise", "blur")),
        junk.Kind("copies", copies, shown=True),
        junk.Kind("floor_copies", copies, shown=True, floor=True, weight=0.1),
    ]
    judge = judges.train_judge(data, steps=300, kinds=kinds)
    detail = {name: check.detail for name, check in judge.checks.items()}
    assert [n for n, d in detail.items() if d.get("withdrawn")] == ["judge.pass.copies"]
    assert judge.checks["judge.pass.real"].value > 0.85
    assert judge.refusal.code == "judge.passes_floor"


@pytest.mark.parametrize(
    "space",
    [Image((1, 6, 6)), Image((3, 20, 18)), Vector((12,)), Series((24, 2))],
    ids=lambda s: f"{s.name}{len(s.shape)}{s.shape[0]}",
)
def test_its_step_written_down_is_the_step_asked_anew_to_the_last_bit(space, monkeypatch):
    """Of every kind of network, whatever the number of junk samples a batch has, and a list is not refused unseen."""
    split = Split(torch.rand((90, *space.shape), generator=seeded(0, "samples")), torch.arange(90) % 3)
    made = Dataset("made", split, split, split, given_space=space)
    listed, weights = [], []

    def noted(*given):
        listed.append(same_list(*given))
        return listed[-1]

    monkeypatch.setattr(judges, "same_list", noted)
    for worthwhile in (1, 10**9):
        monkeypatch.setattr(judges, "WORTHWHILE", worthwhile)
        weights.append(judges.train_judge(made, steps=70).network.state_dict())
    assert len(listed) == 1
    assert listed[0] is not None
    assert all(torch.equal(tensor, weights[1][name]) for name, tensor in weights[0].items())


def test_no_labels_and_one_class_are_refused(data):
    with pytest.raises(ValueError, match="labels"):
        judges.train_judge(replace(data, test=Split(data.test.x, None)))
    one = Split(data.train.x, torch.zeros_like(data.train.y))
    with pytest.raises(ValueError, match="two classes"):
        judges.train_judge(replace(data, train=one, val=one, test=one))


def test_the_page_of_judges_is_made_from_the_committed_results():
    spec = importlib.util.spec_from_file_location("judge_benchmark", ROOT / "benchmarks/judge.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    result = json.loads((ROOT / "docs/judge.json").read_text())
    assert module.document(result) == (ROOT / "docs/judge.md").read_text()


def test_the_protocol_lists_every_kind_that_was_tried(tmp_path):
    folder = build(tmp_path / "run", Synthetic(models=("ae",), seeds=1))
    titles, _ = protocol._judge(load([folder])[0])
    rows = {row.title: row for row in titles}
    upper = rows["the upper half of one image on the lower half of another"]
    assert (upper.shown, upper.floor) == (True, False)
    assert upper.values == ["8.6", "8.6"]
    assert (rows["mean images"].shown, rows["mean images"].floor) == (False, True)
    assert rows["most accepted of a kind never shown to it"].values[0] == "22"
    assert len(rows) == len(titles) == 9
