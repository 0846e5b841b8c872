"""digits: 1,797 real 8x8 handwritten digits (Alpaydin & Kaynak 1998), in scikit-learn's own package: no download."""

from __future__ import annotations

from latentbench.core import Dataset, DatasetEntry
from latentbench.datasets.splits import stratified


def load(argument: str, data_root: str, seed: int) -> Dataset:
    """The digits, grey values 0 to 16 divided by 16, split 60 / 20 / 20."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    x = (bunch.images[:, None] / 16).astype("float32")
    return stratified("digits", x, bunch.target, seed, tuple(str(c) for c in range(10)))


DIGITS = DatasetEntry(
    name="digits",
    load=load,
    summary="1,797 handwritten digits, 8x8, in the package: no download",
    source="Alpaydin & Kaynak 1998; scikit-learn load_digits",
    # 256 units: the smallest width as good as the widest within the intervals (docs/widths.md).
    defaults={"latent_dim": 8, "width": 256, "epochs": 300, "batch_size": 64},
)
