"""A run on a real Ray cluster of two nodes on this machine: the same records, nothing lost and nothing done twice whatever is
killed, nothing left running. Run by `tox -e ray`; nothing here is skipped."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from test_executor import comparable
from test_killed import descendants, gone, heed_signals, hidden

import latentbench as lb
from latentbench import machine, records
from latentbench.config import make_run
from latentbench.run_folder import MANIFEST, RunFiles
from latentbench.running import manifest, plan, ray_executor
from latentbench.running.unit import Part, Unit

pytestmark = [pytest.mark.ray, pytest.mark.timeout(900)]

HOME = str(Path(lb.__file__).parents[1])
QUIET = {
    "RAY_AUTH_MODE": "disabled",
    "RAY_USAGE_STATS_ENABLED": "0",
    "OMP_NUM_THREADS": "1",
    "RAY_worker_niceness": "0",
}
NODE = {"num_cpus": 1, "object_store_memory": 80 << 20}
WORDS = ["--latent-dim=2", "--width=8", "--epochs=1", "--metrics=mse,kl", "--device=cpu", "--no-cache", "--quiet"]

SLEEPY = """
import os, time
from pathlib import Path
from latentbench import machine
from latentbench.models.ae import Autoencoder

class Sleepy(Autoencoder):
    '''Takes its time in its first step of training; n tells one from another.'''
    traceable = False
    slept = False

    def __init__(self, shape, latent_dim, *, n: int = 0, seconds: float = 2.0, **fields):
        super().__init__(shape, latent_dim, depth=0)
        self.seconds = seconds

    def loss(self, x, generator):
        if not self.slept and "alone" not in (machine.placement() or "alone"):
            time.sleep(self.seconds)
        self.slept = True
        return super().loss(x, generator)

class Deadly(Sleepy):
    '''Ends its process, always.'''
    def loss(self, x, generator):
        os.kill(os.getpid(), 9)

class Raising(Sleepy):
    def loss(self, x, generator):
        raise ValueError('this one never works')
"""


@pytest.fixture(scope="session", autouse=True)
def _package_ray():
    os.environ.update(QUIET)
    import ray

    assert ray.__version__


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    """A working folder with models of a user's."""
    return prepare(tmp_path, monkeypatch)


def prepare(folder: Path, patch: pytest.MonkeyPatch) -> Path:
    (folder / "sleepy.py").write_text(SLEEPY)
    patch.setenv("PYTHONPATH", os.pathsep.join([HOME, str(folder)]))
    patch.syspath_prepend(str(folder))
    patch.chdir(folder)
    return folder


@contextmanager
def two_nodes(**head: Any) -> Iterator[Any]:
    """A head and a worker node, a core each."""
    from ray.cluster_utils import Cluster

    cluster = Cluster()
    try:
        for about in ({**NODE, "include_dashboard": False, **head}, NODE):
            _started(cluster, about)
        cluster.wait_for_nodes()
        yield cluster
    finally:
        cluster.shutdown()


def _started(cluster: Any, about: dict[str, Any]) -> None:
    """Start a node. Ray gives it 30 seconds, whatever the machine is busy with: then once more. What is left of the first
    ends with this process."""
    try:
        cluster.add_node(**about)
    except Exception as error:
        if "timed out" not in str(error):
            raise
        cluster.add_node(**about)


@pytest.fixture(scope="module")
def shared(tmp_path_factory) -> Iterator[Any]:
    """A cluster of two nodes for tests that kill nothing, and the folder it was started in."""
    with pytest.MonkeyPatch.context() as patch:
        folder = prepare(tmp_path_factory.mktemp("shared"), patch)
        with two_nodes() as cluster:
            cluster.folder = folder
            yield cluster


@pytest.fixture(autouse=True)
def _nothing_is_held(request) -> Iterator[None]:
    """After a test no core of the cluster is held by what it has started."""
    yield
    if "shared" in request.fixturenames:
        cluster, deadline = request.getfixturevalue("shared"), time.monotonic() + 30
        with ray_executor._connected(cluster.address) as ray:
            while (free := ray.available_resources().get("CPU")) != 2 and time.monotonic() < deadline:
                time.sleep(0.2)
        assert free == 2


def sleepers(count: int, seconds: float = 2.0) -> str:
    return ",".join(f"sleepy:Sleepy:n={k}:seconds={seconds}" for k in range(count))


SIX = [f"--models={sleepers(2, 0.7)}", "--seeds=9"]
"""Six units that train, three seeds each, and few others."""


def words(out: Path, address: str | None, *more: str) -> list[str]:
    on = ["--executor=ray", f"--address={address}"] if address else []
    return ["run", *WORDS, f"--out={out}", *on, *more]


def start(place: Path, asked: list[str]) -> subprocess.Popen[str]:
    own = {**os.environ, "LATENTBENCH_UNIT_LOG": str(place / "log"), "LATENTBENCH_TEST_MARK": str(place)}
    return subprocess.Popen(
        [sys.executable, "-m", "latentbench", *asked], cwd=place, env=own, preexec_fn=heed_signals,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def carry_out(place: Path, asked: list[str], expected: int = 0) -> str:
    """The command carried out; what it wrote on standard error."""
    process = start(place, asked)
    try:
        _, stderr = process.communicate(timeout=500)
    finally:
        process.kill()
    assert process.returncode == expected, stderr
    assert "Traceback" not in stderr
    return stderr


def log(place: Path, event: str) -> Counter[str]:
    """Unit -> how often it was begun, or put in place."""
    lines = (place / "log").read_text().splitlines() if (place / "log").exists() else []
    return Counter(row["unit"] for row in map(json.loads, lines) if row["event"] == event)


def wait_for_units(place: Path, done: int, process: subprocess.Popen[str]) -> set[str]:
    """Until that many units are in place and one is under way on each node: those that are."""
    deadline = time.monotonic() + 280
    while time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()[1]
        ended, begun = log(place, "in place"), log(place, "begun")
        if sum(ended.values()) >= done and len(begun - ended) == 2:
            return set(begun - ended)
        time.sleep(0.05)
    raise AssertionError("nothing was computed in minutes")


def whole(place: Path, out: Path, at_most_again: int) -> set[str]:
    """The run is whole: every unit put in place exactly once, and not many begun twice. Returns these."""
    files = RunFiles(out)
    units = {f"artifacts/{p.parent.name}" for p in files.units.glob(f"*/{MANIFEST}")}
    assert log(place, "in place") == dict.fromkeys(units, 1)
    again = {unit for unit, times in log(place, "begun").items() if times > 1}
    assert len(again) <= at_most_again
    assert files.read_state().status == "finished"
    assert hidden(out) == []
    return again


def test_1_records_are_those_of_the_local_executor(shared):
    place = shared.folder
    asked = ["--models=ae,vae,sleepy:Sleepy:seconds=0.1", "--seeds=2"]
    carry_out(place, words(place / "local", None, *asked))
    carry_out(place, words(place / "ray", shared.address, *asked))
    rows = {name: records.read(place / name / "records.jsonl") for name in ("local", "ray")}
    assert comparable(rows["ray"]) == comparable(rows["local"])
    timed = [r for r in rows["ray"] if r.metric.startswith("throughput.") and r.status == "ok"]
    assert timed
    assert all("alone there" in r.detail["placement"] for r in timed)
    assert {n["pid"] for n in map(json.loads, (place / "log").read_text().splitlines())}
    assert gone(f"LATENTBENCH_TEST_MARK={place}")


def test_2_a_worker_node_is_killed(place):
    with two_nodes() as cluster:
        process = start(place, words(place / "out", cluster.address, *SIX))
        try:
            under_way = wait_for_units(place, 2, process)
            (node,) = [n for n in cluster.list_all_nodes() if n is not cluster.head_node]
            cluster.remove_node(node, allow_graceful=False)
            _, stderr = process.communicate(timeout=500)
        finally:
            process.kill()
    assert process.returncode == 0, stderr
    again = whole(place, place / "out", at_most_again=1)
    assert again <= under_way  # the unit that was under way there
    print(f"\na node killed: {len(under_way)} units under way, {len(again)} begun again")


def test_3_the_driver_is_killed(place):
    asked = SIX
    with two_nodes() as cluster:
        process = start(place, words(place / "out", cluster.address, *asked))
        try:
            wait_for_units(place, 2, process)
        finally:
            process.kill()
            process.communicate()
        assert gone(f"LATENTBENCH_TEST_MARK={place}")  # on the nodes too
        print(f"\nthe driver killed: {len(log(place, 'in place'))} units done, {len(log(place, 'begun'))} begun")
        carry_out(place, [*words(place / "out", cluster.address, *asked), "--resume"])
    print(f"begun again: {len(whole(place, place / 'out', at_most_again=2))}")


def test_4_the_head_is_killed_and_the_cluster_started_anew(place):
    asked = SIX
    with two_nodes() as cluster:
        process = start(place, words(place / "out", cluster.address, *asked))
        try:
            wait_for_units(place, 2, process)
            cluster.remove_node(cluster.head_node, allow_graceful=False)
            _, stderr = process.communicate(timeout=300)
        finally:
            process.kill()
    assert process.returncode == 2, stderr
    assert "is gone; what was done is kept" in stderr
    assert "Traceback" not in stderr
    assert gone(f"LATENTBENCH_TEST_MARK={place}")
    print(f"\nthe head killed: {len(log(place, 'in place'))} units done, {len(log(place, 'begun'))} begun")
    with two_nodes() as cluster:
        carry_out(place, [*words(place / "out", cluster.address, *asked), "--resume"])
    print(f"begun again: {len(whole(place, place / 'out', at_most_again=2))}")


def node_process(place: Path, *options: str) -> subprocess.Popen[str]:
    """A node as ``ray start`` starts it, in a process that stays."""
    script = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--num-cpus=1", "--disable-usage-stats"]
    return subprocess.Popen(
        [*script, f"--object-store-memory={80 << 20}", *options], cwd=place, env=os.environ.copy(), preexec_fn=heed_signals,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip


@contextmanager
def started_apart(place: Path, other: Path, port: int) -> Iterator[str]:
    """Two nodes, each started by its own ``ray start``, in two folders; ended as a batch system does."""
    address = f"127.0.0.1:{port}"
    at = "--node-ip-address=127.0.0.1"
    nodes = [node_process(place, "--head", f"--port={port}", at, "--include-dashboard=false")]
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                plan.find_executor("ray", address).room()
                break
            except ValueError:
                assert time.monotonic() < deadline
                assert nodes[0].poll() is None, nodes[0].communicate()
                time.sleep(1)
        nodes.append(node_process(other, f"--address={address}", at))
        while plan.find_executor("ray", address).room().nodes < 2:
            assert time.monotonic() < deadline + 60
            time.sleep(1)
        yield address
    finally:
        for node in reversed(nodes):
            node.send_signal(signal.SIGTERM)
        for node in nodes:
            try:
                node.communicate(timeout=30)
            finally:
                node.kill()


def free_port() -> int:
    import socket

    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def test_5_nodes_of_separate_starts_and_a_folder_that_one_of_them_does_not_see(place):
    """The folder is written so that each process finds another one there: as on machines that share nothing."""
    elsewhere = place / "elsewhere"
    elsewhere.mkdir()
    with started_apart(place, elsewhere, free_port()) as address:
        seen = carry_out(place, words(Path("/proc/self/cwd/out"), address, "--models=ae", "--seeds=1"), expected=2)
        lines = [line for line in seen.splitlines() if "note:" not in line]
        assert len(lines) == 1
        assert "does not share the folder /proc/self/cwd/out" in lines[0]
        assert not (place / "out").exists()
        assert not (elsewhere / "out").exists()
        carry_out(place, words(place / "out", address, *SIX))
        dry = start(place, [*words(place / "dry", address, "--models=ae", "--seeds=6"), "--dry-run"])
        said, _ = dry.communicate(timeout=300)
        assert "2 at a time, on 2 nodes with 2 cores" in said
    whole(place, place / "out", at_most_again=0)
    places = {json.loads(line)["pid"] for line in (place / "log").read_text().splitlines()}
    assert len(places) >= 2  # both nodes had their share


def test_6_units_that_always_fail_are_failed_records(shared, tmp_path):
    place, out = shared.folder, tmp_path / "out"
    (place / "log").unlink(missing_ok=True)
    asked = ["--models=ae,sleepy:Deadly,sleepy:Raising", "--seeds=1"]
    stderr = carry_out(place, words(out, shared.address, *asked), expected=3)
    reasons = {
        r.model: r.reason for r in records.read(out / "records.jsonl") if r.metric == "train.epochs" and r.reason
    }
    failed = [line for line in stderr.splitlines() if "failed:" in line]
    assert any("the worker process died (SIGKILL, 3 times)" in line for line in failed), (failed, reasons)
    assert any("this one never works" in line for line in failed)
    begun = log(place, "begun")
    assert sorted(begun.values(), reverse=True)[:2] == [3, 1]  # a raised error is final, a lost worker is not
    assert RunFiles(out).read_state().status == "unfinished"
    assert hidden(out) == []


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_7_a_signal_leaves_nothing_running_on_any_node(shared, tmp_path, name):
    place, out, number = shared.folder, tmp_path / "out", int(getattr(signal, name))
    (place / "log").unlink(missing_ok=True)
    mark = f"LATENTBENCH_TEST_MARK={place}"
    process = start(place, words(out, shared.address, f"--models={sleepers(4, 30.0)}", "--seeds=1"))
    try:
        deadline = time.monotonic() + 280
        while len(log(place, "begun")) < 2 and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        assert len(descendants(mark)) >= 3  # the driver, and a worker on each node
        process.send_signal(number)
        _, stderr = process.communicate(timeout=60)
    finally:
        process.kill()
    assert descendants(mark) == []  # at once: the command has waited for them
    assert process.returncode == 128 + number
    assert stderr.strip().splitlines()[-1].endswith("--resume")
    assert "Traceback" not in stderr
    assert hidden(out) == []


def trifles(folder: Path, count: int) -> list[Unit]:
    """Units that are there already: what is left of one is what it costs to hand it on and to hear of its end."""
    run, units = make_run({"device": "cpu"}), []
    for k in range(count):
        part = Part(key=f"{k:024x}", kind="judge")
        unit = Unit(kind="judge", parts=(part,), root=str(folder), run=run, dataset_sha256="", device="cpu")
        if not units:
            unit.path.mkdir(parents=True)
            manifest.write(unit.path, {}, [(part, [])])
            pattern = json.loads((unit.path / MANIFEST).read_text())
        else:
            shutil.copytree(units[0].path, unit.path)
            row = {k: v for k, v in pattern.items() if k != "sha256"}
            row["parts"] = [{**row["parts"][0], "key": part.key}]
            (unit.path / MANIFEST).write_text(json.dumps({**row, "sha256": records.digest(row, 64)}))
        units.append(unit)
    assert units[-1].is_done
    return units


def drive(executor: Any, units: list[Unit]) -> float:
    """Seconds in which the executor has done all of them."""
    started, todo = time.monotonic(), list(reversed(units))
    while todo or executor.busy:
        while todo and executor.idle:
            executor.submit(todo.pop())
        _, reason = executor.next_finished()
        assert not reason
    return time.monotonic() - started


def test_8_a_thousand_tiny_units(shared, tmp_path):
    (tmp_path / "jobs").mkdir()
    units = trifles(tmp_path, 1100)
    with plan.find_executor("ray", shared.address)(4, tmp_path / "jobs", lambda message: None) as executor:
        drive(executor, units[:100])
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        seconds = drive(executor, units[100:])
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(f"\noverhead: {seconds:.2f} ms a unit; driver grew by {grown} KiB over 1,000 units")
    assert seconds / 1000 < 0.050
    assert grown < 20 << 10


def test_9_two_nodes_do_nearly_twice_as_much(shared, tmp_path):
    """Units that sleep: as where each node has cores of its own."""
    taken = {}
    assert plan.find_executor("ray", shared.address).room().nodes == 2
    for workers in (1, 2):
        asked = {"models": sleepers(10, 2.0), "seeds": 1, "epochs": 1, "latent_dim": 2, "metrics": "mse", "device": "cpu",
                 "cache": False, "out": str(tmp_path / str(workers))}  # fmt: skip
        units = [u for u in plan.plan(make_run(asked)).units if u.kind == "train"]
        jobs = RunFiles(tmp_path / str(workers)).make("jobs")
        with plan.find_executor("ray", shared.address)(workers, jobs, lambda message: None) as executor:
            drive(executor, units[:2])  # workers are started, torch is loaded
            taken[workers] = drive(executor, units[2:])
    print(f"\nspeed-up on two nodes: {taken[1] / taken[2]:.2f}")
    assert taken[1] / taken[2] > 1.6
    assert taken[2] > 4 * 2.0


def test_a_cluster_that_is_not_there_is_refused_in_one_line(place, monkeypatch, capsys):
    from latentbench.cli.app import main

    out = place / "out"
    for address, told in (
        (f"127.0.0.1:{free_port()}", "cannot be reached"),
        ("nowhere.invalid:6379", "cannot be reached"),
    ):
        assert main(words(out, address, "--models=ae", "--seeds=1")) == 2
        lines = [line for line in capsys.readouterr().err.splitlines() if "note:" not in line]
        assert len(lines) == 1
        assert f"address: '{address}' {told}" in lines[0]
        assert not out.exists()


def test_a_node_with_other_code_takes_no_part(shared, tmp_path, monkeypatch):
    from latentbench.running import ray_node

    here = ray_node.fingerprint()
    monkeypatch.setattr(ray_node, "fingerprint", lambda: {**here, "torch": "9.9"})
    (tmp_path / "jobs").mkdir()
    opener = plan.find_executor("ray", shared.address)
    with pytest.raises(
        ValueError, match=r"executor: node .* is not like this machine: it has torch .*, this machine 9\.9"
    ):
        opener(2, tmp_path / "jobs", lambda message: None)
    assert machine.placement() is None


def test_without_ray_the_way_to_it_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ValueError, match=r"the package ray is not installed; pip install 'latentbench\[ray\]'"):
        plan.find_executor("ray")
