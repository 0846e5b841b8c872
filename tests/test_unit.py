"""A unit of work: its name, its way through JSON, and the hashes that runs begun before are resumed by."""

from __future__ import annotations

import json

import pytest

from latentbench.config import make_run
from latentbench.running import manifest, parts
from latentbench.running.plan import plan
from latentbench.running.unit import Unit

KINDS = ["judge", "train", "train", "map", "reference", *["measure"] * 4, "time"]


@pytest.fixture(scope="module")
def planned(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "planned"
    asked = {"models": "ae,vae:beta=2", "seeds": "3-4", "out": str(out), "workers": 1, "study": "quick"}
    return plan(make_run({**asked, "cache": False}))  # a judge that another test has left there is not computed again


def test_a_unit_survives_its_json(planned):
    for unit in planned.units:
        again = Unit.from_json(json.loads(json.dumps(unit.to_json())))
        assert again == unit
        assert (again.folder, again.path, again.is_done) == (unit.folder, unit.path, False)


def test_units_come_after_what_they_need(planned):
    assert [u.kind for u in planned.units] == KINDS
    for place, unit in enumerate(planned.units):
        assert set(unit.needs) <= {u.folder for u in planned.units[:place]}
    assert [u.is_tolerant for u in planned.units] == [kind in ("map", "time") for kind in KINDS]


def test_a_unit_is_done_when_its_manifest_is_there(planned):
    unit = planned.units[0]
    assert unit.path == planned.folder.absolute() / unit.folder
    unit.path.mkdir(parents=True)
    unit.records.write_text("")
    assert not unit.is_done
    manifest.write(unit.path, {}, [(part, []) for part in unit.parts])
    assert unit.is_done
    assert [part.key for part in manifest.read(unit.path).parts] == [part.key for part in unit.parts]


def test_a_part_depends_on_what_it_is_made_of_and_not_on_the_run(planned):
    """Other models, seeds and metrics beside it: the same part, and computed in another unit."""
    other = plan(make_run({"models": "vae:beta=2,ae,vae", "seeds": "0-9", "metrics": "mse,hole"}))

    def keys(which, **about):
        parts = [p for p in which.parts if all(getattr(p, k) == v for k, v in about.items())]
        return {p.key for p in parts}

    cell = {"model": "vae:beta=2", "seed": 4}
    for about in ({"kind": "train", **cell}, {"kind": "measure", "metric": "hole", **cell}):
        assert keys(planned, **about) == keys(other, **about)
        assert len(keys(planned, **about)) == 1
    assert keys(planned, kind="reference", metric="mse") == keys(other, kind="reference", metric="mse")
    assert keys(planned, kind="time") != keys(other, kind="time")
    every = [p.key for p in other.parts]
    assert len(set(every)) == len(every)


def test_a_seed_in_a_stack_depends_on_the_whole_stack(monkeypatch):
    """Where seeds share a stack their sums may be rounded in another order in a larger one."""
    stacked = {}
    monkeypatch.setattr(parts, "stacks", lambda device, seeds: seeds > 1)
    for count in (1, 2, 3):
        found = plan(make_run({"models": "ae", "seeds": count, "metrics": "mse"})).parts
        stacked[count] = next(p.key for p in found if (p.kind, p.seed) == ("train", 0))
    assert len(set(stacked.values())) == 3


def test_a_unit_of_many_models_is_about_no_single_one(planned):
    assert [u.model.text for u in planned.units if u.kind == "train"] == ["ae", "vae:beta=2"]
    with pytest.raises(ValueError, match="is about 2 models"):
        _ = planned.units[-1].model


def test_how_a_run_is_carried_out_changes_no_unit_but_its_place(planned):
    asked = {"models": "ae,vae:beta=2", "seeds": "3-4", "workers": 7, "quiet": True, "lang": "zh"}
    other = plan(make_run({**asked, "cache": False}))
    assert [u.folder for u in other.units] == [u.folder for u in planned.units]
    assert [u.run for u in other.units] == [u.run for u in planned.units]


def test_an_executor_that_is_not_there_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(ValueError, match="unknown executor 'locale'; did you mean 'local'"):
        plan(make_run({"executor": "locale", "out": str(tmp_path / "out")}))
    assert list(tmp_path.iterdir()) == []
