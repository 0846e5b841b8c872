"""How a discrete latent uses its codes: over a whole split and all of its positions, never over a batch.

With p_j the share of code j among the n P codes of n images at P positions,

    perplexity = exp(-sum_j p_j ln p_j),        code usage = (number of j with p_j > 0) / k.

Perplexity is the number of equally used codes that would be as hard to guess: m where m codes are used alike, 1 where there is
one code and the codebook has collapsed. In a batch of 64 no codebook of 512 reads above 64 P, whatever it holds; hence the
split. Neither has a good direction: random codes use a codebook best. What they are worth, reconstruction says; what they
say is how much of the codebook is there at all.
"""

from __future__ import annotations

import torch
from torch import Tensor

from latentbench.core import DISCRETE, Encoding, Metric, Phrase, Undefined, Value


def code_counts(codes: Tensor, size: int) -> Tensor:
    """How often each of ``size`` codes occurs among ``codes`` (n, P) int64, (size,) int64."""
    return torch.bincount(codes.flatten(), minlength=size)


def perplexity(counts: Tensor) -> float:
    """``exp`` of the entropy in nats of the shares of ``counts`` (size,): in [1, size], m for m codes used alike. Raises
    Undefined where nothing was counted."""
    total = counts.sum()
    if not total:
        raise Undefined("there are no codes to count", "undefined.uncounted")
    return max(1.0, float(torch.special.entr(counts.double() / total).sum().exp()))


def used_share(counts: Tensor) -> float:
    """Share of ``counts`` (size,) above 0, in [0, 1]."""
    return float((counts > 0).double().mean())


def _codes(e: Encoding) -> tuple[Tensor, int]:
    if e.codes is None or e.codebook is None:
        raise Undefined(e.lack(DISCRETE))
    return e.codes, e.codebook.size


def _perplexity(e: Encoding) -> Value:
    codes, size = _codes(e)
    each = [perplexity(code_counts(column, size)) for column in codes.T]
    return Value(perplexity(code_counts(codes, size)), detail={"codes": size, "per_position": each})


def _usage(e: Encoding) -> Value:
    codes, size = _codes(e)
    counts = code_counts(codes, size)
    return Value(used_share(counts), detail={"codes": size, "used": int((counts > 0).sum()), "read": codes.numel()})


code_perplexity = Metric(
    name="perplexity",
    family="representation",
    compute=_perplexity,
    better="none",
    bounds=(1.0, None),
    unit="codes",
    summary="exponential of the entropy of how often each code of a discrete latent is used on the split, all positions "
    "together; m = m codes used alike, 1 = the codebook has collapsed to one code",
    source="van den Oord et al. 2017",
    needs=frozenset({DISCRETE}),
    splits=("train", "test"),
    phrase=Phrase(
        "perplexity of the codes", "spreads its images over more codes", "spreads its images over fewer codes"
    ),
)

code_usage = Metric(
    name="code_usage",
    family="representation",
    compute=_usage,
    better="none",
    bounds=(0.0, 1.0),
    unit="share of the codebook",
    summary="share of the codes of a discrete latent that any image of the split takes at any position",
    source="definition",
    needs=frozenset({DISCRETE}),
    splits=("train", "test"),
    phrase=Phrase("share of the codes in use", "uses more of its codes", "uses fewer of its codes"),
)
