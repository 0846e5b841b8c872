"""How often the speed gate errs, measured: real gate runs of equal revisions and of planted changes.

    python benchmarks/gate_errors.py docs/gate.jsonl [--lane N/M] [--only KIND]

Kinds: ``quiet`` and ``load``, a revision against itself, the second beside two processes that keep both cores busy;
``slow5``, ``slow10``, ``slow20``, a function burns that share of its own time more (which of the three benchmarked ones
takes turns); ``memory10``, an import holds a tenth more memory. Every run is a whole gate run on a scratch clone of this
repository: checkouts, fresh processes, decision. It is written down when it is done, so the script can be stopped and
started again; ``--lane 0/2`` and ``--lane 1/2`` share the work between two processes, each the other's noise.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from latentbench.gate.checkouts import git
from latentbench.gate.launcher import MEMORY
from latentbench.gate.speed_gate import SECONDS, Gate, run_gate
from latentbench.report.exports.gate import as_json

ROOT = Path(__file__).parents[1]
SUITE = Path("benchmarks/test_speed_records.py")
RUNS = {"load": 20, "quiet": 20, "slow10": 20, "slow20": 20, "slow5": 6, "memory10": 6}
PLACES = (
    ("latentbench/records.py", "read", "test_read"),
    ("latentbench/stats/cells.py", "summarise", "test_summarise"),
    ("latentbench/stats/over_datasets.py", "iqm_interval", "test_iqm"),
)
BURN = """

def _slower(function):
    from time import process_time

    def burning(*args, **more):
        began = process_time()
        out = function(*args, **more)
        end = process_time() + {share} * (process_time() - began)
        while process_time() < end:
            pass
        return out

    return burning


{name} = _slower({name})
"""
HOLD = """

_HELD = b"x" * {size}
"""
MEMORY_OF_A_LAUNCH = 75 * 2**20
"""Peak memory of a launch of this suite, in bytes: a tenth of it is planted."""


def plan() -> list[tuple[str, int]]:
    """Every run: its kind and number, the kinds in turns so that a stop leaves some of each."""
    return [(kind, k) for k in range(max(RUNS.values())) for kind, count in RUNS.items() if k < count]


def plant(clone: Path, kind: str, number: int) -> str:
    """The benchmark that must be worse; "" where nothing is planted. The change is committed in the clone."""
    if kind in ("quiet", "load"):
        return ""
    if kind == "memory10":
        file, text, what = "latentbench/records.py", HOLD.format(size=MEMORY_OF_A_LAUNCH // 10), MEMORY
    else:
        file, name, what = PLACES[number % len(PLACES)]
        text = BURN.format(share=int(kind.removeprefix("slow")) / 100, name=name)
    with (clone / file).open("a", encoding="utf-8") as source:
        source.write(text)
    git(clone, "-c", "user.name=gate", "-c", "user.email=gate@example.org", "commit", "-qam", f"plant {kind}")
    return what


@contextmanager
def load(processes: int) -> Iterator[None]:
    """Keep so many cores busy."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


def one(kind: str, number: int, busy: int, seconds: float) -> dict[str, object]:
    """One gate run on a scratch clone; a refusal, where the machine is too busy for six pairs, is written down too."""
    with tempfile.TemporaryDirectory(prefix="latentbench-planted-") as home:
        clone = Path(home) / "clone"
        git(ROOT, "clone", "--quiet", "--shared", str(ROOT), str(clone))
        what = plant(clone, kind, number)
        asked = Gate("HEAD" if not what else "HEAD~1", "HEAD", SUITE, seconds=seconds, seed=number)
        before = os.getloadavg()[0]
        row: dict[str, object] = {
            "kind": kind,
            "number": number,
            "planted": what,
            "verdicts": {},
            "pairs": [],
            "limit": seconds,
        }
        began = time.time()
        with load(busy if kind == "load" else 0):
            try:
                decision = run_gate(asked, clone)
                row["verdicts"] = {str(c.name): c.verdict for c in decision.changes}
                row["pairs"], row["stopped"] = as_json(decision)["pairs"], decision.stopped
            except ValueError as refusal:
                row["stopped"] = str(refusal)
        row["seconds"] = round(time.time() - began, 1)
        row["load"] = [round(before, 2), round(os.getloadavg()[0], 2)]
        return row


def append(path: Path, row: dict[str, object]) -> None:
    """Add a run to the file, one a line; two lanes may write to it."""
    with path.open("a", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(json.dumps(row) + "\n")


def done(path: Path) -> set[tuple[str, int]]:
    """Runs that are written down."""
    if not path.exists():
        return set()
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    return {(r["kind"], r["number"]) for r in rows}


def main() -> None:
    """Carry out what is not done yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--lane", default="0/1")
    parser.add_argument("--only", default="")
    parser.add_argument("--busy", type=int, default=2, help="processes beside the runs under load; 0 on a busy machine")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="longest time for the launches of a run")
    words = parser.parse_args()
    # A launch of these benchmarks needs no other plug-in, and starts in half the time without them.
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    lane, lanes = map(int, words.lane.split("/"))
    for place, (kind, number) in enumerate(plan()):
        if place % lanes != lane or (words.only and kind != words.only) or (kind, number) in done(words.out):
            continue
        row = one(kind, number, words.busy, words.seconds)
        append(words.out, row)
        print(kind, number, row["verdicts"], row["stopped"], f"{row['seconds']} s", flush=True)


if __name__ == "__main__":
    main()
