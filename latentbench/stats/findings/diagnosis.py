"""What is wrong with a posterior: one rule, for a dimension and for a model.

A posterior is *punctual* where sigma is negligible beside the spread of the means, *far apart* where so much room lies
between the means that the prior's mass lies there, *collapsed* where it says nothing about the image, and *regular*
where it is none of these.

Symbols: ``sigma`` the mean width of the posteriors, ``sd`` the spread of their means, ``nats`` what the means cost,
E mu^2 / 2. A model is judged by the mean of these over its active dimensions; a dimension that is not active has
collapsed, a model has where `latentbench.stats.findings.table` says so.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Literal, NamedTuple

from latentbench.stats.cells import Seed
from latentbench.stats.findings.table import Table

PUNCTUAL = 0.02
"""Posteriors narrower than this share of the spread of their means are points."""
FAR = 5.0
"""Nats that a dimension's means may cost, E mu² / 2, before they count as far apart: |mu| about 3.2."""

Diagnosis = Literal["regular", "punctual", "far apart", "punctual and far apart", "collapsed", "unknown"]
STEP = 10.0
"""A value to try is one step of this factor away from the model's own."""


class Flaws(NamedTuple):
    """What keeps posteriors from being regular."""

    punctual: bool
    far: bool


def flaws(sigma: float | None, sd: float, nats: float | None, dimensions: float = 1.0) -> Flaws:
    """The rule: ``sigma`` below `PUNCTUAL` of ``sd``; ``nats`` above `FAR` for each of the ``dimensions`` they are the
    sum of. What is None is not known and no flaw."""
    return Flaws(sigma is not None and sigma < PUNCTUAL * sd, nats is not None and nats > FAR * dimensions)


def diagnosis(table: Table, model: str) -> Diagnosis:
    """A model's posterior by the means over its seeds; unknown where nothing tells. ``punctual_index`` is sigma over sd,
    ``kl.mean_part`` the nats of all dimensions."""
    if model in table.collapse:
        return "collapsed"
    index, nats = table.get(model, "punctual_index"), table.get(model, "kl.mean_part")
    if index is None and nats is None:
        return "unknown"
    units = table.get(model, "active_units")
    used = max(1.0, units.mean if units else float(table.latent_dim or 1))
    flaw = flaws(index.mean if index else None, 1.0, nats.mean if nats else None, used)
    if flaw.punctual:
        return "punctual and far apart" if flaw.far else "punctual"
    return "far apart" if flaw.far else "regular"


def dimensions(table: Table, model: str) -> dict[str, int]:
    """How many latent dimensions of a model's first measured seed are regular, punctual, far apart (punctual or not) or
    collapsed; empty where the records hold nothing per dimension."""
    return next(iter(dimensions_by_seed(table, model).values()), {})


def dimensions_by_seed(table: Table, model: str) -> dict[Seed, dict[str, int]]:
    """The same of every seed that was measured."""
    units, nats = table.by.get((model, "active_units")), table.by.get((model, "kl.mean_part"))
    if units is None:
        return {}
    paid = {seed: detail.get("per_dimension") for seed, detail in nats.details.items()} if nats else {}
    return {seed: _counted(detail, paid.get(seed)) for seed, detail in units.details.items()}


def _counted(detail: Mapping[str, list[float]], nats: list[float] | None) -> dict[str, int]:
    """The kinds of one seed's dimensions, from what `active_units` and `kl.mean_part` note of each."""
    count: Counter[str] = Counter()
    lists = (detail.get(k) or () for k in ("active", "mean_variance", "noise_variance"))
    for d, (on, spread, noise) in enumerate(zip(*lists, strict=False)):
        paid = nats[d] if nats is not None and d < len(nats) else None
        flaw = flaws(math.sqrt(noise), math.sqrt(spread), paid)
        count["collapsed" if not on else "far apart" if flaw.far else "punctual" if flaw.punctual else "regular"] += 1
    return dict(count)


class Advice(NamedTuple):
    """What to change where a model's posterior is not regular: ``change`` is a code; ``own`` the number it rests on
    (sigma over sd, or nats); ``beta`` the value to try, ``half`` the half of the KL that the model has now."""

    model: str
    change: Literal[
        "beta is too large", "one half of the KL", "points by design", "beta is too small", "means are free"
    ]
    own: float | None = None
    beta: float | None = None
    half: str = ""


def advice(table: Table, model: str) -> Advice | None:
    """None where nothing is to be changed or nothing tells."""
    cell = next((c for (m, _), c in table.by.items() if m == model and c.params), None)
    params = cell.params if cell else {}
    beta, half = params.get("beta"), params.get("kl", "full")
    kind, index, nats = diagnosis(table, model), table.get(model, "punctual_index"), table.get(model, "kl.mean_part")
    if kind == "collapsed" and isinstance(beta, int | float) and beta > 0:
        return Advice(model, "beta is too large", beta=beta / STEP)
    if half != "full" and kind not in ("collapsed", "unknown"):
        return Advice(model, "one half of the KL", half=half)
    if kind.startswith("punctual") and index:
        if beta is None:
            return Advice(model, "points by design", index.mean) if index.mean == 0 else None
        return Advice(model, "beta is too small", index.mean, beta * STEP or 1.0)
    if kind == "far apart" and nats and beta is not None:
        return Advice(model, "means are free", nats.mean, beta * STEP or 1.0)
    return None
