"""How a wrong name is refused: one line with the thing, the value, what is allowed and the nearest right name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def unknown(what: str, name: str, allowed: Iterable[str]) -> ValueError:
    """The refusal of a name that does not exist: the thing, the value, the nearest right name, what is allowed."""
    names = sorted(allowed)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    listed = ", ".join(names) if len(names) <= 40 else ", ".join(names[:40]) + ", ..."
    return ValueError(f"unknown {what} '{name}'{hint} (allowed: {listed})")
