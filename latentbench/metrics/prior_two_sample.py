"""A classifier two-sample test: can codes of real images be told from draws of the prior?

Half of the codes q(z) and as many draws of the prior p(z), N(0, I) or the model's own, train a classifier; its accuracy on the other half says how
far apart the two are, in a unit that needs no explaining: .5 = coin tossing, 1 = never mistaken. The halves then change
places. With z_i one draw of q(z|x) per held-out image.

The classifier is kernel ridge regression on labels +1 and -1, with the heavy-tailed kernel

    k(x, y) = 1 + 1 / (1 + s / 2) + 1 / (1 + 8 s),        s = |x - y|^2 / d

It is a closed form (nothing to converge, the same on every machine), turns with the latent, sees shift, scale and
holes, and codes far larger than the prior do not upset it. Its one parameter, the ridge, is chosen by the leave-one-out
error on the training half alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from latentbench.core import CONTINUUM, Encoding, Metric, Undefined, Value
from latentbench.geometry.neighbours import flat
from latentbench.metrics.prior_match import codes as drawn_codes
from latentbench.metrics.prior_match import normal_null, own_draws
from latentbench.randomness import randn

if TYPE_CHECKING:
    from jaxtyping import Float

RIDGES = tuple(10.0**p for p in range(-3, 4))


class TwoSample(NamedTuple):
    """What the classifier came to on held-out points: ``accuracy``, ``auc`` (area under the ROC curve), and the number
    of points ``tested``."""

    accuracy: float
    auc: float
    tested: int


def kernel(x: Float[Tensor, "n d"], y: Float[Tensor, "m d"]) -> Float[Tensor, "n m"]:
    """``1 + 1 / (1 + s / 2) + 1 / (1 + 8 s)``, s = |x - y|^2 / d, of points (n, d) and (m, d): (n, m)."""
    s = torch.cdist(x, y).square() / x.shape[1]
    return 1 + 1 / (1 + s / 2) + 1 / (1 + 8 * s)


def ridge_scores(x: Float[Tensor, "n d"], y: Float[Tensor, " n"], new: Float[Tensor, "m d"]) -> Float[Tensor, " m"]:
    """Kernel ridge regression of ``y`` (n,) on points ``x`` (n, d), evaluated at ``new`` (m, d): (m,). The ridge is
    the one of `RIDGES` with the smallest squared leave-one-out error, which one eigendecomposition gives for all."""
    value, vector = torch.linalg.eigh(kernel(x, x))
    rotated = vector.T @ y

    def weights(ridge: float) -> tuple[float, Tensor]:
        inverse = 1 / (value.clamp(min=0) + ridge)
        weight = vector @ (inverse * rotated)
        left_out = weight / (vector.square() @ inverse)  # y_i minus the prediction made without point i
        return float(left_out.square().mean()), weight

    return kernel(new, x) @ min((weights(r) for r in RIDGES), key=lambda fit: fit[0])[1]


def area_under_roc(positive: Float[Tensor, " n"], negative: Float[Tensor, " m"]) -> float:
    """``P[positive > negative] + P[equal] / 2`` over all pairs of scores (n,) and (m,): in [0, 1], .5 = no difference."""
    ordered = negative.sort().values
    below = torch.searchsorted(ordered, positive)
    upto = torch.searchsorted(ordered, positive, right=True)
    return float((below + upto).double().mean() / 2 / len(ordered))


def two_sample(a: Float[Tensor, "n d"], b: Float[Tensor, "n d"]) -> TwoSample:
    """The classifier two-sample test (Lopez-Paz & Oquab 2017) of ``a`` (n, d) against ``b`` (n, d), both in random
    order: trained on one half of each, tested on the other, both ways; accuracies and areas averaged.

    Accuracy in [0, 1]: .5 = indistinguishable, give or take .5 / sqrt(tested). Raises Undefined for n < 4.
    """
    n = min(len(a), len(b))
    if n < 4:
        raise Undefined(
            "a classifier needs four points of each kind, there are {n}", "undefined.classifier_points", n=n
        )
    a, b = flat(a)[:n], flat(b)[:n]
    halves = slice(0, n // 2), slice(n // 2, n)
    right, area = 0, 0.0
    for train, test in (halves, halves[::-1]):
        x = torch.cat([a[train], b[train]])
        y = torch.ones(len(x), dtype=x.dtype, device=x.device)
        y[len(x) // 2 :] = -1
        scores = ridge_scores(x, y, torch.cat([a[test], b[test]]))
        first, second = scores.chunk(2)
        right += int((first > 0).sum() + (second <= 0).sum())
        area += area_under_roc(first, second) / 2
    return TwoSample(right / (2 * n), area, 2 * n)


def _against_normal(z: Tensor, generator: torch.Generator) -> TwoSample:
    """`two_sample` of codes (n, d) against as many draws of N(0, I). The codes are shuffled: a split may be sorted."""
    z = _shuffled(z, generator)
    return two_sample(z, randn(z.shape, generator, z.double()))  # the same draws in every precision


def _shuffled(z: Tensor, generator: torch.Generator) -> Tensor:
    return z[torch.randperm(len(z), generator=generator).to(z.device)]


def _c2st(e: Encoding, codes: int) -> Value:
    z, generator = e.once(drawn_codes, most=codes), e.generator("C2ST")
    if e.prior is None:
        test = _against_normal(z, generator)
    else:
        test = two_sample(_shuffled(z, generator), own_draws(e, len(z)))
    return Value(test.accuracy, detail={"auc": test.auc, "tested": test.tested, "error": 0.5 / test.tested**0.5})


def _null(e: Encoding, codes: int) -> Mapping[str, float]:
    return {"null:prior": normal_null(e, codes, lambda z, g: _against_normal(z, g).accuracy, "C2ST")}


prior_c2st = Metric(
    name="prior.c2st",
    family="completeness",
    compute=_c2st,
    better="target",
    target=0.5,
    bounds=(0.0, 1.0),
    unit="share",
    summary="accuracy of a classifier that tells codes of test images from draws of N(0, I); .5 = it cannot",
    source="Lopez-Paz & Oquab 2017",
    needs=frozenset({CONTINUUM}),
    params={"codes": 1000},
    references=_null,
    under_prior=True,
    expects={"null:prior": (0.42, 0.58)},
)
