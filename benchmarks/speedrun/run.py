"""Seconds to a stated ELBO: every entry in turns, each run in a fresh process.

    python benchmarks/speedrun/run.py --target                 sets the target anew: full runs of the bare loop
    python benchmarks/speedrun/run.py                          20 runs of every entry, on one thread of this machine
    python benchmarks/speedrun/run.py --device cuda            the same on a GPU
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
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
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


def ask(name: str, seed: int, device: str, threads: int, goal: float) -> Row:
    """The same in a fresh process; raises SystemExit with its last line where it fails."""
    variables = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    env = {**MEMORY, **os.environ, **dict.fromkeys(variables, str(threads)), "LATENTBENCH_THREADS": str(threads)}
    command = [sys.executable, __file__, "--one", name, "--seed", str(seed), "--device", device, "--goal", repr(goal)]
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


def race(names: Sequence[str], device: str, runs: int, threads: int, again: bool) -> None:
    """All runs that are not there yet."""
    out = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"rows": []}
    goal = target()

    def of(row: Row) -> tuple[Any, ...]:
        return row["entry"], row["device"], row["seed"]

    if again:
        out["rows"] = [r for r in out["rows"] if not (r["device"] == device and r["entry"] in names)]
    done = {of(r) for r in out["rows"] if r["target"] == goal}
    out["rows"] = [r for r in out["rows"] if r["target"] == goal]
    machine = processor() if device == "cpu" else torch.cuda.get_device_name()
    for seed in range(runs):
        for name in names[::-1] if seed % 2 else names:
            if (name, device, seed) in done:
                continue
            about = {"entry": name, "device": device, "seed": seed, "target": goal, "threads": threads}
            about |= {"machine": machine, "torch": version("torch"), "python": platform.python_version()}
            out["rows"].append({**about, "on": _today(), **ask(name, seed, device, threads, goal)})
            print(
                f"{name}, run {seed}: {out['rows'][-1]['seconds']:.1f} s, {out['rows'][-1]['epochs']} epochs",
                flush=True,
            )
            RESULTS.write_text(json.dumps(out) + "\n")


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
    return "\n".join(lines) + (
        f"\n\n{last['machine']}, {last['threads']} thread{'s' * (last['threads'] > 1)}, torch {last['torch']}, {last['on']}; "
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
    parser.add_argument("--again", action="store_true", help="forget what is there of the entries on the device")
    parser.add_argument("--target", action="store_true", help="set the target anew")
    parser.add_argument("--page", action="store_true", help="only write the tables")
    for name, kind in (("--one", str), ("--seed", int), ("--goal", float)):
        parser.add_argument(name, type=kind, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        torch.set_num_threads(asked.threads)
        print(json.dumps(one(asked.one, asked.seed, asked.device, asked.goal)))
        return
    if asked.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("--device cuda: torch sees no CUDA device")
    if asked.target:
        set_target(asked.runs or SETTING, asked.threads)
        return
    if not asked.page:
        race(asked.entries, asked.device, asked.runs or RUNS, asked.threads, asked.again)
    rows = json.loads(RESULTS.read_text())["rows"] if RESULTS.exists() else []
    README.write_text(readme(README.read_text(), rows))


if __name__ == "__main__":
    main()
