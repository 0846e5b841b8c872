"""Counts of genes in cells: ``h5ad:PATH``, the matrix ``X`` of an AnnData file, its labels a column of ``obs``. Needs anndata."""

from __future__ import annotations

from typing import Any

import numpy as np

from latentbench.core import Dataset, DatasetEntry
from latentbench.datasets import tables
from latentbench.datasets.assemble import Raw, Read, assemble
from latentbench.datasets.named import NOTHING
from latentbench.datasets.where import bearable, missing_package, regular, where
from latentbench.refusals import unknown

LABELS = (
    "cell_type",
    "celltype",
    "cell_types",
    "cell_ontology_class",
    "label",
    "labels",
    "cluster",
    "leiden",
    "louvain",
)
"""Columns of ``obs`` that hold classes, the likeliest first."""


def load_h5ad(argument: str, data_root: str, seed: int) -> Dataset:
    """The cells as vectors of the genes. Raises ValueError, one line, for whatever cannot be used."""
    asked = where("h5ad", argument, ("label", "split"))
    path = regular("h5ad", asked.place, "an AnnData file")
    try:
        import anndata
    except ImportError:
        raise missing_package("h5ad", "anndata") from None
    try:
        there = anndata.read_h5ad(path, backed="r")
        bearable("X", 8 * there.n_obs * there.n_vars)
        data = there.to_memory()
        there.file.close()
    except Exception as error:  # a damaged file makes anndata raise errors of every kind
        raise ValueError(f"{path}: cannot be read as AnnData: {' '.join(str(error).split())}") from None
    if data.X is None:
        raise ValueError(f"{path}: there is no matrix X in it")
    x: Any = data.X.toarray() if hasattr(data.X, "toarray") else np.asarray(data.X)
    obs = data.obs
    label = _label(str(path), obs, asked.options.get("label"))
    split = tables.split_of(str(path), obs, asked.options, label)
    rows = tables.rows_of(str(path), obs[split]) if split is not None else {"train": np.arange(len(x))}
    parts = {
        which: Raw(x[index], None if label is None else obs[label].iloc[index], which if split is not None else "X")
        for which, index in rows.items()
    }
    return assemble(Read(str(path), path.name, parts, {}, tuple(map(str, data.var_names))), seed)


def _label(place: str, obs: Any, told: str | None) -> str | None:
    if told is None:
        by_name = {str(c).lower(): c for c in obs.columns}
        return next((by_name[name] for name in LABELS if name in by_name), None)
    if told == NOTHING:
        return None
    if told not in obs.columns:
        raise ValueError(f"{place}: {unknown('column of obs in label', told, map(str, obs.columns))}")
    return told


H5AD = DatasetEntry(
    "h5ad",
    load_h5ad,
    "counts of genes in cells, an AnnData file (needs anndata)",
    "a file of yours",
    takes="PATH",
    defaults={"latent_dim": 10, "epochs": 100, "batch_size": 128},
)
