"""A run killed at any moment comes back whole: how often, of how many kills. By hand: tox -e kill-storm.

    python benchmarks/kill_storm.py [--kills 200]       writes docs/durability.json and docs/durability.md; carries on

A *kill* is one run of two models, two seeds and a judge, with one worker, that gets a signal at a moment named by how far
its own work is (see `victim.py`), and is then carried on with ``--resume``. Half of the moments lie just before or after a
write, drawn from all writes alike; a quarter anywhere between two of them, drawn by the time the undisturbed run takes
there; a quarter while records and page are written. Afterwards: nothing may be left running, nothing hidden may lie in the
folder, nothing among temporary files; no unit that was whole may have been computed again; all files must be those of the
undisturbed run, byte for byte, but for timings, the environment and the clock; each exit code must be the promised one.

The main process is forked from this one, which has loaded what it needs (a start that is interrupted while modules are
loaded is tests/test_killed.py's); the worker is started as always.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from durability_page import DOCS, PHASES, well
from durability_page import write as write_page
from victim import MARK, SENT, Order, read_log, run

from latentbench import records, report
from latentbench.cli import main as program
from latentbench.run_folder import ARTIFACTS, MAKING, MANIFEST, RunFiles
from latentbench.running import manifest

WORDS = ("run", "--models=ae,vae", "--seeds=2", "--epochs=2", "--latent-dim=2", "--width=8", "--no-cache", "--quiet",
         "--metrics=mse,kl,validity.normal", "--workers=1", "--device=cpu")  # fmt: skip
KILL, BOTH, AGAIN = "SIGKILL", "SIGKILL to main process and worker", "SIGKILL, and once more during --resume"
WAYS = (KILL, "SIGTERM", BOTH, KILL, AGAIN, KILL, "SIGINT", KILL, "SIGHUP", BOTH,
        KILL, AGAIN, "SIGTERM", KILL, "SIGINT", BOTH, KILL, "SIGHUP", AGAIN, KILL)  # fmt: skip
AIMS = ("at a write", "between writes", "at a write", "while records and page are written")
PATIENCE, TIMEOUT = 20.0, 600.0
"""Seconds that what is killed may take to be gone, and any run to end."""


@dataclass(frozen=True)
class Kill:
    """One kill: its number, the way, what it aimed at; the last point before it, what that was, in which phase of the run, how
    many units were whole then and whether all was over; and what was found afterwards: processes, files that should
    not be there, and what was ``wrong``. A kill whose moment never came has no ``point``."""

    number: int
    way: str
    aim: str
    point: int | None
    what: str
    phase: str
    units: int
    over: bool
    orphans: int
    leftovers: Sequence[str]
    wrong: str


@dataclass(frozen=True)
class Undisturbed:
    """What the run is where nobody kills it: its points, the first that writes what is put together at the end, and its
    content."""

    points: Sequence[tuple[float, str]]
    report: int
    content: Mapping[str, Any]


def start(place: Path, order: Order, mark: str, *more: str) -> int:
    """The run in a process of its own, forked from this one; returns its number."""
    process = os.fork()
    if process:
        return process
    code = 99
    try:
        os.setpgid(0, 0)
        code = run([*WORDS, f"--out={order.out}", *more], order, mark, place)
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        os._exit(code)


def ended(process: int) -> int:
    """The exit code of a process, or the negative number of the signal that ended it."""
    deadline = time.monotonic() + TIMEOUT
    while time.monotonic() < deadline:
        number, status = os.waitpid(process, os.WNOHANG)
        if number:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    raise TimeoutError(f"still at work after {TIMEOUT:.0f} s")


def alive(mark: str) -> list[int]:
    """Processes that bear the mark, but for those that are over and not yet buried."""
    out = []
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"{MARK}={mark}".encode() in (path / "environ").read_bytes().split(b"\0"):
                out.append(int(path.name))
    return out


def orphans(mark: str) -> int:
    """How many processes live on when they have had time to end."""
    deadline = time.monotonic() + PATIENCE
    while (left := alive(mark)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return len(left)


def content(folder: Path) -> dict[str, Any]:
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


def whole_units(folder: Path) -> dict[str, int]:
    """The units that are whole, with when their manifest was written."""
    found = {p.name: manifest.read(p) for p in RunFiles(folder).units.glob("[a-z]*-*")}
    return {name: (unit.folder / MANIFEST).stat().st_mtime_ns for name, unit in found.items() if unit and unit.is_whole}


def hidden(folder: Path) -> list[str]:
    """What lies hidden in a run folder."""
    return sorted(str(p.relative_to(folder)) for p in folder.rglob(".*"))


def is_over(folder: Path) -> bool:
    """Whether the folder says of itself that its run is finished."""
    state = RunFiles(folder).read_state()
    return state is not None and state.status == "finished"


def undisturbed(place: Path) -> Undisturbed:
    """The run that all others are to equal."""
    place.mkdir()
    order = Order(str(place / "run"), str(place / "log"))
    if code := ended(start(place, order, "undisturbed")):
        raise SystemExit(f"the undisturbed run ends with {code}: {(place / 'printed').read_text()[-2000:]}")
    points = read_log(Path(order.log))
    last = next(n for n, (_, what) in enumerate(points) if _is_of_the_end(what.partition(" ")[2]))
    return Undisturbed(points, last, content(place / "run"))


def _is_of_the_end(path: str) -> bool:
    return "/" not in path and "records.jsonl" in path


def phase(points: Sequence[tuple[float, str]], at: int) -> str:
    """What the run was at after a point: the kind of the unit that was last begun, or the end."""
    paths = [what.partition(" ")[2] for _, what in points[: at + 1]]
    if any(map(_is_of_the_end, paths)):
        return PHASES[-1]
    places = (path.removeprefix(f"{ARTIFACTS}/{MAKING}").removeprefix("jobs/.") for path in reversed(paths))
    return next((p for place in places for p in PHASES[1:-1] if place.startswith(f"{p}-")), PHASES[0])


def moment(number: int, usual: Undisturbed, out: Path, log: Path) -> tuple[Order, str, str]:
    """The order for a kill, its way and its aim. Of moments of one aim each is as far as can be from those before it."""
    way, aim = WAYS[number % len(WAYS)], AIMS[(number + number // len(WAYS)) % len(AIMS)]
    chance, share = random.Random(f"kill {number}"), (number * 0.6180339887498949) % 1.0
    times = [seconds for seconds, _ in usual.points]
    first = usual.report if aim == AIMS[3] else 0
    both, name = way == BOTH, "SIGKILL" if way.startswith("SIGKILL") else way
    if aim == AIMS[1] or (aim == AIMS[3] and chance.random() < 0.5):
        wanted = times[first] + share * (times[-1] - times[first])
        at = max(n for n, seconds in enumerate(times) if seconds <= wanted)
        return Order(str(out), str(log), at, "later", wanted - times[at], name, both), way, aim
    at = first + int(share * (len(times) - first))
    return Order(str(out), str(log), at, chance.choice(("before", "after")), 0.0, name, both), way, aim


def storm(number: int, usual: Undisturbed, place: Path, keep: Path | None) -> Kill:
    """One kill of a run, and what came of it. ``keep``: where the folder is copied to when all was not well."""
    place.mkdir()
    out, mark = place / "run", f"{os.getpid()}-{number}"
    order, way, aim = moment(number, usual, out, place / "log")
    code = ended(start(place, order, mark))
    left = orphans(mark)
    wrong = _wrong_end(code, order, out, (place / "printed").read_text(errors="replace"))
    whole, over = whole_units(out), is_over(out)
    if way == AGAIN:
        rest = max(1, len(usual.points) - (order.at or 0))
        again = replace(order, log=str(place / "log-again"), at=random.Random(f"again {number}").randrange(rest))
        ended(start(place, again, mark, "--resume"))
        left += orphans(mark)
        whole |= whole_units(out)
    code = ended(start(place, Order(str(out), str(place / "log-resumed")), mark, "--resume"))
    left += orphans(mark)
    printed = (place / "printed").read_text(errors="replace")
    wrong = wrong or (f"exit code {code} after --resume: {printed[-300:]}" if code else _difference(out, usual, whole))
    leftovers = [*hidden(out), *(f"tmp/{p.name}" for p in (place / "tmp").iterdir())]
    points = read_log(place / "log")
    sent = next((n - 1 for n, (_, what) in enumerate(points) if what == SENT), None)
    what = points[sent][1] if sent is not None else ""
    told = phase(points, sent) if sent is not None else PHASES[-1]
    kill = Kill(number, way, aim, sent, what, told, len(whole), over, left, leftovers, wrong)
    if keep and not well(asdict(kill)):
        shutil.copytree(place, keep / place.name, symlinks=True, dirs_exist_ok=True)
    shutil.rmtree(place)
    return kill


def _wrong_end(code: int, order: Order, out: Path, printed: str) -> str:
    """What is wrong with how the run ended that got a signal; empty where nothing is."""
    number = int(signal.Signals[order.signal])
    if order.signal == "SIGKILL":
        return "" if code in (0, -number) else f"exit code {code} after SIGKILL: {printed[-300:]}"
    if code not in (0, 128 + number):
        return f"exit code {code} after {order.signal}: {printed[-300:]}"
    if "Traceback" in printed:
        return f"a traceback after {order.signal}: {printed[-300:]}"
    if code and "interrupted" not in printed.strip().rpartition("\n")[2]:
        return f"after {order.signal} the last line is {printed.strip().rpartition(chr(10))[2]!r}"
    return f"{order.signal} left {', '.join(hidden(out)[:3])}" if hidden(out) else ""


def _difference(out: Path, usual: Undisturbed, whole: Mapping[str, int]) -> str:
    """How what was carried on differs from what was not disturbed; empty where it does not."""
    now = whole_units(out)
    if again := [name for name, written in whole.items() if now.get(name) != written]:
        return f"whole before, and computed again: {', '.join(again[:3])}"
    if not is_over(out):
        return "not finished after --resume"
    found = content(out)
    other = [n for n in sorted({*found, *usual.content}) if found.get(n) != usual.content.get(n)]
    return f"not as undisturbed: {', '.join(other[:3])}" if other else ""


def main() -> int:
    """Kill as many runs as are asked for, but for those that were killed before and came back whole."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no kill after so many")
    parser.add_argument("--again", action="store_true", help="begin anew")
    parser.add_argument("--keep", type=Path, help="keep here the folders of runs that did not come back whole")
    parser.add_argument("--docs", type=Path, default=DOCS, help="folder of durability.json and durability.md")
    asked = parser.parse_args()
    counted = asked.docs / "durability.json"
    before = {} if asked.again or not counted.exists() else json.loads(counted.read_text())
    # What was found and is mended since is killed once more, and stays told.
    rows = [r for r in before.get("kills", []) if well(r)]
    found = before.get("found", []) + [r for r in before.get("kills", []) if not well(r)]
    begun = time.monotonic()
    report.load()
    with tempfile.TemporaryDirectory(prefix="kill-storm-") as name:
        place = Path(name).resolve()
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            program([*WORDS, f"--out={place / 'planned'}", "--dry-run"])
        usual = undisturbed(place / "undisturbed")
        print(f"undisturbed: {len(usual.points)} points, {time.monotonic() - begun:.1f} s", flush=True)
        done = {r["number"] for r in rows}
        for number in (n for n in range(asked.kills) if n not in done):
            if time.monotonic() - begun > asked.minutes * 60:
                break
            before_it = os.times()
            rows.append(asdict(storm(number, usual, place / f"kill-{number}", asked.keep)))
            spent = sum(os.times()[2:4]) - sum(before_it[2:4])
            counts = {"planned": asked.kills, "found": found, "kills": rows}
            records.write_text(counted, json.dumps(counts, indent=1) + "\n")
            write_page(asked.docs)
            print(f"{len(rows)} of {asked.kills} ({spent:.1f} CPU-s): {rows[-1]}", flush=True)
    return int(not all(map(well, rows)))


def _alone() -> None:
    """Begin anew with one thread, said before anything is loaded that would start more: what is forked must have none."""
    one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
    if not one.items() <= os.environ.items():
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **one})


if __name__ == "__main__":
    _alone()
    sys.exit(main())
