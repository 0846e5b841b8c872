"""One side of one case in a process of its own: ``python one.py CASE WHO N THREADS`` prints one JSON object.

The imports, the data and a small call come first. ``extra_bytes`` is the highest resident memory during the first
whole call over what was resident before it; ``peak_bytes`` the highest of the process. Calls shorter than a second
are repeated, and the median counts, in wall and in processor seconds.
"""

from __future__ import annotations

import json
import resource
import statistics
import sys
import time
from pathlib import Path

import torch
from cases import CASES

STATUS = Path("/proc/self/status")


def resident(field: str) -> int:
    """Bytes of ``VmRSS`` (now) or ``VmHWM`` (highest)."""
    return next(1024 * int(line.split()[1]) for line in STATUS.read_text().splitlines() if line.startswith(field))


def main(name: str, who: str, n: int, threads: int) -> None:
    torch.set_num_threads(threads)
    case = next(c for c in CASES if c.name == name)
    make = case.ours if who == "latentbench" else case.rivals[who][0]
    make(300)()
    call = make(n)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    Path("/proc/self/clear_refs").write_text("5")  # the highest resident memory counts from here
    start = resident("VmRSS")
    walls, cpus = [], []
    answer, extra = (), 0
    while not walls or (sum(walls) < 1 and len(walls) < 7):
        wall, cpu = time.perf_counter(), time.process_time()
        answer = call()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
        extra = extra or resident("VmHWM") - start
    print(
        json.dumps(
            {
                "case": name,
                "who": who,
                "n": n,
                "threads": threads,
                "wall": statistics.median(walls),
                "cpu": statistics.median(cpus),
                "extra_bytes": extra,
                "peak_bytes": max(before, resident("VmHWM")),
                "answer": answer,
            }
        )
    )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
