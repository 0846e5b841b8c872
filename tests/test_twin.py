"""A process forked from a program is, to what runs in it, as a program of its own would be."""

import json
import os
import signal
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux alone")
PATIENCE = 60
FACTS = """
import io, json, os, signal, sys, warnings
def facts():
    print("printed", end="")  # nothing keeps it back
    return {
        "variables": {k: v for k, v in os.environ.items() if k not in ("_", "LC_CTYPE", "PWD", "OLDPWD", "SHLVL")},
        "leader": os.getpgrp() == os.getpid(),
        "handlers": [str(signal.getsignal(s)) for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)],
        "mask": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
        "input": sys.stdin.read(),
        "path": sys.path,
        "hook": sys.excepthook is sys.__excepthook__,
        "warnings": warnings.showwarning.__module__,
        "threads": len(os.listdir("/proc/self/task")),
    }
"""
PROGRAM = f"""
{FACTS}
from latentbench.running import twin
signal.signal(signal.SIGTERM, lambda *_: None)
if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
    signal.signal(signal.SIGHUP, lambda *_: None)
sys.excepthook = warnings.showwarning = print
environment = json.loads(sys.argv[1])
def work():
    told = facts()
    os.write(1, json.dumps(told).encode())
    os._exit(7)
def fail():
    raise ValueError("no work")
print("before")
print([twin.Twin(environment, do).wait() for do in (work, fail)])
"""


def told(code: str, *arguments: str, **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True, text=True, timeout=PATIENCE, check=True, **options,
    )  # fmt: skip


@pytest.mark.parametrize("hangup", [signal.SIG_DFL, signal.SIG_IGN], ids=["plain", "nohup"])
def test_it_is_as_a_program_of_its_own_is(tmp_path, hangup):
    def begin():
        signal.signal(signal.SIGHUP, hangup)

    own = f"{FACTS}\ntold = facts()\nos.write(1, json.dumps(told).encode())\nos._exit(7)"
    environment = {
        **os.environ,
        "PYTHONUNBUFFERED": "1",
        "PYTHONPATH": os.pathsep.join([os.getcwd(), str(tmp_path)]),
        "OWN": "é",
    }
    alone = subprocess.run(
        [sys.executable, "-P", "-c", own], env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=False,
        process_group=0, timeout=PATIENCE, preexec_fn=begin,
    )  # fmt: skip
    twin = told(
        PROGRAM, json.dumps(environment), env={**environment, "OTHER": "1"}, stdin=subprocess.PIPE, preexec_fn=begin
    )
    before, _, after = twin.stdout.partition("printed")
    assert (before, after[-7:]) == ("before\n", "[7, 1]\n")
    assert alone.returncode == 7
    expected = json.loads(alone.stdout.decode().removeprefix("printed"))
    found = json.loads(after[:-7])
    # A program is started for SIGINT to be Python's; its twin ends by it as by the others.
    assert expected.pop("handlers")[1:] == found.pop("handlers")[1:]
    assert found == expected
    assert "ValueError: no work" in twin.stderr


def test_it_keeps_the_memory_that_its_variables_say():
    """Blocks of 20 MB that are freed and asked for again are not fetched anew from the system, page by page."""
    code = """
import resource, os, sys
import numpy as np
from latentbench.running import twin
from latentbench.running.worker_process import MEMORY
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    blocks = [np.ones(20 << 20, np.uint8) for _ in range(10)]
    del blocks
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
def work():
    faults()
    return int(faults() > 2000)
print([twin.Twin({**os.environ, **more}, work).wait() for more in ({}, MEMORY)])
"""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_")}
    assert told(code, env=environment | {"OPENBLAS_NUM_THREADS": "1"}).stdout == "[1, 0]\n"


def test_a_signal_to_the_program_is_not_the_twins():
    """Ctrl-C reaches all of a terminal's group, of which the twin is none; a kill of it is its own."""
    code = """
import os, signal
from latentbench.running import twin
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
def work():
    signal.pause()
    return 0
one = twin.Twin(os.environ, work)
try:
    os.killpg(0, signal.SIGINT)
    signal.pause()
except KeyboardInterrupt:
    print("interrupted", one.returncode)
one.kill()
print(one.wait(), one.wait())
one.kill()
"""
    assert told(code, process_group=0).stdout == f"interrupted None\n{-signal.SIGKILL} {-signal.SIGKILL}\n"


def test_variables_are_lent():
    code = """
import os
from latentbench.running import twin
os.environ["MINE"] = "1"
try:
    with twin.variables({"OTHER": "2"}):
        print(dict(os.environ))
        raise ValueError
except ValueError:
    print(os.environ["MINE"], "OTHER" in os.environ)
"""
    assert told(code).stdout == "{'OTHER': '2'}\n1 False\n"


@pytest.mark.parametrize("closed", [">&-", "<&- >&- 2>&-"])
def test_a_run_that_is_started_without_standard_files_ends_as_any_other(tmp_path, closed):
    """The sockets and pipes to its twin would take their numbers."""
    words = ["run", *"--models ae --epochs 1 --seeds 2 --width 8 --metrics mse --out".split(), str(tmp_path / "run")]
    done = subprocess.run(
        ["sh", "-c", f'exec "$@" {closed}', "sh", sys.executable, "-m", "latentbench", *words],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "report.html").is_file()
    assert "Traceback" not in done.stderr
