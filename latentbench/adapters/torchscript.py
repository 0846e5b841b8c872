"""TorchScript archives: one module with methods ``encode`` and ``decode``, or an encoder and a decoder in two files."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch

from latentbench.adapters.adapted import Adapted, Adapter, Loading, files


def load(argument: str, loading: Loading) -> Adapted:
    """The model of one file, or of two with a comma between their paths."""
    modules = [_module(path, loading.device) for path in files(argument)]
    if len(modules) == 2:
        encode, decode = modules
        return Adapted(encode, decode, "TorchScript", f"torchscript:{argument}")
    [module] = modules
    absent = [name for name in ("encode", "decode") if not hasattr(module, name)]
    if absent:
        raise ValueError(
            f"the module has no method {' and no '.join(absent)}: script it with them (torch.jit.export), or save encoder and "
            "decoder in two files: torchscript:ENCODER,DECODER"
        )
    return Adapted(module.encode, module.decode, "TorchScript", f"torchscript:{argument}")


def _module(path: Path, device: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch warns of the format, which the user has chosen
        try:
            return torch.jit.load(str(path), map_location=device).eval()
        except RuntimeError as error:
            first = str(error).strip().splitlines()[0]
            raise ValueError(f"{path} is no TorchScript archive that can be read: {first}") from None


TORCHSCRIPT = Adapter(
    "torchscript",
    "FILE[,FILE]",
    "a TorchScript module with encode and decode, or an encoder and a decoder",
    load,
    source="https://docs.pytorch.org/docs/stable/jit.html",
)
