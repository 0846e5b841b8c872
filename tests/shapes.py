"""Shapes and types are checked in the test runs: every call of a function in `CHECKED` is held to its annotations.

`Float[Tensor, "n d"]` (jaxtyping) says that a tensor holds floats and has two axes; an axis of one name has one size within a
call. The package itself needs neither jaxtyping nor beartype and pays nothing: it imports the names for type checkers only
(`if TYPE_CHECKING`), and its annotations are never evaluated. Here they are, by beartype, which finds the names among the
builtins. ``LATENTBENCH_SHAPES=0`` switches the checks off. Worker processes that a test starts are not checked.

What it costs: about 2.5 s of processor time for each test process (1.2 s when modules are imported, the rest at the first call of
each function), then some 6 % of what is measured and told.
"""

from __future__ import annotations

import builtins
import inspect
import os
from collections.abc import Callable
from dataclasses import is_dataclass
from types import SimpleNamespace
from typing import Any, TypeVar, get_type_hints

ROOMS = ("geometry", "metrics", "stats")
CHECKED = tuple(f"latentbench.{room}" for room in ROOMS)
NAMES = ("Bool", "Float", "Float64", "Int", "Shaped")
"""What the package takes from jaxtyping."""
ON = os.environ.get("LATENTBENCH_SHAPES", "1") != "0"

F = TypeVar("F")


def checked(function: F) -> F:
    """The function or class with its calls checked; an int will do where a float is asked for, as for type checkers."""
    from beartype import BeartypeConf, beartype

    return beartype(conf=BeartypeConf(is_pep484_tower=True, violation_type=TypeError))(function)


def check() -> None:
    """Have every module of `CHECKED` that is imported from here on checked; does nothing where that is switched off."""
    if not ON:
        return
    import jaxtyping

    for name in NAMES:
        setattr(builtins, name, getattr(jaxtyping, name))
    jaxtyping.install_import_hook(CHECKED, "shapes.checked")
    jaxtyping.jaxtyped = _where_needed(jaxtyping.jaxtyped)  # the hook decorates every function with what has this name


def _where_needed(jaxtyped: Callable[..., Any]) -> Callable[..., Any]:
    """jaxtyping's decorator where a shape is annotated. It costs a fifth of a millisecond a call, and beartype alone a
    microsecond; to decorate a function within a function costs a millisecond at each call of the outer one, so that is held
    to shapes alone."""

    def decorator(*, typechecker: Any) -> Callable[[F], F]:
        def decorated(thing: Any) -> Any:
            if inspect.isclass(thing):
                if is_dataclass(thing) and "__init__" in vars(thing):
                    thing.__init__ = decorated(thing.__init__)
                return thing
            if any(f"{name}[" in str(hint) for hint in thing.__annotations__.values() for name in NAMES):
                return jaxtyped(thing, typechecker=typechecker)
            if "<locals>" in thing.__qualname__:
                return thing
            said = thing.__annotations__
            thing.__annotations__ = {
                name: hint for name, text in said.items() if (hint := _hint(thing, text)) is not None
            }
            try:
                return checked(thing)
            finally:
                thing.__annotations__ = said

        return decorated

    return decorator


def _hint(function: Any, text: str) -> Any:
    """What an annotation says, None where that is not known yet or only to type checkers: it is not checked then, as by jaxtyping."""
    try:
        return get_type_hints(SimpleNamespace(__annotations__={"value": text}), function.__globals__)["value"]
    except NameError:
        return None
