"""Memorisation: are decoded samples new images, or training images given back?

Samples are decoded draws of the mixture fitted to the training codes: of the samplers the one that stays where codes
lie, for an autoencoder too, whose N(0, I) decodes to junk. Distances are Euclidean, between pixels clamped to [0, 1]: a
copy is a copy of pixels, and no judge is needed to see it. Every training image counts, none is left out: a copy of
an image left out would pass for new.

Two questions. *Memorisation* asks of each sample: is a training image nearer than any held-out one? A model that
generalises has no reason to prefer either, and blur moves its samples towards both alike. *Data copying* (Meehan et al.
2020) asks whether samples are nearer to the training images than held-out images are; blur alone makes that so, so it
stands second.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from latentbench.core import Encoding, Metric, Undefined, Value
from latentbench.decoding import subsample
from latentbench.neighbours import blocks, flat
from latentbench.samplers import alike, prior_samples

SHARED = 2000
"""Samples decoded at once, the first of which are used here: other measures need as many."""
CANDIDATES = 3
"""Neighbours by rounded distances among which the nearest is sought."""
TIE = 1e-6
"""Distances that differ by less than this share of the images' own spread are equal."""


def copied_share(to_train: Tensor, to_held_out: Tensor, train: int, held_out: int, tie: float = 0.0) -> float:
    """``P[nearest neighbour in train closer than in an equal-size held-out set]``, in [0, 1]: .5 under no copying, 1
    for copies, from each sample's distance to its nearest of ``train`` and of ``held_out`` images, (m,) each.

    With sets of unequal size a sample that copies nothing finds its nearest in train with probability p0 = train /
    (train + held_out). Leaving training images out until the sizes agree would hide the copies of those left out.
    Instead the odds s / (1 - s) of the share s are divided by train / held_out, the ratio of the sets' densities: what
    the odds would be if both were equally dense. Equal sizes change nothing. Ties, distances within ``tie``, count half.
    """
    level = (to_train - to_held_out).abs() <= tie
    wins = (to_train < to_held_out) & ~level
    share = float((wins.double() + train / (train + held_out) * level.double()).mean())
    copied, new = share / train, (1 - share) / held_out
    return copied / (copied + new)


def mann_whitney_z(held_out: Tensor, generated: Tensor) -> float:
    """``(U - n m / 2) / sqrt(n m (n + m + 1) / 12)`` with U the number of pairs in which the generated value is the
    larger one, ties counted half, for values (n,) and (m,): a standard normal where both have one distribution.

    Mann & Whitney 1947; without a correction of the variance for ties, as in Meehan et al. 2020.
    """
    n, m = len(held_out), len(generated)
    ordered = held_out.double().sort().values
    generated = generated.double().contiguous()
    below = torch.searchsorted(ordered, generated, right=False) + torch.searchsorted(ordered, generated, right=True)
    u = float(below.sum()) / 2
    return (u - n * m / 2) / math.sqrt(n * m * (n + m + 1) / 12)


def closest(images: Tensor, others: Tensor, skip: int = 0) -> Tensor:
    """Distance (m,) float64 of each of ``images`` (m, c, h, w) to the nearest of ``others`` (n, c, h, w) but for the
    ``skip`` nearest. A few candidates are found by products in float32 and measured exactly: a copy is at distance 0."""
    images, others = images.flatten(1).float(), others.flatten(1).float()
    centre = others.mean(0)
    shifted, length = others - centre, (others - centre).square().sum(1)
    found = []
    for rows in blocks(len(images), max(len(others), CANDIDATES * others.shape[1])):
        score = torch.addmm(length, images[rows] - centre, shifted.T, alpha=-2)
        index = score.topk(min(CANDIDATES + skip, len(others)), largest=False).indices
        difference = images[rows, None].double() - others[index].double()
        found.append(difference.square().sum(-1).sqrt().sort(1).values[:, skip])
    return torch.cat(found)


def _train_images(e: Encoding) -> Tensor:
    if e.train is None:
        raise Undefined(e.missing.get("train", "needs train"))
    return e.train.x


def new_images(e: Encoding, sampler: str, count: int) -> Tensor:
    """``count`` decoded samples, clamped to [0, 1]. Raises Undefined where they are all one image, of which no share
    can be told."""
    samples = e.once(prior_samples, sampler=sampler, count=max(SHARED, count))[:count].clamp(0, 1)
    if alike(e.x, samples):
        raise Undefined("all samples are the same image: nothing can be said of what they copy")
    return samples


def sample_distances(e: Encoding, sampler: str, count: int) -> Tensor:
    """Distance of each of `new_images` to its nearest training image, (count,)."""
    return closest(e.once(new_images, sampler=sampler, count=count), _train_images(e))


def _tie(e: Encoding) -> float:
    return TIE * math.sqrt(float(flat(e.x).var(0, correction=0).sum()))


def _memorisation(e: Encoding, sampler: str, count: int) -> Value:
    samples = e.once(new_images, sampler=sampler, count=count)
    to_train = e.once(sample_distances, sampler=sampler, count=count)
    to_held_out = closest(samples, e.x)
    train, held_out = len(_train_images(e)), len(e.x)
    detail = {
        "samples": len(samples),
        "train": train,
        "held_out": held_out,
        "nearer_to_train": float((to_train < to_held_out).double().mean()),
    }
    return Value(copied_share(to_train, to_held_out, train, held_out, _tie(e)), detail=detail)


def _memorisation_anchors(e: Encoding, sampler: str, count: int) -> Mapping[str, float]:
    """Real held-out images in the place of samples, each against the others; and training images in their place."""
    train = _train_images(e)
    if len(e.x) < 2:
        return {}
    real = subsample(e.x, count, e.generator("memorisation real"))
    others = closest(real, e.x, skip=1)
    found = copied_share(closest(real, train), others, len(train), len(e.x) - 1, _tie(e))
    copies = subsample(train, count, e.generator("memorisation copies"))
    to_train, to_held_out = (closest(copies, images) for images in (train, e.x))
    copied = copied_share(to_train, to_held_out, len(train), len(e.x), _tie(e))
    return {"ceiling:real": found, "floor:copies": copied}


def held_out_distances(e: Encoding, count: int) -> Tensor:
    """Distance to the nearest training image of each of at most ``count`` held-out images."""
    held_out = subsample(e.x, count, e.generator("data copying"))
    return closest(held_out, _train_images(e))


def _data_copying(e: Encoding, sampler: str, count: int) -> Value:
    real = e.once(held_out_distances, count=count)
    fake = e.once(sample_distances, sampler=sampler, count=count)[: len(real)]
    detail = {"samples": len(fake), "held_out": len(real), "mean_ratio": float(fake.mean() / real.mean())}
    return Value(mann_whitney_z(real, fake), detail=detail)


def _data_copying_anchors(e: Encoding, sampler: str, count: int) -> Mapping[str, float]:
    """One half of the held-out images in the place of samples; and training images in their place."""
    order = torch.randperm(len(e.x), generator=e.generator("data copying halves"))[: 2 * count].to(e.x.device)
    distance = closest(e.x[order], _train_images(e))
    half = len(order) // 2
    if half < 1:
        return {}
    copies = torch.zeros_like(distance[:half])  # a training image lies at distance 0 from itself
    return {
        "ceiling:real": mann_whitney_z(distance[:half], distance[half:]),
        "floor:copies": mann_whitney_z(distance[:half], copies),
    }


_SAMPLED: Mapping[str, Any] = {
    "better": "target",
    "needs": frozenset({"decoder", "train"}),
    "params": {"sampler": "mixture", "count": 1000},
}

memorisation = Metric(
    name="memorisation",
    compute=_memorisation,
    target=0.5,
    bounds=(0.0, 1.0),
    unit="probability",
    summary="chance that a decoded mixture sample lies nearer to a training image than to any of as many held-out ones, "
    "in pixels; .5 = nothing copied, 1 = copies",
    source="latentbench",
    references=_memorisation_anchors,
    expects={"ceiling:real": (0.2, 0.8), "floor:copies": (0.9, 1.0)},
    **_SAMPLED,
)

data_copying = Metric(
    name="data_copying",
    compute=_data_copying,
    target=0.0,
    bounds=(None, None),
    unit="z",
    summary="global C_T: are decoded mixture samples nearer to the training images than held-out images are, in pixels? "
    "0 = no, far below 0 = copies or blur, far above 0 = samples unlike the data",
    source="Meehan et al. 2020 (over the whole space, not by cells)",
    references=_data_copying_anchors,
    expects={"ceiling:real": (-5.0, 5.0)},
    **_SAMPLED,
)
