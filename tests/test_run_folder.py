"""A run folder: what lies where, what is refused in one line, and results that are whole or not there."""

from __future__ import annotations

import json

import pytest

from latentbench import run_folder
from latentbench.records import Record
from latentbench.run_folder import RunFiles, RunState, unused, whole_or_not_at_all
from latentbench.run_info import RunInfo, find_run_info

ROWS = [Record(metric="mse", value=0.5), Record(kind="curve", metric="loss", samples=(1.0,))]


def test_records_come_back_as_they_were_written(tmp_path):
    files = RunFiles(tmp_path)
    assert not files.is_run
    files.write_records(ROWS)
    assert files.is_run
    assert list(files.read_records("x")) == ROWS


@pytest.mark.parametrize("kind", ["nowhere", "file", "empty", "unfinished"])
def test_what_is_no_finished_run_is_refused_in_one_line(tmp_path, kind):
    path = tmp_path / kind
    if kind == "file":
        path.write_text("")
    elif kind != "nowhere":
        path.mkdir()
    if kind == "unfinished":
        RunFiles(path).write_state(RunState("demo-1", "unfinished"))
    why = {
        "nowhere": "is not a finished run's folder: it does not exist",
        "file": "is not a finished run's folder: it is not a folder",
        "empty": "is not a finished run's folder: it holds no records.jsonl",
        "unfinished": "is an unfinished run; finish it with --resume",
    }
    with pytest.raises(ValueError) as refused:
        RunFiles(path).read_records("compare")
    assert str(refused.value) == f"compare: {path} {why[kind]}"


def test_the_state_comes_back_and_says_whose_run_it_is(tmp_path):
    files = RunFiles(tmp_path)
    state = RunState("digits-ae-1", "finished", "ab12", {"command": "latentbench run", "dataset": {"name": "zü"}})
    files.write_state(state)
    assert files.read_state() == state
    assert list(json.loads(files.state.read_text("utf-8")))[:3] == ["id", "status", "dataset_sha256"]


@pytest.mark.parametrize("text", ["", "[]", "{", '{"id": "x"}', '{"status": "finished"}'])
def test_what_is_no_state_holds_no_run(tmp_path, text):
    files = RunFiles(tmp_path)
    files.state.write_text(text)
    assert files.read_state() is None


def test_a_state_from_before_the_hash_was_written(tmp_path):
    files = RunFiles(tmp_path)
    files.state.write_text('{"id": "x", "status": "unfinished"}')
    assert files.read_state() == RunState("x", "unfinished")


def test_only_an_unused_folder_may_be_written_to(tmp_path):
    assert unused(tmp_path / "new") == tmp_path / "new"
    assert unused(tmp_path) == tmp_path
    (tmp_path / "mine.txt").write_text("mine")
    for path in (tmp_path, tmp_path / "mine.txt"):
        with pytest.raises(ValueError, match="is not an empty folder"):
            unused(path)


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"out: cannot write to .*file"):
        RunFiles(tmp_path / "file").make()


def test_a_result_is_whole_or_not_there(tmp_path):
    final = tmp_path / "artifacts" / "train-1"

    def broken_off() -> None:
        with whole_or_not_at_all(final) as place:
            (place / "a").write_text("a")
            raise RuntimeError("half")

    with pytest.raises(RuntimeError, match="half"):
        broken_off()
    assert list(final.parent.iterdir()) == []
    with whole_or_not_at_all(final) as place:
        assert place.name.startswith(run_folder.MAKING)
        (place / run_folder.RECORDS).write_text("first")
    assert [p.name for p in final.parent.iterdir()] == ["train-1"]
    with whole_or_not_at_all(final) as place:
        (place / run_folder.RECORDS).write_text("second")
    assert (final / run_folder.RECORDS).read_text() == "first"  # whoever was first
    assert [p.name for p in final.parent.iterdir()] == ["train-1"]


def test_what_is_half_made_is_cleared_and_nothing_else(tmp_path):
    files = RunFiles(tmp_path)
    made = files.make()
    for name in (".making-train-1-77", ".making-jobs", "train-1"):
        (made / name).mkdir()
    files.clear()
    assert [p.name for p in made.iterdir()] == ["train-1"]


INFO = RunInfo(
    config={"dataset": "digits", "models": ["ae"]},
    environment={"python": "3.11"},
    command="latentbench run",
    started="2025-01-01T00:00:00+00:00",
    seconds=1.5,
    git="abc",
    version="0.1.0",
    dataset={"name": "digits", "sha256": "d1", "shape": [1, 8, 8]},
    models={"ae": {"params": {}}},
    definitions={"mse": {"unit": "x"}},
)


def test_what_a_run_says_of_itself_survives_its_record():
    for info in (INFO, RunInfo(**{**INFO.to_detail(), "study": {"name": "quick"}})):
        record = Record.from_json(info.to_record().to_json())
        assert (record.kind, record.dataset, record.dataset_hash) == ("run", "digits", "d1")
        assert find_run_info([Record(), record]) == info
    assert "study" not in INFO.to_detail()


def test_an_older_or_newer_record_is_read_as_far_as_it_is_known():
    record = Record(kind="run", detail={"git": None, "config": None, "command": "old", "invented_later": 1})
    assert find_run_info([record]) == RunInfo(command="old")
    assert find_run_info([Record()]) is None
    with pytest.raises(ValueError, match="kind value"):
        RunInfo.from_record(Record())
