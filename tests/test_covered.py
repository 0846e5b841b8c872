"""The page of what the tests run: sums, the modules below the mark, and that a missing reason is seen."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

from covered import HOME, Lines, packages, page, read, reason

MODULES = {
    "latentbench/core.py": Lines(100, 90),
    "latentbench/adapters/keras.py": Lines(10, 1),
    "latentbench/adapters/onnx.py": Lines(30, 29),
    "latentbench/geometry/new.py": Lines(10, 8),
}


def test_packages_are_sums_of_their_modules():
    assert packages(MODULES)["latentbench/adapters"] == Lines(40, 30)


def test_the_page_names_what_is_below_the_mark_and_why():
    text = page(MODULES, "pytest")
    assert "**85.3%** of 150 lines" in text
    assert "| `latentbench/adapters/keras.py` | 10.0% | needs the library itself" in text
    assert "| `latentbench/geometry/new.py` | 80.0% | not known |" in text
    assert "core.py" not in text
    assert "None." in page({"latentbench/core.py": Lines(1, 1)}, "pytest")
    assert reason("latentbench/geometry/new.py") == ""


def test_paths_are_those_of_the_package_wherever_it_is_installed(tmp_path):
    summary = {"summary": {"num_statements": 3, "covered_lines": 2}}
    other = {"summary": {"num_statements": 3, "covered_lines": 0}}
    path = tmp_path / "coverage.json"
    installed, own, copied = (
        "/env/site-packages/latentbench/core.py",
        "latentbench/api.py",
        "/tmp/copy/latentbench/api.py",
    )
    path.write_text(
        json.dumps({"files": {installed: summary, own: summary, copied: other, "tests/latentbench.py": other}})
    )
    assert read(path) == {"latentbench/api.py": Lines(3, 2), "latentbench/core.py": Lines(3, 2)}


def test_what_a_process_has_run_is_kept_when_it_kills_its_own_group(tmp_path):
    """As a worker ends; coverage itself is stood in for, since only `tox -e cover` has it."""
    saving = "class Coverage:\n    current = classmethod(lambda c: c)\n    save = classmethod(lambda c: open('saved', 'x'))\n"
    (tmp_path / "coverage.py").write_text(saving)
    path = os.pathsep.join([str(HOME / "tests" / "covering"), str(tmp_path)])
    code = "import coverage, os, signal; os.killpg(0, signal.SIGKILL)"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": path}, start_new_session=True)
    assert done.returncode == -signal.SIGKILL
    assert (tmp_path / "saved").exists()
