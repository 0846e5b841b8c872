"""wine and breast_cancer: two small real tables in scikit-learn's own package, measured as vectors: no download.

Their columns have units of their own (a proline of 1,000 beside a hue of 1), so each is standardised by its mean and
standard deviation on the training split; the dataset's space names the columns and leads back to raw values.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from latentbench.core import Dataset, DatasetEntry
from latentbench.datasets.splits import standardised


def _load(name: str, bunch: Any, seed: int) -> Dataset:
    columns, classes = (tuple(map(str, names)) for names in (bunch.feature_names, bunch.target_names))
    return standardised(name, np.asarray(bunch.data), np.asarray(bunch.target), seed, classes, columns)


def _wine(argument: str, data_root: str, seed: int) -> Dataset:
    from sklearn.datasets import load_wine

    return _load("wine", load_wine(), seed)


def _breast_cancer(argument: str, data_root: str, seed: int) -> Dataset:
    from sklearn.datasets import load_breast_cancer

    return _load("breast_cancer", load_breast_cancer(), seed)


WINE = DatasetEntry(
    name="wine",
    load=_wine,
    summary="178 wines of three cultivars, 13 columns, in the package: no download",
    source="Aeberhard & Forina 1991; scikit-learn load_wine",
    defaults={"latent_dim": 4, "width": 64, "epochs": 600, "batch_size": 32},
)
BREAST_CANCER = DatasetEntry(
    name="breast_cancer",
    load=_breast_cancer,
    summary="569 tumours, benign or malignant, 30 columns, in the package: no download",
    source="Wolberg, Mangasarian, Street & Street 1995; scikit-learn load_breast_cancer",
    defaults={"latent_dim": 6, "width": 128, "epochs": 400, "batch_size": 32},
)
