"""What lies between an Encoding and the measures of its decoder: decoding and judging in chunks of bounded memory.

Two conventions hold for every measure built on these. Pixel distances use the decoder's *raw* output, so an affine
decoder gives exactly straight paths. The judge sees samples *clipped to
their space's bounds*, images to [0, 1], the range it was trained on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from latentbench.core import DECODER, JUDGE, Encoding, Judge, Need, Undefined, Verdict

if TYPE_CHECKING:
    from jaxtyping import Float, Shaped

JUDGED: frozenset[Need] = frozenset({DECODER, JUDGE})
"""What it takes to have decoded images judged."""

CHUNK = 2048
"""Images decoded or judged at once."""


def decoder_of(e: Encoding) -> Callable[[Tensor], Tensor]:
    """The encoding's decoder. Raises Undefined where there is none."""
    if e.decode is None:
        raise Undefined(e.lack(DECODER))
    return e.decode


@torch.no_grad()
def decode(
    e: Encoding, codes: Float[Tensor, "n d"], labels: Shaped[Tensor, " n"] | None = None
) -> Float[Tensor, "n ..."]:
    """Raw images (m, c, h, w) of latent points ``codes`` (m, d); of a conditional model under ``labels`` (m,), where the
    caller knows them. Raises Undefined without a decoder."""
    decoder, codes = decoder_of(e), codes.to(e.mu)
    if e.decode_labelled is not None and labels is not None:
        pairs = zip(torch.split(codes, CHUNK), torch.split(labels.to(codes.device), CHUNK), strict=True)
        return torch.cat([e.decode_labelled(chunk, label) for chunk, label in pairs])
    return torch.cat([decoder(chunk) for chunk in torch.split(codes, CHUNK)])


def judge_of(e: Encoding) -> Judge:
    """The encoding's judge. Raises Undefined where there is none."""
    if e.judge is None:
        raise Undefined(e.lack(JUDGE))
    return e.judge


@torch.no_grad()
def verdicts(e: Encoding, images: Float[Tensor, "n ..."]) -> Verdict:
    """The judge's verdict on samples (m, ...), clipped to the bounds of their space."""
    judge = judge_of(e)
    parts = [judge(e.space.clip(chunk)) for chunk in torch.split(images, CHUNK)]
    return Verdict(*(torch.cat(column) for column in zip(*parts, strict=True)))


@torch.no_grad()
def features(e: Encoding, images: Float[Tensor, "n ..."]) -> Float[Tensor, "n f"]:
    """The judge's features (m, f) of samples (m, ...), clipped to the bounds of their space."""
    judge = judge_of(e)
    return torch.cat([judge.features(e.space.clip(chunk)) for chunk in torch.split(images, CHUNK)])


def protocol(e: Encoding, n: int, judged: bool = False, **more: Any) -> Mapping[str, Mapping[str, Any]]:
    """How a number that others report too came about, for the ``detail`` of its record: the range and the size of samples,
    how many they were, where ``judged`` the hash of what made their features, and ``more``. `latentbench.comparing` tells
    nothing apart whose protocols differ."""
    said: dict[str, Any] = {
        "range": list(e.space.bounds) if e.space.bounds else None,
        "size": list(e.x.shape[1:]),
        "n": n,
    }
    if judged:
        said["extractor"] = getattr(judge_of(e), "sha256", type(e.judge).__name__)[:16]
    return {"protocol": said | more}


def subsample(points: Shaped[Tensor, "n ..."], most: int, generator: torch.Generator) -> Shaped[Tensor, "m ..."]:
    """At most ``most`` rows of ``points``, drawn without replacement; all of them, in order, where they are fewer."""
    if len(points) <= most:
        return points
    chosen = torch.randperm(len(points), generator=generator, device=generator.device)[:most]
    return points[chosen.to(points.device)]
