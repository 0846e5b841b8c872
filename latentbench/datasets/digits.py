"""digits: 1,797 real 8x8 handwritten digits (Alpaydin & Kaynak 1998), in scikit-learn's own package: no download."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from latentbench.core import Dataset, DatasetEntry
from latentbench.datasets.splits import stratified


def load(argument: str, data_root: str, seed: int) -> Dataset:
    """The digits, grey values 0 to 16 divided by 16, split 60 / 20 / 20."""
    rows = _rows()
    x = (rows[:, :-1].reshape(-1, 1, 8, 8) / 16).astype("float32")
    return stratified("digits", x, rows[:, -1].astype("int64"), seed, tuple(str(c) for c in range(10)))


def _rows() -> NDArray[np.float64]:
    """Grey values and label of each digit, (1797, 65), from the file in scikit-learn's package, of which nothing else is
    loaded: to import it takes 1.4 s, before each training's first step. Where the file lies elsewhere `load_digits` finds it."""
    package = find_spec("sklearn")
    file = Path(str(package and package.origin)).parent / "datasets" / "data" / "digits.csv.gz"
    if file.is_file():
        return np.loadtxt(file, delimiter=",")
    from sklearn.datasets import load_digits

    data, target = load_digits(return_X_y=True)
    return np.column_stack([data, target])


DIGITS = DatasetEntry(
    name="digits",
    load=load,
    summary="1,797 handwritten digits, 8x8, in the package: no download",
    source="Alpaydin & Kaynak 1998; scikit-learn load_digits",
    # 256 units: the smallest width as good as the widest within the intervals (docs/widths.md). A rate that rises to 2e-3 reaches
    # a lower loss in two thirds of the epochs that 1e-3 takes; without the rise more posteriors collapse (docs/rates.md).
    defaults={"latent_dim": 8, "width": 256, "epochs": 300, "batch_size": 64, "lr": 2e-3, "lr_warmup": 0.1},
)
