"""The kill storm sees what it is to see: it would not be worth much if every run passed."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import synthetic_run

from latentbench import records
from latentbench.run_folder import RunFiles, RunState

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="asks Linux for processes and files")
BENCHMARKS = str(Path(__file__).parents[1] / "benchmarks")


@pytest.fixture(scope="module")
def storm():
    """The script and the run it kills, as modules."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        import kill_storm
        import victim

        yield kill_storm, victim


@pytest.fixture
def finished(tmp_path):
    folder = synthetic_run.build(tmp_path / "run", synthetic_run.Synthetic(seeds=1))
    RunFiles(folder).write_state(RunState("id", "finished"))
    return folder


def points(count):
    """An undisturbed run of so many points, the last ten of which write what is put together at the end."""
    kinds = ("judge", "train", "map", "reference", "measure", "time")
    each = [f"fsync artifacts/.making-{kinds[6 * n // (count - 10)]}-0123/x" for n in range(count - 10)]
    return [(float(n), what) for n, what in enumerate([*each, *["fsync .records.jsonl.7-ab"] * 10])]


def test_moments_are_spread_over_ways_phases_and_the_whole_run(storm, tmp_path):
    script, _ = storm
    usual = script.Undisturbed(points(160), 150, {})
    asked = [script.moment(n, usual, tmp_path, tmp_path / "log") for n in range(200)]
    ways = [way for _, way, _ in asked]
    assert {way: ways.count(way) for way in ways} == {
        script.KILL: 80, script.BOTH: 30, script.AGAIN: 30, "SIGTERM": 20, "SIGINT": 20, "SIGHUP": 20,
    }  # fmt: skip
    aims = [aim for _, _, aim in asked]
    assert {aim: aims.count(aim) for aim in aims} == dict.fromkeys(script.AIMS, 50) | {"at a write": 100}
    assert len({(way, aim) for _, way, aim in asked}) == 6 * 3
    places = sorted(order.at for order, _, aim in asked if aim == "at a write")
    assert places[0] < 5
    assert places[-1] > 150
    assert max(b - a for a, b in itertools.pairwise(places)) < 8
    assert {script.phase(usual.points, n) for n in range(160)} == set(script.PHASES[1:])
    assert all(order.at >= 150 for order, _, aim in asked if aim == script.AIMS[3])


def test_a_difference_of_any_kind_is_seen(storm, finished):
    script, _ = storm
    usual = script.Undisturbed((), 0, script.content(finished))
    assert script._difference(finished, usual, {}) == ""
    rows = records.read(finished / "records.jsonl")
    at = next(k for k, r in enumerate(rows) if r.value is not None and not r.is_timing)
    changed = [*rows]
    changed[at] = replace(rows[at], value=rows[at].value + 1e-9)
    records.write(finished / "records.jsonl", changed)
    assert script._difference(finished, usual, {}) == "not as undisturbed: records.jsonl"
    timed = [replace(r, value=r.value * 2) if r.is_timing and r.value else r for r in rows]
    records.write(finished / "records.jsonl", timed)
    assert script._difference(finished, usual, {}) == ""
    picture = next((finished / "artifacts").iterdir())
    content = picture.read_bytes()
    picture.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert "not as undisturbed: artifacts/" in script._difference(finished, usual, {})
    picture.unlink()
    assert "not as undisturbed: artifacts/" in script._difference(finished, usual, {})
    assert "computed again: train-0" in script._difference(finished, usual, {"train-0": 7})
    RunFiles(finished).write_state(RunState("id", "unfinished"))
    assert script._difference(finished, usual, {}) == "not finished after --resume"


def test_a_wrong_end_is_seen(storm, tmp_path):
    script, victim = storm
    order = victim.Order(str(tmp_path), str(tmp_path / "log"), signal="SIGTERM")
    line = "latentbench: interrupted; carry on with: latentbench run --resume\n"
    assert script._wrong_end(143, order, tmp_path, line) == ""
    assert script._wrong_end(0, order, tmp_path, "") == ""
    assert "exit code 1 " in script._wrong_end(1, order, tmp_path, line)
    assert "exit code -15" in script._wrong_end(-15, order, tmp_path, "")
    assert "a traceback" in script._wrong_end(143, order, tmp_path, f"Traceback\n{line}")
    assert "the last line" in script._wrong_end(143, order, tmp_path, "bye\n")
    (tmp_path / ".lock").touch()
    assert "left .lock" in script._wrong_end(143, order, tmp_path, line)
    killed = replace(order, signal="SIGKILL")
    assert script._wrong_end(-9, killed, tmp_path, "") == ""
    assert "exit code 70" in script._wrong_end(70, killed, tmp_path, "")


def test_what_lives_on_is_counted(storm, monkeypatch):
    script, victim = storm
    monkeypatch.setattr(script, "PATIENCE", 0.5)
    mark = f"test-{os.getpid()}"
    words = [sys.executable, "-c", "import time; print(flush=True); time.sleep(60)"]
    with subprocess.Popen(words, env={**os.environ, victim.MARK: mark}, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        assert script.orphans(mark) == 1
        process.kill()
    assert script.orphans(mark) == 0


@pytest.mark.parametrize("when", ["before", "after"])
def test_the_signal_comes_at_its_point(storm, tmp_path, when, monkeypatch):
    _, victim = storm
    out = tmp_path / "out"
    out.mkdir()
    heard = []
    monkeypatch.setattr(os, "kill", lambda process, number: heard.append((process, number, (out / "two").exists())))
    monkeypatch.setenv(victim.MAIN, str(os.getpid()))
    for name in victim.CALLS:
        monkeypatch.setattr(os, name, getattr(os, name))  # put back afterwards
    watched = victim.Points(victim.Order(str(out), str(tmp_path / "log"), 1, when, 0.0, "SIGTERM"))
    watched.watch()
    for name in ("one", "two", "three"):
        (out / name).mkdir()
    (tmp_path / "elsewhere").mkdir()
    assert heard == [(os.getpid(), signal.SIGTERM, when == "after")]
    told = [what for _, what in victim.read_log(tmp_path / "log")]
    noted = ["mkdir one", "mkdir two", "mkdir three"]
    noted.insert(2, victim.SENT)
    assert told == noted
