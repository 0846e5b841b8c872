"""What the machine allows: limits of memory in a made-up tree of control groups, and variables of the environment."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from latentbench import machine
from latentbench.cli import main
from latentbench.machine import memory
from latentbench.running import executor, reuse, unit_log

GIB = 1 << 30
V1_NONE = 9223372036854771712
"""What version 1 says where there is no limit."""


def tree(root: Path, groups: str, limits: dict[str, object]) -> Path:
    """A folder with proc and sys: the process is in these ``groups``, and these files hold these limits."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(groups)
    for name, limit in limits.items():
        place = root / "sys/fs/cgroup" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(f"{limit}\n")
    return root


@pytest.fixture
def four(monkeypatch):
    """A machine with four GiB."""
    monkeypatch.setattr(machine.os, "sysconf", {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": GIB // 1024}.__getitem__)


CASES = {
    "no limit": ("0::/a/b\n", {"a/b/memory.max": "max", "a/memory.max": "max"}, 4),
    "its own": ("0::/a/b\n", {"a/b/memory.max": GIB, "a/memory.max": "max"}, 1),
    "that above is less": ("0::/a/b\n", {"a/b/memory.max": 3 * GIB, "a/memory.max": 2 * GIB}, 2),
    "only one above says": ("0::/a/b/c\n", {"a/memory.max": 2 * GIB}, 2),
    "beside it": ("0::/a/b\n", {"a/c/memory.max": GIB, "b/memory.max": GIB}, 4),
    "a container sees its own at the top": ("0::/\n", {"memory.max": 2 * GIB}, 2),
    "a container sees the host's path": ("0::/docker/1f\n", {"memory.max": 3 * GIB}, 3),
    "a path out of the container": ("0::/../../x\n", {"memory.max": 3 * GIB, "x/memory.max": GIB}, 3),
    "more than there is": ("0::/a\n", {"a/memory.max": 64 * GIB}, 4),
    "version 1": ("9:name=systemd:/\n4:cpu,memory:/job/7\n", {"memory/job/7/memory.limit_in_bytes": GIB}, 1),
    "version 1, above": ("4:memory:/job/7\n", {"memory/job/7/memory.limit_in_bytes": V1_NONE, "memory/job/memory.limit_in_bytes": 2 * GIB}, 2),
    "version 1, none": ("4:memory:/\n", {"memory/memory.limit_in_bytes": V1_NONE}, 4),
    "version 1, of processors": ("4:cpu:/job\n", {"memory/job/memory.limit_in_bytes": GIB}, 4),
    "both versions": ("4:memory:/a\n0::/b\n", {"memory/a/memory.limit_in_bytes": 3 * GIB, "unified/b/memory.max": 2 * GIB}, 2),
    "a file of something else": ("0::/a\nnothing\n", {"a/memory.max": "a lot"}, 4),
    "a name with a colon": ("0::/a:b\n", {"a:b/memory.max": GIB}, 1),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_memory_is_the_least_limit_on_the_way_up(tmp_path, four, case):
    groups, limits, expected = CASES[case]
    assert memory(tree(tmp_path, groups, limits)) == expected * GIB


def test_without_control_groups_it_is_what_the_machine_has(tmp_path, four, monkeypatch):
    assert memory(tmp_path) == 4 * GIB
    monkeypatch.delattr(machine.os, "sysconf")
    assert memory(tmp_path) == 64 * GIB


CORES = {
    "no limit": ("0::/a\n", {"a/cpu.max": "max 100000"}, 8),
    "its own": ("0::/a/b\n", {"a/b/cpu.max": "200000 100000", "a/cpu.max": "max 100000"}, 2),
    "that above is less": ("0::/a/b\n", {"a/b/cpu.max": "400000 100000", "a/cpu.max": "30000 10000"}, 3),
    "a part of a core": ("0::/a\n", {"a/cpu.max": "250000 100000"}, 3),
    "less than one": ("0::/a\n", {"a/cpu.max": "1000 100000"}, 1),
    "a container sees its own at the top": ("0::/\n", {"cpu.max": "200000 100000"}, 2),
    "more than there is": ("0::/a\n", {"a/cpu.max": "6400000 100000"}, 8),
    "version 1": ("4:cpu,cpuacct:/job\n", {"cpu,cpuacct/job/cpu.cfs_quota_us": 400000, "cpu,cpuacct/job/cpu.cfs_period_us": 100000}, 4),
    "version 1, none": ("4:cpu:/job\n", {"cpu/job/cpu.cfs_quota_us": -1, "cpu/job/cpu.cfs_period_us": 100000}, 8),
    "version 1, half said": ("4:cpu:/job\n", {"cpu/job/cpu.cfs_quota_us": 100000}, 8),
    "a file of something else": ("0::/a\n", {"a/cpu.max": "many"}, 8),
    "no period": ("0::/a\n", {"a/cpu.max": "200000 0"}, 8),
}  # fmt: skip


@pytest.fixture
def eight(monkeypatch):
    """A machine with sixteen cores, of which this process may use eight."""
    monkeypatch.setattr(machine.os, "cpu_count", lambda: 16)
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda process: set(range(8)), raising=False)


@pytest.mark.parametrize("case", CORES)
def test_cores_are_those_whose_time_may_be_taken(tmp_path, eight, case):
    groups, limits, expected = CORES[case]
    assert machine.cores(tree(tmp_path, groups, limits)) == expected


def test_where_nobody_is_bound_to_any_they_are_the_machines(tmp_path, eight, monkeypatch):
    monkeypatch.delattr(machine.os, "sched_getaffinity")
    assert machine.cores(tmp_path) == 16
    monkeypatch.setattr(machine.os, "cpu_count", lambda: None)
    assert machine.cores(tmp_path) == 1


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system binds no process to cores")
def test_a_program_bound_to_a_core_has_one():
    code = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); from latentbench import machine; print(machine.cores())"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout.split() == [b"1"]


def test_as_many_workers_are_started(monkeypatch):
    monkeypatch.setattr(machine, "cores", lambda: 3)
    assert executor.room(executor.find_executor("local")) == executor.Room(1, 3)


def test_data_and_models_are_planned_with_what_is_allowed(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(machine, "memory", lambda: 1 << 20)
    assert main(["run", "--dry-run", "--models=ae:width=512", "--out", str(tmp_path / "out")]) == 2
    assert "this machine has" in capsys.readouterr().err


VARIABLES = {
    machine.THREADS: ("0", "1025", "", "many", "1.5", "9" * 5000),
    machine.WORKERS: ("0", "1025", "", "many", "²", "9" * 5000),
    reuse.CACHE_VARIABLE: ("", " ", "a\x1bb", "x" * 5000, "/dev/null", "{tmp}/file", "{tmp}/file/below", "{tmp}/loop/below", "~nobody-of-this-name/x"),
    machine.FORK: ("", "2", "yes", "x" * 5000),
    machine.PLACEMENT: ("", "a\x1bb", "x" * 5000),
    unit_log.LOG: ("", " ", "a\x1bb", "x" * 5000, "/dev/null", "{tmp}", "{tmp}/none/below", "~nobody-of-this-name/x"),
}  # fmt: skip


@pytest.mark.parametrize("name", VARIABLES)
def test_a_variable_that_cannot_be_is_one_line_before_anything_is_begun(tmp_path, monkeypatch, capsys, name):
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for word in VARIABLES[name]:
        monkeypatch.setenv(name, word.replace("{tmp}", str(tmp_path)))
        assert main(["run", "--out", str(tmp_path / "out")]) == 2, word
        line = capsys.readouterr().err
        assert line.startswith(f"latentbench: {name}: "), line
        assert "is not allowed" in line or "cannot be found" in line
        assert line.count("\n") == 1
        assert line.strip().isprintable()
        assert len(line) <= 301
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "loop"]


def test_every_variable_of_ours_is_checked():
    """A variable that is read somewhere else is tried nowhere."""
    text = "".join(p.read_text("utf-8") for p in Path(machine.__file__).parent.rglob("*.py"))
    named = {word.strip("\"'`.,:;()") for word in text.split() if word.strip("\"'`(").startswith("LATENTBENCH_")}
    assert named == VARIABLES.keys()


def test_variables_that_can_be_are_taken(tmp_path, monkeypatch):
    monkeypatch.setenv(machine.THREADS, "3")
    monkeypatch.setenv(machine.WORKERS, "4")
    assert (machine.threads(), machine.workers()) == (3, 4)
    monkeypatch.setenv(reuse.CACHE_VARIABLE, str(tmp_path / "new" / "folder"))
    assert reuse.cache_folder() == tmp_path / "new" / "folder"
    assert not (tmp_path / "new").exists()
    monkeypatch.delenv(machine.WORKERS)
    assert machine.workers() is None
