"""The adapters there are, and the model that a spec names.

pythae:DIR, onnx:ENCODER,DECODER, ...   read by the adapter of that name
FILE.py:NAME                            an object of a Python file
package.module:NAME                     an object of a module
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from latentbench.adapters import python_object
from latentbench.adapters.adapted import Adapter, Loading
from latentbench.catalog import collect
from latentbench.refusals import unknown

NAMED = re.compile(r"([^=/\\]*?)=(.+)")


@cache
def adapters() -> Mapping[str, Adapter]:
    """Every adapter by name."""
    return collect(Adapter, "adapters")


def load(spec: str, trust: bool = False, device: str = "cpu") -> Any:
    """The model that ``spec`` names, as `latentbench.evaluate` takes it: an `Adapted`, or what a Python file or module calls
    so. ``trust``: the writer of the files may run code here, which some formats ask for. ``device``: ``cpu`` or ``cuda``.

    Raises ValueError, one line, for a spec that names nothing, a package that is missing (with the line that installs it)
    and files that cannot be read."""
    if not isinstance(spec, str):
        raise TypeError(f"model: {spec!r} is not a string such as 'pythae:DIR'")
    spec = spec.strip()
    head, colon, rest = spec.partition(":")
    if head in adapters():
        return adapters()[head].read(rest, Loading(trust, device))
    owner, colon, name = spec.rpartition(":")
    if not colon or not owner or not name:
        raise ValueError(f"model '{spec}': write FILE.py:NAME, package.module:NAME, or KIND:... ({_forms()})")
    if python_object.is_file(owner):
        return python_object.from_file(owner, name)
    if python_object.is_module(owner):
        return python_object.from_module(owner, name)
    raise unknown("kind of model", head, [*(f"{a.name}:{a.takes}" for a in adapters().values()), *FORMS])


FORMS = ("FILE.py:NAME", "package.module:NAME")
"""Of what no adapter reads."""


def _forms() -> str:
    return ", ".join(f"{a.name}:{a.takes}" for a in adapters().values())


def named(text: str) -> tuple[str, str]:
    """A model's own name and its spec, of ``NAME=SPEC``; the name is empty where none is given."""
    match = NAMED.fullmatch(text.strip())
    return (match[1].strip(), match[2].strip()) if match and ":" not in match[1] else ("", text.strip())


def called(spec: str) -> str:
    """What a model is called that has no name of its own: the object that its spec names, else the file or folder, of several
    the first."""
    head, _, rest = spec.partition(":")
    if head not in adapters():
        return spec.rpartition(":")[2] or spec
    path = Path(rest.partition(",")[0])
    return (path.stem if path.suffix else path.name) or head
