"""Two revisions of a repository side by side: each a folder of its own, with the same benchmarks laid over both.

A revision is checked out into a clone that shares the repository's objects: nothing is copied, and the repository
itself, its index and its list of worktrees, stays untouched, also where the process is killed. The working tree is a
revision too: what `git stash create` would put away, without putting it away.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

TREE = "working tree"
"""How the working tree is called where a revision's name stands."""


@dataclass(frozen=True)
class Checkout:
    """One revision in a folder: ``name`` as asked for, ``sha`` its commit, ``root`` where it lies."""

    name: str
    sha: str
    root: Path

    @property
    def label(self) -> str:
        """Name and short commit: ``main (1a2b3c4d)``."""
        return f"{self.name} ({self.sha[:8]})"

    @property
    def import_path(self) -> list[str]:
        """What comes first on the path of modules: the checkout, and its ``src`` where it has one."""
        source = self.root / "src"
        return [str(source)] * source.is_dir() + [str(self.root)]


def git(folder: Path, *words: str) -> str:
    """What ``git`` prints. Raises ValueError, in one line, where it fails or is not installed."""
    try:
        done = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise ValueError("gate: git is not installed, and the gate compares git revisions") from None
    if done.returncode:
        why = (done.stderr.strip().splitlines() or ["no reason given"])[-1].removeprefix("fatal: ")
        raise ValueError(f"gate: git {words[0]} failed in {folder}: {why}")
    return done.stdout.strip()


def repository(folder: Path) -> Path:
    """The top of the repository that a folder lies in. Raises ValueError where there is none."""
    return Path(git(folder, "rev-parse", "--show-toplevel"))


def resolve(root: Path, revision: str, option: str) -> str:
    """The commit of a revision. Raises ValueError that names the option and, for a shallow clone, the way out."""
    if revision == TREE:
        return git(root, "stash", "create") or git(root, "rev-parse", "HEAD")
    try:
        return git(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    except ValueError:
        shallow = git(root, "rev-parse", "--is-shallow-repository") == "true"
        hint = "; this clone is shallow: fetch its history (`git fetch --unshallow`)" if shallow else ""
        raise ValueError(f"gate: {option} {revision!r} is no revision of {root}{hint}") from None


def check_out(root: Path, name: str, sha: str, where: Path) -> Checkout:
    """Lay the commit out in the new folder ``where``."""
    git(root, "clone", "--quiet", "--shared", "--no-checkout", str(root), str(where))
    git(where, "-c", "advice.detachedHead=false", "checkout", "--quiet", "--detach", sha)
    return Checkout(name, sha, where)


def lay_over(suite: Path, checkout: Checkout, place: Path) -> None:
    """Put the benchmarks ``suite`` (a file or a folder) into the checkout at the relative ``place``, over what is
    there: both sides are to do the same work."""
    target = checkout.root / place
    target.parent.mkdir(parents=True, exist_ok=True)
    if suite.is_dir():
        shutil.copytree(suite, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy2(suite, target)
