"""How a check says no."""

from __future__ import annotations


class ContractBroken(AssertionError):
    """A metric, a model or a dataset does not keep to its contract; the message says which and how."""


def demand(holds: bool, thing: str, what: str) -> None:
    """Raises ContractBroken, "thing: what", unless ``holds``."""
    if not holds:
        raise ContractBroken(f"{thing}: {what}")
