"""Border: the check of what is distributed sees what lacks and what does not belong there; the papers beside it are sound."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from distribution import SOURCE, faults, faults_of_source, faults_of_wheel, package_files

HOME = Path(__file__).parents[1]
PROJECT = tomllib.loads((HOME / "pyproject.toml").read_text("utf-8"))["project"]
PACKAGE = package_files()
INFO = {f"latentbench-1.dist-info/{n}" for n in ("METADATA", "licenses/LICENSE", "licenses/LICENSE-THIRD-PARTY.md")}


def test_whole_ones_have_no_faults():
    assert faults_of_wheel(PACKAGE | INFO, PACKAGE) == []
    assert faults_of_source(PACKAGE | set(SOURCE), PACKAGE) == []
    assert {"latentbench/py.typed", "latentbench/report/page.html.jinja"} <= PACKAGE
    assert {p for p in SOURCE if not (HOME / p).is_file()} == set()


@pytest.mark.parametrize("lost", ["latentbench/py.typed", "latentbench/report/page.html.jinja"])
def test_what_lacks_is_named(lost):
    assert faults_of_wheel((PACKAGE | INFO) - {lost}, PACKAGE) == [f"{lost}: lacks"]
    assert faults_of_source((PACKAGE | set(SOURCE)) - {lost, "tox.ini"}, PACKAGE) == [
        f"{lost}: lacks",
        "tox.ini: lacks",
    ]


@pytest.mark.parametrize(
    "more", ["tests/conftest.py", "latentbench/__pycache__/core.cpython-311.pyc", "latentbench/w.safetensors"]
)
def test_what_does_not_belong_there_is_named(more):
    assert f"{more}: does not belong there" in faults_of_wheel(PACKAGE | INFO | {more}, PACKAGE)


def test_a_wheel_without_its_licences_is_found_out():
    assert len(faults_of_wheel(PACKAGE | {"latentbench-1.dist-info/METADATA"}, PACKAGE)) == 2


def test_an_empty_folder_is_no_release(tmp_path):
    assert [f.split(": ")[1] for f in faults(tmp_path)] == [
        "0 files *.whl, one is wanted",
        "0 files *.tar.gz, one is wanted",
    ]


def test_one_version_everywhere():
    """Of the package, the citation, the recipe and the changelog."""
    version = PROJECT["version"]
    assert f"\nversion: {version}\n" in (HOME / "CITATION.cff").read_text("utf-8")
    assert f'\n  version: "{version}"\n' in (HOME / "recipe" / "recipe.yaml").read_text("utf-8")
    assert f"\n## {version}" in (HOME / "CHANGELOG.md").read_text("utf-8")


def test_the_recipe_asks_for_what_the_package_needs():
    """The names of conda-forge differ for some: torch is pytorch, seaborn and matplotlib come without their extras."""
    renamed = {"torch": "pytorch", "matplotlib": "matplotlib-base", "seaborn": "seaborn-base"}
    wanted = {}
    for requirement in PROJECT["dependencies"]:
        name, bounds = re.fullmatch(r"([\w-]+)(.*)", requirement).groups()
        wanted[renamed.get(name, name)] = bounds
    recipe = (HOME / "recipe" / "recipe.yaml").read_text("utf-8")
    run = recipe.partition("\n  run:\n")[2].partition("\n\n")[0]
    found = dict(re.fullmatch(r"    - ([\w-]+) ?(.*)", line).groups() for line in run.splitlines())
    assert found.pop("python") == PROJECT["requires-python"]
    assert found == wanted


def test_actions_are_pinned_to_commits():
    """A tag can be moved to other code by whoever holds it, a commit cannot; the version behind it is for readers."""
    for path in (HOME / ".github" / "workflows").glob("*.yml"):
        for line in re.findall(r"uses: (.+)", path.read_text("utf-8")):
            assert re.fullmatch(r"[\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line), f"{path.name}: {line}"
