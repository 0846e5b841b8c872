"""Input that cannot be, over every command: one line without control characters, exit 2, nothing left."""

from __future__ import annotations

import os
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import synthetic_run
from counts import note
from hypothesis import HealthCheck, Phase, given, settings
from malformed import Case, malformed
from test_mutated_records import LIMIT, told, within

import latentbench as lb
from latentbench.cli import main

COUNT = 100 if not os.environ.get("LATENTBENCH_FUZZ") else 1000
"""Inputs; `tox -e fuzz` asks for more."""

USERS = {
    "user_raises": "raise KeyError('broken while imported')",
    "user_exits": "import sys\nsys.exit('left while imported')",
    "user_syntax": "def Model(:\n",
    "user_builds": "def Model(shape, latent_dim):\n    return {}['nothing']",
    "user_lacks": "class Model:\n    def __init__(self, shape, latent_dim): pass",
    "user_leaves": "def Model(shape, latent_dim):\n    raise SystemExit(0)",
    "user_number": "Model = 5",
}
"""Modules with models that cannot be."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run, and with what is none."""
    tmp = tmp_path_factory.mktemp("place")
    synthetic_run.build(tmp / "whole")
    (tmp / "torn").mkdir()
    (tmp / "torn" / "records.jsonl").write_bytes((tmp / "whole" / "records.jsonl").read_bytes()[:5000])
    (tmp / "junk").write_text("neither\x1b[31m this nor that\n")
    (tmp / "empty").mkdir()
    os.mkfifo(tmp / "fifo")
    (tmp / "loop").symlink_to(tmp / "loop")
    np.savez(tmp / "pickle.npz", x=np.full(10, None))
    bomb(tmp / "bomb.npz")
    bomb(tmp / "liar.npz", told=10**15)
    for name, text in USERS.items():
        (tmp / f"{name}.py").write_text(text)
    return tmp


def bomb(path: Path, told: int = 0) -> None:
    """An archive of a few hundred kilobytes with 64 GiB of zeros declared, or a header that declares what is not there."""
    count = told or 2**36
    head = f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({count // 1024}, 32, 32), }}".ljust(117) + "\n"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file, file.open("x.npy", "w", force_zip64=True) as member:
        member.write(b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head.encode())
        member.write(bytes(2**20))


def listing(place: Path) -> dict[str, int]:
    """Everything in a folder, with its size."""
    return {str(p.relative_to(place)): p.lstat().st_size for p in place.rglob("*") if "__pycache__" not in p.parts}


def outcome(case: Case, place: Path) -> tuple[int, str]:
    """The exit code of a command line, or 2 where a call raises what it may; and what the call said."""
    words = [w.replace("{tmp}", str(place)) for w in case.words]
    if case.kind == "call":
        try:
            lb.run(**{"dry_run": True, "quiet": True, **case.settings})
        except (ValueError, TypeError) as error:
            return 2, str(error)
        return 0, ""
    if case.kind == "toml":
        file = place / "asked.toml"
        file.write_text(case.toml)
        try:
            return main(["run", "--dry-run", "--config", str(file)]), ""
        finally:
            file.unlink()
    return main(words), ""


def test_input_that_cannot_be_is_refused_in_one_line(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(place)
    before, broken, seen, slowest = listing(place), [], set(), [0.0]

    def unchanged(what: str) -> None:
        if (now := listing(place)) != before:
            broken.append(f"{what!r}: left {sorted(now.items() - before.items())[:3]}")
            before.clear()
            before.update(now)

    @settings(
        max_examples=COUNT, deadline=None, derandomize=True, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(malformed())
    def each(case: Case) -> None:
        if repr(case) in seen:
            return
        seen.add(repr(case))
        what = f"{case.words or dict(case.settings) or case.toml or ''} {dict(case.environment) or ''}"[:160]
        try:
            begun = time.process_time()
            with monkeypatch.context() as patch, within(LIMIT):
                for name, value in case.environment.items():
                    patch.setenv(name, value.replace("{tmp}", str(place)))
                code, said = outcome(case, place)
        except BaseException as error:  # whatever it is, it is a finding
            broken.append(f"{what!r}: {type(error).__name__}: {error!s:.160}")
            capsys.readouterr()
            unchanged(what)
            return
        slowest.append(time.process_time() - begun)
        printed = capsys.readouterr()
        lines = [line for line in printed.err.splitlines() if not line.startswith("latentbench: note: ")]
        if code != 2:
            broken.append(f"{what!r}: exit {code}: {printed.out!r:.80} {printed.err!r:.80}")
        elif case.kind == "call":
            if "\n" in said or not said.isprintable():
                broken.append(f"{what!r}: {said!r:.160}")
        elif len(lines) != 1 or not told(lines[0]) or printed.out:
            broken.append(f"{what!r}: {printed.err!r:.200} {printed.out!r:.80}")
        unchanged(what)

    each()
    note("malformed input", tried=len(seen), broken=len(broken), slowest=round(max(slowest), 1))
    assert not broken, f"{len(broken)} of {len(seen)}:\n" + "\n".join(broken)
