"""What an adapter is, and what it makes of another library's model.

Symbols: ``x`` samples in the form that the model was trained on; ``z`` latent points in the shape that ``encode`` gives.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from latentbench.files.outputs import at_home
from latentbench.files.plain_text import one_line


@dataclass(frozen=True, eq=False)
class Adapted:
    """Another library's model as two callables, with what the adapter knows of how they are to be called.

    ``encode`` maps x to z or to (mu, log_var), ``decode`` z to x; ``log_likelihood(x, z)``, where the model has one, gives
    log p(x|z) in nats, (n,). What a user says wins over each of the following; None: the adapter does not know.

    ``range``: lowest and highest value that the model was trained on. ``layout``: ``channels_first`` or ``channels_last``.
    ``posterior``: what the parts are that ``encode`` returns, such as ``mean,log_var``. ``batch_size``: most samples a call.

    ``name`` says what kind of model it is, ``source`` where it came from."""

    encode: Callable[..., Any]
    decode: Callable[..., Any]
    name: str
    source: str = ""
    log_likelihood: Callable[..., Any] | None = None
    range: tuple[float, float] | None = None
    layout: str | None = None
    posterior: str | None = None
    batch_size: int | None = None


@dataclass(frozen=True)
class Loading:
    """How files are to be read: whether their writer is trusted to run code here (``trust``), and the ``device`` (``cpu`` or
    ``cuda``) that a model is put on."""

    trust: bool = False
    device: str = "cpu"


@dataclass(frozen=True)
class Adapter:
    """Reads the models of one library: ``pythae:DIR`` is read by the adapter of the name ``pythae``.

    ``takes`` stands for what follows the colon; ``load(argument, loading)`` reads it. Raises ValueError, one line, for files
    that are none of the library's; any other error is told as the library's own. ``package`` is looked for first,
    ``install`` is the line that brings it (both empty: nothing is needed); ``source`` is where the library is
    described."""

    name: str
    takes: str
    summary: str
    load: Callable[[str, Loading], Adapted]
    package: str = ""
    install: str = ""
    source: str = ""

    def read(self, argument: str, loading: Loading) -> Adapted:
        """The model. Raises ValueError, one line, where the package is missing or the files cannot be read."""
        where = f"{self.name}:{argument}"
        if not argument:
            raise ValueError(f"adapter '{self.name}' needs {self.takes}: write {self.name}:{self.takes}")
        if self.package and importlib.util.find_spec(self.package) is None:
            raise ValueError(
                f"adapter '{self.name}' needs the package {self.package}, which is not installed: {self.install}"
            )
        try:
            return self.load(argument, loading)
        except ModuleNotFoundError as error:
            missing = (error.name or self.package).partition(".")[0]
            raise ValueError(
                f"adapter '{self.name}' needs the package {missing}, which is not installed: pip install {missing}"
            ) from error
        except ValueError as error:
            raise ValueError(f"{where}: {one_line(str(error))}") from error
        except Exception as error:  # a library's, in any form
            told = one_line(str(error)) or "no reason given"
            raise ValueError(f"{where}: cannot be read: {type(error).__name__}: {told}") from error


def folder(argument: str, *needed: str) -> Path:
    """The folder of this path, which holds files of these names. Raises ValueError for another."""
    path = at_home("model", argument)
    if not path.is_dir():
        raise ValueError("there is no such folder" if not path.exists() else "is no folder")
    for name in needed:
        if not (path / name).is_file():
            there = ", ".join(sorted(p.name for p in path.iterdir() if not p.name.startswith("."))[:8]) or "nothing"
            raise ValueError(f"the folder holds no {name} (it holds: {there})")
    return path


def files(argument: str, least: int = 1, most: int = 2) -> list[Path]:
    """The files of a list with commas between them. Raises ValueError where one is not there or their number is another."""
    paths = [at_home("model", word.strip()) for word in argument.split(",")]
    if not least <= len(paths) <= most:
        wanted = str(least) if least == most else f"{least} or {most}"
        raise ValueError(f"{len(paths)} files are named with commas between them; expected {wanted}")
    for path in paths:
        if not path.is_file():
            raise ValueError(f"there is no file {path}" if not path.exists() else f"{path} is no file")
    return paths


def part_of(package: ModuleType, name: str) -> Any:
    """A class of a library by name. Raises ValueError where it has none of that name."""
    found = getattr(package, name, None) if name.isidentifier() else None
    if not isinstance(found, type):
        raise ValueError(f"{package.__name__} {getattr(package, '__version__', '')} has no class '{name}'")
    return found
