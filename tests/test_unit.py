"""A unit of work: its name, its way through JSON, and the hashes that runs begun before are resumed by."""

from __future__ import annotations

import json

import pytest

from latentbench.config import make_run
from latentbench.running.plan import plan
from latentbench.running.unit import Unit

KINDS = ["judge", "train", "train", "map", "reference", "measure", "measure", "time"]


@pytest.fixture(scope="module")
def planned(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "planned"
    return plan(make_run({"models": "ae,vae:beta=2", "seeds": "3-4", "out": str(out), "workers": 1, "study": "quick"}))


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


def test_a_unit_is_done_when_its_records_are_there(planned):
    unit = planned.units[0]
    assert unit.path == planned.folder.absolute() / unit.folder
    unit.path.mkdir(parents=True)
    assert not unit.is_done
    unit.records.write_text("")
    assert unit.is_done


def test_a_unit_of_many_models_is_about_no_single_one(planned):
    assert [u.model.text for u in planned.units if u.kind == "train"] == ["ae", "vae:beta=2"]
    with pytest.raises(ValueError, match="is about 2 models"):
        _ = planned.units[-1].model


def test_how_a_run_is_carried_out_changes_no_unit_but_its_place(planned):
    other = plan(make_run({"models": "ae,vae:beta=2", "seeds": "3-4", "workers": 7, "quiet": True, "lang": "zh"}))
    assert [u.folder for u in other.units] == [u.folder for u in planned.units]
    assert [u.run for u in other.units] == [u.run for u in planned.units]


def test_an_executor_that_is_not_there_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(ValueError, match="unknown executor 'locale'; did you mean 'local'"):
        plan(make_run({"executor": "locale", "out": str(tmp_path / "out")}))
    assert list(tmp_path.iterdir()) == []
