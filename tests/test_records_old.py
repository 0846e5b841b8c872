"""Records files of earlier versions still read, and everything derived from them says what it said.

``data/records-schema-1.jsonl.gz``: a whole run of schema 1 (``ae`` and ``vae``, two seeds, three epochs on digits), the
records as they were written but for the name of the output folder, and one more that schema 1 wrote for a diverged seed.
"""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path

import pytest

from latentbench import records
from latentbench.comparing.history import read as history
from latentbench.comparing.runs import compare
from latentbench.records import SELF_CHECK, Record
from latentbench.report.columns import columns
from latentbench.report.exports.tables import results_csv, summary_md
from latentbench.report.folder import load
from latentbench.report.sections import protocol, scores
from latentbench.stats import findings
from latentbench.stats.cells import summarise

HERE = Path(__file__).parent
OLD = gzip.decompress((HERE / "data/records-schema-1.jsonl.gz").read_bytes()).decode("utf-8")
BASELINE = HERE.parent / "benchmarks/baseline/records.jsonl"
ROLES = {
    "": "model", "ae": "model", "vae": "model", "judge": "judge", "judge:second": "judge", "check:self": "check",
    "baseline:mean": "baseline", "baseline:pca": "baseline",
    "ceiling:real": "ceiling", "ceiling:cross-fade": "ceiling", "ceiling:isolated": "ceiling", "ceiling:matched": "ceiling",
    "floor:noise": "floor", "floor:shuffle": "floor", "floor:mean": "floor", "floor:majority": "floor",
    "floor:copies": "floor", "floor:collapsed": "floor",
    "null:prior": "null", "null:labels": "null", "null:normal": "null", "null:images": "null",
    "null:collapsed": "null", "null:matched": "null", "null:points": "null",
}  # fmt: skip
"""What every name in the file stood for."""


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> tuple[Path, Path]:
    """The run as schema 1 wrote it, and the same rows with their roles written down."""
    home = tmp_path_factory.mktemp("run")
    old, new = home / "old" / "run", home / "new" / "run"
    rows = [json.loads(line) for line in OLD.splitlines()]
    with_roles = [{**row, "schema": 2, "role": ROLES[row.get("model", "")]} for row in rows]
    for folder, lines in ((old, rows), (new, with_roles)):
        folder.mkdir(parents=True)
        (folder / "records.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    return old, new


def read(folder: Path) -> list[Record]:
    return records.read(folder / "records.jsonl")


def test_the_file_holds_every_kind_of_row_and_no_role():
    rows = [json.loads(line) for line in OLD.splitlines()]
    assert {r["schema"] for r in rows} == {1}
    assert not any("role" in r for r in rows)
    assert {r["kind"] for r in rows} == {"run", "value", "curve", "artifact"}
    assert {r["status"] for r in rows} == {"ok", "failed", "skipped"}
    assert {r.get("model", "") for r in rows} == set(ROLES)


def test_every_row_reads_with_its_role_and_loses_nothing(folders):
    old = read(folders[0])
    assert [r.role for r in old] == [ROLES[r.model] for r in old]
    assert {r.schema for r in old} == {2}
    for row, line in zip(old, OLD.splitlines(), strict=True):
        written = json.loads(row.to_json())
        assert written.pop("role") == row.role
        assert {**written, "schema": 1} == json.loads(line)
    assert {r.model for r in old if r.is_model} == {"ae", "vae"}
    assert {r.model for r in old if r.is_reference} == {m for m, r in ROLES.items() if r not in ("model", "judge")}


def test_both_read_as_the_same_rows_and_are_written_alike(folders, tmp_path):
    old, new = map(read, folders)
    assert old == new
    records.write(tmp_path / "again.jsonl", old)
    assert records.read(tmp_path / "again.jsonl") == old


def test_tables_and_summary_say_the_same(folders):
    old, new = map(read, folders)
    assert results_csv(old) == results_csv(new)
    assert summary_md(old) == summary_md(new)
    (table,) = findings.tables(old)
    assert table.models == ["ae", "vae"]
    floors = [r.value for r in old if r.metric == "validity.normal" and r.model.startswith("floor:")]
    assert table.floor("validity.normal") == max(floors)
    assert table.reference("r2", "baseline:pca") is not None
    assert table.get("judge", "judge.accuracy") is not None
    assert not [c for c in summarise(old) if c.model == SELF_CHECK]


def test_the_page_reads_models_judges_and_anchors_alike(folders):
    old, new = (load([f]) for f in folders)
    assert old[0].models == new[0].models == ("ae", "vae")
    found = [scores.tables(columns(runs)) for runs in (old, new)]
    assert found[0][0].groups == found[1][0].groups
    kinds = {a.kind for g in found[0][0].groups for row in g.rows for a in row.anchors}
    assert {"floors", "ceiling", "baselines", "null value"} <= kinds
    judges = [protocol._judge(runs[0]) for runs in (old, new)]
    assert judges[0] == judges[1]
    assert judges[0][1] == ["judge", "second judge"]


def test_old_and_new_compare_as_one_run(folders):
    found = compare(*folders)
    assert {c.metric for c in found.changes} >= {"r2", "hole", "validity.normal"}
    assert {c.subject.split(" ")[0] for c in found.changes} == {"ae", "vae"}
    assert not {c.verdict for c in found.changes} & {"better", "worse"}
    assert not [n for n in found.notes if "judge" in n]
    revisions = history(folders)
    assert revisions[0].cells.keys() == revisions[1].cells.keys()
    assert {c.model for c in revisions[0].cells.values()} == {"ae", "vae"}


def test_the_baseline_in_the_repository_reads():
    """Whatever schema it was written in, it names every role; how schema 1 is read, the other tests say."""
    assert {json.loads(line)["schema"] for line in BASELINE.read_text("utf-8").splitlines()} <= set(
        range(1, records.SCHEMA + 1)
    )
    found = Counter(r.role for r in records.read(BASELINE))
    assert found.keys() == {"model", "baseline", "ceiling", "floor", "null", "judge", "check"}
