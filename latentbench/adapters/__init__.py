"""Models that other libraries trained, as `latentbench.evaluate` takes them: one small file a library.

An adapter is an `Adapter` at module level of a file here, or behind the entry-point group ``latentbench.adapters``:
``load("pythae:DIR")``, ``load("model.py:vae")``. See `latentbench.adapters.known`.
"""

from latentbench.adapters.adapted import Adapted, Adapter, Loading
from latentbench.adapters.known import adapters, load

__all__ = ["Adapted", "Adapter", "Loading", "adapters", "load"]
