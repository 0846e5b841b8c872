"""Is a path finer where its frames are? On a continuous decoder the largest step halves when the frames are doubled, on
one that snaps to stored images it does not.

Symbols and paths are those of `latentbench.metrics.decoded_continuity`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from latentbench.core import CONTINUUM, DECODER, Encoding, Metric, Phrase, Value
from latentbench.metrics.decoded_continuity import (
    along,
    always,
    chord_of,
    decoded_paths,
    has_path,
    over_paths,
    step_lengths,
)
from latentbench.metrics.decoding import CHUNK, decode

if TYPE_CHECKING:
    from jaxtyping import Float


def refinement(fine: Float[Tensor, "p T ..."]) -> Float[Tensor, " p"]:
    """``max_s d'_s / max_t d_t`` per path, (p,): the largest step of a path of 2T - 1 frames over the largest of its T
    frames of even index, for frames ``fine`` (p, 2T - 1, ...). >= 1/2, by the triangle inequality; lower is better: 1/2 =
    the step halves with the interval, 1 = a jump no finer sampling resolves. NaN where all T frames are one."""
    coarse = step_lengths(fine[:, ::2]).steps.amax(1)
    return (step_lengths(fine).steps.amax(1) / coarse).clamp(min=0.5)


def path_refinements(e: Encoding, frames: int, pairs: int) -> tuple[Tensor, Tensor]:
    """`refinement` and chord, (pairs,) each, of `decoded_paths` with one more frame decoded halfway between any two; a
    block of paths in memory at a time beside those."""
    paths = e.once(decoded_paths, frames=frames, pairs=pairs)
    halfway = (2 * torch.arange(frames - 1, dtype=torch.float64) + 1) / (2 * (frames - 1))
    block = max(1, CHUNK // (2 * frames - 1))
    each, chord = [], []
    for ends, coarse in zip(paths.ends.to(e.mu.device).split(block), paths.frames.split(block), strict=True):
        between = decode(e, along(e.mu[ends[:, 0]], e.mu[ends[:, 1]], halfway).flatten(0, 1))
        fine = coarse.new_empty(len(ends), 2 * frames - 1, *coarse.shape[2:])
        fine[:, ::2], fine[:, 1::2] = coarse, between.view(len(ends), frames - 1, *coarse.shape[2:])
        each.append(refinement(fine))
        chord.append(chord_of(fine))
    return torch.cat(each), torch.cat(chord)


def _refinement(e: Encoding, frames: int, pairs: int) -> Value:
    each, chord = path_refinements(e, frames, pairs)
    value = over_paths(each, has_path(e, chord))
    return value._replace(value=value.detail["median"], detail={**value.detail, "mean": value.value})


path_refinement = Metric(
    name="path.refinement",
    family="continuity",
    compute=_refinement,
    better="lower",
    bounds=(0.5, None),
    unit="ratio",
    summary="largest step of the decoded path with twice as many frames over that with 16, median over pairs; 1/2 = a "
    "continuous path, 1 = one that snaps",
    source="latentbench",
    needs=frozenset({CONTINUUM, DECODER}),
    params={"frames": 16, "pairs": 100},
    references=always(0.5),
    phrase=Phrase(
        "largest step with twice as many frames (1/2 = continuous)",
        "snaps more along its paths: finer steps do not make its largest one smaller",
        "changes more continuously along its paths",
    ),
)
