"""Files that ``torch.save`` wrote of arrays, tables and plain containers, read without running what else they may hold.

A pickle is a program that may call any function there is. Here it may call those that put together arrays of NumPy and
PyTorch, tables of pandas and Python's containers, and no other: the first other name ends the reading. A file that is read
so runs nothing else either where a library then reads it without such a check.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

ALLOWED = {
    "_codecs": "encode",
    "builtins": "bool bytearray bytes complex dict float frozenset int list range set slice str tuple",
    "collections": "OrderedDict defaultdict",
    "numpy": "dtype ndarray",
    "numpy.core.multiarray": "_reconstruct scalar",
    "numpy._core.multiarray": "_reconstruct scalar",
    "numpy._core.numeric": "_frombuffer",
    "numpy.core.numeric": "_frombuffer",
    "pandas._libs.internals": "_unpickle_block",
    "pandas.core.arrays.string_": "StringArray StringDtype",
    "pandas.core.frame": "DataFrame",
    "pandas.core.indexes.base": "Index _new_Index",
    "pandas.core.indexes.range": "RangeIndex",
    "pandas.core.internals.managers": "BlockManager SingleBlockManager",
    "pandas.core.series": "Series",
    "torch": "BFloat16Storage BoolStorage ByteStorage CharStorage DoubleStorage FloatStorage HalfStorage IntStorage "
    "LongStorage ShortStorage Size device",
    "torch._utils": "_rebuild_parameter _rebuild_tensor_v2",
    "torch.storage": "UntypedStorage",
}
"""What may be called, by module."""
NAMES = frozenset((module, name) for module, names in ALLOWED.items() for name in names.split())


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        # Pickles of the older protocols, which torch writes, call the built-in module by its name in Python 2.
        if ("builtins" if module == "__builtin__" else module, name) not in NAMES:
            raise pickle.UnpicklingError(f"{module}.{name}")
        return super().find_class(module, name)


class _Pickles:
    """What stands for the module ``pickle`` where torch reads a file."""

    __name__ = "pickle"
    Unpickler = _Unpickler
    UnpicklingError = pickle.UnpicklingError

    @staticmethod
    def load(file: Any, **options: Any) -> Any:
        return _Unpickler(file, **options).load()


def read(path: Path) -> Any:
    """What such a file holds. Raises ValueError, naming it, for the first thing that is not of this kind."""
    import torch

    try:
        return torch.load(path, map_location="cpu", pickle_module=_Pickles(), weights_only=False)
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"{path.name} holds pickled objects ({error}), and to read them is to run code: if you trust who wrote it, say so "
            "(--trust, or trust=True)"
        ) from None
