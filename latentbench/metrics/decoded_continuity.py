"""Decoded continuity: do two close latent points decode to similar things?

Between two posterior means the latent runs straight, ``z_t = (1 - t) mu_0 + t mu_1``; the decoded path is
``p_t = g(z_t)``. In pixels a path is judged by its *steps* ``d_t = |p_{t+1} - p_t|`` against its *chord*
``|p_T - p_0|``. Pixels alone reward blur: the *cross-fade* ``(1 - t) p_0 + t p_1`` of the two end reconstructions,
which owes nothing to what lies between their codes, is perfectly straight. So every pixel score stands beside realism:
how much more often the judge accepts what lies on the path than what lies on the cross-fade. That control is as bad as
the reconstructions it fades: a decoder that returns noise at the ends and pictures in between gains everything on it.
So the cross-fade ``(1 - t) x_0 + t x_1`` of the two *real* images, which needs no model, is a second one.

Is the path *continuous*? A limit cannot be sampled, but its trend can: with twice as many frames the largest step of a
continuous path halves once the frames are dense enough, and that of a path that snaps stays as it is.

Where the chord is ~0 (a decoder that ignores its input) there is no path: those pairs are left out and counted, and
where most are, the measure is undefined rather than perfect.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from latentbench.core import CONTINUUM, DECODER, Encoding, Metric, Need, Phrase, Undefined, Value, Verdict
from latentbench.geometry.neighbours import flat
from latentbench.metrics.decoding import CHUNK, JUDGED, decode, features, verdicts

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Float64, Int

NO_PATH = 0.01
"""A chord below this share of the root mean squared distance of two images of the data is no path."""


class Paths(NamedTuple):
    """Decoded straight lines: ``ends`` (p, 2) int64, the indices of both images in the split; ``frames``
    (p, T, c, h, w), raw decoder output at T equally spaced points, both ends included."""

    ends: Tensor
    frames: Tensor


class Steps(NamedTuple):
    """Lengths in pixels, float64: ``steps`` (p, T-1) between neighbouring frames, ``chord`` (p,) between the ends."""

    steps: Tensor
    chord: Tensor


def draw_pairs(n: int, pairs: int, generator: torch.Generator) -> Int[Tensor, "pairs 2"]:
    """``pairs`` random ordered pairs of different indices below ``n``, (pairs, 2) int64. The first few of many are
    the few: asking for less never draws others. Raises Undefined for n < 2."""
    if n < 2:
        raise Undefined("paths need two images, there is {n}", "undefined.path_images", n=n)
    code = torch.randint(n * (n - 1), (pairs,), generator=generator, device=generator.device)
    first, second = code // (n - 1), code % (n - 1)
    return torch.stack([first, second + (second >= first)], 1).cpu()


def along(
    first: Float[Tensor, "p ..."], last: Float[Tensor, "p ..."], t: Float[Tensor, " T"]
) -> Float[Tensor, "p T ..."]:
    """Points of the straight lines from ``first`` to ``last`` (p, ...) at ``t`` (T,): (p, T, ...). At t = 1 exactly
    ``last``."""
    t = t.to(first).view(1, -1, *[1] * (first.dim() - 1))
    return (1 - t) * first[:, None] + t * last[:, None]


def cross_fade(frames: Float[Tensor, "p T ..."]) -> Float[Tensor, "p T ..."]:
    """The pixel blend of the two end frames at the same times: ``frames`` and result (p, T, c, h, w)."""
    return along(frames[:, 0], frames[:, -1], torch.linspace(0, 1, frames.shape[1], dtype=torch.float64))


def length(v: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch"]:
    """Euclidean norm of the vectors ``v`` (..., d): (...,)."""
    norm: Tensor = torch.linalg.vector_norm(v, dim=-1)
    return norm


def step_lengths(frames: Float[Tensor, "p T ..."]) -> Steps:
    """Steps and chords of paths ``frames`` (p, T, ...), T >= 2."""
    p, count = frames.shape[:2]
    points = flat(frames.reshape(p * count, -1)).view(p, count, -1)
    return Steps(length(points[:, 1:] - points[:, :-1]), length(points[:, -1] - points[:, 0]))


def tortuosity(steps: Float[Tensor, "p steps"], chord: Float[Tensor, " p"]) -> Float[Tensor, " p"]:
    """``sum_t d_t / chord`` per path, (p,): path length over the straight distance, >= 1, lower is straighter; it
    grows with the number of frames, (p, T-1) steps here. Arvanitidis et al. 2018 for lengths of decoded curves."""
    return (steps.sum(1) / chord).clamp(min=1.0)  # the triangle inequality, up to rounding


def jump(steps: Float[Tensor, "p steps"]) -> Float[Tensor, " p"]:
    """``max_t d_t / sum_t d_t - 1 / (T - 1)`` per path, (p,): the share of the way covered in the largest step beyond
    an even share, in [0, 1 - 1/(T-1)]; 0 = uniform speed, the top = one switch."""
    return (steps.amax(1) / steps.sum(1) - 1 / steps.shape[1]).clamp(min=0.0)


def betweenness(
    first: Float[Tensor, "p ..."], middle: Float[Tensor, "p ..."], last: Float[Tensor, "p ..."]
) -> Float[Tensor, " p"]:
    """``(|m - p_0| + |p_1 - m|) / |p_1 - p_0|`` per path, (p,), for points (p, ...): >= 1; 1 = the decoded midpoint
    lies on the straight segment between the decoded ends."""
    a, m, b = flat(first), flat(middle), flat(last)
    return ((length(m - a) + length(b - m)) / length(b - a)).clamp(min=1.0)


def nonblend(
    first: Float[Tensor, "p ..."], middle: Float[Tensor, "p ..."], last: Float[Tensor, "p ..."]
) -> Float[Tensor, " p"]:
    """``|m - (p_0 + p_1) / 2| / |p_1 - p_0|`` per path, (p,): how far the decoded midpoint is from being the mere
    pixel average of the ends; >= 0, 0 = a cross-fade."""
    a, m, b = flat(first), flat(middle), flat(last)
    return length(m - (a + b) / 2) / length(b - a)


def label_changes(labels: Int[Tensor, "p T"]) -> Float64[Tensor, " p"]:
    """How often the judged class changes along each path, (p,) float64, for ``labels`` (p, T)."""
    return (labels[:, 1:] != labels[:, :-1]).double().sum(1)


# --- shared by the metrics below, the strips of the report and one another, each computed once per encoding ---


def path_pairs(e: Encoding, pairs: int) -> Int[Tensor, "pairs 2"]:
    """The encoding's random pairs of held-out images, (pairs, 2); the same for every model with this seed."""
    return draw_pairs(len(e.mu), pairs, e.generator("pairs"))


def decode_between(e: Encoding, ends: Int[Tensor, "p 2"], frames: int) -> Float[Tensor, "p frames ..."]:
    """Raw decoded frames (p, frames, c, h, w) on the straight lines between the posterior means of ``ends`` (p, 2); of a
    conditional model under the label of the nearer end."""
    t = torch.linspace(0, 1, frames, dtype=torch.float64)
    rows = ends.to(e.mu.device)
    codes = along(e.mu[rows[:, 0]], e.mu[rows[:, 1]], t)
    labels = None if e.labels is None else e.labels[rows][:, (t > 0.5).long().to(rows.device)].flatten()
    images = decode(e, codes.flatten(0, 1), labels)
    return images.view(len(ends), frames, *images.shape[1:])


def decoded_paths(e: Encoding, frames: int, pairs: int) -> Paths:
    """The first ``pairs`` random pairs of the split, decoded at ``frames`` points each. Held in memory: for few
    frames or few pairs; `path_steps` streams."""
    ends = path_pairs(e, pairs)
    return Paths(ends, decode_between(e, ends, frames))


def path_steps(e: Encoding, frames: int, pairs: int) -> Steps:
    """Steps and chords of ``pairs`` paths of ``frames`` frames, a block of paths in memory at a time."""
    parts = [
        step_lengths(decode_between(e, ends, frames))
        for ends in torch.split(path_pairs(e, pairs), max(1, CHUNK // frames))
    ]
    return Steps(torch.cat([p.steps for p in parts]), torch.cat([p.chord for p in parts]))


def image_distance(e: Encoding) -> float:
    """Root mean squared distance of two random images of the split, in pixels: ``sqrt(2 sum Var(x))``."""
    return float((2 * flat(e.x).var(0, correction=0).sum()).sqrt())


def has_path(e: Encoding, chord: Float[Tensor, " p"]) -> Bool[Tensor, " p"]:
    """Which pairs have a path to speak of: (p,) bool, chord (p,) at least `NO_PATH` of the root mean squared distance
    between two images of the split. Raises Undefined where fewer than half have."""
    kept = (chord > 0) & (chord >= NO_PATH * e.once(image_distance))
    if 2 * int(kept.sum()) < len(kept):
        raise Undefined(
            "the decoder maps the ends of {n} of {of} paths to the same image (chord below {least:.0%} of the distance "
            "between two images): there is no path to measure",
            "undefined.no_path",
            n=len(kept) - int(kept.sum()),
            of=len(kept),
            least=NO_PATH,
        )
    return kept


def judged_paths(e: Encoding, frames: int, pairs: int) -> Verdict:
    """The judge on every frame of `decoded_paths`; each field (p, frames)."""
    return judged(e, e.once(decoded_paths, frames=frames, pairs=pairs).frames)


def judged_fades(e: Encoding, frames: int, pairs: int) -> Verdict:
    """The judge on the cross-fade of every decoded path's two ends; each field (p, frames)."""
    return judged(e, cross_fade(e.once(decoded_paths, frames=frames, pairs=pairs).frames))


def judged_real_fades(e: Encoding, frames: int, pairs: int) -> Verdict:
    """The judge on the cross-fade of the real images of every pair; each field (p, frames)."""
    return judged(e, fades_of_images(e, frames, pairs))


def judged(e: Encoding, frames: Float[Tensor, "p T ..."]) -> Verdict:
    """The judge on frames (p, T, c, h, w); each field (p, T)."""
    verdict = verdicts(e, frames.flatten(0, 1))
    return Verdict(*(field.view(frames.shape[:2]) for field in verdict))


def fades_of_images(e: Encoding, frames: int, pairs: int) -> Float[Tensor, "pairs frames ..."]:
    """Cross-fades of the real images of the same pairs, (pairs, frames, c, h, w): what no model is needed for."""
    ends = path_pairs(e, pairs).to(e.x.device)
    return along(e.x[ends[:, 0]], e.x[ends[:, 1]], torch.linspace(0, 1, frames, dtype=torch.float64))


def groups(e: Encoding, ends: Int[Tensor, "p 2"], kept: Bool[Tensor, " p"]) -> dict[str, Tensor]:
    """Masks (p,) of the kept pairs with one class and with two, where labels are known."""
    if e.labels is None:
        return {}
    label = e.labels[ends.to(e.labels.device)].to(kept.device)
    kept, same = kept & (label >= 0).all(1), label[:, 0] == label[:, 1]
    return {name: mask for name, mask in (("same_class", kept & same), ("different_class", kept & ~same)) if mask.any()}


def over_paths(each: Float[Tensor, " p"], kept: Bool[Tensor, " p"]) -> Value:
    """The mean over kept paths, with its quantiles and how many were left out."""
    some = each[kept]
    median, high = torch.quantile(some, torch.tensor([0.5, 0.95], dtype=some.dtype, device=some.device)).tolist()
    detail = {"median": median, "q95": high, "paths": len(some), "left_out": len(each) - len(some)}
    return Value(float(some.mean()), detail=detail)


def _tortuosity(e: Encoding, frames: int, pairs: int) -> Value:
    steps, chord = e.once(path_steps, frames=frames, pairs=pairs)
    return over_paths(tortuosity(steps, chord), has_path(e, chord))


def _jump(e: Encoding, frames: int, pairs: int) -> Value:
    steps, chord = e.once(path_steps, frames=frames, pairs=pairs)
    return over_paths(jump(steps), has_path(e, chord))


def _inner(valid: Tensor) -> Tensor:
    return valid[:, 1:-1]


def _middle_frame(valid: Tensor) -> Tensor:
    return valid[:, valid.shape[1] // 2, None]


def _gain(
    e: Encoding,
    frames: int,
    pairs: int,
    inner: Callable[[Tensor], Tensor] = _inner,
    control: Callable[..., Verdict] = judged_fades,
) -> Value:
    """Valid share on the path minus that on the cross-fade that ``control`` judges, over the frames that ``inner``
    picks."""
    paths = e.once(decoded_paths, frames=frames, pairs=pairs)
    kept = has_path(e, chord_of(paths.frames))
    path = inner(e.once(judged_paths, frames=frames, pairs=pairs).valid).double().mean(1).to(kept.device)
    fade = inner(e.once(control, frames=frames, pairs=pairs).valid).double().mean(1).to(kept.device)

    def shares(mask: Tensor) -> dict[str, float]:
        on, off = float(path[mask].mean()), float(fade[mask].mean())
        return {"path": on, "cross_fade": off, "gain": on - off, "pairs": int(mask.sum())}

    whole = shares(kept)
    detail: dict[str, Any] = {**whole, "left_out": int((~kept).sum())}
    detail |= {name: shares(mask) for name, mask in groups(e, paths.ends, kept).items()}
    return Value(whole["gain"], detail=detail)


def _validity_gain_real(e: Encoding, frames: int, pairs: int) -> Value:
    return _gain(e, frames, pairs, control=judged_real_fades)


def _midpoint_validity_gain(e: Encoding, frames: int, pairs: int) -> Value:
    return _gain(e, frames, pairs, _middle_frame)


def _class_changes(e: Encoding, frames: int, pairs: int) -> Value:
    paths = e.once(decoded_paths, frames=frames, pairs=pairs)
    kept = has_path(e, chord_of(paths.frames))
    label = e.once(judged_paths, frames=frames, pairs=pairs).label.to(kept.device)
    changes = label_changes(label)
    detail = {name: float(changes[mask].mean()) for name, mask in groups(e, paths.ends, kept).items()}
    value = over_paths(changes, kept)
    return value._replace(detail={**value.detail, **detail})


def chord_of(frames: Float[Tensor, "p T ..."]) -> Float64[Tensor, " p"]:
    """Pixel distance (p,), float64, of the end frames of paths (p, T, c, h, w)."""
    return length(flat(frames[:, -1]) - flat(frames[:, 0]))


def _middle(frames: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return frames[:, 0], frames[:, frames.shape[1] // 2], frames[:, -1]


def _betweenness(e: Encoding, frames: int, pairs: int) -> Value:
    paths = e.once(decoded_paths, frames=frames, pairs=pairs)
    return over_paths(betweenness(*_middle(paths.frames)), has_path(e, chord_of(paths.frames)))


def _nonblend(e: Encoding, frames: int, pairs: int) -> Value:
    paths = e.once(decoded_paths, frames=frames, pairs=pairs)
    return over_paths(nonblend(*_middle(paths.frames)), has_path(e, chord_of(paths.frames)))


def _in_features(e: Encoding, frames: Tensor) -> tuple[Tensor, Tensor]:
    """Betweenness (p,) of path midpoints in judge features, and which pairs (p,) have different features at all."""
    first, middle, last = features(e, torch.cat(_middle(frames))).chunk(3)
    apart = length(flat(last) - flat(first))
    typical = (2 * flat(torch.cat([first, last])).var(0, correction=0).sum()).sqrt()
    return betweenness(first, middle, last), (apart > 0) & (apart >= NO_PATH * typical)


def _betweenness_features(e: Encoding, frames: int, pairs: int) -> Value:
    paths = e.once(decoded_paths, frames=frames, pairs=pairs)
    kept = has_path(e, chord_of(paths.frames))
    each, apart = _in_features(e, paths.frames)
    kept = kept & apart.to(kept.device)
    if not kept.any():
        raise Undefined("the judge's features do not tell the ends of any path apart", "undefined.features_alike")
    return over_paths(each.to(kept.device), kept)


def _fade_in_features(e: Encoding, frames: int, pairs: int) -> Mapping[str, float]:
    each, apart = _in_features(e, fades_of_images(e, 3, pairs))
    return {"ceiling:cross-fade": float(each[apart].mean())} if apart.any() else {}


def _fade_class_changes(e: Encoding, frames: int, pairs: int) -> Mapping[str, float]:
    label = judged(e, fades_of_images(e, frames, pairs)).label
    return {"ceiling:cross-fade": float(label_changes(label).mean())}


def always(value: float) -> Callable[..., Mapping[str, float]]:
    """What a cross-fade scores by construction, whatever the images."""
    return lambda e, **params: {"ceiling:cross-fade": value}


_DECODER: frozenset[Need] = frozenset({CONTINUUM, DECODER})
"""A path leads through the points between codes."""
_JUDGED: frozenset[Need] = JUDGED | {CONTINUUM}
_PATH = {"frames": 16, "pairs": 500}
_POINTS = {"frames": 5, "pairs": 500}  # five frames are t = 0, .25, .5, .75, 1

path_tortuosity = Metric(
    name="path.tortuosity",
    family="continuity",
    compute=_tortuosity,
    better="lower",
    bounds=(1.0, None),
    unit="ratio",
    summary="length of the decoded straight line over its chord, in pixels, 16 frames; 1 = straight, as any "
    "cross-fade (and blur) is",
    source="path lengths: Arvanitidis et al. 2018",
    needs=_DECODER,
    params=_PATH,
    references=always(1.0),
    phrase=Phrase(
        "length of the decoded path over its chord (1 = straight)",
        "takes a longer way between two images",
        "takes a straighter way between two images",
    ),
)

path_jump = Metric(
    name="path.jump",
    family="continuity",
    compute=_jump,
    better="lower",
    bounds=(0.0, 1.0),
    unit="share of path",
    summary="largest step of the decoded path beyond an even share of its length; 0 = uniform speed, 14/15 = a switch",
    source="latentbench",
    needs=_DECODER,
    params=_PATH,
    references=always(0.0),
    phrase=Phrase(
        "largest step beyond an even share (0 = even)",
        "moves less evenly along its paths",
        "moves more evenly",
    ),
)

path_validity_gain = Metric(
    name="path.validity_gain",
    family="continuity",
    compute=_gain,
    better="higher",
    bounds=(-1.0, 1.0),
    unit="share",
    summary="share of valid images on the path (t = .25, .5, .75) minus that on the cross-fade of its two decoded ends",
    source="latentbench",
    needs=_JUDGED,
    params=_POINTS,
    phrase=Phrase(
        "valid frames beyond those of the cross-fade of its own reconstructions",
        "gains more valid frames over the cross-fade of its own reconstructions",
        "gains fewer valid frames over the cross-fade of its own reconstructions",
    ),
    headline=("continuous",),
)

path_validity_gain_real = Metric(
    name="path.validity_gain.real",
    family="continuity",
    compute=_validity_gain_real,
    better="higher",
    bounds=(-1.0, 1.0),
    unit="share",
    summary="share of valid images on the path (t = .25, .5, .75) minus that on the cross-fade of the two real images",
    source="latentbench",
    needs=_JUDGED,
    params=_POINTS,
    phrase=Phrase(
        "valid frames beyond those of the cross-fade of the real images",
        "gains more valid frames over the cross-fade of the real images",
        "gains fewer valid frames over the cross-fade of the real images",
    ),
)

path_class_changes = Metric(
    name="path.class_changes",
    family="continuity",
    compute=_class_changes,
    better="lower",
    bounds=(0.0, 15.0),
    unit="changes",
    least=0.1,
    summary="how often the judged class changes along the path, 16 frames; 0 within a class and 1 between two is ideal",
    source="latentbench",
    needs=_JUDGED,
    params={"frames": 16, "pairs": 100},
    references=_fade_class_changes,
)

midpoint_betweenness = Metric(
    name="midpoint.betweenness",
    family="continuity",
    compute=_betweenness,
    better="lower",
    bounds=(1.0, None),
    unit="ratio",
    least=0.02,
    summary="way over the decoded latent midpoint against the straight way, in pixels; 1 = on the segment",
    source="latentbench",
    needs=_DECODER,
    params=_POINTS,
    references=always(1.0),
)

midpoint_nonblend = Metric(
    name="midpoint.nonblend",
    family="continuity",
    compute=_nonblend,
    better="none",
    bounds=(0.0, None),
    unit="share of chord",
    summary="distance of the decoded latent midpoint from the pixel average of the ends; 0 = a mere cross-fade",
    source="latentbench",
    needs=_DECODER,
    params=_POINTS,
    references=always(0.0),
)

midpoint_betweenness_features = Metric(
    name="midpoint.betweenness_features",
    family="continuity",
    compute=_betweenness_features,
    better="lower",
    bounds=(1.0, None),
    unit="ratio",
    least=0.02,
    summary="way over the decoded latent midpoint against the straight way, in the judge's features",
    source="latentbench",
    needs=_JUDGED,
    params=_POINTS,
    references=_fade_in_features,
)

midpoint_validity_gain = Metric(
    name="midpoint.validity_gain",
    family="continuity",
    compute=_midpoint_validity_gain,
    better="higher",
    bounds=(-1.0, 1.0),
    unit="share",
    summary="share of valid images at the latent midpoint minus that of the pixel average of the two decoded ends",
    source="latentbench",
    needs=_JUDGED,
    params=_POINTS,
    phrase=Phrase(
        "valid midpoints beyond those of the cross-fade of its own reconstructions",
        "gains more valid midpoints over the cross-fade of its own reconstructions",
        "gains fewer valid midpoints over the cross-fade of its own reconstructions",
    ),
)
