"""Which lines of the package do the tests run? `python tests/covered.py PYTEST-ARGUMENTS` (by `tox -e cover`).

The tests are run under coverage, and so is every process that they start: workers, the command line, the xdist processes.
What a worker has run counts although it ends by SIGKILL: see covering/sitecustomize.py.
Writes docs/coverage-of-tests.md: a row for every package, and each module of which less than `ENOUGH` is run, with the reason
in `WHY`. Exits with 1 where such a module has no reason there, and with pytest's own code where a test failed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

HOME = Path(__file__).parents[1]
PAGE = HOME / "docs" / "coverage-of-tests.md"
ENOUGH = 0.85
WHY = {
    "latentbench/running/ray_*.py": "needs a Ray cluster: `tox -e ray` runs it, this suite only what it refuses",
    "latentbench/adapters/*.py": "needs the library itself: `tox -e adapters` runs it with the real packages",
    "latentbench/evaluating/progress.py": "the bar that a terminal is shown; tests have none",
    "latentbench/report/story/pictures.py": "no run of the suite has two latent dimensions or the study's linear model to draw",
    "latentbench/datasets/h5*.py": "needs packages of its own: `tox -e formats` runs it",
    "latentbench/datasets/parquet.py": "needs packages of its own: `tox -e formats` runs it",
    "latentbench/datasets/hf.py": "needs packages of its own: `tox -e formats` runs it",
}
"""Why so little of a module is run by the default suite: a pattern of paths -> a reason."""


class Lines(NamedTuple):
    """How many lines hold code, and how many of them were run."""

    all: int
    run: int

    @property
    def share(self) -> float:
        """In [0, 1]; 1 where there is no code."""
        return self.run / self.all if self.all else 1.0


def reason(path: str) -> str:
    """Why little of a module is run; empty where none is known."""
    return next((why for pattern, why in WHY.items() if fnmatch(path, pattern)), "")


def packages(modules: Mapping[str, Lines]) -> dict[str, Lines]:
    """The sums of each folder's modules, by its path."""
    sums: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for path, lines in modules.items():
        total = sums[str(Path(path).parent)]
        total[0] += lines.all
        total[1] += lines.run
    return {folder: Lines(*total) for folder, total in sorted(sums.items())}


def page(modules: Mapping[str, Lines], command: str) -> str:
    """The page, in Markdown."""
    whole = Lines(sum(m.all for m in modules.values()), sum(m.run for m in modules.values()))
    few = sorted((m.share, path) for path, m in modules.items() if m.share < ENOUGH)
    rows = [f"| `{folder}` | {m.all:,} | {m.share:.1%} |" for folder, m in packages(modules).items()]
    named = [f"| `{path}` | {share:.1%} | {reason(path) or 'not known'} |" for share, path in few]
    return "\n".join(
        [
            "# What the tests run",
            "",
            f"Written by `tox -e cover`, which runs `{command}` and measures the processes that tests start too: "
            f"**{whole.share:.1%}** of {whole.all:,} lines of code. That a line was run does not say that a test would notice "
            "if it were wrong: for that see the known answers and references in [measures.md](measures.md).",
            "",
            "| package | lines | run |",
            "| --- | ---: | ---: |",
            *rows,
            "",
            f"## Modules of which less than {ENOUGH:.0%} is run",
            "",
            *(["| module | run | why |", "| --- | ---: | --- |", *named] if few else ["None."]),
            "",
        ]
    )


def read(measured: Path) -> dict[str, Lines]:
    """The lines of every module, from what `coverage json` wrote in `HOME`. Copies of the package that tests have made elsewhere,
    to change them, are other modules."""
    files = json.loads(measured.read_text("utf-8"))["files"]
    installed = "site-packages/"
    inside = {
        path.rpartition(installed)[2]: f
        for path, f in files.items()
        if installed in path or not Path(path).is_absolute()
    }
    return {
        p: Lines(f["summary"]["num_statements"], f["summary"]["covered_lines"])
        for p, f in sorted(inside.items())
        if p.startswith("latentbench/")
    }


def main(arguments: list[str]) -> int:
    """See the module's docstring."""
    coverage = [sys.executable, "-m", "coverage"]
    path = os.pathsep.join(filter(None, [str(HOME / "tests" / "covering"), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": path}
    tested = subprocess.run([*coverage, "run", "-m", "pytest", *arguments], cwd=HOME, env=environment).returncode
    with tempfile.TemporaryDirectory() as folder:
        measured = Path(folder) / "coverage.json"
        # It combines what every process has written: once, for a second time it would keep only what came since.
        own = "--include=latentbench/*,*/site-packages/latentbench/*"  # tests make copies, which are gone by now
        subprocess.run([*coverage, "json", "-q", own, "-o", str(measured)], cwd=HOME, check=True)
        modules = read(measured)
    PAGE.write_text(page(modules, " ".join(["pytest", *(f'"{a}"' if " " in a else a for a in arguments)])), "utf-8")
    unsaid = [path for path, m in modules.items() if m.share < ENOUGH and not reason(path)]
    print(*(f"{path}: {modules[path].share:.1%} is run, and WHY says no reason" for path in unsaid), sep="\n")
    return tested or bool(unsaid)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
