"""Records: what is written can be read, never a NaN, never a half file; a line that is no record is named."""

from __future__ import annotations

import copy
import json
import math
import os
import pickle
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from latentbench import records
from latentbench.files import durable, record_types
from latentbench.files.plain_text import CONTROL
from latentbench.files.record_types import LARGEST
from latentbench.records import ROLES, SCHEMA, Reason, Record

relaxed = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

text = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
name = text.filter(lambda word: not CONTROL.search(word))
number = st.floats(-LARGEST, LARGEST)
plain = st.one_of(st.none(), st.booleans(), st.integers(-(2**53), 2**53), number, text)
# Hypothesis also draws words that it finds in the source, and what this package reads of a record has types of its own.
READ = record_types.PARAMS.keys() | record_types.DETAIL.keys() | record_types.RUN.keys()
free = name.map(lambda word: f"{word}?" if word in READ else word)
table = st.dictionaries(free, st.one_of(plain, st.lists(plain, max_size=3)), max_size=3)


@st.composite
def any_record(draw) -> Record:
    status = draw(st.sampled_from(["ok", "failed", "skipped"]))
    return Record(
        kind=draw(st.sampled_from(["run", "value", "curve", "artifact"])),
        dataset=draw(name),
        dataset_hash=draw(name),
        model=draw(name),
        role=draw(st.sampled_from(ROLES)),
        params=draw(table),
        latent_dim=draw(st.none() | st.integers(1, 4096)),
        seed=draw(st.none() | st.integers(0, 2**31)),
        split=draw(name),
        metric=draw(name),
        metric_params=draw(table),
        value=draw(st.none() | number) if status == "ok" else None,
        unit=draw(name),
        better=draw(st.sampled_from(["higher", "lower", "target", "none"])),
        target=draw(st.none() | number),
        bounds=draw(st.tuples(st.none(), st.none() | number) | st.tuples(number, number).map(sorted).map(tuple)),
        status=status,
        reason=draw(text),
        reason_code=draw(name),
        reason_values=draw(table),
        samples=draw(st.none() | st.lists(number, max_size=4).map(tuple)),
        detail=draw(table),
        path=draw(st.none() | name.filter(bool)),
        run=draw(name),
        environment=draw(name),
    )


@relaxed
@given(any_record())
def test_a_record_survives_its_line(record):
    line = record.to_json()
    assert "\n" not in line
    assert Record.from_json(line) == record


@relaxed
@given(st.lists(any_record(), max_size=4))
def test_records_survive_a_file(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("records") / "records.jsonl"
    records.write(path, rows)
    assert records.read(path) == rows


def test_the_zero_and_the_false_are_kept():
    record = Record(metric="hole", value=0.0, seed=0, latent_dim=0, target=0.0, detail={"n": 0, "flag": False})
    back = Record.from_json(record.to_json())
    assert (back.value, back.seed, back.latent_dim, back.target) == (0.0, 0, 0, 0.0)
    assert back.detail == {"n": 0, "flag": False}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_no_value_is_nan_or_infinite(value):
    with pytest.raises(ValueError, match=r"vae/mse.*not a finite number"):
        Record(model="vae", metric="mse", value=value)


@pytest.mark.parametrize("field", ["samples", "detail", "params", "bounds"])
def test_no_line_holds_a_nan_anywhere(field):
    nan = float("nan")
    holding = {"samples": (1.0, nan), "detail": {"kl": [nan]}, "params": {"beta": nan}, "bounds": (nan, None)}
    with pytest.raises(ValueError, match="JSON compliant"):
        Record(metric="mse", **{field: holding[field]}).to_json()


@pytest.mark.parametrize("status", ["failed", "skipped"])
def test_only_ok_carries_a_value(status):
    with pytest.raises(ValueError, match=f"status {status} carries no value"):
        Record(metric="mse", value=1.0, status=status)


def test_unknown_keys_are_ignored_but_a_newer_schema_is_refused():
    row = json.loads(Record(metric="mse", value=0.5).to_json())
    assert Record.from_json(json.dumps({**row, "invented_later": 1})).value == 0.5
    with pytest.raises(ValueError, match=f"schema {SCHEMA + 1} is newer than this version reads"):
        Record.from_json(json.dumps({**row, "schema": SCHEMA + 1}))


@pytest.mark.parametrize("schema", [0, -1, "1", None, 1.5])
def test_what_is_no_record_is_refused(schema):
    with pytest.raises(ValueError, match="not a latentbench record"):
        Record.from_json(json.dumps({"kind": "value", "schema": schema}))


@pytest.mark.parametrize(
    "line",
    [b"{", b"[]", b'"x"', b"7", b'{"schema": 99}', b'{"a": 1}', b'{"schema": 1, "value": NaN}', b"\xff\xfe",
     b'{"schema": 2, "role": "floors"}', b'{"schema": 2, "role": ""}', b'{"schema": 1, "value": "1"}', b'{"schema": 1, "samples": 3}', b'{"schema": 1, "status": "failed", "value": 1}'],
)  # fmt: skip
def test_a_broken_line_names_file_and_line(tmp_path, line):
    path = tmp_path / "records.jsonl"
    good = Record(metric="mse", value=0.5).to_json().encode()
    path.write_bytes(good + b"\n\n" + line + b"\n")
    with pytest.raises(ValueError, match=r"records\.jsonl, line 3: ") as caught:
        records.read(path)
    assert "\n" not in str(caught.value)


def test_what_cannot_be_written_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "records.jsonl"
    records.write(path, [Record(metric="old")])
    with pytest.raises(ValueError, match="JSON compliant"):
        records.write(path, [Record(metric="new"), Record(kind="curve", samples=(float("nan"),))])
    with pytest.raises(TypeError):
        durable.write_bytes(path, "text")
    assert [r.metric for r in records.read(path)] == ["old"]
    assert os.listdir(tmp_path) == ["records.jsonl"]


def test_a_failed_replacement_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "records.jsonl"
    records.write_text(path, "old")

    def fail(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="no space left"):
        records.write_text(path, "new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["records.jsonl"]


def test_a_write_replaces_in_one_step(tmp_path, monkeypatch):
    path, seen = tmp_path / "a.txt", []
    path.write_text("old")
    real = os.replace

    def look_then_replace(source: str, target: object) -> None:
        with open(source, encoding="utf-8") as file:
            seen.append((path.read_text(), file.read()))
        real(source, target)

    monkeypatch.setattr(os, "replace", look_then_replace)
    records.write_text(path, "neu ü")
    assert seen == [("old", "neu ü")]
    assert path.read_text("utf-8") == "neu ü"


def test_a_digest_is_of_content():
    assert records.digest({"a": 1, "b": (2,)}) == records.digest({"b": [2], "a": 1})
    assert records.digest({"a": 1}) != records.digest({"a": 2})
    assert len(records.digest(1, 8)) == 8
    with pytest.raises(ValueError, match="JSON compliant"):
        records.digest(float("nan"))


@pytest.mark.parametrize("role", ROLES)
def test_references_are_told_from_models_by_their_role(role):
    row = Record(model="floor:mine", role=role)
    assert row.is_reference is (role not in ("model", "judge"))
    assert row.is_model is (role == "model")
    assert not Record(role=role).is_model


@pytest.mark.parametrize(
    ("model", "role"),
    [
        ("baseline:pca", "baseline"), ("ceiling:real", "ceiling"), ("floor:noise", "floor"), ("null:prior", "null"),
        ("check:self", "check"), ("judge", "judge"), ("judge:second", "judge"), ("vae:beta=4", "model"), ("", "model"),
        ("floor", "model"), ("judgement", "model"), ("baselines:Mine", "model"), ("model:mine", "model"),
    ],
)  # fmt: skip
def test_a_row_of_schema_1_gets_the_role_its_name_stood_for_and_one_of_schema_2_does_not(model, role):
    row = {"schema": 1, "kind": "value", "model": model, "metric": "mse", "value": 0.5}
    found = Record.from_json(json.dumps(row))
    assert (found.model, found.role, found.schema, found.value) == (model, role, 2, 0.5)
    assert Record.from_json(json.dumps({**row, "schema": 2})).role == "model"
    assert Record.from_json(found.to_json()) == found


@pytest.mark.parametrize(("name", "word"), [
    ("judge", "judge"), ("judge:second", "judge:"), ("judge:mine", "judge:"), ("baseline:MyModel", "baseline:"),
    ("floor:x", "floor:"), ("ceiling:x", "ceiling:"), ("null:x", "null:"), ("check:self", "check:"),
])  # fmt: skip
def test_no_model_bears_the_name_of_a_reference_or_a_judge(name, word):
    with pytest.raises(ValueError, match=f"^name: '{name}' is not allowed: '{word}' is reserved .*allowed: any name"):
        records.model_name("name", name)


@pytest.mark.parametrize(
    "name", ["mine", "vae:beta=4", "my.floor:Model", "floors:Model", "baseline", "judgement", "x y"]
)
def test_other_names_are_a_models_to_bear(name):
    assert records.model_name("name", name) == name


@pytest.mark.parametrize("name", ["", "  "])
def test_a_model_needs_a_name(name):
    with pytest.raises(ValueError, match=r"name: .* a model needs a name"):
        records.model_name("name", name)


def test_timings_are_told_from_measures():
    assert Record(metric="throughput.encode").is_timing
    assert Record(metric="train.seconds").is_timing
    assert not Record(metric="train.epochs").is_timing


def test_run_record_and_values():
    rows = [Record(metric="mse", value=1.0), Record(kind="run"), Record(kind="curve", metric="loss.train")]
    assert records.run_record(rows) is rows[1]
    assert list(records.values(rows)) == [rows[0]]
    assert records.run_record(rows[:1]) is None


# --- reasons ---


def test_a_reason_survives_its_line_with_code_and_values():
    row = Record(status="skipped", reason=Reason.of("undefined.no_path", "{n} of {of} ends ({share:.0%})", n=3, of=4, share=0.754))  # fmt: skip
    assert (row.reason, row.reason_code) == ("3 of 4 ends (75%)", "undefined.no_path")
    read = Record.from_json(row.to_json())
    assert read == row
    assert (read.reason.code, read.reason.values) == ("undefined.no_path", {"n": 3, "of": 4, "share": 0.754})
    other = replace(row, reason=Reason.of("needs.labels", "needs labels"))
    assert (other.reason, other.reason_code, other.reason_values) == ("needs labels", "needs.labels", {})


def test_several_reasons_are_one_with_a_code_each():
    parts = [Reason.of("a.one", "one of {n}", n=2), Reason.of("b.two", "two"), Reason.of("b.two", "two")]
    row = Record(status="skipped", reason=Reason.joined(parts))
    assert (row.reason, row.reason_code, row.reason_values) == ("one of 2; two", "a.one; b.two", {"n": 2})
    found = Record.from_json(row.to_json()).reason.parts
    assert [(p, p.code) for p in found] == [("one of 2", "a.one"), ("two", "b.two")]
    assert Reason.joined(["alone"]) == "alone"


def test_reasons_whose_values_share_a_name_are_recorded_in_english():
    parts = [Reason.of("a.one", "one of {n}", n=2), Reason.of("b.two", "two of {n}", n=3)]
    joined = Reason.joined(parts)
    assert joined.code == "a.one; b.two"
    row = Record(status="skipped", reason=joined)
    assert (row.reason, row.reason_code, row.reason_values) == ("one of 2; two of 3", "", {})


def test_values_of_a_reason_fit_into_a_file():
    reason = Reason.of("diverged", "the loss became {loss} at {rate}", loss=math.nan, rate=np.float32(0.5))
    row = Record(status="failed", reason=reason)
    assert row.reason == "the loss became nan at 0.5"
    assert Record.from_json(row.to_json()).reason_values == {"loss": "nan", "rate": 0.5}


def test_a_reason_without_a_code_is_its_sentence():
    row = Record.from_json('{"kind":"value","status":"skipped","reason":"needs labels","schema":1}')
    assert (row.reason, row.reason_code, row.reason.code, row.reason.parts) == ("needs labels", "", "", ())
    assert "reason_" not in row.to_json()
    assert Reason.of("", "braces {stay}") == "braces {stay}"


def test_a_reason_is_copied_and_sent_whole():
    reason = Reason.joined([Reason.of("a.one", "one of {n}", n=2), Reason.of("b.two", "two")])
    for same in (pickle.loads(pickle.dumps(reason)), copy.deepcopy(reason)):
        assert (same, same.code, same.values, same.parts) == (reason, reason.code, reason.values, reason.parts)
