"""The code that a number came from, as a hash: a module's source and that of all it imports of its own package.

A result may stand in for a new one only where the code that would compute it anew is the same: a version number says that
of a release, and of nothing that is being worked on.
"""

from __future__ import annotations

import hashlib
import inspect
import re
import sys
from functools import cache, partial
from importlib.util import resolve_name
from pathlib import Path
from typing import Any

from latentbench import __version__

INSTALLED = frozenset({"site-packages", "dist-packages"})
GAP = r"(?:[ \t\f]|\\\n)"
IMPORT = re.compile(
    rf"(?:^|[:;]){GAP}*(?:from\b(?P<home>(?:[.\w]|{GAP})*)\b)?import\b{GAP}*"
    r"(?:\((?P<several>(?:[^()#]|#.*\n)*)\)|(?P<line>(?:[^\n;#\\]|\\\n)+))",
    re.MULTILINE,
)
"""An import, wherever a statement may begin, be it in a docstring: one too many costs no more than that something is computed
anew once more. To parse all modules takes five times as long, at the start of every run."""
CHECKED = re.compile(r"^([ \t]*)if (?:typing\.)?TYPE_CHECKING:.*\n(?:\1[ \t]+.*\n|[ \t]*\n)*", re.MULTILINE)
"""What only a type checker reads."""
NAME, IGNORED = re.compile(r"(?:^|,)\s*([^\W\d]\w*(?:\.\w+)*)"), re.compile(r"#.*|\\\n")
"""A name of a list, whatever it is called here; and what stands between."""
HOME, PACKAGE = Path(__file__).parents[2], "latentbench"


def module_of(thing: Any) -> str:
    """The name of the module that a function, a class or a callable object was written in."""
    while isinstance(thing, partial):
        thing = thing.func
    name = getattr(inspect.unwrap(thing), "__module__", None) or type(thing).__module__
    return str(name)


@cache
def code(module: str) -> str:
    """The sha256, in hex, of the source of a module and of all that it imports, directly or not, of its own package, or
    (where it is not installed) of the folder that its package stands in. Without a source: this package's version."""
    top = module.partition(".")[0]
    base = _base(module)
    if base is None:
        return __version__
    inside = top if top == PACKAGE or INSTALLED & set(base.parts) else ""
    found: dict[str, Path] = {}
    todo = [module]
    while todo:
        name = todo.pop()
        if name in found or (inside and name.partition(".")[0] != inside):
            continue
        if (path := _file(base, name)) is not None:
            found[name] = path
            todo += _imports(path, name)
    sha = hashlib.sha256(b"" if found else __version__.encode())
    for name, path in sorted(found.items()):
        sha.update(f"{name}\0{_text(path)}\0".encode())
    return sha.hexdigest()


def _base(module: str) -> Path | None:
    """The folder that the top package of a module stands in; None where it has no source."""
    if module.partition(".")[0] == PACKAGE:
        return HOME
    file = getattr(sys.modules.get(module), "__file__", None)
    if file is None:
        return None
    path = Path(file).resolve()
    return path.parents[module.count(".") + (path.stem == "__init__")]


def own_code(module: str) -> str:
    """The sha256, in hex, of the source of one module of this package alone."""
    path = _file(HOME, module)
    return __version__ if path is None else hashlib.sha256(_text(path).encode()).hexdigest()


@cache
def _file(base: Path, name: str) -> Path | None:
    place = base.joinpath(*name.split("."))
    return next((p for p in (place.with_suffix(".py"), place / "__init__.py") if p.is_file()), None)


@cache
def _text(path: Path) -> str:
    return path.read_text("utf-8", "replace")


@cache
def _imports(path: Path, name: str) -> tuple[str, ...]:
    """Names of modules that a file imports, whether or not there are such files: of ``from a import b`` both."""
    package = name if path.stem == "__init__" else name.rpartition(".")[0]
    out: list[str] = []
    for found in IMPORT.finditer(CHECKED.sub("", _text(path))):
        names = NAME.findall(IGNORED.sub("", found["several"] or found["line"] or ""))
        if found["home"] is None:
            out += names
            continue
        try:
            home = resolve_name("".join(IGNORED.sub("", found["home"]).split()), package)
        except ImportError:  # above the top package: it imports nothing
            continue
        # A package's own file is read for what is no module of it: names that it gives on.
        out += [f"{home}.{name}" for name in names]
        if home != PACKAGE:
            out.append(home)
    return tuple(out)


@cache
def package_code() -> str:
    """The sha256, in hex, of all of this package's source: equal where the same version of it is installed."""
    sha = hashlib.sha256()
    home = HOME / PACKAGE
    for path in sorted(home.rglob("*.py")):
        sha.update(f"{path.relative_to(home).as_posix()}\0{_text(path)}\0".encode())
    return sha.hexdigest()
