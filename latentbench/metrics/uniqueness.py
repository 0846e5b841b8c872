"""Uniqueness and novelty: does the prior decode to ever other images, and to images that were not there before?

A table of stored images is as valid as its images are, and covers as much; what gives it away is that its draws come
again. Two images are *the same* where they lie within a radius r of one another in pixels, r = `SHARE` of the median
distance of a real image to its nearest other one. A third, and not less: at a twentieth, pixel noise of .02 makes every
copy an image of its own. More than a third costs honest models: at two thirds a VAE of digits reads .89 where it reads
.998. Noise of .05 still passes, as some noise does by any radius; there memorisation tells, for whose nearest image noise
is nothing, and the path, which does not refine. Pixels of decoded draws are clamped to [0, 1]; no judge is needed.

*Uniqueness*. Let the n draws come in a random order; a draw is *new* where none before it is the same. The expected share
of new ones has a closed form, in which no order is left: of the b draws that are the same as a given one, itself
included, it comes first with probability 1 / b, so

    uniqueness = (1 / n) sum_i 1 / b_i,

the bound of Caro 1979 and Wei 1981 on the independent sets of the graph that joins equal draws. Draws of K prototypes
give K (1 - (1 - 1/K)^n) / n, the expected number of distinct ones over n. The parts of that graph, counted instead, would
chain: of a thousand images in a row, each within r of the next, they make one image, where this makes a third.

It falls with the number of draws, so there are as many as there are real images to read beside them. These are the
held-out ones, and training images where those are too few; the radius is theirs too. Real images with a density in D
dimensions then read about (1 - e^-a) / a with a = ln 2 / 3^D, whatever the data: .89, .96 and .99 in one, two and three
dimensions, 1 in many.

*Novelty* is the share of draws that are the same as no image seen in training or validation, by the same radius.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from latentbench.core import DECODER, TRAIN, Encoding, Metric, Phrase, Undefined, Value
from latentbench.geometry.neighbours import count_inside, nearest
from latentbench.metrics.decoding import subsample
from latentbench.metrics.memorisation import closest_seen
from latentbench.metrics.samplers import SAMPLE_COUNT, prior_samples, trained_with

if TYPE_CHECKING:
    from jaxtyping import Float, Shaped

SHARE = 1 / 3
"""The radius of equal images, as a share of the median distance of a real image to its nearest other one."""
TIE = 1e-6
"""How much smaller the radius is than that, relative: images of few grey levels lie at few distances, some of them in the
ratio of `SHARE`, and no pair may hang on the last digit of a root."""


def distinct_share(images: Shaped[Tensor, "n ..."], radius: float) -> float:
    """``sum_i 1 / b_i / n`` with b_i the number of ``images`` (n, ...) within ``radius`` of image i, itself included: the
    expected share of images, taken in a random order, with none before them as near. In [1/n, 1], higher = more
    variety; 1 = no two within the radius, 1/n = all are one. Caro 1979, Wei 1981."""
    around = count_inside(images, images, torch.full((len(images),), radius)).around
    return float(around.clamp(min=1).double().reciprocal().mean())  # at radius 0 not even itself


def real_images(e: Encoding, count: int) -> Float[Tensor, "n ..."]:
    """At most ``count`` real images (n, c, h, w), held-out ones first and training images where these are too few."""
    held_out = subsample(e.x, count, e.generator("real images, held out"))
    if e.train is None or e.train.x is e.x or len(held_out) == count:
        return held_out
    return torch.cat([held_out, subsample(e.train.x, count - len(held_out), e.generator("real images, of training"))])


def same_radius(e: Encoding, count: int) -> float:
    """The distance in pixels within which two images are the same: `SHARE` of the median over `real_images` of the
    distance to the nearest other one. Raises Undefined for fewer than two images, and where half have a copy."""
    real = e.once(real_images, count=count)
    if len(real) < 2:
        raise Undefined("one real image has no other to be told from", "undefined.one_image")
    median = float(nearest(real).distance[:, 0].quantile(0.5))
    if median == 0.0:
        raise Undefined(
            "half of the real images have an exact copy among them: no distance tells new images from old",
            "undefined.real_copies",
        )
    return SHARE * median * (1 - TIE)


def draws(e: Encoding, count: int) -> Float[Tensor, "count ..."]:
    """``count`` decoded draws of the prior that the model was trained with (count, c, h, w), clamped to [0, 1]; of those
    that other measures share, the first."""
    return e.space.clip(e.once(prior_samples, sampler=trained_with(e), count=max(SAMPLE_COUNT, count))[:count])


def _uniqueness(e: Encoding, count: int) -> Value:
    radius = e.once(same_radius, count=count)
    images = draws(e, len(e.once(real_images, count=count)))
    return Value(distinct_share(images, radius), detail={"draws": len(images), "radius": radius})


def _uniqueness_anchors(e: Encoding, count: int) -> Mapping[str, float]:
    """Real images in the place of draws, and one image over and over."""
    real = e.once(real_images, count=count)
    return {"ceiling:real": distinct_share(real, e.once(same_radius, count=count)), "floor:mean": 1 / len(real)}


def _novelty(e: Encoding, count: int) -> Value:
    radius = e.once(same_radius, count=count)
    far = closest_seen(draws(e, count), e).distance[:, 0] > radius
    return Value(float(far.double().mean()), detail={"draws": count, "radius": radius})


def _novelty_anchors(e: Encoding, count: int) -> Mapping[str, float]:
    """Held-out images in the place of draws, and training images, which are no new ones."""
    real = subsample(e.x, count, e.generator("real images, held out"))
    far = closest_seen(real, e).distance[:, 0] > e.once(same_radius, count=count)
    return {"ceiling:real": float(far.double().mean()), "floor:copies": 0.0}


uniqueness = Metric(
    name="uniqueness",
    family="completeness",
    compute=_uniqueness,
    better="higher",
    bounds=(0.0, 1.0),
    unit="share",
    summary="share of decoded draws of N(0, I) that repeat none before them: none in pixels within a third of the "
    "distance at which real images have their nearest other one; 1 = all differ, 0 = one image over and over",
    source="latentbench; expected over all orders as in Caro 1979, Wei 1981",
    needs=frozenset({DECODER}),
    params={"count": SAMPLE_COUNT},
    references=_uniqueness_anchors,
    under_prior=True,
    phrase=Phrase(
        "different images among draws from N(0, I)",
        "decodes draws from N(0, I) that repeat one another less",
        "decodes draws from N(0, I) that repeat one another more",
    ),
)

novelty = Metric(
    name="novelty",
    family="completeness",
    compute=_novelty,
    better="higher",
    bounds=(0.0, 1.0),
    unit="share",
    summary="share of decoded draws of N(0, I) that are no image of training or validation: none lies in pixels within a "
    "third of the distance at which real images have their nearest other one",
    source="latentbench",
    needs=frozenset({DECODER, TRAIN}),
    params={"count": SAMPLE_COUNT},
    references=_novelty_anchors,
    under_prior=True,
    every_image=True,
    phrase=Phrase(
        "new images among draws from N(0, I)",
        "gives back fewer of the images it was fitted to",
        "gives back more of the images it was fitted to",
    ),
)
