"""A study's published figures stand beside what was measured, and are never claimed for another protocol."""

from dataclasses import replace

import pytest

from latentbench.config import make_run
from latentbench.records import Record
from latentbench.report.sections.published import beside, row
from latentbench.studies.presets import studies, with_study

NOTE = {
    "name": "s",
    "bands": {"vae": {"mse": 0.01, "kl": 50.0, "mse@train": 0.009, "validity.normal": 0.2}, "ae": {"mse": 1.0}},
}


def records(**tolerance):
    head = Record(kind="run", run="r", detail={"study": {**NOTE, "tolerance": tolerance}})
    base = Record(run="r", dataset="d", model="vae", split="test")
    found = {"mse": (0.0101, 0.0103), "kl": (60.0, 62.0), "validity.normal": (0.25, 0.25)}
    out = [head, *(replace(base, metric=m, seed=s, value=v) for m, vs in found.items() for s, v in enumerate(vs))]
    return [*out, replace(base, metric="mse", split="train", seed=0, value=0.008)]


def test_inside_outside_and_for_orientation():
    found = {(b.metric, b.split): b for b in beside(records(**{"mse": "8%", "mse@train": "1%", "validity.*": ".06"}))}
    assert set(found) == {
        ("mse", "test"),
        ("kl", "test"),
        ("mse", "train"),
        ("validity.normal", "test"),
    }  # no ae was run
    assert [found[k].inside for k in found] == [True, None, False, True]
    assert found["mse", "test"].tolerance == pytest.approx(0.0008)
    assert row(found["kl", "test"])[-1] == "for orientation"
    assert row(found["mse", "train"])[1:] == ["mse (train)", "0.009 ± 0.00009", "0.00800", "outside"]


def test_what_was_not_measured_is_said():
    rows = [r for r in records() if r.metric != "kl"]
    (kl,) = (b for b in beside(rows) if b.metric == "kl")
    assert kl.measured is None
    assert row(kl)[3] == "not measured"


def test_a_run_of_no_study_has_none():
    assert beside([Record(kind="run", detail={}), *records()[1:]]) == []


def test_published_figures_hold_for_their_protocol_only():
    study = studies()["mnist"]
    own = make_run(with_study({"study": "mnist", "seeds": 2, "models": "ae"}))
    assert study.note(own)["bands"]
    for change in ({"dataset": "digits"}, {"epochs": 3}, {"latent_dim": 8}):
        assert "bands" not in study.note(make_run(with_study({"study": "mnist", **change})))


def test_every_band_names_a_model_and_a_measure_there_is():
    from latentbench.catalog import metrics

    for study in studies().values():
        for model, figures in study.bands.items():
            assert model in study.settings["models"] or model.startswith("baseline:")
            assert {key.partition("@")[0] for key in figures} <= set(metrics())
