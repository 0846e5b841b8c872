"""What models with a discrete latent share: how a latent is cut into positions, and a gradient past the choice of a code."""

from __future__ import annotations

from torch import Tensor


def split_latent(latent_dim: int, parts: int | None) -> tuple[int, int]:
    """How many positions a latent of ``latent_dim`` values has and how many values a position: ``parts`` of equal length;
    None: as many as leave each of them two values, or three or five where the latent is a multiple of these, else one.
    Raises ValueError where ``parts`` does not divide the latent."""
    if parts is None:
        values = next((v for v in (2, 3, 5) if latent_dim % v == 0), 1)
        return latent_dim // values, values
    if parts < 1 or latent_dim % parts:
        allowed = ", ".join(str(p) for p in range(1, latent_dim + 1) if latent_dim % p == 0)
        raise ValueError(
            f"parts: {parts} is not allowed: {latent_dim} latent values are to be cut into equal parts (allowed: {allowed})"
        )
    return parts, latent_dim // parts


def straight_through(z: Tensor, chosen: Tensor) -> Tensor:
    """``chosen`` in value, with the gradient of ``z``, both (n, d): what Bengio, Leonard & Courville 2013 call the straight-through
    estimator. The choice itself has no gradient."""
    return z + (chosen - z).detach()
