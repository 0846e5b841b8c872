"""Models that Pythae trained, from the folder that ``model.save(DIR)`` or its training pipeline wrote."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from latentbench.adapters.adapted import Adapted, Adapter, Loading, folder
from latentbench.files.outputs import at_home
from latentbench.refusals import unknown

GAUSSIAN = frozenset(
    "Adversarial_AE BetaTCVAE BetaVAE CIWAE DisentangledBetaVAE FactorVAE INFOVAE_MMD IWAE MIWAE MSSSIM_VAE PIWAE VAE VAEGAN "
    "VAMP".split()
)
"""Kinds whose posterior is the Gaussian that their encoder gives."""
POINTS = frozenset("AE PoincareVAE RAE_GP RAE_L2 SVAE WAE_MMD".split())
"""Kinds that are measured as points: they have no posterior, or one on a curved space."""
REFUSED = {
    "HVAE": "moves its latents by Hamiltonian dynamics",
    "RHVAE": "moves its latents by Hamiltonian dynamics",
    "VAE_IAF": "pushes its latents through a flow",
    "VAE_LinNF": "pushes its latents through a flow",
    "VQVAE": "has a table of codes for latents",
}
"""Kinds whose decoder does not take what their encoder gives -> what lies between."""
CODE = ("encoder.pkl", "decoder.pkl")
"""Networks of the user's own, pickled: to read one is to run code."""


def load(argument: str, loading: Loading) -> Adapted:
    """The model of a folder; of a pipeline's output the one in ``final_model``."""
    path = at_home("model", argument)
    inner = path / "final_model"
    path = folder(
        str(inner if inner.is_dir() and not (path / "model.pt").exists() else path), "model_config.json", "model.pt"
    )
    kind = _kind(path)
    pickled = [name for name in CODE if (path / name).exists()]
    if pickled and not loading.trust:
        raise ValueError(
            f"the networks are pickled ({', '.join(pickled)}), and to read a pickle is to run its code: if you trust who wrote "
            "it, say so (--trust, or trust=True)"
        )
    # Pythae reads the weights with torch's default; what this accepts holds nothing but tensors.
    torch.load(path / "model.pt", map_location="cpu", weights_only=True)
    from pythae.models import AutoModel

    model = AutoModel.load_from_folder(str(path)).to(loading.device).eval()
    return _adapted(model, kind, argument)


def _kind(path: Path) -> str:
    name = json.loads((path / "model_config.json").read_text(encoding="utf-8")).get("name")
    if not isinstance(name, str):
        raise ValueError("model_config.json says no name of a model")
    kind = name.removesuffix("Config").rstrip("_")
    if kind in REFUSED:
        raise ValueError(
            f"a {kind} {REFUSED[kind]}, so its encoder and decoder do not fit together; give callables to lb.evaluate that do"
        )
    if kind not in GAUSSIAN | POINTS:
        raise unknown("Pythae model", kind, GAUSSIAN | POINTS)
    return kind


def _adapted(model: Any, kind: str, argument: str) -> Adapted:
    flat = len(model.input_dim) == 1
    gaussian = kind in GAUSSIAN

    def encode(x: Tensor) -> Any:
        # A model of rows is also one of images with as many values.
        rows = x.flatten(1) if flat and math.prod(x.shape[1:]) == model.input_dim[0] else x
        out = model.encoder(rows)
        return (out.embedding, out.log_covariance) if gaussian else out.embedding

    def decode(z: Tensor) -> Tensor:
        out: Tensor = model.decoder(z)["reconstruction"]
        return out

    return Adapted(
        encode,
        decode,
        f"Pythae {kind}",
        f"pythae:{argument}",
        range=(0.0, 1.0) if len(model.input_dim) == 3 else None,
        layout="channels_first" if len(model.input_dim) == 3 else None,
        posterior="mean,log_var" if gaussian else "mean",
    )


PYTHAE = Adapter(
    "pythae",
    "DIR",
    "a folder that Pythae saved a model in",
    load,
    "pythae",
    "pip install pythae",
    "https://pythae.readthedocs.io",
)
