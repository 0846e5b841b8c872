"""An executor of one's own: one file, found by its name, and the run's records are the same."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
import torch

from latentbench.config import make_run
from latentbench.records import Record
from latentbench.run_folder import RunFiles
from latentbench.running import executor, worker
from latentbench.running.execute import execute
from latentbench.running.executor import find_executor
from latentbench.running.local_pool import Pool
from latentbench.running.unit import Listen, Unit

SMALL = {
    "models": "ae,vae",
    "seeds": 1,
    "epochs": 1,
    "latent_dim": 2,
    "width": 8,
    "metrics": "mse,kl,hole",
    "device": "cpu",
}
NOT_CALLABLE = 7


ONE_AT_A_TIME = threading.Lock()
"""Weights are drawn from torch's own generator, which the threads of a process share."""


class InThisProcess:
    """Carries out units one after another where it stands; two may wait."""

    def __init__(self, workers: int, jobs: Path, listen: Listen) -> None:
        self.listen, self.waiting, self.carried_out = listen, [], []
        opened.append(self)
        assert jobs.is_dir()
        assert workers >= 1

    @property
    def idle(self) -> bool:
        return len(self.waiting) < 2

    @property
    def busy(self) -> bool:
        return bool(self.waiting)

    def submit(self, unit: Unit) -> None:
        self.waiting.append(json.dumps(unit.to_json()))

    def next_finished(self) -> tuple[Unit, str]:
        unit = Unit.from_json(json.loads(self.waiting.pop(0)))
        self.carried_out.append(unit.folder)
        try:
            with ONE_AT_A_TIME:
                worker.perform(unit, self.listen)
        except Exception as error:
            return unit, str(error)
        return unit, ""

    def __enter__(self) -> InThisProcess:
        # As a worker does: a sum over more threads has other last digits.
        torch.set_flush_denormal(True)
        self.threads = torch.get_num_threads()
        torch.set_num_threads(1)
        return self

    def __exit__(self, *_: object) -> None:
        torch.set_flush_denormal(False)
        torch.set_num_threads(self.threads)


opened: list[InThisProcess] = []


class Blank:
    """A page that says nothing; ``handed``: how many units waited when it was loaded, as often as it was."""

    def __init__(self) -> None:
        self.handed: list[int] = []

    def load(self) -> None:
        self.handed.append(len(opened[-1].waiting) if opened else 0)

    def write(self, folder: Path, lang: str) -> Path:
        assert RunFiles(folder).read_state().status == "unfinished"  # not yet: the page is part of it
        RunFiles(folder).page.write_text(lang)
        return RunFiles(folder).page


@pytest.fixture
def plug_ins(monkeypatch):
    names = {"toy": "InThisProcess", "seven": "NOT_CALLABLE", "gone": "NoSuchThing"}
    points = [EntryPoint(name, f"{__name__}:{value}", executor.GROUP) for name, value in names.items()]
    monkeypatch.setattr(executor, "entry_points", lambda group: points if group == executor.GROUP else [])


def comparable(rows: list[Record]) -> list[Record]:
    """Records without clocks and timings."""
    kept = [replace(r, detail={} if r.kind == "run" else r.detail) for r in rows if not r.is_timing]
    return [replace(r, environment="") for r in kept]


def test_the_same_run_by_another_executor_gives_the_same_records(tmp_path, plug_ins):
    opened.clear()
    local = execute(make_run({**SMALL, "out": str(tmp_path / "local")}), ["run"], progress=False, page=Blank())
    page = Blank()
    toy = execute(
        make_run({**SMALL, "out": str(tmp_path / "toy"), "executor": "toy"}), ["run"], progress=False, page=page
    )
    assert page.handed == [2], "what draws the page is loaded while the first units are at work, and once"
    assert comparable(toy.records) == comparable(local.records)
    assert {r.run for r in toy.records} == {r.run for r in local.records}
    assert any(r.metric == "hole" and r.status == "ok" for r in toy.records)
    (one,) = opened
    assert len(one.carried_out) == len(set(one.carried_out)) == 7
    assert one.carried_out[-1].startswith("artifacts/time-")
    for outcome in (local, toy):
        files = RunFiles(outcome.folder)
        assert files.read_state().status == "finished"
        assert outcome.report.read_text() == "en"
        assert not files.jobs.exists()
        assert not files.lock.exists()


def test_executors_are_found_by_name(plug_ins):
    assert find_executor("local") is Pool
    assert find_executor("toy") is InThisProcess
    with pytest.raises(ValueError, match=r"unknown executor 'locla'; did you mean 'local'\? \(allowed: gone, local, "):
        find_executor("locla")
    with pytest.raises(ValueError, match=r"executor 'gone' .* cannot be loaded: .*NoSuchThing"):
        find_executor("gone")
    with pytest.raises(ValueError, match=r"executor 'seven' .* is a int, not callable"):
        find_executor("seven")
