"""torchvision beside a CPU-only torch.

The torchvision wheel of the package registry is compiled against CUDA. Beside a CPU build of torch its operators
library cannot be loaded, ``torchvision::nms`` is never defined, and the first line of Python that registers
something for that operator ends the import with *RuntimeError: operator torchvision::nms does not exist*. The data
sets, transforms and drawing functions used here are pure Python and need none of it. So, only when that very error
occurs, the missing operators are declared (their names and types, no code behind them) and the import is tried again.
"""

from __future__ import annotations

import importlib
import sys
from functools import cache
from types import ModuleType
from typing import Any

MISSING = "operator torchvision::"
"""How the one error begins that is answered here."""

SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
"""The operators that torchvision's own Python code registers for while it is imported."""

_declared: list[Any] = []  # a torch Library takes its declarations along when it is collected: keep it


@cache
def torchvision() -> ModuleType:
    """The imported torchvision module; where it imports by itself nothing is touched.

    Raises whatever the import raises, the one error above aside.
    """
    try:
        return importlib.import_module("torchvision")
    except RuntimeError as error:
        if not str(error).startswith(MISSING):
            raise
    _forget()
    _declare()
    try:
        return importlib.import_module("torchvision")
    except RuntimeError as error:
        if not str(error).startswith(MISSING):
            raise
    # Another release registers for more operators than the two declared. All of that stands in one module that
    # nothing else reads from: an empty one in its place leaves nothing to register.
    _forget()
    name = "torchvision._meta_registrations"
    sys.modules[name] = ModuleType(name)
    return importlib.import_module("torchvision")


def _forget() -> None:
    """Drop the half-loaded modules that a failed import leaves behind, so that the next one starts afresh."""
    for name in [n for n in sys.modules if n.partition(".")[0] == "torchvision"]:
        del sys.modules[name]


def _declare() -> None:
    """Declare the operators, as a fragment: other code may hold declarations in the same namespace."""
    import torch

    library = torch.library.Library("torchvision", "FRAGMENT")
    for schema in SCHEMAS:
        library.define(schema)
    _declared.append(library)
