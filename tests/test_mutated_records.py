"""A records file that somebody changed, through every command that reads one: a line or a page, never a traceback."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import synthetic_run
from counts import note
from mutations import mutated

import latentbench as lb
from latentbench.cli import main

COUNT = int(os.environ.get("LATENTBENCH_FUZZ", "0")) or 40
"""Mutations, each through one command; `tox -e fuzz` asks for 1,600."""
FIRST = int(os.environ.get("LATENTBENCH_FUZZ_FROM", "0"))
"""Number of the first, to try others."""
COMMANDS = ("report", "compare", "history", "load", "measure")
LIMIT, PATIENCE = 20, 10
"""Seconds that a command may take of the processor, and how many times as many by the clock: others are at work too."""


class Late(BaseException):
    """A command takes too long. No error of the system's or of a library's: the program would say it in a line."""


@contextmanager
def within(seconds: int) -> Iterator[None]:
    """Raises `Late` in what takes longer."""

    def late(*_: object) -> None:
        raise Late(f"still at work after {seconds} s")

    timers = {signal.ITIMER_PROF: (signal.SIGPROF, seconds), signal.ITIMER_REAL: (signal.SIGALRM, PATIENCE * seconds)}
    before = {number: signal.signal(number, late) for number, _ in timers.values()}
    for timer, (_, length) in timers.items():
        signal.setitimer(timer, length)
    try:
        yield
    finally:
        for timer in timers:
            signal.setitimer(timer, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


def told(out: str) -> bool:
    """Whether the one line of a refusal is one, of a length and without what steers a terminal."""
    line = out.removesuffix("\n")
    return line.startswith("latentbench: ") and line.isprintable() and len(line) <= 300


def carry_out(command: str, folder: Path, whole: Path, out: Path) -> int:
    """The command on a mutated folder; its exit code. Raises whatever the command does."""
    if command == "report":
        return main(["report", str(folder), "--out", str(out)])
    if command == "compare":
        return main(["compare", str(whole), str(folder), "--out", str(out)])
    if command == "history":
        return main(["compare", "--history", str(whole), str(folder), "--out", str(out)])
    if command == "measure":
        return main(["measure", str(folder), "--metrics", "mse", "--dry-run"])
    try:
        lb.load(folder, "vae", 0)
    except ValueError as error:
        return 2 if "\n" not in str(error) else 1
    return 0


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthetic_run.build(tmp_path_factory.mktemp("whole") / "run")


def test_a_mutated_records_file_gives_a_line_or_a_page(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = (whole / "records.jsonl").read_bytes()
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    broken, counts, slowest = [], dict.fromkeys(("page", "line"), 0), 0.0
    for number in range(FIRST, FIRST + COUNT):
        changed, what = mutated(content, number)
        (folder / "records.jsonl").write_bytes(changed)
        command = COMMANDS[random.Random(number).randrange(len(COMMANDS))]
        out = tmp_path / f"{number}.html"
        begun = time.process_time()
        try:
            with within(LIMIT):
                code = carry_out(command, folder, whole, out)
            slowest = max(slowest, time.process_time() - begun)
        except BaseException as error:  # whatever it is, it is a finding
            broken.append(f"{number} {command} ({what}): {type(error).__name__}: {error!s:.200}")
            capsys.readouterr()
            continue
        refusal = capsys.readouterr().err
        lines = [line for line in refusal.splitlines() if not line.startswith("latentbench: note: ")]
        if code not in (0, 2) or (code == 2 and command != "load" and not (len(lines) == 1 and told(lines[0]))):
            broken.append(f"{number} {command} ({what}): exit {code}: {refusal!r:.300}")
        if code == 2 and out.exists():
            broken.append(f"{number} {command} ({what}): refused, and {out.name} was written")
        counts["line" if code else "page"] += 1
    note("mutated records", tried=COUNT, first=FIRST, broken=len(broken), slowest=round(slowest, 1), **counts)
    assert not broken, f"{len(broken)} of {COUNT}: " + "\n".join(broken)


def test_what_hangs_is_found(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the program says any error in a line."""

    def hang(*_: object, **__: object) -> None:
        while True:
            pass

    monkeypatch.setattr("latentbench.report.render", hang)
    with pytest.raises(Late), within(1):
        carry_out("report", whole, whole, whole.parent / "page.html")


def test_the_mutations_are_of_all_kinds(whole: Path) -> None:
    content = (whole / "records.jsonl").read_bytes()
    assert sum(mutated(content, n)[0] != content for n in range(200)) > 190
    assert len({mutated(content, n)[1].split(" ")[0] for n in range(200)}) > 20
