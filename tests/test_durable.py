"""Nothing that was finished is lost: power cuts at every write, damage of every kind to every file, lost pages and states."""

from __future__ import annotations

import os
import shutil
import stat
import warnings
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from counts import note
from test_executor import InThisProcess
from test_reuse import flip

import latentbench as lb
from latentbench import records, report
from latentbench.config import make_run
from latentbench.files import durable
from latentbench.measuring import timing
from latentbench.measuring.judge import train_judge
from latentbench.run_folder import MANIFEST, RunFiles
from latentbench.running import manifest, plan, worker
from latentbench.running.assemble import Outcome
from latentbench.running.execute import execute
from latentbench.running.unit import Unit

ASKED = {"models": "ae,vae", "seeds": 1, "epochs": 1, "latent_dim": 2, "width": 8, "device": "cpu", "cache": False,
         "metrics": "mse,validity.normal"}  # fmt: skip

computed: list[str] = []
"""The units that were computed since the list was cleared."""


class Counting(InThisProcess):
    """Notes every unit that it is given."""

    def submit(self, unit: Unit) -> None:
        computed.append(unit.path.name)
        super().submit(unit)


@pytest.fixture(scope="module", autouse=True)
def quick():
    """Real judges of few steps, and no times."""
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        patch.setattr(plan, "find_executor", lambda *_: Counting)
        patch.setattr(worker.judges, "train_judge", partial(train_judge, steps=20))
        patch.setattr(timing, "time_models", lambda *_, **__: [])
        yield


def run(out: Path, **more) -> Outcome:
    computed.clear()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return execute(make_run({**ASKED, "out": str(out), **more}), ["run"], progress=False, page=report)


@pytest.fixture(scope="module")
def first(tmp_path_factory) -> Path:
    return run(tmp_path_factory.mktemp("runs") / "first").folder


@pytest.fixture
def own(first, tmp_path) -> Path:
    return Path(shutil.copytree(first, tmp_path / first.name))  # a page names its files after its folder


def content(folder: Path) -> dict[str, object]:
    """All files of a run folder: bytes, but records without what may differ between equal runs."""
    out: dict[str, object] = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        name = str(path.relative_to(folder))
        if path.name == records.__name__ or path.suffix == ".jsonl":
            rows = [r for r in records.read(path) if not r.is_timing]
            out[name] = [replace(r, environment="", detail={} if r.kind == "run" else r.detail) for r in rows]
        elif path.name == MANIFEST:
            unit = manifest.read(path.parent)
            out[name] = (list(unit.parts), sorted(unit.files))
        elif path.name not in ("run.json", "report.html", "summary.md", "results.csv"):
            out[name] = path.read_bytes()
        else:
            out[name] = "there"
    return out


class Disk:
    """What would be left of a folder if the power failed now: the content of files that were synced as they were then,
    under the names that their folder had when *it* was synced."""

    def __init__(self, root: Path) -> None:
        self.root, self.held = root, []
        self.files: dict[int, bytes] = {}
        self.folders: dict[int, dict[str, tuple[int, bool]]] = {}
        root.mkdir()
        self.folders[root.stat().st_ino] = {}

    def synced(self, handle: int) -> None:
        self.held.append(os.dup(handle))  # no other file may get its number
        info = os.fstat(handle)
        if stat.S_ISDIR(info.st_mode):
            self.folders[info.st_ino] = {e.name: (e.inode(), e.is_dir()) for e in os.scandir(handle)}
        else:
            self.files[info.st_ino] = Path(f"/proc/self/fd/{handle}").read_bytes()

    def left(self, target: Path, names_survive: bool) -> Path:
        """A copy of what is left. ``names_survive``: the disk has all names, also unsynced ones, of files whose content it
        never had and which are empty now."""
        target.mkdir()
        if names_survive:
            self._now(self.root, target)
        else:
            self._then(self.root.stat().st_ino, target)
        return target

    def _now(self, place: Path, target: Path) -> None:
        for entry in os.scandir(place):
            if entry.is_dir():
                (target / entry.name).mkdir()
                self._now(Path(entry.path), target / entry.name)
            else:
                (target / entry.name).write_bytes(self.files.get(entry.inode(), b""))

    def _then(self, number: int, target: Path) -> None:
        for name, (inode, is_folder) in self.folders.get(number, {}).items():
            if is_folder:
                (target / name).mkdir()
                self._then(inode, target / name)
            else:
                (target / name).write_bytes(self.files.get(inode, b""))


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="asks Linux which file a number is")
def test_no_finished_unit_is_lost_to_a_power_cut_at_any_write(first, tmp_path, monkeypatch):
    """The power fails before and after every sync and every rename; of all that was written only what was synced is left."""
    (tmp_path / "disk").mkdir()
    disk = Disk(tmp_path / "disk" / "run")
    left: list[tuple[Path, frozenset[str], bool]] = []
    finished: set[str] = set()
    over = [False]

    def cut() -> None:
        for names_survive in (False, True):
            place = tmp_path / f"left-{len(left)}"
            left.append((disk.left(place, names_survive), frozenset(finished), over[0]))

    def fsync(handle: int, sync=os.fsync) -> None:
        cut()
        sync(handle)
        disk.synced(handle)
        cut()

    def moved(source, target, move) -> None:
        cut()
        move(source, target)
        cut()

    def perform(unit: Unit, listen, perform=worker.perform) -> None:
        perform(unit, listen)
        finished.add(unit.path.name)

    with monkeypatch.context() as patch:
        patch.setattr(durable.os, "fsync", fsync)
        patch.setattr(durable.os, "rename", partial(moved, move=os.rename))
        patch.setattr(durable.os, "replace", partial(moved, move=os.replace))
        patch.setattr(worker, "perform", perform)
        run(disk.root)
        over[0] = True
        cut()
    for handle in disk.held:
        os.close(handle)
    assert len(finished) == 8
    assert len(left) > 300
    for place, done, _ in left:
        units = RunFiles(place).units
        for name in done:
            unit = manifest.read(units / name)
            assert unit is not None, (place.name, name)
            assert unit.is_whole, (place.name, name)
        # Whatever has a unit's name is whole, also where it was not yet said to be finished.
        assert all(manifest.read(p).is_whole for p in units.glob("[a-z]*-*")), place.name
        files = RunFiles(place)
        state = files.read_state()
        assert state is None or state.status == "unfinished" or files.altered(state.seal) == []
    # What was done stays done: the rest is computed, and it is the undisturbed run.
    picked = [*range(len(left) // 7, len(left) - 2, len(left) // 5), len(left) - 2, len(left) - 1]
    for number in picked:
        place, done, is_over = left[number]
        run(place, resume=True)
        assert not done & set(computed), number
        assert content(place) == content(first), number
        if is_over:
            assert computed == []


def test_equal_runs_give_equal_bytes(first, tmp_path):
    again = run(tmp_path / "again").folder
    assert content(again) == content(first)
    for path in first.rglob("*.*"):
        if path.suffix in (".npz", ".safetensors"):
            assert (again / path.relative_to(first)).read_bytes() == path.read_bytes()


DAMAGE = {
    "a bit": flip,
    "cut": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "emptied": lambda path: path.write_bytes(b""),
    "gone": lambda path: path.unlink(),
    "garbage": lambda path: path.write_bytes(b"\xff\x00" * 700),
}
KINDS = ("judge", "train", "measure", "reference", "map", "time")


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_finished_runs_damaged_unit_is_computed_anew_by_the_same_command(first, own, damage):
    """Every kind of file of every kind of unit, one after another on the same folder."""
    before = content(first)
    seen = set()
    for kind in KINDS:
        unit = sorted(RunFiles(own).units.glob(f"{kind}-*"))[0]
        for path in sorted(unit.iterdir()):
            what = (kind, path.name if path.name in ("records.jsonl", MANIFEST) else path.suffix)
            if not path.stat().st_size or what in seen or (damage != "a bit" and kind not in ("train", "judge")):
                continue
            seen.add(what)
            DAMAGE[damage](path)
            with pytest.raises(ValueError, match=r"is damaged|cannot be read|is gone"):
                _use(own, unit, path.name)
            outcome = run(own)
            assert computed == [unit.name], what
            assert not outcome.finished_before
            assert content(own) == before, what
            note("damage", file=f"{what[1]} of a unit", of=kind, damage=damage, then="computed anew")
    assert seen >= {(k, n) for k in ("train", "judge") for n in ("records.jsonl", MANIFEST, ".safetensors")}
    assert run(own).finished_before


def _use(own: Path, unit: Path, name: str) -> None:
    there = manifest.read(unit)
    if there is None:
        raise ValueError("is gone")
    there.check(name)


def test_damaged_weights_and_weights_elsewhere_are_not_loaded(own, tmp_path):
    rows = records.read(RunFiles(own).records)
    weights = next(r for r in rows if r.metric == "weights" and r.model == "ae")
    assert lb.load(own, "ae") is not None
    RunFiles(own).state.unlink()  # no seal: what other versions wrote
    outside = tmp_path / "outside.safetensors"
    shutil.copy(own / weights.path, outside)
    swapped = [replace(r, path="../outside.safetensors") if r == weights else r for r in rows]
    RunFiles(own).write_records(swapped)
    with pytest.raises(ValueError, match="names weights outside the run folder"):
        lb.load(own, "ae")
    RunFiles(own).write_records(rows)
    flip(own / weights.path)
    with pytest.raises(ValueError, match="is not the file that was recorded"):
        lb.load(own, "ae")
    (own / weights.path).unlink()
    with pytest.raises(ValueError, match="cannot be read: No such file"):
        lb.load(own, "ae")


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("name", ["records.jsonl", "report.html", "summary.md", "results.csv"])
def test_a_lost_file_of_a_finished_run_is_put_together_again(own, name, damage):
    before = {p.name: p.read_bytes() for p in own.iterdir() if p.is_file()}
    DAMAGE[damage](own / name)
    if name == "records.jsonl" and damage != "gone":
        with pytest.raises(ValueError, match="is not what the run wrote"):
            report.write(own)
    run(own)
    assert computed == []
    assert {p.name: p.read_bytes() for p in own.iterdir() if p.is_file()} == before
    note("damage", file=name, of="run", damage=damage, then="put together again")
    assert run(own).finished_before


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_torn_state_of_a_finished_run_is_written_anew(first, own, damage):
    DAMAGE[damage](RunFiles(own).state)
    run(own)
    assert computed == []
    assert content(own) == content(first)
    state = RunFiles(own).read_state()
    assert (state.id, state.status) == (RunFiles(first).read_state().id, "finished")
    note("damage", file="run.json", of="run", damage=damage, then="put together again")


def test_a_torn_state_of_another_or_an_unfinished_run_is_refused_with_the_way_out(own, tmp_path):
    RunFiles(own).state.write_text("{")
    with pytest.raises(ValueError, match=r"holds another run, its run\.json lost; choose a new folder"):
        run(own, models="ae")
    shutil.rmtree(next(RunFiles(own).units.glob("train-*")))
    with pytest.raises(ValueError, match=r"unfinished, its run\.json lost; add --resume"):
        run(own)
    run(own, resume=True)
    assert [name.split("-")[0] for name in computed] == ["train"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "run.json").write_text("{")
    with pytest.raises(ValueError, match="is not an empty folder; choose a new one"):
        run(tmp_path / "mine")


def test_what_a_run_leaves_that_was_killed_at_once_is_no_obstacle(tmp_path):
    files = RunFiles(tmp_path / "killed")
    (files.make() / ".making-jobs").mkdir()
    files.lock.touch()
    (files.path / ".run.json.7-abcd").write_text("{")
    run(files.path, models="ae", metrics="mse")
    assert not list(files.path.rglob(".*"))


def test_a_loss_that_other_code_would_fill_is_refused(own, monkeypatch):
    state = RunFiles(own).read_state()
    RunFiles(own).write_state(replace(state, seal=replace(state.seal, plan="before")))
    assert run(own).finished_before  # whole: left as it is, whatever wrote it
    RunFiles(own).page.unlink()
    assert run(own).finished_before  # made of the records alone
    assert RunFiles(own).page.is_file()
    flip(next(RunFiles(own).units.glob("train-*/*.safetensors")))
    with pytest.raises(ValueError, match=r"by another version of the code, and train-\w+ is lost or damaged"):
        run(own)


def test_what_made_do_without_some_weights_is_never_found_as_the_whole(first, own, tmp_path):
    planned = plan.plan(make_run({**ASKED, "out": str(tmp_path / "o")}))
    for kind in ("map", "time"):
        unit = next(u for u in planned.units if u.kind == kind)
        root = tmp_path / kind
        shutil.copytree(RunFiles(own).units, root / "artifacts")
        shutil.rmtree(root / unit.folder)
        lost = next(u for u in planned.units if u.kind == "train")
        shutil.move(root / lost.folder, tmp_path / f"lost-{kind}")
        unit = replace(unit, root=str(root))
        torch.set_num_threads(1)
        worker.perform(unit, lambda _: None)
        kept = {p.key for p in manifest.read(unit.path).parts}
        promised = {p.key for p in unit.parts if lost.parts[0].key in p.weights}
        assert promised
        assert not kept & promised
        assert kept >= {p.key for p in unit.parts} - promised
        assert not unit.is_done
        shutil.move(tmp_path / f"lost-{kind}", root / lost.folder)
        worker.perform(unit, lambda _: None)
        assert unit.is_done
        assert {p.key for p in manifest.read(unit.path).parts} == {p.key for p in unit.parts}
