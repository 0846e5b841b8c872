"""Seconds to a stated ELBO: every entry in turns, each run in a fresh process.

    python benchmarks/speedrun/run.py --target                 sets the target anew: full runs of the bare loop
    python benchmarks/speedrun/run.py                          20 runs of every entry, on one thread of this machine
    python benchmarks/speedrun/run.py --device cuda            the same on a GPU
    python benchmarks/speedrun/run.py --at-once 2              two runs at a time, each on a core of its own
    python benchmarks/speedrun/run.py --page                   only the tables of README.md

MNIST's files lie under LATENTBENCH_DATA. What is finished stands in results.json at once, and the same command carries on:
run k of every entry comes before run k + 1 of any, every second round backwards, so what drifts on the machine falls on all.
``--entries`` names some; ``--again`` forgets what is there of them on this device.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from queue import Queue
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parent))

import contextlib

from rules import FULL, HERE, LESS, Reached, Referee, mnist, target

from latentbench.machine import processor
from latentbench.running.worker_process import MEMORY
from latentbench.stats.intervals import t_interval

RESULTS, README, TARGET = HERE / "results.json", HERE / "README.md", HERE / "target.json"
RUNS, SETTING = 20, 3
"""Runs of an entry, and full runs of the bare loop that set the target."""
BEGIN, END = "<!-- tables: made by run.py -->", "<!-- end of tables -->"
Row = dict[str, Any]


def entries() -> list[str]:
    """The names of the entries, a file each: latentbench first, the others by name."""
    names = sorted(path.stem for path in (HERE / "entries").glob("*.py"))
    return sorted(names, key=lambda name: name != "latentbench")


def entry(name: str) -> Any:
    """An entry: a module with ``train(x, seed, referee)`` and ``WORDS``."""
    spec = importlib.util.spec_from_file_location(f"entry_{name}", HERE / "entries" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def one(name: str, seed: int, device: str, goal: float) -> Row:
    """One run, in this process; a first small training comes before the clock."""
    module, (train, test) = entry(name), mnist(device)
    for images, referee in ((train[:2048], Referee(test[:100], -math.inf)), (train, Referee(test, goal))):
        referee.start()
        with contextlib.suppress(Reached):
            module.train(images, seed, referee)
    return referee.result()


def ask(name: str, seed: int, device: str, threads: int, goal: float, cores: Sequence[int] = ()) -> Row:
    """The same in a fresh process, on these ``cores`` (none: on any); raises SystemExit with its last line where it fails."""
    variables = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    env = {**MEMORY, **os.environ, **dict.fromkeys(variables, str(threads)), "LATENTBENCH_THREADS": str(threads)}
    command = [sys.executable, __file__, "--one", name, "--seed", str(seed), "--device", device, "--goal", repr(goal)]
    command += ["--cores", *map(str, cores)] if cores else []
    done = subprocess.run([*command, "--threads", str(threads)], env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{name}: {' '.join(done.stderr.strip().splitlines()[-1:])}")
    return {**json.loads(done.stdout.splitlines()[-1]), "load": os.getloadavg()[0]}


def set_target(runs: int, threads: int) -> None:
    """Full runs of the bare loop; their mean test ELBO after the last epoch."""
    rows = [ask("bare_loop", seed, "cpu", threads, math.inf) for seed in range(runs)]
    found = [row["elbo"] for row in rows]
    about = {"elbo": statistics.mean(found), "runs": found, "epochs": FULL, "looks": [row["looks"] for row in rows]}
    TARGET.write_text(json.dumps({**about, "measured": _today(), "torch": version("torch")}) + "\n")


def _today() -> str:
    return datetime.now(UTC).date().isoformat()


def race(names: Sequence[str], device: str, runs: int, threads: int, again: bool, at_once: int) -> None:
    """All runs that are not there yet, ``at_once`` of them at a time, each with as many cores of its own as it has threads."""
    out = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"rows": []}
    goal = target()

    def of(row: Row) -> tuple[Any, ...]:
        return row["entry"], row["device"], row["seed"]

    if again:
        out["rows"] = [r for r in out["rows"] if not (r["device"] == device and r["entry"] in names)]
    done = {of(r) for r in out["rows"] if r["target"] == goal}
    out["rows"] = [r for r in out["rows"] if r["target"] == goal]
    machine = processor() if device == "cpu" else torch.cuda.get_device_name()
    free: Queue[Sequence[int]] = Queue()
    for own in shared_out(at_once, threads):
        free.put(own)

    def run(name: str, seed: int) -> Row:
        about = {"entry": name, "device": device, "seed": seed, "target": goal, "threads": threads, "at_once": at_once}
        about |= {"machine": machine, "torch": version("torch"), "python": platform.python_version()}
        cores = free.get()
        try:
            return {**about, "on": _today(), **ask(name, seed, device, threads, goal, cores)}
        finally:
            free.put(cores)

    with ThreadPoolExecutor(at_once) as pool:
        turns = ((name, seed) for seed in range(runs) for name in (names[::-1] if seed % 2 else names))
        asked = [pool.submit(run, name, seed) for name, seed in turns if (name, device, seed) not in done]
        try:
            for one_run in as_completed(asked):
                row = one_run.result()
                out["rows"].append(row)
                print(
                    f"{row['entry']}, run {row['seed']}: {row['seconds']:.1f} s, {row['epochs']} epochs",
                    flush=True,
                )
                RESULTS.write_text(json.dumps(out) + "\n")
        finally:
            pool.shutdown(cancel_futures=True)


def shared_out(at_once: int, threads: int) -> list[Sequence[int]]:
    """The cores of each of ``at_once`` runs, as many as ``threads``; of one run alone none are said. Raises SystemExit where
    there are too few, or no run is asked for."""
    if at_once < 1:
        raise SystemExit(f"--at-once {at_once}: at least one run at a time")
    if at_once == 1:
        return [()]
    cores = sorted(os.sched_getaffinity(0))
    if at_once * threads > len(cores):
        raise SystemExit(f"--at-once {at_once}: {at_once * threads} threads need as many cores, there are {len(cores)}")
    return [cores[k * threads : (k + 1) * threads] for k in range(at_once)]


def table(rows: Sequence[Mapping[str, Any]], device: str) -> str:
    """The table of a device: mean seconds with their 95 % t-interval, fastest first but latentbench at the top."""
    own = [r for r in rows if r["device"] == device]
    if not own:
        return "Not run yet. `python benchmarks/speedrun/run.py --device " + device + "` fills this.\n"
    lines = ["| entry | how | runs | seconds | processor seconds | epochs | test ELBO | reached |"]
    lines.append("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for name in (n for n in entries() if any(r["entry"] == n for r in own)):
        some = [r for r in own if r["entry"] == name]
        seconds, cpu = ([r[field] for r in some] for field in ("seconds", "cpu"))
        mean = {field: statistics.mean(r[field] for r in some) for field in ("epochs", "elbo")}
        reached = f"{sum(r['reached'] for r in some)} of {len(some)}"
        lines.append(
            f"| {name} | {entry(name).WORDS} | {len(some)} | {_interval(seconds)} | {_interval(cpu)} | {mean['epochs']:.1f} | "
            f"{mean['elbo']:.2f} | {reached} |"
        )
    last = own[-1]
    load = [r["load"] for r in own]
    runs = f" a run, {last['at_once']} runs at a time, each on cores of its own" if last["at_once"] > 1 else ""
    return "\n".join(lines) + (
        f"\n\n{last['machine']}, {last['threads']} thread{'s' * (last['threads'] > 1)}{runs}, torch {last['torch']}, {last['on']}; "
        f"load average {min(load):.1f} to {max(load):.1f}, this run's own included.\n"
    )


def _interval(values: Sequence[float]) -> str:
    found = t_interval(values)
    if found.low is None or found.high is None:
        return f"{found.mean:.1f}"
    return f"{found.mean:.1f} ({found.low:.1f} to {found.high:.1f})"


def readme(text: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """The README with the tables of these rows."""
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    if TARGET.exists():
        full = json.loads(TARGET.read_text())
        made = f"{len(full['runs'])} run{'s' * (len(full['runs']) > 1)} of {full['epochs']} epochs of the bare loop"
        goal = f"Target: {target():.2f} nats, {LESS:g} less than the mean test ELBO of {made}, {full['elbo']:.2f}.\n"
    else:
        goal = "No target yet: `python benchmarks/speedrun/run.py --target` sets it.\n"
    tables = "\n".join(f"\n### {name}\n\n{table(rows, device)}" for name, device in (("CPU", "cpu"), ("GPU", "cuda")))
    return f"{head}{BEGIN}\n\n{goal}{tables}\n{END}{tail}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, help=f"of each entry (default: {RUNS}), or of the target ({SETTING})")
    parser.add_argument("--entries", nargs="+", choices=entries(), default=entries())
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--at-once", type=int, default=1, help="runs at a time, each on cores of its own (default: 1)")
    parser.add_argument("--again", action="store_true", help="forget what is there of the entries on the device")
    parser.add_argument("--target", action="store_true", help="set the target anew")
    parser.add_argument("--page", action="store_true", help="only write the tables")
    for name, kind in (("--one", str), ("--seed", int), ("--goal", float)):
        parser.add_argument(name, type=kind, help=argparse.SUPPRESS)
    parser.add_argument("--cores", type=int, nargs="+", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        if asked.cores:
            os.sched_setaffinity(0, asked.cores)
        torch.set_num_threads(asked.threads)
        print(json.dumps(one(asked.one, asked.seed, asked.device, asked.goal)))
        return
    if asked.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("--device cuda: torch sees no CUDA device")
    if asked.target:
        set_target(asked.runs or SETTING, asked.threads)
        return
    if not asked.page:
        race(asked.entries, asked.device, asked.runs or RUNS, asked.threads, asked.again, asked.at_once)
    rows = json.loads(RESULTS.read_text())["rows"] if RESULTS.exists() else []
    README.write_text(readme(README.read_text(), rows))


if __name__ == "__main__":
    main()
