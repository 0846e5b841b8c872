"""Memorisation: are decoded samples new images, or images given back that were there before?

Samples are decoded draws of the mixture fitted to the training codes: of the samplers the one that stays where codes
lie, for an autoencoder too, whose N(0, I) decodes to junk. The noise behind them hangs on the seed alone. Distances are
Euclidean, between pixels clamped to [0, 1], and decided in float64: a copy is a copy of pixels, and no judge is needed
to see it. Of a model that was trained with a prior of its own the draws of that are searched too, and what shows more of a
copy counts: a prior may be a table of training codes. *Seen* are the training images and, where there are any, the validation images: by these training is
stopped and the judge calibrated, and a table of them would pass for new among training images alone. Every seen image
counts, none is left out: a copy of an image left out would pass for new. Where training images are streamed all of them
are streamed through here too.

Two questions. *Memorisation* asks of each sample: is a seen image nearer than any held-out one? A model that
generalises has no reason to prefer either. Strong blur leaves its samples nearest to a handful of images in the middle,
of which it is chance to which set they belong: the record says of how many images the answer is made (`effective
images`), and the measure is refused where they are fewer than `FEWEST`, unless most samples lie so near to seen images
that they are these (`near_copies`): a table of five images is no blur. *Data copying* (Meehan et al. 2020) asks whether
samples are nearer to the seen images than held-out images are; blur alone makes that so, so it stands second.

What real images read, the ceiling, is .5 in expectation on any data that were dealt out to the splits at random, class
by class or not. Held-out images in the place of samples would not do: each is missing from among the held-out ones,
so of a class of ten, two of them held out, one is left to lie near it, beside eight seen ones, and not two. So *all*
real images stand in the place of samples, seen and held-out ones by their shares, each asked for its nearest other
image. Which image that is the pixels say; to which set it belongs was drawn, and the share of seen ones among the
nearest images is that of its class, whatever the classes' sizes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from latentbench.artifact_schema import OWN_SAMPLER
from latentbench.core import CONTINUUM, DECODER, TRAIN, Encoding, Metric, Undefined, Value
from latentbench.geometry.neighbours import blocks, count_inside, flat, nearest
from latentbench.metrics.decoding import subsample
from latentbench.metrics.samplers import SAMPLE_COUNT, alike, prior_samples

if TYPE_CHECKING:
    from jaxtyping import Float, Int, Shaped

FEWEST = 10.0
"""Effective number of images nearest to the samples below which memorisation says nothing of samples that are no
copies."""
NEAR = 1 / 3
"""Share of the held-out images' median distance to the nearest other of them within which a sample is a seen image."""
CANDIDATES = 3
"""Neighbours by rounded distances, beside the k asked for, among which the k nearest are sought."""
SLACK = 2e-5
"""How far off a rounded distance may be, as a share of the largest product of the lengths that it is made of."""
TIE = 1e-6
"""Distances that differ by less than this share of the images' own spread are equal."""


class NearestImages(NamedTuple):
    """The k nearest of some images for each of m, nearest first: ``distance`` (m, k) float64 and ``which`` (m, k) int64."""

    distance: Tensor
    which: Tensor


def even_odds(share: float, seen: int, held_out: int) -> float:
    """The share of samples nearest to a seen image as it would be if held-out images were as many, in [0, 1].

    With sets of unequal size a sample that copies nothing finds its nearest among the seen with probability p0 = seen /
    (seen + held_out). Leaving seen images out until the sizes agree would hide the copies of those left out. Instead
    the odds s / (1 - s) of the share s are divided by seen / held_out, the ratio of the sets' densities: what the odds
    would be if both were equally dense. Equal sizes change nothing; p0 becomes .5, 0 and 1 stay.
    """
    copied, new = share / seen, (1 - share) / held_out
    return copied / (copied + new)


def copied_share(to_seen: Float[Tensor, " m"], to_held_out: Float[Tensor, " m"], seen: int, held_out: int) -> float:
    """``P[nearest neighbour among the seen closer than in an equal-size held-out set]``, in [0, 1]: .5 under no copying,
    1 for copies, from each sample's distance to its nearest of ``seen`` and of ``held_out`` images, (m,) each. Ties count
    as samples do that copy nothing; `nearer_share` looks at how many images tie."""
    null = seen / (seen + held_out)
    share = (to_seen < to_held_out).double() + null * (to_seen == to_held_out).double()
    return even_odds(float(share.mean()), seen, held_out)


def mann_whitney_z(held_out: Float[Tensor, " n"], generated: Float[Tensor, " m"]) -> float:
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


def effective_images(index: Int[Tensor, " m"]) -> float:
    """``1 / sum_j w_j^2``, w_j the share of samples whose nearest image is j, for indices (m,): between 1 and m. If the
    images were dealt out to the two sets by chance, the share of samples nearest to a seen image would have the
    variance p0 (1 - p0) / this."""
    weight = torch.bincount(index).double() / len(index)
    return 1.0 / float(weight.square().sum())


def closest(images: Shaped[Tensor, "m ..."], others: Shaped[Tensor, "n ..."], k: int = 1) -> NearestImages:
    """The ``k`` nearest of ``others`` (n, c, h, w), n >= k, to each of ``images`` (m, c, h, w). A few candidates are found
    by products in float32 and measured exactly: a copy is at distance 0. Where products as rough as that cannot tell
    whether the nearest are among the candidates, all pairs are settled in float64."""
    images, others = images.flatten(1), others.flatten(1)
    centre = others.mean(0)
    shifted = (others - centre).float()
    length = shifted.square().sum(1)
    longest = float(length.amax())
    count = min(k + CANDIDATES, len(others))
    parts = []
    for rows in blocks(len(images), max(len(others), CANDIDATES * others.shape[1])):
        here = (images[rows] - centre).float()
        candidates = torch.addmm(length, here, shifted.T, alpha=-2).topk(count, largest=False)
        difference = images[rows, None].double() - others[candidates.indices].double()
        distance, order = difference.square().sum(-1).sqrt().sort(stable=True, dim=1)
        distance, which = distance[:, :k].clone(), candidates.indices.gather(1, order)[:, :k].clone()
        if count < len(others):
            margin = SLACK * (longest + 2 * math.sqrt(longest) * here.norm(dim=1))
            unsure = candidates.values[:, -1] - candidates.values[:, k - 1] <= 2 * margin
            if bool(unsure.any()):
                distance[unsure], which[unsure] = nearest(images[rows][unsure], others, k)
        parts.append((distance, which))
    return NearestImages(*(torch.cat(column) for column in zip(*parts, strict=True)))


def _train_images(e: Encoding) -> Tensor:
    if e.train is None:
        raise Undefined(e.lack(TRAIN))
    return e.train.x


def _seen_blocks(e: Encoding) -> Iterator[Tensor]:
    """All images that were seen, a block at a time: those trained on, streamed ones too, and those validated on."""
    train = _train_images(e)
    stream = None if e.train is None else e.train.stream
    yield from [train] if stream is None else stream.blocks()
    if e.validation is not None and len(e.validation):
        yield e.validation


def train_count(e: Encoding) -> int:
    """How many images were trained on, streamed ones too."""
    return (e.train.whole if e.train is not None else 0) or len(_train_images(e))


def seen_count(e: Encoding) -> int:
    """How many images were seen: trained on or validated on."""
    return train_count(e) + (0 if e.validation is None else len(e.validation))


def closest_seen(images: Tensor, e: Encoding, k: int = 1) -> NearestImages:
    """The ``k`` nearest seen images of each of ``images`` (m, c, h, w), among all that were trained or validated on, at
    least k. They are numbered with the training images first, then the validation images."""
    return _closest_of(images, _seen_blocks(e), k)


def _closest_of(images: Tensor, others: Iterable[Tensor], k: int) -> NearestImages:
    best, start = None, 0
    for block in others:
        near = closest(images, block, min(k, len(block)))
        near = NearestImages(near.distance, near.which + start)
        start += len(block)
        if best is not None:
            distance = torch.cat([best.distance, near.distance], 1)
            order = distance.argsort(stable=True, dim=1)[:, :k]
            near = NearestImages(distance.gather(1, order), torch.cat([best.which, near.which], 1).gather(1, order))
        best = near
    assert best is not None
    return best


def nearer_share(
    images: Tensor, e: Encoding, to_seen: Tensor, to_held_out: Tensor, own: tuple[int, int] = (0, 0)
) -> float:
    """Share of ``images`` (m, c, h, w), in [0, 1], that lie nearer to a seen image than to any held-out one, from the
    distances (m,) to the nearest of each. ``own``: how many seen and held-out images each of them is itself, which do not
    count.

    Where both distances are one (copies in both sets; images of few grey values) an image counts by the share of seen ones
    among all that lie at this distance. Of images that were dealt out to the sets at random that is what each of them
    contributes; to count a tie as half, or as p0, would lean to one side.
    """
    tie = TIE * math.sqrt(float(flat(e.x).var(0, correction=0).sum()))
    level = (to_seen - to_held_out).abs() <= tie
    share = (to_seen < to_held_out).double()
    if bool(level.any()):
        tied, radius = images[level], torch.maximum(to_seen, to_held_out)[level] + tie
        seen = torch.stack([count_inside(block, tied, radius).within for block in _seen_blocks(e)]).sum(0) - own[0]
        held_out = count_inside(e.x, tied, radius).within - own[1]
        share[level] = seen.double() / (seen + held_out)
    return float(share.mean())


def copiers(e: Encoding, sampler: str) -> tuple[str, ...]:
    """The samplers whose draws are searched for copies: ``sampler``, and the model's own prior, where it has one. Of discrete
    codes there is that alone."""
    if not CONTINUUM.met(e):
        return (OWN_SAMPLER,)
    return (sampler,) if e.prior is None else (OWN_SAMPLER, sampler)


def new_images(e: Encoding, sampler: str, count: int) -> Tensor:
    """``count`` decoded samples, clamped to [0, 1]. Raises Undefined where they are all one image, of which no share
    can be told."""
    samples = e.space.clip(e.once(prior_samples, sampler=sampler, count=max(SAMPLE_COUNT, count))[:count])
    if alike(e.x, samples):
        raise Undefined(
            "all samples are the same image: nothing can be said of what they copy", "undefined.copies_alike"
        )
    return samples


def nearest_seen(e: Encoding, sampler: str, count: int) -> NearestImages:
    """The nearest seen image of each of `new_images`."""
    return closest_seen(e.once(new_images, sampler=sampler, count=count), e)


def near_radius(e: Encoding, count: int) -> float:
    """How near to an image another one is the same image, or as good as: `NEAR` of the held-out images' median distance to
    the nearest other of them; 0 where there is one of these only."""
    if len(e.x) < 2:
        return 0.0
    held_out = subsample(e.x, count, e.generator("near copies"))
    return NEAR * float(closest(held_out, e.x, 2).distance[:, 1].median())


def _near_copies(e: Encoding, distance: Tensor, count: int) -> float:
    """Share of samples within `near_radius`; 0 where there is a single held-out image."""
    return float((distance <= e.once(near_radius, count=count)).double().mean()) if len(e.x) > 1 else 0.0


def _memorisation(e: Encoding, sampler: str, count: int) -> Value:
    found = [_copied(e, one, count) for one in copiers(e, sampler)]
    return max(found, key=lambda value: value.value)


def _copied(e: Encoding, sampler: str, count: int) -> Value:
    samples = e.once(new_images, sampler=sampler, count=count)
    in_seen, in_held_out = e.once(nearest_seen, sampler=sampler, count=count), closest(samples, e.x)
    to_seen, to_held_out = in_seen.distance[:, 0], in_held_out.distance[:, 0]
    train, seen, held_out = train_count(e), seen_count(e), len(e.x)
    wins = to_seen <= to_held_out
    effective = effective_images(torch.where(wins, in_seen.which[:, 0], seen + in_held_out.which[:, 0]))
    near = _near_copies(e, to_seen, count)
    if effective < FEWEST and near < 0.5:
        raise Undefined(
            "the samples lie nearest to {n:.2g} images only: what they copy is left to chance",
            "undefined.copies_few",
            n=effective,
        )
    null = seen / (seen + held_out)
    trained_on = in_seen.which[:, 0] < train
    detail = {
        "samples": len(samples),
        **({} if e.prior is None else {"sampler": sampler}),
        "train": train,
        "validation": seen - train,
        "held_out": held_out,
        "nearer_to_train": float((wins & trained_on).double().mean()),
        "nearer_to_validation": float((wins & ~trained_on).double().mean()),
        "near_copies": near,
        "effective_images": effective,
        "null_error": 0.25 / math.sqrt(null * (1 - null) * effective),
    }
    share = nearer_share(samples, e, to_seen, to_held_out)
    return Value(even_odds(share, seen, held_out), detail=detail)


def _memorisation_anchors(e: Encoding, sampler: str, count: int) -> Mapping[str, float]:
    """Real images of all splits in the place of samples, each against the others; and seen images in their place."""
    seen, held_out = seen_count(e), len(e.x)
    if min(seen, held_out) < 2:
        return {}
    known = _train_images(e) if e.validation is None else torch.cat([_train_images(e), e.validation])
    null = seen / (seen + held_out)
    # Each side's share weighs as much as the side has images, however many of them are drawn.
    shares = []
    for images, own in ((known, 1), (e.x, 0)):
        drawn = subsample(images, count, e.generator(f"memorisation real {own}"))
        to_seen = closest_seen(drawn, e, 1 + own).distance[:, -1]
        to_held_out = closest(drawn, e.x, 2 - own).distance[:, -1]
        shares.append(nearer_share(drawn, e, to_seen, to_held_out, (own, 1 - own)))
    real = even_odds(null * shares[0] + (1 - null) * shares[1], seen, held_out)
    copies = subsample(known, count, e.generator("memorisation copies"))
    to_seen, to_held_out = closest_seen(copies, e).distance[:, 0], closest(copies, e.x).distance[:, 0]
    return {
        "ceiling:real": real,
        "floor:copies": even_odds(nearer_share(copies, e, to_seen, to_held_out), seen, held_out),
    }


def held_out_distances(e: Encoding, count: int) -> Tensor:
    """Distance (n,) to the nearest seen image of each of at most ``count`` held-out images."""
    held_out = subsample(e.x, count, e.generator("data copying"))
    return closest_seen(held_out, e).distance[:, 0]


def _data_copying(e: Encoding, sampler: str, count: int) -> Value:
    return min((_nearness(e, one, count) for one in copiers(e, sampler)), key=lambda value: value.value)


def _nearness(e: Encoding, sampler: str, count: int) -> Value:
    real = e.once(held_out_distances, count=count)
    fake = e.once(nearest_seen, sampler=sampler, count=count).distance[: len(real), 0]
    detail: dict[str, Any] = {
        "samples": len(fake), "held_out": len(real), "mean_ratio": float(fake.mean() / real.mean()),
    }  # fmt: skip
    if e.prior is not None:
        detail["sampler"] = sampler
    return Value(mann_whitney_z(real, fake), detail=detail)


def _data_copying_anchors(e: Encoding, sampler: str, count: int) -> Mapping[str, float]:
    """One half of the held-out images in the place of samples; and seen images in their place."""
    order = torch.randperm(len(e.x), generator=e.generator("data copying halves"))[: 2 * count].to(e.x.device)
    distance = closest_seen(e.x[order], e).distance[:, 0]
    half = len(order) // 2
    if half < 1:
        return {}
    copies = torch.zeros_like(distance[:half])  # a seen image lies at distance 0 from itself
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
    summary="chance that a decoded mixture sample lies nearer to a training or validation image than to any of as many "
    "held-out ones, in pixels; .5 = nothing copied, 1 = copies",
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
    summary="global C_T: are decoded mixture samples nearer to the training and validation images than held-out images "
    "are, in pixels? 0 = no, far below 0 = copies or blur, far above 0 = samples unlike the data",
    source="Meehan et al. 2020 (over the whole space, not by cells)",
    references=_data_copying_anchors,
    expects={"ceiling:real": (-5.0, 5.0)},
    **_SAMPLED,
)
