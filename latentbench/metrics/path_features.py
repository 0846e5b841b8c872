"""Decoded paths as a judge sees them: do they stay with the two classes of their ends, and how far do they travel in the
judge's features?

With f the judge's features and ``z_t`` the straight line between two posterior means, ``f(g(z_t))`` is a curve in
feature space. Its speed ``|f(g(z_{t + eps})) - f(g(z_t))| / eps``, squared and averaged over t and pairs, is the
perceptual path length of Karras et al. 2019, there with LPIPS for f. As it stands it falls with the features' scale and
with the contrast of the images, so it is read against the least that any path with these ends could have: the squared
distance of the ends in features (the mean of a square is no smaller than the square of the mean).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from latentbench.core import CONTINUUM, Encoding, Metric, Undefined, Value
from latentbench.geometry.neighbours import flat
from latentbench.metrics.decoded_continuity import (
    chord_of,
    decoded_paths,
    fades_of_images,
    groups,
    has_path,
    judged,
    judged_paths,
    length,
    over_paths,
    path_pairs,
)
from latentbench.metrics.decoding import CHUNK, JUDGED, decode, features

if TYPE_CHECKING:
    from jaxtyping import Float, Float64, Int

LEAST = 0.5
"""A ratio whose exact value is at least 1 and that reads below this has missed the path's jumps."""


def consistency(labels: Int[Tensor, "p T"]) -> Float64[Tensor, " p"]:
    """Share of interior frames with the label of either end, (p,) float64, for ``labels`` (p, T), T >= 3: in [0, 1];
    1 = no third class appears on the way."""
    inside = labels[:, 1:-1]
    return ((inside == labels[:, :1]) | (inside == labels[:, -1:])).double().mean(1)


def _consistency(e: Encoding, frames: int, pairs: int) -> Value:
    paths = e.once(decoded_paths, frames=frames, pairs=pairs)
    kept = has_path(e, chord_of(paths.frames))
    each = consistency(e.once(judged_paths, frames=frames, pairs=pairs).label).to(kept.device)
    value = over_paths(each, kept)
    apart = {name: float(each[mask].mean()) for name, mask in groups(e, paths.ends, kept).items()}
    return value._replace(detail={**value.detail, **apart})


def _fade_consistency(e: Encoding, frames: int, pairs: int) -> Mapping[str, float]:
    label = judged(e, fades_of_images(e, frames, pairs)).label
    return {"ceiling:cross-fade": float(consistency(label).mean())}


def times(count: int, pairs: int, eps: float, generator: torch.Generator) -> Float64[Tensor, "pairs count"]:
    """Starts of small steps, (pairs, count) float64 in [0, 1 - eps]: one uniform draw in each of ``count`` equal parts
    of the path, so that a mean over them has less variance than one over independent draws."""
    draw = torch.rand(pairs, count, generator=generator, dtype=torch.float64, device=generator.device)
    part = torch.arange(count, dtype=torch.float64, device=draw.device)
    return (1 - eps) * (part + draw) / count


def squared_speed(start: Float[Tensor, "m f"], stop: Float[Tensor, "m f"], eps: float) -> Float[Tensor, " m"]:
    """``|b - a|^2 / eps^2`` of features ``start`` a and ``stop`` b (m, f), eps apart on their paths: (m,)."""
    return (length(flat(stop) - flat(start)) / eps).square()


def _speeds(e: Encoding, first: Tensor, last: Tensor, t: Tensor, eps: float, through: bool) -> Tensor:
    """Mean squared speed in features, (p,), at times ``t`` (p, count) of the straight lines from ``first`` to ``last``
    (p, ...): lines of codes, decoded on the way (``through``), or lines of images."""
    out = []
    block = max(1, CHUNK // (2 * t.shape[1]))
    for a, b, at in zip(first.split(block), last.split(block), t.split(block), strict=True):
        moments = torch.cat([at, at + eps], 1).to(a).view(len(a), -1, *[1] * (a.dim() - 1))
        points = ((1 - moments) * a[:, None] + moments * b[:, None]).flatten(0, 1)
        seen = features(e, decode(e, points) if through else points).double().view(len(a), 2, t.shape[1], -1)
        speed = squared_speed(seen[:, 0].flatten(0, 1), seen[:, 1].flatten(0, 1), eps)
        out.append(speed.view(len(a), -1).mean(1))
    return torch.cat(out)


def _ratio(speed: Tensor, chord: Tensor) -> float:
    if not chord.any():
        raise Undefined("the judge's features do not tell the ends of any path apart", "undefined.features_alike")
    ratio = float(speed.mean() / chord.square().mean())
    if ratio < LEAST:
        raise Undefined(
            "the decoded path moves in jumps: steps of eps account for {ratio:.2g} of the squared distance of its "
            "ends, where a path without jumps has at least 1",
            "undefined.path_jumps",
            ratio=ratio,
        )
    return ratio


def _length_per_feature(e: Encoding, pairs: int, times_per_path: int, eps: float) -> Value:
    ends = path_pairs(e, pairs).to(e.mu.device)
    first, last = e.mu[ends[:, 0]], e.mu[ends[:, 1]]
    frames = decode(e, torch.cat([first, last]))
    kept = has_path(e, length(flat(frames[pairs:]) - flat(frames[:pairs])))
    seen = features(e, frames).double()
    chord = length(flat(seen[pairs:]) - flat(seen[:pairs]))[kept.to(seen.device)]
    t = times(times_per_path, pairs, eps, e.generator("perceptual path length")).to(kept.device)
    speed = _speeds(e, first[kept], last[kept], t[kept], eps, through=True)
    detail = {"unnormalised": float(speed.mean()), "paths": len(speed), "left_out": pairs - len(speed)}
    return Value(_ratio(speed, chord), detail=detail)


def _fade_length(e: Encoding, pairs: int, times_per_path: int, eps: float) -> Mapping[str, float]:
    ends = path_pairs(e, pairs).to(e.x.device)
    first, last = e.x[ends[:, 0]], e.x[ends[:, 1]]
    seen = features(e, torch.cat([first, last]))
    t = times(times_per_path, pairs, eps, e.generator("perceptual path length"))
    speed = _speeds(e, first, last, t, eps, through=False)
    return {"ceiling:cross-fade": _ratio(speed, length(flat(seen[pairs:]) - flat(seen[:pairs])))}


path_consistency = Metric(
    name="path.consistency",
    family="continuity",
    compute=_consistency,
    better="higher",
    bounds=(0.0, 1.0),
    unit="share",
    summary="share of frames on the path, ends left out, that the judge puts in the class of one of its two ends; 16 "
    "frames; 1 = no third class on the way",
    source="latentbench",
    needs=JUDGED | {CONTINUUM},
    params={"frames": 16, "pairs": 100},
    references=_fade_consistency,
)

path_length_per_feature = Metric(
    name="path.length_per_feature",
    family="continuity",
    compute=_length_per_feature,
    better="lower",
    bounds=(0.0, None),
    unit="ratio",
    summary="perceptual path length: mean squared speed of the decoded path in the judge's features over the squared "
    "distance of its ends; 1 = straight and even, estimated with steps of a thousandth of the path",
    source="Karras et al. 2019, on judge features and divided by the squared distance of the ends",
    needs=JUDGED | {CONTINUUM},
    params={"pairs": 100, "times_per_path": 8, "eps": 1e-3},
    references=_fade_length,
)
