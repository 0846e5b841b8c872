"""What is wrong with a posterior: one rule, for a dimension and for a model.

A posterior is *punctual* where sigma is negligible beside the spread of the means, *far apart* where so much room lies
between the means that the prior's mass lies there, *collapsed* where it says nothing about the image, and *regular*
where it is none of these.

Symbols: ``sigma`` the mean width of the posteriors, ``sd`` the spread of their means, ``nats`` what the means cost,
E mu^2 / 2. A model is judged by the mean of these over its active dimensions; a dimension that is not active has
collapsed, a model has where `latentbench.stats.findings.table` says so.

Clouds that are none of these are not regular yet. In this order a model is

    mostly collapsed   fewer than `ACTIVE` of its dimensions are active
    uninformative      R² on held-out images is less than `INFORMED` above the mean image's, which is 0
    (punctual, far apart or both)
    of invented sigma  an image decoded from a draw of its posterior is `INVENTED` times as wrong as one decoded from the
                       mean, and `NOTED` of the variance more: the decoder never saw such draws. Honest VAEs read 1.01 to
                       1.27 (beta .1 to 4 on digits), a sigma of .3 written beside the whitened codes of an autoencoder
                       1.8, one of .5 3.3
    too wide, narrow   the variance of its codes, E sigma^2 + Var(mu), lies outside `LAW`: N(0, I) has 1
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

from latentbench.stats.cells import Seed
from latentbench.stats.findings.table import Table

PUNCTUAL = 0.02
"""Posteriors narrower than this share of the spread of their means are points."""
FAR = 5.0
"""Nats that a dimension's means may cost, E mu² / 2, before they count as far apart: |mu| about 3.2."""

ACTIVE = 0.5
"""Share of the dimensions from which on a model is not mostly collapsed."""
INFORMED = 0.2
"""R² that codes must explain before their posterior is called regular: a VAE of R² .07 has nothing to be regular about."""
INVENTED, NOTED = 1.5, 0.02
LAW = (0.5, 2.0)

Diagnosis = Literal[
    "regular",
    "punctual",
    "far apart",
    "punctual and far apart",
    "mostly collapsed",
    "uninformative",
    "invented sigma",
    "too wide",
    "too narrow",
    "collapsed",
    "unknown",
]
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
    return _diagnosis(table, model, lambda metric: i.mean if (i := table.get(model, metric)) else None)


def diagnosis_by_seed(table: Table, model: str) -> dict[Seed, Diagnosis]:
    """The same of each seed that has any of what it rests on."""
    cells = {m: c for m in RESTS_ON if (c := table.by.get((model, m))) is not None}
    seeds = dict.fromkeys(seed for metric in RESTS_ON[:2] if metric in cells for seed in cells[metric].values)

    def at(seed: Seed) -> Callable[[str], float | None]:
        return lambda metric: cells[metric].values.get(seed) if metric in cells else None

    return {seed: _diagnosis(table, model, at(seed)) for seed in seeds}


RESTS_ON = ("punctual_index", "kl.mean_part", "active_units", "r2", "r2.draw", "variance_law")
"""What a diagnosis rests on; one of the first two must be known."""


def _diagnosis(table: Table, model: str, value: Callable[[str], float | None]) -> Diagnosis:
    """The rule of the module's docstring for what ``value`` says of each metric."""
    if model in table.collapse:
        return "collapsed"
    index, nats, units, r2, draw, law = map(value, RESTS_ON)
    if index is None and nats is None:
        return "unknown"
    size = table.latent_dim
    clouds = index != 0  # of points it is said that they are points, however many dimensions they use
    if clouds and units is not None and size and units < ACTIVE * size:
        return "mostly collapsed"
    if clouds and r2 is not None and r2 < INFORMED:
        return "uninformative"
    flaw = flaws(index, 1.0, nats, max(1.0, units if units is not None else float(size or 1)))
    if flaw.punctual:
        return "punctual and far apart" if flaw.far else "punctual"
    if flaw.far:
        return "far apart"
    if invented(r2, draw):
        return "invented sigma"
    if law is not None and not LAW[0] <= law <= LAW[1]:
        return "too wide" if law > LAW[1] else "too narrow"
    return "regular"


def invented(r2: float | None, draw: float | None) -> bool:
    """Whether R² of a posterior ``draw`` lies so far below ``r2``, that of its mean, that the decoder cannot have been
    trained with such draws."""
    if r2 is None or draw is None:
        return False
    return 1 - draw > INVENTED * (1 - r2) and r2 - draw > NOTED


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
        "beta is too large",
        "most dimensions collapsed",
        "one half of the KL",
        "points by design",
        "beta is too small",
        "means are free",
    ]
    own: float | None = None
    beta: float | None = None
    half: str = ""


def advice(table: Table, model: str) -> Advice | None:
    """None where nothing is to be changed or nothing tells."""
    params = table.params.get(model, {})
    beta, half = params.get("beta"), params.get("kl", "full")
    kind, index, nats = diagnosis(table, model), table.get(model, "punctual_index"), table.get(model, "kl.mean_part")
    if kind == "mostly collapsed" and isinstance(beta, int | float) and beta > 0:
        return Advice(model, "most dimensions collapsed", beta=beta / STEP)
    if kind == "collapsed" and isinstance(beta, int | float) and beta > 0:
        return Advice(model, "beta is too large", beta=beta / STEP)
    if half != "full" and kind not in ("collapsed", "unknown", "mostly collapsed", "uninformative"):
        return Advice(model, "one half of the KL", half=half)
    if kind.startswith("punctual") and index:
        if beta is None:
            return Advice(model, "points by design", index.mean) if index.mean == 0 else None
        return Advice(model, "beta is too small", index.mean, beta * STEP or 1.0)
    if kind == "far apart" and nats and beta is not None:
        return Advice(model, "means are free", nats.mean, beta * STEP or 1.0)
    return None
