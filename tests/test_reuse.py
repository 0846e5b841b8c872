"""Nothing is computed twice: what another run folder or the cache holds is taken from there, if it is whole."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from test_executor import Blank, InThisProcess

from latentbench import records
from latentbench.config import make_run
from latentbench.measuring import timing
from latentbench.measuring.judge import train_judge
from latentbench.records import Record
from latentbench.run_folder import MANIFEST, RunFiles
from latentbench.running import manifest, parts, plan, reuse, worker
from latentbench.running.anew import measure_anew
from latentbench.running.assemble import Outcome
from latentbench.running.execute import execute
from latentbench.running.unit import Part, Unit

SMALL = {"epochs": 1, "latent_dim": 2, "width": 8, "device": "cpu"}
FIRST = {**SMALL, "models": "ae,vae", "seeds": 2, "metrics": "mse,kl,validity.normal"}
SECOND = {**SMALL, "models": "ae,vae,vae:beta=4", "seeds": 3, "metrics": "r2,validity.normal,kl,mse"}

carried_out: list[Unit] = []
"""The units that were computed since the list was cleared."""


class Counting(InThisProcess):
    """Notes every unit that it is given."""

    def submit(self, unit: Unit) -> None:
        carried_out.append(unit)
        super().submit(unit)


@pytest.fixture(scope="module", autouse=True)
def quick():
    """Real judges of few steps, and no times: neither is what is looked at here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "find_executor", lambda *_: Counting)
        patch.setattr(worker.judges, "train_judge", partial(train_judge, steps=20))
        patch.setattr(timing, "time_models", lambda *_, **__: [])
        yield


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """A cache of each test's own, empty at first."""
    monkeypatch.setenv(reuse.CACHE_VARIABLE, str(tmp_path / "cache"))
    carried_out.clear()


def run(out: Path, settings: dict, **more) -> Outcome:
    return execute(make_run({**settings, "out": str(out), **more}), ["run"], progress=False, page=Blank())


@pytest.fixture(scope="module")
def first(tmp_path_factory) -> Path:
    return run(tmp_path_factory.mktemp("runs") / "first", FIRST, cache=False).folder


@pytest.fixture(scope="module")
def scratch(tmp_path_factory) -> Outcome:
    return run(tmp_path_factory.mktemp("runs") / "scratch", SECOND, cache=False)


def comparable(rows: list[Record]) -> list[Record]:
    """Records without what may differ between equal runs: times, the clock, in which unit's folder a file lies."""
    kept = [r for r in rows if not r.is_timing]
    return [
        replace(
            r, run="", environment="", path=r.path and Path(r.path).suffix, detail={} if r.kind == "run" else r.detail
        )
        for r in kept
    ]


def computed(kind: str) -> list[Part]:
    return [p for u in carried_out if u.kind == kind for p in u.parts]


def cells(kind: str) -> Counter[tuple[str, int | None]]:
    return Counter((p.model, p.seed) for p in computed(kind))


def unit_of(folder: Path, kind: str, model: str = "", seed: int | None = None) -> Path:
    """The folder of a unit of this kind, about the model and, where it is said, the seed."""
    found = [m for p in sorted(RunFiles(folder).units.glob(f"{kind}-*")) if (m := manifest.read(p))]
    return next(m.folder for m in found if any(part.model == model and seed in (None, part.seed) for part in m.parts))


NEW = {("ae", 2), ("vae", 2), ("vae:beta=4", 0), ("vae:beta=4", 1), ("vae:beta=4", 2)}
OLD = {("ae", 0), ("ae", 1), ("vae", 0), ("vae", 1)}


def test_a_second_run_computes_only_what_is_new_and_to_the_last_bit_the_same(first, scratch, tmp_path):
    carried_out.clear()
    lent = tmp_path / "lent"
    shutil.copytree(first, lent)
    outcome = run(tmp_path / "second", SECOND, reuse=[str(lent)], cache=False)
    assert cells("train") == dict.fromkeys(NEW, 1)
    measured = Counter((p.model, p.seed, p.metric) for p in computed("measure"))
    wanted = {(m, s, name) for m, s in NEW for name in ("r2", "validity.normal", "kl", "mse")}
    wanted |= {(m, s, "r2") for m, s in OLD} | {("vae:beta=4", 0, "")}  # pictures are of the first seed
    assert measured == dict.fromkeys(wanted, 1)
    assert [p.metric for p in computed("reference")] == ["r2"]
    assert [p.model for p in computed("map")] == ["vae:beta=4"]
    assert computed("judge") == []
    assert (outcome.reused.cells, outcome.reused.cells_asked) == (4, 9)
    assert (outcome.reused.measures, outcome.reused.measures_asked) == (4 * 3 + 3, 9 * 4 + 4)
    assert outcome.reused.elsewhere == ()
    assert str(outcome.reused) == "reused 4 of 9 trained models, 15 of 40 measures"
    assert comparable(outcome.records) == comparable(scratch.records)
    # Whole by itself, whatever becomes of the folder it took from.
    shutil.rmtree(lent)
    held = [r for r in outcome.records if r.kind == "artifact"]
    assert {r.metric for r in held} > {"weights", "strips", "data", "map"}
    assert all(records.file_digest(outcome.folder / r.path) == r.sha256 for r in held)


def test_nothing_at_all_is_left_to_do_where_all_is_there(scratch, tmp_path):
    one = run(
        tmp_path / "one", {**SECOND, "models": "vae", "seeds": "1-2", "metrics": "mse"}, reuse=str(scratch.folder)
    )
    # The run's first seed is another one: its pictures, its map, its times. No judge: no metric asks for one.
    assert [u.kind for u in carried_out] == ["map", "measure", "time"]
    assert [p.metric for p in computed("measure")] == [""]
    rows = [r for r in scratch.records if (r.model, r.metric) == ("vae", "mse") and r.seed]
    assert [r.value for r in one.records if (r.model, r.metric) == ("vae", "mse")] == [r.value for r in rows]


def test_two_folders_give_what_one_lacks(first, scratch, tmp_path):
    run(tmp_path / "second", SECOND, reuse=[str(first), str(scratch.folder)])
    assert carried_out == []


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGE = {
    "a bit of the weights": lambda unit: flip(unit / "seed-1.safetensors"),
    "cut weights": lambda unit: (unit / "seed-0.safetensors").write_bytes(b""),
    "no weights": lambda unit: (unit / "seed-1.safetensors").unlink(),
    "a bit of the records": lambda unit: flip(unit / "records.jsonl"),
    "a bit of the manifest": lambda unit: flip(unit / MANIFEST),
    "an empty manifest": lambda unit: (unit / MANIFEST).write_text("{}"),
    "no manifest": lambda unit: (unit / MANIFEST).unlink(),  # as of a run by an older version
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_unit_is_computed_anew(first, tmp_path, damage):
    lent = tmp_path / "lent"
    shutil.copytree(first, lent)
    DAMAGE[damage](unit_of(lent, "train", "vae"))
    outcome = run(tmp_path / "again", FIRST, reuse=[str(lent)])
    assert cells("train") == {("vae", 0): 1, ("vae", 1): 1}
    assert computed("measure") == []
    before = records.read(first / "records.jsonl")
    assert comparable(outcome.records) == comparable(before)
    with pytest.raises(ValueError, match=r"measure: .*lent: the trained vae of seed [01] is damaged or not there"):
        measure_anew(lent, {})


def test_a_damaged_measure_is_measured_anew_and_nothing_else(first, tmp_path):
    lent = tmp_path / "lent"
    shutil.copytree(first, lent)
    flip(unit_of(lent, "measure", "ae", 0) / "strips-seed-0.npz")
    outcome = run(tmp_path / "again", FIRST, reuse=[str(lent)])
    assert {u.kind for u in carried_out} == {"measure"}
    assert cells("measure") == {("ae", 0): 4}
    assert comparable(outcome.records) == comparable(records.read(first / "records.jsonl"))


def test_a_damaged_unit_of_the_run_itself_is_computed_anew_on_resume(first, tmp_path):
    own = tmp_path / "own"
    run(own, FIRST, reuse=[str(first)])
    files = RunFiles(own)
    files.write_state(replace(files.read_state(), status="unfinished"))
    unit = unit_of(own, "train", "ae")
    weights = unit / "seed-0.safetensors"
    content = weights.read_bytes()
    weights.unlink()  # not written over: the file of `first` is the same one
    weights.write_bytes(content[:-1])
    carried_out.clear()
    outcome = run(own, FIRST, resume=True)
    assert cells("train") == {("ae", 0): 1, ("ae", 1): 1}
    assert weights.read_bytes() == content
    assert comparable(outcome.records) == comparable(records.read(first / "records.jsonl"))


def test_without_links_there_are_copies(first, tmp_path, monkeypatch):
    def refuse(*_: object) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(reuse.os, "link", refuse)
    outcome = run(tmp_path / "copied", FIRST, reuse=[str(first)])
    assert carried_out == []
    weights = next(r for r in outcome.records if r.metric == "weights" and r.model == "ae")
    assert (outcome.folder / weights.path).stat().st_nlink == 1
    assert records.file_digest(outcome.folder / weights.path) == weights.sha256


def test_what_was_made_otherwise_is_said(first, tmp_path):
    lent = tmp_path / "lent"
    shutil.copytree(first, lent)
    for path in RunFiles(lent).units.iterdir():
        unit = manifest.read(path)
        rows = unit.rows()
        made = {**unit.made, "torch": "2.0", "processor": "Another"}
        manifest.write(path, made, [(part, rows[part.key]) for part in unit.parts])
    planned = plan.plan(make_run({**FIRST, "reuse": [str(lent)], "out": str(tmp_path / "again")}))
    assert [u.kind for u in planned.units] == ["time"]  # times are this machine's
    (warning,) = [w for w in planned.warnings if "another machine" in w]
    assert "(torch 2.0, Another)" in warning


def test_changed_code_is_another_part(first, tmp_path, monkeypatch):
    asked = make_run({**FIRST, "reuse": [str(first)], "out": str(tmp_path / "again")})
    assert plan.plan(asked).units == ()
    before = parts.code
    monkeypatch.setattr(parts, "code", lambda name: before(name) + "x" * name.endswith("metrics.divergence"))
    planned = plan.plan(asked)
    assert {(p.metric, u.kind) for u in planned.units for p in u.parts} == {("kl", "measure"), ("kl", "reference")}
    monkeypatch.setattr(parts, "code", lambda name: before(name) + "x" * name.endswith("models.vae"))
    planned = plan.plan(asked)
    assert {p.model for u in planned.units for p in u.parts if p.kind != "time"} == {"vae"}
    assert planned.trained_before == (("ae", 0), ("ae", 1))


def test_measure_trains_nothing(first, scratch, tmp_path, monkeypatch):
    lent = tmp_path / "lent"
    shutil.copytree(first, lent)
    before = parts.code  # trained by another version: still what is to be measured
    monkeypatch.setattr(parts, "code", lambda name: before(name) + "x" * (name == parts.TRAINING))
    asked, trained = measure_anew(lent, {"metrics": "r2,mse"})
    assert (asked.out, asked.seeds, asked.reuse) == (f"{lent}-measured", (0, 1), (str(lent),))
    outcome = execute(asked, ["measure"], progress=False, page=Blank(), trained=trained)
    # The step that training takes is another one too, so it is timed anew.
    assert {u.kind for u in carried_out} == {"reference", "measure", "time"}
    assert {p.metric for p in computed("reference")} == {"r2"}
    assert {p.metric for p in computed("measure")} == {"r2", ""}  # pictures without a judge: no metric asks for one
    for name in ("r2", "mse"):
        mine, theirs = (
            {(r.model, r.seed, r.split): r.value for r in rows if r.metric == name and r.is_model}
            for rows in (outcome.records, scratch.records)
        )
        assert mine
        assert mine.items() <= theirs.items()
    assert RunFiles(lent).records.read_bytes() == RunFiles(first).records.read_bytes()


def test_what_cannot_be_measured_anew_is_refused_in_one_line(first, tmp_path):
    with pytest.raises(ValueError, match=r"measure: .*nowhere is not a finished run's folder: it does not exist"):
        measure_anew(tmp_path / "nowhere", {})
    asked, trained = measure_anew(first, {"metrics": "mes", "out": str(tmp_path / "out")})
    with pytest.raises(ValueError, match=r"unknown metric 'mes'; did you mean 'mse'"):
        execute(asked, ["measure"], progress=False, page=Blank(), trained=trained)
    asked, _ = measure_anew(first, {"out": str(tmp_path / "out")})
    with pytest.raises(ValueError, match=r"measure: .*first was trained on other data: digits has changed since"):
        execute(asked, ["measure"], False, Blank(), replace(trained, dataset_sha256="ab"))
    old = tmp_path / "old"
    shutil.copytree(first, old)
    for path in RunFiles(old).units.glob(f"*/{MANIFEST}"):
        path.unlink()
    with pytest.raises(ValueError, match=r"measure: .*old: it holds no trained models that can be told to be whole"):
        measure_anew(old, {})
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("what", ["nowhere", "empty"])
def test_no_run_to_take_from_is_refused(tmp_path, what):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=rf"reuse: .*{what} cannot be taken from: "):
        plan.plan(make_run({**FIRST, "reuse": [str(tmp_path / what)]}))


JUDGED = {**SMALL, "models": "ae", "seeds": 1, "metrics": "validity.normal"}


def entries() -> list[Path]:
    return sorted(p for p in reuse.cache_folder().rglob("judge-*") if p.is_dir())


def test_a_judge_is_trained_once_for_all_runs_on_the_same_data(tmp_path):
    one = run(tmp_path / "one", JUDGED)
    assert len(computed("judge")) == len(entries()) == 1
    carried_out.clear()
    two = run(tmp_path / "two", {**JUDGED, "models": "vae"})
    assert computed("judge") == []
    assert two.reused.cells == two.reused.measures == 0

    def judged(outcome: Outcome) -> list[Record]:
        return [r for r in comparable(outcome.records) if r.role == "judge"]

    assert judged(one) == judged(two) != []
    # Whole by itself, whatever becomes of the cache.
    shutil.rmtree(reuse.cache_folder())
    weights = [r for r in two.records if r.role == "judge" and r.metric == "weights"]
    assert len(weights) == 2
    assert all(records.file_digest(two.folder / r.path) == r.sha256 for r in weights)
    carried_out.clear()
    run(tmp_path / "three", {**JUDGED, "split_seed": 1})  # other data
    assert len(computed("judge")) == 1


@pytest.mark.parametrize("damage", ["bit", "cut", "gone", "manifest"])
def test_a_damaged_judge_is_trained_anew_and_kept_anew(tmp_path, damage, recwarn):
    run(tmp_path / "one", JUDGED)
    (entry,) = entries()
    path = entry / (MANIFEST if damage == "manifest" else "judge.safetensors")
    content = path.read_bytes()
    path.unlink()  # not written over: the file of the run is the same one
    if damage != "gone":
        path.write_bytes(content[: len(content) // 2] if damage == "cut" else content)
    if damage in ("bit", "manifest"):
        flip(path)
    carried_out.clear()
    run(tmp_path / "two", {**JUDGED, "models": "vae"})
    assert len(computed("judge")) == 1
    assert entries() == [entry]
    for name in ("judge.safetensors", "judge-second.safetensors"):
        assert (entry / name).read_bytes() == (unit_of(tmp_path / "one", "judge") / name).read_bytes()
    assert manifest.read(entry).is_whole
    assert not [w for w in recwarn if "judge" in str(w.message)]


def test_no_cache_leaves_it_alone(tmp_path):
    run(tmp_path / "one", JUDGED, cache=False)
    assert not reuse.cache_folder().exists()
    run(tmp_path / "two", JUDGED)
    (entry,) = entries()
    before = {p: p.stat().st_mtime_ns for p in entry.iterdir()}
    carried_out.clear()
    run(tmp_path / "three", {**JUDGED, "models": "vae"}, cache=False)
    assert len(computed("judge")) == 1
    assert {p: p.stat().st_mtime_ns for p in entry.iterdir()} == before


def test_another_torch_or_processor_has_a_judge_of_its_own(tmp_path, monkeypatch):
    run(tmp_path / "one", JUDGED)
    made = manifest.here("cpu")
    for what in ("torch", "processor"):
        monkeypatch.setattr(manifest, "here", lambda device, what=what: {**made, what: "other"})
        carried_out.clear()
        run(tmp_path / what, {**JUDGED, "models": "vae"})
        assert len(computed("judge")) == 1
    assert len(entries()) == 3


def test_a_cache_that_cannot_be_written_is_none(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.delenv(reuse.CACHE_VARIABLE)
    monkeypatch.setattr(reuse, "user_cache_path", lambda *_, **__: tmp_path / "file")
    assert len(run(tmp_path / "one", JUDGED).records) > 10


def test_the_cache_is_the_users_unless_named(monkeypatch, tmp_path):
    assert reuse.cache_folder() == tmp_path / "cache"
    monkeypatch.delenv(reuse.CACHE_VARIABLE)
    assert "latentbench" in reuse.cache_folder().parts


def test_a_manifest_says_what_the_folder_holds(first):
    unit = manifest.read(unit_of(first, "train", "vae"))
    assert [(p.model, p.seed) for p in unit.parts] == [("vae", 0), ("vae", 1)]
    assert set(unit.files) == {"records.jsonl", "seed-0.safetensors", "seed-1.safetensors"}
    assert unit.made == manifest.here("cpu")
    rows = unit.rows()
    assert {r.seed for p in unit.parts for r in rows[p.key] if p.seed == 1} == {1}
    row = json.loads((unit.folder / MANIFEST).read_text())
    assert set(row) == {"parts", "files", "made", "sha256"}
