"""Both sides of every case in turns, each call in a fresh process: ``python benchmarks/rivals/run.py --out FILE``.

A round visits us, a rival, the rival, us (A B B A), so a machine that gets slower in the middle favours nobody. The raw
results go to the JSON file after every process, with the machine, its load before and after, and the versions;
`table.py` makes the document of it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from cases import CASES, Case

from latentbench.machine import processor

HERE = Path(__file__).parent
PACKAGES = ("torch", "numpy", "scikit-learn", "prdc", "torchmetrics")
OURS = "latentbench"


def turns(case: Case, n: int, rounds: int) -> list[str]:
    """Who is asked, in order, at size ``n``."""
    rivals = [who for who, (_, most) in case.rivals.items() if n <= most]
    if not rivals:
        return [OURS] * (2 * rounds)
    return [who for _ in range(rounds) for rival in rivals for who in (OURS, rival, rival, OURS)]


def ask(case: Case, who: str, n: int, threads: int) -> dict[str, object]:
    """The measurement of one fresh process; raises where it fails."""
    number = str(threads)
    env = os.environ | {f"{x}_NUM_THREADS": number for x in ("OMP", "MKL", "OPENBLAS", "NUMBA")}
    command = [sys.executable, str(HERE / "one.py"), case.name, who, str(n), number]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{case.name}, {who}, n = {n}: {done.stderr.strip().splitlines()[-1:]}")
    return {**json.loads(done.stdout.splitlines()[-1]), "load": os.getloadavg()[0]}


def agree(case: Case, runs: list[dict[str, object]]) -> None:
    """Raises where two sides answered differently."""
    answers = [r["answer"] for r in runs]
    for other in answers:
        if any(abs(x - y) > case.tolerance * max(abs(x), 1e-300) for x, y in zip(answers[0], other, strict=True)):
            raise SystemExit(f"{case.name}: the answers differ: {answers[0]} and {other}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=4, help="A B B A rounds at N up to 10,000")
    parser.add_argument("--rounds-large", type=int, default=1, help="the same beyond")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--cases", nargs="+", default=[c.name for c in CASES])
    parser.add_argument("--most", type=int, default=100_000, help="largest N")
    asked = parser.parse_args()
    machine = {"processor": processor(), "cores": os.cpu_count(), "python": platform.python_version()}
    out = {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine,
        "versions": {p: version(p) for p in PACKAGES},
        "runs": [],
    }
    for case in (c for c in CASES if c.name in asked.cases):
        for n in (n for n in case.sizes if n <= asked.most):
            for threads in asked.threads if n < 100_000 else asked.threads[:1]:
                runs = []
                for who in turns(case, n, asked.rounds if n <= 10_000 else asked.rounds_large):
                    runs.append(ask(case, who, n, threads))
                    print(case.name, who, n, threads, f"{runs[-1]['wall']:.3f} s", flush=True)
                    out["runs"] = [*out["runs"], runs[-1]]
                    asked.out.write_text(json.dumps(out))
                agree(case, runs)


if __name__ == "__main__":
    main()
