"""Processes that are stopped, killed, or started by a model of the user's: what is left of them, and how the run ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import latentbench as lb
from latentbench import records

pytestmark = pytest.mark.skipif(not hasattr(os, "killpg"), reason="process groups")

HOME = str(Path(lb.__file__).parents[1])
WORDS = ["run", "--seeds=1", "--latent-dim=2", "--width=8", "--metrics=mse,kl", "--no-cache", "--quiet"]


def command(*more: str) -> list[str]:
    return [sys.executable, "-m", "latentbench", *WORDS, *more]


def environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join([HOME, str(folder)])}


def descendants(mark: str) -> list[int]:
    """Processes whose environment holds this mark."""
    out = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (path / "environ").read_bytes() and int(path.name) != os.getpid():
                out.append(int(path.name))
        except OSError:
            continue
    return out


def gone(mark: str) -> bool:
    deadline = time.monotonic() + 20
    while descendants(mark) and time.monotonic() < deadline:
        time.sleep(0.1)
    return not descendants(mark)


def hidden(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob(".*"))


def heed_signals() -> None:
    """Tests in the background of a shell ignore Ctrl-C, and so would what they start."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes as Linux lists them")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_ends_a_run_with_the_line_that_resumes_and_leaves_nothing(tmp_path, name):
    number = int(getattr(signal, name))
    out, mark = tmp_path / "out", f"LATENTBENCH_TEST_MARK={tmp_path}"
    process = subprocess.Popen(
        command("--models=ae", "--epochs=100000", "--patience=0", f"--out={out}"),
        env=environment(tmp_path) | dict([mark.split("=", 1)]), preexec_fn=heed_signals,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        while not list(out.glob("artifacts/.making-train-*")) and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(number)
        time.sleep(0.01)
        process.send_signal(number)  # as an impatient user, or a system that ends a whole group, would
        _, stderr = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 128 + number
    line = stderr.strip().splitlines()[-1]
    assert line.endswith("--resume")
    assert "interrupted; carry on with: latentbench run" in line
    assert "Traceback" not in stderr
    assert hidden(out) == []
    assert gone(mark)


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="asks Linux what a process has loaded")
@pytest.mark.parametrize("library", ["pydantic_core", "libtorch_cpu"])
def test_ctrl_c_while_modules_are_loaded_is_no_traceback(tmp_path, library):
    """In the middle of what the program loads at its start, and of what it loads before it looks at the data."""
    process = subprocess.Popen(
        command("--models=ae", "--epochs=100000", "--patience=0", f"--out={tmp_path / 'out'}"),
        env=environment(tmp_path), preexec_fn=heed_signals,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        while library not in _loaded(process.pid) and process.poll() is None:
            time.sleep(0.002)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
    finally:
        process.kill()
    assert "Traceback" not in stderr
    assert process.returncode == 130
    assert "interrupted" in stderr
    assert not (tmp_path / "out").exists()


def _loaded(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/maps").read_text()
    except OSError:
        return ""


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes as Linux lists them")
@pytest.mark.parametrize("fork", ["1", "0"])
def test_a_program_that_is_killed_leaves_no_process(tmp_path, fork):
    """Neither its workers nor the server that forked them: SIGKILL, which nobody can put anything away for."""
    out, mark = tmp_path / "out", f"LATENTBENCH_TEST_MARK={tmp_path}"
    process = subprocess.Popen(
        command("--models=ae,vae", "--epochs=100000", "--patience=0", f"--out={out}"),
        env=environment(tmp_path) | dict([mark.split("=", 1)]) | {"LATENTBENCH_FORK": fork},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        while len(list(out.glob("artifacts/.making-train-*"))) < 2 and process.poll() is None:
            time.sleep(0.05)
        assert len(descendants(mark)) == (4 if fork == "1" else 3)
    finally:
        process.kill()
    process.wait()
    assert gone(mark)


FORKS = """
import os, time
from latentbench.models.ae import Autoencoder
class Forks(Autoencoder):
    def loss(self, x, generator):
        if not os.fork():
            time.sleep(600)
            os._exit(0)
        os.kill(os.getpid(), 9)
"""


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes as Linux lists them")
def test_a_child_that_lives_on_holds_nobody_up(tmp_path):
    """The worker dies, its child holds the pipe for ten minutes: the run goes on at once and ends the child."""
    (tmp_path / "forks.py").write_text(FORKS)
    mark = f"LATENTBENCH_TEST_MARK={tmp_path}"
    done = subprocess.run(
        command("--models=ae,forks:Forks", "--epochs=1", f"--out={tmp_path / 'out'}"), cwd=tmp_path,
        env=environment(tmp_path) | dict([mark.split("=", 1)]), capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert done.returncode == 3, done.stderr
    assert "SIGKILL" in done.stderr
    assert gone(mark)


DIES_ONCE = """
import os, pathlib
from latentbench.models.ae import Autoencoder
class Dies(Autoencoder):
    def loss(self, x, generator):
        flag = pathlib.Path(os.environ["DIES_FLAG"])
        if not flag.exists():
            flag.touch()
            os.kill(os.getpid(), 9)
        return super().loss(x, generator)
"""


def test_after_a_worker_was_killed_resume_has_all_records(tmp_path):
    (tmp_path / "dies.py").write_text(DIES_ONCE)
    own = environment(tmp_path) | {"DIES_FLAG": str(tmp_path / "flag")}
    words = ["--models=ae,dies:Dies", "--epochs=1"]

    def carry_out(out: str, *more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command(*words, f"--out={out}", *more), cwd=tmp_path, env=own, capture_output=True,
                              text=True, timeout=300)  # fmt: skip

    killed = carry_out("out")
    assert killed.returncode == 3, killed.stderr
    resumed = carry_out("out", "--resume")
    assert resumed.returncode == 0, resumed.stderr
    whole = carry_out("whole")  # the flag is there: nobody dies
    assert whole.returncode == 0, whole.stderr

    def told(out: str) -> list[tuple[object, ...]]:
        rows = records.read(tmp_path / out / "records.jsonl")
        # In which unit's folder a file lies hangs on what was left to do.
        fields = [
            (r.kind, r.model, r.seed, r.metric, r.split, r.status, r.path and Path(r.path).suffix, r.sha256)
            for r in rows
        ]
        return [(*f, None if r.is_timing else r.value) for f, r in zip(fields, rows, strict=True)]

    assert told("out") == told("whole")
    assert any(r[1:2] == ("dies:Dies",) and str(r[3]).startswith("throughput.") for r in told("out"))
    assert hidden(tmp_path / "out") == []
