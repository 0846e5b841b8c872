"""Data sets of the library *datasets*: ``hf:PATH`` saved by ``save_to_disk`` or a folder of Parquet files, ``hf:OWNER/NAME``
from its hub, ``arrow:FILE`` one Arrow file. Needs datasets.

A column of images (or, told by its name, of arrays) is the samples, a column of classes the labels; a table of numbers is
read as one. Splits are used as they are. Nothing is run that came with the data.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from latentbench.core import Dataset, DatasetEntry
from latentbench.datasets import named, tables
from latentbench.datasets.assemble import Raw, Read, assemble
from latentbench.datasets.folder import load_packed
from latentbench.datasets.images import Packed
from latentbench.datasets.pictures import sized
from latentbench.datasets.tree import Branch, Tree
from latentbench.datasets.where import bearable, missing_package, regular, where
from latentbench.refusals import unknown

OPTIONS = ("x", "y", "config", "layout", "range", "shape", "size", "drop")
DEFAULTS: Mapping[str, Any] = {"latent_dim": 16, "epochs": 100, "batch_size": 64}


def load_hf(argument: str, data_root: str, seed: int) -> Dataset:
    """The data set's samples. Raises ValueError, one line, for whatever cannot be used."""
    asked = where("hf", argument, OPTIONS)
    datasets = _library("hf")
    path = asked.place
    if not path.exists() and (path.is_absolute() or asked.path.startswith(".") or asked.path.count("/") > 1):
        raise ValueError(f"{path}: no such folder; hf:PATH needs one that save_to_disk wrote, or OWNER/NAME")
    found = _guarded(str(path), lambda: _open(datasets, path, asked.path, asked.options.get("config")))
    return _read(datasets, asked.path, path.name, found, asked.options, seed)


def load_arrow(argument: str, data_root: str, seed: int) -> Dataset:
    """The file's samples. Raises ValueError, one line, for whatever cannot be used."""
    asked = where("arrow", argument, OPTIONS)
    path = regular("arrow", asked.place, "an Arrow file")
    datasets = _library("arrow")

    def opened() -> Any:
        import pyarrow

        with pyarrow.memory_map(str(path)) as source:
            whole = source.read(6) == b"ARROW1"
            source.seek(0)
            reader = pyarrow.ipc.open_file(source) if whole else pyarrow.ipc.open_stream(source)
            return datasets.Dataset(datasets.table.InMemoryTable(reader.read_all()))

    return _read(datasets, str(path), path.name, {"train": _guarded(str(path), opened)}, asked.options, seed)


def _library(prefix: str) -> Any:
    try:
        import datasets
    except ImportError:
        raise missing_package(prefix, "datasets") from None
    datasets.disable_progress_bars()
    return datasets


def _guarded(place: str, use: Callable[[], Any]) -> Any:
    try:
        return use()
    except Exception as error:  # data of anybody's makes the library raise errors of every kind
        why = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{place}: cannot be read as a data set: {why}") from None


def _open(datasets: Any, path: Path, name: str, config: str | None) -> Mapping[str, Any]:
    """Splits by their own names."""
    if not path.exists():
        found = datasets.load_dataset(name, config)
    elif (path / "dataset_dict.json").is_file() or (path / "state.json").is_file():
        found = datasets.load_from_disk(str(path))
    else:
        files: dict[str, list[str]] = {}
        for file in sorted(path.rglob("*.parquet")):
            files.setdefault(file.stem.partition("-")[0], []).append(str(file))
        if not files:
            raise ValueError("save_to_disk did not write it, and no Parquet files lie in it; images: folder:PATH")
        found = datasets.load_dataset("parquet", data_files=files)
    return found if isinstance(found, dict) else {"train": found}


def _read(
    datasets: Any, place: str, name: str, found: Mapping[str, Any], options: Mapping[str, str], seed: int
) -> Dataset:
    words = {own: split for own in found if (split := tables.split_word(own)) is not None}
    by_split = {split: found[own] for own, split in words.items()} if "train" in words.values() else {}
    if not by_split and len(found) == 1:
        by_split = {"train": next(iter(found.values()))}
    if not by_split or len(set(words.values())) < len(words):
        raise ValueError(f"{place}: splits {', '.join(found)}; one must be train, others validation and test")
    features = by_split["train"].features
    x, y = _columns(datasets, place, features, options)
    if x is None:
        return _table(place, name, by_split, y, options, seed)
    places = {split: own for own, split in words.items()} or {"train": name}
    labels = {split: None if y is None else _labels(some, y) for split, some in by_split.items()}
    if isinstance(features[x], datasets.Image):
        _, size = sized("hf", place, options.get("size"))
        branches = {
            split: Branch(_images(datasets, f"{place}: {places[split]}", some, x), labels[split], places[split])
            for split, some in by_split.items()
        }
        return load_packed(place, name, Tree(branches, ()), size, options.get("range"), seed)
    bearable(f"{place}: {x}", 8 * sum(np.size(some[0][x]) * len(some) for some in by_split.values() if len(some)))
    parts = {s: Raw(_guarded(place, partial(_array, some, x)), labels[s], places[s]) for s, some in by_split.items()}
    return assemble(Read(place, name, parts, options), seed)


def _columns(datasets: Any, place: str, features: Any, options: Mapping[str, str]) -> tuple[str | None, str | None]:
    """The columns of samples (None: the columns of numbers together) and of labels (None: there are none)."""
    for key in "xy":
        told = options.get(key)
        if told is not None and told not in features and (key, told) != ("y", named.NOTHING):
            raise ValueError(f"{place}: {unknown(f'column in {key}', told, features)}")
    pictures = [c for c, kind in features.items() if isinstance(kind, datasets.Image)]
    plain = [c for c in named.SAMPLES if c in features and not isinstance(features[c], datasets.Value)]
    x = options.get("x") or next(iter([*pictures, *plain]), None)
    rest = [c for c in features if c != x]
    classes = [c for c in rest if isinstance(features[c], datasets.ClassLabel)]
    known = [c for c in (*named.LABELS, *tables.LABELS, "fine_label") if c in rest]
    y = options.get("y") or next((c for c in [*known, *classes]), None)
    return x, None if y == named.NOTHING and y not in features else y


def _labels(some: Any, y: str) -> list[str] | Any:
    kind = some.features[y]
    values = some.with_format(None)[:][y] if len(some.column_names) == 1 else some.select_columns([y])[:][y]
    if hasattr(kind, "int2str"):
        return [None if v is None or v < 0 else kind.int2str(v) for v in values]
    return values


def _images(datasets: Any, place: str, some: Any, x: str) -> list[Packed]:
    """The images as their files' bytes; a path instead of bytes is not followed."""
    packed = some.select_columns([x]).cast_column(x, datasets.Image(decode=False))

    def reader(row: int) -> Callable[[], bytes]:
        def read() -> bytes:
            content = packed[row][x]["bytes"]
            if content is None:
                raise ValueError("its file is not in the data set")
            return bytes(content)

        return read

    return [Packed(f"{place}, row {row}", reader(row)) for row in range(len(some))]


def _array(some: Any, x: str) -> Any:
    return np.asarray(some.select_columns([x]).with_format("numpy")[:][x])


def _table(
    place: str, name: str, by_split: Mapping[str, Any], y: str | None, options: Mapping[str, str], seed: int
) -> Dataset:
    import pandas

    whole = []
    for split, some in by_split.items():
        bearable(place, 8 * len(some) * len(some.column_names))
        table = some.to_pandas()
        if y is not None:
            table[y] = _labels(some, y)
        whole.append(table.assign(**{tables.OWN_SPLIT: split}))
    told = {k: v for k, v in options.items() if k in tables.OPTIONS}
    told |= {"label": y or named.NOTHING, "split": tables.OWN_SPLIT if len(whole) > 1 else named.NOTHING}
    table = pandas.concat(whole, ignore_index=True)
    return tables.from_table(Path(place), table if len(whole) > 1 else table.drop(columns=tables.OWN_SPLIT), told, seed)


HF = DatasetEntry(
    "hf",
    load_hf,
    "a data set of the library datasets, saved or on its hub (needs datasets)",
    "a data set of yours, or its authors",
    takes="PATH",
    defaults=DEFAULTS,
)
ARROW = DatasetEntry(
    "arrow",
    load_arrow,
    "a data set in an Arrow file (needs datasets)",
    "a file of yours",
    takes="PATH",
    defaults=DEFAULTS,
)
