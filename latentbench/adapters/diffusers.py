"""Autoencoders of images of diffusers (``AutoencoderKL`` and its like), from the folder that ``save_pretrained`` wrote.

Latents are measured as ``encode`` gives them, in which the KL to N(0, I) was trained; a diffusion model on top sees them
shifted and scaled (``config.scaling_factor``).
"""

from __future__ import annotations

import json
from typing import Any

import torch
from torch import Tensor

from latentbench.adapters.adapted import Adapted, Adapter, Loading, folder, part_of

CONFIG = "config.json"
TRAINED = (-1.0, 1.0)
"""Range of the images that diffusers trains on."""


def load(argument: str, loading: Loading) -> Adapted:
    """The autoencoder of a folder; of a pipeline's folder the one in ``vae`` or ``vqvae``."""
    import diffusers

    path = folder(argument)
    if not (path / CONFIG).is_file():
        path = next((path / sub for sub in ("vae", "vqvae", "movq") if (path / sub / CONFIG).is_file()), path)
    path = folder(str(path), CONFIG)
    kind = str(json.loads((path / CONFIG).read_text(encoding="utf-8")).get("_class_name"))
    made = part_of(diffusers, kind)
    if not (callable(getattr(made, "encode", None)) and callable(getattr(made, "decode", None))):
        raise ValueError(f"a {kind} does not encode and decode")
    if not loading.trust and not list(path.glob("*.safetensors")):
        raise ValueError(
            "the weights are pickled (no .safetensors): save them anew with save_pretrained(DIR), or say that you trust who "
            "wrote them (--trust, or trust=True)"
        )
    # Nothing is looked for in any network: what is measured is what lies there.
    model = made.from_pretrained(
        str(path), local_files_only=True, use_safetensors=None if loading.trust else True, low_cpu_mem_usage=False
    )
    return _adapted(model.to(loading.device).eval(), kind, argument)


def _adapted(model: Any, kind: str, argument: str) -> Adapted:
    def encode(x: Tensor) -> Any:
        if x.ndim != 4:
            raise ValueError(f"{kind} encodes images (n, c, h, w), not {tuple(x.shape)}")
        out = model.encode(x)
        found = getattr(out, "latent_dist", None)
        if found is not None:
            return (found.mean, found.logvar) if hasattr(found, "logvar") else found.mean
        return out.latents if hasattr(out, "latents") else out.latent

    def decode(z: Tensor) -> Tensor:
        out: Tensor = model.decode(z).sample
        return out

    with torch.no_grad():
        probe = encode(torch.zeros(1, *_image(model), dtype=model.dtype, device=model.device))
    return Adapted(
        encode,
        decode,
        f"diffusers {kind}",
        f"diffusers:{argument}",
        range=TRAINED,
        layout="channels_first",
        posterior="mean,log_var" if isinstance(probe, tuple) else "mean",
    )


def _image(model: Any) -> tuple[int, int, int]:
    """A small image that any of these takes: what it gives tells what kind it is."""
    return int(model.config.in_channels), 64, 64


DIFFUSERS = Adapter(
    "diffusers",
    "DIR",
    "a folder of an autoencoder, or of a pipeline that has one, by save_pretrained",
    load,
    "diffusers",
    "pip install diffusers",
    "https://huggingface.co/docs/diffusers/api/models/autoencoderkl",
)
