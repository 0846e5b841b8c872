"""Shapes and types are checked in the test runs: every call of a function in `CHECKED` is held to its annotations.

`Float[Tensor, "n d"]` (jaxtyping) says that a tensor holds floats and has two axes; an axis of one name has one size within a
call. The package itself needs neither jaxtyping nor beartype and pays nothing: it imports the names for type checkers only
(`if TYPE_CHECKING`), and its annotations are never evaluated. Here they are, by beartype, which finds the names among the
builtins. ``LATENTBENCH_SHAPES=0`` switches the checks off. Worker processes that a test starts are not checked.

What it costs: about 2.5 s of processor time for each test process (1.2 s when modules are imported, the rest at the first call of
each function), then 15 to 20 % of measuring tiny examples and nothing that can be seen of anything else.
"""

from __future__ import annotations

import builtins
import os
from typing import TypeVar

ROOMS = ("geometry", "metrics", "stats")
CHECKED = tuple(f"latentbench.{room}" for room in ROOMS)
NAMES = ("Bool", "Float", "Float64", "Int", "Shaped")
"""What the package takes from jaxtyping."""
ON = os.environ.get("LATENTBENCH_SHAPES", "1") != "0"

F = TypeVar("F")


def checked(function: F) -> F:
    """The function or class with its calls checked; an int will do where a float is asked for, as for type checkers."""
    from beartype import BeartypeConf, beartype

    return beartype(conf=BeartypeConf(is_pep484_tower=True))(function)


def check() -> None:
    """Have every module of `CHECKED` that is imported from here on checked; does nothing where that is switched off."""
    if not ON:
        return
    import jaxtyping

    for name in NAMES:
        setattr(builtins, name, getattr(jaxtyping, name))
    jaxtyping.install_import_hook(CHECKED, "shapes.checked")
