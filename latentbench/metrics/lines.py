"""Interpolation where the truth is known: paths between two lines should turn, not fade.

On data that are lines at known angles (dataset ``lines``) every decoded frame can be held against what it should be.
The *nearest line* of a frame v (pixels from -1 to 1, as in the paper) is the true line at

    theta = argmin over angles of the cosine distance  1 - <v, line(theta)> / (|v| |line(theta)|)

(module `nearest_line`). A path of T frames thus has angles theta_1 .. theta_T and steps dtheta_t, each taken the short
way round. The first two measures are the "mean distance" and the "smoothness" of Berthelot et al. 2018:

    distance    mean over frames of the cosine distance to the nearest line: are all frames lines?
    smoothness  max_t |dtheta_t| / |theta_T - theta_1| - 1 / (T - 1), the angles unwrapped: is the turn even?
    arc excess  sum_t |dtheta_t| / shortest arc between the two lines: does it turn the short way?

No one of them suffices. A switch from one line to the other in one step has distance 0 and arc excess 1, and fails
smoothness; a turn the long way round has distance 0 and smoothness 0, and fails arc excess; a cross-fade fails distance
and smoothness.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from latentbench.core import CONTINUUM, DECODER, Encoding, Metric, Need, Undefined, Value
from latentbench.geometry.neighbours import flat
from latentbench.metrics.decoded_continuity import along, decode_between, has_path, length, path_pairs
from latentbench.metrics.nearest_line import Render, nearest_lines, wrap
from latentbench.records import Reason

if TYPE_CHECKING:
    from jaxtyping import Float

CLOSE = math.pi / 8
"""Ends nearer than this leave no room to tell an even turn from the error of the angles."""


LINES = Need(
    "lines",
    lambda e: e.factors is not None and e.truth is not None and e.truth.factors == ("angle",),
    Reason.of("dataset.no_lines", "the images are not lines with a known angle (dataset 'lines')"),
)
"""What the data set ``lines`` offers and no other: the angle that every image was drawn from, and how."""


class Traced(NamedTuple):
    """Paths as lines: ``angle`` and ``distance`` (p, T) of every frame's nearest line; ``ends`` (p, 2), the true angles
    of the two images; ``kept`` (p,), which pairs the decoder tells apart."""

    angle: Tensor
    distance: Tensor
    ends: Tensor
    kept: Tensor


def smoothness(angle: Float[Tensor, "p T"]) -> Float[Tensor, " p"]:
    """``max_t |dtheta_t| / |sum_t dtheta_t| - 1 / (T - 1)`` per path, (p,), for angles (p, T): 0 = an even turn,
    1 - 1/(T-1) = one switch; above that where the path turns back. Infinite where it ends where it began."""
    step = wrap(angle.diff(dim=1))
    return step.abs().amax(1) / step.sum(1).abs() - 1 / step.shape[1]


def arc_excess(angle: Float[Tensor, "p T"]) -> Float[Tensor, " p"]:
    """``sum_t |dtheta_t| / |wrap(theta_T - theta_1)|`` per path, (p,), for angles (p, T): >= 1; 1 = the short way round
    without turning back. Infinite where it ends where it began."""
    way = wrap(angle.diff(dim=1)).abs().sum(1)
    return (way / wrap(angle[:, -1] - angle[:, 0]).abs()).clamp(min=1.0)


# --- shared by the metrics below ---


def traced(e: Encoding, frames: int, pairs: int) -> Traced:
    """``pairs`` decoded straight lines between posterior means, each frame with its nearest true line."""
    ends, true = _pairs(e, pairs)
    path = decode_between(e, ends, frames)
    kept = has_path(e, length(flat(path[:, -1]) - flat(path[:, 0]))).cpu()
    return _trace(e, path, true, kept)


def faded(e: Encoding, frames: int, pairs: int) -> Traced:
    """The pixel cross-fades of the same pairs' images, which owe nothing to any latent space."""
    ends, true = _pairs(e, pairs)
    x = e.x.cpu()
    fade = along(x[ends[:, 0]], x[ends[:, 1]], torch.linspace(0, 1, frames, dtype=torch.float64))
    return _trace(e, fade, true, torch.ones(len(ends), dtype=torch.bool))


def turned(e: Encoding, frames: int, pairs: int, way: float = 0.0) -> Traced:
    """True lines that turn evenly from one image's angle to the other's, the short way; ``way`` = 1: the long way."""
    ends, true = _pairs(e, pairs)
    arc = wrap(true[:, 1] - true[:, 0])
    arc = arc - way * 2 * math.pi * arc.sign()
    angle = true[:, :1] + arc[:, None] * torch.linspace(0, 1, frames, dtype=torch.float64)
    path = _render(e)(angle.reshape(-1, 1))
    return _trace(e, path.view(len(ends), frames, *path.shape[1:]), true, torch.ones(len(ends), dtype=torch.bool))


def _pairs(e: Encoding, pairs: int) -> tuple[Tensor, Tensor]:
    """The encoding's pairs (p, 2) and the true angles (p, 2) of their images."""
    if e.factors is None:
        raise Undefined(e.lack(LINES))
    ends = path_pairs(e, pairs)
    return ends, e.factors[:, 0].cpu().double()[ends]


def _render(e: Encoding) -> Render:
    if e.truth is None:
        raise Undefined(e.lack(LINES))
    return e.truth.render


def _trace(e: Encoding, path: Tensor, true: Tensor, kept: Tensor) -> Traced:
    p, frames = path.shape[:2]
    lines = nearest_lines(path.flatten(0, 1), _render(e))
    return Traced(lines.angle.view(p, frames), lines.distance.view(p, frames), true, kept)


# --- the metrics ---


def _over(each: Tensor, kept: Tensor, **more: float) -> Value:
    some = each[kept]
    if not len(some):
        raise Undefined("no path turns from one line to another", "undefined.no_turn")
    median, high = torch.quantile(some, torch.tensor([0.5, 0.95], dtype=some.dtype)).tolist()
    detail = {"median": median, "q95": high, "paths": len(some), "left_out": len(each) - len(some), **more}
    return Value(float(some.mean()), detail=detail)


def mean_distance(t: Traced) -> Value:
    """Mean over kept paths and frames of the distance to the nearest line, that of the ends and of the frames between
    them beside it."""
    distance = t.distance[t.kept]
    parts = {"ends": float(distance[:, [0, -1]].mean()), "between": float(distance[:, 1:-1].mean())}
    return _over(t.distance.mean(1), t.kept, **parts)


def _apart(t: Traced) -> Tensor:
    return t.kept & (wrap(t.ends[:, 1] - t.ends[:, 0]).abs() >= CLOSE)


def mean_smoothness(t: Traced) -> Value:
    """Mean smoothness over kept paths between images at least `CLOSE` apart that turn at least half of the true arc.
    Raises Undefined where fewer than half of these do."""
    apart = _apart(t)
    way = wrap(t.angle.diff(dim=1)).sum(1).abs()
    turns = apart & (way >= wrap(t.ends[:, 1] - t.ends[:, 0]).abs() / 2)
    if 2 * int(turns.sum()) < int(apart.sum()):
        raise Undefined(
            "{n} of {of} paths hardly turn: nothing to be smooth",
            "undefined.hardly_turns",
            n=int((apart & ~turns).sum()),
            of=int(apart.sum()),
        )
    return _over(smoothness(t.angle), turns)


def mean_arc_excess(t: Traced) -> Value:
    """Mean arc excess over kept paths between images at least `CLOSE` apart. The path is taken from the first image's
    true angle through all frames to the last image's, so that ends decoded wrongly are a detour and not a short cut."""
    angle = torch.cat([t.ends[:, :1], t.angle, t.ends[:, 1:]], 1)
    return _over(arc_excess(angle), _apart(t))


def _distance(e: Encoding, frames: int, pairs: int) -> Value:
    return mean_distance(e.once(traced, frames=frames, pairs=pairs))


def _smoothness(e: Encoding, frames: int, pairs: int) -> Value:
    return mean_smoothness(e.once(traced, frames=frames, pairs=pairs))


def _arc_excess(e: Encoding, frames: int, pairs: int) -> Value:
    return mean_arc_excess(e.once(traced, frames=frames, pairs=pairs))


def _anchors(mean: Callable[[Traced], Value]) -> Callable[..., Mapping[str, float]]:
    def references(e: Encoding, frames: int, pairs: int) -> Mapping[str, float]:
        return {
            "ceiling:true-lines": mean(e.once(turned, frames=frames, pairs=pairs)).value,
            "floor:cross-fade": mean(e.once(faded, frames=frames, pairs=pairs)).value,
        }

    return references


def _arcs(e: Encoding, frames: int, pairs: int) -> Mapping[str, float]:
    """A cross-fade switches, which is the short way: the floor here is the turn that goes the long way round."""
    return {
        "ceiling:true-lines": mean_arc_excess(e.once(turned, frames=frames, pairs=pairs)).value,
        "floor:long-way": mean_arc_excess(e.once(turned, frames=frames, pairs=pairs, way=1.0)).value,
    }


_NEEDS: frozenset[Need] = frozenset({CONTINUUM, DECODER, LINES})
_PATH = {"frames": 16, "pairs": 100}
_SOURCE = "Berthelot et al. 2018"

lines_distance = Metric(
    name="lines.distance",
    family="continuity",
    compute=_distance,
    better="lower",
    bounds=(0.0, 2.0),
    unit="cosine distance",
    summary="how far the frames of a decoded path are from true lines (mean cosine distance to the nearest); 0 = every "
    "frame is a line; a switch between two lines scores 0 too: read beside lines.smoothness",
    source=_SOURCE,
    needs=_NEEDS,
    params=_PATH,
    references=_anchors(mean_distance),
    expects={"ceiling:true-lines": (0.0, 1e-6), "floor:cross-fade": (1e-3, 0.1)},
)

lines_smoothness = Metric(
    name="lines.smoothness",
    family="continuity",
    compute=_smoothness,
    better="lower",
    bounds=(0.0, None),
    unit="share of turn",
    summary="largest step of the angle along a decoded path beyond an even share of the turn; 0 = turns evenly, 14/15 = "
    "one switch; a turn the long way round scores 0 too: read beside lines.arc_excess",
    source=_SOURCE,
    needs=_NEEDS,
    params=_PATH,
    references=_anchors(mean_smoothness),
    expects={"ceiling:true-lines": (0.0, 1e-2), "floor:cross-fade": (0.5, 1.5)},
)

lines_arc_excess = Metric(
    name="lines.arc_excess",
    family="continuity",
    compute=_arc_excess,
    better="lower",
    bounds=(1.0, None),
    unit="ratio",
    summary="how far a decoded path turns against the shortest arc between its two lines; 1 = the short way, without "
    "turning back",
    source="latentbench",
    needs=_NEEDS,
    params=_PATH,
    references=_arcs,
    expects={"ceiling:true-lines": (1.0, 1.01), "floor:long-way": (1.2, 15.0)},
)
