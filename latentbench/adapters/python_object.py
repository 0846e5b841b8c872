"""A model that a Python file or an installed module holds under a name."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from latentbench.catalog import look_here_too, own_error
from latentbench.files.outputs import at_home
from latentbench.refusals import unknown


def is_file(owner: str) -> bool:
    """Whether what stands before the name is a Python file rather than a module."""
    return owner.endswith(".py")


def is_module(owner: str) -> bool:
    """Whether it is a dotted name, of a package, or that of a module that can be found."""
    if not all(word.isidentifier() for word in owner.split(".")):
        return False
    if "." in owner:
        return True
    look_here_too(owner)
    try:
        return importlib.util.find_spec(owner) is not None
    except (ImportError, ValueError):
        return False


def from_module(owner: str, name: str) -> Any:
    """The model ``name`` of an importable module. Raises ValueError with the module's own error where that cannot be
    imported, and for a name that it does not hold."""
    spec = f"{owner}:{name}"
    look_here_too(owner)
    try:
        module = importlib.import_module(owner)
    except (Exception, SystemExit) as error:  # a module of the user's can fail in any way while it is imported
        raise own_error(spec, error) from error
    return _model(module, name, spec)


def from_file(owner: str, name: str) -> Any:
    """The model ``name`` of a Python file, which is run; what lies beside it can be imported by it. Raises ValueError with
    the file's own error where it cannot be run, and for a name that it does not hold."""
    spec, path = f"{owner}:{name}", at_home("model", owner)
    if not path.is_file():
        raise ValueError(f"model '{spec}': there is no file {path}")
    here = str(path.resolve().parent)
    # After all others: no file there stands in for a module that is installed.
    if here not in sys.path:
        sys.path.append(here)
    try:
        module = _run(path)
    except (Exception, SystemExit) as error:
        raise own_error(spec, error) from error
    return _model(module, name, spec)


def _run(path: Path) -> ModuleType:
    # A name of its own, under which classes of the file are found again (by pickle, by dataclasses).
    title = f"latentbench_model_{abs(hash(str(path.resolve()))):x}"
    if title in sys.modules:
        return sys.modules[title]
    spec = importlib.util.spec_from_file_location(title, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[title] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[title]
        raise
    return module


def _model(module: ModuleType, name: str, spec: str) -> Any:
    found: Any = module
    for word in name.split("."):
        if not hasattr(found, word):
            names = [n for n in vars(module) if not n.startswith("_")]
            raise ValueError(f"model '{spec}': {unknown('name', word, names)}")
        found = getattr(found, word)
    if isinstance(found, tuple | list | Mapping) or not _makes_one(found):
        return found
    try:
        return found()
    except (Exception, SystemExit) as error:
        raise own_error(spec, error) from error


def _makes_one(found: Any) -> bool:
    """Whether this is a function or a class that gives a model when it is called without arguments."""
    if not (inspect.isroutine(found) or inspect.isclass(found)):
        return False
    try:
        inspect.signature(found).bind()
    except (TypeError, ValueError):
        return False
    return True
