"""A run computed in shards, as by a batch system, and put together: the same records, no unit twice, nobody waits in vain."""

from __future__ import annotations

import json
import threading
import time
import warnings
from pathlib import Path
from typing import ClassVar

import pytest
from test_executor import Blank, InThisProcess, comparable

from latentbench.cli.app import main
from latentbench.config import make_run
from latentbench.run_folder import MAKING, MANIFEST, RunFiles, RunState, host
from latentbench.running import at_work, plan, shards, worker
from latentbench.running.execute import execute
from latentbench.running.parts import BLOCK
from latentbench.running.plan import Planned
from latentbench.running.schedule import UnitSchedule
from latentbench.running.shards import Deal, whole_run
from latentbench.running.unit import Part, Unit

TINY = {
    "models": "ae,vae",
    "seeds": 4,
    "epochs": 1,
    "latent_dim": 2,
    "width": 8,
    "metrics": "mse,kl",
    "device": "cpu",
    "cache": False,
    "quiet": True,
}
OF = 3


class Counting(InThisProcess):
    """Says which units it was handed."""

    handed: ClassVar[list[str]] = []

    def submit(self, unit: Unit) -> None:
        Counting.handed.append(unit.folder)
        super().submit(unit)


@pytest.fixture
def in_this_process(monkeypatch):
    Counting.handed = []
    monkeypatch.setattr(plan, "find_executor", lambda *_: Counting)
    monkeypatch.setattr(shards, "PAUSE", 0.02)


def carry_out(out: Path, **more: object):
    return execute(make_run({**TINY, "out": str(out), **more}), ["run"], progress=False, page=Blank())


def planned_for(out: Path, **more: object) -> Planned:
    return plan.plan(make_run({**TINY, "out": str(out), **more}))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The run carried out at once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "find_executor", lambda *_: InThisProcess)
        return carry_out(tmp_path_factory.mktemp("whole") / "out")


def test_shards_give_the_records_of_the_whole_run_and_no_unit_is_done_twice(tmp_path, in_this_process, whole):
    out, files = tmp_path / "out", RunFiles(tmp_path / "out")
    todo = [f"{k}/{OF}" for k in range(1, OF + 1)]
    rounds = 0
    while todo:  # one after another: what a shard needs of a later one is missing, and said to be
        rounds += 1
        assert rounds <= OF
        again = []
        for name in todo:
            shard = carry_out(out, shard=name).shard
            assert not shard.failed
            assert bool(shard.missing) is bool(shard.awaited) is not shard.is_whole
            assert int(name.partition("/")[0]) not in shard.awaited
            again += [] if shard.is_whole else [name]
        assert len(again) < len(todo)
        todo = again
    assert len(Counting.handed) == len(set(Counting.handed)) == len(list(files.units.glob(f"*/{MANIFEST}")))
    assert rounds > 1
    together = carry_out(out, assemble=True)
    assert comparable(together.records) == comparable(whole.records)
    state = files.read_state()
    assert (state.status, state.about["command"]) == ("finished", "latentbench run")
    assert [p.name for p in out.rglob(".*")] == []
    again = carry_out(out, shard="2/3")  # of a finished run there is nothing to do
    assert (again.finished_before, len(again.records)) == (True, len(together.records))


def test_shards_at_work_at_once_wait_for_each_other(tmp_path, in_this_process, whole):
    out, outcomes = tmp_path / "out", {}
    # Every shard is at work before the first unit is begun: none ends because another has not started yet.
    ready, begin = threading.Barrier(OF), shards._Shard.__init__

    def meet(self, *args):
        begin(self, *args)
        ready.wait(60)

    def one(name: str) -> None:
        outcomes[name] = carry_out(out, shard=name).shard

    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        patch.setattr(shards._Shard, "__init__", meet)
        threads = [threading.Thread(target=one, args=(f"{k}/{OF}",), daemon=True) for k in range(1, OF + 1)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
    assert {name: shard.is_whole for name, shard in outcomes.items()} == {f"{k}/{OF}": True for k in range(1, OF + 1)}
    assert len(Counting.handed) == len(set(Counting.handed))
    assert comparable(carry_out(out, assemble=True).records) == comparable(whole.records)


@pytest.mark.parametrize("more", [{}, {"seeds": 10, "splits": 2}, {"models": "ae,ae:latent_dim=3,vae", "seeds": 7}])
def test_a_unit_belongs_to_one_shard_whatever_was_done_before(tmp_path, more):
    asked = planned_for(tmp_path / "out", metrics="mse,validity.normal", **more)
    homes = {part.key: Deal(asked, 4).shard(unit) for unit in asked.units for part in unit.parts}
    assert set(homes.values()) == {1, 2, 3, 4}
    for unit in asked.units:
        if unit.kind in ("train", "measure"):
            assert {homes[p.key] for p in unit.parts} == {homes[unit.parts[0].key]}
    weights = {p.key: homes[p.key] for u in asked.units if u.kind == "train" for p in u.parts}
    measures = [p for u in asked.units if u.kind == "measure" for p in u.parts]
    assert measures
    assert all(homes[p.key] == weights[p.weights[0]] for p in measures)
    counts = [list(homes.values()).count(k) for k in range(1, 5)]
    assert max(counts) <= sum(counts) / 2
    done = {p.key for unit in asked.units[::2] for p in unit.parts}
    parts, blocks = [p for p in asked.parts if p.key not in done], {p.key for u in asked.units for p in u.parts[:1]}
    for kind, group in plan._groups(parts, BLOCK["cpu"]) if not more.get("splits") else ():
        assert group[0].key in blocks, kind  # the same units, not others made of what is left


def test_a_unit_that_fails_is_told_to_those_who_wait_and_tried_again_when_asked(tmp_path, in_this_process, monkeypatch):
    out, files = tmp_path / "out", RunFiles(tmp_path / "out")
    perform, broken = worker.perform, True

    def some_fail(unit, listen):
        if broken and unit.kind == "train" and unit.models[0].text == "ae":
            raise ValueError("no luck")
        perform(unit, listen)

    monkeypatch.setattr(worker, "perform", some_fail)
    names = [f"{k}/2" for k in (1, 2)]
    outcomes = [carry_out(out, shard=name).shard for name in names * 3]
    assert any("no luck" in reason for shard in outcomes for reason in shard.failed.values())
    assert not any(shard.missing for shard in outcomes[-2:])  # nobody waits for what has failed
    together = carry_out(out, assemble=True)
    assert together.failed >= TINY["seeds"]
    assert files.read_state().status == "unfinished"
    failed = {(r.model, r.reason) for r in together.records if r.status == "failed"}
    assert failed == {("ae", "no luck")}
    broken = False
    for name in names * 3:
        outcome = carry_out(out, shard=name)
    assert outcome.shard.is_whole
    assert carry_out(out, assemble=True).failed == 0
    assert [p.name for p in out.rglob(".*")] == []


def test_one_is_at_work_on_a_shard_and_nobody_on_a_run_whose_shards_are(tmp_path, in_this_process):
    out, files = tmp_path / "out", RunFiles(tmp_path / "out")
    files.make()
    files.write_state(unfinished(planned_for(out)))
    with at_work.one_shard(files, 1, 2):
        assert at_work.is_held(files.shard_lock(1, 2))
        for more in ({"resume": True}, {"assemble": True}):
            with pytest.raises(ValueError, match=r"out: shard 1/2 of the run is at work on .*; wait for it"):
                carry_out(out, **more)
    with at_work.alone(files), pytest.raises(ValueError, match="out: another process is at work on"):
        carry_out(out, shard="2/2")
    assert not at_work.is_held(files.lock)
    files.shard_lock(2, 2).touch()  # of one that was killed
    assert not at_work.is_held(files.shard_lock(2, 2))
    assert Counting.handed == []


def test_who_looks_while_others_come_and_go_sees_neither_a_run_nor_somebody_at_work(tmp_path):
    """Shards of a batch system start at once: one's lock appears while another looks at what lies in the folder."""
    files, over = RunFiles(tmp_path), threading.Event()
    files.make()
    left = files.shard_lock(3, 3)
    left.touch()  # of one that was killed, and looked at by two

    def come_and_go() -> None:
        while not over.is_set():
            for number in (1, 2):
                files.shard_lock(number, 3).touch()
                (tmp_path / f".run.json.{number}").touch()
            for number in (1, 2):
                files.shard_lock(number, 3).unlink()
                (tmp_path / f".run.json.{number}").unlink()

    def look() -> None:
        while not over.is_set():
            at_work.is_held(left)
            time.sleep(0.002)

    others = [threading.Thread(target=one, daemon=True) for one in (come_and_go, look)]
    for other in others:
        other.start()
    try:
        assert [k for k in range(500) if not files.is_blank] == []
        assert [k for k in range(500) if at_work.is_held(left)] == []
    finally:
        over.set()
        for other in others:
            other.join()


def unfinished(planned: Planned):
    return RunState(planned.run.id, "unfinished", planned.dataset.sha256)


def test_cleaning_on_one_machine_leaves_what_another_makes(tmp_path):
    files = RunFiles(tmp_path)
    made, gone = files.make(), 2**22 + 1
    mine, theirs = f"{MAKING}train-1-{host()}-{gone}", f"{MAKING}train-1-elsewhere-{gone}"
    for name in (mine, theirs, f"{MAKING}train-2-{host()}-1", "train-3"):
        (made / name).mkdir()
    files.clear_own()
    assert sorted(p.name for p in made.iterdir()) == sorted([theirs, f"{MAKING}train-2-{host()}-1", "train-3"])
    files.clear()
    assert [p.name for p in made.iterdir()] == ["train-3"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--shard", "0/3"], "shard: '0/3' is not allowed: write I/N"),
        (["--shard", "4/3"], "shard: '4/3' is not allowed"),
        (["--shard", "3"], "shard: '3' is not allowed"),
        (["--shard", "1/2", "--assemble"], "assemble: not with shard 1/2"),
        (["--assemble"], "holds no run; begin it with --shard 1/N"),
        (["--address", "auto"], "address: 'auto' is not allowed: the executor 'local' takes none; add --executor ray"),
        (["--address", "head"], "address: 'head' is not allowed: write auto, or HOST:PORT"),
        (["--out", "s3://bucket/run"], "out: 's3://bucket/run' is not allowed: name a folder of a file system"),
        (["--address", "head:0"], "address: 'head:0' is not allowed: 0 is no port"),
        (["--address", "ray://head:1"], "address: 'ray://head:1' is not allowed"),
    ],
)
def test_what_cannot_be_asked_for_is_refused_in_one_line(tmp_path, capsys, words, told):
    assert main(["run", *[f"--{k.replace('_', '-')}={v}" for k, v in TINY.items() if k not in ("cache", "quiet")],
                 f"--out={tmp_path / 'out'}", *words]) == 2  # fmt: skip
    lines = [line for line in capsys.readouterr().err.splitlines() if "note:" not in line]
    assert len(lines) == 1
    assert told in lines[0]
    assert not (tmp_path / "out").exists()


def test_the_command_says_what_is_missing_and_ends_with_3(tmp_path, capsys, in_this_process):
    words = ["run", "--models=ae", "--seeds=1", "--epochs=1", "--latent-dim=2", "--width=8", "--metrics=mse", "--device=cpu",
             "--no-cache", f"--out={tmp_path / 'out'}"]  # fmt: skip
    assert main([*words, "--shard", "2/2", "--quiet"]) in (0, 3)
    assert main([*words, "--assemble", "--quiet"]) == 3
    error = capsys.readouterr().err
    assert "assemble: not there: artifacts/" in error
    assert "--resume in place of --assemble" in error
    assert main([*words, "--assemble", "--json"]) == 3
    assert json.loads(capsys.readouterr().out)["missing"]


def test_the_words_of_the_whole_run():
    assert whole_run(["run", "--shard", "3/16", "--seeds", "2", "--shard=1/2", "--assemble"]) == ["run", "--seeds", "2"]


def chain(count: int) -> list[Unit]:
    """Units in threes: one, one that needs it, and one at the end that needs all."""
    run, out = make_run({}), []

    def unit(kind: str, key: str, *needs: Unit) -> Unit:
        parts = (Part(key=key, kind=kind),)
        return Unit(
            kind=kind,
            parts=parts,
            root="",
            run=run,
            dataset_sha256="",
            device="cpu",
            needs=tuple(n.folder for n in needs),
        )

    for k in range(count):
        train = unit("train", f"t{k}")
        out += [train, unit("measure", f"m{k}", train)]
    return [*out, unit("time", "all", *out)]


def test_units_come_in_the_order_of_the_plan_once_their_needs_are_done():
    units = chain(3)
    schedule, taken = UnitSchedule(units), []
    while schedule.left:
        while schedule.ready:
            taken.append(schedule.take())
        for unit in list(taken):
            schedule.finished(unit.folder)
    assert [u.parts[0].key for u in taken] == ["t0", "t1", "t2", "m0", "m1", "m2", "all"]


def test_what_needs_a_failed_unit_fails_with_it_unless_it_makes_do():
    units = chain(2)
    schedule = UnitSchedule(units)
    first = schedule.take()
    assert schedule.finished(first.folder, "broken") == [units[1].folder]
    assert schedule.failed == {units[0].folder: "broken", units[1].folder: "broken"}
    assert schedule.given_up == {units[1].folder}
    schedule.finished(schedule.take().folder)
    schedule.finished(schedule.take().folder)
    assert schedule.take().kind == "time"  # of the models that there are
    assert not schedule.left


def test_units_of_somebody_else_are_waited_for():
    units = chain(1)
    schedule = UnitSchedule(units[1:], [units[0].folder])
    assert (schedule.ready, schedule.left) == (False, True)
    assert {unit.kind: needs for unit, needs in schedule.missing()} == {
        "measure": [units[0].folder],
        "time": [units[0].folder],
    }
    schedule.finished(units[0].folder)
    assert schedule.take().kind == "measure"


def test_scheduling_is_linear_in_the_units():
    """Steps, not seconds: needs looked at are as many as there are."""
    units = chain(5000)
    schedule, looked, last = UnitSchedule(units), 0, None
    waited_for = schedule._waited_for
    assert sum(map(len, waited_for.values())) == sum(len(u.needs) for u in units) == 15_000
    while schedule.ready:
        last = schedule.take()
        looked += len(waited_for[last.folder])
        schedule.finished(last.folder)
    assert (looked, last.kind, schedule.left) == (15_000, "time", False)
