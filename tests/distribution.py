"""What must be in the source distribution and the wheel, and what must not: `python tests/distribution.py DIR`, by `tox -e dist`.

Everything that the package reads beside its code (templates, styles, scripts, catalogs, studies) must be in both; the source
distribution must hold what its own tests read. Neither may hold data, weights, caches or another's package.
"""

from __future__ import annotations

import sys
import tarfile
import zipfile
from collections.abc import Iterable
from fnmatch import fnmatch
from pathlib import Path

HOME = Path(__file__).parents[1]
CODE = (".py", ".typed", ".jinja", ".css", ".js", ".po", ".toml")
"""Endings of what lies under ``latentbench`` and belongs to it."""
SOURCE = (
    "pyproject.toml", "tox.ini", "babel.cfg", "README.md", "README.zh-CN.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md",
    "CODE_OF_CONDUCT.md", "CITATION.cff", "recipe/recipe.yaml", "LICENSE", "LICENSE-THIRD-PARTY.md", "docs/report.png", "reports/example/report.html",
    "tests/conftest.py", "tests/shapes.py", "tests/axe-core/LICENSE", "tests/axe-core/axe.min.js", "benchmarks/baseline/records.jsonl",
)  # fmt: skip
"""What the source distribution must hold besides."""
NEVER = (
    "*.pyc", "*__pycache__*", "*.safetensors", "*.pt", "*.pth", "*.pkl", "*.joblib", ".git/*", "*/.git/*", ".tox/*", ".venv*", "data/*",
    "*.egg-info/*", ".mypy_cache/*", ".ruff_cache/*", "*.DS_Store", ".coverage*",
)  # fmt: skip
"""What neither may hold."""
LARGEST = {".whl": 3e6, ".gz": 30e6}
"""Bytes that a distribution may have at most."""


def package_files() -> set[str]:
    """What lies under ``latentbench`` in the working tree and belongs to it."""
    return {p.relative_to(HOME).as_posix() for p in (HOME / "latentbench").rglob("*") if p.suffix in CODE}


def faults_of_wheel(names: Iterable[str], package: set[str]) -> list[str]:
    """What is wrong with a wheel of these files, a line each."""
    held = set(names)
    others = [n for n in held if n.split("/")[0] != "latentbench" and ".dist-info/" not in n]
    licences = [
        n
        for n in ("LICENSE", "LICENSE-THIRD-PARTY.md")
        if not any(fnmatch(h, f"*.dist-info/licenses/{n}") for h in held)
    ]
    return [*missing(package, held), *(f"{n}: does not belong there" for n in sorted(others) + unwanted(held)),
            *(f"{n}: lacks" for n in licences)]  # fmt: skip


def faults_of_source(names: Iterable[str], package: set[str]) -> list[str]:
    """What is wrong with a source distribution of these files (without the folder that holds them all), a line each."""
    held = set(names)
    return [*missing(package | set(SOURCE), held), *(f"{n}: does not belong there" for n in unwanted(held))]


def missing(wanted: set[str], held: set[str]) -> list[str]:
    """A line for each file that is lacking."""
    return [f"{name}: lacks" for name in sorted(wanted - held)]


def unwanted(held: set[str]) -> list[str]:
    """The files that no distribution may hold."""
    return sorted(n for n in held if any(fnmatch(n, pattern) for pattern in NEVER))


def faults(folder: Path) -> list[str]:
    """What is wrong with the one wheel and the one source distribution of a folder, a line each."""
    found = []
    for pattern in ("*.whl", "*.tar.gz"):
        paths = sorted(folder.glob(pattern))
        if len(paths) != 1:
            found.append(f"{folder}: {len(paths)} files {pattern}, one is wanted")
            continue
        path, package = paths[0], package_files()
        if path.stat().st_size > LARGEST[path.suffix]:
            found.append(f"{path.name}: {path.stat().st_size:,} bytes, {LARGEST[path.suffix]:,.0f} are allowed")
        if path.suffix == ".whl":
            with zipfile.ZipFile(path) as wheel:
                found += [f"{path.name}: {f}" for f in faults_of_wheel(wheel.namelist(), package)]
        else:
            with tarfile.open(path) as source:
                names = [m.name.partition("/")[2] for m in source.getmembers() if m.isfile()]
            found += [f"{path.name}: {f}" for f in faults_of_source(names, package)]
    return found


if __name__ == "__main__":
    lines = faults(Path(sys.argv[1]))
    print(*lines or ["the wheel and the source distribution hold what they must"], sep="\n")
    sys.exit(bool(lines))
