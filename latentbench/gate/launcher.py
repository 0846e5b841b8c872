"""One process launch: the benchmarks of one revision, timed in a fresh interpreter.

A launch, not a call, is the unit of replication: one process in ten is slow for its whole life (where its memory came
to lie, which core it woke on), and a thousand calls in it agree on a number that the next process does not repeat.
Beside the benchmarks stands a *reference*, a fixed piece of work that no revision changes; it tells what the machine
did meanwhile.

A benchmark's value in a launch is the *least* of its rounds on the *processor's* clock: whatever else a machine does
can only add to a round, and while another process has the core that clock stands still. On two cores with a load of
six, the log of that value has a standard deviation of .06 to .09 from launch to launch; on the wall's clock it is .35,
with the median over rounds .11 to .16. The price: work that waits (for a disk, a lock, a sleep) is not seen; for that
there is the wall's clock, on a quiet machine.

One thread and a fixed hash seed: what can be made equal is equal. The first launch of either side compiles its modules,
which enters no timing (warm-up comes first) and, as one pair of many, no peak of memory.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from latentbench.gate.checkouts import Checkout

REFERENCE = "reference workload"
"""The fixed work's name beside the benchmarks'."""
MEMORY = "peak memory"
"""Highest resident memory of a launch, in bytes, beside the benchmarks' seconds."""

Clock = Literal["cpu", "wall"]
CLOCKS: dict[Clock, str] = {"cpu": "time.process_time", "wall": "time.perf_counter"}
"""What counts as time: the processor's over all threads, or the wall's."""

REFERENCE_FILE = "test_zz_latentbench_reference.py"
REFERENCE_SOURCE = '''\
"""A fixed piece of work beside the benchmarks: arithmetic, sorting and hashing in plain Python."""

import hashlib
import os
import sys


def peak_memory():
    """Highest resident memory of this process in bytes; None where the system does not tell. What `getrusage` and
    `wait4` tell on Linux is no less than what the process that started this one had."""
    if os.path.exists("/proc/self/status"):
        with open("/proc/self/status") as lines:
            return next((1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM")), None)
    if sys.platform == "darwin":
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return None


def work():
    numbers = [(k * 2654435761) % 4294967296 for k in range(6000)]
    numbers.sort()
    text = ",".join(map(str, numbers)).encode()
    return hashlib.sha256(text).hexdigest()


def test_latentbench_reference(benchmark):
    # This file is the last to run, so that the peak is that of all benchmarks.
    benchmark.extra_info["peak_memory"] = peak_memory()
    benchmark.pedantic(work, rounds=15, warmup_rounds=2)
'''

FIXED = {
    "PYTHONHASHSEED": "0",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "NUMEXPR_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    "PYTEST_ADDOPTS": "",
}


@dataclass(frozen=True)
class Launch:
    """What one process measured: benchmark -> seconds (least of its rounds) or, for `MEMORY`, bytes; and its own wall
    time."""

    values: Mapping[str, float]
    seconds: float


@dataclass(frozen=True)
class Launcher:
    """How a launch is made: the relative ``place`` of the benchmarks, an expression ``only`` that selects some (pytest's
    ``-k``), the ``clock``. Calling it with a checkout makes one."""

    place: Path
    only: str = ""
    clock: Clock = "cpu"

    def __call__(self, checkout: Checkout) -> Launch:
        """Raises ValueError where pytest collects nothing or dies; benchmarks that fail are left out."""
        with tempfile.NamedTemporaryFile(prefix="latentbench-launch-", suffix=".json") as file:
            command = self._command(file.name)
            began = time.perf_counter()
            code, output = _run(command, checkout)
            seconds = time.perf_counter() - began
            text = Path(file.name).read_text("utf-8")
        if not text or code not in (0, 1):
            raise ValueError(
                f"gate: the benchmarks did not run on {checkout.label}: pytest ended with exit code {code}: "
                f"{_last(output)} (`{shlex.join(command[1:])}`)"
            )
        values = read(json.loads(text), self.place)
        if not values.keys() - {REFERENCE, MEMORY}:
            chosen = f" match --only {self.only!r}" if self.only else f" are in {self.place}"
            raise ValueError(f"gate: on {checkout.label} the suite ran no benchmark of yours: {_none(output)}{chosen}")
        return Launch(values, seconds)

    def _command(self, results: str) -> list[str]:
        reference = (self.place if not self.place.suffix else self.place.parent) / REFERENCE_FILE
        # The reference is always asked for: an expression must not leave it out.
        only = ["-k", f"({self.only}) or test_latentbench_reference"] if self.only else []
        # Where plug-ins are not loaded by themselves (a launch then starts in half the time), this one must be named.
        alone = ["-p", "pytest_benchmark.plugin"] if os.environ.get("PYTEST_DISABLE_PLUGIN_AUTOLOAD") else []
        return [
            sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *alone, str(self.place),
            *([str(reference)] if self.place.suffix else []), "--benchmark-only", f"--benchmark-json={results}",
            f"--benchmark-timer={CLOCKS[self.clock]}", "--benchmark-max-time=0.5", "--benchmark-warmup=on",
            "--benchmark-warmup-iterations=2", *only,
        ]  # fmt: skip


def _run(command: Sequence[str], checkout: Checkout) -> tuple[int, str]:
    """Run to the end: exit code, and what was said."""
    # Launched from a parallel test run, pytest-benchmark would take itself for a part of it and refuse to measure.
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_XDIST", "PYTEST_CURRENT"))}
    environment = {**inherited, **FIXED}
    environment["PYTHONPATH"] = os.pathsep.join([*checkout.import_path, *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        command, cwd=checkout.root, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
        text=True, errors="replace",
    )  # fmt: skip
    return done.returncode, done.stdout


def _none(output: str) -> str:
    """Why nothing ran: what failed, else that none are there to run."""
    return _last(output) if "\nFAILED" in output or "\nERROR" in output else "none"


def _last(output: str) -> str:
    """The line of pytest's output that tells most."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("E ")] or [
        w for w in lines if w.startswith(("ERROR", "FAILED"))
    ]
    return (errors or lines or ["it said nothing"])[-1][:300]


def read(document: Mapping[str, object], place: Path) -> dict[str, float]:
    """Seconds of the fastest round of every benchmark in pytest-benchmark's JSON: by its name within the suite at
    ``place``, the reference by its own; beside them the launch's peak memory.
    Raises ValueError where it is no such JSON."""
    rows = document.get("benchmarks")
    if not isinstance(rows, list):
        raise ValueError("gate: pytest-benchmark wrote no list of benchmarks; is pytest-benchmark installed?")
    out = {}
    for row in rows:
        name = str(row["fullname"]).removeprefix(f"{place.as_posix()}/").removeprefix(f"{place.as_posix()}::")
        name = REFERENCE if name.endswith("::test_latentbench_reference") else name
        out[name] = float(row["stats"]["min"])
        if name == REFERENCE and (peak := row["extra_info"].get("peak_memory")):
            out[MEMORY] = float(peak)
    return out
