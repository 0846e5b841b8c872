"""A run killed at random moments comes back whole: how often, of how many kills. By hand: tox -e kill-storm.

    python benchmarks/kill_storm.py [--kills 200]       writes docs/durability.json and docs/durability.md; carries on

A *kill* is one run of two models with a judge, of whose main process SIGKILL is sent at a random moment of the time that
the undisturbed run takes (one of equal strata after another, so that all of the run is hit), then carried on with
``--resume``. Of every five one is killed again during ``--resume``, one is killed while its page is written, and one gets
SIGTERM instead. Afterwards nothing may be left running, nothing hidden may lie in the folder, and all of its files must be
those of the undisturbed run, byte for byte, but for timings, the environment and the clock.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from latentbench import records
from latentbench.run_folder import MANIFEST, RunFiles

DOCS = Path(__file__).parents[1] / "docs"
WORDS = ("run", "--models=ae,vae", "--seeds=1", "--epochs=2", "--latent-dim=2", "--width=8", "--no-cache", "--quiet",
         "--metrics=mse,kl,validity.normal", "--workers=2")  # fmt: skip
MARK = "LATENTBENCH_KILL_STORM"
WAYS = ("once", "once", "and during --resume", "during the report", "by SIGTERM")
PATIENCE, TIMEOUT = 20.0, 600.0
"""Seconds that what is killed may take to be gone, and any run to end."""


@dataclass(frozen=True)
class Storm:
    """One kill: how, when (seconds after the start; a share of the undisturbed run), how many units were whole then, and
    what was found afterwards (empty where all was well)."""

    way: str
    seconds: float
    share: float
    units: int
    over: bool
    orphans: int
    leftovers: int
    wrong: str


def start(out: Path, mark: str, *more: str) -> subprocess.Popen[bytes]:
    """A run into the folder, in a process whose descendants can be told by the mark."""
    return subprocess.Popen(
        [sys.executable, "-m", "latentbench", *WORDS, f"--out={out}", *more],
        env={**os.environ, MARK: mark}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def alive(mark: str) -> list[int]:
    """Processes that bear the mark, but for those that are over and not yet buried."""
    out = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={mark}".encode() in (path / "environ").read_bytes().split(b"\0"):
                out.append(int(path.name))
        except OSError:
            continue
    return out


def orphans(mark: str) -> int:
    """How many processes live on when they have had time to end."""
    deadline = time.monotonic() + PATIENCE
    while alive(mark) and time.monotonic() < deadline:
        time.sleep(0.1)
    return len(alive(mark))


def content(folder: Path) -> Mapping[str, Any]:
    """All of a run folder that equal runs share: bytes, and records without timings, environment and clock."""
    return dict(_content(folder))


def _content(folder: Path) -> Iterator[tuple[str, Any]]:
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        name = str(path.relative_to(folder))
        if path.name == "records.jsonl":
            rows = [r for r in records.read(path) if not r.is_timing]
            yield name, [replace(r, environment="", detail={} if r.kind == "run" else r.detail).to_json() for r in rows]
        elif path.name == MANIFEST:
            row = json.loads(path.read_text())
            timed = {"records.jsonl"} if path.parent.name.startswith(("train-", "time-")) else set()
            yield name, (row["parts"], row["made"], {k: v for k, v in row["files"].items() if k not in timed})
        elif path.suffix in (".html", ".md", ".csv") or path.name == "run.json":
            yield name, "holds times"
        else:
            yield name, records.file_digest(path)


def whole_units(folder: Path) -> int:
    """How many units have their name."""
    return sum(1 for _ in RunFiles(folder).units.glob(f"[a-z]*/{MANIFEST}"))


def kill(process: subprocess.Popen[bytes], out: Path, seconds: float, way: str) -> float:
    """Send the signal at its moment; returns the seconds after the start at which it was sent."""
    begun = time.monotonic()
    if way == "during the report":
        while not RunFiles(out).records.exists() and process.poll() is None:
            time.sleep(0.002)
        seconds = time.monotonic() - begun + seconds % 2.0
    while time.monotonic() - begun < seconds and process.poll() is None:
        time.sleep(0.002)
    process.send_signal(signal.SIGTERM if way == "by SIGTERM" else signal.SIGKILL)
    process.wait(TIMEOUT)
    return time.monotonic() - begun


def storm(number: int, of: int, usual: float, expected: Mapping[str, Any], place: Path) -> Storm:
    """One kill of a run, and what came of it."""
    random_ = random.Random(f"kill {number}")
    way, out, mark = WAYS[number % len(WAYS)], place / f"storm-{number}", f"{os.getpid()}-{number}"
    share = (number + random_.random()) / of * 1.02
    process = start(out, mark)
    sent = kill(process, out, share * usual, way)
    units, left = whole_units(out), orphans(mark)
    wrong = ""
    if way == "by SIGTERM":
        if process.returncode not in (0, 128 + signal.SIGTERM, -signal.SIGTERM):
            wrong = f"exit code {process.returncode} after SIGTERM"
        if hidden := [p.name for p in out.rglob(".*")]:
            wrong = f"SIGTERM left {', '.join(hidden)}"
    if way == "and during --resume":
        again = start(out, mark, "--resume")
        kill(again, out, random_.random() * usual, way)
        left += orphans(mark)
    over = RunFiles(out).state.exists() and getattr(RunFiles(out).read_state(), "status", "") == "finished"
    resumed = start(out, mark, "--resume")
    if code := resumed.wait(TIMEOUT):
        wrong = wrong or f"exit code {code} after --resume"
    left += orphans(mark)
    hidden = [str(p.relative_to(out)) for p in out.rglob(".*")]
    if not wrong:
        found = content(out)
        other = [n for n in sorted({*found, *expected}) if found.get(n) != expected.get(n)]
        wrong = f"not as undisturbed: {', '.join(other[:3])}" if other else ""
    shutil.rmtree(out, ignore_errors=not wrong)
    return Storm(way, round(sent, 3), round(share, 4), units, over, left, len(hidden), wrong)


def document(rows: list[dict[str, Any]], asked: int) -> str:
    """docs/durability.md: the counts."""
    well = [r for r in rows if not (r["wrong"] or r["orphans"] or r["leftovers"])]
    lines = [
        "# What a kill costs",
        "",
        f"A small run with a judge, killed at {len(rows)} random moments (of {asked} planned, stratified over the run) and "
        f"carried on: {len(well)} came back whole, equal to the undisturbed run byte for byte but for timings, environment "
        f"and clock. {sum(r['orphans'] for r in rows)} processes lived on, {sum(r['leftovers'] for r in rows)} hidden files "
        "were left. Written by `tox -e kill-storm`, which carries on.",
        "",
        "| how | kills | whole afterwards | before any unit | with some | when all was done |",
        "|---|---|---|---|---|---|",
    ]
    for way in dict.fromkeys(WAYS):
        some = [r for r in rows if r["way"] == way]
        early = sum(r["units"] == 0 for r in some)
        late = sum(r["over"] for r in some)
        whole = sum(r in well for r in some)
        lines.append(f"| {way} | {len(some)} | {whole} | {early} | {len(some) - early - late} | {late} |")
    lines += ["", *(f"- {r['way']}, {r['seconds']} s: {r['wrong']}" for r in rows if r["wrong"])]
    return "\n".join(lines).rstrip() + "\n"


def main() -> int:
    """Kill as many runs as are asked for, but for those that were killed before."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no kill after so many")
    parser.add_argument("--again", action="store_true", help="begin anew")
    parser.add_argument("--out", type=Path, default=DOCS / "durability.json")
    asked = parser.parse_args()
    rows = [] if asked.again or not asked.out.exists() else json.loads(asked.out.read_text())["kills"]
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="kill-storm-") as name:
        place = Path(name)
        started = time.monotonic()
        if start(place / "undisturbed", "undisturbed").wait(TIMEOUT):
            raise SystemExit("the undisturbed run fails")
        usual, expected = time.monotonic() - started, content(place / "undisturbed")
        # Far-apart strata first: wherever it is stopped, all of the run was hit.
        order = sorted(range(asked.kills), key=lambda n: int(f"{n:016b}"[::-1], 2))
        for number in order[len(rows) :]:
            if time.monotonic() - begun > asked.minutes * 60:
                break
            rows.append(asdict(storm(number, asked.kills, usual, expected, place)))
            records.write_text(asked.out, json.dumps({"planned": asked.kills, "kills": rows}, indent=1) + "\n")
            records.write_text(asked.out.with_suffix(".md"), document(rows, asked.kills))
            print(f"{len(rows)} of {asked.kills}: {rows[-1]}", flush=True)
    return int(any(r["wrong"] or r["orphans"] or r["leftovers"] for r in rows))


if __name__ == "__main__":
    sys.exit(main())
