"""What is known of every point on a map: how well its image comes back, what the judge says of that, what it costs in KL,
and how much of the prior lies nearest to it.

A map of more than two latent dimensions is made of codes alone and has no inverse, so draws of the prior have no place on
it: each is counted at the code, of those on the map, that is nearest to it in latent space. A latent space of one or two
dimensions is its own map; there draws stand where they fall.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from latentbench.core import CONTINUUM, TRAIN, Encoding
from latentbench.geometry.neighbours import flat, nearest
from latentbench.measuring.hole_atlas import depths, found_holes
from latentbench.metrics.decoding import verdicts
from latentbench.metrics.divergence import kl_of_each, kl_to_own
from latentbench.metrics.memorisation import closest_seen, memorisation, near_radius, seen_count
from latentbench.metrics.prior_holes import hole
from latentbench.metrics.reconstruction import reconstructions
from latentbench.metrics.samplers import prior_codes, trained_with

DRAWS_SHOWN = 400
"""Draws that are given their own places, at most."""
WORK = 3e9
"""Products of values that the search for the nearest seen image may take: some tenths of a second."""


def points(e: Encoding, index: Tensor) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What is known of the images ``index`` (m,) of an encoding, an array (m,) each, of what there is to be known:
    ``error``, mean squared, of the decoded posterior mean; the judge's ``valid`` and ``confidence`` for it; whether it is
    ``copied``, as good as a seen image and nearer to this than to its own (`near_radius`); ``kl`` in nats; how many ``draws`` of the prior have this code as their
    nearest, and how many of these lie ``in_holes``, but of discrete codes. Where d <= 2 some draws at their places too. Details: how many ``draws``,
    and the share of the prior in holes as the measure ``hole`` reads it, ``beyond``."""
    index = index.to(e.mu.device)
    out, detail = _returned(e, index), dict[str, Any]()
    if e.log_var is not None and (e.prior is None or e.prior.log_prob is not None):
        each = kl_of_each(e.mu, e.log_var) if e.prior is None else kl_to_own(e)
        out["kl"] = each[index].float()
    if not CONTINUUM.met(e):
        return out, detail
    draws = e.once(prior_codes, sampler=trained_with(e), count=hole.params["draws"])
    beside = nearest(draws, e.mu[index]).indices[:, 0]
    out["draws"], detail["draws"] = torch.bincount(beside, minlength=len(index)).int(), len(draws)
    plane = e.mu.shape[1] <= 2
    if plane:
        out["draws_at"] = pad(draws[:DRAWS_SHOWN].float(), (0, 2 - e.mu.shape[1]))
    if e.train is not None:
        lost = e.once(depths).of_draws > 1
        out["in_holes"] = torch.bincount(beside[lost], minlength=len(index)).int()
        detail["beyond"] = found_holes(e).shares.worst
        if plane:
            out["draws_in_holes"] = lost[:DRAWS_SHOWN]
    return out, detail


def _returned(e: Encoding, index: Tensor) -> dict[str, Tensor]:
    """What there is to be said of the images as they come back."""
    if e.x_hat is None and e.decode is None:
        return {}
    x, x_hat = e.x[index], e.once(reconstructions)[index]
    error = flat(x_hat - x).square()
    out = {"error": error.mean(1).float()}
    if e.judge is not None:
        word = verdicts(e, x_hat)
        out |= {"valid": word.valid, "confidence": word.confidence.float()}
    if TRAIN.met(e) and len(e.x) > 1 and seen_count(e) * x_hat.numel() <= WORK:
        images = e.space.clip(x_hat)
        own, to_seen = flat(images - x).norm(dim=1), closest_seen(images, e).distance[:, 0]
        radius = e.once(near_radius, count=memorisation.params["count"])
        out["copied"] = (to_seen <= radius) & (to_seen < own)
    return out
