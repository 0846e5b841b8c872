"""Memorisation: are decoded samples new images, or training images given back?

Samples are decoded draws of the mixture fitted to the training codes: of the samplers the one that stays where codes
lie, for an autoencoder too, whose N(0, I) decodes to junk. Distances are Euclidean, between pixels clamped to [0, 1]: a
copy is a copy of pixels, and no judge is needed to see it. Every training image counts, none is left out: a copy of
an image left out would pass for new. Where training images are streamed all of them are streamed through here too.

Two questions. *Memorisation* asks of each sample: is a training image nearer than any held-out one? A model that
generalises has no reason to prefer either. Strong blur leaves its samples nearest to a handful of images in the middle,
of which it is chance to which set they belong: the record says of how many images the answer is made (`effective
images`), and the measure is refused where they are fewer than `FEWEST`. *Data copying* (Meehan et al. 2020) asks whether
samples are nearer to the training images than held-out images are; blur alone makes that so, so it stands second.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from latentbench.core import DECODER, TRAIN, Encoding, Metric, Undefined, Value
from latentbench.geometry.neighbours import blocks, flat
from latentbench.metrics.decoding import subsample
from latentbench.metrics.samplers import SAMPLE_COUNT, alike, prior_samples

FEWEST = 10.0
"""Effective number of images nearest to the samples below which memorisation says nothing."""
CANDIDATES = 3
"""Neighbours by rounded distances among which the nearest is sought."""
TIE = 1e-6
"""Distances that differ by less than this share of the images' own spread are equal."""


class NearestImages(NamedTuple):
    """The nearest of some images for each of m: ``distance`` (m,) float64 and ``which`` (m,) int64."""

    distance: Tensor
    which: Tensor


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


def effective_images(index: Tensor) -> float:
    """``1 / sum_j w_j^2``, w_j the share of samples whose nearest image is j, for indices (m,): between 1 and m. If the
    images were dealt out to the two sets by chance, the share of samples nearest to a training image would have the
    variance p0 (1 - p0) / this."""
    weight = torch.bincount(index).double() / len(index)
    return 1.0 / float(weight.square().sum())


def closest(images: Tensor, others: Tensor, skip: int = 0) -> NearestImages:
    """The nearest of ``others`` (n, c, h, w), but for the ``skip`` nearest, of each of ``images`` (m, c, h, w). A few
    candidates are found by products in float32 and measured exactly: a copy is at distance 0."""
    images, others = images.flatten(1), others.flatten(1)
    centre = others.mean(0)
    shifted = (others - centre).float()
    length = shifted.square().sum(1)
    parts = []
    for rows in blocks(len(images), max(len(others), CANDIDATES * others.shape[1])):
        score = torch.addmm(length, (images[rows] - centre).float(), shifted.T, alpha=-2)
        index = score.topk(min(CANDIDATES + skip, len(others)), largest=False).indices
        difference = images[rows, None].double() - others[index].double()
        distance, order = difference.square().sum(-1).sqrt().sort(stable=True, dim=1)
        parts.append((distance[:, skip], index.gather(1, order)[:, skip]))
    return NearestImages(*(torch.cat(column) for column in zip(*parts, strict=True)))


def _train_images(e: Encoding) -> Tensor:
    if e.train is None:
        raise Undefined(e.lack(TRAIN))
    return e.train.x


def closest_in_train(images: Tensor, e: Encoding) -> NearestImages:
    """The nearest training image of each of ``images`` (m, c, h, w), among all that were trained on: streamed ones are
    gone through in blocks, as a copy of one that the sample lacks would pass for new."""
    train = _train_images(e)
    if e.train is None or e.train.stream is None:
        return closest(images, train)
    distance = torch.full((len(images),), math.inf, dtype=torch.float64, device=images.device)
    which = torch.zeros(len(images), dtype=torch.int64, device=images.device)
    start = 0
    for block in e.train.stream.blocks():
        near = closest(images, block)
        which = torch.where(near.distance < distance, near.which + start, which)
        distance = torch.minimum(near.distance, distance)
        start += len(block)
    return NearestImages(distance, which)


def _train_count(e: Encoding) -> int:
    return (e.train.whole if e.train is not None else 0) or len(_train_images(e))


def new_images(e: Encoding, sampler: str, count: int) -> Tensor:
    """``count`` decoded samples, clamped to [0, 1]. Raises Undefined where they are all one image, of which no share
    can be told."""
    samples = e.once(prior_samples, sampler=sampler, count=max(SAMPLE_COUNT, count))[:count].clamp(0, 1)
    if alike(e.x, samples):
        raise Undefined(
            "all samples are the same image: nothing can be said of what they copy", "undefined.copies_alike"
        )
    return samples


def nearest_in_train(e: Encoding, sampler: str, count: int) -> NearestImages:
    """The nearest training image of each of `new_images`."""
    return closest_in_train(e.once(new_images, sampler=sampler, count=count), e)


def _tie(e: Encoding) -> float:
    return TIE * math.sqrt(float(flat(e.x).var(0, correction=0).sum()))


def _memorisation(e: Encoding, sampler: str, count: int) -> Value:
    samples = e.once(new_images, sampler=sampler, count=count)
    in_train, in_held_out = e.once(nearest_in_train, sampler=sampler, count=count), closest(samples, e.x)
    train, held_out = _train_count(e), len(e.x)
    wins = in_train.distance <= in_held_out.distance
    effective = effective_images(torch.where(wins, in_train.which, train + in_held_out.which))
    if effective < FEWEST:
        raise Undefined(
            "the samples lie nearest to {n:.2g} images only: what they copy is left to chance",
            "undefined.copies_few",
            n=effective,
        )
    null = train / (train + held_out)
    detail = {
        "samples": len(samples),
        "train": train,
        "held_out": held_out,
        "nearer_to_train": float(wins.double().mean()),
        "effective_images": effective,
        "null_error": 0.25 / math.sqrt(null * (1 - null) * effective),
    }
    share = copied_share(in_train.distance, in_held_out.distance, train, held_out, _tie(e))
    return Value(share, detail=detail)


def _memorisation_anchors(e: Encoding, sampler: str, count: int) -> Mapping[str, float]:
    """Real held-out images in the place of samples, each against the others; and training images in their place."""
    train = _train_count(e)
    if len(e.x) < 2:
        return {}
    real = subsample(e.x, count, e.generator("memorisation real"))
    others = closest(real, e.x, skip=1).distance
    share = copied_share(closest_in_train(real, e).distance, others, train, len(e.x) - 1, _tie(e))
    copies = subsample(_train_images(e), count, e.generator("memorisation copies"))
    to_train, to_held_out = closest_in_train(copies, e).distance, closest(copies, e.x).distance
    copied = copied_share(to_train, to_held_out, train, len(e.x), _tie(e))
    return {"ceiling:real": share, "floor:copies": copied}


def held_out_distances(e: Encoding, count: int) -> Tensor:
    """Distance to the nearest training image of each of at most ``count`` held-out images."""
    held_out = subsample(e.x, count, e.generator("data copying"))
    return closest_in_train(held_out, e).distance


def _data_copying(e: Encoding, sampler: str, count: int) -> Value:
    real = e.once(held_out_distances, count=count)
    fake = e.once(nearest_in_train, sampler=sampler, count=count).distance[: len(real)]
    detail = {"samples": len(fake), "held_out": len(real), "mean_ratio": float(fake.mean() / real.mean())}
    return Value(mann_whitney_z(real, fake), detail=detail)


def _data_copying_anchors(e: Encoding, sampler: str, count: int) -> Mapping[str, float]:
    """One half of the held-out images in the place of samples; and training images in their place."""
    order = torch.randperm(len(e.x), generator=e.generator("data copying halves"))[: 2 * count].to(e.x.device)
    distance = closest_in_train(e.x[order], e).distance
    half = len(order) // 2
    if half < 1:
        return {}
    copies = torch.zeros_like(distance[:half])  # a training image lies at distance 0 from itself
    return {
        "ceiling:real": mann_whitney_z(distance[:half], distance[half:]),
        "floor:copies": mann_whitney_z(distance[:half], copies),
    }


_SAMPLED: Mapping[str, Any] = {
    "family": "representation",
    "better": "target",
    "needs": frozenset({DECODER, TRAIN}),
    "params": {"sampler": "mixture", "count": 1000},
    "every_image": True,
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
    least=1.0,
    summary="global C_T: are decoded mixture samples nearer to the training images than held-out images are, in pixels? "
    "0 = no, far below 0 = copies or blur, far above 0 = samples unlike the data",
    source="Meehan et al. 2020 (over the whole space, not by cells)",
    references=_data_copying_anchors,
    expects={"ceiling:real": (-5.0, 5.0)},
    **_SAMPLED,
)
