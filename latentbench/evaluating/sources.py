"""Samples from wherever they are: arrays, tensors, tables, lists of pictures, data sets and loaders of torch, columns of
Hugging Face's `datasets` - as one tensor, with what was seen on the way.

No package is imported that the caller does not already have: what an object is, its methods tell.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

IMAGE_KEYS = ("x", "X", "image", "images", "img", "pixel_values", "data", "features", "input", "inputs")
LABEL_KEYS = ("y", "label", "labels", "target", "targets", "fine_label", "class")
"""Names under which samples and labels stand in items that are mappings, and in columns."""
EXPECTED = (
    "a numeric array, a tensor, a table, a list of images, a torch Dataset or DataLoader, or the name of a dataset"
)
WHITE = (255, 255, 255, 255)


@dataclass(frozen=True, eq=False)
class Source:
    """Samples of one split, called ``what`` in messages: raw ``values`` (n, ...) on the CPU, of any numeric type; ``y`` labels
    as they were written, None for none; names of ``columns``, where there are names; ``dtype`` in which callables are to get
    them; whether they are ``bytes`` (uint8) or ``whole`` numbers by their type; ``notes``: what is to be said."""

    what: str
    values: Tensor
    y: Any = None
    columns: tuple[str, ...] = ()
    dtype: torch.dtype = torch.float32
    notes: tuple[str, ...] = ()

    @property
    def bytes(self) -> bool:
        """Whether the values are bytes."""
        return self.values.dtype == torch.uint8

    @property
    def whole(self) -> bool:
        """Whether the values are integers or booleans by their type."""
        return not self.values.dtype.is_floating_point

    @property
    def sample(self) -> tuple[int, ...]:
        """The shape of one sample as it was handed over."""
        return tuple(self.values.shape[1:])


def read(what: str, x: Any, y: Any = None) -> Source:
    """Samples of any source, and their labels: ``y``, else those that the source pairs them with. Raises ValueError or
    TypeError, one line, for what holds no numbers."""
    if hasattr(x, "column_names") and hasattr(x, "features"):
        return _of_columns(what, x, y)
    if isinstance(x, torch.utils.data.DataLoader):
        return _loaded(what, x, y)
    if isinstance(x, torch.utils.data.Dataset):
        return _paired(what, _items(what, x), y)
    return replace(_values(what, x), y=y)


def _values(what: str, x: Any) -> Source:
    """Samples without labels."""
    if isinstance(x, Tensor):
        return _tensor(what, x)
    if hasattr(x, "columns") and hasattr(x, "to_numpy"):
        return _table(what, x)
    if hasattr(x, "toarray"):
        return _array(what, x.toarray())
    if isinstance(x, str | bytes | Mapping) or callable(x):
        raise TypeError(f"{what}: {type(x).__name__} is not samples; expected {EXPECTED}")
    if isinstance(x, np.ndarray) or (hasattr(x, "__array__") and not _is_picture(x)):
        return _array(what, x)
    if isinstance(x, Iterable) and not _is_picture(x):
        return _stacked(what, list(x))
    raise TypeError(f"{what}: {type(x).__name__} is not samples; expected {EXPECTED}")


def _tensor(what: str, x: Tensor) -> Source:
    if x.is_complex():
        raise ValueError(
            f"{what}: complex values ({_word(x.dtype)}) cannot be measured; hand over real ones, e.g. both parts"
        )
    x = x.detach()
    x = (x.to_dense() if x.layout != torch.strided else x).cpu()
    floats = x.dtype.is_floating_point
    if floats and x.dtype not in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        raise ValueError(f"{what}: {_word(x.dtype)} cannot be measured; hand over float32")
    if not floats and x.dtype not in (torch.uint8, torch.bool):
        x = x.long()
    return Source(what, x, dtype=x.dtype if floats or x.dtype == torch.uint8 else torch.float32)


def _array(what: str, x: Any) -> Source:
    if isinstance(x, np.ma.MaskedArray) and bool(np.ma.getmaskarray(x).any()):
        raise ValueError(f"{what}: {int(np.ma.getmaskarray(x).sum())} values are masked; fill or drop them")
    array: NDArray[Any] = np.asarray(x)
    if array.dtype.kind == "O":
        return _objects(what, array)
    if array.dtype.kind not in "biuf":
        kinds = {"c": "complex values", "U": "strings", "S": "strings", "V": "records", "M": "dates", "m": "durations"}
        word = kinds.get(array.dtype.kind, "values")
        raise ValueError(
            f"{what}: {word} ({array.dtype}) cannot be measured; expected numbers: integers, floats or booleans"
        )
    if array.dtype.kind in "iu" and array.dtype not in (np.uint8, np.uint64):
        array = array.astype(np.int64)
    elif array.dtype == np.uint64 or (array.dtype.kind == "f" and array.dtype.itemsize not in (2, 4, 8)):
        array = array.astype(np.float64)
    # numpy's own default, float64, says nothing of a model: it is handed float32 (or what its parameters have).
    dtype = torch.uint8 if array.dtype == np.uint8 else torch.float32
    native = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))
    return Source(what, torch.from_numpy(native if native.flags.writeable else native.copy()), dtype=dtype)


def _objects(what: str, array: NDArray[Any]) -> Source:
    """An array of arrays of one shape, else a refusal: there are no numbers in it."""
    if array.ndim == 1 and len(array) and all(isinstance(v, np.ndarray | Tensor) or _is_picture(v) for v in array):
        return _stacked(what, list(array))
    odd = [type(v).__name__ for v in array.flat if not isinstance(v, int | float | np.number)]
    seen = f"; {len(odd)} are none, the first a {odd[0]}" if odd else ""
    raise ValueError(f"{what}: an array of Python objects cannot be measured; expected numbers{seen}")


def _table(what: str, x: Any) -> Source:
    """A DataFrame: its columns keep their names."""
    names, parts, own = tuple(map(str, x.columns)), [], []
    for name in x.columns:
        column = x[name].to_numpy() if isinstance(getattr(x[name], "dtype", None), np.dtype) else _column(x[name])
        if column.dtype.kind not in "biuf" or column.ndim != 1:
            raise ValueError(
                f"{what}: column '{name}' holds {column.dtype}, not numbers; drop it, encode it, or hand it over as labels"
            )
        parts.append(column)
        own.append(column.dtype.kind in "iub")
    if not parts:
        raise ValueError(f"{what}: a table without columns")
    stacked = np.stack(parts, 1) if all(own) else np.stack([p.astype(np.float64) for p in parts], 1)
    return replace(_array(what, stacked), columns=names, dtype=torch.float32)


def _column(column: Any) -> NDArray[Any]:
    """A column of a table's own type: numbers that may be missing become floats, NaN where they are."""
    try:
        return np.asarray(column.to_numpy(dtype=np.float64, na_value=np.nan))
    except (TypeError, ValueError):
        try:
            return np.asarray(column.to_numpy())
        except (TypeError, ValueError):
            return np.asarray(list(column), dtype=object)


def _stacked(what: str, rows: list[Any]) -> Source:
    """A list of samples: numbers, arrays, tensors or pictures, all of one shape."""
    if not rows:
        raise ValueError(f"{what}: an empty list; nothing to measure")
    if all(_is_picture(v) for v in rows):
        return _pictures(what, rows)
    if all(isinstance(v, Tensor) for v in rows):
        _same(what, [tuple(v.shape) for v in rows])
        return _tensor(what, torch.stack([v.detach().cpu() for v in rows]))
    plain = (row.detach().cpu() if isinstance(row, Tensor) else row for row in rows)
    try:
        arrays = [np.asarray(row) for row in plain]
    except (ValueError, TypeError):
        raise ValueError(
            f"{what}: a list of {type(rows[0]).__name__}s that are no arrays; expected {EXPECTED}"
        ) from None
    _same(what, [a.shape for a in arrays])
    return _array(what, np.stack(arrays))


def _same(what: str, shapes: Sequence[tuple[int, ...]]) -> None:
    odd = next((k for k, shape in enumerate(shapes) if shape != shapes[0]), None)
    if odd is not None:
        raise ValueError(f"{what}: sample {odd} has shape {shapes[odd]}, sample 0 {shapes[0]}; all must have one shape")


def _is_picture(x: Any) -> bool:
    """Whether this is an image of Pillow's."""
    return all(hasattr(x, name) for name in ("mode", "size", "getbands", "convert"))


def _pictures(what: str, images: Sequence[Any]) -> Source:
    """Pillow's images as bytes, (n, h, w) where all are grey, else (n, h, w, 3); 16 bits keep theirs, transparent ones lie
    on white."""
    _same(what, [image.size for image in images])
    grey = {"1", "L", "LA", "La"}
    deep = {"I;16", "I;16L", "I;16B", "I;16N", "I", "F"}
    modes = {image.mode for image in images}
    if modes <= deep:
        return _array(what, np.stack([np.asarray(image) for image in images]))
    if modes & deep:
        raise ValueError(
            f"{what}: images of modes {', '.join(sorted(modes))} cannot stand together; convert them to one"
        )
    mode = "L" if modes <= grey else "RGB"
    see_through = sum(_transparent(image) for image in images)
    notes = (f"{what}: {see_through} transparent images were laid on white",) if see_through else ()
    flat = [np.asarray(_opaque(image).convert(mode)) for image in images]
    return replace(_array(what, np.stack(flat)), notes=notes)


def _transparent(image: Any) -> bool:
    return image.mode in ("RGBA", "LA", "La", "RGBa", "PA") or "transparency" in getattr(image, "info", {})


def _opaque(image: Any) -> Any:
    """The image on white, where it is transparent."""
    if not _transparent(image):
        return image
    over = image.convert("RGBA")
    under = over.copy()
    under.paste(WHITE, (0, 0, *under.size))
    under.alpha_composite(over)
    return under


def _items(what: str, data: Any) -> Iterator[Any]:
    """The items of a torch Dataset, by index where it has a length."""
    if hasattr(data, "__len__"):
        return (data[k] for k in range(len(data)))
    if isinstance(data, Iterable):
        return iter(data)
    raise TypeError(f"{what}: {type(data).__name__} has no length and cannot be gone through")


def _paired(what: str, items: Iterator[Any], y: Any) -> Source:
    """Items that are a sample, or a sample with its label."""
    pairs = [_pair(what, item) for item in items]
    labels = [label for _, label in pairs]
    known = y if y is not None else None if any(label is None for label in labels) else labels
    return replace(_stacked(what, [x for x, _ in pairs]), y=known)


def _loaded(what: str, loader: Any, y: Any) -> Source:
    """The batches of a DataLoader, put together."""
    if y is not None and isinstance(loader.sampler, torch.utils.data.RandomSampler):
        raise ValueError(
            f"y_{what[2:]}: {what} is a DataLoader that shuffles, so labels beside it would be others'; leave them out"
        )
    if loader.batch_size is None:
        return _paired(what, iter(loader), y)
    batches = [_pair(what, batch) for batch in loader]
    if not batches:
        raise ValueError(f"{what}: a DataLoader without batches; nothing to measure")
    parts = [_values(what, x) for x, _ in batches]
    _same(what, [part.sample for part in parts])
    dropped = len(loader.dataset) - sum(len(p.values) for p in parts) if hasattr(loader.dataset, "__len__") else 0
    notes = (f"{what}: the DataLoader left out {dropped} samples",) if dropped > 0 else ()
    labels = None if any(label is None for _, label in batches) else [one for _, label in batches for one in label]
    whole = replace(parts[0], values=torch.cat([p.values for p in parts]), notes=notes)
    return replace(whole, y=labels if y is None else y)


def _pair(what: str, item: Any) -> tuple[Any, Any]:
    """A sample and its label, None for none, of an item (or of a batch)."""
    if isinstance(item, Mapping):
        sample = next((item[key] for key in IMAGE_KEYS if key in item), None)
        if sample is None:
            raise ValueError(
                f"{what}: items have the keys {', '.join(map(str, item))}; samples stand under one of {', '.join(IMAGE_KEYS)}"
            )
        return sample, next((item[key] for key in LABEL_KEYS if key in item), None)
    if isinstance(item, tuple | list):
        if not 1 <= len(item) <= 2:
            raise ValueError(f"{what}: items of {len(item)} parts; expected a sample, or a sample and its label")
        return item[0], item[1] if len(item) == 2 else None
    return item, None


def _of_columns(what: str, data: Any, y: Any) -> Source:
    """A table of Hugging Face's `datasets`: the column of samples, and that of labels by their names."""
    names = list(data.column_names)
    image = next((name for name in IMAGE_KEYS if name in names), None)
    label = next((name for name in LABEL_KEYS if name in names), None)
    if image is None:
        raise ValueError(
            f"{what}: a dataset with the columns {', '.join(names)}; hand over one of them, e.g. data['{names[0]}']"
        )
    labels = y
    if y is None and label is not None:
        known = getattr(data.features.get(label), "names", None)
        labels = [known[k] if known and k >= 0 else k for k in data[label]]
    return replace(_values(what, list(data[image])), y=labels)


def _word(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
