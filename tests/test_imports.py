"""Border: what must be instant loads nothing heavy, and the report works on a machine with no torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import latentbench

HEAVY = ("torch", "sklearn", "umap", "pandas", "seaborn")


def loaded_after(code: str, names: tuple[str, ...]) -> set[str]:
    script = f"{code}\nimport sys\nprint('LOADED', *[m for m in {names!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120)
    return set(done.stdout.strip().splitlines()[-1].split()[1:])


@pytest.mark.parametrize("code", ["import latentbench", "from latentbench.cli import main; main(['--help'])",
                                  "from latentbench.cli import main; main(['run', '--help'])",
                                  "from latentbench.cli import main; main(['run', '--modls', 'ae'])"])  # fmt: skip
def test_nothing_heavy_is_loaded(code):
    assert loaded_after(code, HEAVY) == set()


@pytest.mark.parametrize(
    "module", ["report", "report.exports.tables", "report.wording.findings", "stats.findings", "records"]
)
def test_the_report_loads_no_torch(module):
    assert loaded_after(f"import latentbench.{module}", ("torch", "sklearn", "umap")) == set()


def test_the_check_itself_sees_torch():
    assert loaded_after("import latentbench.core", HEAVY) == {"torch"}


def test_no_module_outgrows_its_room():
    """At most fourteen modules in the hall, none of the package past 500 lines."""
    package = Path(latentbench.__file__).parent
    hall = [path.name for path in package.glob("*.py")]
    assert len(hall) <= 14, hall
    lines = {path: len(path.read_text("utf-8").splitlines()) for path in package.rglob("*.py")}
    assert {path: n for path, n in lines.items() if n > 500} == {}


def test_a_run_is_planned_without_what_it_may_never_need():
    """scipy takes an eighth of a second and scikit-learn more than one, before the first step of each run."""
    code = "import sys\nfrom latentbench.running import execute\nprint(sorted({'scipy', 'sklearn', 'pandas'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
