"""Holes: prior mass that no posterior supports, measured among codes, without decoder or judge.

Notation: C one draw of q(z|x) per training image, H one per held-out image (a plain autoencoder's means), p the
sampler that is asked about, Z as many draws of p as there are codes, d_k(z, C) the distance from z to its k-th nearest
code. There are three ways for z ~ p to lie in a hole:

    outside    d_k(z, C) > the 99 % quantile of d_k(h, C) over h in H: farther from the codes than nearly all of H are
    sparse     d_k(z, C) > the 99 % quantile of d_k(z', Z) over z' ~ p: fewer codes around it than the sampler's own draws
               would put there. Codes that are spread too wide bring a wide radius of their own; this one is not theirs
    dimension  the larger of the two along one direction: a gap that the other dimensions hide (`hole_directions`)

For ``hole`` and its parts p is the prior that the model was trained with: N(0, I), or its own, known by draws.

Each is a share of p, and about 1 - .99 where the codes are distributed as p; ``dimension`` is a maximum and reads more.
What each reads there, its null value, is measured with codes from N(0, I), as many, in as many dimensions: ``outside`` and
``sparse`` are ranks of distances, which hang little on the prior. ``hole`` is the
*worst* part, that with the largest excess (share - null) / (1 - null): its share, not the excess; so 0.37 says that 37 % of
p lies in holes of that one kind. Its own null value is the mean of the same choice on normal codes. Between codes as wide
as p and 2.5 times as wide all three are nearly blind: `variance_law` tells these.

The same estimator serves every model. For a plain autoencoder N(0, I) is partly a matter of scale, so the holes under a
Gaussian fitted to C stand beside.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from latentbench.artifact_schema import SAMPLERS
from latentbench.core import CONTINUUM, TRAIN, Encoding, Metric, Phrase, Undefined, Value
from latentbench.geometry.neighbours import nearest
from latentbench.geometry.principal import WIDE
from latentbench.metrics.decoding import subsample
from latentbench.metrics.hole_directions import Drawn, Gap, widest_gap
from latentbench.metrics.mixtures import fit_gaussian, standard_normal
from latentbench.metrics.samplers import asked, drawn, fitted, null_repeats, prior_codes, train_codes
from latentbench.randomness import randn, seeded

if TYPE_CHECKING:
    from jaxtyping import Float

PARTS = ("outside", "sparse", "dimension")
LAST_DIGITS = 1e-6
"""Distances below this share of the largest coordinate of a code, in float32, say nothing."""
NULLS = 8
"""How often the search for holes is repeated on normal codes, at most."""


class Shares(NamedTuple):
    """Of each part, and of the worst of them, a share of the sampler's mass in [0, 1]."""

    outside: float
    sparse: float
    dimension: float
    worst: float


class Holes(NamedTuple):
    """One model's holes under one sampler: its ``shares``, what ``null`` codes read, the name of the ``worst`` part, the
    ``codes`` (n, d), the radius of the parts ``outside`` and ``sparse`` and the direction of the third (``gap``)."""

    shares: Shares
    null: Shares
    worst: str
    codes: Tensor
    outside: float
    sparse: float
    gap: Gap

    @property
    def radius(self) -> float:
        """That of the worst part: farther from the codes than this a point lies in a hole."""
        return {"outside": self.outside, "sparse": self.sparse, "dimension": self.gap.radius}[self.worst]

    def depth(self, points: Tensor, k: int) -> Tensor:
        """How deep in holes of the worst part ``points`` (m, d) lie: distance to the codes over the radius, (m,) float64;
        above 1 they are in one."""
        if self.worst == "dimension":
            line = self.gap.direction.to(points.device)
            place, held = ((x.double() @ line)[:, None] for x in (points, self.codes))
            return nearest(place, held, k).distance[:, -1] / max(self.radius, 1e-300)
        return nearest(points, self.codes, k).distance[:, -1] / max(self.radius, 1e-300)


def hole_share(
    points: Float[Tensor, "m d"], codes: Float[Tensor, "n d"], held_out: Float[Tensor, "h d"], k: int, quantile: float
) -> float:
    """Share of ``points`` (m, d) farther from ``codes`` (n, d) than held-out codes are:
    ``P[d_k(z, C) > quantile of d_k(h, C) over h in H]``, d_k the distance to the k-th nearest code.

    In [0, 1], lower is better; ``1 - quantile`` where the points are distributed as the codes. Raises Undefined where
    there are fewer than ``k`` codes.
    """
    return share_beyond(points, codes, k, support_radius(codes, held_out, k, quantile))


def support_radius(codes: Float[Tensor, "n d"], held_out: Float[Tensor, "h d"], k: int, quantile: float) -> float:
    """The ``quantile`` over ``held_out`` (h, d) of the distance to the ``k``-th nearest of ``codes`` (n, d): how far
    from the codes a point may lie and still be one of their kind. Raises Undefined for fewer than ``k`` codes."""
    if len(codes) < k:
        raise Undefined(
            "{k} neighbours need at least {k} training codes, there are {n}", "undefined.few_codes", k=k, n=len(codes)
        )
    return float(torch.quantile(nearest(held_out, codes, k).distance[:, -1], quantile))


def share_beyond(points: Float[Tensor, "m d"], codes: Float[Tensor, "n d"], k: int, radius: float) -> float:
    """Share of ``points`` (m, d) whose ``k``-th nearest of ``codes`` (n, d) is farther than ``radius``."""
    return float((nearest(points, codes, k).distance[:, -1] > radius).double().mean())


def worst_of(shares: tuple[float, ...], null: tuple[float, ...]) -> int:
    """Which of ``shares`` has the largest excess over its ``null`` value, (share - null) / (1 - null); the first of equal
    ones, and to nine digits, so that no last bit decides."""
    excess = [round((s - n) / max(1 - n, 1e-9), 9) for s, n in zip(shares, null, strict=True)]
    return excess.index(max(excess))


def holes(e: Encoding, sampler: str, k: int, quantile: float, codes: int, held_out: int, draws: int) -> Holes:
    """The holes that the encoding's codes leave under ``sampler``: see the module. Raises Undefined without training codes,
    or with fewer than ``k``."""
    c = e.once(train_codes, most=codes)
    h = subsample(e.z, held_out, e.generator("held-out codes"))
    slack = LAST_DIGITS * float(c.abs().max())  # codes and draws heaped on one place are not apart
    outside = support_radius(c, h, k, quantile) + slack
    sampler = asked(e, sampler)
    own, more = (
        z.to(c.device) for z in drawn(e, sampler, (len(c), draws), "hole reference", "hole reference component")
    )
    sparse = support_radius(own, more, k, quantile) + slack
    points = e.once(prior_codes, sampler=sampler, count=draws)
    away = nearest(points, c, k).distance[:, -1]
    prior = None if sampler in SAMPLERS else Drawn(*(z.double().cpu() for z in (points, own, more)))
    mixture = e.once(fitted, sampler=sampler) if prior is None else fit_gaussian(prior.asked)
    gap = widest_gap(c, h, k, quantile, e.generator("hole directions"), mixture, prior)
    parts = float((away > outside).double().mean()), float((away > sparse).double().mean()), gap.share
    null = null_holes(c.shape[1], len(c), len(h), draws, k, quantile)
    worst = worst_of(parts, null[:3])
    return Holes(Shares(*parts, parts[worst]), null, PARTS[worst], c, outside, sparse, gap)


@lru_cache(maxsize=256)
def null_holes(d: int, codes: int, held_out: int, draws: int, k: int, quantile: float) -> Shares:
    """What `holes` reads where the codes (``codes`` of the training and ``held_out`` of the held-out split), the reference
    and the ``draws`` all come from N(0, I_d): means over repetitions, of which few codes need more, the same ones for every
    model and seed. About 1 - quantile; more
    for ``outside`` where few are held out, for the quantile of a few distances falls short of the true one, and for
    ``dimension``, a maximum over directions."""
    like, generator = torch.empty(0, dtype=torch.float64), seeded(0, "hole null")
    wanted = null_repeats(held_out)
    # the more dimensions, the less one sample differs from another
    repeats = min(max(2, wanted), NULLS if d <= WIDE else 2)
    sets = -(-wanted // repeats)  # of held-out codes beside the same others: a quantile of few is what needs repeating
    prior, found, means = standard_normal(d), [], []
    for _ in range(repeats):
        c, h, own = (randn((n, d), generator, like) for n in (codes, sets * held_out, codes))
        radius = support_radius(own, randn((draws, d), generator, like), k, quantile)
        away = nearest(randn((draws, d), generator, like), c, k).distance[:, -1]
        radii = [support_radius(c, one, k, quantile) for one in h.split(held_out)]
        outside = [float((away > r).double().mean()) for r in radii]
        sparse = float((away > radius).double().mean())
        gap = widest_gap(c, h[:held_out], k, quantile, generator, prior).share
        found.append((outside[0], sparse, gap))
        means.append((sum(outside) / sets, sparse, gap))
    outside_null, sparse_null, gap_null = (sum(part) / repeats for part in zip(*means, strict=True))
    null = outside_null, sparse_null, gap_null
    return Shares(*null, sum(one[worst_of(one, null)] for one in found) / repeats)


def _hole(e: Encoding, part: str, **params: float | str) -> Value:
    found = e.once(holes, **params)
    value = getattr(found.shares, part)
    if part == "worst":
        detail = {name: getattr(found.shares, name) for name in PARTS} | {"worst": found.worst}
    elif part == "dimension":
        detail = {"direction": found.gap.kind, "rule": found.gap.rule, "radius": found.gap.radius}
    else:
        detail = {"codes": len(found.codes), "draws": params["draws"], "radius": getattr(found, part)}
    return Value(value, detail=detail)


def _null(
    e: Encoding, part: str, sampler: str, k: int, quantile: float, codes: int, held_out: int, draws: int
) -> Mapping[str, float]:
    if e.train is None:
        raise Undefined(e.lack(TRAIN))
    sizes = min(len(e.train.z), codes), min(len(e.z), held_out)
    return {"null:prior": getattr(null_holes(e.mu.shape[1], *sizes, draws, k, quantile), part)}


_HOLE = {"k": 5, "quantile": 0.99, "codes": 10000, "held_out": 5000, "draws": 4000}
_EXPECTS = {"null:prior": (0.0, 0.05)}
"""1 - quantile = .01, with room for the quantile of some 50 held-out codes and more."""
_EXPECTS_OF_A_MAXIMUM = {"null:prior": (0.0, 0.3)}
"""The largest over directions is .016 for 2,000 held-out codes, .03 for 360, .1 for 60 and .25 for 20 in many dimensions."""


def _metric(name: str, part: str, summary: str, phrase: Phrase | None = None, sampler: str = "normal") -> Metric:
    """The declaration of one part of the holes under one sampler."""
    return Metric(
        name=name,
        family="completeness",
        compute=_hole,
        better="lower",
        bounds=(0.0, 1.0),
        unit="share of prior mass",
        summary=summary,
        source="latentbench",
        needs=frozenset({CONTINUUM, TRAIN}),
        params={"part": part, "sampler": sampler, **_HOLE},
        references=_null,
        expects=_EXPECTS_OF_A_MAXIMUM if part in ("dimension", "worst") else _EXPECTS,
        phrase=phrase,
        headline=("complete", "posterior") if name == "hole" else (),
        under_prior=sampler == "normal",
    )


hole = _metric(
    "hole",
    "worst",
    "share of N(0, I) in holes between the codes: hole.outside, hole.sparse or hole.dimension, the worst above its null value",
    Phrase("holes under N(0, I)", "leaves more holes under N(0, I)", "leaves fewer holes under N(0, I)"),
)

hole_outside = _metric(
    "hole.outside",
    "outside",
    "share of N(0, I) farther from the training codes than 99 % of held-out codes are; .01 = none",
)

hole_sparse = _metric(
    "hole.sparse",
    "sparse",
    "share of N(0, I) with fewer training codes around it than 99 % of N(0, I) would have among as many of its own draws; .01 = none",
)

hole_dimension = _metric(
    "hole.dimension",
    "dimension",
    "largest one-dimensional hole of N(0, 1) among the codes along an axis, a random direction or an independent component",
)

hole_gaussian = _metric(
    "hole.gaussian",
    "worst",
    "share of the Gaussian fitted to the training codes in holes between them: the worst of the same three parts",
    Phrase(
        "holes under a Gaussian fitted to the codes",
        "leaves more holes under a Gaussian fitted to its codes",
        "leaves fewer holes under a Gaussian fitted to its codes",
    ),
    sampler="gaussian",
)
