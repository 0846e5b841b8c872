"""Records: there and back, never NaN, old ones readable, broken ones named, files whole or not at all."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latentbench import records
from latentbench.records import Record

names = st.text(max_size=8)
finite = st.floats(allow_nan=False, allow_infinity=False)


@given(
    st.builds(
        Record,
        kind=st.sampled_from(["value", "curve", "artifact", "run"]),
        model=names,
        metric=names,
        seed=st.none() | st.integers(0, 9),
        value=st.none() | finite,
        samples=st.none() | st.lists(finite, max_size=3).map(tuple),
        bounds=st.tuples(st.none() | finite, st.none() | finite),
        detail=st.dictionaries(names, st.integers() | names, max_size=3),
        reason=names,
    )
)
def test_round_trip(record):
    line = record.to_json()
    assert "\n" not in line
    assert Record.from_json(line) == record


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_never_nan(value):
    with pytest.raises(ValueError, match="finite"):
        Record(value=value)
    with pytest.raises(ValueError, match="JSON compliant"):
        Record(kind="curve", samples=(value,)).to_json()


def test_a_failed_record_has_no_value():
    with pytest.raises(ValueError, match="carries no value"):
        Record(value=1.0, status="failed")


def test_schema():
    line = Record(metric="m", value=1.0).to_json()
    later = {**json.loads(line), "schema": records.SCHEMA + 1}
    with pytest.raises(ValueError, match="newer"):
        Record.from_json(json.dumps(later))
    with pytest.raises(ValueError, match="not a latentbench record"):
        Record.from_json("{}")
    with_more = {**json.loads(line), "a_field_of_the_future": 1}
    assert Record.from_json(json.dumps(with_more)).metric == "m"


def test_broken_line_is_named(tmp_path):
    path = tmp_path / "records.jsonl"
    path.write_text(Record(metric="m").to_json() + "\n{broken\n")
    with pytest.raises(ValueError, match=r"records\.jsonl, line 2"):
        records.read(path)


def test_a_failing_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "records.jsonl"
    records.write(path, [Record(metric="old")])
    with pytest.raises(ValueError, match="JSON compliant"):
        records.write(path, [Record(metric="new"), Record(kind="curve", samples=(math.nan,))])
    assert [r.metric for r in records.read(path)] == ["old"]
    with pytest.raises(TypeError):
        records.write_bytes(path, "text")
    assert [p.name for p in tmp_path.iterdir()] == ["records.jsonl"]


def test_digest_is_of_content():
    assert records.digest({"a": 1, "b": (2,)}) == records.digest({"b": [2], "a": 1})
    assert records.digest({"a": 1}) != records.digest({"a": 2})


def test_references_and_timings_are_told_apart():
    assert Record(model="floor:noise").is_reference
    assert not Record(model="vae:beta=4").is_reference
    assert Record(metric="throughput.encode").is_timing
    assert not Record(metric="mse").is_timing
