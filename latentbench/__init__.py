"""latentbench: is a latent space continuous, is it complete, and what did the regularisation cost?

``run`` trains and measures models, ``measure`` measures them anew, ``evaluate`` measures a model of your own given as two callables, ``load`` brings a
trained model back, ``load_dataset`` the data it was trained on. Importing the package loads neither torch nor anything else that is heavy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from latentbench.api import Result, evaluate, load, load_dataset, measure, run
    from latentbench.config import Run

__version__ = "0.1.0"
__all__ = ["Result", "Run", "__version__", "evaluate", "load", "load_dataset", "measure", "run"]

_HOMES = {
    "Run": "latentbench.config",
    "Result": "latentbench.api",
    "evaluate": "latentbench.api",
    "load": "latentbench.api",
    "load_dataset": "latentbench.api",
    "measure": "latentbench.api",
    "run": "latentbench.api",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'latentbench' has no attribute '{name}'")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
