"""What a run past one machine costs: planning and scheduling of many cells, what the file system sees, and a simulation of
many nodes. By hand, without Ray; prints what docs/cluster.md says.

    python benchmarks/cluster.py [--models 100] [--seeds 100] [--nodes 64] [--cores 16] [--overhead-ms 6]

The *simulation* carries out the real plan with the real `UnitSchedule`: a unit takes a time drawn around ``--train`` or
``--measure`` seconds (log-normal, sigma 0.3), the driver hands out one at a time and needs ``--overhead-ms`` for each. Of
the nodes one dies every ``--death`` seconds (its units begin anew on others) and is replaced after a minute.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import json
import os
import resource
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from latentbench.config import make_run
from latentbench.running import worker
from latentbench.running.plan import Planned, plan
from latentbench.running.schedule import UnitSchedule
from latentbench.running.unit import Unit

SPREAD = 0.3
BACK = 60.0
"""Seconds until a node that died is replaced."""


def many(models: int, seeds: int, out: Path) -> tuple[Planned, dict[str, float]]:
    """The plan of a run of models x seeds cells, and what it took."""
    specs = ",".join(f"vae:beta={1 + k / 100:g}" for k in range(models))
    started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    asked = make_run({"models": specs, "seeds": min(seeds, 1000), "metrics": "mse,kl,validity.normal", "device": "cpu",
                      "latent_dim": 8, "cache": False, "out": str(out)})  # fmt: skip
    planned = plan(asked)
    taken = time.perf_counter() - started
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    started = time.perf_counter()
    schedule, steps = UnitSchedule(planned.units), 0
    while schedule.ready:
        schedule.finished(schedule.take().folder)
        steps += 1
    assert steps == len(planned.units)
    scheduled = time.perf_counter() - started
    sizes = [len(json.dumps(u.to_json())) for u in planned.units]
    return planned, {
        "cells": len(planned.cells), "units": len(planned.units), "plan_seconds": taken, "schedule_seconds": scheduled,
        "driver_mib": grown / 1024, "json_median": float(np.median(sizes)), "json_most": max(sizes),
    }  # fmt: skip


@dataclass
class Simulated:
    """What came of a simulation: seconds in all, those of an ideal one, of the driver, units that were begun anew."""

    seconds: float = 0.0
    ideal: float = 0.0
    driver: float = 0.0
    again: int = 0
    deaths: int = 0
    busiest: int = 0
    running: dict[int, set[str]] = field(default_factory=lambda: defaultdict(set))


def simulate(
    units: Sequence[Unit], nodes: int, cores: int, seconds: dict[str, float], overhead: float, death: float
) -> Simulated:
    """Carry out the units on made-up nodes by the clock of the events."""
    rng, schedule, out = np.random.default_rng(0), UnitSchedule(units), Simulated()
    lasting = {u.folder: seconds.get(u.kind, seconds["measure"]) * float(np.exp(rng.normal(0, SPREAD))) for u in units}
    out.ideal = sum(lasting.values()) / (nodes * cores)
    order = itertools.count()
    free = dict.fromkeys(range(nodes), cores)
    events: list[tuple[float, int, str, str, int]] = []
    if death:
        heapq.heappush(events, (death, next(order), "death", "", 0))
    now, again, left = 0.0, list[str](), len(units)
    number = dict[str, int]()  # a unit's try: ends of those that died with their node count for nothing
    while left:
        while (schedule.ready or again) and any(free.values()):
            folder = again.pop() if again else schedule.take().folder
            node = max(free, key=lambda n: free[n])
            free[node] -= 1
            now += overhead
            out.driver += overhead
            number[folder] = next(order)
            out.running[node].add(folder)
            heapq.heappush(events, (now + lasting[folder], number[folder], "end", folder, node))
        out.busiest = max(out.busiest, sum(map(len, out.running.values())))
        at, mark, what, folder, node = heapq.heappop(events)
        now = max(now, at)
        if what == "end" and number.get(folder) == mark:
            out.running[node].discard(folder)
            free[node] += 1
            left -= 1
            schedule.finished(folder)
        elif what == "death":
            node = int(rng.choice(list(free)))
            lost = out.running.pop(node, set())
            for one in lost:
                del number[one]
            again += sorted(lost)
            out.again += len(lost)
            out.deaths += 1
            del free[node]
            heapq.heappush(events, (now + BACK, next(order), "back", "", node))
            heapq.heappush(events, (now + death, next(order), "death", "", 0))
        elif what == "back":
            free[node] = cores
    out.seconds = now
    return out


def file_system(folder: Path) -> dict[str, dict[str, float]]:
    """Files, bytes and syncs of a unit of each kind, in the median over those of a small run carried out here."""
    synced, plain = [0], os.fsync

    def fsync(handle: int) -> None:
        synced[0] += 1
        plain(handle)

    asked = make_run({"models": "ae,vae", "seeds": 6, "epochs": 2, "latent_dim": 8, "device": "cpu", "cache": False,
                      "metrics": "mse,kl,validity.normal,hole,r2", "out": str(folder)})  # fmt: skip
    seen: dict[str, list[tuple[int, int, int]]] = defaultdict(list)
    os.fsync = fsync
    try:
        for unit in plan(asked).units:
            if unit.kind == "time":
                continue
            synced[0] = 0
            worker.perform(unit, lambda message: None)
            files = [p for p in unit.path.iterdir() if p.is_file()]
            seen[unit.kind].append((len(files), sum(p.stat().st_size for p in files), synced[0]))
    finally:
        os.fsync = plain
    return {
        k: dict(zip(("files", "bytes", "fsyncs"), np.median(v, axis=0).tolist(), strict=True)) for k, v in seen.items()
    }


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("models", 100), ("seeds", 100), ("nodes", 64), ("cores", 16)):
        parser.add_argument(f"--{name}", type=int, default=value)
    for name, number in (("overhead-ms", 6.0), ("train", 120.0), ("measure", 40.0), ("death", 300.0)):
        parser.add_argument(f"--{name}", type=float, default=number)
    asked = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as place:
        planned, cost = many(asked.models, asked.seeds, Path(place) / "many")
        print("plan", json.dumps(cost))
        times = {"judge": 60.0, "train": asked.train, "measure": asked.measure, "time": 600.0}
        for death in (0.0, asked.death):
            got = simulate(planned.units, asked.nodes, asked.cores, times, asked.overhead_ms / 1000, death)
            print(
                f"simulation: {asked.nodes} nodes of {asked.cores} cores, "
                f"{f'a node dies every {death:.0f} s' if death else 'none dies'}: {got.seconds:.0f} s (ideal {got.ideal:.0f} s), "
                f"driver busy {got.driver:.0f} s, at most {got.busiest} at a time, {got.deaths} deaths, {got.again} units anew"
            )
        for kind, figures in file_system(Path(place) / "small").items():
            print("files", kind, json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
