"""Keras models: an encoder and a decoder in two files, or one model that has layers of these names.

Where nothing is said (``KERAS_BACKEND``), Keras computes with PyTorch: it is there, and a model is the same on each backend.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

from latentbench.adapters.adapted import Adapted, Adapter, Loading, files
from latentbench.adapters.named_outputs import posterior, taken

PARTS = ("encoder", "decoder")


def load(argument: str, loading: Loading) -> Adapted:
    """The model of one file, or of two with a comma between their paths."""
    paths = files(argument)
    if "keras" not in sys.modules:
        os.environ.setdefault("KERAS_BACKEND", "torch")
    models = [_model(path, loading) for path in paths]
    encoder, decoder = models if len(models) == 2 else (_layer(models[0], name) for name in PARTS)
    names = list(getattr(encoder, "output_names", None) or ["z"])
    which, means = posterior(names)

    def encode(x: Any) -> Any:
        out = _called(encoder, x)
        return taken(out, which) if isinstance(out, list | tuple | dict) else out

    def decode(z: Any) -> Any:
        out = _called(decoder, z)
        return next(iter(out.values())) if isinstance(out, dict) else out[0] if isinstance(out, list | tuple) else out

    return Adapted(encode, decode, "Keras", f"keras:{argument}", layout=_layout(encoder), posterior=means)


def _called(model: Any, x: Any) -> Any:
    """What a model gives for an array, as arrays. Keras' own `predict` cuts into batches and tells of its progress."""
    import keras

    rows = x.detach().cpu().numpy() if hasattr(x, "detach") else np.asarray(x)
    out = model(keras.ops.convert_to_tensor(rows), training=False)
    return keras.tree.map_structure(lambda t: np.asarray(keras.ops.convert_to_numpy(t)), out)


def _model(path: Path, loading: Loading) -> Any:
    import keras

    try:
        return keras.saving.load_model(path, compile=False, safe_mode=not loading.trust)
    except ValueError as error:
        if "safe_mode" in str(error) or "unsafe" in str(error).lower():
            raise ValueError(
                f"{path} holds Python code (a Lambda layer): if you trust who wrote it, say so (--trust, or trust=True)"
            ) from None
        raise
    except TypeError as error:
        if "Could not locate" in str(error):
            raise ValueError(
                f"{path} has a layer of a class of your own: load it in a Python file that defines it, and name that: FILE.py:NAME"
            ) from None
        raise


def _layer(model: Any, name: str) -> Any:
    """A part of a model that is an attribute or a layer of this name."""
    part = getattr(model, name, None)
    if part is None:
        names = [layer.name for layer in getattr(model, "layers", [])]
        part = model.get_layer(name) if name in names else None
    if part is None or not callable(part):
        listed = ", ".join(layer.name for layer in getattr(model, "layers", [])[:8]) or "none"
        raise ValueError(
            f"the model has no layer '{name}' (layers: {listed}); save encoder and decoder in two files: keras:ENCODER,DECODER"
        )
    return part


def _layout(encoder: Any) -> str | None:
    """Where the channels stand, as Keras is set up, where the encoder takes images."""
    import keras

    shape = getattr(encoder, "input_shape", None)
    return str(keras.config.image_data_format()) if isinstance(shape, tuple) and len(shape) == 4 else None


KERAS = Adapter(
    "keras",
    "FILE[,FILE]",
    "a Keras model with layers encoder and decoder, or the two in files of their own",
    load,
    "keras",
    "pip install keras",
    "https://keras.io",
)
