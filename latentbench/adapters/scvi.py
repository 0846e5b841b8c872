"""SCVI models of scvi-tools, from the folder that ``model.save(DIR)`` wrote.

A cell's counts are p(x | z, l): the latent point z and the cell's library size l, its total count, which `SCVI` observes.
``encode`` maps raw counts to q(z|x). ``decode`` has z alone, and gives the mean counts of a cell of one library size: the
median of the cells that the model was trained on, where they were saved with it (``save_anndata=True``), or the one that
``scvi:DIR,LIBRARY`` says. ``log_likelihood`` is that of the model, at each cell's own library size.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from latentbench.adapters import plain_pickles
from latentbench.adapters.adapted import Adapted, Adapter, Loading, folder

MODEL, CELLS = "model.pt", "adata.h5ad"
COVARIATES = {
    "n_batch": "batches",
    "n_extra_categorical_covs": "categorical covariates",
    "n_extra_continuous_covs": "continuous covariates",
}
"""Numbers in a model's registry of what a cell has beside its counts -> in words."""


def load(argument: str, loading: Loading) -> Adapted:
    """The model of ``DIR`` or ``DIR,LIBRARY``."""
    place, _, library = argument.partition(",")
    path = folder(place, MODEL)
    size = _number(library) if library else None
    saved = _saved(path / MODEL, loading.trust)
    _check(saved.get("attr_dict", {}).get("registry_", {}))
    from scvi.model import SCVI

    accelerator = "gpu" if loading.device == "cuda" else "cpu"
    model = SCVI.load(str(path), adata=False, accelerator=accelerator)
    if size is None:
        size = _median(path / CELLS, saved["attr_dict"])
    return _adapted(model.module.eval(), size, argument)


def _number(word: str) -> float:
    if not re.fullmatch(r"\s*\d+(\.\d+)?\s*", word) or float(word) <= 0:
        raise ValueError(
            f"library size '{word}' is not a number above 0: write scvi:DIR,LIBRARY, such as scvi:DIR,4000"
        )
    return float(word)


def _saved(path: Path, trust: bool) -> dict[str, Any]:
    """What the file holds. Where its writer is not trusted, nothing but arrays, tables and containers: scvi-tools, which reads
    the same file without such a check, then runs nothing else either."""
    saved = torch.load(path, map_location="cpu", weights_only=False) if trust else plain_pickles.read(path)
    if not isinstance(saved, dict) or not isinstance(saved.get("attr_dict"), dict):
        raise ValueError(f"{path.name} is no model of scvi-tools 0.15 or later")
    return saved


def _check(registry: dict[str, Any]) -> None:
    """Raises ValueError for another kind of model, and for one that needs more of a cell than its counts."""
    kind = registry.get("model_name", "SCVI")
    if kind != "SCVI":
        raise ValueError(f"holds a {kind} model; measured is SCVI: give callables of this one to lb.evaluate")
    found: dict[str, int] = {}
    for field in registry.get("field_registries", {}).values():
        found |= field.get("summary_stats", {})
    for key, words in COVARIATES.items():
        if (found.get(key) or 0) > (1 if key == "n_batch" else 0):
            raise ValueError(
                f"was trained with {found[key]} {words}, which a cell's counts do not tell: give callables to lb.evaluate"
            )


def _median(path: Path, about: dict[str, Any]) -> float:
    """The median library size of the cells that a model was trained on."""
    if not path.is_file():
        raise ValueError(
            "does not say at which library size (total count) cells are decoded: save it with save_anndata=True, or write "
            "scvi:DIR,LIBRARY, such as scvi:DIR,4000"
        )
    import anndata

    cells = anndata.read_h5ad(path)
    layer = about.get("registry_", {}).get("setup_args", {}).get("layer")
    counts = cells.layers[layer] if layer else cells.X
    totals = np.asarray(counts.sum(1)).ravel()
    trained = np.asarray(about.get("train_indices_", ()), dtype=int)
    return float(np.median(totals[trained] if len(trained) else totals))


def _adapted(module: Any, library: float, argument: str) -> Adapted:
    gaussian = module.latent_distribution == "normal"

    def batch(rows: Tensor) -> Tensor:
        return torch.zeros(len(rows), 1, dtype=torch.long, device=rows.device)

    def encode(x: Tensor) -> Any:
        q = module.inference(x.float(), batch(x))["qz"]
        # Of a logistic normal posterior the decoder takes the softmax, which is no Gaussian: measured as a point.
        return (q.loc, 2 * q.scale.log()) if gaussian else module.z_encoder.z_transformation(q.loc)

    def at(z: Tensor, log_library: Tensor) -> Any:
        return module.generative(z.float(), log_library, batch(z))["px"]

    def decode(z: Tensor) -> Tensor:
        mean: Tensor = at(z, torch.full((len(z), 1), math.log(library), device=z.device)).mean
        return mean

    def log_likelihood(x: Tensor, z: Tensor) -> Tensor:
        counts = x.float()
        out: Tensor = at(z, counts.sum(1, keepdim=True).log()).log_prob(counts).sum(-1)
        return out

    return Adapted(
        encode,
        decode,
        "SCVI",
        f"scvi:{argument}",
        log_likelihood=log_likelihood,
        posterior="mean,log_var" if gaussian else "mean",
    )


SCVI = Adapter(
    "scvi",
    "DIR[,LIBRARY]",
    "a folder that scvi-tools saved an SCVI model in",
    load,
    "scvi",
    "pip install scvi-tools",
    "https://docs.scvi-tools.org",
)
