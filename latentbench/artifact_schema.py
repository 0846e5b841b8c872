"""What the arrays of an artifact are called, and how many axes each has: shared by what writes them and what draws them.

An artifact of a run folder is a ``.npz`` file of one *role*; its record names the role in ``metric`` and, in
``detail["schema"]``, the version of this layout it was written in (absent: 1). A role's arrays are all optional: what a
model, or data without labels, has no use for is left out. Images are uint8, (h, w) or (h, w, 3) each.

Standard library only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Protocol

SCHEMA = 1
"""Number of the layout this version writes, and the highest that it reads."""

ArtifactRole = Literal[
    "data",
    "map",
    "points",
    "strips",
    "samples",
    "posterior",
    "reconstructions",
    "atlas",
    "plane",
    "columns",
    "explorer",
]

SAMPLERS = ("normal", "gaussian", "mixture")
"""Priors that samples of every model are drawn from, as they begin the names of their arrays."""
OWN_SAMPLER = "prior"
"""That of a model which was trained with another than N(0, I)."""
EVERY_SAMPLER = (OWN_SAMPLER, *SAMPLERS)
MARGINAL, AUTOREGRESSIVE = "marginal", "autoregressive"
"""Of a model whose codes are discrete: each position draws its code for itself, or with those before it in view."""
PICTURED_SAMPLERS = (*EVERY_SAMPLER, MARGINAL)
"""Whatever draws may be shown."""

STRIPS, SAMPLES = 6, 40
"""Rows of frames in an artifact, and images of each prior, as many as the page shows."""

DECODER_WEIGHTS = 400_000
"""Weights of a decoder up to which it is kept in an artifact, to be computed by whoever reads that."""

ACTIVATIONS = (
    "identity",
    "relu",
    "leaky_relu",
    "elu",
    "selu",
    "silu",
    "gelu",
    "gelu_tanh",
    "tanh",
    "sigmoid",
    "softplus",
)
"""Functions between the layers of a decoder that is kept, as whoever computes it knows them."""

IMAGES, ROWS_OF_IMAGES = (3, 4), (4, 5)
"""Axes of n images, and of p rows of n images, grey or in colour."""

ARRAYS: Mapping[ArtifactRole, Mapping[str, tuple[int, ...]]] = {
    "data": {"thumbs": IMAGES, "index": (1,), "label": (1,), "eigenvalues": (1,)},
    "map": {"xy": (2,)},
    "points": {
        "error": (1,), "valid": (1,), "confidence": (1,), "kl": (1,), "copied": (1,), "draws": (1,), "in_holes": (1,),
        "draws_at": (2,), "draws_in_holes": (1,),
    },
    "strips": {
        "frames": ROWS_OF_IMAGES, "fade": ROWS_OF_IMAGES, "steps": (2,), "fade_steps": (2,), "label": (2,),
        **{f"{row}_{word}": (2,) for row in ("frame", "fade") for word in ("valid", "label", "confidence")},
    },
    "samples": {
        **{f"{prior}_images": IMAGES for prior in PICTURED_SAMPLERS},
        **{f"{prior}_{word}": (1,) for prior in PICTURED_SAMPLERS for word in ("valid", "label", "confidence", "distance")},
        "normal_depth": (1,), "prior_depth": (1,),
    },
    "posterior": {
        "mu_mean": (1,), "mu_sd": (1,), "active": (1,), "mu": (2,),
        "sigma": (2,), "sigma_mean": (1,), "kl": (1,), "variance_law": (1,),
    },
    "reconstructions": {"x": IMAGES, "x_hat": IMAGES, "label": (1,), "error": (1,)},
    "atlas": {
        "draw_depth": (1,), "code_depth": (1,), "worst": IMAGES, "worst_depth": (1,), "worst_norm": (1,),
        **{f"worst_{word}": (1,) for word in ("valid", "label", "confidence")},
        # Of runs made before there were distances: regions of holes.
        "mass": (1,), "depth": (1,), "centre": (2,), "pictures": ROWS_OF_IMAGES, "beside": (2,),
        "valid": (2,), "label": (2,), "confidence": (2,), "valid_share": (1,),
    },
    "plane": {
        "grid": ROWS_OF_IMAGES, "valid": (2,), "label": (2,), "hole": (2,), "mu": (2,), "sigma": (2,), "label_of": (1,),
    },
    "columns": {
        "real": (2,), "reconstructions": (2,), **dict.fromkeys(PICTURED_SAMPLERS, (2,)), "raw": (2,), "index": (1,),
        "draws": IMAGES, "nearest": IMAGES, "distance": (1,),
    },
    "explorer": {
        "index": (1,), "codes": (2,), "x": (2,), "mean": (1,), "spread": (1,), "sigma": (1,), "kl": (1,), "order": (1,),
        "grid": ROWS_OF_IMAGES, "sizes": (1,), "weight": (1,), "scale": (1,), "bias": (1,),
        **{f"{prior}_{part}": axes for prior in (OWN_SAMPLER, *SAMPLERS[1:]) for part, axes in {"weight": (1,), "mean": (2,), "root": (2, 3)}.items()},
    },
}  # fmt: skip
"""Role -> array -> how many axes it may have."""


class HasAxes(Protocol):
    """An array, as far as the layout goes."""

    @property
    def ndim(self) -> int:
        """How many axes it has."""
        ...


def check(role: ArtifactRole, arrays: Mapping[str, HasAxes]) -> None:
    """Raises ValueError for an array that its role does not declare, or one with another number of axes."""
    declared = ARRAYS[role]
    for name, array in arrays.items():
        if name not in declared:
            raise ValueError(f"artifact {role}: '{name}' is not an array of it (declared: {', '.join(declared)})")
        if array.ndim not in declared[name]:
            raise ValueError(f"artifact {role}: '{name}' has {array.ndim} axes (declared: {declared[name]})")


def is_newer(detail: Mapping[str, Any]) -> bool:
    """True where an artifact's record, by its ``detail``, was written in a layout that this version does not know."""
    return detail.get("schema", 1) not in range(1, SCHEMA + 1)
