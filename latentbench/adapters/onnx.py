"""An encoder and a decoder as ONNX graphs, run by onnxruntime.

A graph that was exported for one size of batch is called with that size: the last batch is filled up by repeating its last
sample, and what was filled up is cut off again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentbench.adapters.adapted import Adapted, Adapter, Loading, files
from latentbench.adapters.named_outputs import posterior, taken

DTYPES = {
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(float16)": "float16",
    "tensor(uint8)": "uint8",
}
"""What a graph may take, by onnxruntime's names."""
CHANNELS = (1, 3, 4)


class Graph:
    """One graph of one input. Raises ValueError for a graph of several inputs or of one that is no array of numbers."""

    def __init__(self, path: Path, device: str) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        there = onnxruntime.get_available_providers()
        wanted = ["CUDAExecutionProvider"] if device == "cuda" and "CUDAExecutionProvider" in there else []
        self._session = onnxruntime.InferenceSession(path, options, providers=[*wanted, "CPUExecutionProvider"])
        inputs = self._session.get_inputs()
        if len(inputs) != 1:
            raise ValueError(f"{path}: has {len(inputs)} inputs ({', '.join(i.name for i in inputs)}); expected one")
        if inputs[0].type not in DTYPES:
            raise ValueError(f"{path}: takes {inputs[0].type}; expected one of {', '.join(DTYPES)}")
        self._input, self.dtype = inputs[0].name, DTYPES[inputs[0].type]
        self.shape = tuple(inputs[0].shape)
        self.names = [o.name for o in self._session.get_outputs()]
        self.batch = self.shape[0] if self.shape and isinstance(self.shape[0], int) else None

    def __call__(self, x: NDArray[Any]) -> list[NDArray[Any]]:
        """Every output for n samples."""
        rows = np.asarray(x)
        rows = np.rint(rows).clip(0, 255) if self.dtype == "uint8" else rows
        rows = np.ascontiguousarray(rows, dtype=self.dtype)
        if self.batch is None:
            return list(self._session.run(None, {self._input: rows}))
        filled = np.concatenate([rows, np.repeat(rows[-1:], -len(rows) % self.batch, 0)])
        parts = [
            self._session.run(None, {self._input: filled[k : k + self.batch]})
            for k in range(0, len(filled), self.batch)
        ]
        return [np.concatenate(of_one)[: len(rows)] for of_one in zip(*parts, strict=True)]


def load(argument: str, loading: Loading) -> Adapted:
    """The model of two graphs, or of one graph each where their paths stand with a comma between them."""
    paths = files(argument, 2, 2)
    encoder, decoder = (Graph(path, loading.device) for path in paths)
    which, means = posterior(encoder.names)

    def encode(x: Any) -> Any:
        return taken(encoder(x), which)

    def decode(z: Any) -> Any:
        return decoder(z)[0]

    return Adapted(
        _arrays_only(encode),
        _arrays_only(decode),
        "ONNX",
        f"onnx:{argument}",
        range=(0.0, 255.0) if encoder.dtype == "uint8" else None,
        layout=_layout(encoder.shape),
        posterior=means,
    )


def _layout(shape: tuple[Any, ...]) -> str | None:
    """Where the channels stand, which a graph of images says by its input's shape."""
    if len(shape) != 4:
        return None
    first, last = shape[1] in CHANNELS, shape[3] in CHANNELS
    return None if first == last else "channels_first" if first else "channels_last"


def _arrays_only(function: Any) -> Any:
    def call(x: Any) -> Any:
        return function(x.detach().cpu().numpy() if hasattr(x, "detach") else x)

    return call


ONNX = Adapter(
    "onnx",
    "ENCODER.onnx,DECODER.onnx",
    "two ONNX graphs",
    load,
    "onnxruntime",
    "pip install onnxruntime",
    "https://onnxruntime.ai",
)
