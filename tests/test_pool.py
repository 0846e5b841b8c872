"""What a worker process is started with."""

from __future__ import annotations

import subprocess
import sys

import pytest

from latentbench.running.worker_process import MEMORY, worker_environment

FAULTS = """
import resource, numpy
def step():
    held = [numpy.ones(300_000) for _ in range(8)]  # the gradients of a step, all freed at its end
for _ in range(3): step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20): step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def test_one_thread_unless_told_otherwise_and_what_the_user_set_stays():
    plain = worker_environment({"PATH": "/bin"})
    assert plain["OMP_NUM_THREADS"] == plain["MKL_NUM_THREADS"] == plain["NUMBA_NUM_THREADS"] == "1"
    assert plain["PATH"] == "/bin"
    assert MEMORY.items() <= plain.items()
    asked = worker_environment({"LATENTBENCH_THREADS": "3", "OMP_NUM_THREADS": "9", **dict.fromkeys(MEMORY, "7")})
    assert asked["OMP_NUM_THREADS"] == "3"
    assert {asked[name] for name in MEMORY} == {"7"}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="settings of glibc")
def test_a_worker_keeps_the_memory_of_one_step_for_the_next():
    """Page faults of 20 steps: next to none, where a process that is left alone has some thousand for each."""

    def faults(environment: dict[str, str]) -> int:
        done = subprocess.run(
            [sys.executable, "-c", FAULTS], env=environment, capture_output=True, text=True, check=True
        )
        return int(done.stdout)

    if (alone := faults({"PATH": ""})) < 1000:
        pytest.skip("another C library: it keeps its memory anyway")
    assert faults(worker_environment({"PATH": ""})) < alone / 20
