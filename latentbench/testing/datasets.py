"""What a dataset keeps to: three splits of samples of its space, values within its bounds where it has some, labels that
count from 0, and a hash of it all."""

from __future__ import annotations

import torch

from latentbench.core import Dataset, Split
from latentbench.spaces.known import space_from_json
from latentbench.testing.broken import demand


def check_dataset(dataset: Dataset) -> None:
    """Raises ContractBroken where a split's samples, labels or the classes' names are not as `core.Dataset` says, or the space
    does not fit them."""
    name, space = dataset.name, dataset.space
    demand(bool(name), "dataset", "has no name")
    for fault in space.faults():
        demand(False, name, fault)
    labelled = {split.y is not None for split in (dataset.train, dataset.val, dataset.test)}
    demand(len(labelled) == 1, name, "some splits have labels and some have none")
    for where, split in (("train", dataset.train), ("val", dataset.val), ("test", dataset.test)):
        _check_split(f"{name} {where}", split, dataset)
    demand(len(dataset.sha256) == 64, name, "sha256 is no hash")
    again = space_from_json(space.to_json())
    demand(again == space, name, "its space does not come back from a record")


def _check_split(name: str, split: Split, dataset: Dataset) -> None:
    x, y, many = split.x, split.y, dataset.space.many
    demand(x.dtype == torch.float32, name, f"{many} are {x.dtype}, expected float32")
    demand(len(x) > 0 and tuple(x.shape[1:]) == dataset.shape, name, f"{many} of shape {tuple(x.shape)}")
    demand(bool(torch.isfinite(x).all()), name, "holds values that are not finite")
    if dataset.space.bounds is not None:
        low, high = dataset.space.bounds
        within = float(x.min()) >= low and float(x.max()) <= high
        demand(within, name, f"values outside [{low:g}, {high:g}]")
    if split.factors is None or dataset.truth is None:
        demand(split.factors is None and dataset.truth is None, name, "factors and truth go together")
    else:
        shape = (len(x), len(dataset.truth.factors))
        demand(split.factors.dtype == torch.float64, name, f"factors are {split.factors.dtype}, expected float64")
        demand(split.factors.shape == shape, name, f"factors {tuple(split.factors.shape)}, expected {shape}")
    if y is None:
        return
    demand(y.dtype == torch.int64 and y.shape == x.shape[:1], name, f"labels {y.dtype} {tuple(y.shape)}")
    names = len(dataset.classes)
    demand(int(y.min()) >= 0 and int(y.max()) < names, name, f"labels up to {int(y.max())} with {names} class names")
