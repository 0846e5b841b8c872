"""Every contest in turns, each side in a fresh process: ``python benchmarks/rivals/race.py --out FILE``.

A *pass* runs every side of a contest once, and every second pass goes through them backwards (A B C, C B A, ...), so
whatever drifts on the machine falls on all alike. What is finished stands in FILE at once, and the same command again
carries on where it was stopped: a pass that was cut off is run anew, a finished one is not. ``--again`` forgets the
asked contests first. What is measured on another processor than the rows that are there carries its name and date. Contests on MNIST need its files under LATENTBENCH_DATA and are left out without it, with that
reason. `page.py` makes the document.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from contests import CONTESTS, GROUPS, Contest, Side

from latentbench.machine import processor

HERE = Path(__file__).parent
PACKAGES = ("torch", "numpy", "scikit-learn", "pythae", "umap-learn", "matplotlib")
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
WITHOUT_MNIST = "LATENTBENCH_DATA is not set: no MNIST files"

Row = dict[str, Any]


def code() -> str:
    """A name for the state of the package that is measured: a digest of its sources."""
    import latentbench

    sha = hashlib.sha256()
    for path in sorted(Path(latentbench.__file__).parent.rglob("*.py")):
        sha.update(path.read_bytes())
    return sha.hexdigest()[:12]


def order(contest: Contest, number: int) -> tuple[Side, ...]:
    """The sides of pass ``number``, from 0: forwards, backwards, forwards, ..."""
    return contest.sides[::-1] if number % 2 else contest.sides


def whole_passes(rows: Sequence[Row], contest: Contest) -> list[Row]:
    """The rows of a contest's passes in which every side has run."""
    own = [r for r in rows if r["contest"] == contest.name]
    full = {s.name for s in contest.sides}
    numbers = {r["pass"] for r in own}
    whole = {n for n in numbers if {r["side"] for r in own if r["pass"] == n} == full}
    return [r for r in own if r["pass"] in whole]


def ask(side: Side) -> Row:
    """The measurement of one fresh process, its ``wall`` from start to end; raises where it fails."""
    # An installer leaves every package compiled; from a folder of sources Python does it once, unless it is told not to.
    env = {k: v for k, v in os.environ.items() if k not in (*THREADS, "PYTHONDONTWRITEBYTECODE")}
    if side.threads is not None:
        env |= dict.fromkeys(THREADS, str(side.threads))
    start = time.perf_counter()
    command = [sys.executable, str(HERE / side.command[0]), *side.command[1:]]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    wall = time.perf_counter() - start
    if done.returncode:
        raise SystemExit(f"{' '.join(side.command)}: {done.stderr.strip().splitlines()[-1:]}")
    return {**json.loads(done.stdout.splitlines()[-1]), "wall": wall, "load": os.getloadavg()[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--groups", nargs="+", choices=GROUPS, default=list(GROUPS))
    parser.add_argument("--contests", nargs="+", help="names (default: all)", choices=[c.name for c in CONTESTS])
    parser.add_argument("--passes", type=int, help="passes of every contest (default: each its own number)")
    parser.add_argument("--again", action="store_true", help="forget what is there of the asked contests")
    asked = parser.parse_args()
    chosen = [c for c in CONTESTS if c.group in asked.groups and c.name in (asked.contests or [c.name])]
    out = json.loads(asked.out.read_text()) if asked.out.exists() else {"rows": []}
    measured = datetime.now(UTC).isoformat(timespec="seconds")
    about = {
        "measured": measured,
        "machine": {"processor": processor(), "cores": os.cpu_count(), "python": platform.python_version()},
        "versions": {p: version(p) for p in PACKAGES},
    }
    here = out.get("machine", about["machine"])["processor"] == processor()
    out |= {**(about if here else {}), "skipped": {}}  # rows of another machine say so themselves
    if asked.again:
        out["rows"] = [r for r in out["rows"] if r["contest"] not in {c.name for c in chosen}]
    for contest in chosen:
        kept = whole_passes(out["rows"], contest)
        others = [r for r in out["rows"] if r["contest"] != contest.name]
        if contest.mnist and not os.environ.get("LATENTBENCH_DATA"):
            out["skipped"] = {**out["skipped"], contest.name: WITHOUT_MNIST} if not kept else out["skipped"]
            print(f"{contest.name}: {WITHOUT_MNIST}", flush=True)
            continue
        for number in range(asked.passes or contest.passes):
            if any(r["pass"] == number for r in kept):
                continue
            for side in order(contest, number):
                row = {"contest": contest.name, "side": side.name, "pass": number, "code": code(), **ask(side)}
                row |= {} if here else {"processor": processor(), "measured": measured}
                print(contest.name, side.name, number, f"{row.get('seconds', row['wall']):.2f} s", flush=True)
                kept.append(row)
                asked.out.write_text(json.dumps({**out, "rows": [*others, *kept]}, indent=1) + "\n")
        out["rows"] = [*others, *kept]
    asked.out.write_text(json.dumps(out, indent=1) + "\n")


if __name__ == "__main__":
    main()
